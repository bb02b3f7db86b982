//! Ways to reach a server: TCP, a Unix socket, and TLS over TCP.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where systems keep the certificates they trust, when no `-ca-file` is given.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
pub(crate) type Stream = Box<dyn Io>;

/// How to speak TLS, as the `-ca-file` … flags say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub ca_file: Option<PathBuf>,
    /// The certificates themselves, before any file.
    pub ca_pem: Option<String>,
    pub ca_path: Option<PathBuf>,
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// The name the server's certificate must carry, when it is not the address.
    pub server_name: Option<String>,
    /// `CONSUL_HTTP_SSL_VERIFY=false`
    pub skip_verify: bool,
}

#[derive(Clone)]
pub(crate) enum Target {
    Tcp(String),
    Unix(PathBuf),
    Tls { address: String, name: ServerName<'static>, connector: TlsConnector },
}

impl Target {
    /// `host:port`, `http://…`, `https://…` or `unix://path`; without a scheme `ssl` decides.
    pub(crate) fn parse(text: &str, ssl: bool, tls: &Tls) -> io::Result<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let (rest, secure) = match text.split_once("://") {
            Some(("http", rest)) => (rest, ssl),
            Some(("https", rest)) => (rest, true),
            Some((scheme, _)) => return Err(io::Error::other(format!("Unknown protocol scheme: {scheme}"))),
            None => (text, ssl),
        };
        let address = with_port(rest.trim_end_matches('/'), if secure { 443 } else { 80 });
        if !secure {
            return Ok(Self::Tcp(address));
        }
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let name = tls.server_name.clone().unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
        let name = ServerName::try_from(name).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        Ok(Self::Tls { address, name, connector: TlsConnector::from(Arc::new(tls.config()?)) })
    }

    /// The address for the `Host` header and for people.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Tcp(address) | Self::Tls { address, .. } => address,
            Self::Unix(_) => "localhost",
        }
    }

    /// `Get "http://127.0.0.1:8500/v1/…"`, as Go's client names a request; scripts look for these words.
    pub(crate) fn describe(&self, method: &http::Method, path: &str) -> String {
        let method = method.as_str();
        let scheme = if matches!(self, Self::Tls { .. }) { "https" } else { "http" };
        let verb = format!("{}{}", &method[..1], method[1..].to_ascii_lowercase());
        format!("{verb} \"{scheme}://{}{path}\"", self.address())
    }

    /// `dial tcp 127.0.0.1:8500`, likewise.
    pub(crate) fn dialled(&self) -> String {
        match self {
            Self::Unix(path) => format!("dial unix {}", path.display()),
            _ => format!("dial tcp {}", self.address()),
        }
    }

    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.open())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "i/o timeout"))?
    }

    async fn open(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(address) => Ok(Box::new(tcp(address).await?)),
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Tls { address, name, connector } => {
                Ok(Box::new(connector.connect(name.clone(), tcp(address).await?).await?))
            }
        }
    }
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn with_port(address: &str, port: u16) -> String {
    let after_bracket = address.rsplit_once(']').map_or(address, |(_, rest)| rest);
    if after_bracket.contains(':') { address.to_owned() } else { format!("{address}:{port}") }
}

/// What Go prints for the errors people and scripts meet most.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::NotFound => "connect: no such file or directory".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

impl Tls {
    fn config(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(TakesAny(provider)))
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider)
                .build()
                .map_err(io::Error::other)?;
            builder.with_webpki_verifier(verifier)
        };
        match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|e| about(key, e))?;
                builder.with_client_auth_cert(certificates(cert)?, key).map_err(io::Error::other)
            }
            (None, None) => Ok(builder.with_no_client_auth()),
            _ => Err(io::Error::other("a client certificate and its key must be given together")),
        }
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = &self.ca_pem {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(io::Error::other)?;
                roots.add(certificate).map_err(io::Error::other)?;
            }
            return Ok(roots);
        }
        let files = match (&self.ca_file, &self.ca_path) {
            (Some(file), _) => vec![file.clone()],
            (None, Some(dir)) => std::fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?,
            (None, None) => SYSTEM_BUNDLES.iter().map(PathBuf::from).filter(|p| p.exists()).take(1).collect(),
        };
        for file in files {
            for certificate in certificates(&file)? {
                roots.add(certificate).map_err(|e| about(&file, e))?;
            }
        }
        if roots.is_empty() {
            return Err(io::Error::other("no certificate authority to trust: give -ca-file"));
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file).map_err(|e| about(file, e))?;
    found.collect::<Result<_, _>>().map_err(|e| about(file, e))
}

fn about(file: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", file.display()))
}

/// The verifier of someone who asked for none; the signature itself is still checked.
#[derive(Debug)]
struct TakesAny(Arc<CryptoProvider>);

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_may_carry_a_scheme_and_lack_a_port() {
        for (text, address) in [
            ("127.0.0.1:8500", "127.0.0.1:8500"),
            ("http://consul.example:8500/", "consul.example:8500"),
            ("http://consul.example", "consul.example:80"),
            ("[::1]:8500", "[::1]:8500"),
            ("[::1]", "[::1]:80"),
        ] {
            let target = Target::parse(text, false, &Tls::default()).unwrap();
            assert_eq!(target.address(), address, "{text}");
            assert!(matches!(target, Target::Tcp(_)), "{text}");
        }
        let socket = Target::parse("unix:///run/consul.sock", false, &Tls::default()).unwrap();
        assert_eq!(socket.dialled(), "dial unix /run/consul.sock");
        assert!(Target::parse("ftp://x", false, &Tls::default()).is_err());
    }

    #[test]
    fn https_trusts_nobody_it_was_not_told_to() {
        let missing = Tls { ca_file: Some("/nonexistent/ca.pem".into()), ..Tls::default() };
        let error = Target::parse("https://127.0.0.1:8501", false, &missing).err().unwrap();
        assert!(error.to_string().starts_with("/nonexistent/ca.pem: "), "{error}");
        let any = Tls { skip_verify: true, ..Tls::default() };
        let target = Target::parse("127.0.0.1:8501", true, &any).unwrap();
        assert_eq!(target.describe(&http::Method::GET, "/v1/x"), "Get \"https://127.0.0.1:8501/v1/x\"");
    }
}
