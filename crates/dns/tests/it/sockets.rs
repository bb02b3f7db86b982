use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns::request::kind;
use dns::{Config, Error, Name, Server, ServiceTtl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::catalog::{Catalog, Shared};
use crate::message::{query, seen, ttl};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DEADLINE: Duration = Duration::from_secs(10);

fn config() -> Config {
    Config::new(Name::parse("consul").unwrap(), "dc1")
}

fn server(config: Config) -> (Server, SocketAddr) {
    let server = Server::start(&[ANY_PORT], config, Arc::new(Shared(Arc::new(Catalog::many(40))))).unwrap();
    let address = server.addresses()[0];
    (server, address)
}

async fn over_udp(server: SocketAddr, message: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(message).await.unwrap();
    let mut answer = vec![0; 65_535];
    let length = timeout(DEADLINE, socket.recv(&mut answer)).await.unwrap().unwrap();
    answer.truncate(length);
    answer
}

#[tokio::test]
async fn both_transports_on_one_port() {
    let (_server, address) = server(config());
    let message = query("many.service.consul", kind::A);
    assert_eq!(seen(&over_udp(address, &message).await).answers, 3);
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream.write_u16(message.len() as u16).await.unwrap();
        stream.write_all(&message).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(seen(&answer).answers, 40);
    }
}

#[tokio::test]
async fn a_port_is_had_by_one_server() {
    let (_server, address) = server(config());
    let second = Server::start(&[address], config(), Arc::new(Shared(Arc::default())));
    assert!(matches!(second.err(), Some(Error::Listen { address: at, .. }) if at == address));
}

#[tokio::test]
async fn another_configuration_counts_at_once() {
    let (server, address) = server(config());
    let message = query("many.service.consul", kind::A);
    assert_eq!(ttl(&over_udp(address, &message).await), 0);
    let service_ttl = ServiceTtl::new([("*".to_owned(), Duration::from_secs(5))]);
    server.reload(Config { service_ttl, ..config() });
    for _ in 0..20 {
        assert_eq!(ttl(&over_udp(address, &message).await), 5);
    }
}

/// Answers every query, first under a wrong id and with another question, then as asked.
async fn recursor(rcode: u8) -> SocketAddr {
    let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut message = vec![0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut message).await {
            let mut answer = message[..length].to_vec();
            (answer[2], answer[3]) = (0x81, 0x80 | rcode);
            let (mut other_id, mut other_name) = (answer.clone(), answer.clone());
            other_id[0] ^= 1;
            other_name[13] ^= 1;
            for answer in [other_id, other_name, answer] {
                socket.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn the_next_recursor_is_asked() {
    let silent = UdpSocket::bind(ANY_PORT).await.unwrap();
    let (failing, good) = (recursor(2).await, recursor(0).await);
    let recursor_timeout = Duration::from_millis(100);
    let recursors = vec![silent.local_addr().unwrap(), failing, good];
    let (server, address) = server(Config { recursors, recursor_timeout, ..config() });
    let message = query("wWw.example.com", kind::A);
    let answer = over_udp(address, &message).await;
    assert_eq!((&answer[..2], &answer[12..]), (&message[..2], &message[12..]));
    assert_eq!(seen(&answer).rcode, 0);
    server.reload(Config { recursors: vec![failing], recursor_timeout, ..config() });
    assert_eq!(seen(&over_udp(address, &message).await).rcode, 2);
}

/// A client is told from the address that it has asked, whichever of this machine's it was.
#[tokio::test]
async fn an_answer_comes_from_the_address_that_was_asked() {
    for (listen, asked) in [("0.0.0.0:0", "127.0.0.9"), ("[::]:0", "127.0.0.9"), ("[::]:0", "::1")] {
        let source = Arc::new(Shared(Arc::new(Catalog::many(1))));
        let server = Server::start(&[listen.parse().unwrap()], config(), source).unwrap();
        let asked = SocketAddr::new(asked.parse().unwrap(), server.addresses()[0].port());
        // A connected socket hears nobody else.
        let any: SocketAddr = if asked.is_ipv4() { ANY_PORT } else { "[::1]:0".parse().unwrap() };
        let socket = UdpSocket::bind(any).await.unwrap();
        socket.connect(asked).await.unwrap();
        socket.send(&query("many.service.consul", kind::A)).await.unwrap();
        let mut answer = [0; 512];
        let length = timeout(DEADLINE, socket.recv(&mut answer)).await.expect("an answer").unwrap();
        assert_eq!(seen(&answer[..length]).answers, 1, "{listen} {asked}");
    }
}
