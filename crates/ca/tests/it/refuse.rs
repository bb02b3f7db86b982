//! What the authority must not sign, and what must not make it fall over.

use std::time::{Duration, SystemTime};

use ca::{Authority, Error, Terms};
use model::SpiffeId;
use proptest::prelude::*;

const CLUSTER: &str = "14567857-d632-6012-60e5-f3d062239561";

#[test]
fn only_a_service_of_this_trust_domain_and_datacenter_is_signed() {
    let now = SystemTime::now();
    let authority = Authority::generate(CLUSTER, now).unwrap();
    let sign = |id: &SpiffeId| authority.sign(&ca::csr::new(id).unwrap().1, &Terms::new("dc1", 8), now);
    let web = SpiffeId::service(authority.trust_domain(), "dc1", "web");
    assert!(sign(&web).is_ok());
    let other = SpiffeId { trust_domain: "22222222.consul".to_owned(), ..web.clone() };
    assert!(matches!(sign(&other), Err(Error::TrustDomain { .. })));
    let other = SpiffeId { datacenter: "dc2".to_owned(), ..web.clone() };
    assert!(matches!(sign(&other), Err(Error::Datacenter { .. })));
    let other = SpiffeId { namespace: "blue".to_owned(), ..web.clone() };
    assert!(matches!(sign(&other), Err(Error::Namespace(_))));

    let (_, csr) = ca::csr::new(&web).unwrap();
    let hour = Terms { ttl: Duration::from_secs(60), ..Terms::new("dc1", 8) };
    assert!(matches!(authority.sign(&csr, &hour, now), Err(Error::TtlTooShort)));
}

#[test]
fn a_request_with_no_name_or_two_is_refused() {
    let now = SystemTime::now();
    let authority = Authority::generate(CLUSTER, now).unwrap();
    let uri = SpiffeId::service(authority.trust_domain(), "dc1", "web").to_string();
    let san = |uri: &str| rcgen::SanType::URI(uri.to_owned().try_into().unwrap());
    let dns = rcgen::SanType::DnsName("web.example".to_owned().try_into().unwrap());
    for names in [vec![], vec![san(&uri), san(&uri.replace("web", "db"))], vec![san(&uri), dns.clone()], vec![dns]] {
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = names;
        let csr = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let answer = authority.sign(&csr, &Terms::new("dc1", 8), now);
        assert!(matches!(answer, Err(Error::Names(_))), "{answer:?}");
    }
}

#[test]
fn a_request_that_asks_to_be_an_authority_gets_a_leaf() {
    let now = SystemTime::now();
    let authority = Authority::generate(CLUSTER, now).unwrap();
    let uri = SpiffeId::service(authority.trust_domain(), "dc1", "web").to_string();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let pair = rcgen::KeyPair::generate().unwrap();
    let csr = params.serialize_request(&pair).unwrap().pem().unwrap();
    // Either refusal or a plain leaf is right; an authority would not be.
    if let Ok(leaf) = authority.sign(&csr, &Terms::new("dc1", 8), now) {
        let der = ca::verify::certificates(&leaf.cert_pem).unwrap().remove(0);
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(!parsed.is_ca());
        assert!(!parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
    }
}

#[test]
fn a_stored_authority_signs_under_the_same_root_and_only_with_its_own_key() {
    let now = SystemTime::now();
    let authority = Authority::generate(CLUSTER, now).unwrap();
    let back = Authority::from_stored(authority.root(), authority.key()).unwrap();
    let web = SpiffeId::service(back.trust_domain(), "dc1", "web");
    let leaf = back.sign(&ca::csr::new(&web).unwrap().1, &Terms::new("dc1", 8), now).unwrap();
    crate::chain::verify_as_server(&authority.root().root_cert, &leaf.cert_pem).unwrap();
    let other = Authority::generate(CLUSTER, now).unwrap();
    assert!(matches!(Authority::from_stored(authority.root(), other.key()), Err(Error::KeyMismatch)));
    assert!(!format!("{authority:?}").contains("PRIVATE"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn garbage_is_an_error_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        at in 0_usize..2000,
    ) {
        static AUTHORITY: std::sync::OnceLock<(Authority, String)> = std::sync::OnceLock::new();
        let (authority, good) = AUTHORITY.get_or_init(|| {
            let authority = Authority::generate(CLUSTER, SystemTime::now()).unwrap();
            let web = SpiffeId::service(authority.trust_domain(), "dc1", "web");
            let csr = ca::csr::new(&web).unwrap().1;
            (authority, csr)
        });
        let text = String::from_utf8_lossy(&bytes);
        let terms = Terms::new("dc1", 8);
        prop_assert!(authority.sign(&text, &terms, SystemTime::now()).is_err());
        let mut broken = good.clone().into_bytes();
        let at = at % broken.len();
        broken[at] = broken[at].wrapping_add(1);
        // A changed byte may fall on a line's end or the armour; what must hold is that nothing panics.
        let _ = authority.sign(&String::from_utf8_lossy(&broken), &terms, SystemTime::now());
        prop_assert!(ca::peer_identity(&bytes).is_err());
        prop_assert!(ca::verify::roots([text.as_ref()]).is_err());
    }
}
