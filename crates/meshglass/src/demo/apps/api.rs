//! `emojify-api`: `POST /` with a picture's address gives the key of the emojified one, `GET /cache/<key>` the picture.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};

use super::{Body, Call, text};
use crate::demo::call::{Failure, GrpcUpstream, Reply, Upstream, WHY};
use crate::demo::grpc::Item;

/// gRPC's NOT_FOUND.
const NOT_FOUND: u8 = 5;

pub async fn answer(facebox: &Upstream, cache: &GrpcUpstream, call: &Call) -> Response<Body> {
    let result = match (&call.method, call.path.as_str()) {
        (&Method::POST, "/") => emojify(facebox, cache, call).await,
        (&Method::GET, "/health") => Ok(text(StatusCode::OK, "OK\n")),
        (&Method::GET, path) => match path.strip_prefix("/cache/") {
            Some(key) => picture(cache, call, key).await,
            None => Ok(text(StatusCode::NOT_FOUND, "GET /cache/<key>\n")),
        },
        _ => Ok(text(StatusCode::METHOD_NOT_ALLOWED, "POST / or GET /cache/<key>\n")),
    };
    result.unwrap_or_else(|upset| {
        let mut answer = text(StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", upset.text));
        if let Some(why) = upset.why {
            answer.headers_mut().insert(WHY, why);
        }
        answer
    })
}

/// Why there is no picture, and what the mesh said when it was the mesh that refused.
struct Upset {
    text: String,
    why: Option<HeaderValue>,
}

impl From<Failure> for Upset {
    fn from(failure: Failure) -> Self {
        Self { text: failure.to_string(), why: None }
    }
}

fn upset(what: &str, reply: &Reply) -> Upset {
    Upset { text: format!("{what}: gRPC status {} {}", reply.status, reply.message), why: reply.why.clone() }
}

async fn emojify(facebox: &Upstream, cache: &GrpcUpstream, call: &Call) -> Result<Response<Body>, Upset> {
    let mut hasher = DefaultHasher::new();
    call.body.hash(&mut hasher);
    let key = format!("{:016x}", hasher.finish());
    let known = cache.call("Exists", &call.trace, &Item { id: key.clone(), data: Bytes::new() }).await?;
    match known.status {
        0 => return Ok(text(StatusCode::OK, key)),
        NOT_FOUND => {}
        _ => return Err(upset("emojify-cache Exists", &known)),
    }
    let faces = facebox.send(Method::POST, "/facebox/check", &call.trace, call.body.clone()).await?;
    if !faces.status().is_success() {
        let text = format!("emojify-facebox: {}: {}", faces.status(), String::from_utf8_lossy(faces.body()).trim());
        return Err(Upset { text, why: faces.headers().get(WHY).cloned() });
    }
    let put = cache.call("Put", &call.trace, &Item { id: key.clone(), data: faces.into_body() }).await?;
    match put.status {
        0 => Ok(text(StatusCode::OK, key)),
        _ => Err(upset("emojify-cache Put", &put)),
    }
}

async fn picture(cache: &GrpcUpstream, call: &Call, key: &str) -> Result<Response<Body>, Upset> {
    let got = cache.call("Get", &call.trace, &Item { id: key.to_owned(), data: Bytes::new() }).await?;
    match got.status {
        0 => Ok(text(StatusCode::OK, got.item.data)),
        NOT_FOUND => Ok(text(StatusCode::NOT_FOUND, "no such picture\n")),
        _ => Err(upset("emojify-cache Get", &got)),
    }
}
