//! When results in a row change the status.

use model::{CheckDefinition, Status};

/// Counts results in a row. Consul's defaults of 0 and 0 let every result through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thresholds {
    passing: u32,
    warning: u32,
    critical: u32,
    successes: u32,
    failures: u32,
}

impl Thresholds {
    pub fn of(check: &CheckDefinition) -> Self {
        let critical = check.failures_before_critical;
        let warning = if check.failures_before_warning == 0 { critical } else { check.failures_before_warning };
        Self { passing: check.success_before_passing, warning, critical, successes: 0, failures: 0 }
    }

    /// The status to believe after this result, if any. A warning counts as a success here, as it does in Consul.
    pub fn believe(&mut self, status: Status) -> Option<Status> {
        if status == Status::Critical {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.critical {
                return Some(Status::Critical);
            }
            (self.failures >= self.warning).then_some(Status::Warning)
        } else {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            (self.successes >= self.passing).then_some(status)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::CheckKind;

    use super::*;

    fn run(passing: u32, warning: u32, critical: u32, results: &str) -> String {
        let mut check = CheckDefinition::new("x", CheckKind::Ttl(Duration::ZERO));
        check.success_before_passing = passing;
        check.failures_before_warning = warning;
        check.failures_before_critical = critical;
        let mut thresholds = Thresholds::of(&check);
        let status = |c| match c {
            'p' => Status::Passing,
            'w' => Status::Warning,
            _ => Status::Critical,
        };
        let letter =
            |status: Option<Status>| status.map_or('-', |status| status.as_str().chars().next().unwrap_or('?'));
        results.chars().map(|c| letter(thresholds.believe(status(c)))).collect()
    }

    #[test]
    fn a_status_changes_after_so_many_results_in_a_row() {
        assert_eq!(run(0, 0, 0, "pcwpc"), "pcwpc");
        assert_eq!(run(3, 0, 2, "ppcpppcc"), "-----p-c");
        assert_eq!(run(1, 0, 1, "pc"), "pc");
        assert_eq!(run(0, 2, 4, "pcccccp"), "p-wwccp");
    }
}
