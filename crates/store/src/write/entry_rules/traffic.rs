//! Routers, splitters, resolvers.

use std::collections::HashSet;

use model::{Failover, HttpMatch, ServiceResolver, ServiceRoute, ServiceRouter, ServiceSplitter, ValueMatch};

/// Split weights are counted in hundredths of a percent.
const WHOLE: i64 = 10_000;

pub(super) fn router(router: &ServiceRouter) -> Result<(), String> {
    for (at, route) in router.routes.iter().enumerate() {
        let nothing = HttpMatch::default();
        let matched = route.r#match.as_ref().and_then(|matched| matched.http.as_ref()).unwrap_or(&nothing);
        http_match(&format!("Route[{at}]"), matched)?;
        destination(at, route, matched)?;
    }
    Ok(())
}

fn http_match(place: &str, matched: &HttpMatch) -> Result<(), String> {
    let paths = [&matched.path_exact, &matched.path_prefix, &matched.path_regex];
    if paths.iter().filter(|path| !path.is_empty()).count() > 1 {
        return Err(format!("{place} should only contain at most one of PathExact, PathPrefix, or PathRegex"));
    }
    for (name, path) in [("PathExact", &matched.path_exact), ("PathPrefix", &matched.path_prefix)] {
        if !path.is_empty() && !path.starts_with('/') {
            return Err(format!("{place} {name} doesn't start with '/': {path:?}"));
        }
    }
    for (which, header) in matched.header.iter().enumerate() {
        value(&format!("{place} Header[{which}]"), header, "Present, Exact, Prefix, Suffix, or Regex")?;
    }
    for (which, parameter) in matched.query_param.iter().enumerate() {
        value(&format!("{place} QueryParam[{which}]"), parameter, "Present, Exact, or Regex")?;
    }
    let mut seen = HashSet::new();
    match matched.methods.iter().find(|method| !seen.insert(*method)) {
        Some(twice) => Err(format!("{place} Methods contains {twice:?} more than once")),
        None => Ok(()),
    }
}

fn value(place: &str, value: &ValueMatch, choice: &str) -> Result<(), String> {
    if value.name.is_empty() {
        return Err(format!("{place} missing required Name field"));
    }
    let texts = [&value.exact, &value.prefix, &value.suffix, &value.contains, &value.regex];
    let given = texts.iter().filter(|text| !text.is_empty()).count() + usize::from(value.present);
    if given == 1 { Ok(()) } else { Err(format!("{place} should only contain one of {choice}")) }
}

fn destination(at: usize, route: &ServiceRoute, matched: &HttpMatch) -> Result<(), String> {
    let rewrites = route.destination.as_ref().is_some_and(|destination| !destination.prefix_rewrite.is_empty());
    if rewrites && matched.path_exact.is_empty() && matched.path_prefix.is_empty() {
        return Err(format!(
            "Route[{at}] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix"
        ));
    }
    Ok(())
}

pub(super) fn splitter(name: &str, splitter: &ServiceSplitter) -> Result<(), String> {
    if splitter.splits.is_empty() {
        return Err("no splits configured".to_owned());
    }
    let mut seen = HashSet::new();
    let mut sum = 0_i64;
    for split in &splitter.splits {
        sum = sum.saturating_add((f64::from(split.weight) * 100.0).round() as i64);
        let service = if split.service.is_empty() { name } else { &split.service };
        let subset = split.service_subset.as_str();
        if !seen.insert((service, subset)) {
            return Err(format!(
                "split destination occurs more than once: service={service:?}, subset={subset:?}, namespace=\"\""
            ));
        }
    }
    if sum != WHOLE {
        // Single precision, as it is counted and printed by Consul.
        let shown = sum as f32 / 100.0;
        return Err(format!("the sum of all split weights must be 100, not {shown:.6}"));
    }
    Ok(())
}

pub(super) fn resolver(name: &str, resolver: &ServiceResolver) -> Result<(), String> {
    for subset in resolver.subsets.keys() {
        subset_name(subset)?;
    }
    let known = |subset: &str| subset.is_empty() || resolver.subsets.contains_key(subset);
    if !known(&resolver.default_subset) {
        return Err(format!("DefaultSubset {:?} is not a valid subset", resolver.default_subset));
    }
    if let Some(redirect) = &resolver.redirect {
        if !resolver.failover.is_empty() {
            return Err("Redirect and Failover cannot both be set".to_owned());
        }
        if *redirect == model::Redirect::default() {
            return Err("Redirect is empty".to_owned());
        }
        if redirect.service.is_empty() {
            for (what, text) in [("ServiceSubset", &redirect.service_subset), ("Namespace", &redirect.namespace)] {
                if !text.is_empty() {
                    return Err(format!("Redirect.{what} defined without Redirect.Service"));
                }
            }
        } else if redirect.service == name && !known(&redirect.service_subset) {
            let (subset, service) = (&redirect.service_subset, &redirect.service);
            return Err(format!("Redirect.ServiceSubset {subset:?} is not a valid subset of {service:?}"));
        }
    }
    for (subset, rule) in &resolver.failover {
        failover(name, subset, rule, known)?;
    }
    Ok(())
}

fn failover(name: &str, subset: &str, rule: &Failover, known: impl Fn(&str) -> bool) -> Result<(), String> {
    let place = format!("Bad Failover[{subset:?}]");
    if subset != "*" && (subset.is_empty() || !known(subset)) {
        return Err(format!("{place}: not a valid subset"));
    }
    if *rule == Failover::default() {
        return Err(format!("{place} one of Service, ServiceSubset, Namespace, or Datacenters is required"));
    }
    let ours = rule.service.is_empty() || rule.service == name;
    if ours && !known(&rule.service_subset) {
        let (wanted, service) = (&rule.service_subset, &rule.service);
        return Err(format!("{place}.ServiceSubset {wanted:?} is not a valid subset of {service:?}"));
    }
    if rule.datacenters.iter().any(String::is_empty) {
        return Err(format!("{place}.Datacenters: found empty datacenter"));
    }
    Ok(())
}

/// A subset is a label of a host name.
fn subset_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("Subset defined with empty name".to_owned());
    }
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = name.chars().all(|c| letter(c) || c == '-');
    if name.len() <= 63 && inner && name.starts_with(letter) && name.ends_with(letter) {
        return Ok(());
    }
    Err(format!(
        "Subset {name:?} is invalid: must be 63 characters or fewer, begin or end with lower case alphanumeric \
         characters, and contain lower case alphanumeric characters or '-' in between"
    ))
}
