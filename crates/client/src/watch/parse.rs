//! What `watches` and the command's flags say, read as Consul reads it and refused in its words.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Position, View, Watch};
use crate::query::Query;

const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// What is done with a change. Has no `Debug`: headers may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Handler {
    /// The command's own business.
    None,
    Shell(String),
    Program(Vec<String>),
    Http {
        path: String,
        method: String,
        timeout: Duration,
        header: BTreeMap<String, Vec<String>>,
        tls_skip_verify: bool,
    },
}

/// The parameters that were not asked for yet.
struct Params(Map<String, Value>);

impl Params {
    fn text(&mut self, name: &str) -> Result<String, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("Expecting {name} to be a string")),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Vec<String>, String> {
        let bad = || format!("Expecting {name} to be a string or []string");
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => {
                items.into_iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(bad)).collect()
            }
            Some(_) => Err(bad()),
        }
    }

    fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(format!("Expecting {name} to be a boolean")),
        }
    }

    fn single(&mut self, name: &str) -> Result<String, String> {
        let text = self.text(name)?;
        if text.is_empty() { Err(format!("Must specify a single {name} to watch")) } else { Ok(text) }
    }
}

impl Watch {
    /// One entry of `watches`, or the command's flags in the same form.
    pub fn parse(params: &Map<String, Value>) -> Result<(Self, Handler), String> {
        let mut params = Params(params.clone());
        let mut query = Query::default();
        let datacenter = params.text("datacenter")?;
        let token = Some(params.text("token")?).filter(|token| !token.is_empty());
        if !datacenter.is_empty() {
            query = query.with("dc", &datacenter);
        }
        let kind = params.text("type")?;
        if kind.is_empty() {
            return Err("Watch type must be specified".to_owned());
        }
        let handler = handler(&mut params)?;
        let view = view(&kind, &mut params)?;
        if params.flag("stale")? {
            query = query.with("stale", "");
        }
        if !params.0.is_empty() {
            let names: Vec<&str> = params.0.keys().map(String::as_str).collect();
            return Err(format!("Invalid parameters: [{}]", names.join(" ")));
        }
        Ok((Self { kind, token, view, query, position: Position::Start, last: None, failures: 0 }, handler))
    }
}

fn view(kind: &str, params: &mut Params) -> Result<View, String> {
    Ok(match kind {
        "key" => View::Key(params.single("key")?),
        "keyprefix" => View::KeyPrefix(params.single("prefix")?),
        "services" => View::Services,
        "nodes" => View::Nodes,
        "service" => View::Service {
            name: params.single("service")?,
            tags: params.texts("tag")?.into_iter().filter(|tag| !tag.is_empty()).collect(),
            passing_only: params.flag("passingonly")?,
        },
        "checks" => {
            let (service, mut state) = (params.text("service")?, params.text("state")?);
            if !service.is_empty() && !state.is_empty() {
                return Err("Cannot specify service and state".to_owned());
            }
            if state.is_empty() {
                "any".clone_into(&mut state);
            }
            View::Checks { service, state }
        }
        "event" => View::Event { name: params.text("name")? },
        "connect_roots" => View::ConnectRoots,
        "connect_leaf" => View::ConnectLeaf(params.text("service")?),
        "agent_service" => View::AgentService(params.text("service_id")?),
        other => return Err(format!("Unsupported watch type: {other}")),
    })
}

fn handler(params: &mut Params) -> Result<Handler, String> {
    let kind = params.text("handler_type")?;
    let (script, args) = (params.text("handler")?, params.texts("args")?);
    match kind.as_str() {
        "http" => return http_handler(params),
        "" | "script" => {}
        other => return Err(format!("Handler type '{other}' not recognized")),
    }
    match (script.is_empty(), args.is_empty()) {
        (false, false) => Err("Only one watch handler allowed".to_owned()),
        (false, true) => Ok(Handler::Shell(script)),
        (true, false) => Ok(Handler::Program(args)),
        (true, true) => Ok(Handler::None),
    }
}

