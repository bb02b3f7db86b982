use std::time::{Duration, Instant};

use model::{Action, ConfigEntry, EntryKind, Intention, ServiceDefaults, Status};
use store::{KvWrite, Removal, Store, Topic};

use crate::{check, proxy_of, service, store, with_check, with_service};

/// Long enough to be noticed when it is waited for in full.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(40);

/// Waits for `topic` from the present on while `change` happens; true: woken by it.
async fn woken_by<F: Future>(store: &Store, topic: Topic, change: F) -> bool {
    let topics = [topic];
    let after = store.state().index_of(&topics);
    let (state, _) = tokio::join!(store.block(&topics, after, SHORT), change);
    state.index_of(&topics) > after
}

fn defaults(name: &str) -> ConfigEntry {
    ConfigEntry::ServiceDefaults(ServiceDefaults { name: name.to_owned(), ..ServiceDefaults::default() })
}

#[tokio::test]
async fn a_service_wakes_for_itself_its_node_and_its_checks_and_for_nothing_else() {
    let store = store().await;
    store.register(with_service("n1", service("web", "web-1"))).await.unwrap();
    store.register(with_service("n2", service("db", "db-1"))).await.unwrap();
    let web = || Topic::service("Web");
    for (what, change, wakes) in [
        ("own check", with_check("n1", check("c1", "web-1", Status::Passing)), true),
        ("own check's status", with_check("n1", check("c1", "web-1", Status::Critical)), true),
        ("the same again", with_check("n1", check("c1", "web-1", Status::Critical)), false),
        ("check of its node", with_check("n1", check("node", "", Status::Passing)), true),
        ("check of another node", with_check("n2", check("node", "", Status::Passing)), false),
        ("check of another service", with_check("n2", check("c1", "db-1", Status::Passing)), false),
        ("another service", with_service("n2", service("cache", "cache-1")), false),
        ("another instance", with_service("n2", service("web", "web-2")), true),
    ] {
        assert_eq!(woken_by(&store, web(), store.register(change)).await, wakes, "{what}");
    }
    assert!(woken_by(&store, web(), store.deregister("n1", &Removal::Node)).await);
    assert!(woken_by(&store, web(), store.deregister("N2", &Removal::Service("web-2".to_owned()))).await);
    assert!(store.state().instances("web").is_empty());
}

#[tokio::test]
async fn an_unknown_service_has_the_index_of_all_and_wakes_when_it_appears() {
    let store = store().await;
    let index = store.register(with_service("n1", service("db", "db"))).await.unwrap();
    assert_eq!(store.state().index_of(&[Topic::service("web")]), index);
    assert!(woken_by(&store, Topic::service("web"), store.register(with_service("n1", service("web", "web")))).await);
    assert!(!woken_by(&store, Topic::service("web"), store.register(with_service("n1", service("x", "x")))).await);
    // The index does not go back when the last instance is gone.
    let before = store.state().index_of(&[Topic::service("web")]);
    store.deregister("n1", &Removal::Service("web".to_owned())).await.unwrap();
    assert!(store.state().index_of(&[Topic::service("web")]) > before);
}

#[tokio::test]
async fn connect_wakes_for_the_proxies_of_a_service() {
    let store = store().await;
    store.register(with_service("n1", service("web", "web"))).await.unwrap();
    let connect = || Topic::connect("web");
    assert!(woken_by(&store, connect(), store.register(with_service("n1", proxy_of("web", "web-proxy")))).await);
    assert_eq!(store.state().connect_instances("WEB").len(), 1);
    let failing = with_check("n1", check("c", "web-proxy", Status::Critical));
    assert!(woken_by(&store, connect(), store.register(failing)).await);
    // The proxy now speaks for another service.
    assert!(woken_by(&store, connect(), store.register(with_service("n1", proxy_of("db", "web-proxy")))).await);
    assert!(store.state().connect_instances("web").is_empty());
}

