//! Bodies that pass: nothing is buffered, everything is counted, and the end is noticed however it comes.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use telemetry::Flag;
use tokio::time::{Instant, Sleep};

use crate::accept::Busy;
use crate::answer::{Failure, Kind, trailers};
use crate::connect::Lease;
use crate::limits::KEPT_REQUEST_BYTES;
use crate::record::{Exchange, Finisher};
use crate::revoke::Watch;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A caller's body on its way to the upstream.
pub(crate) struct RequestBody {
    source: RequestSource,
    exchange: Rc<Exchange>,
}

enum RequestSource {
    Caller {
        body: Incoming,
        kept: Option<Rc<Kept>>,
    },
    /// What was kept, sent once more.
    Again {
        chunks: std::vec::IntoIter<Bytes>,
        left: u64,
    },
}

/// A request body that is kept while it passes, for another attempt. One that is too large, or ends in trailers, is let
/// go: there will be no other attempt.
#[derive(Default)]
pub(crate) struct Kept {
    chunks: RefCell<Vec<Bytes>>,
    size: Cell<usize>,
    whole: Cell<bool>,
    lost: Cell<bool>,
}

impl Kept {
    fn keep(&self, chunk: &Bytes) {
        if self.lost.get() {
            return;
        }
        self.size.set(self.size.get() + chunk.len());
        if self.size.get() > KEPT_REQUEST_BYTES {
            self.lose();
        } else {
            self.chunks.borrow_mut().push(chunk.clone());
        }
    }

    fn lose(&self) {
        self.lost.set(true);
        self.chunks.borrow_mut().clear();
    }

    /// True when all of the body is here.
    pub fn is_whole(&self) -> bool {
        self.whole.get() && !self.lost.get()
    }
}

impl RequestBody {
    pub fn new(body: Incoming, exchange: Rc<Exchange>, kept: Option<Rc<Kept>>) -> Self {
        if body.is_end_stream() {
            exchange.request_was_read();
            kept.iter().for_each(|kept| kept.whole.set(true));
        }
        Self { source: RequestSource::Caller { body, kept }, exchange }
    }

    pub fn again(kept: &Kept, exchange: Rc<Exchange>) -> Self {
        let chunks = kept.chunks.borrow().clone();
        Self { source: RequestSource::Again { chunks: chunks.into_iter(), left: kept.size.get() as u64 }, exchange }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let (body, kept) = match &mut this.source {
            RequestSource::Caller { body, kept } => (body, kept),
            RequestSource::Again { chunks, left } => {
                let chunk = chunks.next();
                *left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                return Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))));
            }
        };
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
            if this.exchange.is_aborted(cx) {
                return Poll::Ready(Some(Err("the exchange is over".into())));
            }
            return Poll::Pending;
        };
        let mut ended = false;
        match &frame {
            Some(Ok(frame)) => {
                this.exchange.received(frame.data_ref().map_or(0, Bytes::len));
                ended = frame.is_trailers() || body.is_end_stream();
                if let Some(kept) = kept {
                    match frame.data_ref() {
                        Some(chunk) => kept.keep(chunk),
                        None => kept.lose(),
                    }
                }
            }
            // The caller went away while sending.
            Some(Err(_)) => this.exchange.flag(Flag::DC),
            None => ended = true,
        }
        if ended {
            this.exchange.request_was_read();
            kept.iter().for_each(|kept| kept.whole.set(true));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            RequestSource::Caller { body, .. } => body.is_end_stream(),
            RequestSource::Again { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            RequestSource::Caller { body, .. } => body.size_hint(),
            RequestSource::Again { left, .. } => SizeHint::with_exact(*left),
        }
    }
}

enum Source {
    Text(Option<Bytes>),
    Upstream { body: Incoming, lease: Option<Lease> },
    Ended,
}

