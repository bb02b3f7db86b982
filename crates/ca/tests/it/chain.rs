//! The verifiers that proxies use, in a real handshake.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ca::{Authority, Terms};
use model::SpiffeId;
use rustls_pki_types::{ServerName, UnixTime};

const CLUSTER: &str = "14567857-d632-6012-60e5-f3d062239561";

pub fn verify_as_server(root: &str, leaf: &str) -> Result<(), rustls::Error> {
    at(root, leaf, SystemTime::now())
}

fn at(root: &str, leaf: &str, now: SystemTime) -> Result<(), rustls::Error> {
    let roots = ca::verify::roots([root]).unwrap();
    let chain = ca::verify::certificates(leaf).unwrap();
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let name = ServerName::try_from("anything").unwrap();
    ca::verify::server(roots.clone()).verify_server_cert(&chain[0], &[], &name, &[], now)?;
    ca::verify::client(roots).unwrap().verify_client_cert(&chain[0], &[], now).map(|_| ())
}

fn leaf(authority: &Authority, service: &str) -> (ca::PrivateKeyPem, ca::Leaf) {
    let id = SpiffeId::service(authority.trust_domain(), "dc1", service);
    let (key, csr) = ca::csr::new(&id).unwrap();
    (key, authority.sign(&csr, &Terms::new("dc1", 8), SystemTime::now()).unwrap())
}

#[test]
fn chains_hold_for_their_root_and_their_time_only() {
    let now = SystemTime::now();
    let (ours, other) = (Authority::generate(CLUSTER, now).unwrap(), Authority::generate(CLUSTER, now).unwrap());
    let (_, web) = leaf(&ours, "web");
    verify_as_server(&ours.root().root_cert, &web.cert_pem).unwrap();
    assert!(verify_as_server(&other.root().root_cert, &web.cert_pem).is_err());
    let late = web.valid_before + Duration::from_secs(1);
    assert!(at(&ours.root().root_cert, &web.cert_pem, late).is_err(), "expired");
    let early = web.valid_after - Duration::from_secs(1);
    assert!(at(&ours.root().root_cert, &web.cert_pem, early).is_err(), "not yet valid");
}

#[test]
fn a_handshake_gives_both_sides_the_others_identity() {
    let authority = Authority::generate(CLUSTER, SystemTime::now()).unwrap();
    let ((client_key, client), (server_key, server)) = (leaf(&authority, "web"), leaf(&authority, "db"));
    let roots = ca::verify::roots([authority.root().root_cert.as_str()]).unwrap();
    let chain = |leaf: &ca::Leaf| ca::verify::certificates(&leaf.cert_pem).unwrap();
    let provider = ca::verify::provider();
    let server_config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(ca::verify::client(roots.clone()).unwrap())
        .with_single_cert(chain(&server), server_key.der().unwrap())
        .unwrap();
    let client_config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(ca::verify::server(roots))
        .with_client_auth_cert(chain(&client), client_key.der().unwrap())
        .unwrap();
    let name = ServerName::try_from("db.default.dc1.internal.test").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client_config), name).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(server_config)).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let peer = |certificates: Option<&[rustls_pki_types::CertificateDer<'_>]>| {
        ca::peer_identity(&certificates.unwrap()[0]).unwrap().service
    };
    assert_eq!(peer(server.peer_certificates()), "web");
    assert_eq!(peer(client.peer_certificates()), "db");
}
