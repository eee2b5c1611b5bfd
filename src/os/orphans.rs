//! Processes that have lost their parent. The first process of a container becomes the parent of all
//! of them there, and only it can have the kernel forget those that end (`pid_namespaces(7)`).

use std::fs;

use rustix::process::{Pid, WaitOptions, waitpid};

/// Has the kernel forget the children that have ended, but for `own`, for which somebody else waits.
/// Does nothing where the kernel lists no children (`proc_pid_task(5)`, `CONFIG_PROC_CHILDREN`).
pub fn reap(own: Option<u32>) {
    let own = own.and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    for pid in children().into_iter().filter(|pid| Some(*pid) != own) {
        // One that has not ended is looked at again when it has.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// The children of all threads.
fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids = |list: String| -> Vec<Pid> {
        list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    };
    lists.flat_map(pids).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_child_is_listed_as_long_as_nobody_has_waited_for_it() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(children().contains(&pid));
        child.wait().unwrap();
        assert!(!children().contains(&pid));
    }
}
