//! What a service definition must hold before it is taken.

use model::{ServiceDefinition, ServiceKind};

use crate::error::{Error, several};

const META_PAIRS: usize = 64;
const META_KEY_LENGTH: usize = 128;
const META_VALUE_LENGTH: usize = 512;
const HIGHEST_WEIGHT: u32 = 65535;

pub(crate) fn service(definition: &ServiceDefinition) -> Result<(), Error> {
    let service = &definition.service;
    if service.service.is_empty() {
        return Err(Error::Invalid("Missing service name".to_owned()));
    }
    if ["0.0.0.0", "::", "[::]"].contains(&service.address.as_str()) {
        return Err(Error::Invalid("Invalid service address".to_owned()));
    }
    meta(definition).map_err(|reason| Error::Invalid(format!("Invalid Service Meta: {reason}")))?;
    if service.weights.passing > HIGHEST_WEIGHT || service.weights.warning > HIGHEST_WEIGHT {
        let text = format!("Invalid Weights: DNS Weight must be between 0 and {HIGHEST_WEIGHT}");
        return Err(Error::Invalid(text));
    }
    let mut complaints = Vec::new();
    if service.kind == ServiceKind::ConnectProxy {
        proxy(definition, &mut complaints);
    }
    if let Some(sidecar) = &definition.sidecar {
        if !sidecar.service.id.is_empty() {
            complaints.push("A SidecarService cannot specify an ID as this is managed by the agent".to_owned());
        }
        if sidecar.sidecar.is_some() {
            complaints.push("A SidecarService cannot have a nested SidecarService".to_owned());
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(several(&complaints)) }
}

fn proxy(definition: &ServiceDefinition, complaints: &mut Vec<String>) {
    let service = &definition.service;
    let destination = service.proxy.as_ref().map_or("", |proxy| proxy.destination_service_name.as_str()).trim();
    if destination.is_empty() {
        complaints.push("Proxy.DestinationServiceName must be non-empty for Connect proxy services".to_owned());
    }
    if service.port == 0 {
        complaints.push("Port must be set for a Connect proxy".to_owned());
    }
    if service.connect.native {
        complaints.push("A Proxy cannot also be Connect Native, only typical services".to_owned());
    }
}

/// The rules Consul has for meta pairs: they must fit into DNS TXT records.
fn meta(definition: &ServiceDefinition) -> Result<(), String> {
    let meta = &definition.service.meta;
    if meta.len() > META_PAIRS {
        return Err(format!("Node metadata cannot contain more than {META_PAIRS} key/value pairs"));
    }
    for (key, value) in meta {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let complaint = if key.is_empty() {
            "Key cannot be blank".to_owned()
        } else if !key.chars().all(good) {
            "Key contains invalid characters".to_owned()
        } else if key.len() > META_KEY_LENGTH {
            format!("Key is too long (limit: {META_KEY_LENGTH} characters)")
        } else if value.len() > META_VALUE_LENGTH {
            format!("Value is too long (limit: {META_VALUE_LENGTH} characters)")
        } else {
            continue;
        };
        return Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {complaint}"));
    }
    Ok(())
}
