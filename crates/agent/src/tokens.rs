//! The tokens this agent uses when a request or a registration brings none of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::Token;
use serde_json::{Map, Value};

use crate::storage;

const FILE: &str = "acl-tokens.json";

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenKind {
    /// Of requests that bring none.
    Default,
    /// Of the agent's own writes to the catalog.
    Agent,
    /// Taken by this agent when no server answers.
    AgentRecovery,
    Replication,
    /// Of registrations in definition files.
    ConfigFileRegistration,
    Dns,
}

impl TokenKind {
    #[cfg(test)]
    const ALL: [Self; 6] =
        [Self::Default, Self::Agent, Self::AgentRecovery, Self::Replication, Self::ConfigFileRegistration, Self::Dns];

    /// By every name it has or had in `PUT /v1/agent/token/<name>`.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "default" | "acl_token" => Self::Default,
            "agent" | "acl_agent_token" => Self::Agent,
            "agent_recovery" | "agent_master" | "acl_agent_master_token" => Self::AgentRecovery,
            "replication" | "acl_replication_token" => Self::Replication,
            "config_file_service_registration" => Self::ConfigFileRegistration,
            "dns" => Self::Dns,
            _ => return None,
        })
    }

    fn key(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Agent => "agent",
            Self::AgentRecovery => "agent_recovery",
            Self::Replication => "replication",
            Self::ConfigFileRegistration => "config_file_service_registration",
            Self::Dns => "dns",
        }
    }
}

/// The agent's tokens, kept on disk when they are to outlive it.
#[derive(Default)]
pub struct Tokens {
    held: Mutex<BTreeMap<TokenKind, Token>>,
    file: Option<PathBuf>,
}

/// Tells that there are secrets, not which.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Those of the configuration, over them what was set while the agent ran and is kept in `folder`.
    pub fn open(configured: BTreeMap<TokenKind, Token>, folder: Option<&Path>) -> Self {
        let mut held = configured;
        let file = folder.map(|folder| folder.join(FILE));
        match file.as_deref().map(read) {
            Some(Ok(kept)) => held.extend(kept),
            Some(Err(error)) => tracing::error!("{FILE}: {error}; the tokens in it are not used"),
            None => {}
        }
        Self { held: Mutex::new(held), file }
    }

    pub fn get(&self, kind: TokenKind) -> Token {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned().unwrap_or_default()
    }

    /// That of DNS questions: the default one when there is none.
    pub fn of_dns(&self) -> Token {
        self.or_default(TokenKind::Dns)
    }

    /// That of registrations in files: the default one when there is none.
    pub fn of_files(&self) -> Token {
        self.or_default(TokenKind::ConfigFileRegistration)
    }

    /// Whether a secret is good on this agent alone.
    pub fn is_recovery(&self, secret: &Token) -> bool {
        !secret.0.is_empty() && self.get(TokenKind::AgentRecovery) == *secret
    }

    fn or_default(&self, kind: TokenKind) -> Token {
        let own = self.get(kind);
        if own == Token::default() { self.get(TokenKind::Default) } else { own }
    }

    /// That of the agent's own writes: the default one when it has none.
    pub fn of_agent(&self) -> Token {
        self.or_default(TokenKind::Agent)
    }

    /// # Errors
    /// The token is used, but could not be written to disk.
    pub fn set(&self, kind: TokenKind, token: Token) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(kind, token);
        let Some(file) = &self.file else { return Ok(()) };
        let given = held.iter().filter(|(_, token)| **token != Token::default());
        let document: Map<String, Value> =
            given.map(|(kind, token)| (kind.key().to_owned(), token.0.clone().into())).collect();
        storage::write(file, &Value::Object(document), true)
    }
}

fn read(file: &Path) -> Result<BTreeMap<TokenKind, Token>, String> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    let document: BTreeMap<String, Option<String>> =
        serde_json::from_slice(&bytes).map_err(|error| format!("line {}: not an object of texts", error.line()))?;
    let named = document.into_iter().filter_map(|(name, token)| {
        let token = Token(token.filter(|token| !token.is_empty())?);
        Some((TokenKind::parse(&name)?, token))
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tokens_outlive_the_agent_and_nobody_else_can_read_them() {
        let folder = std::env::temp_dir().join(format!("meshglass-tokens-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let configured = || BTreeMap::from([(TokenKind::Default, Token("from-file".into()))]);
        let tokens = Tokens::open(configured(), Some(&folder));
        assert_eq!(tokens.of_agent().0, "from-file");
        tokens.set(TokenKind::parse("acl_agent_token").unwrap(), Token("a".into())).unwrap();
        tokens.set(TokenKind::AgentRecovery, Token("r".into())).unwrap();
        let mode = std::fs::metadata(folder.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Tokens::open(configured(), Some(&folder));
        assert_eq!((again.of_agent().0, again.get(TokenKind::AgentRecovery).0), ("a".into(), "r".into()));
        std::fs::write(folder.join(FILE), r#"{"agent_master":"old","bogus":"x","default":null}"#).unwrap();
        let consuls = Tokens::open(configured(), Some(&folder));
        assert_eq!(consuls.get(TokenKind::AgentRecovery).0, "old");
        std::fs::write(folder.join(FILE), "nonsense").unwrap();
        assert_eq!(Tokens::open(configured(), Some(&folder)).of_agent().0, "from-file");
        std::fs::remove_dir_all(&folder).unwrap();
        for kind in TokenKind::ALL {
            assert_eq!(TokenKind::parse(kind.key()), Some(kind));
        }
    }
}
