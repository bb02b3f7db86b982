//! Intentions become the rules of a listener.

use model::{Intention, WILDCARD, sort_by_precedence};

use crate::{Rule, Source};

/// The rules that decide over calls to `service`, the most exact first. Two intentions never name the same pair, so
/// the first rule whose source matches is the intention that Consul would choose.
pub fn rules(intentions: &[Intention], service: &str) -> Vec<Rule> {
    let mut matching: Vec<Intention> = intentions
        .iter()
        .filter(|i| i.destination_name == WILDCARD || i.destination_name == service)
        .cloned()
        .collect();
    sort_by_precedence(&mut matching);
    matching.iter().map(rule).collect()
}

fn rule(intention: &Intention) -> Rule {
    let source = match intention.source_name.as_str() {
        WILDCARD => Source::Any,
        name => Source::Service(name.to_owned()),
    };
    Rule { source, action: intention.action, intention: intention.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Action, decide};

    /// The proxy walks the rules; Consul picks by precedence. Both must choose alike, whatever the order given.
    #[test]
    fn first_match_over_the_rules_is_the_most_exact_intention() {
        let names = ["*", "web", "api", "db"];
        let mut intentions = Vec::new();
        for (i, source) in names.iter().enumerate() {
            for (j, destination) in names.iter().enumerate() {
                let action = if (i * 7 + j * 3) % 4 < 2 { Action::Allow } else { Action::Deny };
                intentions.push(Intention { id: format!("{i}{j}"), ..Intention::new(source, destination, action) });
            }
        }
        for skip in 0..intentions.len() {
            let mut some = intentions.clone();
            some.remove(skip);
            some.rotate_left(skip);
            for destination in ["web", "api", "db", "other"] {
                let rules = rules(&some, destination);
                for source in ["web", "api", "db", "other"] {
                    let first = rules.iter().find(|rule| match &rule.source {
                        Source::Any => true,
                        Source::Service(name) => name == source,
                    });
                    let chosen = decide(&some, source, destination);
                    assert_eq!(first.map(|r| r.intention.clone()), chosen.map(ToString::to_string));
                }
            }
        }
    }
}
