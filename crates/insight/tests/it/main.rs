//! Insight as the agent meets it: reports in, answers out.
#![allow(clippy::unwrap_used)]

mod loss;
mod picture;
mod proxies;
