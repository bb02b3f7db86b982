//! Signed tokens: the compact form of a JWS, and its signature.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Error;

/// No identity provider makes larger tokens; they come from anybody.
pub(crate) const TOKEN_LIMIT_BYTES: usize = 64 << 10;

/// What a key is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Empty: not named.
    pub id: String,
    pub kind: KeyKind,
    /// RSA: PKCS #1; curves: the point.
    pub bytes: Vec<u8>,
}

/// The algorithms of RFC 7518 and 8037 that need no shared secret.
pub(crate) const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"];

fn algorithm(name: &str) -> Option<(KeyKind, &'static dyn VerificationAlgorithm)> {
    Some(match name {
        "RS256" => (KeyKind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => (KeyKind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => (KeyKind::Rsa, &signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => (KeyKind::Rsa, &signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => (KeyKind::Rsa, &signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => (KeyKind::Rsa, &signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => (KeyKind::P256, &signature::ECDSA_P256_SHA256_FIXED),
        "ES384" => (KeyKind::P384, &signature::ECDSA_P384_SHA384_FIXED),
        "ES512" => (KeyKind::P521, &signature::ECDSA_P521_SHA512_FIXED),
        "EdDSA" => (KeyKind::Ed25519, &signature::ED25519),
        _ => return None,
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Header {
    alg: String,
    kid: String,
    /// Extensions that must be understood; none is.
    crit: Option<Value>,
}

/// A token taken apart and not believed yet.
pub(crate) struct Signed<'a> {
    header: Header,
    /// What is signed.
    message: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    pub fn parse(token: &'a str) -> Result<Self, Error> {
        if token.len() > TOKEN_LIMIT_BYTES {
            return Err(Error::Form(format!("longer than {TOKEN_LIMIT_BYTES} bytes")));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(Error::Form("square/go-jose: compact JWS format must have three parts".to_owned()));
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| Error::Form(error.to_string()));
        let message = &token[..header.len() + 1 + payload.len()];
        let header = serde_json::from_slice(&decode(header)?).map_err(|_| Error::Form("bad header".to_owned()))?;
        Ok(Self { header, message, payload: decode(payload)?, signature: decode(signature)? })
    }

    pub fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The claims, once one of the keys has signed them.
    pub fn verified_by<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Result<Map<String, Value>, Error> {
        let (kind, algorithm) = algorithm(&self.header.alg).ok_or(Error::Signature)?;
        if self.header.crit.is_some() {
            return Err(Error::Signature);
        }
        let named = |key: &Key| key.id.is_empty() || self.header.kid.is_empty() || key.id == self.header.kid;
        let signed = keys.into_iter().filter(|key| key.kind == kind && named(key)).any(|key| {
            let key = UnparsedPublicKey::new(algorithm, &key.bytes);
            key.verify(self.message.as_bytes(), &self.signature).is_ok()
        });
        if !signed {
            return Err(Error::Signature);
        }
        serde_json::from_slice(&self.payload).map_err(|_| Error::Form("the claims are no JSON object".to_owned()))
    }
}
