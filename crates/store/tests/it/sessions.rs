use std::time::{Duration, Instant};

use model::{Blob, Session, SessionBehavior, Status};
use store::{KvCondition, KvWrite, Removal, SESSION_TTL_MIN, Store, Topic};

use crate::{check, node, service, store, with_check, with_service};

const ONE: &str = "11111111-0000-4000-8000-000000000001";
const TWO: &str = "22222222-0000-4000-8000-000000000002";

fn session(id: &str) -> Session {
    Session { id: id.to_owned(), node: "n".to_owned(), ..Session::default() }
}

async fn store_with(checks: &[(&str, Status)]) -> Store {
    let store = store().await;
    store.register(with_service("n", service("web", "web"))).await.unwrap();
    for (id, status) in checks {
        store.register(with_check("n", check(id, "", *status))).await.unwrap();
    }
    store
}

async fn create(store: &Store, session: Session) {
    store.create_session(session, SESSION_TTL_MIN).await.unwrap();
}

async fn write(store: &Store, key: &str, condition: KvCondition) -> bool {
    let value = Blob::from(&b"v"[..]);
    store.put_kv(&KvWrite { key: key.to_owned(), value, flags: 0, condition }).await.unwrap()
}

async fn lock(store: &Store, key: &str, id: &str) -> bool {
    write(store, key, KvCondition::Lock(id.to_owned())).await
}

fn holder(store: &Store, key: &str) -> Option<String> {
    store.state().kv(key).map(|entry| entry.session.clone())
}

/// Waits until `holds`, however the clock runs.
async fn until(store: &Store, topic: Topic, holds: impl Fn(&store::State) -> bool) {
    let topics = [topic];
    for _ in 0..100 {
        let state = store.state();
        if holds(&state) {
            return;
        }
        store.block(&topics, state.index_of(&topics), Duration::from_secs(600)).await;
    }
    panic!("never came to hold");
}

#[tokio::test]
async fn a_session_needs_its_node_and_living_checks() {
    let store = store_with(&[("good", Status::Passing), ("bad", Status::Critical)]).await;
    let with = |node: &str, checks: &[&str], ttl: &str| Session {
        node: node.to_owned(),
        node_checks: checks.iter().map(|id| (*id).to_owned()).collect(),
        ttl: ttl.to_owned(),
        ..session(ONE)
    };
    for (wanted, words) in [
        (with("nobody", &[], ""), "Missing node registration"),
        (with("n", &["good", "none"], ""), "Missing check 'none' registration"),
        (with("n", &["bad"], ""), "Check 'bad' is in critical state"),
        (with("n", &[], "9s"), "Invalid Session TTL '9000000000', must be between [10s=24h0m0s]"),
        (with("n", &[], "25h"), "Invalid Session TTL '90000000000000', must be between [10s=24h0m0s]"),
        (with("n", &[], "10"), "Session TTL '10' invalid: time: missing unit in duration \"10\""),
    ] {
        assert_eq!(store.create_session(wanted, SESSION_TTL_MIN).await.unwrap_err().to_string(), words);
    }
    assert_eq!(store.state().sessions().count(), 0);
    create(&store, with("N", &["good"], "24h")).await;
    assert_eq!(store.state().sessions_of("n").count(), 1);
}

#[tokio::test]
async fn a_lock_has_one_holder_and_counts_how_often_it_was_taken() {
    let store = store_with(&[]).await;
    create(&store, session(ONE)).await;
    create(&store, session(TWO)).await;
    assert!(lock(&store, "k", ONE).await && !lock(&store, "k", TWO).await);
    let first = store.state().kv("k").unwrap().modify_index;
    assert!(lock(&store, "k", ONE).await, "taking it again is no mistake");
    let state = store.state();
    assert_eq!((state.kv("k").unwrap().lock_index, state.kv("k").unwrap().modify_index), (1, first));
    assert!(!write(&store, "k", KvCondition::Unlock(TWO.to_owned())).await);
    assert!(write(&store, "k", KvCondition::Unlock(ONE.to_owned())).await);
    assert!(!write(&store, "k", KvCondition::Unlock(ONE.to_owned())).await);
    assert!(lock(&store, "k", TWO).await);
    assert_eq!(store.state().kv("k").unwrap().lock_index, 2);
    // Whoever does not ask for the lock may write all the same.
    assert!(write(&store, "k", KvCondition::Always).await);
    let state = store.state();
    assert_eq!((state.kv("k").unwrap().lock_index, state.kv("k").unwrap().session.as_str()), (0, TWO));
    for (id, words) in [
        ("", "missing session"),
        ("x", "failed session lookup: index error: UUID must be 36 characters"),
        ("33333333-0000-4000-8000-000000000003", "invalid session \"33333333-0000-4000-8000-000000000003\""),
    ] {
        let wanted = KvWrite { key: "k".to_owned(), condition: KvCondition::Lock(id.to_owned()), ..KvWrite::default() };
        assert_eq!(store.put_kv(&wanted).await.unwrap_err().to_string(), words);
    }
}

