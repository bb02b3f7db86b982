#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::*;

fn state() -> State {
    let node = model::Node { node: "n1".into(), ..model::Node::default() };
    State::new(&Config { sidecar_ports: 21000..=21001, ..Config::new(node) })
}

fn service(name: &str) -> ServiceDefinition {
    let mut definition = ServiceDefinition::default();
    definition.service.service = name.into();
    definition.service.port = 80;
    definition
}

fn with_sidecar(name: &str) -> ServiceDefinition {
    ServiceDefinition { sidecar: Some(Box::default()), ..service(name) }
}

fn ttl(id: &str) -> CheckDefinition {
    let mut check = CheckDefinition::new("", CheckKind::Ttl(Duration::from_secs(60)));
    check.id = id.into();
    check
}

fn status(state: &State, id: &str) -> (Status, String) {
    let health = &state.checks[id].health;
    (health.status, health.output.clone())
}

fn tell(state: &mut State, id: &str, status: Status, output: &str) -> bool {
    let generation = state.checks[id].generation;
    state.report(id, generation, status, output.into())
}

#[test]
fn checks_are_numbered_as_consul_numbers_them() {
    let mut state = state();
    let mut one = service("web");
    one.checks = vec![ttl("")];
    state.register(one, false, false).unwrap();
    let mut several = service("db");
    several.checks = vec![ttl(""), ttl("mine"), ttl("")];
    state.register(several, false, false).unwrap();
    let ids: Vec<&String> = state.checks.keys().collect();
    assert_eq!(ids, ["mine", "service:db:1", "service:db:3", "service:web"]);
    assert_eq!(state.checks["mine"].health.name, "Service 'db' check");
    assert_eq!(state.checks["service:web"].health.status, Status::Critical);
}

#[test]
fn a_sidecar_keeps_its_port_and_goes_with_its_service() {
    let mut state = state();
    state.register(with_sidecar("a"), false, false).unwrap();
    state.register(with_sidecar("b"), false, false).unwrap();
    assert!(state.register(with_sidecar("c"), false, false).is_err(), "the range has two ports");
    assert!(!state.services.contains_key("c"), "refused as a whole");
    state.deregister("a");
    assert!(!state.services.contains_key("a-sidecar-proxy"));
    state.register(with_sidecar("b"), false, false).unwrap();
    assert_eq!(state.services["b-sidecar-proxy"].service.port, 21001);
    state.register(service("b"), false, false).unwrap();
    assert!(state.services.contains_key("b-sidecar-proxy"), "a definition without one leaves it");
    state.deregister("b-sidecar-proxy");
    assert!(state.services.contains_key("b"));
    assert!(state.checks.is_empty(), "{:?}", state.checks.keys());
}

#[test]
fn registering_again_adds_checks_and_keeps_what_is_known() {
    let mut state = state();
    let mut first = service("web");
    first.checks = vec![ttl("one"), ttl("two")];
    state.register(first, false, false).unwrap();
    assert!(tell(&mut state, "one", Status::Passing, "fine"));
    let mut second = service("web");
    second.checks = vec![ttl("one"), ttl("three")];
    state.register(second.clone(), false, false).unwrap();
    assert_eq!(status(&state, "one"), (Status::Passing, "fine".into()));
    assert_eq!(state.checks.len(), 3);
    state.register(second, true, false).unwrap();
    assert_eq!(state.checks.len(), 2, "replace-existing-checks");
}

#[test]
fn a_report_of_a_replaced_check_is_of_no_account() {
    let mut state = state();
    let mut definition = service("web");
    definition.checks = vec![ttl("c")];
    state.register(definition.clone(), false, false).unwrap();
    let old = state.checks["c"].generation;
    state.register(definition, false, false).unwrap();
    assert!(!state.report("c", old, Status::Passing, String::new()));
}

