//! TLS for checks: against the system's roots, or with verification switched off where the check says so.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where the distributions keep the bundle of roots.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Whom a check believes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust<'a> {
    /// Whoever answers is taken for the service.
    pub skip_verify: bool,
    /// The name the certificate must carry; empty: that of the address.
    pub server_name: &'a str,
}

/// `address` is `host` or `host:port`.
pub(super) async fn connect(
    stream: TcpStream,
    address: &str,
    trust: &Trust<'_>,
    alpn: Option<&[u8]>,
) -> Result<TlsStream<TcpStream>, String> {
    let name = if trust.server_name.is_empty() { host(address) } else { trust.server_name };
    let name = ServerName::try_from(name.to_owned()).map_err(|e| format!("tls: {e}"))?;
    let config = config(trust.skip_verify, alpn).map_err(|e| format!("tls: {e}"))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| format!("tls: {e}"))
}

/// `host`, `host:port`, `[::1]` and `[::1]:port` without brackets and port.
fn host(address: &str) -> &str {
    if let Some((bracketed, _)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return bracketed;
    }
    match address.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        _ => address,
    }
}

fn config(skip_verify: bool, alpn: Option<&[u8]>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = if skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))).with_no_client_auth()
    } else {
        builder.with_root_certificates(Arc::clone(system_roots())).with_no_client_auth()
    };
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    Ok(config)
}

/// Read once: a bundle holds more than a hundred certificates, and checks run every few seconds.
fn system_roots() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let files = SYSTEM_ROOTS.iter().filter_map(|path| CertificateDer::pem_file_iter(path).ok());
        if let Some(file) = files.into_iter().next() {
            roots.add_parsable_certificates(file.flatten());
        }
        Arc::new(roots)
    })
}

/// `tls_skip_verify`: whoever answers is taken for the service; the handshake itself is still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_an_address() {
        for (address, expected) in [
            ("h:1", "h"),
            ("h", "h"),
            ("[::1]:443", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("192.0.2.1:1", "192.0.2.1"),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}
