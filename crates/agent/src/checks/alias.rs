//! An alias of a service of another node: follows that node's services and checks in the catalog.

use std::sync::{Mutex, PoisonError};

use model::HealthCheck;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::agent::Agent;
use crate::follow::{follow as watch, segment};
use crate::local::{alias_verdict, unknown_service};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CatalogNode {
    services: Map<String, Value>,
}

/// What is known so far of the node.
#[derive(Default)]
struct Seen {
    /// `None` until the catalog has answered.
    exists: Option<bool>,
    checks: Option<Vec<HealthCheck>>,
}

pub(super) async fn follow(agent: &Agent, id: &str, generation: u64, node: &str, service_id: &str) {
    let seen = Mutex::new(Seen::default());
    let judge = |change: &dyn Fn(&mut Seen)| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut seen);
        let (Some(exists), Some(checks)) = (seen.exists, &seen.checks) else { return };
        let own = checks.iter().filter(|check| check.service_id == service_id || check.service_id.is_empty());
        let (status, output) = if exists { alias_verdict(own) } else { unknown_service(service_id, node) };
        agent.report_check(id, generation, status, output);
    };
    let (services, checks) =
        (format!("/v1/catalog/node/{}", segment(node)), format!("/v1/health/node/{}", segment(node)));
    tokio::join!(
        watch::<Option<CatalogNode>>(
            || agent.acting(),
            &services,
            &[],
            |answer| {
                let known = answer.value.is_some_and(|node| node.services.contains_key(service_id));
                judge(&|seen| seen.exists = Some(known || service_id.is_empty()));
            }
        ),
        watch::<Vec<Value>>(
            || agent.acting(),
            &checks,
            &[],
            |answer| {
                let checks: Vec<HealthCheck> = answer.value.iter().filter_map(crate::wire::decode_check).collect();
                judge(&|seen| seen.checks = Some(checks.clone()));
            }
        ),
    );
}
