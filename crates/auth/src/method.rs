//! Ways to log in, one behind the other.

use std::collections::BTreeMap;

use model::acl::AuthMethod;

use crate::error::Error;
use crate::{Proven, jwt, kubernetes};

/// A way to log in, ready to judge.
pub enum Method {
    Jwt(Box<jwt::Jwt>),
    Kubernetes(Box<kubernetes::Kubernetes>),
}

impl Method {
    /// Reads and judges the configuration; asks nobody.
    pub fn new(method: &AuthMethod) -> Result<Self, Error> {
        match method.kind.as_str() {
            "jwt" => jwt::Jwt::new(&method.config).map(|jwt| Self::Jwt(Box::new(jwt))),
            "kubernetes" => {
                let read = kubernetes::Kubernetes::new(&method.config);
                read.map(|kubernetes| Self::Kubernetes(Box::new(kubernetes)))
            }
            _ => Err(Error::Config("Type should be one of: [jwt kubernetes]".to_owned())),
        }
    }

    /// Whether the keys it names can be had: asked once, when the method is written.
    pub async fn check(&self) -> Result<(), Error> {
        match self {
            Self::Jwt(jwt) => jwt.check().await,
            Self::Kubernetes(_) => Ok(()),
        }
    }

    /// Judges a bearer token at a moment, in seconds since 1970.
    pub async fn login(&self, bearer: &str, now: i64) -> Result<Proven, Error> {
        match self {
            Self::Jwt(jwt) => jwt.login(bearer, now).await,
            Self::Kubernetes(kubernetes) => kubernetes.login(bearer).await,
        }
    }

    /// The variables that every login of this method fills.
    pub fn variables(&self) -> BTreeMap<String, String> {
        match self {
            Self::Jwt(jwt) => jwt.variables(),
            Self::Kubernetes(_) => kubernetes::variables("", "", ""),
        }
    }
}
