//! The compiler against the cases of `conformance/cases`.
#![allow(clippy::unwrap_used)]

mod goldens;
mod properties;
