//! Config entries from files (`config write`, `config_entries { bootstrap }`) and from the body of `PUT /v1/config`.

use serde_json::Value as Json;

use super::{ConfigEntry, EntryKind, ProxyDefaults, ServiceDefaults, kinds, normalise};
use crate::decode::{DecodeError, Decoder, Problem, ProblemKind, Style, several};
use crate::hcl::{self, Format, Node, Position, Value, one_line};
use crate::schema::canonical;
use crate::service::OpaqueMap;

/// Why a text is no config entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("{}", .1.in_file(.0))]
    Content(String, DecodeError),
    #[error("{file}:{at}: {text}")]
    Kind { file: String, at: Position, text: String },
}

impl EntryError {
    /// Consul's text: what follows `Failed to decode config entry input: ` on the command line and
    /// `Bad request: Request decoding failed: ` in an answer.
    pub fn consul_text(&self) -> String {
        let problems = match self {
            Self::Kind { text, .. } => return text.clone(),
            Self::Content(_, DecodeError::Syntax(error)) => return error.consul_text(),
            Self::Content(_, DecodeError::Problems(problems)) => problems,
        };
        several(&problems.iter().map(|problem| self.problem_text(problem)).collect::<Vec<_>>())
    }

    /// A key inside a block of a file carries its place, which Consul does not say.
    fn problem_text(&self, problem: &Problem) -> String {
        let in_file = matches!(self, Self::Content(name, _) if !name.is_empty());
        match &problem.kind {
            ProblemKind::UnknownKey { key } if key == "Namespace" => {
                format!("invalid config key {key:?}, namespaces are a consul enterprise feature")
            }
            ProblemKind::UnknownKey { key } if in_file && *key != problem.path => {
                format!("invalid config key {:?} (at {})", problem.path, problem.at)
            }
            ProblemKind::UnknownKey { .. } => format!("invalid config key {:?}", problem.path),
            _ if in_file => format!("{} (at {})", problem.text(), problem.at),
            _ => problem.text(),
        }
    }
}

/// Reads the file `name` (HCL, or JSON when the text begins with `{`). Gives the entry and the warnings.
pub fn decode_config_entry_hcl(name: &str, text: &[u8]) -> Result<(ConfigEntry, Vec<String>), EntryError> {
    let failed = |error| EntryError::Content(name.to_owned(), error);
    let document = Format::Hcl.parse(text).map_err(|error| failed(error.into()))?;
    let entry = entry_of_node(name, &document.root, Style::File)?;
    Ok((entry, document.warnings.iter().map(|warning| format!("{name}:{warning}")).collect()))
}

/// Reads the body of `PUT /v1/config`.
pub fn decode_config_entry_json(body: &[u8]) -> Result<ConfigEntry, EntryError> {
    let node = hcl::parse_json_body(body).map_err(|error| EntryError::Content(String::new(), error.into()))?;
    entry_of_node("", &node, Style::Request)
}

/// Reads an entry that stands inside a larger file, such as an item of `config_entries { bootstrap = […] }`.
pub fn entry_of_node(file: &str, node: &Node, style: Style) -> Result<ConfigEntry, EntryError> {
    let kind = kind(node).map_err(|(at, text)| EntryError::Kind { file: file.to_owned(), at, text })?;
    let mut decoder = Decoder::new(style);
    let body = canonical(&mut decoder, node, kinds::fields(kind), "");
    let entry = build(kind, body);
    let (entry, _) = decoder.finish(entry).map_err(|error| EntryError::Content(file.to_owned(), error))?;
    Ok(entry)
}

/// Consul looks for these two spellings and no other.
fn kind(node: &Node) -> Result<EntryKind, (Position, String)> {
    let failed = |at, text: String| Err((at, text));
    let given = match &node.value {
        Value::Object(object) => object.get("kind").or_else(|| object.get("Kind")),
        Value::Null => None,
        _ => return failed(node.at, format!("expected a config entry, got {}", node.describe())),
    };
    match given.map(|given| (given.at, &given.value)) {
        Some((at, Value::Text(text))) => {
            EntryKind::parse(text).ok_or_else(|| (at, one_line(format!("invalid config entry kind: {text}"))))
        }
        Some((at, _)) => failed(at, "Kind value in payload is not a string".to_owned()),
        None => failed(node.at, "Payload does not contain a kind/Kind key at the top level".to_owned()),
    }
}

