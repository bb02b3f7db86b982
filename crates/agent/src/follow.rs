//! One blocking query after another, for ever: the latest value, never a queue of events.

use std::time::Duration;

use client::{Answer, Client, Query};
use serde::de::DeserializeOwned;

const WAIT: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// For an answer without an index: blocking on it would spin.
const POLL: Duration = Duration::from_millis(500);

/// Calls `apply` with every new answer of a blocking read. On failure what was last known stays, and the read is
/// tried again, later each time.
pub(crate) async fn follow<T: DeserializeOwned>(
    client: impl Fn() -> Client,
    path: &str,
    more: &[(&str, &str)],
    mut apply: impl FnMut(Answer<T>),
) {
    let mut index = 0;
    let mut backoff = Backoff::default();
    loop {
        let query = more.iter().fold(Query::blocking(index, WAIT), |query, (name, value)| query.with(name, value));
        match client().get::<T>(path, &query).await {
            Ok(answer) => {
                backoff.succeeded(path);
                let next = answer.index;
                if next != index || next == 0 {
                    apply(answer);
                }
                if next == 0 {
                    tokio::time::sleep(POLL).await;
                }
                // A server that was restored may have gone back; then everything is read anew.
                index = if next < index { 0 } else { next };
            }
            Err(error) => tokio::time::sleep(backoff.failed(path, &error)).await,
        }
    }
}

/// Pauses after failures: doubling, with a random part, and one line in the log for a row of them.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn failed(&mut self, what: &str, error: &dyn std::fmt::Display) -> Duration {
        if self.failures == 0 {
            tracing::warn!("{what}: {error}; going on with what is known and trying again");
        } else {
            tracing::debug!("{what}: {error}");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub fn succeeded(&mut self, what: &str) {
        if self.failures > 0 {
            tracing::info!("{what}: answered again");
            self.failures = 0;
        }
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::with_capacity(name.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
