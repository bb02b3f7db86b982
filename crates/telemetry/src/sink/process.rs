//! What the kernel says of this process.

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Memory {
    /// Bytes resident.
    pub resident: u64,
    /// Bytes of data and stack, the nearest thing to Envoy's heap size that needs no allocator's help.
    pub data: u64,
}

/// The only sizes of a page that Linux uses for these figures on the machines we build for.
const PAGE_BYTES: u64 = 4096;

/// Zeros where there is no `/proc`.
pub(super) fn memory() -> Memory {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let field = |at: usize| text.split_whitespace().nth(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    Memory { resident: field(1) * PAGE_BYTES, data: field(5) * PAGE_BYTES }
}
