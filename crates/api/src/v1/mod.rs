//! One module for each word after `/v1/`.

pub mod agent;
pub mod insight;
