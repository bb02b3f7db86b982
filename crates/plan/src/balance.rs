//! `LoadBalancer` of a service-resolver.

use model::OpaqueMap;
use serde_json::Value;

use crate::{Balance, HashBy, HashPolicy};

/// How an instance is chosen, and what requests are hashed by. What is not known is taken for the default: the servers
/// refuse to write it.
pub(crate) fn read(map: &OpaqueMap) -> (Balance, Vec<HashPolicy>) {
    let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
    let ring = |name: &str| map.get("RingHashConfig").and_then(|ring| ring.get(name)).and_then(Value::as_u64);
    let balance = match text("Policy") {
        "round_robin" => Balance::RoundRobin,
        "random" => Balance::Random,
        "ring_hash" => Balance::RingHash {
            minimum_ring_size: ring("MinimumRingSize").unwrap_or_default(),
            maximum_ring_size: ring("MaximumRingSize").unwrap_or_default(),
        },
        "maglev" => Balance::Maglev,
        _ => Balance::LeastRequest,
    };
    let hashes = matches!(balance, Balance::RingHash { .. } | Balance::Maglev);
    let policies = map.get("HashPolicies").and_then(Value::as_array).filter(|_| hashes);
    (balance, policies.into_iter().flatten().filter_map(policy).collect())
}

fn policy(value: &Value) -> Option<HashPolicy> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or_default();
    let name = text("FieldValue").to_owned();
    let by = match text("Field") {
        _ if flag("SourceIP") => HashBy::SourceIp,
        "header" => HashBy::Header(name),
        "query_parameter" => HashBy::QueryParameter(name),
        "cookie" => {
            let config = value.get("CookieConfig").filter(|config| config.is_object());
            let path = config.and_then(|config| config.get("Path")).and_then(Value::as_str).unwrap_or_default();
            HashBy::Cookie { name, path: path.to_owned(), ttl: config.and_then(lifetime) }
        }
        _ => return None,
    };
    Some(HashPolicy { by, terminal: flag("Terminal") })
}

/// Seconds that a cookie made here lives; 0: as long as the browser's session. None: cookies are not made here.
fn lifetime(config: &Value) -> Option<u64> {
    if config.get("Session").and_then(Value::as_bool).unwrap_or_default() {
        return Some(0);
    }
    match config.get("TTL")? {
        Value::String(text) => model::parse_duration(text).ok().map(|ttl| ttl.as_secs()).filter(|ttl| *ttl > 0),
        Value::Number(nanos) => nanos.as_u64().map(|nanos| nanos / 1_000_000_000).filter(|ttl| *ttl > 0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn policies_as_consul_writes_them() {
        let map = serde_json::json!({
            "Policy": "ring_hash",
            "RingHashConfig": {"MinimumRingSize": 9, "MaximumRingSize": 101},
            "HashPolicies": [
                {"Field": "cookie", "FieldValue": "chocolate-chip", "Terminal": true},
                {"Field": "cookie", "FieldValue": "oatmeal", "CookieConfig": {"TTL": "10s", "Path": "/oven"}},
                {"Field": "header", "FieldValue": "special-header", "Terminal": true},
                {"Field": "query_parameter", "FieldValue": "my-pretty-param"},
                {"SourceIP": true}
            ]
        });
        let (balance, hash) = read(map.as_object().unwrap());
        assert_eq!(balance, Balance::RingHash { minimum_ring_size: 9, maximum_ring_size: 101 });
        let cookie = |name: &str, path: &str, ttl| HashBy::Cookie { name: name.into(), path: path.into(), ttl };
        let expected = [
            (cookie("chocolate-chip", "", None), true),
            (cookie("oatmeal", "/oven", Some(10)), false),
            (HashBy::Header("special-header".into()), true),
            (HashBy::QueryParameter("my-pretty-param".into()), false),
            (HashBy::SourceIp, false),
        ];
        assert_eq!(hash.into_iter().map(|policy| (policy.by, policy.terminal)).collect::<Vec<_>>(), expected);
        let plain = serde_json::json!({"Policy": "round_robin", "HashPolicies": [{"SourceIP": true}]});
        assert_eq!(read(plain.as_object().unwrap()), (Balance::RoundRobin, Vec::new()));
    }
}
