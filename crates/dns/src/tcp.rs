//! Streams: many queries on a connection, answered in their order (RFC 7766).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::respond::{Responder, Transport, Verdict};
use crate::serve::{QUERY_LIMIT, Query, Shared};

const CONNECTIONS_LIMIT: usize = 1024;
/// A connection on which no whole query arrives for so long is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// So is one whose client does not take its answer.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// What makes accepting fail, such as too many open files, does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for DNS");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond the limit a client is told at once, by a closed connection.
        if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                // A client that goes away is no news.
                let _ = connection(stream, peer, &shared).await;
                drop(permit);
            });
        }
    }
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut responder = Responder::new(shared.config.load_full());
    let (mut message, mut out, mut frame) = (Vec::new(), Vec::new(), Vec::new());
    while timeout(IDLE_LIMIT, read(&mut stream, &mut message)).await?? {
        let query = Query { message: &message, transport: Transport::Tcp, peer };
        match shared.respond(&mut responder, &query, &mut out) {
            Verdict::Silence => return Ok(()),
            Verdict::Answer => {}
            outside => match shared.outside.try_acquire() {
                Ok(_permit) => out = shared.ask_outside(&query, outside, std::mem::take(&mut out)).await,
                Err(_) => shared.fail(&mut responder, &query, &mut out),
            },
        }
        frame.clear();
        frame.extend_from_slice(&(out.len() as u16).to_be_bytes());
        frame.extend_from_slice(&out);
        timeout(WRITE_LIMIT, stream.write_all(&frame)).await??;
    }
    Ok(())
}

/// Reads one query; `false` when the client has ended, or sends what no query can be.
async fn read(stream: &mut TcpStream, message: &mut Vec<u8>) -> io::Result<bool> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    };
    if length > QUERY_LIMIT {
        return Ok(false);
    }
    message.resize(length, 0);
    stream.read_exact(message).await?;
    Ok(true)
}
