//! What a listener and a target count besides requests: connections, handshakes, bytes, attempts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down; workers' gauges are added.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares a set of counters and gauges once: the live struct, its merged values, and the merging.
macro_rules! counters {
    ($(#[$doc:meta])* $live:ident / $values:ident {
        $(counter $(#[$cdoc:meta])* $c:ident,)* ; $(gauge $(#[$gdoc:meta])* $g:ident,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $live { $($(#[$cdoc])* pub $c: Counter,)* $($(#[$gdoc])* pub $g: Gauge,)* }

        /// The same, read and added over workers.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $values { $(pub $c: u64,)* $(pub $g: u64,)* }

        impl $values {
            pub(crate) fn add(&mut self, live: &$live) {
                $(self.$c += live.$c.get();)*
                // A gauge that one worker raises and another lowers is only right as a sum, and never below zero.
                $(self.$g = self.$g.wrapping_add_signed(live.$g.get());)*
            }

            pub(crate) fn settle(&mut self) {
                $(if self.$g > i64::MAX as u64 { self.$g = 0; })*
            }
        }
    };
}

counters! {
    /// One listener on one worker.
    ListenerCounters / ListenerValues {
        counter cx_total,
        counter cx_destroy_local,
        counter cx_destroy_remote,
        counter cx_http1_total,
        counter cx_http2_total,
        counter cx_upgrades_total,
        counter cx_protocol_error,
        counter cx_idle_timeout,
        counter
        /// Connections refused because a limit was reached.
        overflow,
        counter rx_bytes,
        counter tx_bytes,
        counter
        /// Requests begun; those finished are counted by the cells.
        rq_total,
        counter rq_rx_reset,
        counter rq_tx_reset,
        counter rq_timeout,
        counter rbac_allowed,
        counter rbac_denied,
        counter ssl_handshake,
        counter ssl_session_reused,
        counter ssl_connection_error,
        counter ssl_fail_verify_no_cert,
        counter ssl_fail_verify_error,
        counter
        /// The certificate is good and the identity in it is not one that may connect.
        ssl_fail_verify_san,
        counter
        /// No route, or for TCP no target.
        no_route,
        ;
        gauge cx_active,
        gauge rq_active,
    }
}

counters! {
    /// One target (`[subset.]service.namespace.datacenter`, or `local_app`) on one worker.
    TargetCounters / TargetValues {
        counter cx_total,
        counter cx_http1_total,
        counter cx_http2_total,
        counter cx_connect_fail,
        counter cx_connect_timeout,
        counter cx_destroy,
        counter cx_destroy_local,
        counter cx_destroy_remote,
        counter cx_none_healthy,
        counter cx_overflow,
        counter cx_idle_timeout,
        counter cx_protocol_error,
        counter rx_bytes,
        counter tx_bytes,
        counter
        /// Attempts: a request that is tried twice counts twice.
        rq_total,
        counter rq_pending_total,
        counter rq_pending_overflow,
        counter rq_pending_failure_eject,
        counter
        /// Instances left out for their answers.
        ejections_total,
        counter rq_retry,
        counter rq_retry_success,
        counter rq_retry_overflow,
        counter rq_retry_limit_exceeded,
        counter rq_timeout,
        counter rq_per_try_timeout,
        counter rq_rx_reset,
        counter rq_tx_reset,
        counter rq_cancelled,
        counter ssl_handshake,
        counter ssl_session_reused,
        counter ssl_connection_error,
        counter ssl_fail_verify_error,
        counter ssl_fail_verify_san,
        ;
        gauge cx_active,
        gauge rq_active,
        gauge rq_pending_active,
    }
}
