//! Envoy's command operators (`%RESPONSE_CODE%`), and Consul's default JSON object made of them.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::AccessEntry;
use crate::error::Error;

/// Consul's 24 keys in Consul's order, then ours.
const DEFAULT: [(&str, &str); 30] = [
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("meshglass_why", "%MESHGLASS(WHY)%"),
    ("source_service", "%MESHGLASS(SOURCE_SERVICE)%"),
    ("source_instance", "%MESHGLASS(SOURCE_INSTANCE)%"),
    ("destination_service", "%MESHGLASS(DESTINATION_SERVICE)%"),
    ("destination_instance", "%MESHGLASS(DESTINATION_INSTANCE)%"),
    ("grpc_status", "%GRPC_STATUS_NUMBER%"),
];

/// What an operator may be found to be.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Text(String),
    Number(u64),
    Nothing,
}

impl Found {
    fn text(text: &str) -> Self {
        if text.is_empty() { Self::Nothing } else { Self::Text(text.to_owned()) }
    }
}

pub(super) type Read = fn(&AccessEntry) -> Found;

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Literal(String),
    Operator { read: Read, max: Option<usize> },
}

/// One value: `%DURATION%`, or text around operators.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug)]
pub(super) enum Format {
    Text(Template),
    Json(Node),
}

#[derive(Debug)]
pub(super) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Template(Template),
    Plain(Value),
}

impl Format {
    pub fn parse(json: Option<&str>, text: Option<&str>) -> Result<Self, Error> {
        match (json.filter(|t| !t.is_empty()), text.filter(|t| !t.is_empty())) {
            (Some(_), Some(_)) => {
                Err(Error::LogFormat("JSONFormat and TextFormat are both given; only one can be".to_owned()))
            }
            (Some(json), None) => {
                let value: Value =
                    serde_json::from_str(json).map_err(|e| Error::LogFormat(format!("JSONFormat: {e}")))?;
                if !value.is_object() {
                    return Err(Error::LogFormat("JSONFormat: expected an object".to_owned()));
                }
                Ok(Self::Json(Node::parse(value)?))
            }
            (None, Some(text)) => {
                let mut template = Template::parse(text)?;
                if !text.ends_with('\n') {
                    template.0.push(Piece::Literal("\n".to_owned()));
                }
                Ok(Self::Text(template))
            }
            (None, None) => {
                let fields = DEFAULT
                    .iter()
                    .map(|(key, operator)| Ok(((*key).to_owned(), Node::Template(Template::parse(operator)?))));
                Ok(Self::Json(Node::Object(fields.collect::<Result<_, Error>>()?)))
            }
        }
    }

    /// Appends the entry's line.
    pub fn write(&self, entry: &AccessEntry, out: &mut String) {
        match self {
            Self::Text(template) => template.text(entry, "-", out),
            Self::Json(node) => {
                node.write(entry, out);
                out.push('\n');
            }
        }
    }
}

impl Node {
    fn parse(value: Value) -> Result<Self, Error> {
        Ok(match value {
            Value::Object(map) => {
                let fields = map.into_iter().map(|(key, value)| Ok((key, Self::parse(value)?)));
                Self::Object(fields.collect::<Result<_, Error>>()?)
            }
            Value::Array(items) => Self::Array(items.into_iter().map(Self::parse).collect::<Result<_, Error>>()?),
            Value::String(text) => Self::Template(Template::parse(&text)?),
            plain => Self::Plain(plain),
        })
    }

    fn write(&self, entry: &AccessEntry, out: &mut String) {
        match self {
            Self::Object(fields) => {
                out.push('{');
                for (at, (key, node)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    quote(key, out);
                    out.push(':');
                    node.write(entry, out);
                }
                out.push('}');
            }
            Self::Array(items) => {
                out.push('[');
                for (at, node) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    node.write(entry, out);
                }
                out.push(']');
            }
            Self::Template(template) => template.json(entry, out),
            Self::Plain(value) => {
                let _ = write!(out, "{value}");
            }
        }
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, Error> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            if let Some(after) = after.strip_prefix('%') {
                pieces.push(Piece::Literal("%".to_owned()));
                rest = after;
                continue;
            }
            let (piece, after) = operator(after).map_err(|why| Error::LogFormat(format!("{text:?}: {why}")))?;
            pieces.push(piece);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    fn text(&self, entry: &AccessEntry, nothing: &str, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Operator { read, max } => match read(entry) {
                    Found::Text(text) => out.push_str(cut(&text, *max)),
                    Found::Number(n) => {
                        let _ = write!(out, "{n}");
                    }
                    Found::Nothing => out.push_str(nothing),
                },
            }
        }
    }

    /// A value that is one operator keeps its type, as Envoy's does; with text around it, it is text.
    fn json(&self, entry: &AccessEntry, out: &mut String) {
        if let [Piece::Operator { read, max }] = self.0.as_slice() {
            match read(entry) {
                Found::Text(text) => quote(cut(&text, *max), out),
                Found::Number(n) => {
                    let _ = write!(out, "{n}");
                }
                Found::Nothing => out.push_str("null"),
            }
        } else {
            let mut text = String::new();
            self.text(entry, "-", &mut text);
            quote(&text, out);
        }
    }
}

fn cut(text: &str, max: Option<usize>) -> &str {
    max.map_or(text, |max| &text[..text.floor_char_boundary(max)])
}

fn quote(text: &str, out: &mut String) {
    let _ = write!(out, "{}", Value::from(text));
}

