//! Tokens signed by real keys, and others: nobody gets in who should not.
#![allow(clippy::unwrap_used)]

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use model::acl::AuthMethod;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{Error, Method, Proven};

const NOW: i64 = 1_700_000_000;

/// Signs what it is given.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

struct Signer {
    algorithm: &'static str,
    pem: String,
    sign: Sign,
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn signers() -> Vec<Signer> {
    let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let mut all = Vec::new();
    let key = rsa();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem_of_rsa = pem(der.as_ref());
    let sign: Sign = Box::new(move |message| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    });
    all.push(Signer { algorithm: "RS256", pem: pem_of_rsa, sign });
    let key = rsa();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem_of_rsa = pem(der.as_ref());
    let sign: Sign = Box::new(move |message| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    });
    all.push(Signer { algorithm: "PS256", pem: pem_of_rsa, sign });
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem_of_ec = pem(der.as_ref());
    let sign: Sign = Box::new(move |message| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec());
    all.push(Signer { algorithm: "ES256", pem: pem_of_ec, sign });
    let key = Ed25519KeyPair::generate().unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem_of_ed = pem(der.as_ref());
    all.push(Signer {
        algorithm: "EdDSA",
        pem: pem_of_ed,
        sign: Box::new(move |message| key.sign(message).as_ref().to_vec()),
    });
    all
}

impl Signer {
    fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm, "kid": "k" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode((self.sign)(message.as_bytes())))
    }
}

fn claims() -> Value {
    json!({ "iss": "me", "aud": "consul", "sub": "web", "iat": NOW, "groups": ["a", "b"] })
}

fn method(more: &Value) -> Result<Method, Error> {
    let mut config = json!({
        "BoundIssuer": "me",
        "BoundAudiences": ["consul"],
        "ClaimMappings": { "sub": "name" },
        "ListClaimMappings": { "groups": "groups" },
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config = config.as_object().unwrap().clone();
    Method::new(&AuthMethod { kind: "jwt".to_owned(), config, ..AuthMethod::default() })
}

fn proven() -> Value {
    json!({ "value": { "name": "web" }, "list": { "groups": ["a", "b"] } })
}

#[tokio::test]
async fn a_token_of_the_key_is_believed_and_no_other() {
    let signers = signers();
    for signer in &signers {
        let method = method(&json!({ "JWTValidationPubKeys": [signer.pem] })).unwrap();
        let token = signer.token(&claims());
        let Proven { selectable, variables } = method.login(&token, NOW).await.unwrap();
        assert_eq!((selectable, variables["value.name"].as_str()), (proven(), "web"), "{}", signer.algorithm);
        for other in signers.iter().filter(|other| other.algorithm != signer.algorithm) {
            assert!(matches!(method.login(&other.token(&claims()), NOW).await, Err(Error::Signature)));
        }
        // Not one changed letter is forgiven.
        for at in (0..token.len()).step_by(7) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(method.login(&changed, NOW).await.is_err(), "{}: letter {at}", signer.algorithm);
        }
    }
}

#[tokio::test]
async fn what_is_not_signed_by_a_key_is_refused() {
    let signer = &signers()[2];
    let method = method(&json!({ "JWTValidationPubKeys": [signer.pem] })).unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "HS256", "", "ES384"] {
        let token = format!("{}.{}.{}", part(&json!({ "alg": algorithm })), part(&claims()), "AAAA");
        assert!(matches!(method.login(&token, NOW).await, Err(Error::Signature)), "{algorithm}");
    }
    let critical = json!({ "alg": "ES256", "crit": ["exp"] });
    let message = format!("{}.{}", part(&critical), part(&claims()));
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode((signer.sign)(message.as_bytes())));
    assert!(matches!(method.login(&token, NOW).await, Err(Error::Signature)));
    for nonsense in ["x", "a.b", "..", "a.b.c.d", "é.é.é"] {
        assert!(method.login(nonsense, NOW).await.is_err(), "{nonsense}");
    }
    assert!(matches!(method.login("", NOW).await, Err(Error::NoToken)));
    assert!(method.login(&"a".repeat(1 << 20), NOW).await.is_err());
    let late = signer.token(&json!({ "iss": "me", "aud": "consul", "exp": NOW - 1000 }));
    assert!(matches!(method.login(&late, NOW).await, Err(Error::Claims(_))));
}

#[tokio::test]
async fn keys_can_be_fetched_and_are_fetched_again_when_they_change() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref().to_vec();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let set = json!({ "keys": [
        { "kty": "oct", "k": "AA" },
        { "kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "x": part(&point[1..33]), "y": part(&point[33..]) },
    ]});
    let url = serve(vec![("/keys", set)]).await;
    let method = method(&json!({ "JWKSURL": format!("{url}/keys") })).unwrap();
    method.check().await.unwrap();
    let sign: Sign = Box::new(move |message| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec());
    let signer = Signer { algorithm: "ES256", pem: String::new(), sign };
    assert_eq!(method.login(&signer.token(&claims()), NOW).await.unwrap().selectable, proven());
    let nowhere = self::method(&json!({ "JWKSURL": "http://127.0.0.1:1/keys" })).unwrap();
    assert!(matches!(nowhere.check().await, Err(Error::Config(_))));
}

#[tokio::test]
async fn kubernetes_is_asked_who_a_service_account_is() {
    let review = json!({ "status": { "authenticated": true,
        "user": { "username": "system:serviceaccount:default:web", "uid": "u" } } });
    let account = json!({ "metadata": { "annotations": { "consul.hashicorp.com/service-name": "shop" } } });
    let url = serve(vec![
        ("/apis/authentication.k8s.io/v1/tokenreviews", review),
        ("/api/v1/namespaces/default/serviceaccounts/web", account),
    ])
    .await;
    let signer = &signers()[2];
    let jwt = signer.token(&claims());
    let with = |host: &str| {
        let config = json!({ "Host": host, "CACert": signer.pem, "ServiceAccountJWT": jwt });
        let config = config.as_object().unwrap().clone();
        Method::new(&AuthMethod { kind: "kubernetes".to_owned(), config, ..AuthMethod::default() }).unwrap()
    };
    let proven = with(&url).login(&jwt, NOW).await.unwrap();
    assert_eq!(proven.variables["serviceaccount.name"], "shop");
    assert_eq!(proven.selectable["serviceaccount"]["namespace"], "default");
    assert!(with(&url).login("x", NOW).await.is_err());
    let refusing = json!({ "status": { "authenticated": false } });
    let url = serve(vec![("/apis/authentication.k8s.io/v1/tokenreviews", refusing)]).await;
    let error = with(&url).login(&jwt, NOW).await.unwrap_err().to_string();
    assert_eq!(error, "lookup failed: service account jwt not valid");
}

/// A server with these answers; 404 for everything else.
async fn serve(answers: Vec<(&'static str, Value)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 16 << 10];
            let length = stream.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(known, _)| *known == path);
            let (status, body) =
                found.map_or(("404 Not Found", String::new()), |(_, body)| ("200 OK", body.to_string()));
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}")
}
