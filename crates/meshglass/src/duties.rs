//! What an agent does beside its services because its configuration says so: `watches`, and commands of `exec`.

use std::sync::{Mutex, PoisonError};

use agent::Watches;
use client::Client;
use serde_json::Value;
use tokio::task::JoinHandle;
use tracing::info;

use crate::assemble::Member;
use crate::config::Config;

/// Runs until it is dropped.
pub(crate) struct Duties {
    client: Client,
    watches: Mutex<(Vec<Value>, Watches)>,
    executor: Option<JoinHandle<()>>,
}

impl Duties {
    /// # Errors
    /// Says which of the watches is not understood.
    pub fn start(config: &Config, member: &Member) -> Result<Self, String> {
        let token = Some(member.agent.tokens().of_agent().0).filter(|token| !token.is_empty());
        let watches = Watches::start(&config.watches, &member.client)?;
        let executor = (!config.disable_remote_exec).then(|| {
            info!("commands of `exec` are run by this agent");
            tokio::spawn(agent::remote_exec::serve(member.client.clone().with_token(token), config.node_name.clone()))
        });
        let watches = Mutex::new((config.watches.clone(), watches));
        Ok(Self { client: member.client.clone(), watches, executor })
    }

    /// Watches that are the same go on; else all begin anew.
    pub fn reload(&self, config: &Config) -> Result<(), String> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if watches.0 != config.watches {
            *watches = (config.watches.clone(), Watches::start(&config.watches, &self.client)?);
        }
        Ok(())
    }
}

impl Drop for Duties {
    fn drop(&mut self) {
        if let Some(executor) = &self.executor {
            executor.abort();
        }
    }
}
