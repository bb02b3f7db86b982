//! `emojify-website`: the page and its assets.

use http::{Response, StatusCode};

use super::{Body, Call, text};

const PAGE: &str = "<!doctype html><title>Emojify</title><script src=/assets/app.js></script><h1>Emojify</h1>\n";

pub fn answer(call: &Call) -> Response<Body> {
    match call.path.as_str() {
        "/" => text(StatusCode::OK, PAGE),
        "/assets/app.js" => text(StatusCode::OK, "fetch('/api/', { method: 'POST' })\n"),
        "/health" => text(StatusCode::OK, "OK\n"),
        _ => text(StatusCode::NOT_FOUND, "no such page\n"),
    }
}
