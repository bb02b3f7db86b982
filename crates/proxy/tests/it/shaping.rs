//! Routes, splits, subsets, stand-ins, retries after answers, ejection and balancing policies, as traffic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, StatusCode};
use model::Protocol;
use plan::{
    Balance, Ejection, FieldMatch, HashBy, HashPolicy, HeaderEdits, Match, PathMatch, Plan, Retry, RetryOn, Target,
    TargetId, TextMatch, WeightedTarget,
};
use proxy::Sidecar;
use serde_json::{Value, json};

use crate::rig::*;

/// `web` and some instances of `db`, each an application and a sidecar of its own.
struct World {
    mesh: Mesh,
    servers: Vec<(&'static str, Sidecar)>,
    plan: Plan,
}

impl World {
    async fn new(names: &[&'static str]) -> Self {
        let mesh = Mesh::new();
        let mut servers = Vec::new();
        for name in names {
            let plan = mesh.server_plan("db", Protocol::Http, application_named(name).await, ALLOW);
            servers.push((*name, mesh.start(&plan, &json!([])).await));
        }
        let plan = mesh.client_plan("web", "db", Protocol::Http);
        Self { mesh, servers, plan }
    }

    fn endpoints(&self, names: &[&str]) -> Value {
        let of = |(name, sidecar): &(&str, Sidecar)| json!({"address": inbound(sidecar).to_string(), "instance": name});
        self.servers.iter().filter(|(name, _)| names.contains(name)).map(of).collect()
    }

    fn add(&mut self, target: Target) -> TargetId {
        let id = target.id.clone();
        self.plan.targets.insert(id.clone(), Arc::new(target));
        id
    }

    fn change(&mut self, change: impl Fn(&mut Target)) {
        for target in self.plan.targets.values_mut() {
            change(Arc::make_mut(target));
        }
    }

    /// Starts `web` with these instances for each target.
    async fn start(&self, endpoints: &Value) -> Sidecar {
        self.mesh.run(&self.plan, self.mesh.write_each(&self.plan, endpoints)).await
    }
}

/// Status and who answered.
async fn ask(client: &mut H1, request: Request<Body>) -> (StatusCode, String) {
    let response = within(client.send_request(request)).await.unwrap();
    let by = response.headers().get("x-answered-by").map(|name| name.to_str().unwrap().to_owned());
    let status = response.status();
    drop(text(response).await);
    (status, by.unwrap_or_default())
}

fn id(name: &str) -> TargetId {
    TargetId(format!("{name}.default.dc1"))
}

#[tokio::test]
async fn routes_take_what_they_match_and_change_it_on_its_way() {
    let mut world = World::new(&["v1", "v2"]).await;
    let v2 = world.add(world.mesh.target("db", "v2", Protocol::Http));
    let mut canary = route("canary", vec![WeightedTarget::only(v2.clone())]);
    canary.when = Match {
        path: PathMatch::Prefix("/api".into()),
        headers: vec![FieldMatch { name: "x-canary".into(), is: TextMatch::Present, invert: false }],
        ..Match::default()
    };
    canary.prefix_rewrite = Some("/headers".into());
    canary.request_headers = HeaderEdits { set: [("x-set".into(), "1".into())].into(), ..HeaderEdits::default() };
    canary.targets[0].request_headers = HeaderEdits { remove: vec!["x-canary".into()], ..HeaderEdits::default() };
    canary.response_headers = HeaderEdits {
        remove: vec!["x-answered-by".into()],
        add: [("x-route".into(), "canary".into())].into(),
        ..HeaderEdits::default()
    };
    world.plan.outbound[0].routes.insert(0, canary);
    let endpoints = json!({"db.default.dc1": world.endpoints(&["v1"]), "v2.db.default.dc1": world.endpoints(&["v2"])});
    let web = world.start(&endpoints).await;
    let mut client = h1(outbound(&web, "db")).await;
    assert_eq!(ask(&mut client, get("/api")).await.1, "v1");
    let request = Request::get("/api?q=1").header("host", "db").header("x-canary", "yes").body(empty()).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.headers()["x-route"], "canary");
    assert!(!response.headers().contains_key("x-answered-by"));
    let seen = text(response).await;
    assert!(
        seen.starts_with("/headers?q=1 ") && seen.contains(r#""x-set": "1""#) && !seen.contains("x-canary"),
        "{seen}"
    );
}

#[tokio::test]
async fn splits_follow_their_weights() {
    let mut world = World::new(&["v1", "v2"]).await;
    let v2 = world.add(world.mesh.target("db", "v2", Protocol::Http));
    let share = |target: TargetId, weight| WeightedTarget { weight, ..WeightedTarget::only(target) };
    world.plan.outbound[0].routes[0].targets = vec![share(id("db"), 9_000), share(v2, 1_000)];
    let endpoints = json!({"db.default.dc1": world.endpoints(&["v1"]), "v2.db.default.dc1": world.endpoints(&["v2"])});
    let web = world.start(&endpoints).await;
    let mut client = h1(outbound(&web, "db")).await;
    let mut hits = BTreeMap::new();
    for _ in 0..400 {
        *hits.entry(ask(&mut client, get("/")).await.1).or_insert(0) += 1;
    }
    assert!((15..80).contains(&hits["v2"]) && hits["v1"] + hits["v2"] == 400, "{hits:?}");
}

#[tokio::test]
async fn others_stand_in_when_no_instance_is_healthy() {
    let mut world = World::new(&["v1", "v2"]).await;
    world.add(world.mesh.target("db", "v2", Protocol::Http));
    world.change(|target| {
        if target.subset.is_empty() {
            target.failover = vec![id("v2.db")];
        }
    });
    let mut first = world.endpoints(&["v1"]);
    let endpoints = |first: &Value| json!({"db.default.dc1": first, "v2.db.default.dc1": world.endpoints(&["v2"])});
    let web = world.start(&endpoints(&first)).await;
    let mut client = h1(outbound(&web, "db")).await;
    assert_eq!(ask(&mut client, get("/")).await.1, "v1");
    first[0]["healthy"] = json!(false);
    world.mesh.write_each(&world.plan, &endpoints(&first));
    let address = outbound(&web, "db");
    eventually("the stand-in answers", || async move {
        (ask(&mut h1(address).await, get("/")).await.1 == "v2").then_some(())
    })
    .await;
    // And what a request meets in between is one or the other, never a failure.
    assert_eq!(ask(&mut client, get("/")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn answers_are_tried_again_with_the_whole_body() {
    let mut world = World::new(&["bad", "good"]).await;
    world.plan.outbound[0].routes[0].retry = Retry { attempts: 3, on: vec![RetryOn::ServerError], ..Retry::default() };
    let endpoints = json!({"db.default.dc1": world.endpoints(&["bad", "good"])});
    let web = world.start(&endpoints).await;
    let mut client = h1(outbound(&web, "db")).await;
    for _ in 0..20 {
        let request = Request::post("/flaky").header("host", "db").body(full("some body")).unwrap();
        assert_eq!(ask(&mut client, request).await, (StatusCode::OK, "good".to_owned()));
    }
    for _ in 0..20 {
        assert_eq!(ask(&mut client, get("/reset")).await, (StatusCode::OK, "good".to_owned()));
    }
    let totals = sum(&web.telemetry());
    assert_eq!(totals.codes, [(200, 40)].into());
    assert!(totals.retries > 0 && totals.retries <= 40, "{}", totals.retries);
    // A body that is too large to keep is not sent twice: the first answer stands.
    let large = vec![1_u8; 100_000];
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let request = Request::post("/flaky").header("host", "db").body(full(large.clone())).unwrap();
        statuses.insert(ask(&mut client, request).await.0.as_u16());
    }
    assert_eq!(statuses, [200, 503].into());
}

#[tokio::test]
async fn an_instance_that_fails_in_a_row_is_left_out() {
    let mut world = World::new(&["bad", "good", "good-too"]).await;
    world.change(|target| {
        target.ejection = Some(Ejection {
            consecutive_failures: 3,
            interval: Duration::from_secs(10),
            base_time: Duration::from_secs(60),
            max_percent: 50,
            enforcing: 100,
        });
    });
    let endpoints = json!({"db.default.dc1": world.endpoints(&["bad", "good", "good-too"])});
    let web = world.start(&endpoints).await;
    let mut client = h1(outbound(&web, "db")).await;
    let mut failed = 0;
    for _ in 0..100 {
        failed += u32::from(ask(&mut client, get("/flaky")).await.0 != StatusCode::OK);
    }
    assert_eq!(failed, 3, "then it is out");
    let values = web.telemetry().snapshot();
    assert_eq!(values.targets["db.default.dc1"].values.ejections_total, 1);
}

#[tokio::test]
async fn balancing_policies() {
    for (balance, hash) in [
        (Balance::RoundRobin, None),
        (Balance::Random, None),
        (Balance::RingHash { minimum_ring_size: 0, maximum_ring_size: 0 }, Some(HashBy::Header("x-user".into()))),
        (Balance::Maglev, Some(HashBy::Header("x-user".into()))),
    ] {
        let mut world = World::new(&["a", "b", "c"]).await;
        world.change(|target| {
            target.balance = balance.clone();
            target.hash = hash.iter().map(|by| HashPolicy { by: by.clone(), terminal: false }).collect();
        });
        let endpoints = json!({"db.default.dc1": world.endpoints(&["a", "b", "c"])});
        let web = world.start(&endpoints).await;
        let mut client = h1(outbound(&web, "db")).await;
        let mut hits: BTreeMap<String, u32> = BTreeMap::new();
        let mut by_user: BTreeMap<u32, String> = BTreeMap::new();
        for n in 0..90 {
            let user = n % 30;
            let request = Request::get("/").header("host", "db").header("x-user", user).body(empty()).unwrap();
            let by = ask(&mut client, request).await.1;
            *hits.entry(by.clone()).or_default() += 1;
            if hash.is_some() {
                assert_eq!(*by_user.entry(user).or_insert(by.clone()), by, "{balance:?}: a user stays where it is");
            }
        }
        assert_eq!(hits.len(), 3, "{balance:?} {hits:?}");
        if balance == Balance::RoundRobin {
            assert!(hits.values().all(|n| *n == 30), "{hits:?}");
        }
    }
}

#[tokio::test]
async fn a_cookie_keeps_a_caller_where_it_was() {
    let mut world = World::new(&["a", "b", "c"]).await;
    world.change(|target| {
        target.balance = Balance::Maglev;
        let by = HashBy::Cookie { name: "seat".into(), path: "/".into(), ttl: Some(60) };
        target.hash = vec![HashPolicy { by, terminal: true }];
    });
    let endpoints = json!({"db.default.dc1": world.endpoints(&["a", "b", "c"])});
    let web = world.start(&endpoints).await;
    let mut client = h1(outbound(&web, "db")).await;
    let response = within(client.send_request(get("/"))).await.unwrap();
    let by = response.headers()["x-answered-by"].to_str().unwrap().to_owned();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    drop(text(response).await);
    assert!(cookie.starts_with("seat=\"") && cookie.ends_with("Max-Age=60; Path=/; HttpOnly"), "{cookie}");
    let pair = cookie.split(';').next().unwrap().to_owned();
    for _ in 0..20 {
        let request = Request::get("/").header("host", "db").header("cookie", &pair).body(empty()).unwrap();
        let response = within(client.send_request(request)).await.unwrap();
        assert_eq!(response.headers()["x-answered-by"], by);
        assert!(!response.headers().contains_key("set-cookie"), "it has one");
        drop(text(response).await);
    }
}
