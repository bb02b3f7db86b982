//! Identities: `spiffe://<trust-domain>/ns/<namespace>/dc/<datacenter>/svc/<service>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The identity of a service, exactly as it stands in the URI SAN of its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    pub trust_domain: String,
    pub namespace: String,
    pub datacenter: String,
    pub service: String,
}

/// Why a URI is not the identity of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not spiffe://<trust-domain>/ns/<namespace>/dc/<datacenter>/svc/<service>")]
pub struct SpiffeError(pub String);

impl SpiffeId {
    pub fn service(trust_domain: &str, datacenter: &str, service: &str) -> Self {
        Self {
            trust_domain: trust_domain.to_owned(),
            namespace: "default".to_owned(),
            datacenter: datacenter.to_owned(),
            service: service.to_owned(),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, namespace, datacenter, service } = self;
        write!(f, "spiffe://{trust_domain}/ns/{namespace}/dc/{datacenter}/svc/{service}")
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(uri: &str) -> Result<Self, SpiffeError> {
        let bad = || SpiffeError(uri.to_owned());
        let parts: Vec<&str> = uri.strip_prefix("spiffe://").ok_or_else(bad)?.split('/').collect();
        match parts.as_slice() {
            [trust_domain, "ns", namespace, "dc", datacenter, "svc", service]
                if [trust_domain, namespace, datacenter, service].iter().all(|part| !part.is_empty()) =>
            {
                Ok(Self {
                    trust_domain: (*trust_domain).to_owned(),
                    namespace: (*namespace).to_owned(),
                    datacenter: (*datacenter).to_owned(),
                    service: (*service).to_owned(),
                })
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeError;
    fn try_from(uri: String) -> Result<Self, SpiffeError> {
        uri.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn round_trips_and_refuses_everything_else() {
        let uri = "spiffe://1111.consul/ns/default/dc/dc1/svc/web";
        assert_eq!(uri.parse::<SpiffeId>().unwrap().to_string(), uri);
        for bad in [
            "",
            "web",
            "spiffe://td",
            "https://td/ns/default/dc/dc1/svc/web",
            "spiffe://td/ns/default/dc/dc1/svc/",
            "spiffe://td/ns/default/dc/dc1/svc/web/more",
            "spiffe://td/ns/default/dc/dc1/agent/web",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }
}
