//! What the kernel says of this process.

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Memory {
    /// Bytes resident.
    pub resident: u64,
    /// Those of them that no file backs: the nearest thing to Envoy's heap size that needs no allocator's help.
    pub anonymous: u64,
}

/// The only sizes of a page that Linux uses for these figures on the machines we build for.
const PAGE_BYTES: u64 = 4096;

/// Zeros where there is no `/proc`.
pub(super) fn memory() -> Memory {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let field = |at: usize| text.split_whitespace().nth(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let (resident, shared) = (field(1), field(2));
    Memory { resident: resident * PAGE_BYTES, anonymous: resident.saturating_sub(shared) * PAGE_BYTES }
}
