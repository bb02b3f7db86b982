//! Base64 as Go's decoder reads it: what is good before a mistake, and where the mistake is.

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine as _};

/// What was decoded, and Go's text of what was wrong after it.
pub fn decode(text: &str) -> (Vec<u8>, Option<String>) {
    // Go skips line ends.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match STANDARD.decode(&text) {
        Ok(bytes) => (bytes, None),
        Err(error) => {
            let at = place(&error, text.len());
            let whole = text.get(..at / 4 * 4).and_then(|good| STANDARD.decode(good).ok());
            (whole.unwrap_or_default(), Some(format!("illegal base64 data at input byte {at}")))
        }
    }
}

fn place(error: &DecodeError, length: usize) -> usize {
    match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => *at,
        // The last group is cut short: Go names its beginning.
        DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => length / 4 * 4,
    }
}

pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_good_before_a_mistake_is_kept() {
        assert_eq!(decode("aGk=\n"), (b"hi".to_vec(), None));
        assert_eq!(decode("!!!"), (Vec::new(), Some("illegal base64 data at input byte 0".to_owned())));
        assert_eq!(decode("YWJj!"), (b"abc".to_vec(), Some("illegal base64 data at input byte 4".to_owned())));
    }
}
