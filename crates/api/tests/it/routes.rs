use http::Method;
use model::SpiffeId;
use serde_json::json;

use crate::{call, get, json as parse, put, server};

#[tokio::test]
async fn leafs_are_signed_for_this_cluster_only() {
    let client = server().await;
    let roots = parse(&get(&client, "/v1/connect/ca/roots").await);
    let trust_domain = roots["TrustDomain"].as_str().unwrap();
    assert!(!roots.to_string().contains("PRIVATE KEY"));
    let (_, csr) = ca::csr::new(&SpiffeId::service(trust_domain, "dc1", "web")).unwrap();
    let body = json!({"CSR": csr}).to_string();
    let first = parse(&put(&client, "/v1/internal/connect/ca/sign", &body).await);
    let second = parse(&put(&client, "/v1/internal/connect/ca/sign", &body).await);
    assert_eq!(first["Service"], "web");
    assert_eq!(first["ServiceURI"], format!("spiffe://{trust_domain}/ns/default/dc/dc1/svc/web"));
    assert_ne!(first["SerialNumber"], second["SerialNumber"]);
    let (_, foreign) = ca::csr::new(&SpiffeId::service("other.consul", "dc1", "web")).unwrap();
    let body = json!({"CSR": foreign}).to_string();
    let refused = call(&client, Method::PUT, "/v1/internal/connect/ca/sign", &body).await;
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("trust domain"), "{}", refused.text());
}

#[tokio::test]
async fn intentions_by_pair_and_by_check() {
    let client = server().await;
    let exact = "/v1/connect/intentions/exact?source=web&destination=default/db";
    assert_eq!(get(&client, exact).await.status, 404);
    put(&client, exact, r#"{"Action":"allow","Description":"one"}"#).await;
    let first = parse(&get(&client, exact).await);
    put(&client, exact, r#"{"Action":"deny"}"#).await;
    let second = parse(&get(&client, exact).await);
    assert_eq!((&first["ID"], &first["CreatedAt"]), (&second["ID"], &second["CreatedAt"]));
    assert_eq!((first["Action"].as_str(), second["Action"].as_str()), (Some("allow"), Some("deny")));
    let check = "/v1/connect/intentions/check?source=web&destination=db";
    assert_eq!(parse(&get(&client, check).await), json!({"Allowed": false}));
    assert_eq!(call(&client, Method::DELETE, exact, "").await.status, 200);
    assert_eq!(parse(&get(&client, check).await), json!({"Allowed": true}));
}

#[tokio::test]
async fn absurd_bodies_and_parameters_are_refused() {
    let client = server().await;
    let huge = format!(r#"{{"Node":"{}"}}"#, "x".repeat(api::BODY_LIMIT_BYTES));
    let answer = call(&client, Method::PUT, "/v1/catalog/register", &huge).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("max size: 524288 bytes"), "{}", answer.text());
    for (path, status) in [
        ("/v1/catalog/nodes?filter=Nope==1", 400),
        ("/v1/catalog/nodes?index=99999999999999999999999", 400),
        ("/v1/catalog/nodes?wait=-5s", 400),
        ("/v1/catalog/nodes?ns=x", 400),
        ("/v1/catalog/nodes?dc=elsewhere", 500),
        ("/v1/catalog/service/%ff%00", 200),
        ("/v1/config/service-defaults/%2F..%2F", 301),
    ] {
        assert_eq!(get(&client, path).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn tags_meta_and_filters_choose() {
    let client = server().await;
    put(
        &client,
        "/v1/catalog/register",
        r#"{"node":"n2","ADDRESS":"192.0.2.2","NodeMeta":{"zone":"a"},
            "Service":{"Service":"web","Tags":["V1","x"],"Port":80}}"#,
    )
    .await;
    for (query, found) in [
        ("", 1),
        ("?tag=v1&tag=X", 1),
        ("?tag=v1&tag=y", 0),
        ("?node-meta=zone:a", 1),
        ("?node-meta=zone:b", 0),
        ("?filter=ServicePort%20%3D%3D%2080%20and%20x%20in%20ServiceTags", 1),
        ("?filter=NodeMeta.zone%20!%3D%20a", 0),
    ] {
        let answer = parse(&get(&client, &format!("/v1/catalog/service/web{query}")).await);
        assert_eq!(answer.as_array().unwrap().len(), found, "{query}");
    }
    let services = parse(&get(&client, "/v1/catalog/services?node-meta=zone:a").await);
    assert_eq!(services, json!({"web": ["V1", "x"]}));
    let first = parse(&get(&client, "/v1/catalog/nodes?near=n2").await);
    assert_eq!(first[0]["Node"], "n2");
}
