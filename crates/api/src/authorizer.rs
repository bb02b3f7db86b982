//! What the sender of a request may do.

use crate::error::Error;

/// What rules are written about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Acl,
    Agent,
    Event,
    /// By the destination's name.
    Intention,
    Key,
    Keyring,
    Node,
    Operator,
    Query,
    Service,
    /// By the name of the session's node.
    Session,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Read,
    /// Keys only: every key under a prefix may be listed.
    List,
    Write,
    /// Keys only: every key under a prefix may be written.
    WritePrefix,
}

/// The rights of one request. With access control off everything is allowed.
#[derive(Debug, Clone)]
pub struct Authorizer;

impl Authorizer {
    /// Nobody is asked: access control is off.
    pub fn is_off(&self) -> bool {
        true
    }

    pub fn may(&self, _resource: Resource, _name: &str, _right: Right) -> bool {
        true
    }

    /// 403 unless it may.
    pub fn check(&self, resource: Resource, name: &str, right: Right) -> Result<(), Error> {
        if self.may(resource, name, right) { Ok(()) } else { Err(Error::PermissionDenied) }
    }
}
