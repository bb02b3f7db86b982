//! Prepared queries: names are unique, and a query can end with a session.

use std::sync::Arc;

use model::PreparedQuery;

use super::config_entry::serialise;
use super::session::known_session;
use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;

impl Store {
    /// Writes a new query (its id is the caller's to choose), or with `replace` one that is there.
    pub async fn put_query(&self, query: PreparedQuery, replace: bool) -> Result<Index, Error> {
        let query = Arc::new(query);
        let decide = |state: &State| {
            let mut batch = Batch::default();
            let key = Key::query(&query.id);
            if replace && state.query(&query.id).is_none() {
                return Err(Error::NoSuchQuery(query.id.clone()));
            }
            if !query.session.is_empty() {
                let session = known_session(&query.session, state).map_err(|error| match error {
                    Error::SessionId(why) => Error::QuerySession(why),
                    other => other,
                })?;
                batch.guard(Key::Session(session.id.as_str().into()), session.modify_index);
            }
            refuse_alias(&query, state)?;
            batch.guard(key.clone(), state.revision(&key));
            // Names are no keys: two queries of one name must not be decided on the same state.
            serialise(&mut batch, state);
            batch.puts.push(Fact::Query(query.clone()));
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// Removing what is not there is no error.
    pub async fn delete_query(&self, id: &str) -> Result<Index, Error> {
        let decide = |state: &State| {
            let mut batch = Batch::default();
            if let Some(query) = state.query(id) {
                batch.guard(Key::query(id), query.modify_index);
                batch.deletes.push(Key::query(id));
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }
}

/// A name is taken by one query, and the id of another is no name.
fn refuse_alias(query: &PreparedQuery, state: &State) -> Result<(), Error> {
    let (name, is_template) = (query.name.to_lowercase(), !query.template.kind.is_empty());
    let others = || state.queries().filter(|other| other.id != query.id);
    if name.is_empty() {
        let taken = is_template && others().any(|o| o.name.is_empty() && !o.template.kind.is_empty());
        return if taken { Err(Error::EmptyTemplate) } else { Ok(()) };
    }
    let refused = |what| Err(Error::QueryAlias { name: query.name.clone(), what });
    if others().any(|other| other.name.to_lowercase() == name) {
        return refused("name");
    }
    if others().any(|other| other.id.to_lowercase() == name) {
        return refused("ID");
    }
    Ok(())
}

/// The queries that end with a session.
pub(super) fn end_with(session: &str, state: &State, batch: &mut Batch) {
    for query in state.queries().filter(|query| query.session.eq_ignore_ascii_case(session)) {
        batch.guard(Key::query(&query.id), query.modify_index);
        batch.deletes.push(Key::query(&query.id));
    }
}
