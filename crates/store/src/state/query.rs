//! Prepared queries by id and by name.

use model::PreparedQuery;

use super::{State, Stored};
use crate::fact::lower;

impl State {
    pub fn query(&self, id: &str) -> Option<&Stored<PreparedQuery>> {
        self.queries.get(&lower(id))
    }

    /// In the order of their ids.
    pub fn queries(&self) -> impl Iterator<Item = &Stored<PreparedQuery>> {
        self.queries.rows()
    }

    /// The query of this name, without case; or the template whose name is the longest beginning of it.
    pub fn query_named(&self, name: &str) -> Option<&Stored<PreparedQuery>> {
        let name = name.to_lowercase();
        let exact = |query: &&Stored<PreparedQuery>| {
            query.template.kind.is_empty() && !query.name.is_empty() && query.name.to_lowercase() == name
        };
        let fits = |query: &&Stored<PreparedQuery>| {
            !query.template.kind.is_empty() && name.starts_with(&query.name.to_lowercase())
        };
        self.queries().find(exact).or_else(|| self.queries().filter(fits).max_by_key(|query| query.name.len()))
    }
}
