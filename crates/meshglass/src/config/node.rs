//! What an agent finds out about its machine when nobody says it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use super::error::{Complaint, ConfigError};
use super::meant::Config;

/// The address from which this machine would reach others. Connecting a datagram socket sends nothing.
pub(super) fn own_address() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // An address for documentation: any one beyond the own network does.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    route().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// As given, as kept in the data directory, or new. A node must keep its id over restarts.
pub(super) fn id(config: &Config, given: &str) -> Result<String, ConfigError> {
    if !given.is_empty() {
        return match uuid::Uuid::parse_str(given) {
            Ok(id) => Ok(id.to_string()),
            Err(_) => {
                let text = format!("node_id: expected a UUID, got {given:?}");
                Err(ConfigError::Invalid(vec![Complaint { origin: String::new(), text }]))
            }
        };
    }
    let Some(directory) = &config.data_dir else {
        return Ok(uuid::Uuid::new_v4().to_string());
    };
    let file = directory.join("node-id");
    let path = file.display().to_string();
    match std::fs::read_to_string(&file) {
        Ok(text) => match uuid::Uuid::parse_str(text.trim()) {
            Ok(id) => return Ok(id.to_string()),
            Err(_) => {
                let text = format!("expected a UUID, got {:?}", text.trim());
                return Err(ConfigError::Invalid(vec![Complaint { origin: path, text }]));
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(ConfigError::Read { path, source }),
    }
    let id = uuid::Uuid::new_v4().to_string();
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&file, &id))
        .map_err(|source| ConfigError::Write { path, source })?;
    Ok(id)
}
