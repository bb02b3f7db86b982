//! Policies.

use model::acl::{AclPolicy, MANAGEMENT_POLICY_ID, Rules, is_name, is_uuid};

use super::{NAME_LIMIT, new_id, refused, shared};
use crate::error::Error;
use crate::fact::{AclFact, AclKey};
use crate::state::{State, Stored};
use crate::store::Store;

impl Store {
    /// A new policy when it has no id, else the new form of that one.
    pub async fn put_policy(&self, policy: AclPolicy) -> Result<Stored<AclPolicy>, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            let mut policy = policy.clone();
            check(&policy, state)?;
            if policy.id.is_empty() {
                policy.id = new_id(|id| state.acl_policy(id).is_some());
            }
            let id = policy.id.clone();
            changes.put(AclFact::Policy(shared(policy)));
            Ok(id)
        };
        let (_, id) = self.acl_write(decide).await?;
        self.state().acl_policy(&id).cloned().ok_or(Error::AclNotFound)
    }

    /// An unknown policy is no error.
    pub async fn delete_policy(&self, id: &str) -> Result<(), Error> {
        if id == MANAGEMENT_POLICY_ID {
            return refused("Delete operation not permitted on the builtin global-management policy");
        }
        let decide = |state: &State, changes: &mut super::Changes| {
            if state.acl_policy(id).is_some() {
                changes.delete(AclKey::Policy(id.into()));
            }
            Ok(())
        };
        self.acl_write(decide).await.map(|_| ())
    }
}

fn check(policy: &AclPolicy, state: &State) -> Result<(), Error> {
    let name = &policy.name;
    if name.is_empty() {
        return refused("Invalid Policy: no Name is set");
    }
    if !is_name(name, NAME_LIMIT) {
        return refused("Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
    }
    let namesake = state.acl_policy_by_name(name).filter(|other| other.id != policy.id);
    if policy.id.is_empty() {
        if namesake.is_some() {
            return refused(format!("Invalid Policy: A Policy with Name {name:?} already exists"));
        }
    } else {
        if !is_uuid(&policy.id) {
            return refused("Policy ID invalid UUID");
        }
        let old = state.acl_policy(&policy.id);
        let old = old.ok_or_else(|| Error::Acl(format!("cannot find policy {}", policy.id)))?;
        if namesake.is_some() {
            return refused(format!("Invalid Policy: A policy with name {name:?} already exists"));
        }
        if policy.id == MANAGEMENT_POLICY_ID {
            if policy.datacenters != old.datacenters {
                return refused("Changing the Datacenters of the builtin global-management policy is not permitted");
            }
            if policy.rules != old.rules {
                return refused("Changing the Rules for the builtin global-management policy is not permitted");
            }
        }
    }
    Rules::parse(&policy.rules).map(|_| ()).map_err(|error| Error::Acl(error.to_string()))
}
