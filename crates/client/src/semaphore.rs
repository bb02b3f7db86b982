//! A semaphore: up to a limit of holders, listed in one key, each alive by a key of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::http::Client;
use crate::kv::{Condition, KvPair};
use crate::lock::{Contention, LockError, MONITOR_RETRY};
use crate::session::KeptSession;

/// Marks the keys as those of a semaphore.
const FLAGS: u64 = 0xe0f6_9a2b_aa41_4de0;

/// A semaphore, held or not.
pub struct Semaphore {
    client: Client,
    prefix: String,
    limit: u64,
    contention: Contention,
    session: Option<KeptSession>,
}

/// What stands in the key that all contenders share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Holders {
    limit: u64,
    holders: BTreeMap<String, bool>,
}

/// The shared key as it was read.
struct Seen {
    holders: Holders,
    /// 0 when there is none yet.
    modify_index: u64,
    index: u64,
}

impl Semaphore {
    /// `prefix` has no slash at its end.
    pub fn new(client: &Client, prefix: &str, limit: u64, contention: Contention) -> Self {
        Self { client: client.clone(), prefix: prefix.to_owned(), limit, contention, session: None }
    }

    fn key(&self, last: &str) -> String {
        if self.prefix.is_empty() { last.to_owned() } else { format!("{}/{last}", self.prefix) }
    }

    /// Waits until a place is held; false when patience ended first, or `stop` did.
    pub async fn acquire(&mut self, stop: impl Future<Output = ()>) -> Result<bool, LockError> {
        let session = self.contention.session(&self.client).await?;
        let taken = tokio::select! {
            taken = self.contend(&session.id) => taken,
            () = stop => Ok(false),
        };
        match taken {
            Ok(true) => self.session = Some(session),
            _ => {
                let _ = self.client.kv_delete(&self.key(&session.id), Condition::Always, &self.contention.query).await;
                drop(session.end().await);
            }
        }
        taken
    }

    async fn contend(&self, session: &str) -> Result<bool, LockError> {
        let (started, mut index, mut first) = (Instant::now(), 0, true);
        let own = KvPair { key: self.key(session), flags: FLAGS, ..KvPair::default() };
        if !self.client.kv_put(&own, Condition::Acquire(session), &self.contention.query).await? {
            return Err(LockError::Contender);
        }
        while let Some(wait) = self.contention.wait(started, first) {
            let mut seen = self.read(&self.contention.blocking(index, wait)).await?;
            first = false;
            if seen.holders.limit != self.limit {
                return Err(LockError::Limit { theirs: seen.holders.limit, ours: self.limit });
            }
            if seen.holders.holders.len() as u64 >= self.limit {
                index = seen.index;
                continue;
            }
            seen.holders.holders.insert(session.to_owned(), true);
            if self.write(&seen).await? {
                return Ok(true);
            }
            index = 0;
        }
        Ok(false)
    }

    /// The holders that are alive.
    async fn read(&self, query: &crate::query::Query) -> Result<Seen, LockError> {
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let answer = self.client.kv_list(&prefix, query).await.map_err(LockError::Read)?;
        seen(&answer.value, &self.key(".lock"), answer.index, self.limit)
    }

    async fn write(&self, seen: &Seen) -> Result<bool, LockError> {
        let value = serde_json::json!({ "Limit": seen.holders.limit, "Holders": seen.holders.holders });
        let pair =
            KvPair { key: self.key(".lock"), flags: FLAGS, value: value.to_string().into(), ..KvPair::default() };
        Ok(self.client.kv_put(&pair, Condition::Cas(seen.modify_index), &self.contention.query).await?)
    }

    /// Returns when the place is held no more, or nobody can tell.
    pub async fn lost(&self) {
        let Some(session) = &self.session else { return };
        let (mut index, mut failures) = (0, 0);
        loop {
            match self.read(&self.contention.consistent(index)).await {
                Ok(seen) if seen.holders.holders.contains_key(&session.id) => (index, failures) = (seen.index, 0),
                Err(LockError::Read(_)) if failures < self.contention.monitor_retries => {
                    (index, failures) = (0, failures + 1);
                    tokio::time::sleep(MONITOR_RETRY).await;
                }
                _ => return,
            }
        }
    }

    /// Gives the place back and ends its session.
    pub async fn release(&mut self) -> Result<(), LockError> {
        let session = self.session.take().ok_or(LockError::NotHeld("Semaphore"))?;
        let left = self.leave(&session.id).await;
        let ended = session.end().await;
        left?;
        Ok(ended?)
    }

    async fn leave(&self, session: &str) -> Result<(), LockError> {
        loop {
            let mut seen = self.read(&self.contention.query).await?;
            // Others write the same key: try until nobody was faster.
            if seen.holders.holders.remove(session).is_none() || self.write(&seen).await? {
                break;
            }
        }
        self.client.kv_delete(&self.key(session), Condition::Always, &self.contention.query).await?;
        Ok(())
    }

    /// Removes the shared key unless somebody holds a place.
    pub async fn remove(&self) -> Result<(), LockError> {
        let seen = self.read(&self.contention.query).await?;
        if seen.modify_index == 0 {
            return Ok(());
        }
        if !seen.holders.holders.is_empty() {
            return Err(LockError::InUse("Semaphore"));
        }
        let condition = Condition::Cas(seen.modify_index);
        match self.client.kv_delete(&self.key(".lock"), condition, &self.contention.query).await? {
            true => Ok(()),
            false => Err(LockError::InUse("Semaphore")),
        }
    }
}

fn seen(pairs: &[KvPair], lock: &str, index: u64, limit: u64) -> Result<Seen, LockError> {
    let Some(shared) = pairs.iter().find(|pair| pair.key == lock) else {
        return Ok(Seen { holders: Holders { limit, holders: BTreeMap::new() }, modify_index: 0, index });
    };
    let conflict = LockError::Conflict("semaphore");
    if shared.flags != FLAGS {
        return Err(conflict);
    }
    let mut holders: Holders = serde_json::from_slice(&shared.value).map_err(|_| conflict)?;
    // A holder whose session ended holds nothing any more.
    holders.holders.retain(|session, _| pairs.iter().any(|pair| pair.session == *session));
    Ok(Seen { holders, modify_index: shared.modify_index, index })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_holder_without_a_session_is_none() {
        let value = br#"{"Limit":2,"Holders":{"alive":true,"dead":true}}"#.to_vec();
        let shared = KvPair { key: "s/.lock".to_owned(), flags: FLAGS, value, modify_index: 7, ..KvPair::default() };
        let alive = KvPair { key: "s/alive".to_owned(), session: "alive".to_owned(), ..KvPair::default() };
        let seen = seen(&[shared.clone(), alive], "s/.lock", 9, 2).unwrap();
        assert_eq!(seen.holders.holders.keys().collect::<Vec<_>>(), ["alive"]);
        assert_eq!((seen.modify_index, seen.index), (7, 9));
        let foreign = KvPair { flags: 0, ..shared };
        assert!(matches!(super::seen(&[foreign], "s/.lock", 9, 2), Err(LockError::Conflict(_))));
    }
}
