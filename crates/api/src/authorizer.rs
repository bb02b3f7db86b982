//! What the sender of a request may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::acl::{Family, Rights};
pub use model::acl::{Resource, Right};

use crate::error::Error;

/// Whether something was left out of an answer for want of rights; the answer says so in a header.
#[derive(Debug, Clone, Default)]
pub struct Filtered(Arc<AtomicBool>);

impl Filtered {
    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The rights of one request. With access control off everything is allowed.
#[derive(Debug, Clone)]
pub struct Authorizer(Option<Granted>);

#[derive(Debug, Clone)]
struct Granted {
    rights: Arc<Rights>,
    default_allow: bool,
    filtered: Filtered,
}

impl Authorizer {
    pub(crate) fn everything() -> Self {
        Self(None)
    }

    pub(crate) fn new(rights: Arc<Rights>, default_allow: bool) -> Self {
        Self(Some(Granted { rights, default_allow, filtered: Filtered::default() }))
    }

    /// Notes what is left out.
    pub(crate) fn noting(mut self, filtered: &Filtered) -> Self {
        if let Some(granted) = &mut self.0 {
            granted.filtered = filtered.clone();
        }
        self
    }

    /// Nobody is asked: access control is off.
    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    pub fn may(&self, resource: Resource, name: &str, right: Right) -> bool {
        let Some(granted) = &self.0 else { return true };
        // Access control itself is not given away by a default.
        let default = granted.default_allow && resource != Resource::Acl;
        granted.rights.decide(resource, name, right).unwrap_or(default)
    }

    /// 403 unless it may.
    pub fn check(&self, resource: Resource, name: &str, right: Right) -> Result<(), Error> {
        if self.may(resource, name, right) { Ok(()) } else { Err(Error::PermissionDenied) }
    }

    /// Notes that something was left out.
    pub fn note_if(&self, left_out: bool) {
        if let Some(granted) = self.0.as_ref().filter(|_| left_out) {
            granted.filtered.note();
        }
    }

    /// Whether something is shown in a list; what is not is noted.
    pub fn sees(&self, resource: Resource, name: &str) -> bool {
        let sees = self.may(resource, name, Right::Read);
        self.note_if(!sees);
        sees
    }

    /// Whether an instance of a service on a node is shown in a list.
    pub fn sees_instance(&self, node: &str, service: &str) -> bool {
        self.0.is_none() || (self.sees(Resource::Node, node) && self.sees(Resource::Service, service))
    }

    /// Whether a check of a node, or of a service on it, is shown in a list.
    pub fn sees_check(&self, node: &str, service: &str) -> bool {
        self.0.is_none()
            || (self.sees(Resource::Node, node) && (service.is_empty() || self.sees(Resource::Service, service)))
    }

    /// Whether the right is granted for every name of the family.
    pub fn may_all(&self, family: Family, right: Right) -> bool {
        self.0.as_ref().is_none_or(|granted| granted.rights.all(family, right).unwrap_or(granted.default_allow))
    }

    /// Whether the right is granted for any name of the family.
    pub fn may_any(&self, family: Family, right: Right) -> bool {
        self.0.as_ref().is_none_or(|granted| granted.rights.any(family, right).unwrap_or(granted.default_allow))
    }
}
