//! `emojify-api`: `POST /` with a picture's address gives the key of the emojified one, `GET /cache/<key>` the picture.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use super::{Body, Call, text};
use crate::demo::call::{Failure, GrpcUpstream, Upstream};
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
    result.unwrap_or_else(|error| text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))
}

async fn emojify(facebox: &Upstream, cache: &GrpcUpstream, call: &Call) -> Result<Response<Body>, Failure> {
    let mut hasher = DefaultHasher::new();
    call.body.hash(&mut hasher);
    let key = format!("{:016x}", hasher.finish());
    let known = cache.call("Exists", &call.trace, &Item { id: key.clone(), data: Bytes::new() }).await?;
    match known.status {
        0 => return Ok(text(StatusCode::OK, key)),
        NOT_FOUND => {}
        status => return Err(format!("cache Exists: gRPC status {status}").into()),
    }
    let faces = facebox.send(Method::POST, "/facebox/check", &call.trace, call.body.clone()).await?;
    if !faces.status().is_success() {
        return Err(format!("facebox: status {}", faces.status()).into());
    }
    let put = cache.call("Put", &call.trace, &Item { id: key.clone(), data: faces.into_body() }).await?;
    match put.status {
        0 => Ok(text(StatusCode::OK, key)),
        status => Err(format!("cache Put: gRPC status {status}").into()),
    }
}

async fn picture(cache: &GrpcUpstream, call: &Call, key: &str) -> Result<Response<Body>, Failure> {
    let got = cache.call("Get", &call.trace, &Item { id: key.to_owned(), data: Bytes::new() }).await?;
    match got.status {
        0 => Ok(text(StatusCode::OK, got.item.data)),
        NOT_FOUND => Ok(text(StatusCode::NOT_FOUND, "no such picture\n")),
        status => Err(format!("cache Get: gRPC status {status}").into()),
    }
}
