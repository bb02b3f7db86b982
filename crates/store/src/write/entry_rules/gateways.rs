//! Ingress and terminating gateways.

use std::collections::HashSet;

use model::{IngressGateway, IngressListener, TerminatingGateway, WILDCARD};

pub(super) fn ingress(gateway: &IngressGateway) -> Result<(), String> {
    let mut ports = HashSet::new();
    for listener in &gateway.listeners {
        if !ports.insert(listener.port) {
            return Err(format!("port {} declared on two listeners", listener.port));
        }
        let protocol = listener.protocol.as_str();
        if !matches!(protocol, "tcp" | "http" | "http2" | "grpc") {
            return Err(format!(
                "protocol must be 'tcp', 'http', 'http2', or 'grpc'. '{protocol}' is an unsupported protocol"
            ));
        }
        services(listener, gateway.tls.enabled)?;
    }
    Ok(())
}

fn services(listener: &IngressListener, tls: bool) -> Result<(), String> {
    let port = listener.port;
    let place = format!("(listener on port {port})");
    let tcp = listener.protocol == "tcp";
    if listener.services.is_empty() {
        return Err(format!("No service declared for listener with port {port}"));
    }
    let mut hosts = HashSet::new();
    for service in &listener.services {
        let name = service.name.as_str();
        if tcp && name == WILDCARD {
            return Err(format!("Wildcard service name is only valid for protocol = 'http' {place}"));
        }
        if name.is_empty() {
            return Err(format!("Service name cannot be blank {place}"));
        }
        if tcp && !service.hosts.is_empty() {
            return Err(format!("Associating hosts to a service is not supported for the tcp protocol {place}"));
        }
        if name == WILDCARD && !service.hosts.is_empty() {
            return Err(format!("Associating hosts to a wildcard service is not supported {place}"));
        }
        for host in &service.hosts {
            if !hosts.insert(host) {
                return Err(format!("Hosts must be unique within a specific listener {place}"));
            }
            host_name(host, tls)?;
        }
    }
    if tcp && listener.services.len() > 1 {
        return Err(format!("Multiple services per listener are only supported for protocol = 'http' {place}"));
    }
    Ok(())
}

/// `*` alone is everything; otherwise it stands first or nowhere.
fn host_name(host: &str, tls: bool) -> Result<(), String> {
    if host == WILDCARD && tls {
        return Err("Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS records to add as a \
                    DNSSAN"
            .to_owned());
    }
    let rest = host.strip_prefix("*.").unwrap_or(host);
    if host != WILDCARD && rest.contains('*') {
        return Err(format!("Host {host:?} is not valid, a wildcard specifier is only allowed as the leftmost label"));
    }
    Ok(())
}

pub(super) fn terminating(gateway: &TerminatingGateway) -> Result<(), String> {
    let mut seen = HashSet::new();
    for service in &gateway.services {
        let name = service.name.as_str();
        if name.is_empty() {
            return Err("Service name cannot be blank.".to_owned());
        }
        if !seen.insert(name) {
            return Err(format!("Service {name:?} was specified more than once within a namespace"));
        }
        let missing = [&service.ca_file, &service.cert_file, &service.key_file].map(String::is_empty);
        // A CA alone verifies the other side; a certificate is no use without its key and without knowing that side.
        if (!missing[1] || !missing[2]) && missing.contains(&true) {
            return Err(format!(
                "Service {name:?} must have a CertFile, CAFile, and KeyFile specified for TLS origination"
            ));
        }
    }
    Ok(())
}
