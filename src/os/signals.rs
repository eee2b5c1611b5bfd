//! How the process was started to deal with signals.

/// Whether SIGHUP is ignored, as `nohup` arranges it: then it has to stay so. Where `/proc` does not
/// tell, it is not.
pub fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| in_ignored(&status, HANGUP))
}

/// Whether the process has a controlling terminal that was not hung up (`tty(4)`).
pub fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether the mask `SigIgn` of a `/proc/PID/status` (proc(5)) holds the signal.
fn in_ignored(status: &str, signal: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u128::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Its number on every Linux (signal(7)).
const HANGUP: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert!(in_ignored("Name:\tx\nSigBlk:\t0\nSigIgn:\t0000000000001001\n", HANGUP));
        assert!(!in_ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n", HANGUP));
        assert!(!in_ignored("SigIgn:\tgarbage\n", HANGUP));
        assert!(!in_ignored("", HANGUP));
    }
}