fn build(kind: EntryKind, mut body: OpaqueMap) -> ConfigEntry {
    body.remove("Kind");
    let name = text(body.remove("Name"));
    match kind {
        EntryKind::ProxyDefaults => ConfigEntry::ProxyDefaults(ProxyDefaults {
            config: object(body.remove("Config")),
            mesh_gateway_mode: mode(&mut body),
            expose: object(body.remove("Expose")),
            access_logs: object(body.remove("AccessLogs")),
            meta: texts(body.remove("Meta")),
            more: body,
        }),
        EntryKind::ServiceDefaults => ConfigEntry::ServiceDefaults(ServiceDefaults {
            name,
            protocol: text(body.remove("Protocol")).to_lowercase(),
            mesh_gateway_mode: mode(&mut body),
            external_sni: text(body.remove("ExternalSNI")),
            expose: object(body.remove("Expose")),
            meta: texts(body.remove("Meta")),
            more: body,
        }),
        kind => {
            normalise::body(kind, &mut body);
            let entry = ConfigEntry::Other { kind, name: normalise::name(kind, name), body };
            entry.intentions().map_or(entry, super::ServiceIntentions::into_entry)
        }
    }
}

fn text(value: Option<Json>) -> String {
    match value {
        Some(Json::String(text)) => text,
        _ => String::new(),
    }
}

fn object(value: Option<Json>) -> OpaqueMap {
    match value {
        Some(Json::Object(object)) => object,
        _ => OpaqueMap::new(),
    }
}

fn texts(value: Option<Json>) -> std::collections::BTreeMap<String, String> {
    object(value).into_iter().map(|(key, value)| (key, text(Some(value)))).collect()
}

