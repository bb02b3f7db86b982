//! What every backend promises. Each function is run on each of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use store::{Backend, Batch, Change, Changes, CommitError, Fact, Guard, Index, Key, Registration, Snapshot, Store};

use super::facts::{any, kv};
use super::place::Place;

const DEADLINE: Duration = Duration::from_secs(30);

fn put(key: &str, value: &str) -> Batch {
    Batch { puts: vec![kv(key, value.as_bytes())], ..Batch::default() }
}

fn delete(key: &str) -> Batch {
    Batch { deletes: vec![Key::Kv(key.into())], ..Batch::default() }
}

fn guarded(mut batch: Batch, key: &str, revision: Index) -> Batch {
    batch.guard(Key::Kv(key.into()), revision);
    batch
}

type Rows = BTreeMap<Key, (Fact, Index, Index)>;

fn rows(snapshot: &Snapshot) -> Rows {
    snapshot.facts().map(|(fact, created, modified)| (fact.key(), (fact.clone(), created, modified))).collect()
}

/// What following gives, put together.
#[derive(Default)]
struct Replica {
    index: Index,
    facts: BTreeMap<Key, Fact>,
    snapshots: usize,
}

impl Replica {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Batch(index, batch) => {
                assert!(*index > self.index, "{index} after {}", self.index);
                self.index = *index;
                batch.deletes.iter().for_each(|key| drop(self.facts.remove(key)));
                self.facts.extend(batch.puts.iter().map(|fact| (fact.key(), fact.clone())));
            }
            Change::Snapshot(snapshot) => {
                assert!(snapshot.index() >= self.index);
                self.index = snapshot.index();
                self.facts = snapshot.facts().map(|(fact, ..)| (fact.key(), fact.clone())).collect();
                self.snapshots += 1;
            }
            Change::Expired(_) => {}
        }
    }

    async fn until(&mut self, changes: &mut Changes, index: Index) {
        let mut arrived = Vec::new();
        while self.index < index {
            let more = tokio::time::timeout(DEADLINE, changes.next(&mut arrived)).await.expect("followers are told");
            assert!(more, "ended at {} before {index}", self.index);
            arrived.drain(..).for_each(|change| self.apply(&change));
        }
    }
}

pub async fn guards_hold_and_indexes_grow(place: &Place) {
    let backend = place.open();
    let first = backend.commit(guarded(put("a", "1"), "a", 0)).await.unwrap();
    assert!(first >= 2, "0 is never and 1 is the index of an empty table");
    let conflict = |result| assert!(matches!(result, Err(CommitError::Conflict)), "{result:?}");
    conflict(backend.commit(guarded(put("a", "2"), "a", 0)).await);
    conflict(backend.commit(guarded(put("b", "2"), "a", first + 1)).await);
    let mut both = guarded(put("b", "2"), "a", first);
    both.guard(Key::Kv("b".into()), 7);
    conflict(backend.commit(both).await);
    let second = backend.commit(guarded(put("a", "2"), "a", first)).await.unwrap();
    assert!(second > first);
    // A key that is gone was never there.
    let third = backend.commit(guarded(delete("a"), "a", second)).await.unwrap();
    assert!(third > second);
    let fourth = backend.commit(guarded(put("a", "3"), "a", 0)).await.unwrap();
    // Removing what is not there is no mistake.
    let fifth = backend.commit(delete("nothing")).await.unwrap();
    assert!(fifth > fourth);
    let snapshot = backend.load().await.unwrap();
    assert_eq!(rows(&snapshot), [(Key::Kv("a".into()), (kv("a", b"3"), fourth, fourth))].into());
    drop(backend);
    if place.keeps() {
        let backend = place.open();
        let again = backend.load().await.unwrap();
        assert_eq!(rows(&again), rows(&snapshot));
        assert!(backend.commit(put("z", "")).await.unwrap() > fifth, "indexes only grow");
    }
}

pub async fn followers_see_every_batch_in_order(place: &Place) {
    const COMMITS: usize = 200;
    let backend: Arc<dyn Backend> = place.open().into();
    let start = backend.load().await.unwrap();
    let mut changes = backend.follow(start.index()).await.unwrap();
    let mut committers = tokio::task::JoinSet::new();
    for n in 0..COMMITS {
        let backend = Arc::clone(&backend);
        committers.spawn(async move { backend.commit(put(&format!("k{}", n % 7), &n.to_string())).await.unwrap() });
    }
    let indexes = committers.join_all().await;
    let last = indexes.iter().max().copied().unwrap();
    let mut replica = Replica { index: start.index(), ..Replica::default() };
    let mut seen = Vec::new();
    let mut arrived = Vec::new();
    while replica.index < last {
        assert!(changes.next(&mut arrived).await);
        for change in arrived.drain(..) {
            let Change::Batch(index, _) = &change else { panic!("{change:?}") };
            seen.push(*index);
            replica.apply(&change);
        }
    }
    let mut sorted = indexes;
    sorted.sort_unstable();
    assert_eq!(seen, sorted, "every commit once, at the index it was told");
    let loaded = backend.load().await.unwrap();
    assert!(loaded.facts().map(|(fact, ..)| fact).eq(replica.facts.values()));
    drop(backend);
    assert!(!changes.next(&mut arrived).await, "the end of the backend is told");
}

