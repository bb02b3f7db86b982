//! What a nested `sidecar_service` leaves open, filled in from its parent.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use model::{CheckDefinition, CheckKind, ProxyConfig, Service, ServiceDefinition, ServiceKind};

use crate::error::Error;

const LISTENING_INTERVAL: Duration = Duration::from_secs(10);

/// The id every sidecar gets: users cannot choose it.
pub fn sidecar_id(service_id: &str) -> String {
    format!("{service_id}-sidecar-proxy")
}

/// The sidecar of `parent` with everything filled in but the port, which `port` finds when none was given.
pub(crate) fn complete(
    parent: &Service,
    given: &ServiceDefinition,
    port: impl FnOnce() -> Result<u16, Error>,
) -> Result<ServiceDefinition, Error> {
    let mut out = given.clone();
    let service = &mut out.service;
    service.id = sidecar_id(&parent.id);
    if service.service.is_empty() {
        service.service = sidecar_id(&parent.service);
    }
    service.kind = ServiceKind::ConnectProxy;
    if service.tags.is_empty() {
        service.tags.clone_from(&parent.tags);
    }
    if service.meta.is_empty() {
        service.meta.clone_from(&parent.meta);
    }
    if service.address.is_empty() {
        service.address.clone_from(&parent.address);
    }
    let proxy = service.proxy.get_or_insert_with(ProxyConfig::default);
    proxy.destination_service_name.clone_from(&parent.service);
    proxy.destination_service_id.clone_from(&parent.id);
    if proxy.local_service_port == 0 {
        proxy.local_service_port = parent.port;
    }
    if proxy.local_service_address.is_empty() {
        "127.0.0.1".clone_into(&mut proxy.local_service_address);
    }
    if service.port == 0 {
        service.port = port()?;
    }
    out.sidecar = None;
    if out.checks.is_empty() {
        out.checks = default_checks(&out.service, &parent.id);
    }
    Ok(out)
}

fn default_checks(sidecar: &Service, parent_id: &str) -> Vec<CheckDefinition> {
    let host = bound_address(sidecar);
    let address = match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", sidecar.port),
        _ => format!("{host}:{}", sidecar.port),
    };
    let mut listening = CheckDefinition::new("Connect Sidecar Listening", CheckKind::Tcp { address, tls: false });
    listening.interval = LISTENING_INTERVAL;
    let alias = CheckKind::Alias { node: String::new(), service_id: parent_id.to_owned() };
    vec![listening, CheckDefinition::new(&format!("Connect Sidecar Aliasing {parent_id}"), alias)]
}

/// Consul always knocks at 127.0.0.1, so a sidecar bound to one other address would never pass; there we differ.
fn bound_address(sidecar: &Service) -> String {
    let config = sidecar.proxy.as_ref().and_then(|proxy| proxy.config.get("bind_address"));
    let given = config.and_then(|value| value.as_str()).and_then(|text| text.parse::<IpAddr>().ok());
    match given {
        Some(ip) if !ip.is_unspecified() => ip.to_string(),
        _ => "127.0.0.1".to_owned(),
    }
}

/// The lowest port of the range that no service of this agent uses.
pub(crate) fn lowest_free<'a>(
    range: &RangeInclusive<u16>,
    services: &(impl Iterator<Item = &'a Service> + Clone),
) -> Result<u16, Error> {
    let free = range.clone().find(|port| !services.clone().any(|service| service.port == *port));
    free.ok_or_else(|| {
        Error::Refused(format!(
            "unable to allocate a port for the sidecar proxy, none left in the range {}-{}",
            range.start(),
            range.end()
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parent() -> Service {
        Service {
            id: "web-1".into(),
            service: "web".into(),
            port: 8080,
            tags: vec!["v1".into()],
            address: "127.0.0.8".into(),
            ..Service::default()
        }
    }

    #[test]
    fn everything_left_open_comes_from_the_parent() {
        let sidecar = complete(&parent(), &ServiceDefinition::default(), || Ok(21003)).unwrap();
        let service = &sidecar.service;
        assert_eq!((service.id.as_str(), service.service.as_str()), ("web-1-sidecar-proxy", "web-sidecar-proxy"));
        assert_eq!((service.port, service.address.as_str()), (21003, "127.0.0.8"));
        assert_eq!(service.tags, ["v1"]);
        let proxy = service.proxy.as_ref().unwrap();
        assert_eq!((proxy.local_service_address.as_str(), proxy.local_service_port), ("127.0.0.1", 8080));
        assert_eq!((proxy.destination_service_name.as_str(), proxy.destination_service_id.as_str()), ("web", "web-1"));
        assert_eq!(sidecar.checks[0].kind, CheckKind::Tcp { address: "127.0.0.1:21003".into(), tls: false });
        assert_eq!(sidecar.checks[0].name, "Connect Sidecar Listening");
        assert_eq!(sidecar.checks[1].name, "Connect Sidecar Aliasing web-1");
    }

    #[test]
    fn what_is_given_stays_and_own_checks_replace_both() {
        let mut given = ServiceDefinition::default();
        given.service.port = 20000;
        given.service.proxy = Some(ProxyConfig { local_service_port: 9, ..ProxyConfig::default() });
        given.checks.push(CheckDefinition::new("mine", CheckKind::Ttl(Duration::from_secs(5))));
        let sidecar = complete(&parent(), &given, || panic!("a port was given")).unwrap();
        assert_eq!(sidecar.service.port, 20000);
        assert_eq!(sidecar.service.proxy.as_ref().unwrap().local_service_port, 9);
        assert_eq!(sidecar.checks.len(), 1);
    }

    #[test]
    fn the_listening_check_knocks_where_the_proxy_is_bound() {
        let mut given = ServiceDefinition::default();
        given.service.port = 1;
        let mut proxy = ProxyConfig::default();
        proxy.config.insert("bind_address".into(), "127.0.0.5".into());
        given.service.proxy = Some(proxy);
        let sidecar = complete(&parent(), &given, || Ok(0)).unwrap();
        assert_eq!(sidecar.checks[0].kind, CheckKind::Tcp { address: "127.0.0.5:1".into(), tls: false });
    }

    #[test]
    fn ports_are_the_lowest_free_and_run_out() {
        let used = [Service { port: 10, ..Service::default() }, Service { port: 12, ..Service::default() }];
        assert_eq!(lowest_free(&(10..=12), &used.iter()).unwrap(), 11);
        assert!(lowest_free(&(10..=10), &used.iter()).is_err());
    }
}
