//! Facts in an etcd cluster (3.4 or later), shared by many servers: any of them takes writes.
//!
//! One key for each fact, a guarded transaction for each batch, the cluster's revision as the index. Names with a time
//! to live are keys on leases, so they outlive the server that granted them and end with nobody's help. Nothing here
//! elects or replicates: the cluster does. It should be told to compact (`--auto-compaction-retention`).

mod commit;
mod error;
mod grpc;
mod messages;
mod names;
mod watch;

pub use error::EtcdError;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch as signal};

use self::grpc::Channel;
use self::messages::{
    DeleteRangeRequest, Done, KeyValue, LeaseGrant, LeaseGranted, LeaseId, LeaseKept, PutRequest, RangeRequest,
    RangeResponse, TxnResponse,
};
use self::names::{Meaning, Names};
use self::watch::Follower;
use super::{Backend, Changes, CommitError, Future, Snapshot, codec};
use crate::fact::{Batch, Fact, Index};

/// Facts of one page when everything is read.
const PAGE: i64 = 500;
/// Changes on their way to a follower; when there are more, the cluster keeps them.
const FOLLOW_QUEUE: usize = 4096;
/// How often everything is read again when the cluster compacts what is just being read.
const LOAD_ATTEMPTS_LIMIT: usize = 5;
/// What a name's key holds: while it lives, and when somebody has ended it.
const LIVING: &[u8] = b"living";
const REVOKED: &[u8] = b"revoked";
/// gRPC's "out of range": the revision is compacted.
const OUT_OF_RANGE: u32 = 11;

/// Keeps facts in a cluster.
pub struct Etcd {
    cluster: Arc<Cluster>,
    /// Followers end with this.
    alive: signal::Sender<()>,
}

struct Cluster {
    channel: Channel,
    names: Names,
}

impl Etcd {
    /// `endpoints` are `http://host:port`; everything is kept under `prefix`. Connects when it is first asked.
    ///
    /// # Errors
    /// An endpoint is none.
    pub fn new(endpoints: &[String], prefix: &str) -> Result<Self, EtcdError> {
        let cluster = Cluster { channel: Channel::new(endpoints)?, names: Names::new(prefix) };
        Ok(Self { cluster: Arc::new(cluster), alive: signal::Sender::new(()) })
    }
}

fn index(header: Option<&messages::Header>) -> Index {
    header.and_then(|header| u64::try_from(header.revision).ok()).unwrap_or_default()
}

fn decode_fact(call: &'static str, kv: &KeyValue) -> Result<Fact, EtcdError> {
    codec::decode(&mut kv.value.as_slice()).map_err(|error| {
        let what = format!("the fact {} cannot be decoded: {error}", String::from_utf8_lossy(&kv.key));
        EtcdError::Answer { call, what }
    })
}

impl Cluster {
    async fn load(&self) -> Result<Snapshot, EtcdError> {
        let mut attempts = 1;
        loop {
            match self.load_once().await {
                Err(EtcdError::Refused { code: OUT_OF_RANGE, .. }) if attempts < LOAD_ATTEMPTS_LIMIT => attempts += 1,
                result => return result,
            }
        }
    }

    /// Page after page, all as of the revision of the first.
    async fn load_once(&self) -> Result<Snapshot, EtcdError> {
        const CALL: &str = "KV/Range";
        let (mut key, range_end) = self.names.all();
        let mut revision = 0;
        let mut facts = None;
        let mut live = BTreeSet::new();
        loop {
            let question = RangeRequest { key, range_end: range_end.clone(), limit: PAGE, revision };
            let page: RangeResponse = self.channel.call(CALL, &question).await?;
            let facts = facts.get_or_insert_with(|| Snapshot::empty(index(page.header.as_ref())));
            revision = i64::try_from(facts.index()).unwrap_or_default();
            for kv in &page.kvs {
                match self.names.meaning(&kv.key) {
                    Meaning::Fact(_) => {
                        let (created, modified) = (kv.create_revision.unsigned_abs(), kv.mod_revision.unsigned_abs());
                        facts.restore(decode_fact(CALL, kv)?, created, modified);
                    }
                    Meaning::Life(name) if kv.value != REVOKED => drop(live.insert(name.into())),
                    _ => {}
                }
            }
            match page.kvs.into_iter().next_back() {
                // The next key is this one with a zero behind it.
                Some(last) if page.more => key = [last.key, vec![0]].concat(),
                _ => break,
            }
        }
        let mut facts = facts.unwrap_or_default();
        facts.live = Some(live);
        Ok(facts)
    }

