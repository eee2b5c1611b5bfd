//! How `fusermount3` is started: directly, or where this process may gain no privileges, by the
//! service manager that confined it.

use std::fs;
use std::process::Command;

use rustix::process::geteuid;

/// The helper, without the base credentials that our environment may hold: it needs none. If
/// `passes_descriptor`, it finds a socket for the descriptor of the mount at its stdin.
pub(super) fn fusermount(passes_descriptor: bool) -> Command {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = geteuid().is_root();
    let mut command = if is_confined(&status, root) {
        let mut command = Command::new("systemd-run");
        command.args((!root).then_some("--user"));
        // With our stdin and stderr, and no longer there than it runs.
        command.args(["--quiet", "--pipe", "--wait", "--collect"]);
        command.args(passes_descriptor.then_some("--setenv=_FUSE_COMMFD=0"));
        command.args(["--", "fusermount3"]);
        command
    } else {
        let mut command = Command::new("fusermount3");
        command.envs(passes_descriptor.then_some(("_FUSE_COMMFD", "0")));
        command
    };
    for secret in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        command.env_remove(secret);
    }
    command
}

/// Whether a process with this `/proc/PID/status` (proc(5)) can neither mount nor become able to by
/// the setuid bit of `fusermount3`, as with `NoNewPrivileges=` (systemd.exec(5)).
fn is_confined(status: &str, root: bool) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if root {
        let capabilities = field("CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        capabilities.is_some_and(|mask| mask >> CAP_SYS_ADMIN & 1 == 0)
    } else {
        field("NoNewPrivs:") == Some("1")
    }
}

/// The number of the capability that mounting needs (capabilities(7)).
const CAP_SYS_ADMIN: u32 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_can_gain_no_privileges_is_confined() {
        assert!(is_confined("CapEff:\t0000000000000000\nNoNewPrivs:\t1\n", false));
        assert!(!is_confined("CapEff:\t0000000000000000\nNoNewPrivs:\t0\n", false));
        assert!(!is_confined("", false));
    }

    #[test]
    fn root_is_confined_without_the_capability_to_mount() {
        assert!(!is_confined("CapEff:\t000001ffffffffff\nNoNewPrivs:\t1\n", true));
        assert!(is_confined("CapEff:\t000001ffffdfffff\nNoNewPrivs:\t0\n", true));
    }
}
