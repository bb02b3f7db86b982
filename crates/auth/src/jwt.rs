//! Logging in with a JWT whose signer is known by its keys, by where its keys are, or by where that is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::OpaqueMap;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::Proven;
use crate::claims::{Claims, Expected, Mappings};
use crate::config::Config;
use crate::error::Error;
use crate::jws::{ALGORITHMS, Key, Signed};
use crate::{keys, remote};

const KEYS: [&str; 13] = [
    "JWTSupportedAlgs",
    "BoundAudiences",
    "BoundIssuer",
    "ClaimMappings",
    "ListClaimMappings",
    "OIDCDiscoveryURL",
    "OIDCDiscoveryCACert",
    "JWKSURL",
    "JWKSCACert",
    "JWTValidationPubKeys",
    "ExpirationLeeway",
    "NotBeforeLeeway",
    "ClockSkewLeeway",
];
const DEFAULT_LEEWAY: Duration = Duration::from_secs(150);
const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// Keys are fetched again for a signature that none verifies, but not more often: anybody can send one.
const SHORTEST_REFETCH: Duration = Duration::from_secs(5);

enum Source {
    Keys(Vec<Key>),
    Set { url: String, ca_pem: String },
    Discovery { url: String, ca_pem: String },
}

/// Keys that were fetched, and when.
type Fetched = Option<(Instant, Arc<Vec<Key>>)>;

pub struct Jwt {
    source: Source,
    /// Empty: all.
    algorithms: Vec<String>,
    expected: Expected,
    mappings: Mappings,
    fetched: Mutex<Fetched>,
}

impl Jwt {
    pub(crate) fn new(map: &OpaqueMap) -> Result<Self, Error> {
        let config = Config::new(map, &KEYS)?;
        let mut algorithms = config.texts("JWTSupportedAlgs")?;
        if let Some(unknown) = algorithms.iter().find(|name| !ALGORITHMS.contains(&name.as_str())) {
            return Err(Error::Config(format!("Invalid supported algorithm: {unknown}")));
        }
        let source = source(&config)?;
        if algorithms.is_empty() && matches!(source, Source::Discovery { .. }) {
            algorithms.push("RS256".to_owned());
        }
        let expected = Expected {
            issuer: config.text("BoundIssuer")?,
            audiences: config.texts("BoundAudiences")?,
            expiration_leeway: config.leeway("ExpirationLeeway", DEFAULT_LEEWAY)?,
            not_before_leeway: config.leeway("NotBeforeLeeway", DEFAULT_LEEWAY)?,
            clock_skew: config.leeway("ClockSkewLeeway", DEFAULT_SKEW)?,
        };
        let mappings =
            Mappings { values: mappings(&config, "ClaimMappings")?, lists: mappings(&config, "ListClaimMappings")? };
        Ok(Self { source, algorithms, expected, mappings, fetched: Mutex::default() })
    }

