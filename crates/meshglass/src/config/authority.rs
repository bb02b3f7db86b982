//! `connect.ca_config`: the settings of the certificate authority, under the names its API has for them.

use std::fmt;

use model::OpaqueMap;

/// As in a file, and as `/v1/connect/ca/configuration` has it.
const KEYS: [(&str, &str); 11] = [
    ("cluster_id", "ClusterID"),
    ("private_key", "PrivateKey"),
    ("root_cert", "RootCert"),
    ("private_key_type", "PrivateKeyType"),
    ("private_key_bits", "PrivateKeyBits"),
    ("leaf_cert_ttl", "LeafCertTTL"),
    ("intermediate_cert_ttl", "IntermediateCertTTL"),
    ("root_cert_ttl", "RootCertTTL"),
    ("rotation_period", "RotationPeriod"),
    ("csr_max_per_second", "CSRMaxPerSecond"),
    ("csr_max_concurrent", "CSRMaxConcurrent"),
];

/// Holds a private key, so it never prints itself.
#[derive(Clone, Default, PartialEq)]
pub struct CaConfig(pub OpaqueMap);

impl fmt::Debug for CaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl CaConfig {
    /// Both spellings of a name are known; a name that is in neither list stays as it is written.
    pub(super) fn read(written: &OpaqueMap) -> Self {
        let name = |key: &str| {
            let known = KEYS.iter().find(|(file, api)| key.eq_ignore_ascii_case(file) || key.eq_ignore_ascii_case(api));
            known.map_or_else(|| key.to_owned(), |(_, api)| (*api).to_owned())
        };
        Self(written.iter().map(|(key, value)| (name(key), value.clone())).collect())
    }
}
