use std::collections::BTreeMap;

use fastrand::Rng;
use model::{Blob, Node, Session};
use store::{CatalogVerb, KvOp, KvVerb, SESSION_TTL_MIN, Store, TxnError, TxnOp, TxnResult};

use crate::{node, service, store, with_service};

const SESSION: &str = "11111111-0000-4000-8000-000000000001";

fn op(verb: KvVerb, key: &str) -> KvOp {
    KvOp { verb, key: key.to_owned(), value: Blob::default(), flags: 0, index: 0, session: String::new() }
}

fn kv(verb: KvVerb, key: &str) -> TxnOp {
    TxnOp::Kv(op(verb, key))
}

fn set(key: &str, value: &str) -> TxnOp {
    TxnOp::Kv(KvOp { value: Blob::from(value.as_bytes()), ..op(KvVerb::Set, key) })
}

async fn run(store: &Store, ops: &[TxnOp]) -> Result<Vec<TxnResult>, Vec<TxnError>> {
    store.transact(ops).await.unwrap()
}

fn complaints(outcome: Result<Vec<TxnResult>, Vec<TxnError>>) -> Vec<(usize, String)> {
    outcome.unwrap_err().into_iter().map(|error| (error.op, error.what)).collect()
}

#[tokio::test]
async fn later_operations_see_earlier_ones_and_all_get_the_index_of_the_whole() {
    let store = store().await;
    let ops = [
        set("a", "1"),
        set("a", "2"),
        kv(KvVerb::Get, "a"),
        kv(KvVerb::Delete, "a"),
        set("b", "3"),
        kv(KvVerb::GetTree, "b"),
    ];
    let results = run(&store, &ops).await.unwrap();
    let index = store.state().kv("b").unwrap().modify_index;
    let shown: Vec<_> = results
        .iter()
        .map(|result| match result {
            TxnResult::Kv { entry, with_value } => {
                assert_eq!((entry.create_index, entry.modify_index), (index, index));
                let value = if *with_value { entry.value.value.as_slice() } else { b"" };
                (entry.key.as_str(), String::from_utf8_lossy(value).into_owned())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("a", ""), ("a", ""), ("a", "2"), ("b", ""), ("b", "3")];
    assert_eq!(shown, expected.map(|(key, value)| (key, value.to_owned())));
    assert!(store.state().kv("a").is_none());
}

#[tokio::test]
async fn every_failing_operation_is_named_and_nothing_is_written() {
    let store = store().await;
    run(&store, &[set("a", "1")]).await.unwrap();
    let before = store.state().index();
    let stale = TxnOp::Kv(KvOp { index: 1, ..op(KvVerb::Cas, "a") });
    let ops = [
        set("new", "x"),
        stale,
        kv(KvVerb::CheckNotExists, "a"),
        kv(KvVerb::Get, "none"),
        kv(KvVerb::Unknown("frob".to_owned()), "a"),
    ];
    let expected = [
        (1, "failed to set key \"a\", index is stale"),
        (2, "key \"a\" exists"),
        (3, "key \"none\" doesn't exist"),
        (4, "unknown KV verb \"frob\""),
    ];
    assert_eq!(complaints(run(&store, &ops).await), expected.map(|(at, what)| (at, what.to_owned())));
    assert_eq!(store.state().index(), before);
    assert_eq!(complaints(run(&store, &[kv(KvVerb::Get, "")]).await), [(0, "Must provide key".to_owned())]);
}

#[tokio::test]
async fn nodes_services_checks_and_sessions_go_in_one_step() {
    let store = store().await;
    let ops = [
        TxnOp::Node { verb: CatalogVerb::Set, node: node("n"), cas: 0 },
        TxnOp::Service {
            verb: CatalogVerb::Cas,
            node: "n".to_owned(),
            service: Box::new(service("web", "web")),
            cas: 0,
        },
        TxnOp::Service {
            verb: CatalogVerb::Get,
            node: "n".to_owned(),
            service: Box::new(service("web", "web")),
            cas: 0,
        },
    ];
    let results = run(&store, &ops).await.unwrap();
    assert_eq!(results.len(), 3);
    create_session(&store).await;
    let lock = TxnOp::Kv(KvOp { session: SESSION.to_owned(), ..op(KvVerb::Lock, "k") });
    run(&store, &[lock]).await.unwrap();
    let remove = TxnOp::Node { verb: CatalogVerb::Delete, node: node("n"), cas: 0 };
    let look = kv(KvVerb::Get, "k");
    let results = run(&store, &[remove, look]).await.unwrap();
    let TxnResult::Kv { entry, .. } = &results[0] else { panic!("a key") };
    assert_eq!(entry.session, "", "the lock went with the session of the node");
    let state = store.state();
    assert!(state.node("n").is_none() && state.service("n", "web").is_none() && state.session(SESSION).is_none());
    let missing = |verb, cas| TxnOp::Node { verb, node: Node { node: "x".to_owned(), ..Node::default() }, cas };
    let nameless = TxnOp::Service { verb: CatalogVerb::Set, node: "n".into(), service: Box::default(), cas: 0 };
    let ops =
        [missing(CatalogVerb::Get, 0), missing(CatalogVerb::DeleteCas, 3), missing(CatalogVerb::Cas, 3), nameless];
    let expected = [
        "node \"x\" doesn't exist",
        "failed to delete node \"x\", index is stale",
        "failed to set node \"x\", index is stale",
        "Missing node registration",
    ];
    let found: Vec<_> = complaints(run(&store, &ops).await).into_iter().map(|(_, what)| what).collect();
    assert_eq!(found, expected);
}

async fn create_session(store: &Store) {
    let session = Session { id: SESSION.to_owned(), node: "n".to_owned(), ..Session::default() };
    store.create_session(session, SESSION_TTL_MIN).await.unwrap();
}

/// What a key is, by a model that knows nothing of batches, guards or drafts.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    value: Vec<u8>,
    flags: u64,
    locks: u64,
    holder: String,
}

type Model = BTreeMap<String, Entry>;

/// False: the operation fails.
fn apply(model: &mut Model, op: &KvOp) -> bool {
    let old = model.get(&op.key).cloned();
    let held = old.as_ref().map_or(String::new(), |old| old.holder.clone());
    let new = |locks, holder: &str| Entry {
        value: op.value.as_slice().to_vec(),
        flags: op.flags,
        locks,
        holder: holder.to_owned(),
    };
    match op.verb {
        KvVerb::Set => drop(model.insert(op.key.clone(), new(0, &held))),
        KvVerb::Cas if op.index == 0 && old.is_none() => drop(model.insert(op.key.clone(), new(0, ""))),
        KvVerb::Lock if held.is_empty() || held == op.session => {
            let locks = old.map_or(0, |old| old.locks) + u64::from(held.is_empty());
            model.insert(op.key.clone(), new(locks, &op.session));
        }
        KvVerb::Unlock if held == op.session && !held.is_empty() => {
            let locks = old.map_or(0, |old| old.locks);
            model.insert(op.key.clone(), new(locks, ""));
        }
        KvVerb::Delete => drop(model.remove(&op.key)),
        KvVerb::DeleteTree => model.retain(|key, _| !key.starts_with(&op.key)),
        KvVerb::Get | KvVerb::CheckIndex if old.is_some() => return op.verb == KvVerb::Get,
        KvVerb::CheckSession if old.is_some() => return held == op.session,
        KvVerb::CheckNotExists => return old.is_none(),
        KvVerb::GetTree => {}
        _ => return false,
    }
    true
}

fn some_op(rng: &mut Rng) -> KvOp {
    use KvVerb::{Cas, CheckIndex, CheckNotExists, CheckSession, Delete, DeleteTree, Get, GetTree, Lock, Set, Unlock};
    let verbs = [
        Set,
        Set,
        Set,
        Cas,
        Lock,
        Lock,
        Unlock,
        Delete,
        DeleteTree,
        Get,
        GetTree,
        CheckIndex,
        CheckSession,
        CheckNotExists,
    ];
    let keys = ["a", "a/b", "a/c", "d", "d/e"];
    KvOp {
        verb: verbs[rng.usize(..verbs.len())].clone(),
        key: keys[rng.usize(..keys.len())].to_owned(),
        value: Blob::from(&[rng.u8(..3)][..]),
        flags: rng.u64(..2),
        index: 0,
        session: SESSION.to_owned(),
    }
}

fn shown(store: &Store) -> Model {
    let state = store.state();
    let entry = |entry: &model::KvEntry| Entry {
        value: entry.value.as_slice().to_vec(),
        flags: entry.flags,
        locks: entry.lock_index,
        holder: entry.session.clone(),
    };
    state.kv_under("").map(|found| (found.key.clone(), entry(found))).collect()
}

#[tokio::test]
async fn transactions_do_what_a_plain_model_does() {
    let mut rng = Rng::with_seed(20);
    let store = store().await;
    store.register(with_service("n", service("web", "web"))).await.unwrap();
    create_session(&store).await;
    let mut model = Model::new();
    let mut written = 0;
    for round in 0..2000 {
        let ops: Vec<KvOp> = (0..rng.usize(1..6)).map(|_| some_op(&mut rng)).collect();
        let mut draft = model.clone();
        let failing: Vec<usize> = (0..ops.len()).filter(|at| !apply(&mut draft, &ops[*at])).collect();
        let outcome = run(&store, &ops.iter().cloned().map(TxnOp::Kv).collect::<Vec<_>>()).await;
        let refused: Vec<usize> = outcome.err().into_iter().flatten().map(|error| error.op).collect();
        assert_eq!(refused, failing, "round {round}: {ops:?}");
        if failing.is_empty() {
            model = draft;
            written += 1;
        }
        assert_eq!(shown(&store), model, "round {round}: {ops:?}");
    }
    assert!(written > 300, "only {written} transactions did anything");
}

#[tokio::test]
async fn many_writers_lose_no_update() {
    let store = store().await;
    let add = |store: Store| async move {
        for _ in 0..20 {
            loop {
                let state = store.state();
                let now = state.kv("n");
                let count = now.map_or(0, |now| now.value.value.as_slice()[0]);
                let value = Blob::from(&[count + 1][..]);
                let index = now.map_or(0, |now| now.modify_index);
                let cas = KvOp { value, index, ..op(KvVerb::Cas, "n") };
                if store.transact(&[TxnOp::Kv(cas)]).await.unwrap().is_ok() {
                    break;
                }
            }
        }
    };
    let writers: Vec<_> = (0..8).map(|_| tokio::spawn(add(store.clone()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.state().kv("n").unwrap().value.value.as_slice(), [160]);
}