/// Reads what follows a `%`, up to and with the closing one.
fn operator(text: &str) -> Result<(Piece, &str), String> {
    let name_end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let mut argument = "";
    if let Some(inner) = rest.strip_prefix('(') {
        // An argument may hold percent signs: `%START_TIME(%Y/%m/%d)%`.
        (argument, rest) = inner.split_once(')').ok_or_else(|| format!("%{name}(: no closing bracket"))?;
    }
    let mut max = None;
    if let Some(length) = rest.strip_prefix(':') {
        let end = length.find('%').unwrap_or(length.len());
        max = Some(length[..end].parse().map_err(|_| format!("%{name}: a length is a number"))?);
        rest = &length[end..];
    }
    let rest = rest.strip_prefix('%').ok_or_else(|| format!("%{name}: no closing %"))?;
    let read = reader(name, argument).ok_or_else(|| format!("%{name}({argument})%: unknown operator"))?;
    Ok((Piece::Operator { read, max }, rest))
}

fn reader(name: &str, argument: &str) -> Option<Read> {
    Some(match name {
        "START_TIME" if argument.is_empty() => |e| Found::Text(start_time(e)),
        "ROUTE_NAME" => |e| Found::text(&e.route_name),
        "REQ" => return Some(request_header(argument)),
        "RESP" => return Some(response_header(argument)),
        "TRAILER" => return Some(response_header(argument)),
        "PROTOCOL" => |e| Found::text(e.protocol),
        "RESPONSE_CODE" => |e| Found::Number(e.response_code.into()),
        "RESPONSE_FLAGS" => |e| Found::Text(flags(e)),
        "RESPONSE_CODE_DETAILS" => |e| Found::text(&e.response_code_details),
        "CONNECTION_TERMINATION_DETAILS" => |e| Found::text(&e.connection_termination_details),
        "BYTES_RECEIVED" => |e| Found::Number(e.bytes_received),
        "BYTES_SENT" => |e| Found::Number(e.bytes_sent),
        "DURATION" => |e| Found::Number(ms(e.duration)),
        "RESPONSE_DURATION" => |e| e.upstream_service_time.map_or(Found::Nothing, |d| Found::Number(ms(d))),
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => |e| Found::text(&e.upstream_host),
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => |e| Found::text(&e.upstream_cluster),
        "UPSTREAM_LOCAL_ADDRESS" => |e| Found::text(&e.upstream_local_address),
        "DOWNSTREAM_LOCAL_ADDRESS" => |e| Found::text(&e.downstream_local_address),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => |e| Found::text(host(&e.downstream_local_address)),
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => {
            |e| Found::text(&e.downstream_remote_address)
        }
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => |e| Found::text(host(&e.downstream_remote_address)),
        "REQUESTED_SERVER_NAME" => |e| Found::text(&e.requested_server_name),
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => |e| Found::text(&e.upstream_transport_failure_reason),
        "GRPC_STATUS_NUMBER" => grpc_status,
        "GRPC_STATUS" => |e| e.grpc_status.map_or(Found::Nothing, |s| Found::text(&grpc_name(s))),
        "MESHGLASS" => return ours(argument),
        _ => return None,
    })
}

fn ours(argument: &str) -> Option<Read> {
    Some(match argument {
        "WHY" => |e| Found::text(&e.why),
        "SOURCE_SERVICE" => |e| Found::text(&e.source.service),
        "SOURCE_INSTANCE" => |e| Found::text(&e.source.instance),
        "SOURCE_NODE" => |e| Found::text(&e.source.node),
        "DESTINATION_SERVICE" => |e| Found::text(&e.destination.service),
        "DESTINATION_INSTANCE" => |e| Found::text(&e.destination.instance),
        "DESTINATION_NODE" => |e| Found::text(&e.destination.node),
        _ => return None,
    })
}

/// `X?Y` means Y where there is no X; of the two only one is ever kept here. A header that an entry does not carry is
/// not an error, just never there.
fn request_header(name: &str) -> Read {
    match name.rsplit('?').next().unwrap_or(name).to_ascii_lowercase().as_str() {
        ":method" => |e| Found::text(&e.method),
        ":path" => |e| Found::text(&e.path),
        ":authority" | "host" => |e| Found::text(&e.authority),
        "x-forwarded-for" => |e| Found::text(&e.x_forwarded_for),
        "user-agent" => |e| Found::text(&e.user_agent),
        "x-request-id" => |e| Found::text(&e.request_id),
        _ => |_| Found::Nothing,
    }
}

fn response_header(name: &str) -> Read {
    match name.to_ascii_lowercase().as_str() {
        // A header, so text even where a number would be expected: Envoy writes "12".
        "x-envoy-upstream-service-time" => {
            |e| e.upstream_service_time.map_or(Found::Nothing, |d| Found::Text(ms(d).to_string()))
        }
        "grpc-status" => |e| e.grpc_status.map_or(Found::Nothing, |s| Found::Text(s.to_string())),
        "x-meshglass-why" => |e| Found::text(&e.why),
        _ => |_| Found::Nothing,
    }
}

fn grpc_status(e: &AccessEntry) -> Found {
    e.grpc_status.map_or(Found::Nothing, |s| Found::Number(s.into()))
}

fn grpc_name(status: u8) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    NAMES.get(usize::from(status)).map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host.trim_start_matches('[').trim_end_matches(']'))
}

/// Envoy's letters, a dash for none.
fn flags(entry: &AccessEntry) -> String {
    let letters: Vec<&str> = entry.response_flags.iter().map(|flag| flag.as_str()).collect();
    if letters.is_empty() { "-".to_owned() } else { letters.join(",") }
}

fn start_time(entry: &AccessEntry) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(entry.start_time).format(format).unwrap_or_default()
}
