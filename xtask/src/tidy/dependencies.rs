//! Which crate may know which, and what may come from outside.

use serde_json::Value;

use super::{File, Finding, source};
use crate::run;

/// Each crate and the crates it may depend on. This table is the graph of ARCHITECTURE.md.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("ca", &["model"]),
    ("plan", &["model"]),
    ("telemetry", &["model"]),
    ("client", &["model", "plan", "telemetry"]),
    ("auth", &["model", "client"]),
    ("dns", &["model"]),
    ("proxy", &["model", "plan", "ca", "telemetry", "client"]),
    ("insight", &["model", "telemetry"]),
    ("agent", &["model", "plan", "ca", "client", "telemetry"]),
    ("api", &["model", "store", "ca", "plan", "telemetry", "insight", "agent", "client", "auth"]),
    ("ui", &["model", "insight", "telemetry"]),
    (
        "meshglass",
        &["model", "store", "ca", "plan", "dns", "proxy", "telemetry", "insight", "client", "agent", "api", "ui"],
    ),
];

/// Pure crates know no I/O, clock, lock or runtime.
const PURE: &[&str] = &["model", "plan"];
const IMPURE_WORDS: &[&str] = &[
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::thread",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "Mutex",
    "RwLock",
    "tokio",
    "async fn",
];

/// Words that name nothing.
const EMPTY_NAMES: &[&str] = &["common", "utils", "util", "types", "core", "helpers", "helper", "manager", "misc"];

pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if let Some(name) = crate_of(&file.path)
            && file.path.ends_with("/Cargo.toml")
        {
            manifest(name, file, &mut findings);
        }
        if file.path.ends_with(".rs") {
            names(file, &mut findings);
            purity(file, &mut findings);
        }
    }
    findings
}

fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

fn manifest(name: &str, file: &File, findings: &mut Vec<Finding>) {
    let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
        findings
            .push(Finding::new(file.path.as_str(), "is not in the table of crates (xtask/src/tidy/dependencies.rs)"));
        return;
    };
    let mut dev = false;
    for line in file.text.lines() {
        if line.starts_with('[') {
            dev = line.starts_with("[dev-dependencies");
        }
        let used = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let ours = MAY_USE.iter().any(|(known, _)| *known == used);
        // Tests may look at a neighbour; the product may not.
        if ours && !dev && !allowed.contains(&used) {
            findings.push(Finding::new(file.path.as_str(), format!("{name} may not depend on {used}")));
        }
    }
}

fn names(file: &File, findings: &mut Vec<Finding>) {
    let stem = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        findings.push(Finding::new(file.path.as_str(), format!("{stem:?} names nothing; say what is in it")));
    }
}

fn purity(file: &File, findings: &mut Vec<Finding>) {
    let Some(name) = crate_of(&file.path).filter(|name| PURE.contains(name)) else { return };
    if !file.path.contains("/src/") || file.path.ends_with("/tests.rs") {
        return;
    }
    let product = source::without_tests(&source::blank(&file.text));
    for word in IMPURE_WORDS {
        if product.contains(word) {
            findings.push(Finding::new(file.path.as_str(), format!("{name} is a pure core: no {word}")));
        }
    }
}

/// Every package of the tree: from crates.io, under a licence of deny.toml's list, and none that is banned there.
pub fn licences(files: &[File]) -> Result<Vec<Finding>, String> {
    let Some(deny) = files.iter().find(|file| file.path == "deny.toml") else {
        return Ok(vec![Finding::new("deny.toml", "is missing")]);
    };
    let (allowed, banned) = (list(&deny.text, "allow = ["), list(&deny.text, "deny = ["));
    let metadata = run::output("cargo", &["metadata", "--format-version", "1", "--locked", "--quiet"])?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let built = built()?;
    let mut findings = Vec::new();
    for package in &packages {
        if !built.contains(package["name"].as_str().unwrap_or_default()) {
            continue;
        }
        let (name, source) = (package["name"].as_str().unwrap_or_default(), package["source"].as_str());
        if banned.iter().any(|banned| banned == name) {
            findings.push(Finding::new(name, "is banned by deny.toml"));
        }
        let Some(source) = source else { continue };
        if !source.starts_with("registry+") && !source.starts_with("sparse+") {
            findings.push(Finding::new(name, format!("does not come from a registry: {source}")));
        }
        let licence = package["license"].as_str().unwrap_or("none given");
        if !satisfied(licence, &allowed) {
            findings.push(Finding::new(name, format!("licence {licence:?} is not in deny.toml")));
        }
    }
    Ok(findings)
}

/// The packages that are really built: the lock file also names optional ones that nobody switched on.
fn built() -> Result<std::collections::BTreeSet<String>, String> {
    let args = ["tree", "--workspace", "--edges", "all", "--prefix", "none", "--format", "{p}", "--locked", "--quiet"];
    let tree = run::output("cargo", &args)?;
    Ok(tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// The strings of a TOML list that starts with `head`.
fn list(toml: &str, head: &str) -> Vec<String> {
    let Some(start) = toml.find(head) else { return Vec::new() };
    let body = &toml[start + head.len()..];
    let body = &body[..body.find(']').unwrap_or(body.len())];
    body.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// An SPDX expression: every `AND` part needs one `OR` choice in the list.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    flat.split(" AND ").all(|part| part.split(" OR ").any(|choice| allowed.iter().any(|a| a == choice.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_dependency_against_the_stream_is_found() {
        let bad = file("crates/plan/Cargo.toml", "[dependencies]\nmodel.workspace = true\nstore.workspace = true\n");
        assert_eq!(check(&[bad]).len(), 1);
        let dev = file("crates/plan/Cargo.toml", "[dev-dependencies]\nstore.workspace = true\n");
        assert!(check(&[dev]).is_empty());
    }

    #[test]
    fn a_clock_in_a_pure_crate_is_found() {
        assert_eq!(check(&[file("crates/plan/src/a.rs", "fn f() { std::time::Instant::now(); }")]).len(), 1);
        assert!(check(&[file("crates/agent/src/a.rs", "fn f() { std::time::Instant::now(); }")]).is_empty());
    }

    #[test]
    fn licence_expressions_are_read() {
        let allowed = ["MIT".to_owned(), "ISC".to_owned()];
        assert!(satisfied("MIT OR Apache-2.0", &allowed));
        assert!(satisfied("ISC AND (Apache-2.0 OR MIT)", &allowed));
        assert!(!satisfied("GPL-3.0 AND MIT", &allowed));
    }
}
