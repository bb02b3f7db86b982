//! All facts as one text of bytes, to be kept elsewhere and put back.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::backend::codec;
use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key};
use crate::store::Store;

/// What the bytes begin with: what they are, and in which form.
const HEAD: &[u8] = b"meshglass facts 1\n";

/// Why bytes are no facts.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the state is not in the form that this program writes")]
    Foreign,
    #[error("the state breaks off or is damaged after {0} facts")]
    Damaged(usize),
}

#[derive(Serialize, Deserialize)]
struct Row {
    fact: Fact,
}

/// Reads what [`Store::export`] wrote.
pub fn read_facts(bytes: &[u8]) -> Result<Vec<Fact>, ArchiveError> {
    let mut rest = bytes.strip_prefix(HEAD).ok_or(ArchiveError::Foreign)?;
    let mut facts = Vec::new();
    while !rest.is_empty() {
        let row: Row = codec::decode(&mut rest).map_err(|_| ArchiveError::Damaged(facts.len()))?;
        facts.push(row.fact);
    }
    Ok(facts)
}

impl Store {
    /// Everything there is, as of the index that is given with it.
    pub async fn export(&self) -> Result<(Index, Vec<u8>), Error> {
        let snapshot = self.load().await?;
        let mut bytes = HEAD.to_vec();
        for (fact, _, _) in snapshot.facts() {
            let row = Row { fact: fact.clone() };
            codec::encode(&row, &mut bytes)
                .map_err(|source| Error::Backend { what: "writing the facts", source: Box::new(source) })?;
        }
        Ok((snapshot.index(), bytes))
    }

    /// Puts these facts in the place of all there are, in one batch. What others write in the meantime is removed too,
    /// unless it is a fact of the same name: then the later write stands.
    pub async fn replace_all(&self, facts: Vec<Fact>) -> Result<Index, Error> {
        let wanted: HashSet<Key> = facts.iter().map(Fact::key).collect();
        let mut batch = Batch { puts: facts, ..Batch::default() };
        loop {
            let snapshot = self.load().await?;
            let unwanted = snapshot.facts().map(|(fact, _, _)| fact.key()).filter(|key| !wanted.contains(key));
            batch.deletes = unwanted.collect();
            if batch.is_empty() {
                self.grant_sessions().await?;
                return Ok(snapshot.index());
            }
            // The second time there is only what was written in between to be removed.
            self.commit(std::mem::take(&mut batch)).await?;
        }
    }
}
