//! What can go wrong with one request, and the answer the mesh then makes itself. Every such answer says why.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use telemetry::{Fault, Flag};

use crate::body::ResponseBody;
use crate::detect::Call;
use crate::headers::WHY;
use crate::record::Finisher;

/// The ways in which a request fails without an answer from the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By an intention, or for want of one.
    Denied,
    NoRoute,
    NoHealthy,
    ConnectFailed,
    ConnectTimeout,
    /// The other side is not who it must be.
    Identity,
    /// The connection ended before the answer did.
    Closed,
    /// The connection was already gone when the request was to be written: not a byte of it was sent.
    ClosedUnused,
    Timeout,
    Overflow,
    Malformed,
}

/// Why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {why}", kind.slug())]
pub(crate) struct Failure {
    pub kind: Kind,
    /// One line for people: which intention, check, hop or endpoint.
    pub why: String,
}

impl Kind {
    /// The machine-readable first word of `x-meshglass-why`.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Denied => "intention",
            Self::NoRoute => "no-route",
            Self::NoHealthy => "no-healthy-instance",
            Self::ConnectFailed => "connect-failure",
            Self::ConnectTimeout => "connect-timeout",
            Self::Identity => "identity",
            Self::Closed | Self::ClosedUnused => "upstream-closed",
            Self::Timeout => "timeout",
            Self::Overflow => "limit",
            Self::Malformed => "malformed-request",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Malformed => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// gRPC's own codes: 7 PERMISSION_DENIED, 4 DEADLINE_EXCEEDED, 12 UNIMPLEMENTED, 13 INTERNAL, 14 UNAVAILABLE.
    pub fn grpc_status(self) -> u8 {
        match self {
            Self::Denied => 7,
            Self::Timeout => 4,
            Self::NoRoute => 12,
            Self::Malformed => 13,
            _ => 14,
        }
    }

    pub fn flag(self) -> Flag {
        match self {
            Self::Denied => Flag::RBAC,
            Self::NoRoute => Flag::NR,
            Self::NoHealthy => Flag::UH,
            Self::ConnectFailed | Self::ConnectTimeout | Self::Identity => Flag::UF,
            Self::Closed | Self::ClosedUnused => Flag::UC,
            Self::Timeout => Flag::UT,
            Self::Overflow => Flag::UO,
            Self::Malformed => Flag::DPE,
        }
    }

    pub fn fault(self) -> Fault {
        match self {
            Self::Denied | Self::Malformed => Fault::Downstream,
            Self::NoRoute | Self::Overflow => Fault::Mesh,
            _ => Fault::Upstream,
        }
    }

    /// Nothing of the request was sent, so another attempt cannot do it twice.
    pub fn retry_safe(self) -> bool {
        matches!(self, Self::ConnectFailed | Self::ConnectTimeout | Self::Identity | Self::ClosedUnused)
    }

    /// Envoy's words for the access log's `response_code_details`.
    pub fn details(self) -> &'static str {
        match self {
            Self::Denied => "rbac_access_denied_matched_policy[none]",
            Self::NoRoute => "route_not_found",
            Self::NoHealthy => "no_healthy_upstream",
            Self::ConnectFailed | Self::Identity => "upstream_reset_before_response_started{connection_failure}",
            Self::ConnectTimeout => "upstream_reset_before_response_started{connection_timeout}",
            Self::Closed | Self::ClosedUnused => "upstream_reset_before_response_started{connection_termination}",
            Self::Timeout => "response_timeout",
            Self::Overflow => "upstream_reset_before_response_started{overflow}",
            Self::Malformed => "http.invalid_request",
        }
    }
}

impl Failure {
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    /// `intention; "web" may not call "db": DENY …`, safe to stand in a header.
    pub fn header(&self) -> HeaderValue {
        let clean = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' };
        let text: String = format!("{}; {}", self.kind.slug(), self.why).chars().map(clean).collect();
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(self.kind.slug()))
    }
}

/// Answers in place of the application, in the form its caller understands.
pub(crate) fn refuse(failure: &Failure, call: Call, finisher: Finisher) -> Response<ResponseBody> {
    let kind = failure.kind;
    finisher.exchange().fail(failure);
    let (status, content_type) = match call {
        Call::Grpc => (StatusCode::OK, "application/grpc"),
        _ => (kind.status(), "text/plain; charset=utf-8"),
    };
    finisher.exchange().answered(status.as_u16());
    let body = match call {
        Call::Grpc => Bytes::new(),
        _ => Bytes::from(format!("meshglass: {failure}\n")),
    };
    let mut response = Response::new(ResponseBody::text(body, finisher));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(WHY, failure.header());
    if call == Call::Grpc {
        headers.insert("grpc-status", HeaderValue::from(u16::from(kind.grpc_status())));
        headers.insert("grpc-message", grpc_message(failure));
    }
    response
}

/// Trailers that end a gRPC stream which had already begun.
pub(crate) fn trailers(failure: &Failure) -> http::HeaderMap {
    let mut trailers = http::HeaderMap::with_capacity(2);
    trailers.insert("grpc-status", HeaderValue::from(u16::from(failure.kind.grpc_status())));
    trailers.insert("grpc-message", grpc_message(failure));
    trailers
}

/// gRPC's percent-encoding: everything outside printable ASCII, and `%`.
fn grpc_message(failure: &Failure) -> HeaderValue {
    let text = format!("meshglass: {failure}");
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    HeaderValue::from_str(&out).unwrap_or_else(|_| HeaderValue::from_static("meshglass"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_with_any_character_is_a_valid_header() {
        let failure = Failure::new(Kind::Denied, "caf\u{e9} 100%\n");
        assert_eq!(failure.header(), "intention; caf? 100%?");
        assert_eq!(grpc_message(&failure), "meshglass: intention: caf%C3%A9 100%25%0A");
    }

    #[test]
    fn only_failures_before_the_first_byte_may_be_tried_again() {
        let safe = [Kind::ConnectFailed, Kind::ConnectTimeout, Kind::Identity, Kind::ClosedUnused];
        for kind in [Kind::Denied, Kind::NoRoute, Kind::NoHealthy, Kind::Closed, Kind::Timeout, Kind::Overflow] {
            assert!(!kind.retry_safe(), "{kind:?}");
        }
        assert!(safe.iter().all(|kind| kind.retry_safe()));
    }
}
