//! `/proc/PID/mountinfo`: paths in it are chosen by whoever mounts.

#![no_main]

use credmount::os::mountinfo::{MountEntry, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let entries = parse(text);
    assert!(entries.len() <= text.split(|byte| *byte == b'\n').count());
    for entry in entries {
        // What was understood is what the kernel would write for it.
        let again = parse(&line(&entry));
        assert_eq!(
            again,
            std::slice::from_ref(&entry),
            "{:?}",
            String::from_utf8_lossy(&line(&entry))
        );
        let _ = (entry.is_ours(), entry.path());
    }
});

/// As the kernel writes an entry (`show_mountinfo` in `fs/proc_namespace.c`).
fn line(entry: &MountEntry) -> Vec<u8> {
    let mut line = b"36 35 ".to_vec();
    line.extend(entry.device.as_bytes());
    for field in [&entry.root, &entry.mountpoint] {
        line.push(b' ');
        for byte in field {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                    line.extend(format!("\\{byte:03o}").bytes());
                }
                _ => line.push(*byte),
            }
        }
    }
    line.extend(b" ro,nosuid shared:7 - ");
    line.extend(entry.fstype.as_bytes());
    line.extend(b" credmount ro\n");
    line
}
