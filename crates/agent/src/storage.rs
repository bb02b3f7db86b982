//! Registrations on disk, so that they outlive the agent: `services/`, `checks/` and `checks/state/` in the data
//! directory, in the layout and the form a Consul agent keeps its own in.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use model::{CheckDefinition, HealthCheck, Service, Status, Token};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::local::{LocalCheck, LocalService};
use crate::{md5, wire};

const SERVICES: &str = "services";
const CHECKS: &str = "checks";
const STATES: &str = "checks/state";
/// A definition is a few hundred bytes; what is larger than this was not written by an agent.
const FILE_LIMIT_BYTES: u64 = 4 << 20;
/// Tokens are in these files.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const UNFINISHED: &str = "tmp";

/// What was on disk.
#[derive(Default)]
pub(crate) struct Saved {
    pub services: Vec<SavedService>,
    pub checks: Vec<SavedCheck>,
    pub states: Vec<TtlState>,
}

pub(crate) struct SavedService {
    pub service: Service,
    pub sidecar: bool,
    pub managed: bool,
    pub token: Token,
}

pub(crate) struct SavedCheck {
    pub health: HealthCheck,
    /// `None`: maintenance.
    pub definition: Option<CheckDefinition>,
}

/// What an application last said of its check, good until it would have had to speak again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TtlState {
    #[serde(rename = "CheckID")]
    pub check_id: String,
    pub output: String,
    pub status: Status,
    /// Seconds since 1970.
    pub expires: u64,
}

impl TtlState {
    pub fn new(check_id: &str, status: Status, output: &str, ttl: Duration) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires = now.saturating_add(ttl).as_secs();
        Self { check_id: check_id.to_owned(), output: output.to_owned(), status, expires }
    }

    pub fn is_good(&self, now: SystemTime) -> bool {
        let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.expires));
        expires.is_none_or(|expires| now < expires)
    }
}

pub(crate) struct Storage {
    root: PathBuf,
}

impl Storage {
    pub fn open(root: &Path) -> io::Result<Self> {
        for folder in [SERVICES, STATES] {
            fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(root.join(folder))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Everything that can be read. What cannot is named in the log and left where it is.
    pub fn load(&self) -> Saved {
        Saved {
            services: self.read_all(SERVICES, read_service),
            checks: self.read_all(CHECKS, read_check),
            states: self.read_all(STATES, |value| TtlState::deserialize(value).map_err(|error| error.to_string())),
        }
    }

    fn read_all<T>(&self, folder: &str, read: impl Fn(&Value) -> Result<T, String>) -> Vec<T> {
        let folder = self.root.join(folder);
        let mut paths: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect(),
            Err(error) => {
                tracing::error!("{}: {error}; nothing of it is restored", folder.display());
                return Vec::new();
            }
        };
        paths.sort();
        let mut found = Vec::new();
        for path in paths {
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                // The agent ended while it wrote this; what was there before is still there.
                let _ = fs::remove_file(&path);
                continue;
            }
            let document = bounded(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
            match document.and_then(|document: Value| read(&document)) {
                Ok(item) => found.push(item),
                Err(why) => tracing::error!("{}: {why}; it is not restored", path.display()),
            }
        }
        found
    }

    /// Writes what is there and removes what is gone or comes from a file.
    pub fn save_service(&self, id: &str, known: Option<&LocalService>) -> io::Result<()> {
        let path = self.path(SERVICES, id);
        match known.filter(|known| !known.from_file) {
            Some(known) => write(&path, &service_document(known), true),
            None => remove(&path),
        }
    }

    pub fn save_check(&self, id: &str, known: Option<&LocalCheck>) -> io::Result<()> {
        if known.is_none() {
            remove(&self.path(STATES, id))?;
        }
        let path = self.path(CHECKS, id);
        match known.filter(|known| !known.from_file) {
            Some(known) => write(&path, &check_document(known), true),
            None => remove(&path),
        }
    }

    /// Said anew every few seconds: not worth waiting for the disk.
    pub fn save_state(&self, state: &TtlState) -> io::Result<()> {
        write(&self.path(STATES, &state.check_id), &serde_json::to_value(state)?, false)
    }

    /// Makes sure of the names of what was written: files are sure of themselves already.
    pub fn sync(&self) -> io::Result<()> {
        [SERVICES, CHECKS].into_iter().try_for_each(|folder| fs::File::open(self.root.join(folder))?.sync_all())
    }

    fn path(&self, folder: &str, id: &str) -> PathBuf {
        self.root.join(folder).join(md5::hex(id))
    }
}

fn service_document(known: &LocalService) -> Value {
    json!({
        "Token": known.token.0,
        "Service": wire::service(&known.service),
        "Source": "remote",
        "LocallyRegisteredAsSidecar": known.sidecar_of.is_some(),
        "ManagedProxy": known.managed,
    })
}

fn check_document(known: &LocalCheck) -> Value {
    let source = if known.definition.is_some() { "remote" } else { "local" };
    json!({
        "Check": wire::check(&known.health),
        "ChkType": known.definition.as_ref().map(client::check_registration),
        "Token": known.definition.as_ref().map_or("", |definition| &definition.token.0),
        "Source": source,
    })
}

fn read_service(document: &Value) -> Result<SavedService, String> {
    let service = document.get("Service").and_then(wire::decode_service).ok_or("no service in it")?;
    if service.id.is_empty() || service.service.is_empty() {
        return Err("a service without an id or a name".to_owned());
    }
    let flag = |key: &str| document.get(key).and_then(Value::as_bool).unwrap_or_default();
    let (sidecar, managed) = (flag("LocallyRegisteredAsSidecar"), flag("ManagedProxy"));
    Ok(SavedService { service, sidecar, managed, token: token(document) })
}

fn read_check(document: &Value) -> Result<SavedCheck, String> {
    let health = document.get("Check").and_then(wire::decode_check).ok_or("no check in it")?;
    if health.check_id.is_empty() {
        return Err("a check without an id".to_owned());
    }
    let definition = match document.get("ChkType") {
        Some(Value::Object(given)) => Some(definition(&health, given.clone(), &token(document))?),
        _ => None,
    };
    Ok(SavedCheck { health, definition })
}

/// The definition as it was given, under the id and the name the agent gave it.
fn definition(health: &HealthCheck, mut given: Map<String, Value>, token: &Token) -> Result<CheckDefinition, String> {
    // Where Consul's proxy answers for an exposed check: nothing a definition may say.
    for key in ["ProxyHTTP", "ProxyGRPC"] {
        given.remove(key);
    }
    given.insert("Name".to_owned(), json!(if health.name.is_empty() { &health.check_id } else { &health.name }));
    given.insert("CheckID".to_owned(), json!(health.check_id));
    given.insert("ServiceID".to_owned(), json!(health.service_id));
    given.insert("Notes".to_owned(), json!(health.notes));
    given.insert("Token".to_owned(), json!(token.0));
    model::decode_check_json(Value::Object(given).to_string().as_bytes()).map_err(|error| error.text)
}

fn token(document: &Value) -> Token {
    Token(document.get("Token").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn bounded(path: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_LIMIT_BYTES {
        return Err(format!("{size} bytes, no more than {FILE_LIMIT_BYTES} are read"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// The whole new content or the whole old one, whenever the machine stops; which of them, the folder's own sync tells.
pub(crate) fn write(path: &Path, document: &Value, durable: bool) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&unfinished)?;
    file.write_all(document.to_string().as_bytes())?;
    if durable {
        file.sync_data()?;
    }
    fs::rename(&unfinished, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
