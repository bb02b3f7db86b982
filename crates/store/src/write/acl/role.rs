//! Roles.

use model::acl::{AclRole, is_name, is_uuid};

use super::{NAME_LIMIT, new_id, node_identities, policies, refused, service_identities, shared};
use crate::error::Error;
use crate::fact::{AclFact, AclKey};
use crate::state::{State, Stored};
use crate::store::Store;

impl Store {
    /// A new role when it has no id, else the new form of that one.
    pub async fn put_role(&self, role: AclRole) -> Result<Stored<AclRole>, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            check(&role, state)?;
            let id = match role.id.as_str() {
                "" => new_id(|id| state.acl_role(id).is_some()),
                id => id.to_owned(),
            };
            let role = AclRole {
                id: id.clone(),
                policies: policies(&role.policies, state)?,
                service_identities: service_identities(&role.service_identities, "role", false)?,
                node_identities: node_identities(&role.node_identities, "role")?,
                ..role.clone()
            };
            changes.put(AclFact::Role(shared(role)));
            Ok(id)
        };
        let (_, id) = self.acl_write(decide).await?;
        self.state().acl_role(&id).ok_or(Error::AclNotFound)
    }

    /// An unknown role is no error.
    pub async fn delete_role(&self, id: &str) -> Result<(), Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            if state.acl_role(id).is_some() {
                changes.delete(AclKey::Role(id.into()));
            }
            Ok(())
        };
        self.acl_write(decide).await.map(|_| ())
    }
}

fn check(role: &AclRole, state: &State) -> Result<(), Error> {
    let name = &role.name;
    if name.is_empty() {
        return refused("Invalid Role: no Name is set");
    }
    if !is_name(name, 2 * NAME_LIMIT) {
        return refused("Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
    }
    let namesake = state.acl_role_by_name(name).is_some_and(|other| other.id != role.id);
    if role.id.is_empty() {
        if namesake {
            return refused(format!("Invalid Role: A Role with Name {name:?} already exists"));
        }
        return Ok(());
    }
    if !is_uuid(&role.id) {
        return refused("Role ID invalid UUID");
    }
    if state.acl_role(&role.id).is_none() {
        return refused(format!("cannot find role {}", role.id));
    }
    if namesake {
        return refused(format!("Invalid Role: A role with name {name:?} already exists"));
    }
    Ok(())
}
