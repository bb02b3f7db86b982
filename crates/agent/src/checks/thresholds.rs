//! When results in a row change the status.

use model::{CheckDefinition, Status};

/// Counts results in a row. Consul's defaults of 0 and 0 let every result through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thresholds {
    passing: u32,
    critical: u32,
    successes: u32,
    failures: u32,
}

impl Thresholds {
    pub fn of(check: &CheckDefinition) -> Self {
        let (passing, critical) = (check.success_before_passing, check.failures_before_critical);
        Self { passing, critical, successes: 0, failures: 0 }
    }

    /// True when this result is to be believed. A warning counts as a success here, as it does in Consul.
    pub fn believe(&mut self, status: Status) -> bool {
        if status == Status::Critical {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            self.failures >= self.critical
        } else {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            self.successes >= self.passing
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::CheckKind;

    use super::*;

    fn run(passing: u32, critical: u32, results: &str) -> String {
        let mut check = CheckDefinition::new("x", CheckKind::Ttl(Duration::ZERO));
        check.success_before_passing = passing;
        check.failures_before_critical = critical;
        let mut thresholds = Thresholds::of(&check);
        let status = |c| if c == 'p' { Status::Passing } else { Status::Critical };
        results.chars().map(|c| if thresholds.believe(status(c)) { c } else { '-' }).collect()
    }

    #[test]
    fn a_status_changes_after_so_many_results_in_a_row() {
        assert_eq!(run(0, 0, "pcpc"), "pcpc");
        assert_eq!(run(3, 2, "ppcpppcc"), "-----p-c");
        assert_eq!(run(1, 1, "pc"), "pc");
    }
}
