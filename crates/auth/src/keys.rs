//! Public keys as people and identity providers write them: PEM, and sets of JWKs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::jws::{Key, KeyKind};

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";

/// The first public key, or the key of the first certificate, of a PEM text.
pub(crate) fn from_pem(text: &str) -> Option<Key> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
    sections.filter_map(Result::ok).find_map(|(kind, der)| match kind {
        SectionKind::PublicKey => SubjectPublicKeyInfo::from_der(&der).ok().and_then(|(_, info)| from_info(&info)),
        SectionKind::Certificate => {
            X509Certificate::from_der(&der).ok().and_then(|(_, certificate)| from_info(certificate.public_key()))
        }
        _ => None,
    })
}

fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Option<Key> {
    let curve = || info.algorithm.parameters.as_ref()?.as_oid().ok().map(|oid| oid.to_id_string());
    let kind = match info.algorithm.algorithm.to_id_string().as_str() {
        RSA => KeyKind::Rsa,
        ED25519 => KeyKind::Ed25519,
        EC => match curve()?.as_str() {
            P256 => KeyKind::P256,
            P384 => KeyKind::P384,
            P521 => KeyKind::P521,
            _ => return None,
        },
        _ => return None,
    };
    Some(Key { id: String::new(), kind, bytes: info.subject_public_key.data.to_vec() })
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// RFC 7517; a field that is of another kind of key is empty.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: String,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

/// The keys of a set that can verify; others are passed over, as sets hold keys for other purposes too.
pub(crate) fn from_set(body: &[u8]) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_slice(body).map_err(|error| format!("failed to decode keys: {error}"))?;
    Ok(set.keys.iter().filter(|jwk| ["", "sig"].contains(&jwk.usage.as_str())).filter_map(from_jwk).collect())
}

fn from_jwk(jwk: &Jwk) -> Option<Key> {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().filter(|bytes| !bytes.is_empty());
    let point = |length: usize| {
        let (x, y) = (padded(&decode(&jwk.x)?, length)?, padded(&decode(&jwk.y)?, length)?);
        Some([&[4], &x[..], &y[..]].concat())
    };
    let (kind, bytes) = match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => (KeyKind::Rsa, rsa(&decode(&jwk.n)?, &decode(&jwk.e)?)),
        ("EC", "P-256") => (KeyKind::P256, point(32)?),
        ("EC", "P-384") => (KeyKind::P384, point(48)?),
        ("EC", "P-521") => (KeyKind::P521, point(66)?),
        ("OKP", "Ed25519") => (KeyKind::Ed25519, decode(&jwk.x)?),
        _ => return None,
    };
    Some(Key { id: jwk.kid.clone(), kind, bytes })
}

fn padded(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let missing = length.checked_sub(number.len())?;
    Some([&vec![0; missing][..], number].concat())
}

/// `RSAPublicKey` of PKCS #1: a sequence of two numbers.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let numbers = [integer(modulus), integer(exponent)].concat();
    [header(0x30, numbers.len()), numbers].concat()
}

/// Without leading zeros, except one that keeps it positive.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    let bytes = &bytes[start..];
    let sign: &[u8] = if bytes.first().is_none_or(|first| first & 0x80 != 0) { &[0] } else { &[] };
    [&header(2, sign.len() + bytes.len())[..], sign, bytes].concat()
}

/// Tag and length of DER.
fn header(tag: u8, length: usize) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1)..];
    match significant {
        [short @ 0..0x80] => vec![tag, *short],
        long => [&[tag, 0x80 | long.len() as u8], long].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_der() {
        assert_eq!(integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
        assert_eq!(header(0x30, 0x7f), [0x30, 0x7f]);
        assert_eq!(header(0x30, 0x80), [0x30, 0x81, 0x80]);
        assert_eq!(header(0x30, 0x1234), [0x30, 0x82, 0x12, 0x34]);
    }

    #[test]
    fn what_is_no_key_is_none() {
        assert!(from_pem("x").is_none());
        assert!(from_set(b"{").is_err());
        let odd = br#"{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","x":"AA"},{"kty":"RSA","n":""}]}"#;
        assert_eq!(from_set(odd), Ok(Vec::new()));
    }
}
