//! Does a URL answer with success?

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use model::{HttpRequest, Status};

use super::output::Tail;
use super::tls::Trust;

const REDIRECT_LIMIT: usize = 10;
/// A body is read to its end, which is what is kept of it, but no further than this.
const BODY_LIMIT_BYTES: usize = 8 << 20;
/// What Consul sends, and what applications filter from their logs.
const USER_AGENT: &str = "Consul Health Check";
const ACCEPT: &str = "text/plain, text/*, */*";

pub(super) async fn probe(
    request: &HttpRequest,
    trust: &Trust<'_>,
    limit: Duration,
    output: usize,
) -> (Status, String) {
    let method = match request.method.as_str() {
        "" => "GET",
        method => method,
    };
    match tokio::time::timeout(limit, ask(request, method, trust, limit, output)).await {
        Ok(Ok((code, body))) => {
            let status = match code {
                code if code.is_success() => Status::Passing,
                StatusCode::TOO_MANY_REQUESTS => Status::Warning,
                _ => Status::Critical,
            };
            let reason = code.canonical_reason().unwrap_or_default();
            (status, format!("HTTP {method} {}: {} {reason} Output: {body}", request.url, code.as_u16()))
        }
        Ok(Err(why)) => (Status::Critical, format!("{} {:?}: {why}", verb(method), request.url)),
        Err(_) => {
            let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            (Status::Critical, format!("{} {:?}: {why}", verb(method), request.url))
        }
    }
}

/// Go writes the method of a failed request as `Get`.
fn verb(method: &str) -> String {
    let mut letters = method.chars();
    letters.next().map_or_else(String::new, |first| format!("{first}{}", letters.as_str().to_lowercase()))
}

async fn ask(
    request: &HttpRequest,
    method: &str,
    trust: &Trust<'_>,
    limit: Duration,
    output: usize,
) -> Result<(StatusCode, String), String> {
    let mut uri: Uri = request.url.parse().map_err(|e| format!("{e}"))?;
    let mut method = Method::from_bytes(method.as_bytes()).map_err(|e| e.to_string())?;
    for _ in 0..=REDIRECT_LIMIT {
        let answer = send(request, &uri, method.clone(), trust, limit).await?;
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        match location
            .filter(|_| !request.disable_redirects && redirects(answer.status()))
            .and_then(|to| resolve(&uri, to))
        {
            Some(next) => {
                // As browsers and Go do: only 307 and 308 repeat the method.
                if !matches!(answer.status().as_u16(), 307 | 308) && method != Method::HEAD {
                    method = Method::GET;
                }
                uri = next;
            }
            None => {
                let code = answer.status();
                return Ok((code, read(answer.into_body(), output).await?));
            }
        }
    }
    Err(format!("stopped after {REDIRECT_LIMIT} redirects"))
}

fn redirects(code: StatusCode) -> bool {
    matches!(code.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn resolve(from: &Uri, to: &str) -> Option<Uri> {
    if to.starts_with("http://") || to.starts_with("https://") {
        return to.parse().ok();
    }
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let path = match to.strip_prefix('/') {
        Some(rest) => format!("/{rest}"),
        None => format!("{}/{to}", from.path().rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    format!("{scheme}://{authority}{path}").parse().ok()
}

async fn send(
    request: &HttpRequest,
    uri: &Uri,
    method: Method,
    trust: &Trust<'_>,
    limit: Duration,
) -> Result<http::Response<Incoming>, String> {
    let host = uri.host().ok_or("no Host in request URL")?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        other => return Err(format!("unsupported protocol scheme {:?}", other.unwrap_or_default())),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = super::dial(&format!("{host}:{port}"), limit).await?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut out = http::Request::builder().method(method).uri(path);
    let given = |name: &str| request.header.keys().any(|key| key.eq_ignore_ascii_case(name));
    // Each attempt opens a connection of its own: whether that can be done is part of the question.
    for (name, value) in
        [("host", authority.as_str()), ("user-agent", USER_AGENT), ("accept", ACCEPT), ("connection", "close")]
    {
        if !given(name) {
            out = out.header(name, value);
        }
    }
    for (name, values) in &request.header {
        for value in values {
            out = out.header(name, value);
        }
    }
    let out = out.body(Full::new(Bytes::copy_from_slice(request.body.as_bytes()))).map_err(|e| e.to_string())?;
    if tls {
        let stream = super::tls::connect(stream, host, trust, Some(b"http/1.1")).await?;
        exchange(TokioIo::new(stream), out).await
    } else {
        exchange(TokioIo::new(stream), out).await
    }
}

async fn exchange<T>(stream: T, request: http::Request<Full<Bytes>>) -> Result<http::Response<Incoming>, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    // As Go writes them: some applications read a head by its letters.
    let (mut sender, connection) =
        http1::Builder::new().title_case_headers(true).handshake(stream).await.map_err(|e| e.to_string())?;
    // Ends when the sender and the body are dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|e| match e.is_incomplete_message() {
        true => "EOF".to_owned(),
        false => e.to_string(),
    })
}

/// The end of the body, as long a one as is kept.
async fn read(mut body: Incoming, limit: usize) -> Result<String, String> {
    let mut tail = Tail::new(limit);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| e.to_string())?;
        let Ok(data) = frame.into_data() else { continue };
        tail.push(&data);
        if tail.total() > BODY_LIMIT_BYTES {
            break;
        }
    }
    Ok(tail.text())
}
