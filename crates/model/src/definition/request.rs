//! The bodies of `PUT /v1/agent/service/register` and `/check/register`, and the answers to bad ones.

use super::{check, service};
use crate::check::CheckDefinition;
use crate::decode::{DecodeError, Decoder, Problem, ProblemKind, Style};
use crate::hcl::{self, Node};
use crate::service::ServiceDefinition;

/// The status and the text of the answer. Clients match on the texts, which are Consul's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct RequestError {
    pub status: u16,
    pub text: String,
}

impl RequestError {
    fn bad(text: impl Into<String>) -> Self {
        Self { status: 400, text: text.into() }
    }
}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        let problems = match error {
            DecodeError::Syntax(error) => return Self::bad(format!("Request decode failed: {}", error.reason())),
            DecodeError::Problems(problems) => problems,
        };
        // Consul decodes everything before it judges anything.
        let judged = |p: &&Problem| matches!(p.kind, ProblemKind::Invalid(_));
        match problems.iter().find(|p| !judged(p)).or(problems.first()) {
            Some(problem) => of_problem(problem),
            None => Self::bad("Request decode failed"),
        }
    }
}

fn of_problem(problem: &Problem) -> RequestError {
    let failed = |text: String| RequestError::bad(format!("Request decode failed: {text}"));
    match &problem.kind {
        ProblemKind::UnknownKey { key } => failed(format!("json: unknown field {key:?}")),
        ProblemKind::WrongType { expected, got } if problem.path.is_empty() => {
            failed(format!("json: expected {expected}, got {got}"))
        }
        ProblemKind::WrongType { expected, got } => {
            failed(format!("json: field {}: expected {expected}, got {got}", problem.path))
        }
        ProblemKind::BadDuration(text) if text.ends_with(|c: char| c.is_ascii_digit()) && !text.starts_with('-') => {
            failed(format!("time: missing unit in duration {text:?}"))
        }
        ProblemKind::BadDuration(text) => failed(format!("time: invalid duration {text:?}")),
        ProblemKind::Invalid(text) => RequestError::bad(text.clone()),
    }
}

fn decode<T>(body: &[u8], read: impl FnOnce(&mut Decoder, &Node) -> T) -> Result<T, RequestError> {
    let node = hcl::parse_json_body(body).map_err(DecodeError::from)?;
    let mut decoder = Decoder::new(Style::Request);
    let value = read(&mut decoder, &node);
    Ok(decoder.finish(value)?.0)
}

pub fn decode_service_json(body: &[u8]) -> Result<ServiceDefinition, RequestError> {
    decode(body, |decoder, node| service::service(decoder, node, ""))
}

pub fn decode_check_json(body: &[u8]) -> Result<CheckDefinition, RequestError> {
    let check = decode(body, |decoder, node| check::check(decoder, node, "")).map_err(|mut error| {
        // The one sentence in which the two requests differ.
        if error.text.starts_with("Status for checks must") {
            "Bad check status".clone_into(&mut error.text);
        }
        error
    })?;
    check.filter(|check| !check.name.is_empty()).ok_or_else(|| RequestError::bad("Missing check name"))
}
