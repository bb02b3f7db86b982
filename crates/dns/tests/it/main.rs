//! The crate from outside: answers by a catalog made for the test, and real sockets.
#![allow(clippy::unwrap_used)]

mod answers;
mod catalog;
mod message;
mod sockets;
