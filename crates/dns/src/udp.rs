//! Datagrams: one worker for each socket.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::path::{Datagrams, Path};
use crate::respond::{Responder, Transport, Verdict};
use crate::serve::{QUERY_LIMIT, Query, Shared};

/// Datagrams that are answered before others get a turn.
const BATCH: usize = 64;

pub async fn serve(socket: Arc<Datagrams>, shared: Arc<Shared>) {
    let mut responder = Responder::new(shared.config.load_full());
    let mut message = vec![0; QUERY_LIMIT];
    let mut out = Vec::with_capacity(QUERY_LIMIT);
    loop {
        if let Err(error) = socket.readable().await {
            tracing::error!(%error, "DNS over UDP ends");
            return;
        }
        for _ in 0..BATCH {
            let (length, path) = match socket.try_recv(&mut message) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // What an earlier answer has met, such as a port that is closed by now.
                Err(_) => continue,
            };
            let query = Query { message: &message[..length], transport: Transport::Udp, peer: path.peer };
            match shared.respond(&mut responder, &query, &mut out) {
                Verdict::Silence => {}
                // When the kernel has no room for it now, the client asks again.
                Verdict::Answer => drop(socket.try_send(&out, path)),
                outside => ask_outside((&socket, path), &shared, &query, outside, (&mut responder, &mut out)),
            }
        }
    }
}

/// Others are not kept waiting: the rest is a task of its own, as long as there are not too many.
fn ask_outside(
    (socket, path): (&Arc<Datagrams>, Path),
    shared: &Arc<Shared>,
    query: &Query<'_>,
    verdict: Verdict,
    (responder, out): (&mut Responder, &mut Vec<u8>),
) {
    let Ok(permit) = Arc::clone(&shared.outside).try_acquire_owned() else {
        shared.fail(responder, query, out);
        drop(socket.try_send(out, path));
        return;
    };
    let (socket, shared) = (Arc::clone(socket), Arc::clone(shared));
    let (message, written) = (query.message.to_vec(), out.clone());
    tokio::spawn(async move {
        let query = Query { message: &message, transport: Transport::Udp, peer: path.peer };
        let answer = shared.ask_outside(&query, verdict, written).await;
        let _ = socket.send(&answer, path).await;
        drop(permit);
    });
}
