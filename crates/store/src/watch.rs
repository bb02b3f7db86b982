//! Who waits for what.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::EntryKind;
use tokio::sync::Notify;

/// What a reader can wait for. Names of nodes and services are lower case (see [`Topic::service`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    Nodes,
    /// The node, its services and checks.
    Node(Arc<str>),
    Services,
    /// The instances of a service, their nodes and the checks that decide over them.
    Service(Arc<str>),
    /// The proxies and native instances that speak for a service.
    Connect(Arc<str>),
    Checks,
    Configs,
    ConfigKind(EntryKind),
    Config(EntryKind, Arc<str>),
    Intentions,
    /// Intentions whose source is exactly this name (or `*`).
    IntentionsFrom(Arc<str>),
    /// Intentions whose destination is exactly this name (or `*`).
    IntentionsTo(Arc<str>),
    CaRoots,
    CaConfig,
    Kvs,
    Kv(Arc<str>),
    /// Every key that begins so.
    KvPrefix(Arc<str>),
    Sessions,
    Queries,
    Session(Arc<str>),
    NodeSessions(Arc<str>),
    Events,
    Coordinates,
    AclTokens,
    AclPolicies,
    AclRoles,
    AuthMethods,
    BindingRules,
}

impl Topic {
    pub fn node(name: &str) -> Self {
        Self::Node(crate::fact::lower(name))
    }

    pub fn service(name: &str) -> Self {
        Self::Service(crate::fact::lower(name))
    }

    pub fn connect(name: &str) -> Self {
        Self::Connect(crate::fact::lower(name))
    }

    pub fn node_sessions(node: &str) -> Self {
        Self::NodeSessions(crate::fact::lower(node))
    }

    pub fn config(kind: EntryKind, name: &str) -> Self {
        Self::Config(kind, crate::fact::lower(name))
    }
}

type Waiters = HashMap<Topic, HashMap<u64, Arc<Notify>>>;

/// The waiters of every topic: a change wakes those of its own topics and nobody else.
#[derive(Default)]
pub(crate) struct Watches {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    waiters: Waiters,
    /// How many wait for prefixes of each length: a key looks for those only.
    prefixes: BTreeMap<usize, usize>,
    next: u64,
}

impl Inner {
    fn wake(&self, topic: &Topic) {
        // A permit is kept for a waiter that is between two looks at the state, so no wake-up is lost.
        let waiters = self.waiters.get(topic).into_iter().flat_map(HashMap::values);
        waiters.for_each(|waiter| waiter.notify_one());
    }
}

/// A registered waiter; unregisters when dropped.
pub(crate) struct Waiter<'a> {
    watches: &'a Watches,
    topics: &'a [Topic],
    id: u64,
    notify: Arc<Notify>,
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register<'a>(&'a self, topics: &'a [Topic]) -> Waiter<'a> {
        let notify = Arc::new(Notify::new());
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        for topic in topics {
            if let Topic::KvPrefix(prefix) = topic {
                *inner.prefixes.entry(prefix.len()).or_default() += 1;
            }
            inner.waiters.entry(topic.clone()).or_default().insert(id, notify.clone());
        }
        drop(inner);
        Waiter { watches: self, topics, id, notify }
    }

    /// What has changed is not known.
    pub(crate) fn wake_all(&self) {
        let inner = self.lock();
        inner.waiters.values().flat_map(HashMap::values).for_each(|waiter| waiter.notify_one());
    }

    pub(crate) fn wake<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) {
        let inner = self.lock();
        for topic in topics {
            inner.wake(topic);
            if let Topic::Kv(key) = topic {
                let prefixes = inner.prefixes.range(..=key.len()).filter_map(|(end, _)| key.get(..*end));
                prefixes.for_each(|prefix| inner.wake(&Topic::KvPrefix(prefix.into())));
            }
        }
    }
}

impl Waiter<'_> {
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut inner = self.watches.lock();
        for topic in self.topics {
            if let Topic::KvPrefix(prefix) = topic
                && let Entry::Occupied(mut waiting) = inner.prefixes.entry(prefix.len())
            {
                *waiting.get_mut() -= 1;
                if *waiting.get() == 0 {
                    waiting.remove();
                }
            }
            if let Some(waiters) = inner.waiters.get_mut(topic) {
                waiters.remove(&self.id);
                if waiters.is_empty() {
                    inner.waiters.remove(topic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_leaves_nothing_behind() {
        let watches = Watches::default();
        let topics = [Topic::Nodes, Topic::service("Web"), Topic::KvPrefix("a/".into())];
        let waiter = watches.register(&topics);
        let held = || {
            let inner = watches.lock();
            (inner.waiters.len(), inner.prefixes.len())
        };
        assert_eq!(held(), (3, 1));
        drop(waiter);
        assert_eq!(held(), (0, 0));
    }
}
