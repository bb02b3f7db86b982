//! `emojify-cache`: gRPC `emojify.Cache/{Check,Put,Get,Exists}`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Full};

use super::{Body, Call};
use crate::demo::grpc::Item;

/// The health check's method (grpc.health.v1), and its answer: field 1, SERVING.
pub const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 0x01];
/// Pictures kept; the oldest goes first.
const SHELF_LIMIT: usize = 10_000;
const NOT_FOUND: u8 = 5;
const INVALID_ARGUMENT: u8 = 3;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;

/// What the cache holds. Every instance of the demo's cache has the same shelf, as if they shared a disk.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<Pictures>>);

#[derive(Default)]
struct Pictures {
    by_key: HashMap<String, Bytes>,
    /// Keys, the oldest first.
    order: VecDeque<String>,
}

impl Pictures {
    fn put(&mut self, key: &str, data: Bytes) {
        if self.by_key.insert(key.to_owned(), data).is_none() {
            self.order.push_back(key.to_owned());
        }
        if self.order.len() > SHELF_LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }
}

pub fn answer(shelf: &Shelf, call: &Call, fails: bool) -> Response<Body> {
    if call.path == HEALTH {
        return reply(Bytes::from_static(SERVING), 0, "");
    }
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
            pictures.put(&item.id, item.data);
            Ok(Item { id: item.id, data: Bytes::new() })
        }
        "Get" => match pictures.by_key.get(&item.id) {
            Some(data) => Ok(Item { id: item.id, data: data.clone() }),
            None => Err((NOT_FOUND, "no such picture")),
        },
        "Exists" if pictures.by_key.contains_key(&item.id) => Ok(Item { id: item.id, data: Bytes::new() }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shelf_keeps_the_newest() {
        let mut pictures = Pictures::default();
        for n in 0..SHELF_LIMIT + 5 {
            pictures.put(&n.to_string(), Bytes::new());
            pictures.put(&n.to_string(), Bytes::from_static(b"again"));
        }
        assert_eq!(pictures.by_key.len(), SHELF_LIMIT);
        assert!(!pictures.by_key.contains_key("4") && pictures.by_key.contains_key("5"));
    }
}
