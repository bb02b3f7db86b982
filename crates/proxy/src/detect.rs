//! What a request is: gRPC, a WebSocket handshake, or neither.

use http::request::Parts;
use http::{HeaderMap, Method, Version, header};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Plain,
    Grpc,
    WebSocket,
}

pub(crate) fn call(parts: &Parts) -> Call {
    if is_grpc(&parts.headers) && parts.method == Method::POST {
        Call::Grpc
    } else if is_websocket(parts) {
        Call::WebSocket
    } else {
        Call::Plain
    }
}

/// `application/grpc` and its `+proto` forms; not gRPC-Web, which is ordinary HTTP.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return false };
    match kind.as_bytes().strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// RFC 6455 over HTTP/1.1. Any other `Upgrade` (above all `h2c`) is a hop's own business and is not passed on.
fn is_websocket(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && parts.headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && names(&parts.headers, header::CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"))
}

/// The comma-separated words of a header, over all its lines.
pub(crate) fn names(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// `/emojify.Cache/Get` is service `emojify.Cache`, method `Get`.
pub(crate) fn grpc_names(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').rsplit_once('/').unwrap_or((path, ""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::Request;

    use super::*;

    fn of(method: &str, headers: &[(&str, &str)]) -> Call {
        let request =
            headers.iter().fold(Request::builder().method(method), |r, (name, value)| r.header(*name, *value));
        call(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn tells_grpc_and_websockets_from_the_rest() {
        assert_eq!(of("POST", &[("content-type", "application/grpc")]), Call::Grpc);
        assert_eq!(of("POST", &[("content-type", "application/grpc+proto")]), Call::Grpc);
        assert_eq!(of("POST", &[("content-type", "application/grpc-web")]), Call::Plain);
        assert_eq!(of("GET", &[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]), Call::WebSocket);
        assert_eq!(of("GET", &[("connection", "Upgrade"), ("upgrade", "h2c")]), Call::Plain);
        assert_eq!(of("POST", &[("connection", "Upgrade"), ("upgrade", "websocket")]), Call::Plain);
        assert_eq!(grpc_names("/emojify.Cache/Get"), ("emojify.Cache", "Get"));
        assert_eq!(grpc_names("odd"), ("odd", ""));
    }
}
