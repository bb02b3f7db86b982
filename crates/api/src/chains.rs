//! From the entries of the store to chains, and the judgement over a change of them.

use std::collections::{BTreeMap, BTreeSet};

use model::{ConfigEntry, EntryKind, IngressGateway};
use plan::chain::{Entries, Question, compile};
use store::{Proposal, State};

fn insert(entries: &mut Entries, entry: &ConfigEntry) {
    let name = || entry.name().to_lowercase();
    match entry {
        ConfigEntry::ProxyDefaults(defaults) => entries.proxy_defaults = Some(defaults.clone()),
        ConfigEntry::ServiceDefaults(defaults) => {
            entries.service_defaults.insert(name(), defaults.clone());
        }
        ConfigEntry::Other { kind: EntryKind::ServiceRouter, .. } => {
            entries.routers.extend(entry.router().map(|router| (name(), router)));
        }
        ConfigEntry::Other { kind: EntryKind::ServiceSplitter, .. } => {
            entries.splitters.extend(entry.splitter().map(|splitter| (name(), splitter)));
        }
        ConfigEntry::Other { kind: EntryKind::ServiceResolver, .. } => {
            entries.resolvers.extend(entry.resolver().map(|resolver| (name(), resolver)));
        }
        ConfigEntry::Other { .. } => {}
    }
}

/// The kinds that stand under the name of a service.
const OF_SERVICES: [EntryKind; 4] =
    [EntryKind::ServiceDefaults, EntryKind::ServiceRouter, EntryKind::ServiceSplitter, EntryKind::ServiceResolver];

/// What the chain of `service` may be made of: its own entries and those of all names that they lead to.
pub(crate) fn entries_about(state: &State, service: &str) -> Entries {
    let mut entries = Entries::default();
    let global = state.config(EntryKind::ProxyDefaults, "global");
    global.iter().for_each(|entry| insert(&mut entries, entry));
    let mut open = vec![service.to_lowercase()];
    let mut known = BTreeSet::new();
    while let Some(name) = open.pop() {
        if known.insert(name.clone()) {
            let own = OF_SERVICES.into_iter().filter_map(|kind| state.config(kind, &name));
            own.for_each(|entry| insert(&mut entries, entry));
            open.extend(entries.destinations(&name));
        }
    }
    entries
}

fn entries_of(proposal: &Proposal<'_>) -> Entries {
    let mut entries = Entries::default();
    for kind in OF_SERVICES.into_iter().chain([EntryKind::ProxyDefaults]) {
        proposal.configs(kind).for_each(|entry| insert(&mut entries, entry));
    }
    entries
}

/// Refuses a change that leaves a chain which cannot be compiled, or a gateway whose listener speaks another protocol
/// than the services behind it.
pub(crate) fn judge(proposal: &Proposal<'_>, datacenter: &str) -> Result<(), String> {
    let kind = proposal.kind();
    if matches!(kind, EntryKind::IngressGateway | EntryKind::TerminatingGateway) {
        refuse_clash(proposal)?;
        if kind == EntryKind::TerminatingGateway {
            return Ok(());
        }
    } else if kind != EntryKind::ProxyDefaults && !OF_SERVICES.contains(&kind) {
        return Ok(());
    }
    let entries = entries_of(proposal);
    let mut protocols: BTreeMap<String, String> = BTreeMap::new();
    let mut protocol_of = |service: &str| -> Result<String, String> {
        if let Some(known) = protocols.get(service) {
            return Ok(known.clone());
        }
        let question =
            Question { service: service.to_owned(), datacenter: datacenter.to_owned(), ..Question::default() };
        let chain = compile(&entries, &question).map_err(|error| error.to_string())?;
        protocols.insert(service.to_owned(), chain.protocol.clone());
        Ok(chain.protocol)
    };
    let concerned = concerned(proposal, &entries);
    // Of several chains that would break, the one of the entry's own name is told.
    let own = concerned.get(&proposal.name().to_lowercase());
    for service in own.into_iter().chain(&concerned) {
        protocol_of(service)?;
    }
    for gateway in proposal.configs(EntryKind::IngressGateway) {
        let own = kind == EntryKind::IngressGateway;
        if own && !gateway.name().eq_ignore_ascii_case(proposal.name()) {
            continue;
        }
        let Some(ingress) = gateway.ingress() else { continue };
        let looked_at = |service: &str| own || concerned.contains(&service.to_lowercase());
        listeners_fit(&ingress, looked_at, &mut protocol_of)?;
    }
    Ok(())
}

fn listeners_fit(
    ingress: &IngressGateway,
    looked_at: impl Fn(&str) -> bool,
    protocol_of: &mut impl FnMut(&str) -> Result<String, String>,
) -> Result<(), String> {
    for listener in &ingress.listeners {
        let wanted = if listener.protocol.is_empty() { "tcp" } else { &listener.protocol };
        let named = listener.services.iter().map(|service| service.name.as_str());
        for service in named.filter(|name| *name != "*" && looked_at(name)) {
            let has = protocol_of(service)?;
            if has != wanted {
                let differs = "which does not match defined listener protocol";
                return Err(format!("service {service:?} has protocol {has:?}, {differs} {wanted:?}"));
            }
        }
    }
    Ok(())
}

/// The names whose chain the change may break: the entry's own and all that lead to it; every one for what is global.
fn concerned(proposal: &Proposal<'_>, entries: &Entries) -> BTreeSet<String> {
    match proposal.kind() {
        EntryKind::ProxyDefaults => entries.names().cloned().collect(),
        EntryKind::IngressGateway | EntryKind::TerminatingGateway => BTreeSet::new(),
        _ => {
            let mut leads_to: BTreeMap<String, Vec<&String>> = BTreeMap::new();
            for name in entries.names() {
                entries.destinations(name).into_iter().for_each(|to| leads_to.entry(to).or_default().push(name));
            }
            let mut concerned = BTreeSet::new();
            let mut open = vec![proposal.name().to_lowercase()];
            while let Some(name) = open.pop() {
                if concerned.insert(name.clone()) {
                    open.extend(leads_to.get(&name).into_iter().flatten().map(|from| (*from).clone()));
                }
            }
            concerned
        }
    }
}

/// A gateway is of one kind.
fn refuse_clash(proposal: &Proposal<'_>) -> Result<(), String> {
    let (kind, name) = (proposal.kind(), proposal.name());
    let other = match kind {
        EntryKind::IngressGateway => EntryKind::TerminatingGateway,
        _ => EntryKind::IngressGateway,
    };
    if proposal.entry().is_none() || !proposal.configs(other).any(|entry| entry.name() == name) {
        return Ok(());
    }
    let (kind, other) = (kind.as_str(), other.as_str());
    Err(format!(
        "cannot create a {kind:?} config entry with name {name:?}, \
         a {other:?} config entry with that name already exists"
    ))
}
