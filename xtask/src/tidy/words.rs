//! Words that must not stand in the tree: loose ends, dead code, and paths of somebody's machine.

use super::{File, Finding, source};

/// Starts of a comment that is code somebody switched off.
const DEAD_CODE: &[&str] = &["// let ", "// fn ", "// use ", "// if ", "// for ", "// return ", "// pub ", "// self."];

/// Modules that may hold `unsafe`, each with its proof beside it. Everywhere else the compiler denies it.
const UNSAFE: &[&str] = &["crates/meshglass/src/resident.rs"];

pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    // This file has to spell out what it looks for.
    for file in files.iter().filter(|file| file.path != "xtask/src/tidy/words.rs") {
        for (i, line) in file.text.lines().enumerate() {
            let place = || format!("{}:{}", file.path, i + 1);
            // A home folder in a path is somebody's; `/home/user` in an example is nobody's.
            if ["/root/", "/work/main", "/work/shared"].iter().any(|path| line.contains(path)) {
                findings.push(Finding::new(place(), "a path of one machine"));
            }
            if file.path.ends_with(".rs") {
                rust_line(line, place, &mut findings);
            }
        }
        if file.path.ends_with(".rs") && source::without_tests(&source::blank(&file.text)).contains("cfg!(test)") {
            findings.push(Finding::new(file.path.as_str(), "a branch for tests in product code"));
        }
        if file.path.ends_with(".rs") && !UNSAFE.contains(&file.path.as_str()) && lifts_unsafe(&file.text) {
            let says = "lifts the ban on unsafe; only the modules listed in xtask/src/tidy/words.rs may";
            findings.push(Finding::new(file.path.as_str(), says));
        }
    }
    findings
}

fn lifts_unsafe(text: &str) -> bool {
    let blanked = source::blank(text);
    ["allow(", "expect(", "warn("].iter().any(|word| {
        let mut lists = blanked.match_indices(word).map(|(at, _)| blanked[at..].split(')').next().unwrap_or_default());
        lists.any(|list| list.contains("unsafe_code"))
    })
}

fn rust_line(line: &str, place: impl Fn() -> String, findings: &mut Vec<Finding>) {
    let text = line.trim_start();
    if let Some(at) = text.find("TODO").or_else(|| text.find("FIXME"))
        && text.contains("//")
        && !text[at..].starts_with("TODO(")
    {
        findings.push(Finding::new(place(), "a TODO without an owner: TODO(name): …"));
    }
    let ends_like_code = text.ends_with(';') || text.ends_with('{') || text.ends_with(')');
    if ends_like_code && DEAD_CODE.iter().any(|start| text.starts_with(start)) {
        findings.push(Finding::new(place(), "commented-out code; git remembers it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_ends_are_found() {
        for (line, count) in [
            ("// TODO: later", 1),
            ("// TODO(ann): later", 0),
            ("    // let x = 1;", 1),
            ("// let the caller decide", 0),
            ("let p = \"/root/x\";", 1),
        ] {
            let file = File { path: "crates/x/src/a.rs".to_owned(), text: line.to_owned() };
            assert_eq!(check(&[file]).len(), count, "{line}");
        }
    }

    #[test]
    fn unsafe_stays_where_its_proof_is() {
        for (path, text, count) in [
            ("crates/meshglass/src/resident.rs", "#![allow(unsafe_code)]", 0),
            ("crates/x/src/a.rs", "#![allow(unsafe_code)]", 1),
            ("crates/x/src/a.rs", "#[expect(dead_code, unsafe_code)]", 1),
            ("crates/x/src/a.rs", "#[allow(dead_code)] // unsafe_code", 0),
        ] {
            let file = File { path: path.to_owned(), text: text.to_owned() };
            assert_eq!(check(&[file]).len(), count, "{text}");
        }
    }
}
