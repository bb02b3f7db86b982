//! Private keys, in the form in which Consul hands them out.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm,
};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm,
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a key is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyKind {
    #[default]
    Ec256,
    Ec384,
    Ec521,
    Rsa2048,
    Rsa4096,
}

impl KeyKind {
    /// From `PrivateKeyType` and `PrivateKeyBits` of the authority's configuration; 0: the type's default.
    pub fn parse(kind: &str, bits: u64) -> Result<Self, Error> {
        match (kind, bits) {
            ("" | "ec", 0 | 256) => Ok(Self::Ec256),
            ("" | "ec", 384) => Ok(Self::Ec384),
            ("" | "ec", 521) => Ok(Self::Ec521),
            ("" | "ec", 224) => Err(Error::Ec224),
            ("" | "ec", _) => Err(Error::EcBits),
            ("rsa", 0 | 2048) => Ok(Self::Rsa2048),
            ("rsa", 4096) => Ok(Self::Rsa4096),
            ("rsa", _) => Err(Error::RsaBits),
            _ => Err(Error::KeyType),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Ec256 | Self::Ec384 | Self::Ec521 => "ec",
            Self::Rsa2048 | Self::Rsa4096 => "rsa",
        }
    }

    pub fn bits(self) -> u32 {
        match self {
            Self::Ec256 => 256,
            Self::Ec384 => 384,
            Self::Ec521 => 521,
            Self::Rsa2048 => 2048,
            Self::Rsa4096 => 4096,
        }
    }
}

/// The algorithms of keys that are read, each told by the size of what it signs with.
fn algorithms() -> [&'static SignatureAlgorithm; 4] {
    [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512, &PKCS_RSA_SHA256]
}

/// A private key as PEM, `EC PRIVATE KEY` for one of elliptic curves made here. Prints as `(redacted)`;
/// [`expose`](Self::expose) is the one way in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKeyPem(String);

impl PrivateKeyPem {
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    pub fn generate(kind: KeyKind) -> Result<Self, Error> {
        match kind {
            KeyKind::Ec256 => Self::elliptic(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyKind::Ec384 => Self::elliptic(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyKind::Ec521 => Self::elliptic(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeyKind::Rsa2048 => Self::rsa(KeySize::Rsa2048),
            KeyKind::Rsa4096 => Self::rsa(KeySize::Rsa4096),
        }
    }

    fn elliptic(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| Error::Key)?;
        let der = pair.private_key().as_der().map_err(|_| Error::Key)?;
        Ok(Self(pem("EC PRIVATE KEY", der.as_ref())))
    }

    fn rsa(size: KeySize) -> Result<Self, Error> {
        let pair = aws_lc_rs::rsa::KeyPair::generate(size).map_err(|_| Error::Key)?;
        let der = pair.as_der().map_err(|_| Error::Key)?;
        Ok(Self(pem("PRIVATE KEY", der.as_ref())))
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
        let der = self.der()?;
        let read = |algorithm: &&'static SignatureAlgorithm| KeyPair::from_der_and_sign_algo(&der, algorithm).ok();
        algorithms().iter().find_map(read).ok_or(Error::Pem { what: "private key" })
    }

    pub fn kind(&self) -> Result<KeyKind, Error> {
        /// An RSA modulus of 4096 bits; the public key holds little else.
        const LARGE_RSA_BYTES: usize = 500;
        let pair = self.pair()?;
        let algorithm = pair.algorithm();
        Ok(match () {
            () if *algorithm == PKCS_ECDSA_P256_SHA256 => KeyKind::Ec256,
            () if *algorithm == PKCS_ECDSA_P384_SHA384 => KeyKind::Ec384,
            () if *algorithm == PKCS_ECDSA_P521_SHA512 => KeyKind::Ec521,
            () if pair.der_bytes().len() > LARGE_RSA_BYTES => KeyKind::Rsa4096,
            () => KeyKind::Rsa2048,
        })
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
    fn every_kind_of_key_is_read_back_as_what_it_is() {
        for (name, bits) in [("ec", 256), ("ec", 384), ("ec", 521), ("rsa", 2048), ("rsa", 4096)] {
            let kind = KeyKind::parse(name, u64::from(bits)).unwrap();
            assert_eq!((kind.name(), kind.bits()), (name, bits));
            assert_eq!(PrivateKeyPem::generate(kind).unwrap().kind().unwrap(), kind);
        }
        for (name, bits) in [("ec", 224), ("ec", 1), ("rsa", 1024), ("dsa", 0)] {
            assert!(KeyKind::parse(name, bits).is_err(), "{name} {bits}");
        }
    }

    #[test]
    fn a_key_never_prints_itself() {
        let key = PrivateKeyPem::generate(KeyKind::default()).unwrap();
        assert!(key.expose().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        assert_eq!(format!("{key:?}"), "PrivateKeyPem(redacted)");
        assert!(key.pair().is_ok());
    }
}
