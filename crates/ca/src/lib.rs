//! The mesh's certificate authority: one root key, identities as SPIFFE URIs, short-lived leafs.
//!
//! On the road: `ca` stands beside `store` (roots and key are facts there) and in front of the sidecars, which get
//! their leafs through the agent: `csr → Authority::sign → Leaf`.
//!
//! Start from [`Authority`]; [`csr::new`] is the other half, [`verify`] and [`peer_identity`] are what a proxy checks
//! its peer with.
//!
//! Invariants: every decision is a pure function of its arguments (the clock, the serial and the randomness of a
//! renewal are given); a request's extensions are never copied, only its public key and its one SPIFFE id; no key is
//! ever printed ([`PrivateKeyPem`] redacts itself); a chain that verifies says nothing about *who* it is until
//! [`peer_identity`] has said so.
//!
//! ```
//! use std::time::SystemTime;
//! let now = SystemTime::now();
//! let authority = ca::Authority::generate("11111111-2222-3333-4444-555555555555", now)?;
//! let web = model::SpiffeId::service(authority.trust_domain(), "dc1", "web");
//! let (_key, csr) = ca::csr::new(&web)?;
//! let leaf = authority.sign(&csr, &ca::Terms::new("dc1", 8), now)?;
//! assert_eq!(leaf.uri, web);
//! # Ok::<(), ca::Error>(())
//! ```

pub mod agent_tls;
mod authority;
pub mod csr;
mod error;
mod identity;
mod key;
mod renew;
mod root;
pub mod verify;

pub use authority::{Authority, LEAF_TTL, Leaf, MAX_LEAF_TTL, MIN_LEAF_TTL, Terms, trust_domain};
pub use error::Error;
pub use identity::peer_identity;
pub use key::{KeyKind, PrivateKeyPem};
pub use renew::{renew_at, rfc3339};
pub use root::Root;
