//! The signer: one root, and the rules by which it signs.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use model::SpiffeId;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::renew::seconds;
use crate::root::{self, Root};
use crate::{Error, KeyKind, PrivateKeyPem};

/// How long a leaf lives unless the CA's configuration says otherwise, and the limits Consul sets to that.
pub const LEAF_TTL: Duration = Duration::from_secs(72 * 3600);
pub const MIN_LEAF_TTL: Duration = Duration::from_secs(3600);
pub const MAX_LEAF_TTL: Duration = Duration::from_secs(8760 * 3600);
/// How long a root is vouched for by the one before it; leaves under it need that only until everybody knows it.
const CROSS_SIGNED_FOR: Duration = Duration::from_secs(7 * 86400);
/// A leaf is valid from a little before it was signed: the clock of the machine that uses it may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// X.520's upper bound of a common name.
const COMMON_NAME_LIMIT: usize = 64;
/// A larger request is not a request for a leaf.
const CSR_LIMIT_BYTES: usize = 16 << 10;

/// What the caller decides about a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The only datacenter this authority signs for.
    pub datacenter: String,
    /// From the caller's counter; never twice.
    pub serial: u64,
    pub ttl: Duration,
}

impl Terms {
    pub fn new(datacenter: &str, serial: u64) -> Self {
        Self { datacenter: datacenter.to_owned(), serial, ttl: LEAF_TTL }
    }
}

/// A signed leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Hex bytes with colons, `01:2c`.
    pub serial: String,
    pub cert_pem: String,
    pub service: String,
    pub uri: SpiffeId,
    pub valid_after: SystemTime,
    pub valid_before: SystemTime,
}

/// A root and its key.
pub struct Authority {
    root: Root,
    trust_domain: String,
    key: PrivateKeyPem,
    issuer: Issuer<'static, KeyPair>,
}

/// `<cluster id>.consul`
pub fn trust_domain(cluster_id: &str) -> String {
    format!("{cluster_id}.consul")
}

impl Authority {
    /// A new root for the cluster, valid for ten years from `now`, with a new key.
    pub fn generate(cluster_id: &str, now: SystemTime) -> Result<Self, Error> {
        Self::with_key(cluster_id, &PrivateKeyPem::generate(KeyKind::default())?, now)
    }

    /// A new root for the cluster, valid for ten years from `now`.
    pub fn with_key(cluster_id: &str, key: &PrivateKeyPem, now: SystemTime) -> Result<Self, Error> {
        Self::from_stored(&root::make(cluster_id, key, now)?, key)
    }

    /// The operator's own root (PEM).
    pub fn with_root(cluster_id: &str, key: &PrivateKeyPem, root: &str) -> Result<Self, Error> {
        Self::from_stored(&root::given(cluster_id, key, root)?, key)
    }

