//! Running prepared queries on a state.

mod template;

use std::net::IpAddr;

use model::{PreparedQuery, ServiceQuery, Status};
use store::{Instance, State, session_id};

use crate::gateways;

pub(crate) use template::check;

/// Who asks, and where.
#[derive(Debug, Clone, Default)]
pub struct Asker<'a> {
    /// The agent that is asked.
    pub node: &'a str,
    /// The node to sort by; empty: as the query says.
    pub near: &'a str,
    /// The address of who asks, for queries that sort by it.
    pub address: Option<IpAddr>,
    /// Proxies instead of the service itself, whatever the query says.
    pub connect: bool,
}

/// What a query found.
#[derive(Debug, Clone)]
pub struct Found {
    pub service: String,
    /// As the query has it; empty: none of its own.
    pub ttl: String,
    pub instances: Vec<Instance>,
}

/// Why a query is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("Query not found")]
    NotFound,
    #[error("prepared query templates can only be resolved up by name, not by ID")]
    TemplateById,
    #[error("{0}")]
    Template(String),
}

/// The query of this id or name, a template filled in.
pub fn resolve(state: &State, id_or_name: &str) -> Result<PreparedQuery, Unanswered> {
    if let Some(query) = session_id(id_or_name).ok().and_then(|id| state.query(&id)) {
        return match query.template.kind.is_empty() {
            true => Ok(PreparedQuery::clone(query)),
            false => Err(Unanswered::TemplateById),
        };
    }
    let query = state.query_named(id_or_name).ok_or(Unanswered::NotFound)?;
    if query.template.kind.is_empty() {
        return Ok(PreparedQuery::clone(query));
    }
    template::fill(query, id_or_name).map_err(Unanswered::Template)
}

/// Runs a query: those that are up and wanted, the nearest first or in any order.
pub fn run(state: &State, query: &PreparedQuery, asker: &Asker<'_>) -> Found {
    let wanted = &query.service;
    let mut instances = match wanted.connect || asker.connect {
        true => gateways::connect_instances(state, &wanted.service),
        false => state.instances(&wanted.service),
    };
    instances.retain(|instance| is_up(instance, wanted) && is_wanted(instance, wanted));
    fastrand::shuffle(&mut instances);
    let near = if asker.near.is_empty() { wanted.near.as_str() } else { asker.near };
    let node = match near {
        "_agent" => Some(asker.node),
        "_ip" => {
            let address = asker.address.map(|address| address.to_string());
            state.nodes().find(|node| Some(&node.address) == address.as_ref()).map(|node| node.node.as_str())
        }
        "" => None,
        named => Some(named),
    };
    if let Some(node) = node {
        crate::server::sort_by_distance(&mut instances, state, node, |instance| &instance.node.node);
    }
    Found { service: wanted.service.clone(), ttl: query.dns.ttl.clone(), instances }
}

fn is_up(instance: &Instance, wanted: &ServiceQuery) -> bool {
    let ignored = |id: &str| wanted.ignore_check_ids.iter().flatten().any(|ignored| ignored == id);
    let bad = |status: Status| status == Status::Critical || (wanted.only_passing && status != Status::Passing);
    !instance.checks.iter().any(|check| bad(check.check.status) && !ignored(&check.check.check_id))
}

fn is_wanted(instance: &Instance, wanted: &ServiceQuery) -> bool {
    let has = |tag: &str| instance.service.tags.iter().any(|own| own.to_lowercase() == tag.to_lowercase());
    let tags = wanted.tags.iter().flatten().all(|tag| match tag.strip_prefix('!') {
        Some(unwanted) => !has(unwanted),
        None => has(tag),
    });
    let node = wanted.node_meta.iter().flatten().all(|(key, value)| instance.node.meta.get(key) == Some(value));
    let service = wanted.service_meta.iter().flatten();
    tags && node && service.into_iter().all(|(key, value)| instance.service.meta.get(key) == Some(value))
}
