//! OpenSSL reads and verifies what we sign.

use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use ca::{Authority, Terms};
use model::SpiffeId;

const CLUSTER: &str = "14567857-d632-6012-60e5-f3d062239561";

fn openssl(args: &[&str]) -> String {
    let out = Command::new("openssl").args(args).output().expect("openssl is needed for this test");
    assert!(out.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn leaf_verifies_against_root_and_carries_what_consul_puts_there() {
    let now = SystemTime::now();
    let authority = Authority::generate(CLUSTER, now).unwrap();
    let web = SpiffeId::service(authority.trust_domain(), "dc1", "web");
    let (key, csr) = ca::csr::new(&web).unwrap();
    let leaf = authority.sign(&csr, &Terms::new("dc1", 300), now).unwrap();
    assert_eq!(leaf.serial, "01:2c");
    let life = leaf.valid_before.duration_since(leaf.valid_after).unwrap();
    assert_eq!(life, ca::LEAF_TTL);

    let root_file = file("root.pem", &authority.root().root_cert);
    let leaf_file = file("leaf.pem", &leaf.cert_pem);
    openssl(&["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", &root_file, &leaf_file]);
    openssl(&["verify", "-purpose", "sslserver", "-CAfile", &root_file, &leaf_file]);

    let text = openssl(&["x509", "-noout", "-text", "-in", &leaf_file]);
    for expected in [
        "Subject: CN = web.svc.default.14567857.consul",
        "X509v3 Key Usage: critical",
        "Digital Signature, Key Encipherment, Data Encipherment, Key Agreement",
        "TLS Web Client Authentication, TLS Web Server Authentication",
        "CA:FALSE",
        &format!("URI:spiffe://{CLUSTER}.consul/ns/default/dc/dc1/svc/web\n"),
        &authority.root().signing_key_id.to_uppercase(),
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }

    let text = openssl(&["x509", "-noout", "-text", "-in", &root_file]);
    for expected in [
        "CA:TRUE\n",
        "Digital Signature, Certificate Sign, CRL Sign",
        ".consul.ca.14567857.consul",
        &format!("URI:spiffe://{CLUSTER}.consul\n"),
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let print = openssl(&["x509", "-noout", "-fingerprint", "-sha1", "-in", &root_file]);
    let id = print.trim().rsplit('=').next().unwrap().to_lowercase();
    assert_eq!(id, authority.root().id);

    let key_file = file("key.pem", key.expose());
    let public = openssl(&["ec", "-in", &key_file, "-pubout"]);
    assert_eq!(public, openssl(&["x509", "-noout", "-pubkey", "-in", &leaf_file]), "the leaf is for the asker's key");
}

#[test]
fn a_request_made_by_openssl_is_signed() {
    let now = SystemTime::now();
    let authority = Authority::generate(CLUSTER, now).unwrap();
    let san = format!("subjectAltName=URI:spiffe://{CLUSTER}.consul/ns/default/dc/dc1/svc/api");
    let csr = openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "/dev/null",
        "-subj",
        "/CN=evil",
        "-addext",
        &san,
    ]);
    let leaf = authority.sign(&csr, &Terms::new("dc1", 9), now).unwrap();
    assert_eq!(leaf.service, "api");
    let text = openssl(&["x509", "-noout", "-subject", "-in", &file("api.pem", &leaf.cert_pem)]);
    assert!(text.contains("api.svc.default") && !text.contains("evil"), "{text}");
    let weak = openssl(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:secp384r1",
        "-sha256",
        "-nodes",
        "-keyout",
        "/dev/null",
        "-subj",
        "/",
        "-addext",
        &san,
    ]);
    assert!(authority.sign(&weak, &Terms::new("dc1", 10), now).is_err(), "a curve under another's name");
}

#[test]
fn a_leaf_of_the_next_root_verifies_under_the_last_one_with_its_intermediate() {
    let now = SystemTime::now();
    let old = Authority::generate(CLUSTER, now).unwrap();
    for kind in [ca::KeyKind::Ec256, ca::KeyKind::Ec384, ca::KeyKind::Rsa2048] {
        let key = ca::PrivateKeyPem::generate(kind).unwrap();
        let new = Authority::with_key(CLUSTER, &key, now).unwrap();
        let bridge = old.cross_sign(&new, 9, now).unwrap();
        let web = SpiffeId::service(new.trust_domain(), "dc1", "web");
        let leaf = new.sign(&ca::csr::new(&web).unwrap().1, &Terms::new("dc1", 10), now).unwrap();
        let name = |part: &str| format!("{}-{}-{part}.pem", kind.name(), kind.bits());
        let (old_file, new_file) =
            (file(&name("old"), &old.root().root_cert), file(&name("new"), &new.root().root_cert));
        let (bridge_file, leaf_file) = (file(&name("bridge"), &bridge), file(&name("leaf"), &leaf.cert_pem));
        openssl(&["verify", "-x509_strict", "-CAfile", &new_file, &leaf_file]);
        openssl(&["verify", "-CAfile", &old_file, "-untrusted", &bridge_file, &leaf_file]);
        let alone = Command::new("openssl").args(["verify", "-CAfile", &old_file, &leaf_file]).output().unwrap();
        assert!(!alone.status.success(), "without the bridge nobody vouches for the leaf");
        // The operator's own root is the same root.
        let own = Authority::with_root(CLUSTER, &key, &new.root().root_cert).unwrap();
        assert_eq!((&own.root().id, own.root().serial_number), (&new.root().id, new.root().serial_number));
        assert!(Authority::with_root("another", &key, &new.root().root_cert).is_err());
        assert!(Authority::with_root(CLUSTER, old.key(), &new.root().root_cert).is_err());
    }
}
