//! Just enough of gRPC and protobuf for one service: length-prefixed messages whose fields are strings and bytes.

use bytes::{BufMut, Bytes, BytesMut};

/// One message of the demo is never larger.
pub const MESSAGE_LIMIT_BYTES: usize = 1 << 20;

/// `message Item { string id = 1; bytes data = 2; }`, the request and the reply of every method.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub data: Bytes,
}

impl Item {
    /// The gRPC frame: no compression, length, message.
    pub fn frame(&self) -> Bytes {
        let mut message = BytesMut::new();
        for (number, value) in [(1, self.id.as_bytes()), (2, &self.data[..])] {
            if !value.is_empty() {
                message.put_u8(number << 3 | 2);
                put_varint(&mut message, value.len() as u64);
                message.extend_from_slice(value);
            }
        }
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.extend_from_slice(&message);
        frame.freeze()
    }

    /// The one message of a unary body; none when it is not one.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (head, mut message) = frame.split_at_checked(5)?;
        let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
        if head[0] != 0 || length != message.len() {
            return None;
        }
        let mut item = Self::default();
        while !message.is_empty() {
            let tag = take_varint(&mut message)?;
            let length = usize::try_from(take_varint(&mut message)?).ok()?;
            let value;
            (value, message) = message.split_at_checked(length)?;
            match tag {
                0x0a => item.id = String::from_utf8(value.to_vec()).ok()?,
                0x12 => item.data = Bytes::copy_from_slice(value),
                // Unknown fields of the same wire type are skipped, as protobuf demands; others do not occur here.
                tag if tag & 7 == 2 => {}
                _ => return None,
            }
        }
        Some(item)
    }
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_round_trip_and_garbage_is_refused() {
        let item = Item { id: "key".into(), data: Bytes::from(vec![7; 300]) };
        assert_eq!(Item::parse(&item.frame()).unwrap(), item);
        assert_eq!(Item::parse(&Item::default().frame()).unwrap(), Item::default());
        for bad in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x05", b"\x01\0\0\0\0", b"\0\0\0\0\x02\x0a\x09"] {
            assert!(Item::parse(bad).is_none(), "{bad:?}");
        }
    }
}
