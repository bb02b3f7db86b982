//! A lock with one holder, on a key: the same keys and flags as Consul's own clients use, so that both kinds of
//! contenders exclude one another.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::{Client, Error};
use crate::kv::{Condition, KvPair};
use crate::query::Query;
use crate::session::{KeptSession, NewSession};

/// How long a session outlives its holder (the server takes up to twice this).
const SESSION_TTL: Duration = Duration::from_secs(15);
/// One blocking read of the key.
pub(crate) const WAIT: Duration = Duration::from_secs(15);
/// The key is free and still not given: a lock-delay runs. Asked for again after this.
const RETRY: Duration = Duration::from_secs(5);
/// Between two reads of a monitor that met an error.
pub(crate) const MONITOR_RETRY: Duration = Duration::from_secs(1);
/// Marks the key as a lock.
const FLAGS: u64 = 0x2ddc_cbc0_58a5_0c18;

/// Why a lock or a semaphore could not be taken, given back or removed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("failed to create session: {0}")]
    Session(#[source] Error),
    #[error("failed to acquire lock: {0}")]
    Acquire(#[source] Error),
    #[error("failed to read lock: {0}")]
    Read(#[source] Error),
    /// The key is somebody's data.
    #[error("Existing key does not match {0} use")]
    Conflict(&'static str),
    #[error("semaphore limit conflict (lock: {theirs}, local: {ours})")]
    Limit { theirs: u64, ours: u64 },
    #[error("failed to make contender entry")]
    Contender,
    #[error("{0} in use")]
    InUse(&'static str),
    #[error("{0} not held")]
    NotHeld(&'static str),
}

/// How to contend.
#[derive(Debug, Clone, Default)]
pub struct Contention {
    pub session_name: String,
    /// Give up after this long; `None` waits for ever.
    pub patience: Option<Duration>,
    /// Failed reads in a row after which a held lock counts as lost.
    pub monitor_retries: u32,
    /// Parameters of every request.
    pub query: Query,
}

impl Contention {
    pub(crate) async fn session(&self, client: &Client) -> Result<KeptSession, LockError> {
        let session = NewSession { name: self.session_name.clone(), ttl: SESSION_TTL, ..NewSession::default() };
        KeptSession::create(client, &session, &self.query).await.map_err(LockError::Session)
    }

    /// How long the next blocking read may last; `None` when patience is at its end.
    pub(crate) fn wait(&self, started: Instant, first: bool) -> Option<Duration> {
        let Some(patience) = self.patience else { return Some(WAIT) };
        let left = patience.saturating_sub(started.elapsed());
        // The first look is always taken.
        if left.is_zero() && !first { None } else { Some(left.clamp(Duration::from_millis(1), WAIT)) }
    }

    /// A read from the leader that returns when something changed behind `index`.
    pub(crate) fn blocking(&self, index: u64, wait: Duration) -> Query {
        Query { index: Some(index).filter(|index| *index > 0), wait: Some(wait), ..self.query.clone() }
    }

    pub(crate) fn consistent(&self, index: u64) -> Query {
        let mut query = self.blocking(index, WAIT);
        query.more.retain(|(name, _)| name != "stale");
        query.with("consistent", "")
    }
}

/// A lock, held or not.
pub struct Lock {
    client: Client,
    key: String,
    contention: Contention,
    session: Option<KeptSession>,
}

impl Lock {
    pub fn new(client: &Client, key: &str, contention: Contention) -> Self {
        Self { client: client.clone(), key: key.to_owned(), contention, session: None }
    }

    /// Waits until the lock is held; false when patience ended first, or `stop` did.
    pub async fn acquire(&mut self, stop: impl Future<Output = ()>) -> Result<bool, LockError> {
        let session = self.contention.session(&self.client).await?;
        let taken = tokio::select! {
            taken = self.contend(&session.id) => taken,
            () = stop => Ok(false),
        };
        match taken {
            Ok(true) => self.session = Some(session),
            // What cannot be told to the server now, its session's end will tell.
            _ => drop(session.end().await),
        }
        taken
    }

    async fn contend(&self, session: &str) -> Result<bool, LockError> {
        let (started, mut index, mut first) = (Instant::now(), 0, true);
        while let Some(wait) = self.contention.wait(started, first) {
            let query = self.contention.blocking(index, wait);
            let answer = self.client.kv(&self.key, &query).await.map_err(LockError::Read)?;
            first = false;
            let holder = holder(answer.value.as_ref())?;
            if holder == Some(session) {
                return Ok(true);
            }
            if holder.is_some() {
                index = answer.index;
                continue;
            }
            if self.take(session).await? {
                return Ok(true);
            }
            // Somebody was faster, or the key rests after its last holder's end.
            let answer = self.client.kv(&self.key, &self.contention.query).await.map_err(LockError::Read)?;
            if answer.value.is_some_and(|pair| !pair.session.is_empty()) {
                index = answer.index;
            } else {
                index = 0;
                tokio::time::sleep(self.contention.patience.map_or(RETRY, |patience| patience.min(RETRY))).await;
            }
        }
        Ok(false)
    }

    async fn take(&self, session: &str) -> Result<bool, LockError> {
        let condition = Condition::Acquire(session);
        self.client.kv_put(&self.entry(), condition, &self.contention.query).await.map_err(LockError::Acquire)
    }

    fn entry(&self) -> KvPair {
        KvPair { key: self.key.clone(), flags: FLAGS, ..KvPair::default() }
    }

    /// Returns when the lock is held no more, or nobody can tell.
    pub async fn lost(&self) {
        let Some(session) = &self.session else { return };
        let (mut index, mut failures) = (0, 0);
        loop {
            match self.client.kv(&self.key, &self.contention.consistent(index)).await {
                Ok(answer) if answer.value.as_ref().is_some_and(|pair| pair.session == session.id) => {
                    (index, failures) = (answer.index, 0);
                }
                Ok(_) => return,
                Err(_) if failures < self.contention.monitor_retries => {
                    (index, failures) = (0, failures + 1);
                    tokio::time::sleep(MONITOR_RETRY).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "lock not seen");
                    return;
                }
            }
        }
    }

    /// Gives the lock back and ends its session.
    pub async fn release(&mut self) -> Result<(), LockError> {
        let session = self.session.take().ok_or(LockError::NotHeld("Lock"))?;
        let condition = Condition::Release(&session.id);
        let released = self.client.kv_put(&self.entry(), condition, &self.contention.query).await;
        let ended = session.end().await;
        released?;
        Ok(ended?)
    }

    /// Removes the key unless somebody holds it.
    pub async fn remove(&self) -> Result<(), LockError> {
        let answer = self.client.kv(&self.key, &self.contention.query).await?;
        let Some(pair) = answer.value else { return Ok(()) };
        if holder(Some(&pair))?.is_some() {
            return Err(LockError::InUse("Lock"));
        }
        let condition = Condition::Cas(pair.modify_index);
        match self.client.kv_delete(&self.key, condition, &self.contention.query).await? {
            true => Ok(()),
            false => Err(LockError::InUse("Lock")),
        }
    }
}

fn holder(pair: Option<&KvPair>) -> Result<Option<&str>, LockError> {
    match pair {
        Some(pair) if pair.flags != FLAGS => Err(LockError::Conflict("lock")),
        pair => Ok(pair.map(|pair| pair.session.as_str()).filter(|session| !session.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_but_not_before_the_first_look() {
        let contention = Contention { patience: Some(Duration::ZERO), ..Contention::default() };
        assert_eq!(contention.wait(Instant::now(), true), Some(Duration::from_millis(1)));
        assert_eq!(contention.wait(Instant::now(), false), None);
        assert_eq!(Contention::default().wait(Instant::now(), false), Some(WAIT));
    }

    #[test]
    fn data_of_others_is_no_lock() {
        let pair = KvPair { flags: FLAGS, session: "s".to_owned(), ..KvPair::default() };
        assert_eq!(holder(Some(&pair)).ok(), Some(Some("s")));
        assert_eq!(holder(None).ok(), Some(None));
        assert!(matches!(holder(Some(&KvPair::default())), Err(LockError::Conflict(_))));
    }
}
