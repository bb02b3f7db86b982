//! What ends an agent, and what makes it read its files again.

use std::sync::{Arc, OnceLock};

use agent::Agent;
use api::tls::ServerTls;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::config::{self, AgentFlags};
use crate::dns_settings;
use crate::duties::Duties;

/// Reads the files again and applies what may change while an agent runs: services, checks, DNS, certificates.
pub(crate) struct Reloader {
    pub flags: AgentFlags,
    pub slot: OnceLock<Arc<Agent>>,
    pub names: OnceLock<dns::Server>,
    pub duties: OnceLock<Duties>,
    pub tls: Option<ServerTls>,
    pub counter: watch::Sender<u64>,
}

impl Reloader {
    /// The error is for the log. Certificates that cannot be used leave everything as it was.
    pub fn reload(&self) -> Result<(), String> {
        let (config, warnings) = config::load(&self.flags).map_err(|error| error.to_string())?;
        if let Some(tls) = &self.tls {
            tls.reload(&config.https_tls).map_err(|error| format!("HTTPS: {error}"))?;
        }
        for warning in warnings {
            warn!("{warning}");
        }
        if let Some(names) = self.names.get() {
            names.reload(dns_settings::settings(&config));
        }
        if let Some(duties) = self.duties.get() {
            duties.reload(&config)?;
        }
        let Some(agent) = self.slot.get() else { return Ok(()) };
        let refused = agent.apply_definitions(config.services, config.checks);
        self.counter.send_modify(|count| *count += 1);
        match refused.first() {
            None => Ok(()),
            Some(first) => Err(format!("a definition was refused: {first}")),
        }
    }
}

/// Why an agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Interrupted,
    Terminated,
    /// Told by `leave`: the node is out of the catalog already.
    Left,
}

/// Caught from before the agent answers, so that none is missed.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// SIGINT, SIGTERM and `leave` end the agent; SIGHUP reads the files again.
    pub async fn end(mut self, mut leaving: watch::Receiver<bool>, reloader: &Reloader) -> End {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {
                    info!(signal = "interrupt", "Caught");
                    return End::Interrupted;
                }
                _ = self.terminate.recv() => {
                    info!(signal = "terminated", "Caught");
                    return End::Terminated;
                }
                _ = leaving.wait_for(|left| *left) => {
                    info!("Graceful leave");
                    return End::Left;
                }
                _ = self.hang_up.recv() => {
                    info!(signal = "hangup", "Caught");
                    match reloader.reload() {
                        Ok(()) => info!("Configuration reloaded"),
                        Err(problem) => error!("reloading failed, the old configuration stays: {problem}"),
                    }
                }
            }
        }
    }
}
