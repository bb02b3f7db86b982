//! A datagram's two ends. Behind the unspecified address the kernel would choose from which of the machine's addresses
//! an answer is sent; a client takes it only from the one it has asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

pub struct Datagrams {
    socket: UdpSocket,
    /// Whether the address that was asked must be found out.
    unspecified: bool,
}

/// Who has asked, and which address of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    pub peer: SocketAddr,
    asked: Option<IpAddr>,
}

impl Datagrams {
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let unspecified = local.ip().is_unspecified();
        if unspecified && local.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else if unspecified {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        Ok(Self { socket, unspecified })
    }

    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    pub fn try_recv(&self, message: &mut [u8]) -> io::Result<(usize, Path)> {
        if self.unspecified {
            return self.socket.try_io(Interest::READABLE, || receive(&self.socket, message));
        }
        let (length, peer) = self.socket.try_recv_from(message)?;
        Ok((length, Path { peer, asked: None }))
    }

    pub fn try_send(&self, message: &[u8], path: Path) -> io::Result<usize> {
        match path.asked {
            None => self.socket.try_send_to(message, path.peer),
            Some(asked) => self.socket.try_io(Interest::WRITABLE, || send(&self.socket, message, path.peer, asked)),
        }
    }

    pub async fn send(&self, message: &[u8], path: Path) -> io::Result<usize> {
        loop {
            self.socket.writable().await?;
            match self.try_send(message, path) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }
}

fn receive(socket: &UdpSocket, message: &mut [u8]) -> io::Result<(usize, Path)> {
    let mut control = nix::cmsg_space!(in_pktinfo, in6_pktinfo);
    let mut pieces = [IoSliceMut::new(message)];
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty())?;
    let peer = received.address.as_ref().and_then(address).ok_or(io::ErrorKind::InvalidData)?;
    let asked = received.cmsgs()?.find_map(|message| match message {
        // The kernel keeps the address in the order of the network.
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into()),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    });
    Ok((received.bytes, Path { peer, asked }))
}

fn send(socket: &UdpSocket, message: &[u8], peer: SocketAddr, asked: IpAddr) -> io::Result<usize> {
    let (pieces, peer) = ([IoSlice::new(message)], SockaddrStorage::from(peer));
    let sent = |control: ControlMessage<'_>| {
        sendmsg(socket.as_raw_fd(), &pieces, &[control], MsgFlags::empty(), Some(&peer)).map_err(io::Error::from)
    };
    match asked {
        IpAddr::V4(address) => {
            let address = in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
            // The interface is the routing table's to choose.
            sent(ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address,
                ipi_addr: address,
            }))
        }
        IpAddr::V6(address) => {
            let ipi6_addr = in6_addr { s6_addr: address.octets() };
            sent(ControlMessage::Ipv6PacketInfo(&in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 }))
        }
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::new(v4.ip().into(), v4.port()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}
