//! Who a verified certificate speaks for.

use model::SpiffeId;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::Error;

/// The one SPIFFE id of a certificate (DER). None, or more than one URI, is an error: two names are a way to be let
/// in under the wrong one. Says nothing about the chain: that was checked in the handshake.
pub fn peer_identity(certificate: &[u8]) -> Result<SpiffeId, Error> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| Error::Der { what: "the peer's certificate" })?;
    let uris: Vec<&str> = certificate
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris.as_slice() {
        [uri] => Ok(uri.parse()?),
        others => Err(Error::PeerNames(others.len())),
    }
}
