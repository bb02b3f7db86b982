//! As much of gRPC as etcd's API needs: one question and one answer, or one question and a stream of answers, over one
//! HTTP/2 connection that is made again when it is gone.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, Uri};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::EtcdError;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// A connection on which nothing comes back is given up; etcd takes a ping every five seconds.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(5);
/// A page of facts is the largest answer.
const ANSWER_LIMIT_BYTES: usize = 1 << 30;
/// Whether the message is compressed (1), and its length (4).
const PREFIX_BYTES: usize = 5;
/// gRPC's "unavailable": another endpoint may be better off.
const UNAVAILABLE: u32 = 14;

/// A message, after which the sending side ends or stays open.
pub(super) struct Question {
    message: Option<Bytes>,
    stays_open: bool,
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.message.take() {
            Some(message) => Poll::Ready(Some(Ok(Frame::data(message)))),
            None if self.stays_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && !self.stays_open
    }
}

type Sender = SendRequest<Question>;

/// The endpoints of a cluster, and a connection to one of them.
pub(super) struct Channel {
    endpoints: Vec<Uri>,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    sender: Option<Sender>,
    endpoint: usize,
}

impl Channel {
    pub(super) fn new(endpoints: &[String]) -> Result<Self, EtcdError> {
        let parse = |text: &String| {
            let uri: Option<Uri> = text.parse().ok();
            let good = uri.filter(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some());
            good.ok_or_else(|| EtcdError::Endpoint(text.clone()))
        };
        let endpoints: Vec<Uri> = endpoints.iter().map(parse).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(EtcdError::Endpoint(String::new()));
        }
        Ok(Self { endpoints, current: Mutex::default() })
    }

    /// Asks and waits for the one answer.
    pub(super) async fn call<A: Message + Default>(
        &self,
        call: &'static str,
        question: &impl Message,
    ) -> Result<A, EtcdError> {
        let answer = async {
            let mut answers = self.ask(call, question, false).await?;
            match answers.next().await? {
                Some(answer) => Ok(answer),
                None => Err(EtcdError::Answer { call, what: "it is empty".to_owned() }),
            }
        };
        let result = timeout(CALL_LIMIT, answer).await.unwrap_or(Err(EtcdError::Timeout { call, limit: CALL_LIMIT }));
        if matches!(&result, Err(EtcdError::Timeout { .. } | EtcdError::Refused { code: UNAVAILABLE, .. })) {
            self.give_up().await;
        }
        result
    }

    /// Asks and keeps the question open: answers come until one side ends it.
    pub(super) async fn stream<A>(&self, call: &'static str, question: &impl Message) -> Result<Answers<A>, EtcdError> {
        self.ask(call, question, true).await
    }

    async fn ask<A>(
        &self,
        call: &'static str,
        question: &impl Message,
        stays_open: bool,
    ) -> Result<Answers<A>, EtcdError> {
        let mut message = BytesMut::with_capacity(PREFIX_BYTES + question.encoded_len());
        message.put_u8(0);
        message.put_u32(u32::try_from(question.encoded_len()).unwrap_or(u32::MAX));
        message.put_slice(&question.encode_to_vec());
        let (mut sender, endpoint) = self.sender().await?;
        let request = Request::post(format!("{endpoint}etcdserverpb.{call}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Question { message: Some(message.freeze()), stays_open })
            .map_err(|error| EtcdError::Answer { call, what: error.to_string() })?;
        let response = sender.send_request(request).await.map_err(|source| EtcdError::Broken { call, source })?;
        judge(call, response.headers())?;
        Ok(Answers { call, response, buffer: BytesMut::new(), _answer: std::marker::PhantomData })
    }

    async fn sender(&self) -> Result<(Sender, Uri), EtcdError> {
        let mut current = self.current.lock().await;
        let number = current.endpoint % self.endpoints.len();
        if let Some(sender) = current.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), self.endpoints[number].clone()));
        }
        let mut last = None;
        for step in 0..self.endpoints.len() {
            let number = (number + step) % self.endpoints.len();
            let endpoint = &self.endpoints[number];
            match timeout(CONNECT_LIMIT, connect(endpoint)).await.unwrap_or_else(|late| Err(late.into())) {
                Ok(sender) => {
                    *current = Current { sender: Some(sender.clone()), endpoint: number };
                    return Ok((sender, endpoint.clone()));
                }
                Err(source) => last = Some(EtcdError::Unreachable { endpoint: endpoint.to_string(), source }),
            }
        }
        Err(last.unwrap_or_else(|| EtcdError::Endpoint(String::new())))
    }

    /// The next question goes to the next endpoint.
    async fn give_up(&self) {
        let mut current = self.current.lock().await;
        *current = Current { sender: None, endpoint: current.endpoint + 1 };
    }
}

async fn connect(endpoint: &Uri) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>> {
    let authority = endpoint.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .keep_alive_while_idle(true)
        .adaptive_window(true)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to etcd ended");
        }
    });
    Ok(sender)
}

/// A status stands in the trailers, or in the headers when there is no answer at all.
fn judge(call: &'static str, headers: &HeaderMap) -> Result<(), EtcdError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default().replace("%20", " ");
            Err(EtcdError::Refused { call, code: code.parse().unwrap_or(u32::MAX), message })
        }
    }
}

/// The answers to one question.
pub(super) struct Answers<A> {
    call: &'static str,
    response: Response<Incoming>,
    buffer: BytesMut,
    _answer: std::marker::PhantomData<fn() -> A>,
}

impl<A: Message + Default> Answers<A> {
    pub(super) async fn next(&mut self) -> Result<Option<A>, EtcdError> {
        let call = self.call;
        loop {
            if let Some(answer) = self.take()? {
                return Ok(Some(answer));
            }
            let Some(frame) = self.response.frame().await else { return Ok(None) };
            match frame.map_err(|source| EtcdError::Broken { call, source })?.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    frame.into_trailers().map_or(Ok(()), |trailers| judge(call, &trailers))?;
                }
            }
        }
    }

    fn take(&mut self) -> Result<Option<A>, EtcdError> {
        let call = self.call;
        let unreadable = |what: String| EtcdError::Answer { call, what };
        let Some(mut prefix) = self.buffer.get(..PREFIX_BYTES) else { return Ok(None) };
        if prefix.get_u8() != 0 {
            return Err(unreadable("it is compressed, which was not asked for".to_owned()));
        }
        let length = prefix.get_u32() as usize;
        if length > ANSWER_LIMIT_BYTES {
            return Err(unreadable(format!("it has {length} bytes")));
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        let message = self.buffer.split_to(length);
        A::decode(message).map(Some).map_err(|error| unreadable(error.to_string()))
    }
}
