//! Two sidecars made from plan files, between a client and an application that live in the test.
#![allow(clippy::unwrap_used)]

mod access;
mod agent;
mod grpc;
mod http;
mod rig;
mod shaping;
mod tcp;
