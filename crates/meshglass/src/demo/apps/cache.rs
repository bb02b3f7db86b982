//! `emojify-cache`: gRPC `emojify.Cache/{Check,Put,Get,Exists}`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Full};

use super::{Body, Call};
use crate::demo::grpc::Item;

/// Pictures kept; the oldest key goes first.
const SHELF_LIMIT: usize = 10_000;
const NOT_FOUND: u8 = 5;
const INVALID_ARGUMENT: u8 = 3;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;

/// What the cache holds. Every instance of the demo's cache has the same shelf, as if they shared a disk.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<BTreeMap<String, Bytes>>>);

pub fn answer(shelf: &Shelf, call: &Call, fails: bool) -> Response<Body> {
    let result = match call.path.strip_prefix("/emojify.Cache/") {
        _ if fails => Err((INTERNAL, "a fault is switched on here")),
        Some(method) => match Item::parse(&call.body) {
            Some(item) => run(shelf, method, item),
            None => Err((INVALID_ARGUMENT, "not one message")),
        },
        None => Err((UNIMPLEMENTED, "no such service")),
    };
    match result {
        Ok(item) => reply(item.frame(), 0, ""),
        Err((status, message)) => reply(Bytes::new(), status, message),
    }
}

fn run(shelf: &Shelf, method: &str, item: Item) -> Result<Item, (u8, &'static str)> {
    let mut pictures = shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
    match method {
        "Check" => Ok(Item::default()),
        "Put" => {
            if pictures.len() >= SHELF_LIMIT {
                pictures.pop_first();
            }
            pictures.insert(item.id.clone(), item.data);
            Ok(Item { id: item.id, data: Bytes::new() })
        }
        "Get" => match pictures.get(&item.id) {
            Some(data) => Ok(Item { id: item.id, data: data.clone() }),
            None => Err((NOT_FOUND, "no such picture")),
        },
        "Exists" if pictures.contains_key(&item.id) => Ok(Item { id: item.id, data: Bytes::new() }),
        "Exists" => Err((NOT_FOUND, "no such picture")),
        _ => Err((UNIMPLEMENTED, "no such method")),
    }
}

fn reply(message: Bytes, status: u8, text: &'static str) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    if !text.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_static(text));
    }
    let body = Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
