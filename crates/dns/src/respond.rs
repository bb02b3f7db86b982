//! From the bytes of a query to the bytes of its answer, for one worker.

use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::{self, Context, Known, Outcome};
use crate::cache::Cache;
use crate::config::Config;
use crate::name::Name;
use crate::render::{self, Renderer};
use crate::request;
use crate::view::View;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// A message that has come in.
pub struct Received<'a> {
    pub message: &'a [u8],
    pub transport: Transport,
    pub source: Option<IpAddr>,
    /// Seconds since 1970.
    pub now: u32,
    /// What recursors have said for this query.
    pub known: &'a Known,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send what was written.
    Answer,
    /// Send nothing.
    Silence,
    /// Send the message to the recursors, and what they say back.
    Forward,
    /// Ask the recursors for the addresses of these names, then respond again. An answer is written already, but it
    /// lacks them.
    Resolve(Vec<Name>),
}

/// Holds the memory and the kept answers of one worker.
pub struct Responder {
    config: Arc<Config>,
    cache: Cache,
    renderer: Renderer,
    key: Vec<u8>,
}

impl Responder {
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, cache: Cache::default(), renderer: Renderer::new(), key: Vec::new() }
    }

    /// Starts anew with another configuration.
    pub fn follow(&mut self, config: &Arc<Config>) {
        if !Arc::ptr_eq(&self.config, config) {
            *self = Self::new(Arc::clone(config));
        }
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Writes the answer into `out`.
    pub fn respond(&mut self, received: &Received<'_>, view: &dyn View, out: &mut Vec<u8>) -> Verdict {
        let request = match request::parse(received.message) {
            Ok(request) => request,
            Err(refusal) if render::refuse(out, received.message, refusal) => return Verdict::Answer,
            Err(_) => return Verdict::Silence,
        };
        self.key.clear();
        // No length of a label is a letter, so the whole name can be made lower case at once.
        self.key.extend(request.name.iter().map(u8::to_ascii_lowercase));
        let name_length = self.key.len();
        self.key.extend_from_slice(&request.kind.to_be_bytes());
        let plain = request.class == request::CLASS_IN && request.edns.as_ref().is_none_or(|edns| edns.version == 0);
        if let Some(body) = self.cache.get(&self.key, view).filter(|_| plain) {
            self.renderer.render(out, &request, &body, &self.config, received.transport);
            return Verdict::Answer;
        }
        let subnet = request.edns.as_ref().and_then(|edns| edns.subnet.as_ref()).and_then(request::Subnet::first);
        let context = Context {
            config: &self.config,
            view,
            known: received.known,
            now: received.now,
            source: subnet.or(received.source),
        };
        let Outcome::Body(body, subject) = answer::answer(&context, &request, &self.key[..name_length]) else {
            return Verdict::Forward;
        };
        let mut body = Arc::new(body);
        self.renderer.render(out, &request, &body, &self.config, received.transport);
        if let Some(subject) = subject.filter(|_| plain) {
            self.cache.put(&self.key, subject, &body, view);
        }
        match Arc::get_mut(&mut body).map(|body| std::mem::take(&mut body.wanted)) {
            Some(wanted) if !wanted.is_empty() => Verdict::Resolve(wanted),
            _ => Verdict::Answer,
        }
    }

    /// Writes that recursion has failed.
    pub fn fail(&mut self, received: &Received<'_>, out: &mut Vec<u8>) {
        if let Ok(request) = request::parse(received.message) {
            let body = crate::reply::Body::new(request::Rcode::ServFail);
            self.renderer.render(out, &request, &body, &self.config, received.transport);
        }
    }
}
