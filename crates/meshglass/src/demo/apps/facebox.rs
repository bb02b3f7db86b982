//! `emojify-facebox`: finds the faces of a picture (it makes them up, from the picture's address).

use http::{Method, Response, StatusCode};

use super::{Body, Call, text};

pub fn answer(call: &Call) -> Response<Body> {
    match (&call.method, call.path.as_str()) {
        (&Method::POST, "/facebox/check") => {
            let faces = 1 + call.body.len() % 4;
            text(StatusCode::OK, format!("{{\"success\":true,\"facesCount\":{faces}}}\n"))
        }
        (&Method::GET, "/health") => text(StatusCode::OK, "OK\n"),
        _ => text(StatusCode::NOT_FOUND, "POST /facebox/check\n"),
    }
}
