//! The sockets, and what the workers behind them share.

use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::answer::Known;
use crate::config::Config;
use crate::error::Error;
use crate::path::Datagrams;
use crate::respond::{Received, Responder, Transport, Verdict};
use crate::view::Source;
use crate::{recursor, request, tcp, udp};

/// A query is smaller; what is longer is not read to its end.
pub const QUERY_LIMIT: usize = 4096;
/// Queries that wait for recursors at the same time.
const OUTSIDE_LIMIT: usize = 1024;
/// Names of others that are asked for to answer one query.
const NAMES_LIMIT: usize = 16;
/// How often what was said leads to further names.
const ROUNDS_LIMIT: usize = 3;
/// More workers than this gain nothing: the kernel is the limit.
const WORKERS_LIMIT: usize = 4;
const UDP_BUFFER: usize = 1 << 20;
const BACKLOG: i32 = 1024;
/// Attempts to find one port that is free for both transports, when the kernel chooses.
const PORT_ATTEMPTS: usize = 16;

/// DNS being served; ends when it is dropped.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

pub struct Shared {
    pub config: ArcSwap<Config>,
    pub source: Arc<dyn Source>,
    pub outside: Arc<Semaphore>,
}

impl Server {
    /// Listens on each address over UDP and TCP, and answers from then on. Needs a runtime around it.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub fn start(addresses: &[SocketAddr], config: Config, source: Arc<dyn Source>) -> Result<Self, Error> {
        let outside = Arc::new(Semaphore::new(OUTSIDE_LIMIT));
        let shared = Arc::new(Shared { config: ArcSwap::from_pointee(config), source, outside });
        let mut server = Self { shared: Arc::clone(&shared), addresses: Vec::new(), tasks: Vec::new() };
        // Alone, the unspecified address of IPv6 stands for both families.
        let both = addresses.iter().any(|address| address.ip() == IpAddr::from([0, 0, 0, 0]));
        for address in addresses {
            let (listener, sockets) = bind(*address, both)?;
            let local = |source| Error::Listen { network: "tcp", address: *address, source };
            server.addresses.push(listener.local_addr().map_err(local)?);
            server.tasks.push(tokio::spawn(tcp::serve(listener, Arc::clone(&shared))));
            for socket in sockets {
                server.tasks.push(tokio::spawn(udp::serve(Arc::new(socket), Arc::clone(&shared))));
            }
        }
        Ok(server)
    }

    /// Where it really listens: the kernel's choice for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers as this says from now on.
    pub fn reload(&self, config: Config) {
        self.shared.config.store(Arc::new(config));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

type Sockets = (tokio::net::TcpListener, Vec<Datagrams>);

/// Both transports on the same port.
fn bind(address: SocketAddr, only_v6: bool) -> Result<Sockets, Error> {
    let failed = |network| move |source| Error::Listen { network, address, source };
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let listener = listen(address, only_v6).map_err(failed("tcp"))?;
        let port = listener.local_addr().map_err(failed("tcp"))?.port();
        match datagrams(SocketAddr::new(address.ip(), port), only_v6) {
            Ok(sockets) => return Ok((listener, sockets)),
            Err(error) if attempts == 0 => return Err(failed("udp")(error)),
            Err(_) => {}
        }
    }
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol, only_v6: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6 || !address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<tokio::net::TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP, only_v6)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    tokio::net::TcpListener::from_std(socket.into())
}

/// One socket for each worker; the kernel spreads the clients over them.
fn datagrams(address: SocketAddr, only_v6: bool) -> io::Result<Vec<Datagrams>> {
    let new = || socket(address, Type::DGRAM, Protocol::UDP, only_v6);
    // A shared port is shared with other programs of this user, too: only an exclusive one shows that it is free.
    new()?.bind(&address.into())?;
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(WORKERS_LIMIT);
    (0..workers)
        .map(|_| {
            let socket = new()?;
            socket.set_reuse_port(true)?;
            // Best effort: the system may have a lower limit.
            let _ = socket.set_recv_buffer_size(UDP_BUFFER);
            socket.bind(&address.into())?;
            Datagrams::new(tokio::net::UdpSocket::from_std(socket.into())?)
        })
        .collect()
}

pub fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}

impl Shared {
    /// Decides on one message with the catalog of this moment.
    pub fn respond(&self, responder: &mut Responder, query: &Query<'_>, out: &mut Vec<u8>) -> Verdict {
        responder.follow(&self.config.load());
        responder.respond(&query.received(&Known::new()), &*self.source.view(), out)
    }

    /// Says that recursion has failed.
    pub fn fail(&self, responder: &mut Responder, query: &Query<'_>, out: &mut Vec<u8>) {
        responder.fail(&query.received(&Known::new()), out);
    }

    /// Goes on with a query that recursors are needed for. Gives the answer in any case.
    pub async fn ask_outside(&self, query: &Query<'_>, verdict: Verdict, written: Vec<u8>) -> Vec<u8> {
        let config = self.config.load_full();
        let mut responder = Responder::new(Arc::clone(&config));
        let (mut out, mut known) = (written, Known::new());
        let mut wanted = match verdict {
            Verdict::Resolve(names) => names,
            Verdict::Forward => {
                if let Some(answer) = recursor::forward(&config, query.message, query.transport).await {
                    return answer;
                }
                responder.fail(&query.received(&known), &mut out);
                return out;
            }
            Verdict::Answer | Verdict::Silence => return out,
        };
        let kind = request::parse(query.message).map_or(0, |request| request.kind);
        for _ in 0..ROUNDS_LIMIT {
            wanted.truncate(NAMES_LIMIT.saturating_sub(known.len()));
            if wanted.is_empty() {
                break;
            }
            for name in wanted {
                if let Entry::Vacant(unknown) = known.entry(name) {
                    let records = recursor::resolve(&config, unknown.key(), kind).await;
                    unknown.insert(records);
                }
            }
            wanted = match responder.respond(&query.received(&known), &*self.source.view(), &mut out) {
                Verdict::Resolve(names) => names,
                _ => break,
            };
        }
        out
    }
}

/// A message and who sent it.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    pub message: &'a [u8],
    pub transport: Transport,
    pub peer: SocketAddr,
}

impl<'a> Query<'a> {
    fn received(self, known: &'a Known) -> Received<'a> {
        let Self { message, transport, peer } = self;
        Received { message, transport, source: Some(peer.ip().to_canonical()), now: now(), known }
    }
}
