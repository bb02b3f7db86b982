//! An alias of a service of another node: follows that node's checks in the catalog.

use model::HealthCheck;

use crate::agent::Agent;
use crate::follow;
use crate::local::alias_verdict;

pub(super) async fn follow(agent: &Agent, id: &str, generation: u64, node: &str, service_id: &str) {
    let path = format!("/v1/health/node/{}", follow::segment(node));
    follow::follow::<Vec<serde_json::Value>>(agent.client(), &path, &[], |answer| {
        let checks: Vec<HealthCheck> = answer.value.iter().filter_map(crate::wire::decode_check).collect();
        let seen = checks.iter().filter(|c| c.service_id == service_id || c.service_id.is_empty());
        let (status, output) = alias_verdict(seen);
        agent.report_check(id, generation, status, output);
    })
    .await;
}
