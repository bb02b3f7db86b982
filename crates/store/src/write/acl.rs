//! Access control: what may be written, in which order mistakes are found, and in whose words.

mod login;
mod policy;
mod role;
mod token;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::acl::{Link, NodeIdentity, ServiceIdentity, UnixNanos, is_identity_name};

use crate::error::Error;
use crate::fact::{AclFact, AclKey, Batch, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;

pub use login::check_auth_method;
pub use token::TokenRequest;

/// A token lives at least and at most this long, when it is to end at all.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The names of policies, roles and ways to log in are no longer.
const NAME_LIMIT: usize = 128;

impl Store {
    /// Decides on a snapshot; every write to access control is guarded by the one before.
    async fn acl_write<T>(
        &self,
        mut decide: impl FnMut(&State, &mut Changes) -> Result<T, Error>,
    ) -> Result<(Index, T), Error> {
        self.write(|state| {
            let mut changes = Changes::default();
            let value = decide(state, &mut changes)?;
            let mut batch = Batch { puts: changes.puts, deletes: changes.deletes, ..Batch::default() };
            if !batch.is_empty() {
                let turn = Key::Acl(AclKey::Turn);
                batch.guard(turn.clone(), state.revision(&turn));
                batch.puts.push(Fact::Acl(AclFact::Turn));
            }
            Ok((batch, value))
        })
        .await
    }
}

#[derive(Default)]
struct Changes {
    puts: Vec<Fact>,
    deletes: Vec<Key>,
}

impl Changes {
    fn put(&mut self, fact: AclFact) {
        self.puts.push(Fact::Acl(fact));
    }

    fn delete(&mut self, key: AclKey) {
        self.deletes.push(Key::Acl(key));
    }
}

fn refused<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Acl(text.into()))
}

fn new_id(taken: impl Fn(&str) -> bool) -> String {
    loop {
        let id = uuid::Uuid::new_v4().to_string();
        if !taken(&id) {
            return id;
        }
    }
}

/// Names become ids; one that names nothing is refused. Each id once, in the order given.
fn resolve(
    what: &str,
    links: &[Link],
    by_name: impl Fn(&str) -> Option<Link>,
    by_id: impl Fn(&str) -> Option<Link>,
) -> Result<Vec<Link>, Error> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for link in links {
        let found = if link.id.is_empty() {
            by_name(&link.name).ok_or_else(|| format!("No such ACL {what} with name {:?}", link.name))
        } else {
            by_id(&link.id).ok_or_else(|| format!("No such ACL {what} with ID {:?}", link.id))
        };
        let found = found.map_err(Error::Acl)?;
        if seen.insert(found.id.clone()) {
            out.push(found);
        }
    }
    Ok(out)
}

fn policies(links: &[Link], state: &State) -> Result<Vec<Link>, Error> {
    let link =
        |policy: &crate::Stored<model::acl::AclPolicy>| Link { id: policy.id.clone(), name: policy.name.clone() };
    resolve("policy", links, |name| state.acl_policy_by_name(name).map(link), |id| state.acl_policy(id).map(link))
}

/// Checks identities of a token or a role (`on`) and merges those of one name.
fn service_identities(given: &[ServiceIdentity], on: &str, local: bool) -> Result<Vec<ServiceIdentity>, Error> {
    for identity in given {
        let name = &identity.service_name;
        if name.is_empty() {
            return refused(format!("Service identity is missing the service name field on this {on}"));
        }
        if local && !identity.datacenters.is_empty() {
            return refused(format!("Service identity {name:?} cannot specify a list of datacenters on a local token"));
        }
        if !is_identity_name(name) {
            return refused(format!(
                "Service identity {name:?} has an invalid name. Only alphanumeric characters, '-' and '_' are allowed"
            ));
        }
    }
    let mut sorted = given.to_vec();
    sorted.sort();
    let mut out: Vec<ServiceIdentity> = Vec::new();
    for identity in sorted {
        match out.last_mut().filter(|last| last.service_name == identity.service_name) {
            None => out.push(identity),
            // Everywhere and somewhere is everywhere.
            Some(last) if last.datacenters.is_empty() || identity.datacenters.is_empty() => last.datacenters.clear(),
            Some(last) => {
                let all: BTreeSet<String> = last.datacenters.drain(..).chain(identity.datacenters).collect();
                last.datacenters = all.into_iter().collect();
            }
        }
    }
    Ok(out)
}

fn node_identities(given: &[NodeIdentity], on: &str) -> Result<Vec<NodeIdentity>, Error> {
    for identity in given {
        if identity.node_name.is_empty() {
            return refused(format!("Node identity is missing the node name field on this {on}"));
        }
        if identity.datacenter.is_empty() {
            return refused(format!("Node identity is missing the datacenter field on this {on}"));
        }
        if !is_identity_name(&identity.node_name) {
            return refused("Node identity has an invalid name. Only alphanumeric characters, '-' and '_' are allowed");
        }
    }
    let unique: BTreeSet<NodeIdentity> = given.iter().cloned().collect();
    Ok(unique.into_iter().collect())
}

fn nanos(duration: Duration) -> UnixNanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