#[test]
fn an_alias_follows_its_service_and_the_node() {
    let mut state = state();
    state.register(with_sidecar("web"), false, false).unwrap();
    let alias = "service:web-sidecar-proxy:2";
    assert_eq!(status(&state, alias), (Status::Passing, "No checks found.".into()));
    let mut check = ttl("web-check");
    check.service_id = "web".into();
    check.name = "W".into();
    state.register_check(check, false).unwrap();
    tell(&mut state, "web-check", Status::Critical, "down");
    assert_eq!(status(&state, alias), (Status::Critical, "Aliased check \"W\" failing: down".into()));
    tell(&mut state, "web-check", Status::Passing, "up");
    assert_eq!(status(&state, alias), (Status::Passing, "All checks passing.".into()));
    state.maintain("", true, "").unwrap();
    assert_eq!(status(&state, alias).0, Status::Critical);
    state.maintain("", false, "").unwrap();
    assert_eq!(status(&state, alias).0, Status::Passing);
}

#[test]
fn aliases_in_a_circle_come_to_rest() {
    let mut state = state();
    state.register(service("web"), false, false).unwrap();
    let alias = CheckKind::Alias { node: String::new(), service_id: "web".into() };
    state.register_check(CheckDefinition::new("self", alias), false).unwrap();
    assert_eq!(status(&state, "self"), (Status::Critical, "Aliased check \"self\" failing: ".into()));
}

#[test]
fn maintenance_is_worse_than_critical_and_knows_its_service() {
    let mut state = state();
    state.register(service("web"), false, false).unwrap();
    assert_eq!(state.aggregate("web").0, "passing");
    state.maintain("web", true, "fix").unwrap();
    assert_eq!(state.aggregate("web").0, "maintenance");
    assert_eq!(state.checks["_service_maintenance:web"].health.notes, "fix");
    state.maintain("web", false, "").unwrap();
    assert_eq!(state.aggregate("web").0, "passing");
    let unknown = state.maintain("nobody", true, "").unwrap_err();
    assert_eq!(unknown.to_string(), "No service registered with ID \"nobody\"");
}

#[test]
fn a_service_critical_for_too_long_is_overdue() {
    let mut state = state();
    let mut definition = service("web");
    let mut check = ttl("c");
    check.deregister_critical_service_after = Duration::from_secs(1);
    definition.checks = vec![check];
    state.register(definition, false, false).unwrap();
    let now = Instant::now();
    assert!(state.overdue(now + Duration::from_secs(59)).is_empty(), "a minute at the least");
    assert_eq!(state.overdue(now + Duration::from_secs(70)).len(), 1);
    tell(&mut state, "c", Status::Passing, "");
    assert!(state.overdue(now + Duration::from_secs(70)).is_empty());
}

#[test]
fn what_files_no_longer_have_goes_and_what_the_api_registered_stays() {
    let mut state = state();
    state.register(service("api"), false, false).unwrap();
    assert!(state.apply_files(vec![with_sidecar("a"), service("b")], vec![ttl("n")]).is_empty());
    assert!(state.apply_files(vec![with_sidecar("a")], vec![]).is_empty());
    let ids: Vec<&String> = state.services.keys().collect();
    assert_eq!(ids, ["a", "a-sidecar-proxy", "api"]);
    assert!(!state.checks.contains_key("n"));
    assert_eq!(state.apply_files(vec![service("")], vec![]).len(), 1, "refused ones are told");
}

#[test]
fn addresses_are_tagged_and_bad_definitions_refused_in_consuls_words() {
    let mut state = state();
    let mut addressed = service("web");
    addressed.service.address = "127.0.0.8".into();
    state.register(addressed, false, false).unwrap();
    let tagged = &state.services["web"].service.tagged_addresses;
    assert_eq!(tagged["lan_ipv4"], ServiceAddress { address: "127.0.0.8".into(), port: 80 });
    assert_eq!(tagged.len(), 2);
    let mut nested = with_sidecar("x");
    nested.sidecar.as_mut().unwrap().service.id = "own".into();
    nested.sidecar.as_mut().unwrap().sidecar = Some(Box::default());
    let text = state.register(nested, false, false).unwrap_err().to_string();
    assert!(text.starts_with("2 errors occurred:\n\t* A SidecarService cannot specify an ID"), "{text}");
    let mut check = ttl("c");
    check.service_id = "nobody".into();
    assert_eq!(state.register_check(check, false).unwrap_err().to_string(), "ServiceID \"nobody\" does not exist");
}
