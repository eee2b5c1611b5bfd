//! Keeps keys out of core dumps, out of the reach of debuggers, and out of swap.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// What could be locked in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLock {
    /// All memory of the process, now and later, is kept out of swap.
    Locked,
    /// The limit on locked memory (`RLIMIT_MEMLOCK`) does not allow it.
    NotAllowed,
}

/// Forbids core dumps and ptrace by other processes of the user (prctl(2), `PR_SET_DUMPABLE`;
/// getrlimit(2), `RLIMIT_CORE`), and locks memory where the limit allows.
///
/// Pages are locked when they are first used (mlock2(2), `MCL_ONFAULT`), because the kernel
/// request buffer is 16 MiB of which little is ever touched. With a finite limit nothing is
/// locked: every later allocation beyond it would fail.
///
/// # Errors
/// If the kernel refuses to forbid core dumps.
pub fn harden() -> std::io::Result<MemoryLock> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if unlimited && mlockall(flags).is_ok() {
        Ok(MemoryLock::Locked)
    } else {
        Ok(MemoryLock::NotAllowed)
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn afterwards_the_process_cannot_be_dumped() {
        harden().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
