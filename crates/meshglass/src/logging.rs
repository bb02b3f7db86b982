//! The log: Consul's line on standard output, and the same lines for whoever runs `monitor`.
//!
//! A line is `2026-11-23T10:00:00.000Z [INFO]  agent: message: key=value`; the word before the colon is the crate that
//! speaks.

mod file;

use std::fmt::{self, Write as _};
use std::io::Write as _;

use api::agent::LogLine;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

pub use file::RotatingFile;

/// Lines that a slow `monitor` may fall behind before it loses some.
const BACKLOG_LINES: usize = 1024;

/// Where the lines of the log can be heard.
pub type Logs = broadcast::Sender<LogLine>;

/// Consul's level names, `warn` and `err` among them.
pub fn parse_level(text: &str) -> Option<Level> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Some(Level::TRACE),
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" | "warning" => Some(Level::WARN),
        "err" | "error" => Some(Level::ERROR),
        _ => None,
    }
}

/// A place to listen where nobody speaks.
pub fn silent() -> Logs {
    broadcast::channel(BACKLOG_LINES).0
}

/// Starts the log of this process. A second start keeps the first one's output and only gives a new place to listen.
pub fn start(level: Level, json: bool) -> Logs {
    start_into(level, json, None)
}

/// The same, with every line written to a file as well.
pub fn start_into(level: Level, json: bool, file: Option<RotatingFile>) -> Logs {
    let logs = silent();
    // What only a `monitor` would want to hear is not even formatted below debug.
    let finest = LevelFilter::from_level(level.max(Level::DEBUG));
    let layer = Lines { level, json, file, sender: logs.clone() }.with_filter_level(finest);
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
    logs
}

struct Lines {
    level: Level,
    json: bool,
    file: Option<RotatingFile>,
    sender: Logs,
}

impl Lines {
    fn with_filter_level(self, finest: LevelFilter) -> impl Layer<tracing_subscriber::Registry> {
        Layer::with_filter(self, finest)
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let heard = self.sender.receiver_count() > 0;
        // Libraries talk at debug and below about things that are not the mesh's.
        let ours = !["hyper", "h2", "rustls", "tower", "mio", "tokio"]
            .iter()
            .any(|name| event.metadata().target().split("::").next().is_some_and(|target| target.starts_with(name)));
        if (level > self.level && !heard) || !ours {
            return;
        }
        if level <= self.level {
            let text = if self.json { json_line(event) } else { line(event) };
            let _ = writeln!(std::io::stdout().lock(), "{text}");
            if let Some(file) = &self.file {
                file.line(&text);
            }
        }
        if heard {
            // Whoever listens chooses the form, whatever this log's own is.
            let _ = self.sender.send(LogLine { level, text: line(event).into(), json: json_line(event).into() });
        }
    }
}

fn now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::now_utc().format(&format).unwrap_or_default()
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARN",
        Level::ERROR => "ERROR",
    }
}

fn speaker<'a>(event: &Event<'a>) -> &'a str {
    event.metadata().target().split("::").next().unwrap_or_default()
}

fn line(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    // hclog pads the level so that the speakers stand in one column.
    let level = format!("[{}]", level_name(*event.metadata().level()));
    let colon = if fields.rest.is_empty() { "" } else { ":" };
    format!("{} {level:<7} {}: {}{colon}{}", now(), speaker(event), fields.message, fields.rest)
}

fn json_line(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut object = serde_json::Map::new();
    object.insert("@level".into(), level_name(*event.metadata().level()).to_lowercase().into());
    object.insert("@message".into(), fields.message.into());
    object.insert("@module".into(), speaker(event).into());
    object.insert("@timestamp".into(), now().into());
    for (name, value) in fields.pairs {
        object.insert(name.to_owned(), value.into());
    }
    serde_json::Value::Object(object).to_string()
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
    pairs: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
            return;
        }
        let quoted = if text.contains(' ') { format!("{text:?}") } else { text.clone() };
        let _ = write!(self.rest, " {}={quoted}", field.name());
        self.pairs.push((field.name(), text));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consuls_level_names_are_known() {
        assert_eq!(parse_level("WARN"), Some(Level::WARN));
        assert_eq!(parse_level("err"), Some(Level::ERROR));
        assert_eq!(parse_level("loud"), None);
    }
}
