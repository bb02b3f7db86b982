//! The program and its parts from outside.
#![allow(clippy::unwrap_used)]

mod cli;
