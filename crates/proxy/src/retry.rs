//! May a failed attempt be made again? Only when nothing of the request was sent.

use plan::Retry;

use crate::answer::{Failure, Kind};

/// A kept connection may turn out to be closed when it is used; a fresh one cannot for the same reason. Bounded in case
/// a host closes everything at once.
const STALE_LIMIT: u32 = 2;

/// What is left of the route's patience with one request.
pub(crate) struct Budget {
    attempts: u32,
    stale: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// On another host, if there is one.
    Elsewhere,
    /// On the same host over a new connection: the host did nothing wrong.
    Fresh,
    No,
}

impl Budget {
    pub fn new(retry: &Retry) -> Self {
        Self { attempts: if retry.on_connect_failure { retry.attempts } else { 0 }, stale: STALE_LIMIT }
    }

    /// `others`: how many other hosts could be asked.
    pub fn again(&mut self, failure: &Failure, others: usize) -> Again {
        if !failure.kind.retry_safe() {
            return Again::No;
        }
        if failure.kind == Kind::ClosedUnused {
            return take(&mut self.stale, Again::Fresh);
        }
        // Asking the host that just refused gives the same refusal a moment later.
        if others == 0 { Again::No } else { take(&mut self.attempts, Again::Elsewhere) }
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

    #[test]
    fn one_retry_on_connect_failure_and_none_once_bytes_were_sent() {
        let failure = |kind| Failure::new(kind, "");
        let mut budget = Budget::new(&Retry { attempts: 1, on_connect_failure: true });
        assert_eq!(budget.again(&failure(Kind::Closed), 3), Again::No);
        assert_eq!(budget.again(&failure(Kind::ConnectFailed), 0), Again::No);
        assert_eq!(budget.again(&failure(Kind::ConnectFailed), 3), Again::Elsewhere);
        assert_eq!(budget.again(&failure(Kind::ConnectFailed), 3), Again::No);
        assert_eq!(budget.again(&failure(Kind::ClosedUnused), 0), Again::Fresh);
        let mut never = Budget::new(&Retry { attempts: 5, on_connect_failure: false });
        assert_eq!(never.again(&failure(Kind::ConnectTimeout), 3), Again::No);
    }
}
