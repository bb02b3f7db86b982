//! Does a datagram get through? An answer is success and so is silence; only a refusal is not.

use std::time::Duration;

use model::Status;
use tokio::net::UdpSocket;

pub(super) async fn probe(address: &str, limit: Duration) -> (Status, String) {
    let success = || (Status::Passing, format!("UDP connect {address}: Success"));
    match tokio::time::timeout(limit, ask(address)).await {
        Ok(Ok(())) | Err(_) => success(),
        Ok(Err(error)) => (Status::Critical, super::net_error("udp", address, &error)),
    }
}

async fn ask(address: &str) -> std::io::Result<()> {
    let target = tokio::net::lookup_host(super::local(address)).await?.next();
    let target = target.ok_or_else(|| std::io::Error::other("no such host"))?;
    let any: std::net::IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(target).await?;
    // Nothing in it: the service must not take it for a request.
    socket.send(&[]).await?;
    // A closed port answers by ICMP, which the kernel turns into a refused read.
    socket.recv(&mut [0]).await.map(drop)
}
