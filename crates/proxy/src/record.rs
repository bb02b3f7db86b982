//! What a request becomes: one [`Outcome`] on one cell, exactly once, however the request ended.

use std::cell::{Cell as StdCell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Instant, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Version, header};
use telemetry::{AccessEntry, AccessLog, Cell, CellKey, Fault, Flag, ListenerCounters, Outcome, Peer, Recorder};

use crate::answer::Failure;
use crate::detect::grpc_names;
use crate::headers::{self, REQUEST_ID};
use crate::limits::PATHS_PER_PEER;

/// A worker's way to its counters and its log.
pub(crate) struct Records {
    pub recorder: Recorder,
    pub access_log: RefCell<Option<AccessLog>>,
}

/// The cells of one peer on one listener and route: one, and one per gRPC method. Looked up without allocating.
pub(crate) struct Cells {
    key: CellKey,
    plain: OnceCell<Arc<Cell>>,
    methods: RefCell<HashMap<Box<str>, Arc<Cell>>>,
}

impl Cells {
    pub fn new(key: CellKey) -> Self {
        Self { key, plain: OnceCell::new(), methods: RefCell::default() }
    }

    pub fn peer(&self) -> &Peer {
        &self.key.peer
    }

    /// `grpc_path`: the path of a gRPC request, else `None`.
    pub fn get(&self, recorder: &Recorder, grpc_path: Option<&str>) -> Arc<Cell> {
        let Some(path) = grpc_path else {
            return self.plain.get_or_init(|| recorder.cell(&self.key)).clone();
        };
        if let Some(cell) = self.methods.borrow().get(path) {
            return cell.clone();
        }
        let mut methods = self.methods.borrow_mut();
        let full = methods.len() >= PATHS_PER_PEER;
        let (service, method) = if full { (telemetry::OTHER, telemetry::OTHER) } else { grpc_names(path) };
        let key = CellKey { grpc_service: service.into(), grpc_method: method.into(), ..self.key.clone() };
        let cell = recorder.cell(&key);
        if !full {
            methods.insert(path.into(), cell.clone());
        }
        cell
    }
}

/// One request (for TCP and WebSockets: one connection) on its way.
pub(crate) struct Exchange {
    started: Instant,
    records: Rc<Records>,
    counters: Arc<ListenerCounters>,
    /// An upgrade or TCP connection has no `Content-Type` to tell, a gRPC call does.
    grpc: bool,
    cell: RefCell<Option<Arc<Cell>>>,
    outcome: RefCell<Outcome>,
    complete: StdCell<bool>,
    finished: StdCell<bool>,
    request_read: StdCell<bool>,
    aborted: StdCell<bool>,
    sending: RefCell<Option<Waker>>,
    log: RefCell<Option<Box<AccessEntry>>>,
}

/// Where a request came in, for the log.
pub(crate) struct Arrival<'a> {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Present for HTTP.
    pub head: Option<&'a Parts>,
    pub grpc: bool,
}

impl Exchange {
    pub fn begin(records: &Rc<Records>, counters: &Arc<ListenerCounters>, arrival: &Arrival<'_>) -> Rc<Self> {
        counters.rq_total.inc();
        counters.rq_active.inc();
        let log = records.access_log.borrow().is_some().then(|| Box::new(entry(arrival)));
        Rc::new(Self {
            started: Instant::now(),
            records: records.clone(),
            counters: counters.clone(),
            grpc: arrival.grpc,
            cell: RefCell::new(None),
            outcome: RefCell::new(Outcome::default()),
            complete: StdCell::new(false),
            finished: StdCell::new(false),
            request_read: StdCell::new(false),
            aborted: StdCell::new(false),
            sending: RefCell::new(None),
            log: RefCell::new(log),
        })
    }

    pub fn is_grpc(&self) -> bool {
        self.grpc
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// Where this will be counted; the last one said wins (a retry may go to another instance).
    pub fn set_cell(&self, cell: Arc<Cell>) {
        *self.cell.borrow_mut() = Some(cell);
    }

    /// Fills in the log line, if there is one.
    pub fn log(&self, fill: impl FnOnce(&mut AccessEntry)) {
        if let Some(entry) = self.log.borrow_mut().as_deref_mut() {
            fill(entry);
        }
    }

    pub fn received(&self, bytes: usize) {
        self.outcome.borrow_mut().bytes_received += bytes as u64;
    }

    pub fn sent(&self, bytes: usize) {
        self.outcome.borrow_mut().bytes_sent += bytes as u64;
    }

    /// The caller's body was read to its end.
    pub fn request_was_read(&self) {
        self.request_read.set(true);
    }

    pub fn request_is_read(&self) -> bool {
        self.request_read.get()
    }

    /// Whether the caller's body must not be sent on: its exchange is over. Asked by the body, which is woken then.
    pub fn is_aborted(&self, cx: &mut Context<'_>) -> bool {
        if !self.aborted.get() {
            match &mut *self.sending.borrow_mut() {
                Some(waker) => waker.clone_from(cx.waker()),
                empty => *empty = Some(cx.waker().clone()),
            }
        }
        self.aborted.get()
    }

    /// Ends the request towards the upstream. Without this an HTTP/2 stream would live on for as long as its caller
    /// goes on sending.
    fn abort(&self) {
        if !self.request_read.get() && !self.aborted.replace(true) {
            self.sending.take().into_iter().for_each(Waker::wake);
        }
    }

    pub fn retried(&self) {
        self.outcome.borrow_mut().retries += 1;
    }

    pub fn flag(&self, flag: Flag) {
        let mut outcome = self.outcome.borrow_mut();
        if !outcome.flags.contains(&flag) {
            outcome.flags.push(flag);
        }
    }

    /// The head of an answer is on its way to the caller.
    pub fn answered(&self, code: u16) {
        self.outcome.borrow_mut().code = code;
    }

    pub fn upstream_answered(&self, code: u16, origin: bool) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.code = code;
        outcome.upstream_time = Some(self.started.elapsed());
        outcome.origin = origin;
        if code >= 500 {
            outcome.fault = Some(Fault::Upstream);
        }
        drop(outcome);
        self.log(|entry| "via_upstream".clone_into(&mut entry.response_code_details));
    }

