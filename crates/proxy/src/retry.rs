//! May a failed attempt be made again? When nothing of the request was sent, or when the route says that more than one
//! attempt does no harm.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use plan::{Retry, RetryOn};

use crate::answer::{Failure, Kind};

/// A kept connection may turn out to be closed when it is used; a fresh one cannot for the same reason. Bounded in case
/// a host closes everything at once.
const STALE_LIMIT: u32 = 2;
/// The pause before an attempt that follows an answer: a random part of it, doubled each time. Envoy's numbers.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What is left of the route's patience with one request.
pub(crate) struct Budget<'a> {
    retry: &'a Retry,
    attempts: u32,
    stale: u32,
    pause: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// On another host, if there is one.
    Elsewhere,
    /// On the same host over a new connection: the host did nothing wrong.
    Fresh,
    No,
}

impl<'a> Budget<'a> {
    pub fn new(retry: &'a Retry) -> Self {
        Self { retry, attempts: retry.attempts, stale: STALE_LIMIT, pause: FIRST_PAUSE }
    }

    /// True when an attempt that reached the application may be made again, so that what was sent must be kept.
    pub fn keeps_request(retry: &Retry) -> bool {
        retry.attempts > 0 && !(retry.on.is_empty() && retry.on_statuses.is_empty())
    }

    fn on(&self, any: &[RetryOn]) -> bool {
        self.retry.on.iter().any(|on| any.contains(on))
    }

    /// Nothing of the request was sent. `others`: how many other hosts could be asked.
    pub fn again(&mut self, failure: &Failure, others: usize) -> Again {
        if !failure.kind.retry_safe() {
            return Again::No;
        }
        if failure.kind == Kind::ClosedUnused {
            return take(&mut self.stale, Again::Fresh);
        }
        let wanted = self.retry.on_connect_failure || self.on(&[RetryOn::ConnectFailure, RetryOn::ServerError]);
        // Asking the host that just refused gives the same refusal a moment later.
        if others == 0 || !wanted { Again::No } else { take(&mut self.attempts, Again::Elsewhere) }
    }

    /// The connection ended before an answer came.
    pub fn again_after_reset(&mut self) -> Again {
        let wanted = self.on(&[RetryOn::Reset, RetryOn::RefusedStream, RetryOn::ServerError]);
        if wanted { take(&mut self.attempts, Again::Elsewhere) } else { Again::No }
    }

    /// An answer came that the route does not take for one.
    pub fn again_after(&mut self, status: StatusCode, headers: &HeaderMap) -> Again {
        let code = status.as_u16();
        let grpc = || headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse::<u8>().ok());
        let wanted = self.retry.on_statuses.contains(&code)
            || (code >= 500 && self.on(&[RetryOn::ServerError]))
            || (matches!(code, 502..=504) && self.on(&[RetryOn::GatewayError]))
            || (code == 409 && self.on(&[RetryOn::Retriable4xx]))
            || (self.retry.on.iter().any(|on| on.grpc_status().is_some_and(|status| grpc() == Some(status))));
        if wanted { take(&mut self.attempts, Again::Elsewhere) } else { Again::No }
    }

    /// How long to wait before the next attempt after an answer.
    pub fn pause(&mut self) -> Duration {
        let pause = self.pause.mul_f64(fastrand::f64());
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        pause
    }

    pub fn is_spent(&self) -> bool {
        self.retry.attempts > 0 && self.attempts == 0
    }
}

fn take(left: &mut u32, then: Again) -> Again {
    match left.checked_sub(1) {
        Some(less) => {
            *left = less;
            then
        }
        None => Again::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: Kind) -> Failure {
        Failure::new(kind, "")
    }

    #[test]
    fn one_retry_on_connect_failure_and_none_once_bytes_were_sent() {
        let once = Retry { attempts: 1, on_connect_failure: true, ..Retry::default() };
        let mut budget = Budget::new(&once);
        assert_eq!(budget.again(&failure(Kind::Closed), 3), Again::No);
        assert_eq!(budget.again_after_reset(), Again::No);
        assert_eq!(budget.again_after(StatusCode::BAD_GATEWAY, &HeaderMap::new()), Again::No);
        assert_eq!(budget.again(&failure(Kind::ConnectFailed), 0), Again::No);
        assert_eq!(budget.again(&failure(Kind::ConnectFailed), 3), Again::Elsewhere);
        assert_eq!(budget.again(&failure(Kind::ConnectFailed), 3), Again::No);
        assert_eq!(budget.again(&failure(Kind::ClosedUnused), 0), Again::Fresh);
        let never = Retry { attempts: 5, ..Retry::default() };
        assert_eq!(Budget::new(&never).again(&failure(Kind::ConnectTimeout), 3), Again::No);
    }

    #[test]
    fn answers_are_tried_again_as_the_route_says() {
        let after = |on: &[RetryOn], statuses: &[u16], status: u16, grpc: Option<&'static str>| {
            let retry = Retry { attempts: 1, on: on.to_vec(), on_statuses: statuses.to_vec(), ..Retry::default() };
            let mut headers = HeaderMap::new();
            grpc.map(|status| headers.insert("grpc-status", http::HeaderValue::from_static(status)));
            let status = StatusCode::from_u16(status).unwrap_or_default();
            Budget::new(&retry).again_after(status, &headers) == Again::Elsewhere
        };
        assert!(after(&[RetryOn::ServerError], &[], 500, None) && !after(&[RetryOn::ServerError], &[], 404, None));
        assert!(after(&[RetryOn::GatewayError], &[], 503, None) && !after(&[RetryOn::GatewayError], &[], 500, None));
        assert!(after(&[RetryOn::Retriable4xx], &[], 409, None) && !after(&[RetryOn::Retriable4xx], &[], 404, None));
        assert!(after(&[], &[418], 418, None) && !after(&[], &[418], 500, None));
        assert!(after(&[RetryOn::Unavailable], &[], 200, Some("14")));
        assert!(!after(&[RetryOn::Unavailable], &[], 200, Some("13")) && !after(&[RetryOn::Internal], &[], 200, None));
    }
}
