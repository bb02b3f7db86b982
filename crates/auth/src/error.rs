//! Why nobody is let in. Texts are Consul's where it has one.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the configuration says cannot be.
    #[error("{0}")]
    Config(String),
    #[error("missing jwt")]
    NoToken,
    #[error("error parsing token: {0}")]
    Form(String),
    #[error("no known key successfully validated the token signature")]
    Signature,
    #[error("error validating signature: {0}")]
    Keys(String),
    #[error("no issue time, not before, or expiration time encoded in token")]
    Timeless,
    #[error("error validating claims: {0}")]
    Claims(&'static str),
    /// A claim that a mapping names has a form it cannot have.
    #[error("{0}")]
    Mapping(String),
    #[error("lookup failed: {0}")]
    Review(String),
    #[error("annotation lookup failed: {0}")]
    Annotation(String),
}
