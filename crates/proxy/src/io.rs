//! A TCP or TLS stream that counts its bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use telemetry::{ListenerCounters, TargetCounters};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Where bytes are counted: as a caller's or as an upstream's.
pub(crate) enum Meter {
    Listener(Arc<ListenerCounters>),
    Target(Arc<TargetCounters>),
}

pub(crate) struct Io {
    stream: Stream,
    meter: Meter,
    pub received: u64,
    pub sent: u64,
}

impl Io {
    pub fn plain(stream: TcpStream, meter: Meter) -> Self {
        Self { stream: Stream::Plain(stream), meter, received: 0, sent: 0 }
    }

    pub fn tls(stream: impl Into<TlsStream<TcpStream>>, meter: Meter) -> Self {
        Self { stream: Stream::Tls(Box::new(stream.into())), meter, received: 0, sent: 0 }
    }

    /// What the peer chose in the handshake.
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    fn count_received(&mut self, n: u64) {
        self.received += n;
        match &self.meter {
            Meter::Listener(counters) => counters.rx_bytes.add(n),
            Meter::Target(counters) => counters.rx_bytes.add(n),
        }
    }

    fn count_sent(&mut self, n: u64) {
        self.sent += n;
        match &self.meter {
            Meter::Listener(counters) => counters.tx_bytes.add(n),
            Meter::Target(counters) => counters.tx_bytes.add(n),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        };
        ready!(read)?;
        let n = buf.filled().len() - before;
        self.count_received(n as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        };
        let n = ready!(written)?;
        self.count_sent(n as u64);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        };
        let n = ready!(written)?;
        self.count_sent(n as u64);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
