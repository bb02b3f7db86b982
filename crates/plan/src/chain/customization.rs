//! A short name for what was asked for beside the service, the same one that Consul gives: it stands in cluster names.

use super::Question;

/// Which parts of the question changed the chain.
#[derive(Debug, Default)]
pub(super) struct Customized {
    pub mesh_gateway: bool,
    pub protocol: bool,
    pub connect_timeout: bool,
}

/// 64-bit FNV-1.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| hash.wrapping_mul(0x0000_0100_0000_01b3) ^ u64::from(*byte))
}

/// One field of a structure: its name and its value, in this order.
fn field(name: &str, value: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&fnv(name.as_bytes()).to_le_bytes());
    bytes[8..].copy_from_slice(&value.to_le_bytes());
    fnv(&bytes)
}

impl Customized {
    /// Empty when the question changed nothing.
    pub fn hash(&self, question: &Question) -> String {
        if !(self.mesh_gateway || self.protocol || self.connect_timeout) {
            return String::new();
        }
        let text = |acts: bool, text: &str| fnv(if acts { text.as_bytes() } else { b"" });
        let timeout = if self.connect_timeout { question.connect_timeout.as_nanos() as u64 } else { 0 };
        let mode = fnv(b"MeshGatewayConfig") ^ field("Mode", text(self.mesh_gateway, &question.mesh_gateway));
        // The fields of a structure in no order, so their hashes are combined by one that knows none.
        let whole = fnv(b"")
            ^ field("OverrideMeshGateway", mode)
            ^ field("OverrideProtocol", text(self.protocol, &question.protocol))
            ^ field("OverrideConnectTimeout", fnv(&timeout.to_le_bytes()));
        let mut text = format!("{whole:x}");
        text.truncate(8);
        text
    }
}
