use model::{Action, ConfigEntry, EntryKind, Intention, Node, ServiceDefaults, Status};
use store::{CaConfig, CaRoot, Registration, Removal, Secret};

use crate::{check, node, service, store, with_check, with_service};

fn rule(id: &str, source: &str, destination: &str, action: Action) -> Intention {
    Intention { id: id.to_owned(), ..Intention::new(source, destination, action) }
}

#[tokio::test]
async fn equal_registrations_write_nothing_and_new_ones_keep_their_creation() {
    let store = store().await;
    let first = store.register(with_service("n", service("web", "web"))).await.unwrap();
    assert_eq!(store.register(with_service("n", service("web", "web"))).await.unwrap(), first);
    let mut changed = service("web", "web");
    changed.port = 80;
    let second = store.register(with_service("n", changed)).await.unwrap();
    assert!(second > first);
    let state = store.state();
    let stored = state.service("n", "web").unwrap();
    assert_eq!((stored.create_index, stored.modify_index), (first, second));
    assert_eq!(state.node("n").unwrap().modify_index, first, "the node did not change");
}

#[tokio::test]
async fn refusals_are_in_consuls_words() {
    let store = store().await;
    let nameless = Registration { node: node(""), ..Registration::default() };
    let homeless = Registration { node: Node { address: String::new(), ..node("n") }, ..Registration::default() };
    let mut elsewhere = check("c", "", Status::Passing);
    elsewhere.check.node = "m".to_owned();
    for (registration, words) in [
        (nameless, "Must provide node"),
        (homeless, "Must provide address if SkipNodeUpdate is not set"),
        (with_service("n", service("", "x")), "Must provide service name with ID"),
        (with_check("n", elsewhere), "check node \"m\" does not match node \"n\""),
        (
            with_check("n", check("c", "none", Status::Passing)),
            "failed inserting check: Missing service registration on node \"n\"",
        ),
    ] {
        assert_eq!(store.register(registration).await.unwrap_err().to_string(), words);
    }
    assert!(store.state().node("n").is_none(), "a refused write leaves nothing behind");
    let error = store.deregister("", &Removal::Node).await.unwrap_err();
    assert_eq!(error.to_string(), "Must provide node");
}

#[tokio::test]
async fn checks_follow_their_service_and_go_with_it() {
    let store = store().await;
    store.register(with_service("n", service("web", "web"))).await.unwrap();
    store.register(with_check("n", check("c", "web", Status::Passing))).await.unwrap();
    let mut tagged = service("web", "web");
    tagged.tags = vec!["v2".to_owned()];
    store.register(with_service("n", tagged)).await.unwrap();
    assert_eq!(store.state().check("n", "c").unwrap().check.service_tags, ["v2"]);
    store.deregister("n", &Removal::Service("web".to_owned())).await.unwrap();
    assert!(store.state().check("n", "c").is_none());
    assert!(store.state().service_tags(|_| true).is_empty());
}

#[tokio::test]
async fn a_node_id_under_another_name_renames_the_node() {
    let store = store().await;
    let named = |name: &str| Registration {
        node: Node { id: "40e4a748-2192-161a-0510-9bf59fe950b5".to_owned(), ..node(name) },
        service: Some(service("web", "web")),
        ..Registration::default()
    };
    store.register(named("old")).await.unwrap();
    store.register(named("new")).await.unwrap();
    let state = store.state();
    assert!(state.node("old").is_none());
    let on: Vec<_> = state.instances("web").iter().map(|i| i.node.node.clone()).collect();
    assert_eq!(on, ["new"]);
}

#[tokio::test]
async fn compare_and_set_of_entries() {
    let store = store().await;
    let entry = |protocol: &str| {
        let protocol = protocol.to_owned();
        ConfigEntry::ServiceDefaults(ServiceDefaults { name: "web".into(), protocol, ..ServiceDefaults::default() })
    };
    let kind = EntryKind::ServiceDefaults;
    assert!(store.put_config(entry("http"), Some(0), |_| Ok(())).await.unwrap());
    assert!(!store.put_config(entry("grpc"), Some(0), |_| Ok(())).await.unwrap());
    let index = store.state().config(kind, "web").unwrap().modify_index;
    assert!(!store.delete_config(kind, "web", Some(index + 1), |_| Ok(())).await.unwrap());
    assert!(store.put_config(entry("http2"), Some(index), |_| Ok(())).await.unwrap());
    assert!(store.delete_config(kind, "web", None, |_| Ok(())).await.unwrap());
    assert!(store.state().config(kind, "web").is_none());
}

#[tokio::test]
async fn one_rule_for_a_pair_however_many_try_at_once() {
    let store = store().await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        writers.spawn(async move { store.create_intention(rule(&n.to_string(), "web", "db", Action::Deny)).await });
    }
    let results = writers.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = results.into_iter().find_map(Result::err).unwrap().to_string();
    assert!(refused.starts_with("duplicate intention found: DENY default/web => default/db (ID: "), "{refused}");
    // Moving a rule onto a pair that has one is refused, onto a free pair it moves.
    store.create_intention(rule("other", "api", "db", Action::Allow)).await.unwrap();
    assert!(store.update_intention(rule("other", "web", "db", Action::Allow)).await.is_err());
    store.update_intention(rule("other", "api", "*", Action::Allow)).await.unwrap();
    let order: Vec<_> = store.state().intentions().iter().map(|i| i.precedence()).collect();
    assert_eq!(order, [9, 6]);
}

#[tokio::test]
async fn serials_are_given_once_and_keys_are_not_printed() {
    let store = store().await;
    let config = CaConfig {
        cluster_id: "c".into(),
        provider: "consul".into(),
        config: Default::default(),
        force_without_cross_signing: false,
    };
    let root = CaRoot {
        id: "r".into(),
        active: true,
        description: Default::default(),
        key: Secret::new("the-secret-key".into()),
        intermediates: Vec::new(),
        rotated_out_at: 0,
    };
    store.initialise_ca(config.clone(), root.clone(), 7).await.unwrap();
    store.initialise_ca(config, CaRoot { id: "late".into(), ..root }, 100).await.unwrap();
    assert_eq!(store.state().ca_roots().count(), 1, "the first one stays");
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        takers.spawn(async move { store.next_serial().await.map(|(_, serial)| serial) });
    }
    let mut serials: Vec<u64> = takers.join_all().await.into_iter().map(Result::unwrap).collect();
    serials.sort_unstable();
    assert_eq!(serials, (8..108).collect::<Vec<_>>());
    assert!(!format!("{:?}", store.state()).contains("the-secret-key"));
}
