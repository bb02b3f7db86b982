//! The configuration of an agent: as typed in flags and files (`given`), and as meant ([`Config`]).
//!
//! Only this module reads an agent's flags and files. Sources are merged as Consul merges them: lists from flags, then
//! the files in the order in which they were named, then the other flags, then `-hcl` fragments; of a single value the
//! last counts, lists are joined.

mod authority;
mod debug;
mod error;
mod flags;
mod given;
mod interfaces;
mod judge;
mod keys;
mod meant;
mod network;
mod node;
mod reading;
mod resolve;
mod serving;
mod sources;
mod template;

pub use error::{Complaint, ConfigError};
pub use meant::{Acl, AclTokens, Config, Dns, Etcd, LogFile, Secret, Soa, Telemetry, Ui};

use given::Given;
use model::Names;

/// What was typed behind `agent`.
#[derive(Clone, Default)]
pub struct AgentFlags {
    pub dev: bool,
    /// The values of `-config-file` and `-config-dir`, in the order typed; each may name a file or a directory.
    pub config_files: Vec<String>,
    /// `-config-format`: `hcl` or `json`, whatever the files' names end in.
    pub config_format: Option<String>,
    /// The fragments of `-hcl`.
    pub hcl: Vec<String>,
    /// Every other flag as typed, without its dashes, once a time it was given: `("http-port", "8501")`. A switch
    /// without a value is `("server", "true")`.
    pub settings: Vec<(String, String)>,
}

impl AgentFlags {
    /// Names of the flags that [`AgentFlags::settings`] may hold.
    pub fn names() -> impl Iterator<Item = &'static str> {
        flags::FLAGS.iter().map(|(flag, _)| *flag)
    }
}

/// Reads and judges everything. The warnings are for the log, one line each.
pub fn load(flags: &AgentFlags) -> Result<(Config, Vec<String>), ConfigError> {
    let given = Given::read(flags, Names::Required)?;
    resolve::config(given, flags.dev)
}

/// What `consul validate` does with files and directories. Gives the lines for stderr; `Configuration is valid!` is the
/// command's to say, and so is `Config validation failed: ` before [`ConfigError::consul_text`].
pub fn validate(paths: &[String], config_format: Option<&str>) -> Result<Vec<String>, ConfigError> {
    let flags = AgentFlags {
        config_files: paths.to_vec(),
        config_format: config_format.map(str::to_owned),
        ..AgentFlags::default()
    };
    let given = Given::read(&flags, Names::Optional)?;
    let mut lines = given.warnings.clone();
    resolve::settings(given, false)?.said(&mut lines);
    Ok(lines)
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
