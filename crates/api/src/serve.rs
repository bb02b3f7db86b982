//! The accept loop.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use crate::listen::{Clients, Io, Limits, Listener, Place};
use crate::policy::Peer;
use crate::tls::ServerTls;

/// Open requests get this long to end once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(2);
/// A client that has not sent its request head by then is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The least that hyper takes.
const LEAST_HEADER_BYTES: usize = 8 << 10;
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    Your IP is issuing too many concurrent connections, please rate limit your calls\n";
/// Of a request that is not read.
const LEFT_OVER_BYTES: u64 = 64 << 10;
/// How long a client that is refused may take to hear why.
const LAST_WORDS: Duration = Duration::from_secs(1);
const NOT_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Serves `router` until `stop` is done, then lets open requests end for a moment.
pub async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    stop: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let listener = listener.into();
    let server = Arc::new(Server { router, builder: builder(listener.limits), limits: listener.limits });
    let clients = Clients::default();
    let (closing, closed) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: give the open connections a moment to end instead of spinning.
                tracing::warn!(%error, "accepting an HTTP connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = clients.enter(peer, listener.limits) else {
            tracing::warn!(client = ?peer, "limits.http_max_conns_per_client: connection refused");
            if listener.tls.is_none() {
                tokio::spawn(tokio::time::timeout(LAST_WORDS, last_words(stream, TOO_MANY)));
            }
            continue;
        };
        let (server, tls, closed) = (Arc::clone(&server), listener.tls.clone(), closed.clone());
        tokio::spawn(server.connection(stream, peer, tls, place, closed));
    }
    drop((closed, listener));
    let _ = closing.send(());
    let _ = tokio::time::timeout(DRAIN, closing.closed()).await;
    Ok(())
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let header_bytes = limits.header_bytes.max(LEAST_HEADER_BYTES);
    // Scripts look for `X-Consul-Index` as Go writes it.
    builder.http1().title_case_headers(true);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(header_bytes);
    builder.http2().max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX));
    builder
}

struct Server {
    router: Router,
    builder: Builder<TokioExecutor>,
    limits: Limits,
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: Box<dyn Io>,
        peer: Option<IpAddr>,
        tls: Option<ServerTls>,
        place: Option<Place>,
        closed: watch::Receiver<()>,
    ) {
        match tls {
            None => self.http(stream, peer, closed).await,
            Some(tls) => match tokio::time::timeout(self.limits.handshake_timeout, handshake(stream, &tls)).await {
                Ok(Ok(stream)) => self.http(stream, peer, closed).await,
                Ok(Err(error)) => tracing::debug!(%error, client = ?peer, "TLS handshake of an HTTPS connection"),
                Err(_) => tracing::debug!(client = ?peer, "TLS handshake of an HTTPS connection took too long"),
            },
        }
        drop(place);
    }

    async fn http(&self, stream: Box<dyn Io>, peer: Option<IpAddr>, mut closed: watch::Receiver<()>) {
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.clone().call(request)
        });
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = closed.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an HTTP connection ended");
        }
        // Held until here: the server knows from it when all connections have ended.
        drop(closed);
    }
}

/// Says why there is no answer. What the client has sent is read to its end: unread, it would turn the words into a
/// reset.
async fn last_words(mut stream: Box<dyn Io>, words: &[u8]) -> std::io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LEFT_OVER_BYTES), &mut tokio::io::sink()).await.map(drop)
}

/// The first byte of a TLS handshake record.
const HANDSHAKE: u8 = 0x16;

async fn handshake(mut stream: Box<dyn Io>, tls: &ServerTls) -> std::io::Result<Box<dyn Io>> {
    let first = stream.read_u8().await?;
    if first != HANDSHAKE {
        // Most often somebody who wrote http:// for https://.
        last_words(stream, NOT_TLS).await?;
        return Err(std::io::Error::other("the client does not speak TLS"));
    }
    let (read, write) = tokio::io::split(stream);
    let whole = tokio::io::join(std::io::Cursor::new([first]).chain(read), write);
    Ok(Box::new(TlsAcceptor::from(tls.now()).accept(whole).await?))
}
