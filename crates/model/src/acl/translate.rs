//! Rules of Consul before 1.4, in which every name was a prefix, in the words of today.

use std::fmt::Write as _;

use super::rules::{Family, RulesError};
use crate::hcl::{self, Node, Object, Value};

/// The same rules with `_prefix` where it is meant now.
pub fn translate_rules(text: &str) -> Result<String, RulesError> {
    let document = hcl::parse(text.as_bytes())?;
    let Value::Object(root) = &document.root.value else { return Ok(text.to_owned()) };
    let mut blocks = Vec::new();
    for entry in &root.entries {
        let legacy = Family::ALL.iter().any(|family| family.word() == entry.key);
        let key = if legacy { format!("{}_prefix", entry.key) } else { entry.key.clone() };
        block(&key, &entry.node, &mut blocks);
    }
    Ok(blocks.join("\n\n"))
}

fn block(key: &str, node: &Node, blocks: &mut Vec<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| block(key, item, blocks)),
        Value::Object(names)
            if names.entries.iter().all(|e| matches!(e.node.value, Value::Object(_) | Value::List(_))) =>
        {
            for entry in &names.entries {
                bodies(&entry.node, &mut |body| {
                    blocks.push(format!("{key} {:?} {{\n{}}}", entry.key, lines(body)));
                });
            }
        }
        Value::Object(body) => blocks.push(format!("{key} {{\n{}}}", lines(body))),
        _ => blocks.push(format!("{key} = {}", node.to_json())),
    }
}

fn bodies(node: &Node, each: &mut dyn FnMut(&Object)) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| bodies(item, each)),
        Value::Object(body) => each(body),
        _ => {}
    }
}

/// Aligned as `hcl fmt` aligns them.
fn lines(body: &Object) -> String {
    let width = body.entries.iter().map(|entry| entry.key.len()).max().unwrap_or_default();
    body.entries.iter().fold(String::new(), |mut out, entry| {
        let _ = writeln!(out, "  {:width$} = {}", entry.key, entry.node.to_json());
        out
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Rules;
    use super::*;

    #[test]
    fn every_legacy_name_becomes_a_prefix() {
        let old = "agent \"\" { policy = \"read\" }\nkey \"a\" { policy = \"write\" } operator = \"read\"\n\
                   service \"x\" { policy = \"read\" intentions = \"deny\" }";
        let new = translate_rules(old).unwrap();
        assert_eq!(
            new,
            "agent_prefix \"\" {\n  policy = \"read\"\n}\n\nkey_prefix \"a\" {\n  policy = \"write\"\n}\n\n\
             operator = \"read\"\n\nservice_prefix \"x\" {\n  policy     = \"read\"\n  intentions = \"deny\"\n}"
        );
        assert!(Rules::parse(&new).unwrap().rules.iter().all(|rule| rule.prefix));
    }
}