pub async fn a_late_follower_is_given_everything(place: &Place) {
    let backend = place.open();
    let before = backend.load().await.unwrap().index();
    for n in 0..20 {
        backend.commit(put("k", &n.to_string())).await.unwrap();
    }
    backend.commit(put("l", "")).await.unwrap();
    let last = backend.commit(delete("l")).await.unwrap();
    let mut changes = backend.follow(before).await.unwrap();
    let mut replica = Replica::default();
    replica.until(&mut changes, last).await;
    assert_eq!(replica.facts, [(Key::Kv("k".into()), kv("k", b"19"))].into());
    let next = backend.commit(put("m", "")).await.unwrap();
    replica.until(&mut changes, next).await;
    assert_eq!(replica.facts.len(), 2);
}

pub async fn a_slow_follower_slows_nobody_and_ends_with_the_same(place: &Place) {
    // A cluster keeps what a slow follower has not taken yet.
    let commits = if place.tells_without_waiting() { 20_000 } else { 2000 };
    let backend: Arc<dyn Backend> = place.open().into();
    let mut changes = backend.follow(backend.load().await.unwrap().index()).await.unwrap();
    let mut committers = tokio::task::JoinSet::new();
    for committer in 0..50 {
        let backend = Arc::clone(&backend);
        committers.spawn(async move {
            let mut last = 0;
            for n in 0..commits / 50 {
                last = backend.commit(put(&format!("k{}", n % 97), &format!("{committer}-{n}"))).await.unwrap();
            }
            last
        });
    }
    let last = committers.join_all().await.into_iter().max().unwrap();
    let mut replica = Replica::default();
    replica.until(&mut changes, last).await;
    assert_eq!(replica.snapshots >= 1, place.tells_without_waiting(), "more came than a queue holds");
    let loaded = backend.load().await.unwrap();
    assert!(loaded.facts().map(|(fact, ..)| fact).eq(replica.facts.values()));
}

pub async fn one_of_many_wins_a_guard_and_all_indexes_differ(place: &Place) {
    let backend: Arc<dyn Backend> = place.open().into();
    let mut revision = 0;
    for _ in 0..10 {
        let mut committers = tokio::task::JoinSet::new();
        for n in 0..16 {
            let backend = Arc::clone(&backend);
            committers.spawn(async move { backend.commit(guarded(put("k", &n.to_string()), "k", revision)).await });
        }
        let results = committers.join_all().await;
        let won: Vec<Index> = results.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        revision = won[0];
    }
}

/// A model of the whole: applies batches one after the other.
#[derive(Default)]
struct Model(Rows);

impl Model {
    fn admits(&self, batch: &Batch) -> bool {
        let revision = |key| self.0.get(key).map_or(0, |(.., modified)| *modified);
        batch.guards.iter().all(|guard| revision(&guard.key) == guard.revision)
    }

    fn apply(&mut self, index: Index, batch: &Batch) {
        batch.deletes.iter().for_each(|key| drop(self.0.remove(key)));
        for fact in &batch.puts {
            let created = self.0.get(&fact.key()).map_or(index, |(_, created, _)| *created);
            self.0.insert(fact.key(), (fact.clone(), created, index));
        }
    }

    fn random_batch(&self, rng: &mut Rng) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..=rng.usize(..5) {
            let fact = any(rng);
            let key = fact.key();
            let named = batch.puts.iter().map(Fact::key).chain(batch.deletes.iter().cloned()).any(|k| k == key);
            if named {
                continue;
            }
            match rng.u8(..3) {
                0 => batch.deletes.push(key),
                _ => batch.puts.push(fact),
            }
        }
        for (key, (.., modified)) in &self.0 {
            if rng.u8(..8) != 0 {
                continue;
            }
            let revision = if rng.u8(..10) == 0 { modified + 1 } else { *modified };
            batch.guards.push(Guard { key: key.clone(), revision });
        }
        batch
    }
}

