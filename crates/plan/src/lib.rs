//! The compiler: everything known about a mesh, reduced to what one proxy must do.
//!
//! On the road: `Batch@index → plan → Plan → proxy`. Start from [`Plan`] and [`compile`].
//!
//! Invariants: a pure function of [`Inputs`]; no I/O, clock, lock or runtime, and no word of Envoy. A plan never holds
//! key material, and a rule that is not in it does not exist.

mod plan;

pub use plan::*;
