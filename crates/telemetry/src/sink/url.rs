//! Where datagrams go: `udp://ip:port`, `unix:///path`, `$VARIABLE` for the whole, `${HOST_IP}` inside.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::Error;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Udp(SocketAddr),
    Unix(PathBuf),
}

/// The variable that Kubernetes deployments set to the node's address, so that one setting serves every node.
const HOST_IP: &str = "HOST_IP";

/// Reads a sink's URL. `environment` is asked for a variable only when the URL names one.
pub(crate) fn parse(
    setting: &'static str,
    url: &str,
    unix_allowed: bool,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Destination, Error> {
    let wrong = |why: String| Error::Url { setting, url: url.to_owned(), why };
    let unset = |name: &str| wrong(format!("the environment variable {name} is not set"));
    let inside = format!("${{{HOST_IP}}}");
    let text = if url.contains(&inside) {
        url.replace(&inside, &environment(HOST_IP).ok_or_else(|| unset(HOST_IP))?)
    } else if let Some(name) = url.strip_prefix('$') {
        let name = name.trim_start_matches('{').trim_end_matches('}');
        environment(name).ok_or_else(|| unset(name))?
    } else {
        url.to_owned()
    };
    let text = text.trim();
    if let Some(address) = text.strip_prefix("udp://") {
        let address = address.trim_end_matches('/');
        return address
            .parse()
            .map(Destination::Udp)
            .map_err(|_| wrong(format!("expected udp://ip:port, got {text:?}; a host name is not looked up")));
    }
    match text.strip_prefix("unix://") {
        Some(path) if unix_allowed && path.starts_with('/') => Ok(Destination::Unix(path.into())),
        Some(_) if unix_allowed => Err(wrong("expected unix:///absolute/path".to_owned())),
        _ if unix_allowed => Err(wrong(format!("expected udp://ip:port or unix:///path, got {text:?}"))),
        _ => Err(wrong(format!("expected udp://ip:port, got {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(url: &str) -> Result<Destination, String> {
        let environment = |name: &str| match name {
            "HOST_IP" => Some("10.1.2.3".to_owned()),
            "DOG" => Some("unix:///run/dog.socket".to_owned()),
            _ => None,
        };
        parse("envoy_dogstatsd_url", url, true, environment).map_err(|e| e.to_string())
    }

    #[test]
    fn every_form_of_consul_is_understood() {
        let udp = |text: &str| Ok(Destination::Udp(text.parse().unwrap()));
        assert_eq!(read("udp://127.0.0.1:9125"), udp("127.0.0.1:9125"));
        assert_eq!(read("udp://[::1]:9125"), udp("[::1]:9125"));
        assert_eq!(read("udp://${HOST_IP}:8125"), udp("10.1.2.3:8125"));
        assert_eq!(read("$DOG"), Ok(Destination::Unix("/run/dog.socket".into())));
        assert_eq!(read("${DOG}"), Ok(Destination::Unix("/run/dog.socket".into())));
    }

    #[test]
    fn a_bad_url_says_which_setting_and_why() {
        let error = read("http://127.0.0.1:1").unwrap_err();
        assert!(error.contains("envoy_dogstatsd_url") && error.contains("udp://ip:port"), "{error}");
        assert!(read("$NOWHERE").unwrap_err().contains("NOWHERE is not set"));
        assert!(read("udp://localhost:1").unwrap_err().contains("host name"));
        assert!(read("unix://relative").is_err());
        assert!(parse("envoy_statsd_url", "unix:///x", false, |_| None).is_err());
    }
}