fn http_handler(params: &mut Params) -> Result<Handler, String> {
    let failed = |why: &str| format!("Failed to parse 'http_handler_config': {why}");
    let config = match params.0.remove("http_handler_config") {
        Some(Value::Object(config)) => config,
        // HCL's blocks are lists.
        Some(Value::Array(mut items)) if items.len() == 1 => match items.swap_remove(0) {
            Value::Object(config) => config,
            _ => return Err(failed("expected a map")),
        },
        _ => return Err("Handler type 'http' requires 'http_handler_config' to be set".to_owned()),
    };
    let mut config = Params(config);
    let path = config.text("path")?;
    if path.is_empty() {
        return Err("Requires 'path' to be set".to_owned());
    }
    let method = Some(config.text("method")?).filter(|method| !method.is_empty());
    let timeout = config.text("timeout")?;
    let timeout = match timeout.is_empty() {
        true => HTTP_TIMEOUT,
        false => model::parse_duration(&timeout).map_err(|error| failed(&error.to_string()))?,
    };
    let header = match config.0.remove("header") {
        Some(Value::Object(header)) => {
            let mut header = Params(header);
            let names: Vec<String> = header.0.keys().cloned().collect();
            names.into_iter().map(|name| Ok((name.clone(), header.texts(&name)?))).collect::<Result<_, String>>()?
        }
        _ => BTreeMap::new(),
    };
    let tls_skip_verify = config.flag("tls_skip_verify")?;
    Ok(Handler::Http { path, method: method.unwrap_or_else(|| "POST".to_owned()), timeout, header, tls_skip_verify })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn mistakes_are_told_in_consul_s_words() {
        for (params, said) in [
            (json!({}), "Watch type must be specified"),
            (json!({"type": "nope"}), "Unsupported watch type: nope"),
            (json!({"type": "key"}), "Must specify a single key to watch"),
            (json!({"type": "keyprefix"}), "Must specify a single prefix to watch"),
            (json!({"type": "service"}), "Must specify a single service to watch"),
            (json!({"type": "checks", "service": "a", "state": "any"}), "Cannot specify service and state"),
            (json!({"type": "services", "key": "a"}), "Invalid parameters: [key]"),
            (json!({"type": "key", "key": 1}), "Expecting key to be a string"),
            (json!({"type": "nodes", "handler": "a", "args": ["a"]}), "Only one watch handler allowed"),
            (json!({"type": "nodes", "handler_type": "x"}), "Handler type 'x' not recognized"),
            (json!({"type": "nodes", "handler_type": "http", "http_handler_config": {}}), "Requires 'path' to be set"),
        ] {
            let error = Watch::parse(params.as_object().unwrap()).map(|_| ()).unwrap_err();
            assert_eq!(error, said);
        }
    }

    #[test]
    fn a_handler_is_a_program_or_a_request() {
        let params = json!({"type": "key", "key": "a", "handler_type": "http", "http_handler_config":
            [{"path": "http://h/", "timeout": "3s", "header": {"X": ["a", "b"]}}]});
        let (watch, handler) = Watch::parse(params.as_object().unwrap()).unwrap();
        assert_eq!(watch.kind(), "key");
        let header = [("X".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into();
        let (path, method, timeout) = ("http://h/".to_owned(), "POST".to_owned(), Duration::from_secs(3));
        assert!(handler == Handler::Http { path, method, timeout, header, tls_skip_verify: false });
        let params = json!({"type": "nodes", "args": ["a", "b"], "stale": true});
        let (watch, handler) = Watch::parse(params.as_object().unwrap()).unwrap();
        assert_eq!(watch.query.path("/"), "/?stale=");
        assert!(handler == Handler::Program(vec!["a".to_owned(), "b".to_owned()]));
    }
}
