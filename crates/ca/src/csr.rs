//! The asking side: a fresh key, and a request for one identity.

use model::SpiffeId;
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};

use crate::{Error, KeyKind, PrivateKeyPem};

/// A new key and a certificate request (PEM) for `identity`. The key never leaves the caller.
pub fn new(identity: &SpiffeId) -> Result<(PrivateKeyPem, String), Error> {
    let what = "making a certificate request";
    let key = PrivateKeyPem::generate(KeyKind::default())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // For people who read the request; the signer chooses the subject itself.
    params.distinguished_name.push(DnType::CommonName, crate::authority::common_name(identity));
    let uri = identity.to_string().try_into().map_err(Error::certificate(what))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let request = params.serialize_request(&key.pair()?).map_err(Error::certificate(what))?;
    let pem = request.pem().map_err(Error::certificate(what))?;
    Ok((key, pem))
}