fn mode(body: &mut OpaqueMap) -> String {
    text(object(body.remove("MeshGateway")).remove("Mode"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn hcl(text: &str) -> ConfigEntry {
        decode_config_entry_hcl("c.hcl", text.as_bytes()).unwrap_or_else(|e| panic!("{text}\n{e}")).0
    }

    #[test]
    fn the_proxy_defaults_of_the_talk_in_every_spelling() {
        for text in [
            "kind = \"proxy-defaults\" name = \"global\"\nconfig {\n envoy_dogstatsd_url = \"udp://127.0.0.1:9125\"\n}",
            "Kind = \"proxy-defaults\" Name = \"global\" Config { envoy_dogstatsd_url = \"udp://127.0.0.1:9125\" }",
            "kind = \"proxy-defaults\" config = { envoy_dogstatsd_url = \"udp://127.0.0.1:9125\" }",
            r#"{"kind": "proxy-defaults", "name": "x", "config": {"envoy_dogstatsd_url": "udp://127.0.0.1:9125"}}"#,
            "kind: \"proxy-defaults\"\nname: \"global\"\nconfig: { envoy_dogstatsd_url: \"udp://127.0.0.1:9125\" }",
        ] {
            let ConfigEntry::ProxyDefaults(entry) = hcl(text) else { panic!("{text}") };
            assert_eq!(entry.config["envoy_dogstatsd_url"], "udp://127.0.0.1:9125", "{text}");
        }
        let (_, warnings) = decode_config_entry_hcl("c.hcl", b"kind: \"proxy-defaults\"").unwrap();
        assert!(warnings[0].starts_with("c.hcl:1:5: kind is followed by a colon"), "{warnings:?}");
    }

    #[test]
    fn bodies_become_canonical() {
        let ConfigEntry::Other { kind, name, body } =
            hcl("kind = \"service-router\" name = \"web\"\nroutes = [{ match { http { path_prefix = \"/admin\"\n \
             header = [{ name = \"x-d\" exact = \"1\" }] methods = [\"GET\"] } } destination { service = \"api\" \
             prefix_rewrite = \"/\" request_timeout = \"5s\" num_retries = \"3\" retry_on_status_codes = [503] } }]")
        else {
            panic!()
        };
        assert_eq!((kind, name.as_str()), (EntryKind::ServiceRouter, "web"));
        let expected = json!({"Routes": [{
            "Match": {"HTTP": {"PathPrefix": "/admin", "Header": [{"Name": "x-d", "Exact": "1"}], "Methods": ["GET"]}},
            "Destination": {"Service": "api", "Namespace": "default", "PrefixRewrite": "/",
                "RequestTimeout": "5s", "NumRetries": 3,
                "RetryOnStatusCodes": [503]}}]});
        assert_eq!(Json::Object(body), expected);

        let ConfigEntry::Other { body, .. } = decode_config_entry_json(
            br#"{"Kind":"service-resolver","Name":"web","DefaultSubset":"v1",
                "Subsets":{"v1":{"Filter":"f","OnlyPassing":true}},
                "ConnectTimeout":15000000000,"Failover":{"*":{"Datacenters":["dc2"]}},"CreateIndex":5}"#,
        )
        .unwrap() else {
            panic!()
        };
        assert_eq!(
            Json::Object(body),
            json!({"DefaultSubset": "v1", "Subsets": {"v1": {"Filter": "f", "OnlyPassing": true}},
                "ConnectTimeout": "15s", "Failover": {"*": {"Datacenters": ["dc2"]}}})
        );
    }

    #[test]
    fn service_defaults_keep_what_newer_versions_added() {
        let ConfigEntry::ServiceDefaults(entry) = decode_config_entry_json(
            br#"{"kind":"service-defaults","name":"w","protocol":"HTTP","mesh_gateway":{"mode":"remote"},
                "Expose":{"Checks":"true","Paths":[{"listener_port":"5"}]},"Meta":{"a":"b"},
                "UpstreamConfig":{"Defaults":{"ConnectTimeoutMs":5}},"LocalRequestTimeoutMs":7}"#,
        )
        .unwrap() else {
            panic!()
        };
        assert_eq!((entry.name.as_str(), entry.protocol.as_str()), ("w", "http"));
        assert_eq!(entry.mesh_gateway_mode, "remote");
        assert_eq!(Json::Object(entry.expose), json!({"Checks": true, "Paths": [{"ListenerPort": 5}]}));
        assert_eq!(entry.meta["a"], "b");
        assert_eq!(
            Json::Object(entry.more),
            json!({"UpstreamConfig": {"Defaults": {"ConnectTimeoutMs": 5}}, "LocalRequestTimeoutMs": 7})
        );
    }

    #[test]
    fn mistakes_in_the_words_of_consul_and_with_their_place() {
        for (text, consul, place) in [
            (
                "Kind = \"nope\"\nName = \"web\"\n",
                "invalid config entry kind: nope",
                "c.hcl:1:8: invalid config entry kind: nope",
            ),
            (
                "Kind = \"service-defaults\"\nName = \"web\"\nBogus = 1\n",
                "1 error occurred:\n\t* invalid config key \"Bogus\"\n\n",
                "c.hcl:3:1: invalid config key Bogus",
            ),
            ("Kind = = \n", "At 1:8: Unknown token: 1:8 ASSIGN =", "c.hcl:1:8: expected a value, got ="),
            (
                "kind = \"service-router\" routes { match { bogus = 1 } }",
                "1 error occurred:\n\t* invalid config key \"Routes[0].Match.bogus\" (at 1:42)\n\n",
                "c.hcl:1:42: invalid config key Routes[0].Match.bogus",
            ),
            (
                "kind = \"proxy-defaults\" config = 5",
                "1 error occurred:\n\t* Config: expected one block, got 5 (at 1:34)\n\n",
                "c.hcl:1:34: Config: expected one block, got 5",
            ),
        ] {
            let error = decode_config_entry_hcl("c.hcl", text.as_bytes()).expect_err(text);
            assert_eq!((error.consul_text().as_str(), error.to_string().as_str()), (consul, place), "{text}");
        }
        for (body, text) in [
            (r#"{"Kind":"nope","Name":"x"}"#, "invalid config entry kind: nope"),
            (r#"{"Name":"x"}"#, "Payload does not contain a kind/Kind key at the top level"),
            (r#"{"kind":5}"#, "Kind value in payload is not a string"),
            ("", "EOF"),
            ("{nope", "invalid character 'n' looking for beginning of object key string"),
            (
                r#"{"Kind":"service-defaults","Name":"x","Bogus":1}"#,
                "1 error occurred:\n\t* invalid config key \"Bogus\"\n\n",
            ),
            (
                r#"{"kind":"service-router","name":"w","routes":[{"match":{"bogus":1}}]}"#,
                "1 error occurred:\n\t* invalid config key \"Routes[0].Match.bogus\"\n\n",
            ),
        ] {
            assert_eq!(decode_config_entry_json(body.as_bytes()).expect_err(body).consul_text(), text, "{body}");
        }
    }
}