    pub(crate) async fn check(&self) -> Result<(), Error> {
        match &self.source {
            Source::Keys(_) => Ok(()),
            Source::Set { .. } => self.fetch().await.map(|_| ()).map_err(|why| {
                Error::Config(format!("error checking JWKSURL: fetching keys oidc: get keys failed {why}"))
            }),
            Source::Discovery { .. } => {
                let failed = |why| Error::Config(format!("error checking OIDCDiscoveryURL: {why}"));
                self.fetch().await.map(|_| ()).map_err(failed)
            }
        }
    }

    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        self.mappings.variables()
    }

    pub(crate) async fn login(&self, bearer: &str, now: i64) -> Result<Proven, Error> {
        if bearer.is_empty() {
            return Err(Error::NoToken);
        }
        let signed = Signed::parse(bearer)?;
        if !self.algorithms.is_empty() && !self.algorithms.iter().any(|name| name == signed.algorithm()) {
            return Err(Error::Signature);
        }
        let claims = self.verified(&signed).await?;
        self.expected.check(&claims, now)?;
        self.mappings.apply(claims)
    }

    async fn verified(&self, signed: &Signed<'_>) -> Result<Claims, Error> {
        if let Source::Keys(keys) = &self.source {
            return signed.verified_by(keys);
        }
        let mut fetched = self.fetched.lock().await;
        if let Some((at, keys)) = &*fetched {
            let claims = signed.verified_by(keys.iter());
            if claims.is_ok() || at.elapsed() < SHORTEST_REFETCH {
                return claims;
            }
        }
        let keys = Arc::new(self.fetch().await.map_err(Error::Keys)?);
        *fetched = Some((Instant::now(), keys.clone()));
        drop(fetched);
        signed.verified_by(keys.iter())
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        match &self.source {
            Source::Keys(keys) => Ok(keys.clone()),
            Source::Set { url, ca_pem } => keys::from_set(&remote::get(url, ca_pem).await?),
            Source::Discovery { url, ca_pem } => {
                let told = format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'));
                let body = remote::get(&told, ca_pem).await?;
                let provider: Provider = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                if provider.issuer != *url {
                    let issuer = &provider.issuer;
                    return Err(format!(
                        "oidc: issuer did not match the issuer returned by provider, expected {url:?} got {issuer:?}"
                    ));
                }
                keys::from_set(&remote::get(&provider.jwks_uri, ca_pem).await?)
            }
        }
    }
}

/// OpenID Connect Discovery, as far as it is needed.
#[derive(Deserialize)]
struct Provider {
    issuer: String,
    jwks_uri: String,
}

fn source(config: &Config<'_>) -> Result<Source, Error> {
    let refused = |text: String| Err(Error::Config(text));
    let (set, discovery) = (config.text("JWKSURL")?, config.text("OIDCDiscoveryURL")?);
    let given = config.texts("JWTValidationPubKeys")?;
    if [!given.is_empty(), !set.is_empty(), !discovery.is_empty()].into_iter().filter(|is| *is).count() != 1 {
        let names = "'JWTValidationPubKeys', 'JWKSURL', or 'OIDCDiscoveryURL'";
        return refused(format!("exactly one of {names} must be set for type \"jwt\""));
    }
    for (ca, url, is_set) in
        [("JWKSCACert", "JWKSURL", !set.is_empty()), ("OIDCDiscoveryCACert", "OIDCDiscoveryURL", !discovery.is_empty())]
    {
        let pem = config.text(ca)?;
        if !pem.is_empty() && !is_set {
            return refused(format!("'{ca}' should not be set unless '{url}' is set"));
        }
        if !pem.is_empty() && keys::from_pem(&pem).is_none() {
            return refused(format!("error checking {ca}: could not parse CA PEM value successfully"));
        }
    }
    if !set.is_empty() {
        return Ok(Source::Set { url: set, ca_pem: config.text("JWKSCACert")? });
    }
    if !discovery.is_empty() {
        return Ok(Source::Discovery { url: discovery, ca_pem: config.text("OIDCDiscoveryCACert")? });
    }
    let read = |(at, pem): (usize, &String)| {
        keys::from_pem(pem).ok_or_else(|| {
            let why = "data does not contain any valid RSA, ECDSA, or ED25519 public keys";
            Error::Config(format!("error parsing public key JWTValidationPubKeys[{at}]: {why}"))
        })
    };
    given.iter().enumerate().map(read).collect::<Result<_, _>>().map(Source::Keys)
}

fn mappings(config: &Config<'_>, name: &str) -> Result<BTreeMap<String, String>, Error> {
    let mappings = config.map(name)?;
    let mut seen = BTreeSet::new();
    match mappings.values().find(|target| !seen.insert(target.as_str())) {
        Some(twice) => Err(Error::Config(format!("{name} contains multiple mappings for key {twice:?}"))),
        None => Ok(mappings),
    }
}
