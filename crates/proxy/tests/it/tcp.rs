//! TCP: bytes, half-closes, servers that speak first, and refusals.

use std::net::SocketAddr;

use model::{Action, Protocol};
use telemetry::Flag;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::*;

/// Greets nobody, echoes everything until its caller has said all, then says goodbye.
pub async fn echo() -> SocketAddr {
    server(b"", b"").await
}

async fn server(greeting: &'static [u8], goodbye: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = write.write_all(greeting).await;
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.write_all(goodbye).await;
            });
        }
    });
    address
}

/// Says `text`, closes its side, and gives the answer; None when the connection was refused or broken.
pub async fn call(address: SocketAddr, text: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(text).await.ok()?;
    stream.shutdown().await.ok()?;
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.ok()?;
    (!answer.is_empty()).then_some(answer)
}

#[tokio::test]
async fn bytes_pass_both_ways_and_a_half_close_is_passed_on() {
    let pair = Pair::new(Protocol::Tcp, server(b"", b" goodbye").await, ALLOW).await;
    let text = vec![b'x'; 1_000_000];
    let answer = call(pair.address, &text).await.unwrap();
    assert_eq!(answer.len(), text.len() + " goodbye".len());
    assert!(answer.ends_with(b"x goodbye"), "what is said after the caller closed its side still arrives");
    let (seen_by_client, seen_by_server) = pair.stop().await;
    for seen in [&seen_by_client, &seen_by_server] {
        assert_eq!((seen.requests, &seen.codes, seen.flags.len()), (1, &[(0, 1)].into(), 0), "{seen:?}");
        assert_eq!((seen.bytes_received, seen.bytes_sent), (1_000_000, 1_000_008));
    }
}

#[tokio::test]
async fn a_server_may_speak_first() {
    let pair = Pair::new(Protocol::Tcp, server(b"220 ready", b"").await, ALLOW).await;
    let mut stream = TcpStream::connect(pair.address).await.unwrap();
    let mut greeting = [0; 9];
    within(stream.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"220 ready");
}

#[tokio::test]
async fn a_denied_caller_is_cut_off_before_the_application_hears_of_it() {
    let pair = Pair::new(Protocol::Tcp, server(b"220 ready", b"").await, &[("*", Action::Deny)]).await;
    assert_eq!(call(pair.address, b"hello").await, None);
    let server = pair.server.telemetry();
    eventually("counted", || async { (sum(&server).flags == [(Flag::RBAC, 1)].into()).then_some(()) }).await;
}

#[tokio::test]
async fn an_open_connection_ends_when_its_caller_is_denied() {
    let pair = Pair::new(Protocol::Tcp, echo().await, ALLOW).await;
    let mut stream = TcpStream::connect(pair.address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    within(stream.read_exact(&mut answer)).await.unwrap();
    pair.set_rules(&[("web", Action::Deny)]);
    let ended = within(stream.read(&mut answer)).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let server = pair.server.telemetry();
    eventually("counted", || async { (sum(&server).flags == [(Flag::RBAC, 1)].into()).then_some(()) }).await;
}
