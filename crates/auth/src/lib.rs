//! Logging in: what a bearer token of somebody else (a JWT, a pod's service account) proves of its holder.
//!
//! On the road: `api` asks here before it makes a token of its own; nothing here knows the store.
//!
//! Start from [`Method`]: made of a stored [`model::acl::AuthMethod`], it judges a bearer token and gives what was
//! [`Proven`], which binding rules then speak of.
//!
//! Invariants: a token is believed only after its signature, or the Kubernetes API's word; symmetric algorithms and
//! `none` do not exist here; a key verifies only the algorithms of its own kind; no token is ever printed.
//!
//! ```
//! let config = serde_json::json!({ "JWKSURL": "https://issuer.example/keys" }).as_object().cloned();
//! let mut method = model::acl::AuthMethod { kind: "jwt".to_owned(), ..Default::default() };
//! method.config = config.unwrap_or_default();
//! assert!(auth::Method::new(&method).is_ok());
//! ```

mod claims;
mod config;
mod error;
mod jws;
mod jwt;
mod keys;
mod kubernetes;
mod method;
mod remote;

use std::collections::BTreeMap;

use serde_json::Value;

pub use error::Error;
pub use method::Method;

/// What a login has proven.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proven {
    /// What selectors look at.
    pub selectable: Value,
    /// What `${…}` in names stands for.
    pub variables: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
