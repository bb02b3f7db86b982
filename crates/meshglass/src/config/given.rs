//! The configuration as typed: every key that was set, what it was set to, and where.

use std::collections::BTreeMap;

use model::decode::{Decoder, Fields, ProblemKind, Style, same_key};
use model::hcl::{Entry, Format, Node};
use model::{ConfigEntry, Definitions, Names, entry_of_node};

use super::AgentFlags;
use super::error::ConfigError;
use super::flags::FLAGS;
use super::keys::{Keys, Kind, RENAMED, Role};
use super::sources::{self, Source};

/// Ports and counts; -1 switches a port off.
const LOWEST: i64 = -1;
const HIGHEST: i64 = u32::MAX as i64;

/// Not printable: some values are secrets.
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Number(i64),
    Float(f64),
    Texts(Vec<String>),
    Map(BTreeMap<String, String>),
    /// Not looked into.
    Any(serde_json::Value),
}

pub(super) struct Setting {
    pub value: Value,
    pub kind: Kind,
    /// `file:line:column` or `-flag`.
    pub origin: String,
    pub role: Role,
}

pub(super) struct Given {
    pub settings: BTreeMap<&'static str, Setting>,
    pub definitions: Definitions,
    pub bootstrap: Vec<ConfigEntry>,
    /// Files passed over, forms that are accepted and should be written otherwise.
    pub warnings: Vec<String>,
    keys: Keys,
}

impl Given {
    pub fn read(flags: &AgentFlags, names: Names) -> Result<Self, ConfigError> {
        let mut given = Self {
            settings: BTreeMap::new(),
            definitions: Definitions::default(),
            bootstrap: Vec::new(),
            warnings: Vec::new(),
            keys: Keys::new(),
        };
        given.flags(flags, |kind| matches!(kind, Kind::Texts | Kind::TextMap | Kind::DurationMap))?;
        let files = sources::open(&flags.config_files, flags.config_format.as_deref(), &mut given.warnings)?;
        for source in &files {
            given.source(source, names)?;
        }
        given.flags(flags, |kind| !matches!(kind, Kind::Texts | Kind::TextMap | Kind::DurationMap))?;
        for (number, text) in flags.hcl.iter().enumerate() {
            let bytes = text.clone().into_bytes();
            given.source(&Source { name: format!("-hcl[{number}]"), format: Format::Hcl, bytes }, names)?;
        }
        given.rename();
        Ok(given)
    }

    /// Puts what was written under an old name where it belongs now, and says so.
    fn rename(&mut self) {
        for (old, new) in RENAMED {
            let Some(setting) = self.settings.remove(old) else { continue };
            let text = format!("The '{old}' field is deprecated. Use the '{new}' field instead.");
            self.warnings.push(format!("{}: {text}", setting.origin));
            self.implied(old, &setting);
            match (self.settings.get_mut(new), setting.value) {
                (None, value) => drop(self.settings.insert(new, Setting { value, ..setting })),
                (Some(Setting { value: Value::Texts(given), .. }), Value::Texts(texts)) => given.extend(texts),
                (Some(_), _) => {}
            }
        }
    }

    /// What an old name says besides its value.
    fn implied(&mut self, old: &str, setting: &Setting) {
        let (key, on) = match old {
            "acl_datacenter" => ("acl.enabled", true),
            "acl_replication_token" => ("acl.enable_token_replication", true),
            // The gRPC port of the time had no client certificates.
            "verify_incoming" => ("tls.grpc.verify_incoming", false),
            _ => return,
        };
        if let Some((path, kind, role)) = self.keys.leaf(key) {
            let origin = setting.origin.clone();
            self.settings.entry(path).or_insert(Setting { value: Value::Bool(on), kind, origin, role });
        }
    }

    fn flags(&mut self, flags: &AgentFlags, now: impl Fn(Kind) -> bool) -> Result<(), ConfigError> {
        for (flag, text) in &flags.settings {
            let key = FLAGS.iter().find(|(name, _)| name == flag).map(|(_, key)| *key);
            let Some((path, kind, role)) = key.and_then(|key| self.keys.leaf(key)) else {
                let expected = "a flag of agent";
                return Err(ConfigError::Flag { flag: flag.clone(), expected, got: flag.clone() });
            };
            if !now(kind) {
                continue;
            }
            let wrong = |expected| ConfigError::Flag { flag: flag.clone(), expected, got: text.clone() };
            let value = match kind {
                Kind::Text | Kind::Duration | Kind::Any => Value::Text(text.clone()),
                Kind::Texts => Value::Texts(vec![text.clone()]),
                Kind::Bool => Value::Bool(flag_bool(text).ok_or_else(|| wrong("true or false"))?),
                Kind::Number => {
                    let number = text.parse().ok().filter(|n| (LOWEST..=HIGHEST).contains(n));
                    Value::Number(number.ok_or_else(|| wrong("a whole number"))?)
                }
                Kind::Float => Value::Float(text.parse().map_err(|_| wrong("a number"))?),
                Kind::TextMap | Kind::DurationMap => {
                    let (key, value) = text.split_once(':').unwrap_or((text, ""));
                    Value::Map(BTreeMap::from([(key.to_owned(), value.to_owned())]))
                }
            };
            self.set(path, Setting { value, kind, origin: format!("-{flag}"), role });
        }
        Ok(())
    }

