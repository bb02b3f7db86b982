//! The end of what a check has to say: the last bytes of a body or of a program's output, and how many there were.

use std::collections::VecDeque;

/// Keeps the last `limit` bytes, as Consul does: a program says what went wrong at its end.
pub(super) struct Tail {
    kept: VecDeque<u8>,
    limit: usize,
    total: usize,
}

impl Tail {
    pub fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit, total: 0 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        let bytes = &bytes[bytes.len().saturating_sub(self.limit)..];
        let room = self.limit - bytes.len();
        self.kept.drain(..self.kept.len().saturating_sub(room));
        self.kept.extend(bytes);
    }

    pub fn total(&self) -> usize {
        self.total
    }

    pub fn text(&self) -> String {
        let (front, back) = self.kept.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }

    /// With Consul's words before what was cut.
    pub fn captioned(&self) -> String {
        if self.total <= self.limit {
            return self.text();
        }
        format!("Captured {} of {} bytes\n...\n{}", self.limit, self.total, self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_stay() {
        let mut tail = Tail::new(5);
        for piece in ["ab", "cdefghijk", "", "lm"] {
            tail.push(piece.as_bytes());
        }
        assert_eq!((tail.text().as_str(), tail.total()), ("ijklm", 13));
        assert_eq!(tail.captioned(), "Captured 5 of 13 bytes\n...\nijklm");
        let mut short = Tail::new(5);
        short.push(b"abcde");
        assert_eq!(short.captioned(), "abcde");
        let mut none = Tail::new(0);
        none.push(b"x");
        assert_eq!((none.text().as_str(), none.total()), ("", 1));
    }
}
