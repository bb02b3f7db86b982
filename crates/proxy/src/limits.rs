//! Every limit of the data plane that a plan does not set. A limit that is hit shows in a counter and in the answer.

use std::time::Duration;

/// Open connections per listener and worker when the plan names no limit.
pub(crate) const CONNECTIONS_PER_LISTENER: u32 = 10_000;
/// Envoy's circuit breaker defaults, which Consul's users know.
pub(crate) const CONNECTIONS_PER_TARGET: u32 = 1024;
pub(crate) const PENDING_PER_TARGET: u32 = 1024;
pub(crate) const REQUESTS_PER_TARGET: u32 = 1024;
/// Streams put on one HTTP/2 connection before another is opened: below every server's usual limit.
pub(crate) const STREAMS_PER_CONNECTION: u32 = 100;
/// How many connections are waited for before a request for a stream is given up.
pub(crate) const OPENINGS_PER_LEASE: u32 = 8;
/// Streams that a caller may have open on one connection.
pub(crate) const STREAMS_ACCEPTED: u32 = 1024;
/// Request or response head, HTTP/1.1 (bytes read) and HTTP/2 (decoded list). The number of headers is limited to 100
/// by the parser, which keeps them on its stack.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;
/// HTTP/2 flow control: what may be in flight unread per stream and per connection. Nothing else buffers a body.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
pub(crate) const STREAM_SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Per direction of a TCP connection or WebSocket.
pub(crate) const COPY_BUFFER_BYTES: usize = 16 * 1024;
/// A request body is kept up to this size for another attempt, on routes that allow one after an answer.
pub(crate) const KEPT_REQUEST_BYTES: usize = 64 * 1024;
/// Attempts after the first that may run at a time, per target and worker: retries must not become the load.
pub(crate) const RETRIES_PER_TARGET: u32 = 16;
/// HTTP/1.1 connections kept for the next request, per host.
pub(crate) const IDLE_PER_HOST: usize = 128;
/// An unused upstream connection is closed after this long.
pub(crate) const UPSTREAM_IDLE: Duration = Duration::from_secs(60);
/// A caller's connection without a request is closed after this long (Envoy's default).
pub(crate) const DOWNSTREAM_IDLE: Duration = Duration::from_secs(3600);
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent HTTP/2 connection with open streams is probed, and given up when the probe is not answered.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(30);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections waiting in the kernel for `accept`.
pub(crate) const BACKLOG: i32 = 1024;
/// TLS sessions remembered per host; tickets are used once.
pub(crate) const SESSIONS_PER_HOST: usize = 32;
/// Distinct gRPC paths with a cell of their own, per peer and worker; the rest is counted as `other`.
pub(crate) const PATHS_PER_PEER: usize = 256;
/// Distinct callers (service and label header) remembered per listener and worker.
pub(crate) const CALLERS_PER_LISTENER: usize = 1024;
/// The pause before accepting again when no file descriptor is left.
pub(crate) const PAUSE_WITHOUT_FILES: Duration = Duration::from_millis(50);