    async fn commit(&self, batch: &Batch) -> Result<Index, CommitError> {
        let mut last = 0;
        for part in commit::transactions(&self.names, batch).map_err(CommitError::failed)? {
            let answer: TxnResponse = self.channel.call("KV/Txn", &part).await.map_err(CommitError::failed)?;
            if !answer.succeeded {
                return Err(CommitError::Conflict);
            }
            last = index(answer.header.as_ref());
        }
        Ok(last)
    }

    async fn grant(&self, name: &str, ttl: Duration) -> Result<(), EtcdError> {
        // The cluster counts in seconds and may lengthen very short times.
        let ttl_seconds = i64::try_from(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).unwrap_or(i64::MAX).max(1);
        let before = self.lease(name).await?;
        let granted: LeaseGranted = self.channel.call("Lease/LeaseGrant", &LeaseGrant { ttl_seconds }).await?;
        let put = PutRequest { key: self.names.life(name), value: LIVING.to_vec(), lease: granted.id };
        let _: Done = self.channel.call("KV/Put", &put).await?;
        match before {
            // The name is on the new lease by now, so it does not end with this one.
            Some(id) => self.end(id).await,
            None => Ok(()),
        }
    }

    async fn keep_alive(&self, name: &str) -> Result<bool, EtcdError> {
        let Some(id) = self.lease(name).await? else { return Ok(false) };
        let kept: LeaseKept = self.channel.call("Lease/LeaseKeepAlive", &LeaseId { id }).await?;
        Ok(kept.ttl_seconds > 0)
    }

    /// Says first that the end is wanted, so that followers do not take it for an expiry.
    async fn revoke(&self, name: &str) -> Result<(), EtcdError> {
        let Some(id) = self.lease(name).await? else { return Ok(()) };
        let key = self.names.life(name);
        let put = PutRequest { key: key.clone(), value: REVOKED.to_vec(), lease: 0 };
        let _: Done = self.channel.call("KV/Put", &put).await?;
        let _: Done = self.channel.call("KV/DeleteRange", &DeleteRangeRequest { key }).await?;
        self.end(id).await
    }

    async fn lease(&self, name: &str) -> Result<Option<i64>, EtcdError> {
        let question = RangeRequest { key: self.names.life(name), limit: 1, ..RangeRequest::default() };
        let answer: RangeResponse = self.channel.call("KV/Range", &question).await?;
        Ok(answer.kvs.first().map(|kv| kv.lease).filter(|id| *id != 0))
    }

    async fn end(&self, id: i64) -> Result<(), EtcdError> {
        match self.channel.call::<Done>("Lease/LeaseRevoke", &LeaseId { id }).await {
            // It has just ended by itself.
            Ok(_) | Err(EtcdError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Backend for Etcd {
    fn load(&self) -> Future<'_, Result<Snapshot, CommitError>> {
        Box::pin(async { self.cluster.load().await.map_err(CommitError::failed) })
    }

    fn commit(&self, batch: Batch) -> Future<'_, Result<Index, CommitError>> {
        Box::pin(async move { self.cluster.commit(&batch).await })
    }

    fn follow(&self, after: Index) -> Future<'_, Result<Changes, CommitError>> {
        let (changes, following) = mpsc::channel(FOLLOW_QUEUE);
        let cluster = Arc::clone(&self.cluster);
        let follower = Follower { cluster, index: after, changes, revoked: HashSet::new() };
        tokio::spawn(follower.run(self.alive.subscribe()));
        Box::pin(std::future::ready(Ok(Changes::from(following))))
    }

    fn grant<'a>(&'a self, name: &'a str, ttl: Duration) -> Future<'a, Result<(), CommitError>> {
        Box::pin(async move { self.cluster.grant(name, ttl).await.map_err(CommitError::failed) })
    }

    fn keep_alive<'a>(&'a self, name: &'a str) -> Future<'a, Result<bool, CommitError>> {
        Box::pin(async move { self.cluster.keep_alive(name).await.map_err(CommitError::failed) })
    }

    fn revoke<'a>(&'a self, name: &'a str) -> Future<'a, Result<(), CommitError>> {
        Box::pin(async move { self.cluster.revoke(name).await.map_err(CommitError::failed) })
    }
}
