//! Bodies that were built before: most queries are the same few, asked again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::reply::Body;
use crate::view::{Subject, View};

const ENTRIES_LIMIT: usize = 8192;
const RECORDS_LIMIT: usize = 262_144;

struct Entry {
    subject: Subject,
    revision: u64,
    body: Arc<Body>,
}

/// By name in lower case and kind. Belongs to one worker, so nobody waits for it.
#[derive(Default)]
pub struct Cache {
    entries: HashMap<Box<[u8]>, Entry>,
    records: usize,
}

impl Cache {
    /// The body, unless what it depends on is another by now.
    pub fn get(&self, key: &[u8], view: &dyn View) -> Option<Arc<Body>> {
        let entry = self.entries.get(key)?;
        (view.revision(&entry.subject) == entry.revision).then(|| Arc::clone(&entry.body))
    }

    /// `view` must be the one the body was built from.
    pub fn put(&mut self, key: &[u8], subject: Subject, body: &Arc<Body>, view: &dyn View) {
        let records = body.records();
        // Starting anew is simple, and what is asked often is soon here again.
        if self.entries.len() >= ENTRIES_LIMIT || self.records + records > RECORDS_LIMIT {
            self.entries.clear();
            self.records = 0;
        }
        self.records += records;
        let entry = Entry { revision: view.revision(&subject), subject, body: Arc::clone(body) };
        if let Some(old) = self.entries.insert(key.into(), entry) {
            self.records -= old.body.records();
        }
    }
}
