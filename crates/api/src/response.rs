//! Answers: JSON bodies, Consul's headers, empty and text answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::answers::Encoded;
use crate::error::Error;
use crate::query_options::QueryOptions;

pub const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
pub const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
pub const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
pub const EFFECTIVE_CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
pub const CONTENT_HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");
pub const FILTERED: HeaderName = HeaderName::from_static("x-consul-results-filtered-by-acls");
pub const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// 200 with compact JSON; [`crate::App`] indents it where asked.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Response, Error> {
    let mut response = bytes(value)?.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

pub(crate) fn bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Refused(format!("encoding the answer: {error}")))
}

/// Marks a body that is compact JSON in Go's form already.
#[derive(Clone, Copy)]
pub(crate) struct GoForm;

/// 200 with JSON that was written in Go's form: nothing is left to escape.
pub(crate) fn go_json(body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(GoForm);
    response
}

/// What a write of a key answers.
pub(crate) fn go_bool(value: bool) -> Response {
    go_json(if value { "true" } else { "false" })
}

/// The same with index, leader and contact: config, intention and certificate reads.
pub fn indexed<T: Serialize + ?Sized>(index: u64, value: &T) -> Result<Response, Error> {
    Ok(with_index(json(value)?, index, true))
}

/// The same with the consistency too: catalog and health reads.
pub fn blocking<T: Serialize + ?Sized>(options: &QueryOptions, index: u64, value: &T) -> Result<Response, Error> {
    Ok(consistent(options, index, json(value)?))
}

pub(crate) fn consistent(options: &QueryOptions, index: u64, response: Response) -> Response {
    let mut response = with_index(response, index, true);
    let consistency = HeaderValue::from_static(options.consistency.as_str());
    response.headers_mut().insert(EFFECTIVE_CONSISTENCY, consistency);
    response
}

/// 200 with JSON that may be kept in other forms, too; [`crate::App`] chooses one.
pub(crate) fn encoded(body: Encoded) -> Response {
    let mut response = go_json(body.plain(false).clone());
    response.extensions_mut().insert(body);
    response
}

/// An index of 0 would make clients spin, so it is never sent.
pub fn with_index(mut response: Response, index: u64, known_leader: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(INDEX, index.max(1).into());
    headers.insert(KNOWN_LEADER, HeaderValue::from_static(if known_leader { "true" } else { "false" }));
    headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
    response
}

/// 200, no body, no content type: what agent writes answer.
pub fn empty() -> Response {
    StatusCode::OK.into_response()
}

/// Any status with a plain text.
pub fn text(status: StatusCode, text: String) -> Response {
    let mut response = (status, text).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