#[tokio::test]
async fn entries_and_intentions_wake_by_name() {
    let store = store().await;
    let web = || Topic::config(EntryKind::ServiceDefaults, "web");
    assert!(woken_by(&store, web(), store.put_config(defaults("web"), None, |_| Ok(()))).await);
    assert!(!woken_by(&store, web(), store.put_config(defaults("api"), None, |_| Ok(()))).await);
    let kind = Topic::ConfigKind(EntryKind::ServiceDefaults);
    assert!(
        woken_by(&store, kind, store.put_config(defaults("api"), None, |_| Ok(()))).await,
        "an equal entry counts as a write"
    );
    assert!(woken_by(&store, web(), store.delete_config(EntryKind::ServiceDefaults, "web", None, |_| Ok(()))).await);
    let rule = |id: &str, source: &str, destination: &str| {
        let mut rule = Intention::new(source, destination, Action::Allow);
        rule.id = id.to_owned();
        store.create_intention(rule)
    };
    assert!(woken_by(&store, Topic::IntentionsTo("db".into()), rule("1", "web", "db")).await);
    assert!(!woken_by(&store, Topic::IntentionsTo("db".into()), rule("2", "web", "api")).await);
    assert!(woken_by(&store, Topic::IntentionsFrom("web".into()), store.delete_intention("1")).await);
}

#[tokio::test]
async fn waits_end_at_their_time_and_an_index_from_the_future_waits_too() {
    let store = store().await;
    let started = Instant::now();
    let state = store.block(&[Topic::Nodes], 1 << 40, SHORT).await;
    assert!(started.elapsed() >= SHORT);
    assert_eq!(state.index_of(&[Topic::Nodes]), 1, "the real index, never 0");
    let started = Instant::now();
    store.block(&[Topic::Nodes], 0, LONG).await;
    assert!(started.elapsed() < LONG / 2, "index 0 does not wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_wait_for_other_things_and_a_change_wakes_its_own_at_once() {
    const WAITERS: usize = 2000;
    let store = store().await;
    let mut index = 0;
    for n in 0..4 {
        index = store.register(with_service("n", service(&format!("s{n}"), &format!("s{n}")))).await.unwrap();
    }
    let mut waiters = tokio::task::JoinSet::new();
    for n in 0..WAITERS {
        let store = store.clone();
        waiters.spawn(async move {
            let topics = [Topic::service(&format!("s{}", n % 4))];
            store.block(&topics, index, LONG).await;
            n % 4
        });
    }
    let started = Instant::now();
    store.register(with_check("n", check("c", "s1", Status::Passing))).await.unwrap();
    for _ in 0..WAITERS / 4 {
        assert_eq!(waiters.join_next().await.unwrap().unwrap(), 1);
    }
    assert!(started.elapsed() < LONG / 10);
    assert!(waiters.try_join_next().is_none(), "nobody else was woken");
    waiters.shutdown().await;
}

async fn put(store: &Store, key: &str, value: &str) {
    let write = KvWrite { key: key.to_owned(), value: value.as_bytes().into(), ..KvWrite::default() };
    store.put_kv(&write).await.unwrap();
}

#[tokio::test]
async fn a_key_wakes_for_itself_and_a_prefix_for_what_is_under_it() {
    let store = store().await;
    put(&store, "a/1", "x").await;
    put(&store, "b", "x").await;
    let key = || Topic::Kv("a/1".into());
    let under = || Topic::KvPrefix("a/".into());
    assert!(woken_by(&store, key(), put(&store, "a/1", "y")).await);
    assert!(!woken_by(&store, key(), put(&store, "a/1", "y")).await, "equal");
    assert!(!woken_by(&store, key(), put(&store, "a/2", "y")).await);
    assert!(woken_by(&store, under(), put(&store, "a/3", "y")).await, "a new key");
    assert!(!woken_by(&store, under(), put(&store, "b", "y")).await);
    assert!(woken_by(&store, under(), store.delete_kv("a/3", None)).await, "a key that goes");
    let before = store.state().index_of(&[under()]);
    store.delete_kv_tree("a/").await.unwrap();
    assert!(store.state().index_of(&[under()]) > before, "an emptied prefix does not go back");
    put(&store, "b", "z").await;
    assert!(store.state().index_of(&[under()]) < store.state().index_of(&[Topic::Kvs]), "and stays where it was");
}

#[tokio::test]
async fn a_missing_key_has_the_index_of_all_and_wakes_when_it_appears() {
    let store = store().await;
    put(&store, "other", "x").await;
    let missing = || Topic::Kv("missing".into());
    assert_eq!(store.state().index_of(&[missing()]), store.state().index_of(&[Topic::Kvs]));
    assert!(woken_by(&store, missing(), put(&store, "missing", "x")).await);
    assert!(woken_by(&store, missing(), store.delete_kv("missing", None)).await);
}
