//! Why DNS is not served.

use std::net::SocketAddr;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address} for DNS over {network}: {source}")]
    Listen { network: &'static str, address: SocketAddr, source: std::io::Error },
}
