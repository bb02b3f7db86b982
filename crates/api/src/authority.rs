//! The certificate authority as facts: made at the first start, configured, rotated, used to sign.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use ca::{Authority, KeyKind, PrivateKeyPem};
use model::OpaqueMap;
use serde_json::Value;
use store::{CaConfig, CaRoot, Secret};

use crate::error::Error;
use crate::server::ServerState;

/// An intermediate must outlive the leafs under it by far; Consul's lower limit.
const MIN_INTERMEDIATE_TTL: Duration = Duration::from_secs(3 * 3600);

/// Lifetimes that a cluster starts with, as Consul prints them.
const DEFAULTS: [(&str, &str); 3] =
    [("IntermediateCertTTL", "8760h"), ("LeafCertTTL", "72h"), ("RotationPeriod", "2160h")];

/// What the keys of a provider's configuration mean here. No derived `Debug`: it holds a private key.
pub(crate) struct Terms {
    pub leaf_ttl: Duration,
    private_key: String,
    root_cert: String,
    kind: KeyKind,
    kind_given: bool,
}

impl Terms {
    pub(crate) fn of(config: &OpaqueMap) -> Result<Self, String> {
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let leaf_ttl = duration(config, "LeafCertTTL")?.unwrap_or(ca::LEAF_TTL);
        if leaf_ttl < ca::MIN_LEAF_TTL {
            return Err(ca::Error::TtlTooShort.to_string());
        }
        if leaf_ttl > ca::MAX_LEAF_TTL {
            return Err(ca::Error::TtlTooLong.to_string());
        }
        if duration(config, "IntermediateCertTTL")?.is_some_and(|ttl| ttl < MIN_INTERMEDIATE_TTL) {
            return Err("Intermediate Cert TTL must be greater or equal than 3h".to_owned());
        }
        duration(config, "RotationPeriod")?;
        duration(config, "RootCertTTL")?;
        for key in ["CSRMaxPerSecond", "CSRMaxConcurrent"] {
            number(config, key)?;
        }
        let (name, bits) = (text("PrivateKeyType"), number(config, "PrivateKeyBits")? as u64);
        if !text("RootCert").is_empty() && text("PrivateKey").is_empty() {
            return Err("must provide a private key when providing a root cert".to_owned());
        }
        Ok(Self {
            leaf_ttl,
            private_key: text("PrivateKey").to_owned(),
            root_cert: text("RootCert").to_owned(),
            kind: KeyKind::parse(name, bits).map_err(|error| error.to_string())?,
            kind_given: !name.is_empty() || bits != 0,
        })
    }

    /// True when this asks for another root than the one that `old` asked for and got.
    fn replaces(&self, old: &Self, root: &CaRoot) -> bool {
        let active = (root.description["PrivateKeyType"].as_str(), root.description["PrivateKeyBits"].as_u64());
        let wanted = (Some(self.kind.name()), Some(u64::from(self.kind.bits())));
        let generated = self.private_key.is_empty();
        self.private_key != old.private_key
            || self.root_cert != old.root_cert
            || (generated && self.kind_given && active != wanted)
    }

    fn authority(&self, cluster_id: &str, now: SystemTime) -> Result<Authority, Error> {
        let making = |error: ca::Error| Error::Refused(format!("error generating CA root certificate: {error}"));
        let key = match self.private_key.as_str() {
            "" => PrivateKeyPem::generate(self.kind).map_err(making)?,
            given => PrivateKeyPem::new(given.to_owned()),
        };
        if self.root_cert.is_empty() {
            return Authority::with_key(cluster_id, &key, now).map_err(making);
        }
        let reading = |error: ca::Error| Error::Refused(format!("error parsing root certificate: {error}"));
        Authority::with_root(cluster_id, &key, &self.root_cert).map_err(reading)
    }
}

/// In Go's words, which clients show.
fn undecoded(why: &str) -> String {
    format!("error decoding config: 1 error(s) decoding:\n\n* {why}")
}

fn duration(config: &OpaqueMap, key: &str) -> Result<Option<Duration>, String> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(nanos)) => Ok(Some(Duration::from_nanos(nanos.as_u64().unwrap_or_default()))),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => model::parse_duration(text)
            .map(Some)
            .map_err(|_| undecoded(&format!("error decoding '{key}': time: invalid duration {text:?}"))),
        Some(_) => Err(undecoded(&format!("'{key}' expected a duration such as \"72h\""))),
    }
}

fn number(config: &OpaqueMap, key: &str) -> Result<f64, String> {
    let refused = |text: &str| undecoded(&format!("cannot parse '{key}' as a number: {text:?}"));
    match config.get(key) {
        None | Some(Value::Null) => Ok(0.0),
        Some(Value::Number(number)) => Ok(number.as_f64().unwrap_or_default()),
        Some(Value::String(text)) => text.parse().map_err(|_| refused(text)),
        Some(other) => Err(refused(&other.to_string())),
    }
}

