//! Root certificates: made, described, or taken from the operator.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyIdMethod, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::authority::{colons, short};
use crate::renew::{rfc3339, seconds};
use crate::{Error, PrivateKeyPem, trust_domain};

/// Ten years with their leap days are the calendar's business; Consul adds ten to the year, and so do we.
const ROOT_YEARS: i32 = 10;

/// A root certificate as `/v1/connect/ca/roots` describes it; the store adds activity and indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Root {
    /// SHA-1 of the certificate, hex with colons.
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub serial_number: u64,
    /// SHA-256 of the SubjectPublicKeyInfo, hex with colons.
    #[serde(rename = "SigningKeyID")]
    pub signing_key_id: String,
    /// The cluster id, without `.consul`.
    pub external_trust_domain: String,
    pub not_before: String,
    pub not_after: String,
    /// PEM
    pub root_cert: String,
    pub private_key_type: String,
    pub private_key_bits: u32,
}

/// The certificate of a root of the cluster with this key, but for serial number and times.
pub(crate) fn params(cluster_id: &str, key_id: &[u8]) -> Result<CertificateParams, Error> {
    let trust_domain = trust_domain(cluster_id);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, root_name(&trust_domain));
    let uri =
        format!("spiffe://{trust_domain}").try_into().map_err(Error::certificate("naming the root certificate"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A new root, valid for ten years from `now`.
pub(crate) fn make(cluster_id: &str, key: &PrivateKeyPem, now: SystemTime) -> Result<Root, Error> {
    let pair = key.pair()?;
    let key_id = digest(&SHA256, &pair.subject_public_key_info());
    let mut params = params(cluster_id, key_id.as_ref())?;
    params.not_before = seconds(now);
    // 29 February has no tenth anniversary.
    let end = params.not_before;
    params.not_after =
        end.replace_year(end.year() + ROOT_YEARS).unwrap_or(end + Duration::from_secs(ROOT_YEARS as u64 * 365 * 86400));
    // Far above any leaf's counter: issuer and serial together name a certificate. Small enough for JSON numbers.
    let serial = fastrand::u64(1 << 40..1 << 52);
    params.serial_number = Some(SerialNumber::from(serial));
    let certificate = params.self_signed(&pair).map_err(Error::certificate("making the root certificate"))?;
    let kind = key.kind()?;
    Ok(Root {
        id: colons(digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate.der()).as_ref()),
        name: "Consul CA Root Cert".to_owned(),
        serial_number: serial,
        signing_key_id: colons(key_id.as_ref()),
        external_trust_domain: cluster_id.to_owned(),
        not_before: rfc3339(params.not_before.into()),
        not_after: rfc3339(params.not_after.into()),
        root_cert: certificate.pem(),
        private_key_type: kind.name().to_owned(),
        private_key_bits: kind.bits(),
    })
}

/// Describes a root that the operator brought, and refuses one that could not sign for this cluster.
pub(crate) fn given(cluster_id: &str, key: &PrivateKeyPem, pem: &str) -> Result<Root, Error> {
    let what = "root certificate";
    let der = crate::verify::certificates(pem)?;
    let [der] = der.as_slice() else { return Err(Error::Pem { what }) };
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Error::Der { what })?;
    if !certificate.is_ca() {
        return Err(Error::NoAuthority);
    }
    let public = key.pair()?.subject_public_key_info();
    if certificate.public_key().raw != public {
        return Err(Error::KeyMismatch);
    }
    for uri in uris(&certificate).filter_map(|uri| uri.strip_prefix("spiffe://")) {
        if uri != trust_domain(cluster_id) {
            return Err(Error::TrustDomain { got: uri.to_owned(), want: trust_domain(cluster_id) });
        }
    }
    let kind = key.kind()?;
    let time = |at: x509_parser::time::ASN1Time| rfc3339(at.to_datetime().into());
    let serial = certificate.raw_serial().iter().fold(0_u64, |serial, byte| serial << 8 | u64::from(*byte));
    Ok(Root {
        id: colons(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
        name: "Consul CA Root Cert".to_owned(),
        serial_number: serial,
        signing_key_id: colons(digest(&SHA256, &public).as_ref()),
        external_trust_domain: cluster_id.to_owned(),
        not_before: time(certificate.validity().not_before),
        not_after: time(certificate.validity().not_after),
        root_cert: pem.to_owned(),
        private_key_type: kind.name().to_owned(),
        private_key_bits: kind.bits(),
    })
}

fn uris<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.into_iter().flat_map(|names| names.value.general_names.iter()).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}

/// `pri-17y5we3d.consul.ca.14567857.consul`: random, so that two roots of one cluster are told apart by name.
fn root_name(trust_domain: &str) -> String {
    let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(8).collect();
    format!("pri-{}.consul.ca.{}.consul", random.to_ascii_lowercase(), short(trust_domain))
}
