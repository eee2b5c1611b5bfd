//! The two things about descriptors that have no safe interface. The only unsafe code.

#![expect(unsafe_code, reason = "numbers become descriptors here, and nowhere else")]

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{DupFlags, FdFlags, dup3, fcntl_setfd};

/// The first number that a service manager passes (`SD_LISTEN_FDS_START`, `sd_listen_fds(3)`).
pub const FIRST_PASSED: RawFd = 3;

/// Takes possession of `count` descriptors that the service manager passed to this process, from
/// [`FIRST_PASSED`] on, in their order; `None` where a number is not open. They are closed in child
/// processes from now on.
///
/// To be called first thing in the process, before anything else is opened, and only if the
/// environment says that they are for this process. A second call gives nothing.
pub fn passed(count: usize) -> Vec<Option<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let last = RawFd::try_from(count).unwrap_or(0).saturating_add(FIRST_PASSED);
    (FIRST_PASSED..last).map(take).collect()
}

fn take(number: RawFd) -> Option<OwnedFd> {
    // An open descriptor has an entry there, whatever it is.
    fs::symlink_metadata(format!("/proc/self/fd/{number}")).ok()?;
    // SAFETY: the number is open, as was just seen, and nobody else in this process owns it: numbers
    // from 3 on were opened before the process began, the protocol gives them to us, and each is
    // taken at most once.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC).ok()?;
    Some(fd)
}

/// Makes the number of `of` mean what `by` means, without its owner's knowledge: whoever reads and
/// writes by that number reads and writes there from now on (`dup3(2)`).
///
/// # Errors
/// As `dup3(2)`; then nothing has changed.
pub fn replace(of: BorrowedFd<'_>, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the number is open for as long as `of` is borrowed, and the second owner that is made
    // of it here is never dropped, so the number is closed by its first owner alone.
    let mut number = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(of.as_raw_fd()) });
    Ok(dup3(by, &mut number, DupFlags::CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_replaced_descriptor_leads_elsewhere_and_is_closed_once() {
        let (mut reader, writer) = io::pipe().unwrap();
        let null = File::options().write(true).open("/dev/null").unwrap();
        replace(null.as_fd(), writer.as_fd()).unwrap();
        drop(writer);
        (&null).write_all(b"here").unwrap();
        drop(null);
        let mut text = String::new();
        // Ends, so the last writer is closed.
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "here");
    }

    #[test]
    fn descriptors_are_taken_once_and_only_if_open() {
        assert!(take(900).is_none());
        assert_eq!(passed(0).len(), 0);
        assert_eq!(passed(2).len(), 0);
    }
}
