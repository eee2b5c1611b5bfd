//! How much the writable directories of one mount may hold.

/// The largest a name may be, as `NAME_MAX` in the kernel's `limits.h`: bytes.
pub(super) const NAME_MAX: usize = 255;

/// Limits for one mount; what exceeds them fails with `ENOSPC`. Each file takes at most twice its
/// size of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes of all files together, those included that are unlinked but still open or known to
    /// the kernel. Holes count as if they were written. Default 16 MiB.
    pub bytes: u64,
    /// Bytes of the largest file. Default 16 MiB.
    pub file_bytes: u64,
    /// Files and directories together, without the four fixed directories. Default 4096.
    pub entries: usize,
    /// Components of the longest path below the mount: `cli/cache/x` has three. Default 16.
    pub depth: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { bytes: 16 << 20, file_bytes: 16 << 20, entries: 4096, depth: 16 }
    }
}

/// How much of the quotas is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The limits.
    pub quotas: Quotas,
    /// Bytes in use; at most `quotas.bytes`.
    pub bytes: u64,
    /// Files and directories in use; at most `quotas.entries`.
    pub entries: usize,
}
