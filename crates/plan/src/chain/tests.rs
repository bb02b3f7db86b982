#![allow(clippy::unwrap_used)]
//! What the recorded chains (`conformance/chain`) cannot show: the limits of every graph.

use model::{Failover, ServiceSplit, ServiceSplitter};
use proptest::prelude::*;

use super::*;

fn question(service: &str) -> Question {
    Question {
        service: service.to_owned(),
        datacenter: "dc1".to_owned(),
        trust_domain: "t.consul".to_owned(),
        ..Question::default()
    }
}

fn http() -> Entries {
    let config = serde_json::json!({"protocol": "http"}).as_object().unwrap().clone();
    Entries { proxy_defaults: Some(ProxyDefaults { config, ..ProxyDefaults::default() }), ..Entries::default() }
}

/// Entries over a handful of names, circles and missing subsets included.
fn any_entries() -> impl Strategy<Value = Entries> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let splits = prop::collection::vec((name(), 1_u8..100), 1..4);
    let splitters = prop::collection::btree_map(name(), splits, 0..4);
    let redirects = prop::collection::btree_map(name(), (name(), any::<bool>()), 0..4);
    (splitters, redirects).prop_map(|(splitters, redirects)| {
        let mut entries = http();
        for (service, splits) in splitters {
            let split = |(service, weight): (&str, u8)| ServiceSplit {
                weight: f32::from(weight),
                service: service.to_owned(),
                ..ServiceSplit::default()
            };
            let splits = splits.into_iter().map(split).collect();
            entries.splitters.insert(service.to_owned(), ServiceSplitter { splits });
        }
        for (service, (to, instead)) in redirects {
            let mut resolver = ServiceResolver::default();
            if instead {
                resolver.redirect = Some(model::Redirect { service: to.to_owned(), ..Default::default() });
            } else {
                let failover = Failover { service: to.to_owned(), ..Failover::default() };
                resolver.failover.insert("*".to_owned(), failover);
            }
            entries.resolvers.insert(service.to_owned(), resolver);
        }
        entries
    })
}

proptest! {
    /// Whatever is written, compiling ends; and what it gives is whole: every name leads somewhere, no splitter leads
    /// to a splitter, nothing hangs loose.
    #[test]
    fn every_chain_is_whole(entries in any_entries()) {
        for service in ["a", "b", "c", "d"] {
            let Ok(chain) = compile(&entries, &question(service)) else { continue };
            prop_assert!(chain.nodes.contains_key(&chain.start_node));
            let mut used = std::collections::BTreeSet::new();
            for (key, node) in &chain.nodes {
                prop_assert_eq!(&node.key(), key);
                match &node.work {
                    Work::Routes(_) => prop_assert!(false, "there is no router"),
                    Work::Splits(splits) => for split in splits {
                        let next = &chain.nodes[&split.next_node];
                        prop_assert!(matches!(next.work, Work::Resolver(_)));
                    },
                    Work::Resolver(resolver) => {
                        used.insert(resolver.target.clone());
                        used.extend(resolver.failover.iter().flat_map(|failover| failover.targets.clone()));
                    }
                }
            }
            prop_assert_eq!(used, chain.targets.keys().cloned().collect());
        }
    }
}

#[test]
fn a_deep_tower_of_splitters_is_flattened() {
    let mut entries = http();
    for n in 0..100 {
        let split = ServiceSplit { weight: 100.0, service: format!("s{}", n + 1), ..ServiceSplit::default() };
        entries.splitters.insert(format!("s{n}"), ServiceSplitter { splits: vec![split] });
    }
    let chain = compile(&entries, &question("s0")).unwrap();
    assert_eq!(chain.nodes.len(), 2);
    assert_eq!(chain.targets.keys().collect::<Vec<_>>(), ["s100.default.dc1"]);
}
