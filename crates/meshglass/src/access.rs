//! `acl { … }` of the configuration, as the agent and the server take it.

use std::sync::Arc;

use agent::{TokenKind, Tokens};
use api::AclConfig;
use model::{Action, Token};

use crate::config::{Config, Secret};

/// The tokens the agent acts with. Those that the API gave in an earlier life count more than the files'.
pub(crate) fn tokens(config: &Config) -> Arc<Tokens> {
    let given = &config.acl.tokens;
    let kinds = [
        (TokenKind::Default, &given.default),
        (TokenKind::Agent, &given.agent),
        (TokenKind::AgentRecovery, &given.agent_recovery),
        (TokenKind::Replication, &given.replication),
        (TokenKind::ConfigFileRegistration, &given.config_file_service_registration),
        (TokenKind::Dns, &given.dns),
    ];
    let configured = kinds.into_iter().filter_map(|(kind, secret)| Some((kind, token(secret.as_ref()?)))).collect();
    let folder = config.data_dir.as_deref().filter(|_| config.acl.enable_token_persistence);
    Arc::new(Tokens::open(configured, folder))
}

/// None: access control is off.
pub(crate) fn control(config: &Config, tokens: &Arc<Tokens>) -> Option<AclConfig> {
    config.acl.enabled.then(|| AclConfig {
        default_allow: config.acl.default_policy == Action::Allow,
        tokens: Arc::clone(tokens),
        initial_management: config.acl.tokens.initial_management.as_ref().map(token).unwrap_or_default(),
        data_dir: config.data_dir.clone(),
    })
}

fn token(secret: &Secret) -> Token {
    Token(secret.expose().to_owned())
}
