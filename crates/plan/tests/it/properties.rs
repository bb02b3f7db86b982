//! What holds for every input, however odd.

use plan::{Inputs, compile, content_hash};
use proptest::prelude::*;
use serde_json::{Value, json};

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-z0-9=.:/]{0,12}".prop_map(Value::from),
        Just(json!([{"max_connections": 3}])),
        Just(json!({"interval": "1s"})),
    ]
}

fn config() -> impl Strategy<Value = Value> {
    let keys = prop_oneof![
        Just("protocol"),
        Just("Protocol"),
        Just("bind_port"),
        Just("bind_address"),
        Just("limits"),
        Just("envoy_stats_tags"),
        Just("local_request_timeout_ms"),
        Just("bogus"),
    ];
    proptest::collection::btree_map(keys.prop_map(str::to_owned), scalar(), 0..4).prop_map(|map| json!(map))
}

fn inputs() -> impl Strategy<Value = Inputs> {
    let datacenter = prop_oneof![Just(""), Just("dc2")];
    let upstream = ("[ab]?", 0_u16..4, config(), datacenter).prop_map(|(name, port, config, dc)| {
        json!({"DestinationName": name, "LocalBindPort": port, "Config": config, "Datacenter": dc})
    });
    (
        config(),
        config(),
        proptest::collection::vec(upstream, 0..5),
        0_u16..4,
        prop_oneof![Just(""), Just("connect-proxy")],
    )
        .prop_map(|(own, central, upstreams, port, kind)| {
            let value = json!({
                "Proxy": {"Kind": kind, "ID": "p", "Service": "p", "Port": port, "Proxy": {
                    "DestinationServiceName": "a", "LocalServicePort": port, "Config": own, "Upstreams": upstreams}},
                "ProxyDefaults": {"Config": central, "AccessLogs": central},
                "Datacenter": "dc1", "TrustDomain": "t.consul"
            });
            serde_json::from_value(value).unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_plan_has_no_two_listeners_on_one_port_and_every_target_it_names(inputs in inputs()) {
        let plan = compile(&inputs);
        let mut ports: Vec<(String, u16)> = plan.outbound.iter().map(|o| (o.bind.clone(), o.port)).collect();
        ports.extend(plan.inbound.iter().map(|i| (i.bind.clone(), i.port)));
        prop_assert!(ports.iter().all(|(_, port)| *port != 0));
        ports.sort();
        let before = ports.len();
        ports.dedup();
        prop_assert_eq!(before, ports.len());
        for target in plan.outbound.iter().flat_map(|o| &o.routes).flat_map(|r| &r.targets) {
            prop_assert!(plan.targets.contains_key(&target.target));
        }
        prop_assert_eq!(content_hash(&plan), content_hash(&compile(&inputs)));
    }

    #[test]
    fn nothing_asked_for_is_dropped_in_silence(inputs in inputs()) {
        let plan = compile(&inputs);
        let asked = inputs.proxy.proxy.as_ref().map_or(0, |proxy| proxy.upstreams.len());
        if plan.outbound.len() < asked {
            prop_assert!(!plan.warnings.is_empty());
        }
    }
}
