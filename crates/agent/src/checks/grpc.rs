//! Does `grpc.health.v1.Health/Check` say SERVING? The two messages are small enough to be written by hand.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::Status;

use super::tls::Trust;

const METHOD: &str = "/grpc.health.v1.Health/Check";
const ANSWER_LIMIT_BYTES: usize = 16 << 10;
/// `HealthCheckResponse.ServingStatus`
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u64 = 1;

/// `target` is `host:port[/service]`.
pub(super) async fn probe(target: &str, tls: Option<&Trust<'_>>, limit: Duration) -> (Status, String) {
    let (address, service) = target.split_once('/').unwrap_or((target, ""));
    let verdict = match tokio::time::timeout(limit, ask(address, service, tls, limit)).await {
        Ok(Ok(SERVING)) => return (Status::Passing, format!("gRPC check {target}: success")),
        Ok(Ok(state)) => usize::try_from(state)
            .ok()
            .and_then(|i| STATES.get(i))
            .map_or_else(|| format!("unknown state {state}"), |name| (*name).to_owned()),
        Ok(Err(why)) => why,
        Err(_) => "deadline exceeded".to_owned(),
    };
    (Status::Critical, format!("gRPC check {target}: {verdict}"))
}

async fn ask(address: &str, service: &str, tls: Option<&Trust<'_>>, limit: Duration) -> Result<u64, String> {
    let stream = super::dial(address, limit).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let uri: Uri = format!("{scheme}://{address}{METHOD}").parse().map_err(|e| format!("{e}"))?;
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "Consul Health Check")
        .body(Full::new(encode(service)))
        .map_err(|e| e.to_string())?;
    if let Some(trust) = tls {
        let stream = super::tls::connect(stream, address, trust, Some(b"h2")).await?;
        exchange(TokioIo::new(stream), request).await
    } else {
        exchange(TokioIo::new(stream), request).await
    }
}

async fn exchange<T>(stream: T, request: Request<Full<Bytes>>) -> Result<u64, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.map_err(|e| e.to_string())?;
    let running = tokio::spawn(connection);
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("HTTP {}", answer.status()));
        }
        // An error without a message comes with its status in the head.
        grpc_status(answer.headers())?;
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect().await.map_err(|e| e.to_string())?;
        if let Some(trailers) = body.trailers() {
            grpc_status(trailers)?;
        }
        decode(&body.to_bytes()).ok_or_else(|| "the answer is not a health message".to_owned())
    }
    .await;
    running.abort();
    answer
}

fn grpc_status(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(code) => Err(format!("status {code} {}", text("grpc-message").unwrap_or_default()).trim_end().to_owned()),
    }
}

/// `HealthCheckRequest { string service = 1; }` in a gRPC frame.
fn encode(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    frame.freeze()
}

/// The state in `HealthCheckResponse { ServingStatus status = 1; }`; none when the bytes are no such message.
fn decode(frame: &[u8]) -> Option<u64> {
    let (head, rest) = frame.split_at_checked(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut message = rest.get(..length).filter(|_| head[0] == 0)?;
    let mut state = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skip = match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    state = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skip..)?;
    }
    Some(state)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_request_is_the_bytes_protobuf_says() {
        assert_eq!(&encode("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&encode("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = encode(&"x".repeat(200));
        assert_eq!(&long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
    }

    #[test]
    fn answers_are_read_with_fields_nobody_knows_and_nonsense_is_refused() {
        assert_eq!(decode(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(decode(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(decode(&[0, 0, 0, 0, 6, 0x12, 2, 9, 9, 8, 2]), Some(2));
        for bad in [&[][..], &[0, 0, 0, 0, 9, 8, 1], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 1, 8], &[0, 0, 0, 0, 1, 11]]
        {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
