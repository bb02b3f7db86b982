//! `emojify-ingress`: `/api/…` goes to the api, everything else to the website.

use http::{Response, StatusCode};

use super::{Body, Call, text};
use crate::demo::call::Upstream;

pub async fn answer(website: &Upstream, api: &Upstream, call: &Call) -> Response<Body> {
    let (upstream, path) = match call.path.strip_prefix("/api") {
        Some("") => (api, "/"),
        Some(rest) if rest.starts_with('/') => (api, rest),
        _ => (website, call.path.as_str()),
    };
    match upstream.send(call.method.clone(), path, &call.trace, call.body.clone()).await {
        Ok(answer) => text(answer.status(), answer.into_body()),
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("the upstream did not answer: {error}\n")),
    }
}
