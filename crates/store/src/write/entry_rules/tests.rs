#![allow(clippy::unwrap_used)]
use model::decode_config_entry_json;
use serde_json::{Value, json};

use super::check;

fn checked(kind: &str, mut body: Value) -> Result<(), String> {
    body["Kind"] = kind.into();
    body["Name"] = if kind == "exported-services" { "default" } else { "web" }.into();
    check(&decode_config_entry_json(body.to_string().as_bytes()).unwrap())
}

fn refused(kind: &str, cases: &[(Value, &str)]) {
    for (body, words) in cases {
        assert_eq!(checked(kind, body.clone()).expect_err(words), *words, "{body}");
    }
}

#[test]
fn routers_that_cannot_be() {
    let route = |matched: Value| json!({"Routes": [{"Match": {"HTTP": matched}}]});
    refused(
        "service-router",
        &[
            (route(json!({"PathPrefix": "admin"})), "Route[0] PathPrefix doesn't start with '/': \"admin\""),
            (
                route(json!({"PathExact": "/a", "PathRegex": "b"})),
                "Route[0] should only contain at most one of PathExact, PathPrefix, or PathRegex",
            ),
            (
                route(json!({"Header": [{"Name": "x"}]})),
                "Route[0] Header[0] should only contain one of Present, Exact, Prefix, Suffix, or Regex",
            ),
            (route(json!({"QueryParam": [{"Exact": "x"}]})), "Route[0] QueryParam[0] missing required Name field"),
            (route(json!({"Methods": ["get", "GET"]})), "Route[0] Methods contains \"GET\" more than once"),
            (
                json!({"Routes": [{"Destination": {"PrefixRewrite": "/"}}]}),
                "Route[0] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix",
            ),
        ],
    );
    checked("service-router", route(json!({"PathExact": "/a", "Methods": ["get"]}))).unwrap();
}

#[test]
fn splitters_that_cannot_be() {
    refused(
        "service-splitter",
        &[
            (json!({}), "no splits configured"),
            (json!({"Splits": [{"Weight": 50}]}), "the sum of all split weights must be 100, not 50.000000"),
            (json!({"Splits": [{"Weight": 99.99}]}), "the sum of all split weights must be 100, not 99.989998"),
            (
                json!({"Splits": [{"Weight": 50}, {"Weight": 50, "Service": "web"}]}),
                "split destination occurs more than once: service=\"web\", subset=\"\", namespace=\"\"",
            ),
        ],
    );
    let third = |weight: f64, service: &str| json!({"Weight": weight, "Service": service});
    checked("service-splitter", json!({"Splits": [third(33.33, ""), third(33.33, "a"), third(33.34, "b")]})).unwrap();
}

#[test]
fn resolvers_that_cannot_be() {
    refused(
        "service-resolver",
        &[
            (json!({"DefaultSubset": "nope"}), "DefaultSubset \"nope\" is not a valid subset"),
            (json!({"Redirect": {}}), "Redirect is empty"),
            (json!({"Redirect": {"ServiceSubset": "v1"}}), "Redirect.ServiceSubset defined without Redirect.Service"),
            (json!({"Failover": {"v1": {"Service": "x"}}}), "Bad Failover[\"v1\"]: not a valid subset"),
            (
                json!({"Failover": {"*": {"ServiceSubset": "v9"}}}),
                "Bad Failover[\"*\"].ServiceSubset \"v9\" is not a valid subset of \"\"",
            ),
            (
                json!({"Redirect": {"Service": "x"}, "Failover": {"*": {"Service": "x"}}}),
                "Redirect and Failover cannot both be set",
            ),
        ],
    );
    let whole = json!({"Subsets": {"v1": {}}, "DefaultSubset": "v1", "Failover": {"*": {"Datacenters": ["dc2"]}}});
    checked("service-resolver", whole).unwrap();
}

#[test]
fn gateways_that_cannot_be() {
    let listener = |services: Value| json!({"Listeners": [{"Port": 80, "Protocol": "http", "Services": services}]});
    refused(
        "ingress-gateway",
        &[
            (listener(json!([])), "No service declared for listener with port 80"),
            (
                listener(json!([{"Name": "*", "Hosts": ["x"]}])),
                "Associating hosts to a wildcard service is not supported (listener on port 80)",
            ),
            (
                listener(json!([{"Name": "a", "Hosts": ["a.*.b"]}])),
                "Host \"a.*.b\" is not valid, a wildcard specifier is only allowed as the leftmost label",
            ),
        ],
    );
    refused(
        "terminating-gateway",
        &[(
            json!({"Services": [{"Name": "a", "CertFile": "x"}]}),
            "Service \"a\" must have a CertFile, CAFile, and KeyFile specified for TLS origination",
        )],
    );
    checked("terminating-gateway", json!({"Services": [{"Name": "*"}, {"Name": "b", "CAFile": "ca"}]})).unwrap();
}

#[test]
fn newer_kinds_that_cannot_be() {
    let source = |source: Value| json!({"Sources": [source]});
    refused(
        "service-intentions",
        &[
            (json!({}), "At least one source is required"),
            (source(json!({"Name": "a"})), "Sources[0].Action must be set to 'allow' or 'deny'"),
            (
                source(json!({"Name": "a", "Action": "allow", "Permissions": [{"Action": "allow"}]})),
                "Sources[0].Action must be omitted if Permissions are specified",
            ),
            (
                source(json!({"Name": "a*", "Action": "allow"})),
                "Sources[0].Name: wildcard character '*' cannot be used with partial values",
            ),
            (
                source(json!({"Name": "a", "Permissions": [{"Action": "deny", "HTTP": {"Methods": ["FETCH"]}}]})),
                "Sources[0].Permissions[0].HTTP.Methods contains an invalid method \"FETCH\"",
            ),
        ],
    );
    refused("jwt-provider", &[(json!({}), "JSONWebKeySet is required")]);
    refused(
        "exported-services",
        &[(json!({"Services": [{"Name": "a"}]}), "Services[0]: must have at least one consumer")],
    );
}