pub async fn random_batches_end_as_a_model_says(place: &Place) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut model, mut replica, mut conflicts) = (Model::default(), Replica::default(), 0);
    let mut backend = place.open();
    let mut changes = backend.follow(0).await.unwrap();
    for round in 0..300 {
        let batch = model.random_batch(&mut rng);
        match backend.commit(batch.clone()).await {
            Ok(index) => {
                assert!(model.admits(&batch));
                model.apply(index, &batch);
                replica.until(&mut changes, index).await;
            }
            Err(CommitError::Conflict) => {
                assert!(!model.admits(&batch));
                conflicts += 1;
            }
            Err(CommitError::Failed(error)) => panic!("{error}"),
        }
        assert_eq!(rows(&backend.load().await.unwrap()), model.0, "round {round}");
        if place.keeps() && rng.u8(..20) == 0 {
            drop(backend);
            backend = place.open();
            assert_eq!(rows(&backend.load().await.unwrap()), model.0, "opened again in round {round}");
            changes = backend.follow(backend.load().await.unwrap().index()).await.unwrap();
        }
    }
    assert!(conflicts > 0 && model.0.len() > 20, "{conflicts} conflicts, {} facts", model.0.len());
    let followed: BTreeMap<_, _> = model.0.into_iter().map(|(key, (fact, ..))| (key, fact)).collect();
    assert_eq!(replica.facts, followed);
}

pub async fn large_batches_are_answered_when_all_is_done(place: &Place) {
    const FACTS: usize = 1000;
    let backend = place.open();
    let mut changes = backend.follow(0).await.unwrap();
    let names: Vec<String> = (0..FACTS).map(|n| format!("large/{n}")).collect();
    let puts = names.iter().map(|name| kv(name, &[7; 300])).collect();
    let index = backend.commit(Batch { puts, ..Batch::default() }).await.unwrap();
    let snapshot = backend.load().await.unwrap();
    assert_eq!((snapshot.len(), snapshot.index()), (FACTS, index));
    let mut removal = Batch::default();
    for (fact, _, modified) in snapshot.facts() {
        removal.guard(fact.key(), modified);
        removal.deletes.push(fact.key());
    }
    let index = backend.commit(removal).await.unwrap();
    assert!(backend.load().await.unwrap().is_empty());
    let mut replica = Replica::default();
    replica.until(&mut changes, index).await;
    assert!(replica.facts.is_empty());
}

/// Waits for a name that expires; the time it took.
async fn expired(changes: &mut Changes, within: Duration) -> Option<Arc<str>> {
    let mut arrived = Vec::new();
    let wait = async {
        while changes.next(&mut arrived).await {
            for change in arrived.drain(..) {
                if let Change::Expired(name) = change {
                    return Some(name);
                }
            }
        }
        None
    };
    tokio::time::timeout(within, wait).await.ok().flatten()
}

pub async fn names_live_as_long_as_they_are_kept_alive(place: &Place) {
    // The shortest that every backend can count.
    let ttl = place.shortest_ttl();
    let backend = place.open();
    let mut changes = backend.follow(backend.load().await.unwrap().index()).await.unwrap();
    backend.grant("kept", ttl).await.unwrap();
    backend.grant("revoked", ttl).await.unwrap();
    backend.grant("left", ttl).await.unwrap();
    assert!(backend.keep_alive("revoked").await.unwrap());
    backend.revoke("revoked").await.unwrap();
    assert!(!backend.keep_alive("revoked").await.unwrap());
    let started = std::time::Instant::now();
    let keep = async {
        loop {
            tokio::time::sleep(ttl / 4).await;
            assert!(backend.keep_alive("kept").await.unwrap());
        }
    };
    let name = tokio::select! {
        name = expired(&mut changes, DEADLINE) => name,
        () = keep => None,
    };
    assert_eq!(name.as_deref(), Some("left"));
    assert!(started.elapsed() >= ttl - Duration::from_millis(5), "{:?}", started.elapsed());
    assert!(!backend.keep_alive("left").await.unwrap());
    let name = expired(&mut changes, DEADLINE).await;
    assert_eq!(name.as_deref(), Some("kept"), "nobody keeps it any more");
    backend.grant("left", ttl).await.unwrap();
    assert_eq!(expired(&mut changes, DEADLINE).await.as_deref(), Some("left"), "a name can be granted again");
}

pub async fn a_store_on_it_reads_its_own_writes(place: &Place) {
    let store = Store::open(place.open()).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = store.clone();
        writers.spawn(async move {
            let registration = Registration {
                service: Some(crate::service("web", &format!("web-{n}"))),
                ..Registration { node: crate::node(&format!("n{}", n % 4)), ..Registration::default() }
            };
            let index = store.register(registration).await.unwrap();
            let state = store.state();
            assert!(state.index() >= index && state.service(&format!("n{}", n % 4), &format!("web-{n}")).is_some());
            index
        });
    }
    let last = writers.join_all().await.into_iter().max().unwrap();
    assert_eq!(store.state().instances("web").len(), 40);
    store.grant("session", place.shortest_ttl()).await.unwrap();
    assert!(store.expired().await.contains("session"));
    drop(store);
    if place.keeps() {
        let store = place.reopen_store().await;
        assert_eq!(store.state().instances("web").len(), 40);
        assert!(store.state().index() >= last);
        assert!(store.state().index_of(&[store::Topic::service("web")]) >= last);
    }
}