    fn source(&mut self, source: &Source, names: Names) -> Result<(), ConfigError> {
        let failed = |content| ConfigError::Content { file: source.name.clone(), content };
        let document = source.format.parse(&source.bytes).map_err(|error| failed(error.into()))?;
        let mut decoder = Decoder::new(Style::File);
        decoder.warnings = document.warnings;
        let mut fields = Fields::of(&mut decoder, &document.root, "");
        let mut definitions = Definitions::take(&mut decoder, &mut fields, names);
        let bootstrap = fields.read(&mut decoder, "config_entries", |decoder, node, path| {
            let mut fields = Fields::of(decoder, node, path);
            let path = fields.path_of("bootstrap");
            let items = fields.take("bootstrap").map(|entry| decoder.items(&entry.node, &path));
            fields.finish(decoder);
            items.unwrap_or_default().into_iter().map(|(node, _)| node).collect::<Vec<_>>()
        });
        let mut settings = Vec::new();
        for entry in fields.into_entries() {
            self.entry(&mut decoder, entry, "", &source.name, &mut settings);
        }
        let ((), warnings) = decoder.finish(()).map_err(failed)?;
        self.warnings.extend(warnings.iter().map(|warning| format!("{}:{warning}", source.name)));
        self.definitions.services.append(&mut definitions.services);
        self.definitions.checks.append(&mut definitions.checks);
        self.entries(source, &bootstrap.unwrap_or_default())?;
        for (path, setting) in settings {
            self.set(path, setting);
        }
        Ok(())
    }

    fn entries(&mut self, source: &Source, nodes: &[&Node]) -> Result<(), ConfigError> {
        for (number, node) in nodes.iter().enumerate() {
            let entry = entry_of_node(&source.name, node, Style::File);
            self.bootstrap.push(entry.map_err(|error| ConfigError::Entry { number, error })?);
        }
        Ok(())
    }

    /// Reads one key of a block, and what is below it.
    fn entry(
        &self,
        decoder: &mut Decoder,
        entry: &Entry,
        block: &str,
        file: &str,
        out: &mut Vec<(&'static str, Setting)>,
    ) {
        let path = |name: &str| if block.is_empty() { name.to_owned() } else { format!("{block}.{name}") };
        let names = self.keys.inside(block).unwrap_or_default();
        let Some(name) = names.iter().find(|name| same_key(&entry.key, name)) else {
            let kind = ProblemKind::UnknownKey { key: entry.key.clone() };
            return decoder.problem(entry.at, &path(&entry.key), kind);
        };
        let path = path(name);
        let Some((path, kind, role)) = self.keys.leaf(&path) else {
            let object = decoder.block(&entry.node, &path);
            for inner in object.into_iter().flat_map(|object| &object.entries) {
                self.entry(decoder, inner, &path, file, out);
            }
            return;
        };
        let node = &entry.node;
        let value = match kind {
            Kind::Text | Kind::Duration => decoder.text(node, path).map(Value::Text),
            Kind::Bool => decoder.boolean(node, path).map(Value::Bool),
            Kind::Number => decoder.integer(node, path, LOWEST, HIGHEST).map(Value::Number),
            Kind::Texts => Some(Value::Texts(decoder.texts(node, path))),
            Kind::TextMap | Kind::DurationMap => Some(Value::Map(decoder.text_map(node, path))),
            Kind::Float => decoder.number(node, path).map(Value::Float),
            Kind::Any => Some(Value::Any(node.to_json())),
        };
        if let Some(value) = value {
            out.push((path, Setting { value, kind, origin: format!("{file}:{}", entry.at), role }));
        }
    }

    /// Lists and maps are joined; of anything else the last counts.
    fn set(&mut self, path: &'static str, setting: Setting) {
        use std::collections::btree_map::Entry as Slot;
        match self.settings.entry(path) {
            Slot::Vacant(slot) => drop(slot.insert(setting)),
            Slot::Occupied(mut slot) => match (&mut slot.get_mut().value, setting.value) {
                (Value::Texts(old), Value::Texts(new)) => old.extend(new),
                (Value::Map(old), Value::Map(new)) => old.extend(new),
                (Value::Any(serde_json::Value::Array(old)), Value::Any(serde_json::Value::Array(new))) => {
                    old.extend(new);
                }
                (_, value) => drop(slot.insert(Setting { value, ..setting })),
            },
        }
    }
}

/// What Go's flag package takes for a truth value.
fn flag_bool(text: &str) -> Option<bool> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
