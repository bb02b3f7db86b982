//! Packing lines into datagrams and sending them without ever waiting.

use std::io::ErrorKind;
use std::net::UdpSocket;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;

use super::url::Destination;

/// What fits an Ethernet frame with the headers of IPv6 and UDP; what DogStatsD clients use.
pub(crate) const MTU: usize = 1432;

/// An open way to a StatsD server.
#[derive(Debug)]
pub(crate) enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(UnixDatagram, std::path::PathBuf),
}

impl Socket {
    pub fn open(destination: &Destination) -> std::io::Result<Self> {
        match destination {
            Destination::Udp(to) => {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                // Connected, so that "nobody listens" comes back and can be counted.
                socket.connect(to)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
            #[cfg(unix)]
            Destination::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket, path.clone()))
            }
            #[cfg(not(unix))]
            Destination::Unix(_) => Err(std::io::Error::from(ErrorKind::Unsupported)),
        }
    }

    /// How many datagrams this attempt found lost: itself, or an earlier one whose refusal is only told now.
    pub fn send(&self, datagram: &[u8]) -> u64 {
        let once = || match self {
            Self::Udp(socket) => socket.send(datagram),
            #[cfg(unix)]
            // By path each time: the server may have been restarted with a new socket at the old place.
            Self::Unix(socket, path) => socket.send_to(datagram, path),
        };
        match once() {
            Ok(_) => 0,
            Err(e) if e.kind() == ErrorKind::ConnectionRefused && matches!(self, Self::Udp(_)) => {
                1 + u64::from(once().is_err())
            }
            Err(_) => 1,
        }
    }
}

/// Fills datagrams with whole lines.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    done: Vec<Vec<u8>>,
    current: Vec<u8>,
}

impl Packer {
    /// A line longer than a datagram goes alone: the network may cut it up, but nothing may be left out.
    pub fn push(&mut self, line: &str) {
        if !self.current.is_empty() && self.current.len() + 1 + line.len() > MTU {
            self.done.push(std::mem::take(&mut self.current));
        }
        if !self.current.is_empty() {
            self.current.push(b'\n');
        }
        self.current.extend_from_slice(line.as_bytes());
    }

    pub fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_and_datagrams_small() {
        let mut packer = Packer::default();
        let lines: Vec<String> = (0..200).map(|i| format!("envoy.some.metric.{i}:{i}|c")).collect();
        lines.iter().for_each(|line| packer.push(line));
        let datagrams = packer.finish();
        assert!(datagrams.len() > 2 && datagrams.iter().all(|d| d.len() <= MTU));
        let joined: Vec<String> = datagrams
            .iter()
            .flat_map(|d| String::from_utf8_lossy(d).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(joined, lines);
    }
}