    /// The mesh answers, or ends what had begun.
    pub fn fail(&self, failure: &Failure) {
        self.flag(failure.kind.flag());
        self.abort();
        let mut outcome = self.outcome.borrow_mut();
        outcome.fault = Some(failure.kind.fault());
        outcome.origin = false;
        if self.grpc {
            outcome.grpc_status = Some(failure.kind.grpc_status());
        }
        drop(outcome);
        self.log(|entry| {
            failure.kind.details().clone_into(&mut entry.response_code_details);
            entry.why = failure.to_string();
            if matches!(failure.kind.flag(), Flag::UF) {
                entry.upstream_transport_failure_reason.clone_from(&failure.why);
            }
        });
    }

    /// Reads gRPC's status from trailers, or from the head of an answer without a body.
    pub fn grpc_status(&self, headers: &HeaderMap) {
        if !self.grpc {
            return;
        }
        let status =
            headers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        if let Some(status) = status {
            self.outcome.borrow_mut().grpc_status = Some(status);
        }
    }

    /// The caller got everything.
    pub fn completed(&self) {
        self.complete.set(true);
    }

    fn finish(&self) {
        if self.finished.replace(true) {
            return;
        }
        if !self.complete.get() {
            self.abort();
        }
        let mut outcome = self.outcome.borrow_mut();
        outcome.duration = self.started.elapsed();
        if !self.complete.get() && outcome.flags.is_empty() {
            outcome.flags.push(Flag::DC);
            outcome.fault = Some(Fault::Downstream);
            self.counters.rq_rx_reset.inc();
        }
        if let Some(cell) = self.cell.borrow().as_ref() {
            cell.record(&outcome);
        }
        self.counters.rq_active.dec();
        if let (Some(entry), Some(log)) = (self.log.take(), self.records.access_log.borrow().as_ref()) {
            log.write(completed_entry(*entry, &outcome));
        }
    }
}

/// Finishes its exchange when dropped: held by whatever lives as long as the request does.
pub(crate) struct Finisher(Rc<Exchange>);

impl Finisher {
    pub fn new(exchange: Rc<Exchange>) -> Self {
        Self(exchange)
    }

    pub fn exchange(&self) -> &Rc<Exchange> {
        &self.0
    }
}

impl Drop for Finisher {
    fn drop(&mut self) {
        self.0.finish();
    }
}

fn entry(arrival: &Arrival<'_>) -> AccessEntry {
    let mut entry = AccessEntry {
        start_time: SystemTime::now(),
        downstream_local_address: arrival.local.to_string(),
        downstream_remote_address: arrival.remote.to_string(),
        ..AccessEntry::default()
    };
    if let Some(head) = arrival.head {
        let text = |name: header::HeaderName| headers::text(&head.headers, &name);
        entry.method = head.method.to_string();
        entry.path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        entry.protocol = match head.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        entry.x_forwarded_for = text(header::HeaderName::from_static("x-forwarded-for"));
        entry.user_agent = text(header::USER_AGENT);
        entry.request_id = text(REQUEST_ID);
        entry.authority = head.uri.authority().map_or_else(|| text(header::HOST), ToString::to_string);
    }
    entry
}

fn completed_entry(entry: AccessEntry, outcome: &Outcome) -> AccessEntry {
    let dc = outcome.flags.contains(&Flag::DC);
    let response_code_details =
        if dc { "downstream_remote_disconnect".to_owned() } else { entry.response_code_details.clone() };
    AccessEntry {
        response_code: outcome.code,
        response_flags: outcome.flags.clone(),
        response_code_details,
        bytes_received: outcome.bytes_received,
        bytes_sent: outcome.bytes_sent,
        duration: outcome.duration,
        upstream_service_time: outcome.upstream_time,
        grpc_status: outcome.grpc_status,
        ..entry
    }
}
