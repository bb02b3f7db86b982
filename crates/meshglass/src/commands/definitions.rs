//! Files that a command reads and an agent is told about.

use model::decode::{DecodeError, Decoder, Fields, Style};
use model::hcl::Format;
use model::{ConfigEntry, Definitions, Names, ServiceDefinition};
use serde_json::Value;

use super::{Failure, open_error, with_place};

/// A configuration entry ready to be sent.
#[derive(Debug)]
pub struct Entry {
    pub kind: &'static str,
    pub name: String,
    pub body: Value,
    /// What the reader should know about the file; one line each.
    pub notes: String,
}

pub fn config_entry(file: &str, text: &str) -> Result<Entry, Failure> {
    let (entry, warnings) = model::decode_config_entry_hcl(file, text.as_bytes()).map_err(|error| {
        let what = "Failed to decode config entry input";
        // Consul's own reader says it twice for a text that is not even HCL.
        let text = match &error {
            model::EntryError::Content(_, DecodeError::Syntax(syntax)) => {
                format!("{what}: {what}: {}", syntax.consul_text())
            }
            _ => format!("{what}: {}", error.consul_text()),
        };
        Failure::new(with_place(text, &error.to_string()))
    })?;
    let notes = warnings.iter().map(|warning| format!("{warning}\n")).collect();
    Ok(Entry { kind: entry.kind().as_str(), name: entry.name().to_owned(), body: body(&entry), notes })
}

fn body(entry: &ConfigEntry) -> Value {
    client::config_entry_body(entry)
}

/// The services in one file, and what the reader should know about it.
pub fn services(file: &str) -> Result<(Vec<ServiceDefinition>, Vec<String>), Failure> {
    let failed = |why: String| Failure::new(format!("Error: {why}"));
    let text =
        std::fs::read(file).map_err(|e| failed(format!("config: Open failed on {file}. {}", open_error(file, &e))))?;
    let format = Format::of_path(file).unwrap_or(Format::Hcl);
    let (definitions, warnings) = read(format, &text).map_err(|error| {
        let text = format!("failed to parse {file}: {}", error.consul_text());
        failed(with_place(text, &error.in_file(file)))
    })?;
    let warnings = warnings.iter().map(|warning| format!("{file}:{warning}")).collect();
    Ok((definitions.services, warnings))
}

/// A service without a name is the agent's to refuse, as with Consul.
fn read(format: Format, text: &[u8]) -> Result<(Definitions, Vec<model::hcl::Warning>), DecodeError> {
    let document = format.parse(text)?;
    let mut decoder = Decoder::new(Style::File);
    decoder.warnings = document.warnings;
    let mut fields = Fields::of(&mut decoder, &document.root, "");
    let definitions = Definitions::take(&mut decoder, &mut fields, Names::Optional);
    fields.finish(&mut decoder);
    decoder.finish(definitions)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_entry_is_sent_as_the_api_reads_it() {
        let entry = config_entry("c.hcl", "kind = \"service-defaults\" name = \"web\" protocol = \"http\"").unwrap();
        assert_eq!((entry.kind, entry.name.as_str()), ("service-defaults", "web"));
        assert_eq!(entry.body, serde_json::json!({"Kind": "service-defaults", "Name": "web", "Protocol": "http"}));
    }

    #[test]
    fn mistakes_are_told_in_consul_s_words_and_with_their_place() {
        for (text, said, place) in [
            ("Kind = \"nope\"\nName = \"web\"\n", "invalid config entry kind: nope", "\nc.hcl:1:8: "),
            ("Kind = = \n", "Failed to decode config entry input: At 1:8: Unknown token: 1:8 ASSIGN =", ""),
            (
                "Kind = \"service-defaults\"\nName = \"web\"\nBogus = 1\n",
                "1 error occurred:\n\t* invalid config key \"Bogus\"",
                "\nc.hcl:3:1: ",
            ),
        ] {
            let failure = config_entry("c.hcl", text).unwrap_err();
            let rest = failure.text.strip_prefix(&format!("Failed to decode config entry input: {said}"));
            assert!(rest.is_some_and(|rest| rest.starts_with(place)), "{}", failure.text);
        }
    }
}
