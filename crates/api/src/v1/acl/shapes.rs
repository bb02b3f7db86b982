//! What access control looks like in answers.

use model::acl::{
    AclPolicy, AclRole, AclToken, AuthMethod, BindingRule, Link, NodeIdentity, ServiceIdentity, UnixNanos,
};
use model::{OpaqueMap, format_duration};
use serde::Serialize;
use store::Stored;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::v1::shapes::digest;

/// What stands for a secret that the reader may not know.
pub(super) const HIDDEN: &str = "<hidden>";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceIdentityShape<'a> {
    service_name: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    datacenters: &'a [String],
}

fn services(identities: &[ServiceIdentity]) -> Vec<ServiceIdentityShape<'_>> {
    let mut shapes = Vec::with_capacity(identities.len());
    for ServiceIdentity { service_name, datacenters } in identities {
        shapes.push(ServiceIdentityShape { service_name, datacenters });
    }
    shapes
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TokenShape<'a> {
    #[serde(rename = "AccessorID")]
    accessor_id: &'a str,
    /// Not in lists.
    #[serde(rename = "SecretID", skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
    description: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policies: &'a [Link],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    roles: &'a [Link],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_identities: Vec<ServiceIdentityShape<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    node_identities: &'a [NodeIdentity],
    local: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    auth_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: Option<String>,
    create_time: String,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> TokenShape<'a> {
    /// For whom may know the secret.
    pub fn whole(token: &'a Stored<AclToken>) -> Self {
        Self { secret_id: Some(&token.secret_id.0), ..Self::listed(token) }
    }

    /// For whom may not.
    pub fn hidden(token: &'a Stored<AclToken>) -> Self {
        Self { secret_id: Some(HIDDEN), ..Self::listed(token) }
    }

    pub fn listed(token: &'a Stored<AclToken>) -> Self {
        let told = (&token.description, &token.policies, &token.roles, &token.service_identities, token.local);
        Self {
            accessor_id: &token.accessor_id,
            secret_id: None,
            description: &token.description,
            policies: &token.policies,
            roles: &token.roles,
            service_identities: services(&token.service_identities),
            node_identities: &token.node_identities,
            local: token.local,
            auth_method: &token.auth_method,
            expiration_time: token.expires.map(rfc3339),
            create_time: rfc3339(token.created),
            hash: digest(&format!("{told:?}{:?}", token.node_identities)),
            create_index: token.create_index,
            modify_index: token.modify_index,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    description: &'a str,
    rules: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    datacenters: &'a [String],
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<AclPolicy>> for PolicyShape<'a> {
    fn from(policy: &'a Stored<AclPolicy>) -> Self {
        Self {
            id: &policy.id,
            name: &policy.name,
            description: &policy.description,
            rules: &policy.rules,
            datacenters: &policy.datacenters,
            hash: policy_hash(policy),
            create_index: policy.create_index,
            modify_index: policy.modify_index,
        }
    }
}

fn policy_hash(policy: &AclPolicy) -> String {
    digest(&format!("{:?}", (&policy.name, &policy.description, &policy.rules, &policy.datacenters)))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyStub<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    description: &'a str,
    /// `null` without any, unlike in the policy itself.
    datacenters: Option<&'a [String]>,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<AclPolicy>> for PolicyStub<'a> {
    fn from(policy: &'a Stored<AclPolicy>) -> Self {
        Self {
            id: &policy.id,
            name: &policy.name,
            description: &policy.description,
            datacenters: (!policy.datacenters.is_empty()).then_some(&policy.datacenters),
            hash: policy_hash(policy),
            create_index: policy.create_index,
            modify_index: policy.modify_index,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    description: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policies: &'a [Link],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_identities: Vec<ServiceIdentityShape<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    node_identities: &'a [NodeIdentity],
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<AclRole>> for RoleShape<'a> {
    fn from(role: &'a Stored<AclRole>) -> Self {
        let told = (&role.name, &role.description, &role.policies, &role.service_identities, &role.node_identities);
        Self {
            id: &role.id,
            name: &role.name,
            description: &role.description,
            policies: &role.policies,
            service_identities: services(&role.service_identities),
            node_identities: &role.node_identities,
            hash: digest(&format!("{told:?}")),
            create_index: role.create_index,
            modify_index: role.modify_index,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MethodShape<'a> {
    #[serde(rename = "MaxTokenTTL", skip_serializing_if = "Option::is_none")]
    max_token_ttl: Option<String>,
    name: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    display_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    token_locality: &'a str,
    /// Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a OpaqueMap>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> MethodShape<'a> {
    pub fn whole(method: &'a Stored<AuthMethod>) -> Self {
        let ttl = method.max_token_ttl;
        Self {
            max_token_ttl: (!ttl.is_zero()).then(|| format_duration(ttl)),
            name: &method.name,
            kind: &method.kind,
            display_name: &method.display_name,
            description: &method.description,
            token_locality: &method.token_locality,
            config: Some(&method.config),
            create_index: method.create_index,
            modify_index: method.modify_index,
        }
    }

    pub fn listed(method: &'a Stored<AuthMethod>) -> Self {
        Self { config: None, ..Self::whole(method) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RuleShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    description: &'a str,
    auth_method: &'a str,
    selector: &'a str,
    bind_type: &'a str,
    bind_name: &'a str,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<BindingRule>> for RuleShape<'a> {
    fn from(rule: &'a Stored<BindingRule>) -> Self {
        Self {
            id: &rule.id,
            description: &rule.description,
            auth_method: &rule.auth_method,
            selector: &rule.selector,
            bind_type: &rule.bind_type,
            bind_name: &rule.bind_name,
            create_index: rule.create_index,
            modify_index: rule.modify_index,
        }
    }
}

/// With as many digits of the second as there are, as Go prints times.
fn rfc3339(at: UnixNanos) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

/// Go's zero time is none.
pub(super) fn parse_rfc3339(text: &str) -> Result<Option<UnixNanos>, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}"))?;
    if at.year() <= 1 {
        return Ok(None);
    }
    // Long ago is as much over as a moment ago.
    Ok(Some(u64::try_from(at.unix_timestamp_nanos()).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_gos() {
        assert_eq!(rfc3339(1_600_000_000_250_000_000), "2020-09-13T12:26:40.25Z");
        assert_eq!(parse_rfc3339("2020-09-13T14:26:40.25+02:00").unwrap(), Some(1_600_000_000_250_000_000));
        assert_eq!(parse_rfc3339("0001-01-01T00:00:00Z").unwrap(), None);
        assert!(parse_rfc3339("x").is_err());
    }
}
