//! What is taken out of, and put into, heads that pass.

use http::header::{self, HeaderName};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::answer::{Failure, Kind};
use crate::detect::{Call, names};

/// Who called: `instance;node;zone;version`. A label between sidecars; authority is the certificate.
pub(crate) const SOURCE: HeaderName = HeaderName::from_static("x-meshglass-source");
/// Why the mesh itself answered.
pub(crate) const WHY: HeaderName = HeaderName::from_static("x-meshglass-why");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What an answer that an application only passed on is marked with, so that its caller's mesh does not count it as
/// its own.
pub(crate) const PASSED_ON: &str = "passed-on; ";

/// RFC 9110 §7.6.1: these belong to one connection. `Trailer` stays: trailers are passed on.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Named by a `Connection` header, these would be taken from the application to its harm; they are never hop-by-hop.
const NEVER_BY_CONNECTION: [HeaderName; 5] =
    [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::COOKIE, header::TE];

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = names(headers, header::CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| !NEVER_BY_CONNECTION.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Makes a caller's head ready for the next hop. The target's form (`Host` or `:authority`) is set later by
/// [`for_http1`] or [`for_http2`], when it is known which the next hop speaks.
pub(crate) fn request(parts: &mut Parts, call: Call) -> Result<Authority, Failure> {
    let authority = authority(parts)?;
    // gRPC needs its `TE: trailers` at the far end; no other coding is passed on (RFC 9110 §10.1.4).
    let trailers = names(&parts.headers, header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    if parts.version != Version::HTTP_2 {
        strip(&mut parts.headers);
    }
    parts.headers.remove(header::TE);
    if trailers {
        parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // The caller's server side answers `100-continue` itself, when the body is first asked for.
    parts.headers.remove(header::EXPECT);
    if call == Call::WebSocket {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if !parts.headers.contains_key(REQUEST_ID) {
        parts.headers.insert(REQUEST_ID, request_id());
    }
    // The upgrade handle and the like belong to the caller's connection.
    parts.extensions.clear();
    Ok(authority)
}

/// RFC 9112 §3.2: the request target's own authority wins, else exactly one `Host`.
fn authority(parts: &Parts) -> Result<Authority, Failure> {
    let bad = |why: &str| Failure::new(Kind::Malformed, why);
    if parts.method == Method::CONNECT {
        return Err(bad("CONNECT is not something a sidecar does"));
    }
    let mut hosts = parts.headers.get_all(header::HOST).into_iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("more than one Host header"));
    }
    if let Some(authority) = parts.uri.authority() {
        return Ok(authority.clone());
    }
    match host {
        Some(host) if !host.is_empty() => {
            Authority::try_from(host.as_bytes()).map_err(|_| bad("the Host header is not valid"))
        }
        // HTTP/1.1 allows an empty Host and 1.0 none; the next hop must get one.
        Some(_) => Ok(Authority::from_static("localhost")),
        None if parts.version < Version::HTTP_11 => Ok(Authority::from_static("localhost")),
        None => Err(bad("no Host header")),
    }
}

pub(crate) fn for_http1(parts: &mut Parts, authority: &Authority) {
    let path = path(&parts.uri);
    parts.uri = Uri::from(path);
    parts.version = Version::HTTP_11;
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        parts.headers.insert(header::HOST, host);
    }
}

pub(crate) fn for_http2(parts: &mut Parts, authority: &Authority) {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority.clone());
    uri.path_and_query = Some(path(&parts.uri));
    if let Ok(uri) = Uri::from_parts(uri) {
        parts.uri = uri;
    }
    parts.version = Version::HTTP_2;
    parts.headers.remove(header::HOST);
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// Makes an upstream's head ready for the caller.
pub(crate) fn response(parts: &mut http::response::Parts) {
    let websocket = parts.status == http::StatusCode::SWITCHING_PROTOCOLS;
    if parts.version != Version::HTTP_2 {
        strip(&mut parts.headers);
    }
    if websocket {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
}

/// A header as a log shows it.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// A random (version 4) UUID, as Envoy makes one.
fn request_id() -> HeaderValue {
    let random =
        fastrand::u128(..) & !(0xf000_u128 << 64) & !(0xc000_u128 << 48) | 0x4000_u128 << 64 | 0x8000_u128 << 48;
    let text = format!("{random:032x}");
    let id = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-");
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::Request;

    use super::*;

    fn prepared(request: http::request::Builder, call: Call) -> Result<(Parts, Authority), Failure> {
        let mut parts = request.body(()).unwrap().into_parts().0;
        let authority = super::request(&mut parts, call)?;
        Ok((parts, authority))
    }

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        let request = Request::get("/x")
            .header("host", "web")
            .header("connection", "close, x-secret, host")
            .header("x-secret", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers, gzip")
            .header("upgrade", "h2c")
            .header("http2-settings", "AAMAAABk")
            .header("expect", "100-continue")
            .header("x-kept", "1");
        let (parts, authority) = prepared(request, Call::Plain).unwrap();
        let mut left: Vec<&str> = parts.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["host", "te", "x-kept", "x-request-id"]);
        assert_eq!(parts.headers["te"], "trailers");
        assert_eq!(authority, "web");
    }

    #[test]
    fn a_request_has_one_authority() {
        assert!(prepared(Request::get("/").header("host", "a").header("host", "b"), Call::Plain).is_err());
        assert!(prepared(Request::get("/"), Call::Plain).is_err());
        assert!(prepared(Request::get("/").header("host", "a b"), Call::Plain).is_err());
        let (mut parts, authority) =
            prepared(Request::get("http://real/p?q").header("host", "fake"), Call::Plain).unwrap();
        for_http1(&mut parts, &authority);
        assert_eq!(
            (parts.uri.to_string().as_str(), &parts.headers["host"]),
            ("/p?q", &HeaderValue::from_static("real"))
        );
        for_http2(&mut parts, &authority);
        assert_eq!((parts.uri.to_string().as_str(), parts.headers.get("host")), ("http://real/p?q", None));
    }

    #[test]
    fn request_ids_are_version_4_uuids() {
        let id = request_id();
        let text = id.to_str().unwrap();
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        assert!(["8", "9", "a", "b"].contains(&&text[19..20]), "{text}");
        assert_ne!(id, request_id());
    }
}
