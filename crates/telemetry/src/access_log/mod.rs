//! One line per request, with the keys of Consul's default JSON format.

mod format;
mod output;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::record::{Flag, Peer};
use crate::registry::Registry;
use format::Format;
use output::Output;

/// Entries that wait for the writer; when it cannot keep up, more are dropped.
pub const QUEUE_ENTRIES: usize = 8192;
/// Text written at once.
const BATCH_BYTES: usize = 64 * 1024;

/// Where the lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
    /// Reopened when the file was moved away (log rotation).
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogConfig {
    pub target: LogTarget,
    /// A JSON object whose values are command operators (`%RESPONSE_CODE%`).
    pub json_format: Option<String>,
    /// A line of command operators.
    pub text_format: Option<String>,
    /// Leaves out connections that no listener could serve.
    pub disable_listener_logs: bool,
}

/// One request as the log tells it. Empty text is `null` (JSON) or `-` (text).
#[derive(Debug, Clone)]
pub struct AccessEntry {
    pub start_time: SystemTime,
    pub route_name: Arc<str>,
    pub method: String,
    pub path: String,
    /// `HTTP/1.1`, `HTTP/2`; empty for TCP.
    pub protocol: &'static str,
    pub response_code: u16,
    pub response_flags: Vec<Flag>,
    /// `via_upstream`, `rbac_access_denied_matched_policy[…]`, …
    pub response_code_details: String,
    pub connection_termination_details: String,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub duration: Duration,
    pub upstream_service_time: Option<Duration>,
    pub x_forwarded_for: String,
    pub user_agent: String,
    pub request_id: String,
    pub authority: String,
    pub upstream_host: String,
    pub upstream_cluster: Arc<str>,
    pub upstream_local_address: String,
    pub downstream_local_address: String,
    pub downstream_remote_address: String,
    pub requested_server_name: String,
    pub upstream_transport_failure_reason: String,
    pub grpc_status: Option<u8>,
    /// Why the mesh itself answered: the text of `x-meshglass-why`.
    pub why: String,
    pub source: Peer,
    pub destination: Peer,
}

impl Default for AccessEntry {
    fn default() -> Self {
        let (empty, none) = (String::new, Arc::<str>::default);
        Self {
            start_time: SystemTime::UNIX_EPOCH,
            route_name: none(),
            method: empty(),
            path: empty(),
            protocol: "",
            response_code: 0,
            response_flags: Vec::new(),
            response_code_details: empty(),
            connection_termination_details: empty(),
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            upstream_service_time: None,
            x_forwarded_for: empty(),
            user_agent: empty(),
            request_id: empty(),
            authority: empty(),
            upstream_host: empty(),
            upstream_cluster: none(),
            upstream_local_address: empty(),
            downstream_local_address: empty(),
            downstream_remote_address: empty(),
            requested_server_name: empty(),
            upstream_transport_failure_reason: empty(),
            grpc_status: None,
            why: empty(),
            source: Peer::default(),
            destination: Peer::default(),
        }
    }
}

/// A handle to the writer; cheap to clone, one per worker. Build an [`AccessEntry`] only where there is one.
#[derive(Debug, Clone)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    drops: Arc<AtomicU64>,
    disable_listener_logs: bool,
}

#[derive(Debug)]
enum Message {
    Entry(Box<AccessEntry>),
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Opens the target and starts the writer's thread.
    ///
    /// # Errors
    /// The file cannot be opened, or the format is not understood.
    pub fn start(registry: &Registry, config: &AccessLogConfig) -> Result<Self, Error> {
        let format = Format::parse(config.json_format.as_deref(), config.text_format.as_deref())?;
        let output = Output::open(&config.target)?;
        let (queue, entries) = sync_channel(QUEUE_ENTRIES);
        let drops = registry.log_drops();
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || run(&entries, &format, output))
            .map_err(|source| Error::OpenLog { path: "the writer's thread".to_owned(), source })?;
        Ok(Self { queue, drops, disable_listener_logs: config.disable_listener_logs })
    }

    /// Queues a line. Never blocks: with no room it is dropped and counted.
    pub fn write(&self, entry: AccessEntry) {
        if self.queue.try_send(Message::Entry(Box::new(entry))).is_err() {
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The same for a connection that no listener could serve; left out with `DisableListenerLogs`.
    pub fn write_listener(&self, entry: AccessEntry) {
        if !self.disable_listener_logs {
            self.write(entry);
        }
    }

    /// Waits until what was queued is written, at most `patience`: for a proxy that ends. Blocks.
    pub fn flush(&self, patience: Duration) {
        let (done, waiting) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = waiting.recv_timeout(patience);
        }
    }
}

/// Writes until every handle is gone. What is already there is written in one go, then flushed.
fn run(entries: &Receiver<Message>, format: &Format, mut output: Output) {
    let mut lines = String::new();
    while let Ok(first) = entries.recv() {
        lines.clear();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Entry(entry) => format.write(&entry, &mut lines),
                Message::Flush(done) => waiting.push(done),
            }
            next = if lines.len() < BATCH_BYTES { entries.try_recv().ok() } else { None };
        }
        output.write(lines.as_bytes());
        for done in waiting {
            let _ = done.try_send(());
        }
    }
}

#[cfg(test)]
mod tests;
