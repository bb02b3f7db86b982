//! Two streams joined into one, each half closed on its own: TCP, and HTTP connections that became WebSockets.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::Instant;

use crate::accept::Conn;
use crate::answer::{Failure, Kind};
use crate::limits::COPY_BUFFER_BYTES;
use crate::record::Finisher;

/// How a joined pair ended.
pub(crate) enum End {
    Closed,
    Broken(io::Error),
    /// The caller is no longer allowed.
    Revoked(Rc<Failure>),
    Idle,
}

/// Copies both ways until both are done. `idle` of zero: as long as it takes.
pub(crate) async fn join<A, B>(conn: &Conn, caller: &mut A, upstream: &mut B, idle: Duration) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let last = Rc::new(Cell::new(Instant::now()));
    let mut caller = Watched { inner: caller, last: (!idle.is_zero()).then(|| last.clone()) };
    let revoked = conn.revocation.watch();
    let copied = copy_bidirectional_with_sizes(&mut caller, upstream, COPY_BUFFER_BYTES, COPY_BUFFER_BYTES);
    tokio::select! {
        copied = copied => copied.map_or_else(End::Broken, |_| End::Closed),
        why = revoked => End::Revoked(why),
        () = idle_for(idle, &last) => End::Idle,
    }
}

async fn idle_for(limit: Duration, last: &Cell<Instant>) {
    if limit.is_zero() {
        return std::future::pending().await;
    }
    while last.get().elapsed() < limit {
        tokio::time::sleep_until(last.get() + limit).await;
    }
}

/// Notes when bytes last passed.
struct Watched<'a, S> {
    inner: &'a mut S,
    last: Option<Rc<Cell<Instant>>>,
}

impl<S> Watched<'_, S> {
    fn touch(&self) {
        if let Some(last) = &self.last {
            last.set(Instant::now());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut *self.inner).poll_read(cx, buf));
        self.touch();
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut *self.inner).poll_write(cx, buf));
        self.touch();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

/// Counts what an upgraded connection carries.
struct Counted<'a> {
    inner: TokioIo<Upgraded>,
    finisher: &'a Finisher,
}

impl AsyncRead for Counted<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        self.finisher.exchange().received(buf.filled().len() - before);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counted<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.finisher.exchange().sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Joins an upgraded pair in a task of its own. `hold` is kept until it ends (places in limits, the upstream's lease).
pub(crate) fn start(
    conn: Rc<Conn>,
    caller: OnUpgrade,
    upstream: OnUpgrade,
    hold: impl Sized + 'static,
    finisher: Finisher,
) {
    tokio::task::spawn_local(async move {
        let _busy = conn.busy();
        let (caller, upstream) = match both(caller, upstream).await {
            Ok(pair) => pair,
            Err(error) => return fail(&finisher, Kind::Closed, crate::connect::chain(&error)),
        };
        let mut caller = Counted { inner: TokioIo::new(caller), finisher: &finisher };
        let mut upstream = TokioIo::new(upstream);
        let idle = conn.listener.idle_timeout();
        let end = join(&conn, &mut caller, &mut upstream, idle).await;
        settle(&conn, &finisher, end);
        drop(hold);
    });
}

async fn both(caller: OnUpgrade, upstream: OnUpgrade) -> Result<(Upgraded, Upgraded), hyper::Error> {
    Ok((caller.await?, upstream.await?))
}

/// Notes how a joined pair ended.
pub(crate) fn settle(conn: &Conn, finisher: &Finisher, end: End) {
    match end {
        End::Closed => finisher.exchange().completed(),
        End::Idle => {
            conn.listener.counters.cx_idle_timeout.inc();
            finisher.exchange().completed();
        }
        End::Revoked(why) => finisher.exchange().fail(&why),
        End::Broken(error) => fail(finisher, Kind::Closed, crate::connect::chain(&error)),
    }
}

fn fail(finisher: &Finisher, kind: Kind, why: String) {
    finisher.exchange().fail(&Failure::new(kind, why));
}
