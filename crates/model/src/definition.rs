//! Services and checks as people and programs define them: in files, and in the bodies of `/v1/agent/…/register`.

mod check;
mod connect;
mod request;
mod service;

pub use request::{RequestError, decode_check_json, decode_service_json};

use crate::check::CheckDefinition;
use crate::decode::{DecodeError, Decoder, Fields, Style};
use crate::hcl::{Format, Node};
use crate::service::ServiceDefinition;

/// What one or several files define.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    pub services: Vec<ServiceDefinition>,
    /// Checks that stand on their own: of the node, or of a service named by its id.
    pub checks: Vec<CheckDefinition>,
}

impl Definitions {
    /// Takes the keys `service`, `services`, `check` and `checks` out of a file's top level.
    pub fn take(decoder: &mut Decoder, fields: &mut Fields<'_>, names: Names) -> Self {
        let mut out = Self::default();
        let mut add = |decoder: &mut Decoder, node: &Node, path: &str| {
            let before = decoder.problems.len();
            let definition = service::service(decoder, node, path);
            let unharmed = before == decoder.problems.len();
            if unharmed && names == Names::Required && definition.service.service.is_empty() {
                decoder.invalid(node.at, path, "a service needs a name");
            }
            out.services.push(definition);
        };
        fields.read(decoder, "service", &mut add);
        fields.read(decoder, "services", |decoder, node, path| {
            decoder.items(node, path).iter().for_each(|(item, path)| add(decoder, item, path));
        });
        let mut add = |decoder: &mut Decoder, node: &Node, path: &str| {
            let Some(check) = check::check(decoder, node, path) else { return };
            if names == Names::Required && check.name.is_empty() && check.id.is_empty() {
                decoder.invalid(node.at, path, "a check needs a name or an id");
            }
            out.checks.push(check);
        };
        fields.read(decoder, "check", &mut add);
        fields.read(decoder, "checks", |decoder, node, path| {
            decoder.items(node, path).iter().for_each(|(item, path)| add(decoder, item, path));
        });
        out
    }
}

/// Namespaces and partitions: there is one of each, and a client that names it is right.
fn no_tenancy(decoder: &mut Decoder, fields: &mut Fields<'_>) {
    for (key, noun) in [("namespace", "Namespaces are"), ("partition", "Partitions are")] {
        let (at, path) = (fields.at, fields.path_of(key));
        if !["", "default"].contains(&fields.text(decoder, key).as_str()) {
            decoder.invalid(at, &path, format!("Invalid {key}: {noun} a Consul Enterprise feature"));
        }
    }
}

/// `consul validate` takes a service without a name; an agent that is to run it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Required,
    Optional,
}

/// Reads a file that holds definitions and nothing else, as `consul services register` takes it. Gives what is defined
/// and the warnings, each with its place.
pub fn decode_definitions(format: Format, text: &[u8]) -> Result<(Definitions, Vec<String>), DecodeError> {
    let document = format.parse(text)?;
    let mut decoder = Decoder::new(Style::File);
    decoder.warnings = document.warnings;
    let mut fields = Fields::of(&mut decoder, &document.root, "");
    let definitions = Definitions::take(&mut decoder, &mut fields, Names::Required);
    fields.finish(&mut decoder);
    let (definitions, warnings) = decoder.finish(definitions)?;
    Ok((definitions, warnings.iter().map(ToString::to_string).collect()))
}

#[cfg(test)]
mod tests;
