//! `emojify-ingress`: `/api/…` goes to the api, everything else to the website.

use http::{Response, StatusCode};

use super::{Body, Call, text};
use crate::demo::call::{Upstream, WHY};

/// Answer headers that are the upstream's to say; the second is the mesh's reason for a refusal.
const PASSED: [&str; 3] = ["content-type", WHY, "x-request-id"];

pub async fn answer(website: &Upstream, api: &Upstream, call: &Call) -> Response<Body> {
    let (upstream, path) = match call.path.strip_prefix("/api") {
        Some("") => (api, "/"),
        Some(rest) if rest.starts_with('/') => (api, rest),
        _ => (website, call.path.as_str()),
    };
    match upstream.send(call.method.clone(), path, &call.trace, call.body.clone()).await {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let mut passed = text(parts.status, body);
            for name in PASSED {
                if let Some(value) = parts.headers.get(name) {
                    passed.headers_mut().insert(name, value.clone());
                }
            }
            passed
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("the upstream did not answer: {error}\n")),
    }
}
