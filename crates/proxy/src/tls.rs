//! Mutual TLS between sidecars. The verifiers (crate `ca`) judge the chain inside the handshake; *who* the peer is, is
//! read from its certificate after every handshake, because on a resumed session rustls calls no verifier.

use std::sync::Arc;

use model::SpiffeId;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, CommonState, HandshakeKind, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use telemetry::ListenerCounters;

use crate::Error;
use crate::limits::SESSIONS_PER_HOST;

pub(crate) const H1: &[u8] = b"http/1.1";
pub(crate) const H2: &[u8] = b"h2";

/// A leaf, its key and the roots, ready for use. Replaced whole when any of them changes; connections made with an
/// older one live on.
pub(crate) struct Material {
    /// Counts up with every change: the "CA generation" that pools and session stores belong to.
    pub generation: u64,
    /// For HTTP listeners (ALPN) and for TCP listeners (none).
    pub http_server: Arc<ServerConfig>,
    pub tcp_server: Arc<ServerConfig>,
    client: ClientConfig,
}

impl Material {
    pub fn new(
        generation: u64,
        certificates: &str,
        key: PrivateKeyDer<'static>,
        roots: &[String],
    ) -> Result<Self, Error> {
        let provider = ca::verify::provider();
        let roots = ca::verify::roots(roots.iter().map(String::as_str))?;
        let chain = ca::verify::certificates(certificates)?;
        let leaf = Arc::new(SingleCertAndKey::from(CertifiedKey::from_der(chain, key, &provider)?));
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(ca::verify::client(roots.clone())?)
            .with_cert_resolver(leaf.clone());
        // Tickets only, made by a key of this generation: nothing issued before a rotation resumes after it, and every
        // worker understands every other's.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.ticketer = Ticketer::new()?;
        let tcp_server = Arc::new(server.clone());
        server.alpn_protocols = vec![H2.to_vec(), H1.to_vec()];
        Ok(Self { generation, http_server: Arc::new(server), tcp_server, client: client(provider, roots, leaf)? })
    }

    /// A client configuration with a session store of its own: one per host and expected identity.
    pub fn client(&self, alpn: Option<&[u8]>) -> Arc<ClientConfig> {
        let mut config = self.client.clone();
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        config.resumption = Resumption::in_memory_sessions(SESSIONS_PER_HOST);
        Arc::new(config)
    }
}

fn client(
    provider: Arc<CryptoProvider>,
    roots: Arc<rustls::RootCertStore>,
    leaf: Arc<SingleCertAndKey>,
) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(ca::verify::server(roots))
        .with_client_cert_resolver(leaf))
}

/// Who is at the other end. To be called after every handshake.
pub(crate) fn peer(session: &CommonState) -> Result<SpiffeId, ca::Error> {
    match session.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => ca::peer_identity(certificate),
        None => Err(ca::Error::PeerNames(0)),
    }
}

pub(crate) fn resumed(session: &CommonState) -> bool {
    session.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// The name sent in the handshake. It routes, it proves nothing: an unusable one is left out.
pub(crate) fn server_name(sni: &str) -> ServerName<'static> {
    let nameless = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
    ServerName::try_from(sni.to_owned()).unwrap_or(nameless)
}

/// Sorts a failed inbound handshake into Envoy's counters.
pub(crate) fn count_failure(counters: &ListenerCounters, error: &std::io::Error) {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::NoCertificatesPresented) => counters.ssl_fail_verify_no_cert.inc(),
        Some(rustls::Error::InvalidCertificate(_)) => counters.ssl_fail_verify_error.inc(),
        _ => counters.ssl_connection_error.inc(),
    }
}
