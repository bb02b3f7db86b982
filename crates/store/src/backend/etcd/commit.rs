//! Batches as transactions. A batch that is too large for one becomes several, in the batch's own order: a crash
//! between two leaves a state that makes sense, since a batch names dependents before what they depend on, and nobody
//! was answered.

use std::collections::HashMap;

use super::EtcdError;
use super::messages::{Compare, DeleteRangeRequest, Op, PutRequest, RequestOp, TARGET_MOD, TxnRequest};
use super::names::Names;
use crate::backend::codec;
use crate::fact::{Batch, Index};

/// etcd takes 128 operations unless told otherwise; one is left for the clock.
const OPERATIONS_LIMIT: usize = 120;
/// etcd takes 1.5 MiB unless told otherwise; one value may be 512 KiB.
const BYTES_LIMIT: usize = 768 << 10;

/// The transactions that make a batch, in order.
pub(super) fn transactions(names: &Names, batch: &Batch) -> Result<Vec<TxnRequest>, EtcdError> {
    let mut guards: HashMap<Vec<u8>, Index> = HashMap::new();
    for guard in &batch.guards {
        guards.insert(names.fact(&guard.key)?, guard.revision);
    }
    let mut writes = Vec::with_capacity(batch.puts.len() + batch.deletes.len());
    for fact in &batch.puts {
        let mut value = Vec::new();
        codec::encode(fact, &mut value)?;
        writes.push(Op::Put(PutRequest { key: names.fact(&fact.key())?, value, lease: 0 }));
    }
    for key in &batch.deletes {
        writes.push(Op::Delete(DeleteRangeRequest { key: names.fact(key)? }));
    }
    // Each guard goes with the write of its key; those of keys that are only read come first.
    let mut parts = Parts::default();
    let own: Vec<Option<Index>> = writes.iter().map(|write| guards.remove(key_of(write))).collect();
    for (key, revision) in guards {
        parts.add(Some(compare(key, revision)), None);
    }
    for (write, revision) in writes.into_iter().zip(own) {
        let guard = revision.map(|revision| compare(key_of(&write).to_vec(), revision));
        parts.add(guard, Some(write));
    }
    let clock = PutRequest { key: names.clock(), ..PutRequest::default() };
    Ok(parts.finish(&clock))
}

fn key_of(write: &Op) -> &Vec<u8> {
    match write {
        Op::Put(put) => &put.key,
        Op::Delete(delete) => &delete.key,
    }
}

fn compare(key: Vec<u8>, revision: Index) -> Compare {
    Compare { target: TARGET_MOD, key, mod_revision: Some(i64::try_from(revision).unwrap_or(i64::MAX)) }
}

#[derive(Default)]
struct Parts {
    done: Vec<TxnRequest>,
    current: TxnRequest,
    bytes: usize,
}

impl Parts {
    fn add(&mut self, guard: Option<Compare>, write: Option<Op>) {
        let bytes = match &write {
            Some(Op::Put(put)) => put.key.len() + put.value.len(),
            _ => 0,
        };
        let current = &self.current;
        let full = current.compare.len() >= OPERATIONS_LIMIT || current.success.len() >= OPERATIONS_LIMIT;
        if full || (self.bytes > 0 && self.bytes + bytes > BYTES_LIMIT) {
            self.done.push(std::mem::take(&mut self.current));
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.current.compare.extend(guard);
        self.current.success.extend(write.map(|op| RequestOp { op: Some(op) }));
    }

    /// Removing what is not there leaves no trace, and the commit must have an index that followers are told: without
    /// a put, the clock is written.
    fn finish(mut self, clock: &PutRequest) -> Vec<TxnRequest> {
        self.done.push(self.current);
        for part in &mut self.done {
            if !part.success.iter().any(|op| matches!(op.op, Some(Op::Put(_)))) {
                part.success.push(RequestOp { op: Some(Op::Put(clock.clone())) });
            }
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fact::{Fact, Key};

    #[test]
    fn a_large_batch_is_split_with_its_guards_and_in_its_order() {
        let names = Names::new("m");
        let mut batch = Batch::default();
        batch.guard(Key::node("read"), 7);
        for n in 0..300 {
            let key = Key::check("n", &n.to_string());
            batch.guard(key.clone(), n);
            batch.deletes.push(key);
        }
        batch.puts.push(Fact::CaSerial(1));
        let parts = transactions(&names, &batch).unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.iter().map(|part| part.compare.len()).sum::<usize>(), 301);
        assert_eq!(parts[0].compare[0].mod_revision, Some(7));
        let deleted = parts.iter().flat_map(|part| &part.success).filter_map(|op| match &op.op {
            Some(Op::Delete(delete)) => Some(delete.key.clone()),
            _ => None,
        });
        let wanted: Vec<_> = batch.deletes.iter().map(|key| names.fact(key).unwrap()).collect();
        assert_eq!(deleted.collect::<Vec<_>>(), wanted);
        for part in &parts {
            assert!(part.success.len() <= 128 && part.compare.len() <= 128);
            assert_eq!(part.success.iter().filter(|op| matches!(op.op, Some(Op::Put(_)))).count(), 1);
        }
    }
}