    /// The authority that [`root`](Self::root) and [`key`](Self::key) once described.
    pub fn from_stored(root: &Root, key: &PrivateKeyPem) -> Result<Self, Error> {
        let pair = key.pair()?;
        if colons(digest(&SHA256, &pair.subject_public_key_info()).as_ref()) != root.signing_key_id {
            return Err(Error::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_pem(&root.root_cert, pair)
            .map_err(Error::certificate("reading the stored root certificate"))?;
        let trust_domain = trust_domain(&root.external_trust_domain);
        Ok(Self { root: root.clone(), trust_domain, key: key.clone(), issuer })
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    /// `<cluster id>.consul`
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// For the store, which keeps it beside the root.
    pub fn key(&self) -> &PrivateKeyPem {
        &self.key
    }

    /// Vouches for the root that comes after this one: its key and name in a certificate (PEM) of this root's, so that
    /// leaves of the new root are believed by those who know only this one.
    pub fn cross_sign(&self, next: &Self, serial: u64, now: SystemTime) -> Result<String, Error> {
        let what = "cross-signing the new root certificate";
        let certificate = crate::verify::certificates(&next.root.root_cert)?;
        let (_, certificate) = certificate
            .first()
            .and_then(|der| X509Certificate::from_der(der).ok())
            .ok_or(Error::Der { what: "root certificate" })?;
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let pair = next.key.pair()?;
        let key_id = digest(&SHA256, &pair.subject_public_key_info());
        let mut params = root::params(&next.root.external_trust_domain, key_id.as_ref())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.unwrap_or_default());
        params.not_before = seconds(now - CLOCK_SKEW);
        params.not_after = params.not_before + CROSS_SIGNED_FOR;
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&pair, &self.issuer).map_err(Error::certificate(what))?;
        Ok(certificate.pem())
    }

    /// Signs a request (PEM) for one service of this trust domain and datacenter, and refuses every other.
    pub fn sign(&self, csr_pem: &str, terms: &Terms, now: SystemTime) -> Result<Leaf, Error> {
        let ttl = check_ttl(terms.ttl)?;
        if csr_pem.len() > CSR_LIMIT_BYTES {
            return Err(Error::Pem { what: "certificate request" });
        }
        let request = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(Error::certificate("reading the certificate request"))?;
        let uri = self.requested(&request, &terms.datacenter)?;
        check_public_key(&request)?;
        let what = "signing the leaf certificate";
        let mut params = CertificateParams::default();
        params.not_before = seconds(now - CLOCK_SKEW);
        params.not_after = params.not_before + ttl;
        params.serial_number = Some(SerialNumber::from(terms.serial));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name(&uri));
        params.subject_alt_names = vec![SanType::URI(uri.to_string().try_into().map_err(Error::certificate(what))?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::DataEncipherment,
            KeyUsagePurpose::KeyAgreement,
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key_id = digest(&SHA256, &request.public_key.subject_public_key_info());
        params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.as_ref().to_vec());
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(Error::certificate(what))?;
        Ok(Leaf {
            serial: serial_text(terms.serial),
            cert_pem: certificate.pem(),
            service: uri.service.clone(),
            uri,
            valid_after: params.not_before.into(),
            valid_before: params.not_after.into(),
        })
    }

    /// The one identity a request may ask for.
    fn requested(&self, request: &CertificateSigningRequestParams, datacenter: &str) -> Result<SpiffeId, Error> {
        let uri: SpiffeId = match request.params.subject_alt_names.as_slice() {
            [SanType::URI(uri)] => uri.as_str().parse()?,
            [_] => return Err(Error::Names("a name of another kind".to_owned())),
            others => return Err(Error::Names(format!("{} names", others.len()))),
        };
        if uri.trust_domain != self.trust_domain {
            return Err(Error::TrustDomain { got: uri.trust_domain, want: self.trust_domain.clone() });
        }
        if uri.datacenter != datacenter {
            return Err(Error::Datacenter { got: uri.datacenter, want: datacenter.to_owned() });
        }
        if uri.namespace != "default" {
            return Err(Error::Namespace(uri.namespace));
        }
        Ok(uri)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("root", &self.root.id).field("trust_domain", &self.trust_domain).finish()
    }
}

fn check_ttl(ttl: Duration) -> Result<Duration, Error> {
    match ttl {
        short if short < MIN_LEAF_TTL => Err(Error::TtlTooShort),
        long if long > MAX_LEAF_TTL => Err(Error::TtlTooLong),
        ttl => Ok(ttl),
    }
}

/// The algorithm is read from the request's *signature*, so a curve it does not fit would be written under the wrong
/// name: only keys whose size says what they are are taken.
fn check_public_key(request: &CertificateSigningRequestParams) -> Result<(), Error> {
    const UNCOMPRESSED_P256: usize = 65;
    let key = &request.public_key;
    let p256 = *key.algorithm() == rcgen::PKCS_ECDSA_P256_SHA256 && key.der_bytes().len() == UNCOMPRESSED_P256;
    let rsa = *key.algorithm() == rcgen::PKCS_RSA_SHA256;
    if p256 || rsa { Ok(()) } else { Err(Error::PublicKey) }
}

/// `web.svc.default.14567857.consul`, the service cut so that the whole is not too long for X.520.
pub(crate) fn common_name(id: &SpiffeId) -> String {
    let suffix = format!(".svc.{}.{}.consul", id.namespace, short(&id.trust_domain));
    let room = COMMON_NAME_LIMIT.saturating_sub(suffix.len());
    let cut = id.service.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last();
    format!("{}{suffix}", &id.service[..cut.unwrap_or(0)])
}

pub(crate) fn short(trust_domain: &str) -> &str {
    trust_domain.get(..8).unwrap_or(trust_domain)
}

fn serial_text(serial: u64) -> String {
    let bytes = serial.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    colons(&bytes[first..])
}

pub(crate) fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_hex_bytes_with_colons() {
        for (serial, text) in [(0, "00"), (8, "08"), (255, "ff"), (300, "01:2c"), (0x01_00_00, "01:00:00")] {
            assert_eq!(serial_text(serial), text);
        }
    }

    #[test]
    fn common_names_are_cut_at_64_and_never_inside_a_character() {
        let name = |service: &str| common_name(&SpiffeId::service("14567857-d632.consul", "dc1", service));
        assert_eq!(name("web"), "web.svc.default.14567857.consul");
        assert_eq!(name(&"x".repeat(80)).len(), 64);
        assert!(name(&"é".repeat(40)).len() <= 64);
    }

    #[test]
    fn ttl_limits_speak_as_consul_does() {
        let error = check_ttl(Duration::from_secs(1)).map_err(|e| e.to_string());
        assert_eq!(error, Err("leaf cert TTL must be greater or equal than 1h0m0s".to_owned()));
        assert!(check_ttl(MAX_LEAF_TTL).is_ok() && check_ttl(MAX_LEAF_TTL * 2).is_err());
    }
}
