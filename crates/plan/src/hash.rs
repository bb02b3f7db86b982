//! Has it changed? One short word for a whole value.

use serde::Serialize;

/// 16 hex digits that depend on nothing but the content: the same in every process and after every restart. Used to
/// wait for a change, never to prove one, so 64 bits of FNV-1a are enough.
pub fn content_hash<T: Serialize + ?Sized>(value: &T) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    // Maps are ordered by key and no value of ours holds anything that JSON cannot write.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let hash = bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_content_alone() {
        assert_eq!(content_hash("a"), content_hash(&"a".to_owned()));
        assert_ne!(content_hash("a"), content_hash("b"));
        // Written down, so that a later version cannot move it and wake every sidecar at an upgrade.
        assert_eq!(content_hash(&[1, 2, 3]), "28bbee4398699f19");
    }
}
