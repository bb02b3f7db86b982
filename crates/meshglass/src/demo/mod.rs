//! `meshglass demo`: the emojify application, meshed and measured, in one process and without set-up.
//!
//! `faults` is what can be switched on, `apps` the services, `traffic` the users, `call` and `grpc` how they talk,
//! `api` the switches over HTTP. The start itself (agents, registrations, sidecars, the box) is in `start`.

mod api;
mod apps;
mod call;
mod faults;
mod grpc;
mod traffic;
