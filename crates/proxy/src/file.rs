//! A sidecar without a control plane: plan, endpoints and certificates from files, read again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plan::{Endpoint, Plan, TargetId};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::Error;
use crate::control::{Known, Leaf, Shared};
use crate::snapshot::Instance;

/// How often the files are looked at. SIGHUP looks at once.
const LOOK: Duration = Duration::from_millis(500);

/// `{"plan": …, "endpoints": {"db.default.dc1": [{"address": "10.0.0.2:21000"}]}, "certificates": {…}}`, JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    pub plan: Plan,
    /// By target id.
    #[serde(default)]
    pub endpoints: BTreeMap<TargetId, Vec<FileEndpoint>>,
    pub certificates: CertificateFiles,
}

/// PEM files; a relative path starts at the plan file's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    pub roots_file: PathBuf,
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

/// An [`Endpoint`] as people write one: weight 1 and healthy unless said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEndpoint {
    pub address: String,
    #[serde(default)]
    pub instance: String,
    #[serde(default)]
    pub node: String,
    #[serde(default)]
    pub zone: String,
    #[serde(default)]
    pub version: String,
    #[serde(default = "one")]
    pub weight: u32,
    #[serde(default = "yes")]
    pub healthy: bool,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

impl From<FileEndpoint> for Instance {
    fn from(file: FileEndpoint) -> Self {
        let FileEndpoint { address, instance, node, zone, version, weight, healthy } = file;
        let instance = if instance.is_empty() { address.clone() } else { instance };
        let unwell = if healthy { String::new() } else { "marked unhealthy in the plan file".to_owned() };
        let endpoint = Endpoint { address, instance, node, zone, version, weight, healthy, warning: false };
        Self { endpoint, unwell }
    }
}

/// A plan file with everything it names.
pub(crate) struct Loaded {
    file: PlanFile,
    leaf: Leaf,
    roots: Vec<String>,
    stamps: Vec<Stamp>,
}

/// What tells that a file was written: its path, time and length.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

impl PlanFile {
    pub(crate) fn load(path: &Path) -> Result<Loaded, Error> {
        let text = read(path)?;
        let file: Self =
            serde_json::from_str(&text).map_err(|source| Error::PlanFile { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let CertificateFiles { roots_file, cert_file, key_file } = &file.certificates;
        let [roots, certificate, key] = [roots_file, cert_file, key_file].map(|name| folder.join(name));
        // Before the contents: a file that is written meanwhile is then read again.
        let stamps = [path, &roots, &certificate, &key].map(stamp).to_vec();
        let leaf = Leaf { certificates: read(&certificate)?, key: ca::PrivateKeyPem::new(read(&key)?) };
        let roots = vec![read(&roots)?];
        ca::verify::roots(roots.iter().map(String::as_str))?;
        leaf.key.der()?;
        Ok(Loaded { file, leaf, roots, stamps })
    }
}

impl Loaded {
    pub fn apply(self, known: &mut Known) {
        let PlanFile { plan, mut endpoints, .. } = self.file;
        known.endpoints = plan
            .targets
            .keys()
            .map(|id| {
                let instances = endpoints.remove(id).unwrap_or_default().into_iter().map(Instance::from).collect();
                (id.clone(), Arc::new(instances))
            })
            .collect();
        known.plan = Some(Arc::new(plan));
        known.leaf = Some(self.leaf);
        known.roots = Some(self.roots);
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn stamp(path: &Path) -> Stamp {
    let stat = std::fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len())));
    (path.to_owned(), stat.ok())
}

/// Reads the files again whenever they change. A broken file changes nothing but the log.
pub(crate) async fn follow(path: PathBuf, shared: Rc<Shared>) {
    let mut hangup = signal(SignalKind::hangup()).ok();
    let mut stamps: Vec<Stamp> = vec![stamp(&path)];
    if let Ok(loaded) = PlanFile::load(&path) {
        stamps.clone_from(&loaded.stamps);
    }
    loop {
        let told = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = hung_up(hangup.as_mut()) => true,
        };
        let now: Vec<Stamp> = stamps.iter().map(|(path, _)| stamp(path)).collect();
        if !told && now == stamps {
            continue;
        }
        match PlanFile::load(&path) {
            Ok(loaded) => {
                tracing::info!("{} was read again", path.display());
                stamps.clone_from(&loaded.stamps);
                shared.update(|known| loaded.apply(known));
            }
            Err(error) => {
                tracing::error!("{error}; going on with what was read before");
                stamps = now;
            }
        }
    }
}

async fn hung_up(signal: Option<&mut tokio::signal::unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}
