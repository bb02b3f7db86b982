//! Prose that stays true: links lead somewhere, and the crate map is the crates.

use super::{File, Finding};

pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        links(file, files, &mut findings);
    }
    match files.iter().find(|file| file.path == "ARCHITECTURE.md") {
        Some(page) => crate_map(page, files, &mut findings),
        None => findings.push(Finding::new("ARCHITECTURE.md", "is missing")),
    }
    for page in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"] {
        if !files.iter().any(|file| file.path == page) {
            findings.push(Finding::new(page, "is missing"));
        }
    }
    findings
}

fn links(file: &File, files: &[File], findings: &mut Vec<Finding>) {
    for (start, _) in file.text.match_indices("](") {
        let rest = &file.text[start + 2..];
        let Some(end) = rest.find(')') else { continue };
        let link = &rest[..end];
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let wanted = if path.is_empty() { file.path.clone() } else { join(folder, path) };
        let folder_exists = files.iter().any(|f| f.path.starts_with(&format!("{}/", wanted.trim_end_matches('/'))));
        let page = files.iter().find(|f| f.path == wanted);
        if page.is_none() && !folder_exists && !crate::run::root().join(&wanted).exists() {
            findings.push(Finding::new(file.path.as_str(), format!("link to {link:?} leads nowhere")));
        }
        let broken =
            page.is_some_and(|p| !anchor.is_empty() && p.path.ends_with(".md") && !has_anchor(&p.text, anchor));
        if broken {
            findings.push(Finding::new(file.path.as_str(), format!("link to {link:?}: no such heading")));
        }
    }
}

fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Headings become anchors as forges make them: lower case, spaces to dashes, other marks dropped.
fn has_anchor(text: &str, anchor: &str) -> bool {
    text.lines().filter(|line| line.starts_with('#')).any(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let made: String = heading
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            })
            .collect();
        made == anchor
    })
}

/// Every crate has a row `| \`name\` | …` in the map, and every row has a crate.
fn crate_map(page: &File, files: &[File], findings: &mut Vec<Finding>) {
    let mut rows: Vec<&str> = Vec::new();
    for line in page.text.lines() {
        if let Some(rest) = line.strip_prefix("| `")
            && let Some((name, _)) = rest.split_once('`')
            && !name.contains('/')
        {
            rows.push(name);
        }
    }
    let mut crates: Vec<&str> =
        files.iter().filter_map(|f| f.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")).collect();
    crates.sort_unstable();
    for name in &crates {
        if !rows.contains(name) {
            findings.push(Finding::new(page.path.as_str(), format!("the crate map has no row for `{name}`")));
        }
    }
    for name in rows {
        if !crates.contains(&name) {
            findings.push(Finding::new(page.path.as_str(), format!("the crate map's `{name}` is no crate")));
        }
    }
    if page.text.lines().any(|line| line.contains(".rs:")) {
        findings.push(Finding::new(page.path.as_str(), "names a line number; name the module"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn dead_links_and_anchors_are_found() {
        let files = [
            file("docs/a.md", "[ok](b.md#two-words) [up](../README.md) [no](c.md) [no](b.md#three) [out](https://x.y)"),
            file("docs/b.md", "# Two words\n"),
            file("README.md", ""),
        ];
        let mut findings = Vec::new();
        links(&files[0], &files, &mut findings);
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn the_crate_map_is_compared_both_ways() {
        let files =
            [file("ARCHITECTURE.md", "| `model` | x |\n| `ghost` | x |\n"), file("crates/store/Cargo.toml", "")];
        let mut findings = Vec::new();
        crate_map(&files[0], &files, &mut findings);
        assert_eq!(findings.len(), 3);
    }
}
