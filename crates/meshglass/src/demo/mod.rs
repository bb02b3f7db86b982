//! `meshglass demo`: the emojify application, meshed and measured, in one process and without set-up.
//!
//! `layout` says who runs where, `start` starts it all and waits for Ctrl-C, `summary` and `screen` are what it says.
//! `apps` are the services, `traffic` the users, `faults` what can be switched on and `api` the switches over HTTP;
//! `call` and `grpc` are how the applications talk.

mod api;
mod apps;
mod call;
mod error;
mod faults;
mod grpc;
mod layout;
mod screen;
mod start;
mod summary;
mod traffic;

pub use error::DemoError;
pub use start::{DemoFlags, run};
