//! Passive health checks: an instance that answers badly several times in a row is left out for a while.

use std::cell::Cell;
use std::time::{Duration, Instant};

use plan::Ejection;

/// Ejections in a row are longer and longer, up to this.
const LONGEST: Duration = Duration::from_secs(300);

/// What is known of one instance from its answers. Kept with its pool over plan changes.
#[derive(Default)]
pub(crate) struct Conduct {
    /// Bad answers in a row.
    failures: Cell<u32>,
    ejections: Cell<u32>,
    out_until: Cell<Option<Instant>>,
}

impl Conduct {
    /// Left out at this moment. An ejection that is over is forgotten; how many there were is not.
    pub fn is_out(&self) -> bool {
        let Some(until) = self.out_until.get() else { return false };
        let out = Instant::now() < until;
        if !out {
            self.out_until.set(None);
            self.failures.set(0);
        }
        out
    }

    pub fn good(&self) {
        self.failures.set(0);
        if self.out_until.get().is_none() {
            // One good answer after each ejection makes the next one as short as the first again, step by step.
            self.ejections.set(self.ejections.get().saturating_sub(1));
        }
    }

    /// True when the instance is to be left out now, if `room` allows it.
    pub fn bad(&self, rule: &Ejection, room: impl FnOnce() -> bool) -> bool {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        if failures < rule.consecutive_failures || self.is_out() || !room() {
            return false;
        }
        if rule.enforcing < 100 && fastrand::u32(..100) >= rule.enforcing {
            self.failures.set(0);
            return false;
        }
        let times = self.ejections.get() + 1;
        self.ejections.set(times);
        let long = rule.base_time.saturating_mul(times).min(LONGEST.max(rule.base_time));
        self.out_until.set(Some(Instant::now() + long));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(base_time: Duration) -> Ejection {
        Ejection {
            consecutive_failures: 3,
            interval: Duration::from_secs(10),
            base_time,
            max_percent: 10,
            enforcing: 100,
        }
    }

    #[test]
    fn three_in_a_row_and_not_three_in_all() {
        let (conduct, rule) = (Conduct::default(), rule(Duration::from_secs(30)));
        let bad = || conduct.bad(&rule, || true);
        assert!(!bad() && !bad());
        conduct.good();
        assert!(!bad() && !bad() && bad() && conduct.is_out());
        assert!(!bad(), "it is out already");
    }

    #[test]
    fn no_room_no_ejection_and_an_ejection_ends() {
        let (conduct, rule) = (Conduct::default(), rule(Duration::ZERO));
        assert!((0..5).all(|_| !conduct.bad(&rule, || false)));
        assert!(conduct.bad(&rule, || true));
        assert!(!conduct.is_out(), "it was for no time at all");
        assert!(!conduct.bad(&rule, || true), "it starts anew");
    }
}
