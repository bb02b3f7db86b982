//! Leaf certificates: the key is made here and never leaves but to the sidecar that asks for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ca::PrivateKeyPem;
use model::{SpiffeId, Token};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::agent::Agent;
use crate::error::Error;
use crate::follow::Backoff;

const SIGN: &str = "/v1/internal/connect/ca/sign";
/// Names one agent keeps certificates for; Consul gives one for any name, so somebody could ask for every name.
const LEAF_LIMIT: usize = 10_000;
/// After a change of roots all sidecars want new leaves: spread over this, as Consul does with 30 s, so that the
/// signer is not stormed. Shorter here, as one agent has few.
const ROTATION_SPREAD: Duration = Duration::from_secs(5);
/// A renewal is never sooner than this after the last, whatever the clock and the certificate say.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// A certificate and its key, as a sidecar gets them.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub serial_number: String,
    pub cert_pem: String,
    pub private_key: PrivateKeyPem,
    pub service: String,
    pub service_uri: String,
    pub valid_after: String,
    pub valid_before: String,
    pub create_index: u64,
    pub modify_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    serial_number: String,
    #[serde(rename = "CertPEM")]
    cert_pem: String,
    #[serde(rename = "ServiceURI")]
    service_uri: String,
    valid_after: String,
    valid_before: String,
    #[serde(default)]
    create_index: u64,
    #[serde(default)]
    modify_index: u64,
}

type State = Result<Arc<Leaf>, String>;

struct Entry {
    leaf: watch::Receiver<Option<State>>,
    task: AbortHandle,
    /// Of whoever asked first, for a service that is not of this agent.
    token: Token,
}

/// One certificate per service name, each renewed by a task of its own.
#[derive(Default)]
pub(crate) struct Leaves {
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Leaves {
    /// The certificate's watch, and whether it was there already.
    pub fn watch(
        &self,
        agent: &Arc<Agent>,
        service: &str,
        token: &Token,
    ) -> Result<(watch::Receiver<Option<State>>, bool), Error> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(service) {
            // One that was refused to somebody else is asked for anew.
            let refused = matches!(&*entry.leaf.borrow(), Some(Err(_))) && entry.token != *token;
            if !refused {
                return Ok((entry.leaf.clone(), true));
            }
            entry.task.abort();
        }
        if entries.len() >= LEAF_LIMIT && !entries.contains_key(service) {
            return Err(Error::Refused(format!("this agent keeps no more than {LEAF_LIMIT} certificates")));
        }
        let (sender, leaf) = watch::channel(None);
        let task = tokio::spawn(keep(Arc::clone(agent), service.to_owned(), token.clone(), sender)).abort_handle();
        entries.insert(service.to_owned(), Entry { leaf: leaf.clone(), task, token: token.clone() });
        Ok((leaf, false))
    }

    pub fn stop(&self) {
        for (_, entry) in std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner)) {
            entry.task.abort();
        }
    }
}

async fn keep(agent: Arc<Agent>, service: String, token: Token, out: watch::Sender<Option<State>>) {
    let mut backoff = Backoff::default();
    let mut roots = agent.watch_roots();
    let mut index = 0;
    loop {
        let Some(signer) = current(&mut roots).await else { return };
        match ask(&agent, &service, &token, (&signer.0, index)).await {
            Ok(leaf) => {
                backoff.succeeded(&service);
                index = leaf.modify_index;
                let until = renewal(&leaf, SystemTime::now());
                out.send_replace(Some(Ok(Arc::new(leaf))));
                tokio::select! {
                    () = tokio::time::sleep(until) => {}
                    rotated = rotation(&mut roots, &signer.1) => {
                        if !rotated {
                            return;
                        }
                        tokio::time::sleep(ROTATION_SPREAD.mul_f64(fastrand::f64())).await;
                    }
                }
            }
            Err(error) => {
                // A certificate that is still valid stays; only a first one that fails is told to whoever waits.
                if !matches!(&*out.borrow(), Some(Ok(_))) {
                    out.send_replace(Some(Err(error.to_string())));
                }
                tokio::time::sleep(backoff.failed(&format!("certificate for {service}"), &error)).await;
            }
        }
    }
}

/// The trust domain and the active root, once known.
async fn current(roots: &mut watch::Receiver<Option<crate::Roots>>) -> Option<(String, String)> {
    let known = roots.wait_for(Option::is_some).await.ok()?;
    known.as_ref().map(|roots| (roots.trust_domain.clone(), roots.active_root_id.clone()))
}

/// Waits until another root than `active` signs; false when there will be none.
async fn rotation(roots: &mut watch::Receiver<Option<crate::Roots>>, active: &str) -> bool {
    roots.wait_for(|roots| roots.as_ref().is_some_and(|roots| roots.active_root_id != active)).await.is_ok()
}

async fn ask(
    agent: &Agent,
    service: &str,
    token: &Token,
    (trust_domain, last_index): (&str, u64),
) -> Result<Leaf, Error> {
    let datacenter = &agent.config().node.datacenter;
    let identity = SpiffeId::service(trust_domain, datacenter, service);
    let (private_key, csr) = ca::csr::new(&identity)
        .map_err(|error| Error::Csr { service: service.to_owned(), reason: error.to_string() })?;
    let answer = agent.speaking_for(service, token).put(SIGN, &json!({ "CSR": csr })).await?;
    let signed: Signed = serde_json::from_slice(&answer.body)
        .map_err(|source| client::Error::Decode { what: SIGN.to_owned(), source })?;
    Ok(Leaf {
        serial_number: signed.serial_number,
        cert_pem: signed.cert_pem,
        private_key,
        service: service.to_owned(),
        service_uri: signed.service_uri,
        valid_after: signed.valid_after,
        valid_before: signed.valid_before,
        create_index: signed.create_index.max(1),
        // Whoever waits on the last index must see a new one.
        modify_index: signed.modify_index.max(last_index + 1),
    })
}

/// How long from now this certificate is used.
fn renewal(leaf: &Leaf, now: SystemTime) -> Duration {
    let time = |text: &str| crate::clock::parse_rfc3339(text);
    let (Some(after), Some(before)) = (time(&leaf.valid_after), time(&leaf.valid_before)) else {
        return SHORTEST_LIFE;
    };
    let at = ca::renew_at(after, before, fastrand::f64());
    at.duration_since(now).unwrap_or_default().max(SHORTEST_LIFE)
}
