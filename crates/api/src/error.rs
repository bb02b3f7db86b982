//! Errors as Consul words them: plain text, three ways of making one.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// Why a request is refused. `Display` is the body of the answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400 with a bare text.
    #[error("{0}")]
    Invalid(String),
    /// 400 with the prefix some routes use.
    #[error("Bad request: {0}")]
    BadRequest(String),
    /// 400, the body is not the JSON the route wants.
    #[error("Request decode failed: {0}")]
    Decode(String),
    /// 404 with a text.
    #[error("{0}")]
    NotFound(String),
    /// 500: what a server refuses. Clients match on the texts, so a "better" status would break them.
    #[error("{0}")]
    Refused(String),
    /// 500 of a read that carries the headers of one.
    #[error("{0}")]
    RefusedRead(String),
    /// A read answers it with the headers of an empty read.
    #[error("No path to datacenter")]
    NoPath { read: bool },
    /// 403: the token does not allow it.
    #[error("Permission denied")]
    PermissionDenied,
    /// 403, and which right is missing.
    #[error("Permission denied: Missing {0}")]
    Missing(String),
    /// 403: a token, policy or role is not known.
    #[error("ACL not found")]
    AclNotFound,
    /// 401: there is no access control here.
    #[error("ACL support disabled")]
    AclDisabled,
    /// 413
    #[error("Request body({size} bytes) too large, max size: {limit} bytes")]
    TooLarge { size: u64, limit: usize },
    /// Any other status with a text.
    #[error("{text}")]
    Status { status: StatusCode, text: String },
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::BadRequest(_) | Self::Decode(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::PermissionDenied | Self::Missing(_) | Self::AclNotFound => StatusCode::FORBIDDEN,
            Self::AclDisabled => StatusCode::UNAUTHORIZED,
            Self::Store(store::Error::AclNotFound | store::Error::AclBootstrapped(_)) => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Status { status, .. } => *status,
            Self::Refused(_) | Self::RefusedRead(_) | Self::NoPath { .. } | Self::Store(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if matches!(self, Self::NoPath { read: true } | Self::RefusedRead(_)) {
            headers.insert("x-consul-index", HeaderValue::from_static("1"));
            headers.insert("x-consul-knownleader", HeaderValue::from_static("false"));
            headers.insert("x-consul-lastcontact", HeaderValue::from_static("0"));
        }
        response
    }
}
