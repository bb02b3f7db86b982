//! The compiler: everything known about a mesh, reduced to what one proxy must do.
//!
//! On the road: `Batch@index → plan → Plan → proxy`. The agent gathers [`Inputs`], [`compile`] gives the [`Plan`], and
//! [`content_hash`] tells whether it is another one than before.
//!
//! Start from [`Plan`] and [`compile`]; [`merge::proxy_config`] is the part that users see in `/v1/agent/service/…`,
//! [`chain::compile`] what a service's name leads to.
//!
//! Invariants: a pure function of [`Inputs`]; no I/O, clock, lock or runtime, and no word of Envoy. It never fails:
//! what cannot be done becomes a warning in the plan. A plan never holds key material, and a rule that is not in it
//! does not exist.
//!
//! ```
//! let inputs: plan::Inputs = serde_json::from_str(
//!     r#"{"Proxy": {"Kind": "connect-proxy", "ID": "web-sidecar-proxy", "Port": 21000,
//!                   "Proxy": {"DestinationServiceName": "web", "LocalServicePort": 8080}},
//!         "Datacenter": "dc1", "TrustDomain": "11111111.consul"}"#,
//! )?;
//! let plan = plan::compile(&inputs);
//! assert_eq!(plan.inbound[0].application, "127.0.0.1:8080");
//! assert_eq!(plan.identity.to_string(), "spiffe://11111111.consul/ns/default/dc/dc1/svc/web");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod balance;
pub mod chain;
mod compile;
mod difference;
mod hash;
mod inputs;
mod intentions;
pub mod merge;
mod plan;
mod recording;
mod route;
mod upstream;

pub use compile::compile;
pub use difference::differences;
pub use hash::content_hash;
pub use inputs::Inputs;
pub use plan::*;
pub use route::*;
