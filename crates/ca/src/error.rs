//! Why the authority, or a check of a certificate, said no.

/// What was tried, and what stood in the way. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("making a private key failed")]
    Key,
    #[error("{what}: {source}")]
    Certificate { what: &'static str, source: rcgen::Error },
    #[error("{what}: not a PEM file of the expected kind")]
    Pem { what: &'static str },
    #[error("{what}: not a certificate")]
    Der { what: &'static str },
    #[error("the CA key does not belong to the CA certificate")]
    KeyMismatch,
    #[error("the root certificate is not one of a certificate authority")]
    NoAuthority,
    /// Consul's words for what a root's key may be.
    #[error("private key type must be either 'ec' or 'rsa'")]
    KeyType,
    #[error("EC key length must be one of (224, 256, 384, 521) bits")]
    EcBits,
    #[error("EC keys of 224 bits are not supported, use 256, 384 or 521")]
    Ec224,
    #[error("RSA key length must be 2048 or 4096 bits")]
    RsaBits,
    #[error("CSR must have exactly one URI SAN and no other name, got {0}")]
    Names(String),
    #[error("the certificate has {0} URI SANs, exactly one is needed")]
    PeerNames(usize),
    #[error(transparent)]
    Spiffe(#[from] model::SpiffeError),
    #[error("CSR is for trust domain {got:?}, this authority signs for {want:?}")]
    TrustDomain { got: String, want: String },
    #[error("CSR is for datacenter {got:?}, this is {want:?}")]
    Datacenter { got: String, want: String },
    #[error("CSR is for namespace {0:?}, only \"default\" is known")]
    Namespace(String),
    #[error("CSR has a public key of an unsupported type")]
    PublicKey,
    /// Consul's words.
    #[error("leaf cert TTL must be greater or equal than {}", model::format_duration(crate::MIN_LEAF_TTL))]
    TtlTooShort,
    #[error("leaf cert TTL must be less than {}", model::format_duration(crate::MAX_LEAF_TTL))]
    TtlTooLong,
    #[error("verifier: {0}")]
    Verifier(String),
}

impl Error {
    pub(crate) fn certificate(what: &'static str) -> impl FnOnce(rcgen::Error) -> Self {
        move |source| Self::Certificate { what, source }
    }
}
