//! Names that live until nobody keeps them alive, counted in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// Called with a name when its time is over.
type Expire = Box<dyn Fn(Arc<str>) + Send + Sync>;

pub(super) struct Leases {
    inner: Arc<Inner>,
}

struct Inner {
    living: Mutex<HashMap<Arc<str>, Life>>,
    expire: Expire,
}

struct Life {
    ttl: Duration,
    until: Instant,
}

impl Leases {
    pub(super) fn new(expire: impl Fn(Arc<str>) + Send + Sync + 'static) -> Self {
        Self { inner: Arc::new(Inner { living: Mutex::default(), expire: Box::new(expire) }) }
    }

    pub(super) fn grant(&self, name: &str, ttl: Duration) {
        let until = Instant::now() + ttl;
        let name: Arc<str> = name.into();
        let known = self.inner.lock().insert(name.clone(), Life { ttl, until }).is_some();
        if !known {
            tokio::spawn(watch_over(Arc::downgrade(&self.inner), name, until));
        }
    }

    pub(super) fn keep_alive(&self, name: &str) -> bool {
        match self.inner.lock().get_mut(name) {
            Some(life) => {
                life.until = Instant::now() + life.ttl;
                true
            }
            None => false,
        }
    }

    pub(super) fn revoke(&self, name: &str) {
        self.inner.lock().remove(name);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Life>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes only when the name may have died: keeping it alive costs no more than a look into the map.
async fn watch_over(leases: Weak<Inner>, name: Arc<str>, mut until: Instant) {
    loop {
        tokio::time::sleep_until(until).await;
        let Some(inner) = leases.upgrade() else { return };
        let mut living = inner.lock();
        match living.get(&name) {
            None => return,
            Some(life) if life.until > Instant::now() => until = life.until,
            Some(_) => {
                living.remove(&name);
                drop(living);
                return (inner.expire)(name);
            }
        }
    }
}
