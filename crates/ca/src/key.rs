//! Private keys, in the form in which Consul hands them out.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use crate::Error;

/// An EC P-256 private key as `EC PRIVATE KEY` PEM. Prints as `(redacted)`; [`expose`](Self::expose) is the one way in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKeyPem(String);

impl PrivateKeyPem {
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    pub(crate) fn generate() -> Result<Self, Error> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| Error::Key)?;
        let der = pair.private_key().as_der().map_err(|_| Error::Key)?;
        Ok(Self(pem("EC PRIVATE KEY", der.as_ref())))
    }

    /// The PEM text, for the one place that needs it (the leaf's answer, the TLS stack).
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// For rustls.
    pub fn der(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(self.0.as_bytes()).map_err(|_| Error::Pem { what: "private key" })
    }

    pub(crate) fn pair(&self) -> Result<KeyPair, Error> {
        KeyPair::from_der_and_sign_algo(&self.der()?, &PKCS_ECDSA_P256_SHA256).map_err(|_| Error::Key)
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem(redacted)")
    }
}

/// RFC 7468 armour, 64 columns.
fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let index = (bits >> (18 - 6 * place) & 63) as usize;
                out.push(if place <= group.len() { ALPHABET[index] as char } else { '=' });
            }
        }
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn armour_is_what_a_pem_reader_reads_back() {
        for length in [1, 2, 3, 47, 48, 49, 121] {
            let der: Vec<u8> = (0..length).collect();
            let text = pem("CERTIFICATE", &der);
            let back = rustls_pki_types::CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(back.as_ref(), der, "{text}");
        }
    }

    #[test]
    fn a_key_never_prints_itself() {
        let key = PrivateKeyPem::generate().unwrap();
        assert!(key.expose().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        assert_eq!(format!("{key:?}"), "PrivateKeyPem(redacted)");
        assert!(key.pair().is_ok());
    }
}
