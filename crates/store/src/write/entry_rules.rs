//! What an entry must hold by itself, whatever else is stored. The texts are Consul's.

mod gateways;
mod newer;
mod traffic;

use model::{ConfigEntry, EntryKind};

pub(super) fn check(entry: &ConfigEntry) -> Result<(), String> {
    let kind = entry.kind();
    if entry.name().is_empty() {
        return Err(match kind {
            EntryKind::ServiceDefaults | EntryKind::TerminatingGateway => "serviceName is required".to_owned(),
            EntryKind::IngressGateway => "failed inserting config entry: object missing primary index".to_owned(),
            _ => "Name is required".to_owned(),
        });
    }
    let ConfigEntry::Other { body, .. } = entry else { return Ok(()) };
    let unreadable = || format!("the body of {:?} / {:?} cannot be read", kind.as_str(), entry.name());
    match kind {
        EntryKind::ServiceRouter => traffic::router(&entry.router().ok_or_else(unreadable)?),
        EntryKind::ServiceSplitter => traffic::splitter(entry.name(), &entry.splitter().ok_or_else(unreadable)?),
        EntryKind::ServiceResolver => traffic::resolver(entry.name(), &entry.resolver().ok_or_else(unreadable)?),
        EntryKind::IngressGateway => gateways::ingress(&entry.ingress().ok_or_else(unreadable)?),
        EntryKind::TerminatingGateway => gateways::terminating(&entry.terminating().ok_or_else(unreadable)?),
        EntryKind::ServiceIntentions => newer::intentions(&entry.intentions().ok_or_else(unreadable)?),
        EntryKind::ExportedServices => newer::exported_services(entry.name(), body),
        EntryKind::JwtProvider => newer::jwt_provider(body),
        EntryKind::Mesh => newer::mesh(body),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