#[tokio::test]
async fn sessions_end_with_what_they_live_on_in_the_same_step() {
    for what in ["critical", "check gone", "service gone", "node gone", "destroyed"] {
        let store = store_with(&[("good", Status::Passing)]).await;
        store.register(with_check("n", check("of-web", "web", Status::Passing))).await.unwrap();
        let mut kept = session(ONE);
        kept.node_checks = vec!["good".to_owned()];
        kept.service_checks = vec!["of-web".to_owned()];
        create(&store, kept).await;
        create(&store, Session { behavior: SessionBehavior::Delete, checks: vec!["of-web".into()], ..session(TWO) })
            .await;
        assert!(lock(&store, "released", ONE).await && lock(&store, "deleted", TWO).await);
        let index = match what {
            "critical" => store.register(with_check("n", check("of-web", "web", Status::Critical))).await,
            "check gone" => store.deregister("n", &Removal::Check("of-web".to_owned())).await,
            "service gone" => store.deregister("n", &Removal::Service("web".to_owned())).await,
            "node gone" => store.deregister("n", &Removal::Node).await,
            _ => {
                store.destroy_session(TWO).await.unwrap();
                store.destroy_session(&ONE.to_uppercase()).await
            }
        };
        let state = store.state();
        assert_eq!(state.sessions().count(), 0, "{what}");
        assert!(state.kv("deleted").is_none(), "{what}");
        let released = state.kv("released").unwrap();
        assert_eq!((released.session.as_str(), released.lock_index), ("", 1), "{what}");
        assert_eq!(released.modify_index, index.unwrap(), "{what}: in the batch that caused it");
    }
}

#[tokio::test]
async fn a_check_that_recovers_or_warns_ends_nothing() {
    let store = store_with(&[("good", Status::Passing)]).await;
    create(&store, Session { node_checks: vec!["good".into()], ..session(ONE) }).await;
    for status in [Status::Warning, Status::Passing] {
        store.register(with_check("n", check("good", "", status))).await.unwrap();
    }
    store.register(with_check("n", check("another", "", Status::Critical))).await.unwrap();
    store.register(with_service("n", service("web", "web-2"))).await.unwrap();
    store.register(store::Registration { node: node("m"), ..Default::default() }).await.unwrap();
    assert_eq!(store.state().sessions().count(), 1);
}

#[tokio::test]
async fn a_lost_lock_rests_and_one_that_was_let_go_does_not() {
    let store = store_with(&[]).await;
    let delay = Duration::from_millis(300);
    create(&store, Session { lock_delay: delay, ..session(ONE) }).await;
    create(&store, session(TWO)).await;
    assert!(lock(&store, "lost", ONE).await && lock(&store, "let-go", ONE).await);
    assert!(write(&store, "let-go", KvCondition::Unlock(ONE.to_owned())).await);
    assert!(lock(&store, "let-go", TWO).await, "its holder has let go");
    let lost = Instant::now();
    store.destroy_session(ONE).await.unwrap();
    assert_eq!(holder(&store, "lost").as_deref(), Some(""));
    assert!(write(&store, "lost", KvCondition::Always).await, "writing is free");
    let mut refused = 0;
    while !lock(&store, "lost", TWO).await {
        refused += 1;
        assert!(lost.elapsed() < Duration::from_secs(20), "never free again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(refused > 0 && lost.elapsed() >= delay, "taken after {:?}", lost.elapsed());
}

#[tokio::test]
async fn a_session_dies_at_twice_its_time_unless_it_is_renewed() {
    let store = store_with(&[]).await;
    let short = Session { ttl: "150ms".to_owned(), ..session(ONE) };
    store.create_session(short, Duration::ZERO).await.unwrap();
    assert!(lock(&store, "k", ONE).await);
    let mut renewed = Instant::now();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        renewed = Instant::now();
        assert!(store.renew_session(ONE).await.unwrap().is_some());
    }
    until(&store, Topic::Session(ONE.into()), |state| state.session(ONE).is_none()).await;
    assert!(renewed.elapsed() >= Duration::from_millis(300), "died after {:?}", renewed.elapsed());
    assert_eq!(holder(&store, "k").as_deref(), Some(""));
    assert!(store.renew_session(ONE).await.unwrap().is_none());
}

/// Another server may have made a check critical while this one made a session on it, or ended a session while this
/// one took a lock for it: neither may leave a lock that nobody can free.
#[tokio::test]
async fn what_two_writers_leave_behind_is_settled() {
    for round in 0..50 {
        let store = store_with(&[("good", Status::Passing)]).await;
        create(&store, Session { node_checks: vec!["good".into()], ..session(ONE) }).await;
        let lost = KvWrite { key: "k".to_owned(), condition: KvCondition::Lock(ONE.into()), ..KvWrite::default() };
        let failing = with_check("n", check("good", "", Status::Critical));
        let another = Session { node_checks: vec!["good".into()], ..session(TWO) };
        let (_, _, failed) =
            tokio::join!(store.put_kv(&lost), store.create_session(another, SESSION_TTL_MIN), store.register(failing),);
        failed.unwrap();
        until(&store, Topic::Sessions, |state| state.sessions().count() == 0).await;
        let free = |state: &store::State| state.kv("k").is_none_or(|entry| entry.session.is_empty());
        until(&store, Topic::Kv("k".into()), free).await;
        assert!(free(&store.state()), "round {round}");
    }
}
