//! Certificates of agents, for their own ports: what `consul tls` makes. They have nothing to do with the mesh's.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType, SerialNumber,
};

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::renew::seconds;
use crate::{Error, KeyKind, PrivateKeyPem, trust_domain};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SERIAL_BYTES: usize = 16;

/// A certificate and its key, both PEM.
pub struct Made {
    pub certificate: String,
    pub key: PrivateKeyPem,
}

/// What an authority for agents' certificates is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityTerms {
    pub days: u32,
    /// Empty: one with its serial number.
    pub common_name: String,
    /// Empty: no trust domain in its names.
    pub cluster_id: String,
    /// The only domains it can sign for; empty: any.
    pub permitted_domains: Vec<String>,
}

/// What an agent's certificate is to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    pub days: u32,
    pub common_name: String,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// For both ends of a connection; a command line's needs no purpose.
    pub purposes: bool,
}

/// # Errors
/// A name that cannot stand in a certificate.
pub fn authority(terms: &AuthorityTerms, now: SystemTime) -> Result<Made, Error> {
    let what = "making the CA certificate";
    let key = PrivateKeyPem::generate(KeyKind::Ec256)?;
    let pair = key.pair()?;
    let serial = serial()?;
    let mut params = params(&pair, &serial, terms.days, now);
    let common_name = match terms.common_name.as_str() {
        "" => format!("Consul Agent CA {}", decimal(&serial)),
        name => name.to_owned(),
    };
    params.distinguished_name.push(DnType::OrganizationName, "Meshglass");
    params.distinguished_name.push(DnType::CommonName, printable(&common_name, what)?);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if !terms.cluster_id.is_empty() {
        let uri = format!("spiffe://{}", trust_domain(&terms.cluster_id));
        params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(Error::certificate(what))?)];
    }
    if !terms.permitted_domains.is_empty() {
        let permitted = terms.permitted_domains.iter().cloned().map(GeneralSubtree::DnsName).collect();
        let constraints = NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() };
        params.name_constraints = Some(constraints);
    }
    let certificate = params.self_signed(&pair).map_err(Error::certificate(what))?;
    Ok(Made { certificate: certificate.pem(), key })
}

/// Signs with the authority of these PEM files, whoever made it.
///
/// # Errors
/// The files hold no authority, or a name cannot stand in a certificate.
pub fn certificate(ca: &str, ca_key: &PrivateKeyPem, terms: &Terms, now: SystemTime) -> Result<Made, Error> {
    let what = "signing the certificate";
    let issuer_key = KeyPair::try_from(&ca_key.der()?).map_err(|_| Error::Pem { what: "CA key" })?;
    check_pair(ca, &issuer_key)?;
    let issuer = Issuer::from_ca_cert_pem(ca, issuer_key).map_err(Error::certificate("reading the CA certificate"))?;
    let key = PrivateKeyPem::generate(KeyKind::Ec256)?;
    let pair = key.pair()?;
    let mut params = params(&pair, &serial()?, terms.days, now);
    params.distinguished_name.push(DnType::CommonName, printable(&terms.common_name, what)?);
    for name in &terms.dns_names {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(Error::certificate(what))?));
    }
    params.subject_alt_names.extend(terms.addresses.iter().copied().map(SanType::IpAddress));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    if terms.purposes {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    }
    let certificate = params.signed_by(&pair, &issuer).map_err(Error::certificate(what))?;
    Ok(Made { certificate: certificate.pem(), key })
}

fn params(pair: &KeyPair, serial: &[u8], days: u32, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = seconds(now);
    params.not_after = params.not_before + DAY * days;
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.distinguished_name = DistinguishedName::new();
    let key_id = digest(&SHA256, &pair.subject_public_key_info());
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.as_ref().to_vec());
    params.use_authority_key_identifier_extension = true;
    params
}

/// What the key signs is only worth something under the certificate it belongs to.
fn check_pair(ca: &str, key: &KeyPair) -> Result<(), Error> {
    let chain = crate::verify::certificates(ca)?;
    let first = chain.first().ok_or(Error::Pem { what: "CA certificate" })?;
    let (_, certificate) = X509Certificate::from_der(first).map_err(|_| Error::Der { what: "CA certificate" })?;
    if !certificate.is_ca() {
        return Err(Error::NoAuthority);
    }
    let same = certificate.public_key().raw == key.subject_public_key_info();
    if same { Ok(()) } else { Err(Error::KeyMismatch) }
}

/// Random, positive, and never the same twice.
fn serial() -> Result<[u8; SERIAL_BYTES], Error> {
    let mut bytes = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Key)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(bytes)
}

fn decimal(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn printable(text: &str, what: &'static str) -> Result<DnValue, Error> {
    match text.try_into() {
        Ok(printable) => Ok(DnValue::PrintableString(printable)),
        // Marks such as `_` and `*` need the larger alphabet.
        Err(_) if !text.is_empty() => Ok(DnValue::Utf8String(text.to_owned())),
        Err(error) => Err(Error::certificate(what)(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        crate::verify::certificates(pem).unwrap()[0].to_vec()
    }

    #[test]
    fn a_certificate_says_what_was_asked_for() {
        let now = SystemTime::now();
        let constraint = vec!["consul".to_owned(), "localhost".to_owned()];
        let terms = AuthorityTerms { days: 10, permitted_domains: constraint, ..AuthorityTerms::default() };
        let ca = authority(&terms, now).unwrap();
        let terms = Terms {
            days: 3,
            common_name: "server.dc1.consul".to_owned(),
            dns_names: vec!["server.dc1.consul".to_owned(), "localhost".to_owned()],
            addresses: vec!["127.0.0.1".parse().unwrap()],
            purposes: true,
        };
        let leaf = certificate(&ca.certificate, &ca.key, &terms, now).unwrap();
        let (ca_der, leaf_der) = (der(&ca.certificate), der(&leaf.certificate));
        let (_, ca) = X509Certificate::from_der(&ca_der).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf_der).unwrap();
        assert_eq!(leaf.issuer(), ca.subject());
        assert!(ca.is_ca() && !leaf.is_ca());
        assert!(ca.subject().to_string().contains("CN=Consul Agent CA "));
        assert_eq!(leaf.subject().to_string(), "CN=server.dc1.consul");
        let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        let days = (leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp()) / 86400;
        assert_eq!((names, days), (3, 3));
        let permitted = ca.name_constraints().unwrap().unwrap().value.permitted_subtrees.as_ref().unwrap().len();
        assert_eq!(permitted, 2);
    }

    #[test]
    fn files_that_are_no_authority_are_refused() {
        let now = SystemTime::now();
        let key = PrivateKeyPem::generate(KeyKind::Ec256).unwrap();
        assert!(certificate("nonsense", &key, &Terms::default(), now).is_err());
        let terms = AuthorityTerms { days: 1, ..AuthorityTerms::default() };
        let ca = authority(&terms, now).unwrap();
        assert!(matches!(certificate(&ca.certificate, &key, &Terms::default(), now), Err(Error::KeyMismatch)));
        let bad = PrivateKeyPem::new("nonsense".to_owned());
        assert!(certificate("nonsense", &bad, &Terms::default(), now).is_err());
    }
}