fn configuring(why: impl std::fmt::Display) -> Error {
    Error::Refused(format!("error configuring provider: {why}"))
}

impl ServerState {
    /// The first root of a new cluster, by the agent's `connect.ca_config`.
    pub(crate) async fn start_authority(&self, given: &OpaqueMap) -> Result<(), Error> {
        if self.store.state().ca_config().is_some() {
            return Ok(());
        }
        let given_id = given.get("ClusterID").and_then(Value::as_str).filter(|id| !id.is_empty());
        let cluster_id = given_id.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        let mut config: OpaqueMap =
            DEFAULTS.iter().map(|(key, text)| ((*key).to_owned(), Value::from(*text))).collect();
        config.extend(given.clone());
        let authority = Terms::of(&config).map_err(configuring)?.authority(&cluster_id, SystemTime::now())?;
        let root = stored(&authority, Vec::new())?;
        let config = CaConfig { cluster_id, provider: "consul".to_owned(), config, force_without_cross_signing: false };
        self.store.initialise_ca(config, root, 1).await?;
        Ok(())
    }

    /// Other rules for the authority, and another root when they ask for one.
    pub(crate) async fn configure_authority(&self, config: OpaqueMap, force: bool) -> Result<(), Error> {
        let now = SystemTime::now();
        let terms = Terms::of(&config).map_err(configuring)?;
        let state = self.store.state();
        let uninitialised = || Error::Refused("CA is uninitialized: no root".to_owned());
        let old = state.ca_config().ok_or_else(uninitialised)?;
        let root = state.ca_roots().find(|root| root.active).ok_or_else(uninitialised)?;
        let old_terms = Terms::of(&old.config).map_err(configuring)?;
        let mut next = None;
        if terms.replaces(&old_terms, root) {
            let authority = terms.authority(&old.cluster_id, now)?;
            // The same key and certificate as now: nothing to hand over.
            if authority.root().id != root.id {
                let (_, serial) = self.store.next_serial().await?;
                let bridge = self.authority()?.0.cross_sign(&authority, serial, now);
                let bridge = bridge.map_err(|error| Error::Refused(error.to_string()))?;
                next = Some(stored(&authority, vec![bridge])?);
            }
        }
        let new = CaConfig {
            cluster_id: old.cluster_id.clone(),
            provider: old.provider.clone(),
            config,
            force_without_cross_signing: force,
        };
        match self.store.put_ca_config(new, next, &root.id, now).await? {
            true => self.prune_roots(now).await,
            false => Err(Error::Refused("the root was replaced by another request, try again".to_owned())),
        }
    }

    /// Roots whose last leaf has ended, twice over, as Consul waits.
    pub(crate) async fn prune_roots(&self, now: SystemTime) -> Result<(), Error> {
        let state = self.store.state();
        let ttl = state.ca_config().and_then(|config| Terms::of(&config.config).ok()).map(|terms| terms.leaf_ttl);
        if state.ca_roots().count() > 1 {
            self.store.prune_ca_roots(now - ttl.unwrap_or(ca::LEAF_TTL) * 2).await?;
        }
        Ok(())
    }

    /// The signer of the active root, and what goes with its leafs.
    pub(crate) fn authority(&self) -> Result<(Arc<Authority>, Vec<String>), Error> {
        let state = self.store.state();
        let refused = |what: &str| Error::Refused(format!("CA is not able to sign certificates: {what}"));
        let root = state.ca_roots().find(|root| root.active).ok_or_else(|| refused("no active root"))?;
        let mut held = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, authority)) = held.as_ref().filter(|(id, _)| *id == root.id) {
            return Ok((authority.clone(), root.intermediates.clone()));
        }
        let description = serde_json::from_value(Value::Object(root.description.clone()))
            .map_err(|error| refused(&error.to_string()))?;
        let key = PrivateKeyPem::new(root.key.expose().to_owned());
        let authority = Authority::from_stored(&description, &key).map_err(|error| refused(&error.to_string()))?;
        let authority = Arc::new(authority);
        *held = Some((root.id.clone(), authority.clone()));
        Ok((authority, root.intermediates.clone()))
    }
}

fn stored(authority: &Authority, intermediates: Vec<String>) -> Result<CaRoot, Error> {
    let root = authority.root();
    let Ok(Value::Object(description)) = serde_json::to_value(root) else {
        return Err(Error::Refused("the new root cannot be stored".to_owned()));
    };
    let key = Secret::new(authority.key().expose().to_owned());
    Ok(CaRoot { id: root.id.clone(), active: true, description, key, intermediates, rotated_out_at: 0 })
}