/// An answer's body on its way to the caller. Dropping it finishes the exchange.
pub(crate) struct ResponseBody {
    source: Source,
    /// None when somebody else finishes the exchange (an upgraded connection).
    finisher: Option<Finisher>,
    deadline: Option<Pin<Box<Sleep>>>,
    revoked: Option<Watch>,
    /// A connection on which an answer is still going out is not idle.
    _busy: Option<Busy>,
}

impl ResponseBody {
    pub fn text(text: Bytes, finisher: Finisher) -> Self {
        let text = (!text.is_empty()).then_some(text);
        Self { source: Source::Text(text), finisher: Some(finisher), deadline: None, revoked: None, _busy: None }
    }

    pub fn empty() -> Self {
        Self { source: Source::Ended, finisher: None, deadline: None, revoked: None, _busy: None }
    }

    /// The deadline is the whole exchange's; the watch ends the stream when its caller is no longer allowed.
    pub fn upstream(
        body: Incoming,
        lease: Lease,
        finisher: Finisher,
        (deadline, revoked, busy): (Option<Instant>, Option<Watch>, Busy),
    ) -> Self {
        let ended = body.is_end_stream();
        let deadline = deadline.filter(|_| !ended).map(|at| Box::pin(tokio::time::sleep_until(at)));
        let source = Source::Upstream { body, lease: Some(lease) };
        Self { source, finisher: Some(finisher), deadline, revoked: revoked.filter(|_| !ended), _busy: Some(busy) }
    }

    fn exchange(&self) -> Option<&Rc<Exchange>> {
        self.finisher.as_ref().map(Finisher::exchange)
    }

    /// Whether the mesh must end this stream now.
    fn interruption(&mut self, cx: &mut Context<'_>) -> Option<Failure> {
        if let Some(watch) = &mut self.revoked
            && let Poll::Ready(failure) = watch.poll(cx)
        {
            return Some((*failure).clone());
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Some(Failure::new(Kind::Timeout, "the answer did not end within the route's timeout"));
        }
        None
    }

    /// Ends a stream that had begun: a gRPC caller is told in trailers, others see the stream break.
    fn break_off(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.source = Source::Ended;
        let grpc = self.exchange().is_some_and(|exchange| {
            exchange.fail(&failure);
            exchange.is_grpc()
        });
        Poll::Ready(Some(if grpc { Ok(Frame::trailers(trailers(&failure))) } else { Err(failure.into()) }))
    }

    /// The upstream's body ended well.
    fn end(&mut self) {
        if let Source::Upstream { lease: Some(lease), .. } = std::mem::replace(&mut self.source, Source::Ended) {
            lease.finished(self.exchange().is_none_or(|exchange| exchange.request_is_read()));
        }
        if let Some(exchange) = self.exchange() {
            exchange.completed();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Source::Text(text) = &mut this.source {
            let text = text.take();
            if let (Some(text), Some(exchange)) = (&text, this.exchange()) {
                exchange.sent(text.len());
            }
            return Poll::Ready(text.map(|text| Ok(Frame::data(text))));
        }
        let Source::Upstream { body, .. } = &mut this.source else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => match this.interruption(cx) {
                Some(failure) => this.break_off(failure),
                None => Poll::Pending,
            },
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(exchange) = this.exchange() {
                    exchange.sent(frame.data_ref().map_or(0, Bytes::len));
                    frame.trailers_ref().inspect(|trailers| exchange.grpc_status(trailers));
                }
                if frame.is_trailers() || this.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let why = format!("the upstream broke off its answer: {}", crate::connect::chain(&error));
                this.break_off(Failure::new(Kind::Closed, why))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Text(text) => text.is_none(),
            Source::Upstream { body, .. } => body.is_end_stream(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Source::Upstream { body, .. } => body.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        match &self.source {
            // A head without a body (HEAD, 204, 304, gRPC trailers-only) is never asked for one.
            Source::Upstream { body, .. } if body.is_end_stream() => self.end(),
            // The text may not be asked for either: the answer to a HEAD.
            Source::Text(_) => {
                if let Some(exchange) = self.exchange() {
                    exchange.completed();
                }
            }
            _ => {}
        }
    }
}
