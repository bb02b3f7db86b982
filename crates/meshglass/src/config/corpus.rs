//! The corpus under `conformance/hcl`: forms of configuration and what becomes of each. Its verdicts were compared with
//! those of a real Consul by `conformance/hcl/compare.py`.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::PathBuf;

use super::validate;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/hcl"))
}

/// Name and verdict of every case of a directory, by name.
fn run(directory: &str) -> Vec<(String, Result<Vec<String>, String>)> {
    let base = root().join("base.hcl").display().to_string();
    let mut files: Vec<_> =
        std::fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let case = |path: &PathBuf| {
        let name = format!("{directory}/{}", path.file_name().unwrap().to_str().unwrap());
        let file = path.display().to_string();
        let verdict = validate(&[base.clone(), file.clone()], None);
        (name, verdict.map_err(|error| error.to_string().replace(&file, "FILE").replace('\n', " | ")))
    };
    files.iter().map(case).collect()
}

#[test]
fn what_is_valid_is_accepted() {
    let cases = [run("valid"), run("lenient")].concat();
    assert!(cases.len() > 70, "the corpus is not where it should be");
    for (name, verdict) in cases {
        assert!(verdict.is_ok(), "{name}: {verdict:?}");
    }
}

#[test]
fn what_is_invalid_is_refused_at_a_place_and_for_a_reason() {
    let mut told = String::new();
    for (name, verdict) in [run("invalid"), run("strict")].concat() {
        let error = verdict.expect_err(&name);
        let place: Vec<&str> = error.splitn(4, ':').collect();
        let placed = place[0] == "FILE" && place.len() == 4 && place[1..3].iter().all(|n| n.parse::<u32>().is_ok());
        assert!(placed, "{name} has no place: {error}");
        writeln!(told, "{name}\t{error}").unwrap();
    }
    let file = root().join("errors.tsv");
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(&file, told).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    let wrong: Vec<&str> = told.lines().filter(|line| !expected.lines().any(|old| old == *line)).collect();
    assert!(wrong.is_empty(), "not what errors.tsv says (BLESS=1 rewrites it):\n{}", wrong.join("\n"));
    assert_eq!(told.lines().count(), expected.lines().count(), "errors.tsv has lines for cases that are gone");
}

#[test]
fn what_is_forgiven_for_good_is_also_said() {
    for (name, words) in [
        ("lenient/colon.hcl", "is followed by a colon"),
        ("lenient/managed-proxy.hcl", "managed proxies were removed"),
        ("valid/repeated-scalar.hcl", "was set before"),
    ] {
        let directory = name.split('/').next().unwrap();
        let verdict = run(directory).into_iter().find(|(case, _)| case == name).unwrap().1.unwrap();
        assert!(verdict.iter().any(|line| line.contains(words)), "{name}: {verdict:?}");
    }
}
