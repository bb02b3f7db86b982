//! TLS of the API's own port: from files to rustls, again whenever the configuration is read again.
//!
//! The mesh's certificates have nothing to do with it: they come from the authority and are for services.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::sync::watch;

/// Consul's TLS settings of one port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    pub ca_file: Option<PathBuf>,
    pub ca_path: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// A client must show a certificate of the authorities above.
    pub verify_incoming: bool,
    pub only_tls13: bool,
    /// Go's names, in the order of preference; empty: all that are safe. TLS 1.3 always has its own.
    pub cipher_suites: Vec<String>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{what} {path}: {reason}")]
    File { what: &'static str, path: String, reason: String },
    #[error("verify_incoming is set, and no CA certificate is given: set ca_file or ca_path")]
    NoAuthority,
    #[error("a certificate and its key are needed: set cert_file and key_file")]
    NoCertificate,
    #[error("{0}")]
    Settings(String),
}

/// What TLS listeners serve with now. Clones share it; a handshake takes the latest.
#[derive(Clone)]
pub struct ServerTls(watch::Sender<Arc<ServerConfig>>);

impl ServerTls {
    /// # Errors
    /// A file cannot be read or holds something else, or a setting is missing.
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self(watch::Sender::new(Arc::new(server_config(settings)?))))
    }

    /// Reads the files again. With an error the old certificates stay.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn reload(&self, settings: &TlsSettings) -> Result<(), TlsError> {
        self.0.send_replace(Arc::new(server_config(settings)?));
        Ok(())
    }

    pub(crate) fn now(&self) -> Arc<ServerConfig> {
        self.0.borrow().clone()
    }
}

fn server_config(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider(&settings.cipher_suites)?);
    let failed = |error: rustls::Error| TlsError::Settings(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(settings.only_tls13))
        .map_err(failed)?;
    let builder = if settings.verify_incoming {
        let roots = Arc::new(roots(settings)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| TlsError::Settings(error.to_string()))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) else {
        return Err(TlsError::NoCertificate);
    };
    let chain = certificates("cert_file", cert)?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("key_file", key, error))?;
    let mut config = builder.with_single_cert(chain, key_der).map_err(|error| unreadable("cert_file", cert, error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn versions(only_tls13: bool) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    if only_tls13 { &BOTH[..1] } else { BOTH }
}

/// The suites of Go's names that this provider has. Names of others were judged with the configuration.
fn provider(names: &[String]) -> Result<CryptoProvider, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if names.is_empty() {
        return Ok(provider);
    }
    let all = std::mem::take(&mut provider.cipher_suites);
    let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite());
    let wanted = |suite: &rustls::SupportedCipherSuite| {
        suite.tls13().is_some() || names.iter().any(|wanted| rustls_name(wanted) == name(suite))
    };
    provider.cipher_suites = all.into_iter().filter(wanted).collect();
    if !provider.cipher_suites.iter().any(|suite| suite.tls13().is_none()) {
        let text = format!("tls_cipher_suites: none of {} is supported", names.join(", "));
        return Err(TlsError::Settings(text));
    }
    let rank = |suite: &rustls::SupportedCipherSuite| names.iter().position(|n| rustls_name(n) == name(suite));
    provider.cipher_suites.sort_by_key(rank);
    Ok(provider)
}

/// Go leaves the hash out of the names of the ChaCha20 suites.
fn rustls_name(go: &str) -> String {
    if go.ends_with("CHACHA20_POLY1305") { format!("{go}_SHA256") } else { go.to_owned() }
}

fn roots(settings: &TlsSettings) -> Result<RootCertStore, TlsError> {
    let files = match (&settings.ca_file, &settings.ca_path) {
        (Some(file), _) => vec![file.clone()],
        (None, Some(directory)) => listing(directory)?,
        (None, None) => return Err(TlsError::NoAuthority),
    };
    let mut roots = RootCertStore::empty();
    for file in &files {
        for certificate in certificates("ca_file", file)? {
            roots.add(certificate).map_err(|error| unreadable("ca_file", file, error))?;
        }
    }
    if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
}

fn listing(directory: &Path) -> Result<Vec<PathBuf>, TlsError> {
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable("ca_path", directory, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn certificates(what: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(what, file, error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| unreadable(what, file, error))?;
    if found.is_empty() { Err(unreadable(what, file, "holds no certificate")) } else { Ok(found) }
}

fn unreadable(what: &'static str, path: &Path, reason: impl std::fmt::Display) -> TlsError {
    let reason = format!("{reason}");
    TlsError::File { what, path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_called_as_in_go() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let suites = |list: &[&str]| {
            provider(&names(list)).map(|provider| {
                let tls12 = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none());
                tls12.map(|suite| format!("{:?}", suite.suite())).collect::<Vec<_>>()
            })
        };
        let chacha = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305";
        let aes = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
        assert_eq!(
            suites(&[chacha, aes, "TLS_RSA_WITH_AES_128_GCM_SHA256"]).ok(),
            Some(names(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", aes]))
        );
        assert!(suites(&["TLS_RSA_WITH_AES_128_GCM_SHA256"]).is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let verify = TlsSettings { verify_incoming: true, ..TlsSettings::default() };
        let text = |settings: &TlsSettings| ServerTls::load(settings).err().map(|error| error.to_string());
        assert!(text(&verify).is_some_and(|text| text.contains("ca_file")));
        assert!(text(&TlsSettings::default()).is_some_and(|text| text.contains("key_file")));
    }
}
