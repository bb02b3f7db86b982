//! Policies of access control: whatever is sent as rules is read or refused in words, and what is read decides the same
//! however often it is merged.

use std::process::ExitCode;

use meshglass_fuzz::run;
use model::acl::{Access, Family, Resource, Right, Rights, Rules, translate_rules};

const WORDS: &[&str] = &[
    "{",
    "}",
    "\"",
    "acl = ",
    "operator = ",
    "keyring = ",
    "mesh = ",
    "agent \"a\" ",
    "agent_prefix \"\" ",
    "key \"k\" ",
    "key_prefix \"k/\" ",
    "node \"n\" ",
    "node_prefix \"\" ",
    "service \"web\" ",
    "service_prefix \"w\" ",
    "session_prefix \"\" ",
    "event \"e\" ",
    "query_prefix \"\" ",
    "{ policy = \"read\" }",
    "{ policy = \"write\" intentions = \"deny\" }",
    "{ policy = \"list\" }",
    "policy = \"deny\"",
    "\"read\"",
    "\"write\"",
    "\"deny\"",
    "[",
    "]",
    ",",
];

fn main() -> ExitCode {
    let seeds: Vec<Vec<u8>> = [
        "acl = \"read\"\noperator = \"write\"\nkey_prefix \"a/\" { policy = \"list\" }\n\
         key \"a/b\" { policy = \"deny\" }",
        "service \"web\" { policy = \"write\" intentions = \"read\" }\nservice_prefix \"\" { policy = \"read\" }",
        r#"{"node_prefix": {"": {"policy": "read"}}, "session": [{"n1": [{"policy": "write"}]}]}"#,
        "agent \"a\" { policy = \"write\" }\nevent_prefix \"\" { policy = \"deny\" }\nquery \"\" { policy = \"read\" }",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    run("acl_rules", &seeds, WORDS, check)
}

fn check(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    if let Err(error) = translate_rules(text) {
        in_words(&error.to_string())?;
    }
    match Rules::parse(text) {
        Err(error) => in_words(&error.to_string()),
        Ok(rules) => decides_as_written(&rules),
    }
}

/// An exact rule alone decides over its name; merging rules with themselves changes nothing; a denial grants nothing.
fn decides_as_written(rules: &Rules) -> Result<(), String> {
    let (once, twice) = (Rights::merge([rules]), Rights::merge([rules, rules]));
    for rule in &rules.rules {
        let resource = match rule.family {
            Family::Agent => Resource::Agent,
            Family::Key => Resource::Key,
            Family::Node => Resource::Node,
            Family::Service => Resource::Service,
            Family::Session => Resource::Session,
            Family::Event => Resource::Event,
            Family::Query => Resource::Query,
        };
        for right in [Right::Read, Right::List, Right::Write] {
            let decided = once.decide(resource, &rule.name, right);
            if decided != twice.decide(resource, &rule.name, right) {
                return Err(format!("merged twice {rule:?} decides otherwise"));
            }
            if decided.is_none() {
                return Err(format!("{rule:?} says nothing of its own name"));
            }
            if rule.access == Access::Deny && !rule.prefix && decided == Some(true) {
                return Err(format!("{rule:?} grants {right:?}"));
            }
        }
    }
    Ok(())
}

fn in_words(message: &str) -> Result<(), String> {
    if message.trim().is_empty() { Err("an error without words".to_owned()) } else { Ok(()) }
}
