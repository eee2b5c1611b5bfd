//! What a program writes, opens and starts, as the kernel sees it: strace(1) of a command and of all
//! that it starts. Only root sees into a process that cannot be dumped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use super::search::Evidence;
use crate::support::skipped;

/// Calls that write, by which descriptor is written to: the first, or the last that stands there.
const WRITES: [(&str, Written); 14] = [
    ("write", Written::First),
    ("pwrite64", Written::First),
    ("writev", Written::First),
    ("pwritev", Written::First),
    ("pwritev2", Written::First),
    ("sendto", Written::First),
    ("sendmsg", Written::First),
    ("sendmmsg", Written::First),
    ("sendfile", Written::First),
    ("sendfile64", Written::First),
    ("vmsplice", Written::First),
    ("copy_file_range", Written::Last),
    ("splice", Written::Last),
    ("tee", Written::Last),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    First,
    Last,
}

/// Calls whose data the kernel takes without that strace could show it.
const UNSEEN: [&str; 6] =
    ["sendfile", "sendfile64", "vmsplice", "copy_file_range", "splice", "tee"];

/// The other calls that are watched. None of those of a ring may be made: it writes without calls.
const OTHERS: [&str; 8] =
    ["open", "openat", "openat2", "creat", "memfd_create", "execve", "execveat", "io_uring_setup"];

/// Whether commands can be traced here; says loudly if not.
pub(super) fn is_possible() -> bool {
    let reason = if !geteuid().is_root() {
        "only root can see what a process writes that cannot be dumped"
    } else if !Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|it| it.success())
    {
        "strace is not installed, or may not trace"
    } else {
        return true;
    };
    skipped(reason);
    false
}

/// `command` under strace, which writes to `file` and ends when all that it traces has ended.
pub(super) fn traced(command: &Command, file: &Path) -> Command {
    // A call that this machine does not have is no error with `?`.
    let names = WRITES.iter().map(|(name, _)| *name).chain(OTHERS).map(|name| format!("?{name}"));
    let names = format!("trace={}", names.collect::<Vec<_>>().join(","));
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-yy",
            "-v",
            "-s",
            "1048576",
            "-e",
            "signal=abrt,segv,quit,bus,ill",
            "-e",
            &names,
            "-o",
        ])
        .arg(file)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace
}

/// What a trace tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What was written, by where to: a path, or `TCP:[…]`, `UNIX-STREAM:[…]`, `pipe:[…]`.
    pub(super) written: BTreeMap<String, Vec<u8>>,
    /// Where to was written what strace cannot show.
    pub(super) unseen: BTreeSet<String>,
    /// The files that were to be opened for writing.
    pub(super) opened: BTreeSet<String>,
    /// The arguments of each program that was started.
    pub(super) arguments: Vec<u8>,
    /// The environments of these.
    pub(super) environments: Vec<u8>,
    /// How processes ended by signals, such as `SIGABRT (core dumped)`.
    pub(super) killed: Vec<String>,
    /// Whether a ring was made, through which the kernel writes without a call.
    pub(super) has_ring: bool,
}

impl Told {
    pub(super) fn of(trace: &str) -> Self {
        let mut told = Self::default();
        for line in trace.lines() {
            let Some((_pid, line)) = line.split_once(' ') else { continue };
            let line = line.trim_start();
            if let Some(how) = line.strip_prefix("+++ killed by ") {
                told.killed.push(how.trim_end_matches(" +++").to_owned());
            } else if let Some((name, arguments)) = line.split_once('(') {
                told.hear(name, arguments);
            }
        }
        told
    }

    fn hear(&mut self, name: &str, arguments: &str) {
        if let Some((_, written)) = WRITES.iter().find(|(it, _)| *it == name) {
            let (to, rest) = descriptor(arguments, *written)
                .unwrap_or_else(|| (format!("{name} to nobody"), arguments));
            if UNSEEN.contains(&name) {
                self.unseen.insert(to);
            } else {
                self.written.entry(to).or_default().extend(texts(rest, b""));
            }
            return;
        }
        match name {
            "execve" | "execveat" => {
                let (arguments, environment) =
                    arguments.split_once("], [").unwrap_or((arguments, ""));
                self.arguments.extend(texts(arguments, b"\n"));
                self.environments.extend(texts(environment, b"\n"));
            }
            "open" | "openat" | "openat2" if is_for_writing(arguments) => {
                self.opened.insert(String::from_utf8_lossy(&texts(arguments, b"")).into_owned());
            }
            "creat" | "memfd_create" => {
                let path = String::from_utf8_lossy(&texts(arguments, b"")).into_owned();
                self.opened.insert(format!("{name} {path}"));
            }
            "io_uring_setup" => self.has_ring = true,
            _ => {}
        }
    }

    /// What must hold no secret: all that was written but to where `may_hold` says, and what was
    /// started.
    pub(super) fn testify(
        self,
        who: &str,
        evidence: &mut Evidence,
        may_hold: impl Fn(&str) -> bool,
    ) {
        for (to, bytes) in self.written {
            if !may_hold(&to) {
                evidence.add(format!("written to {to} by {who}"), bytes);
            }
        }
        evidence.add(format!("arguments of what {who} starts"), self.arguments);
        evidence.add(format!("environment of what {who} starts"), self.environments);
    }
}

fn is_for_writing(arguments: &str) -> bool {
    ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE"].iter().any(|flag| arguments.contains(flag))
}

/// What a descriptor among the arguments of a call stands for, and the rest of the arguments:
/// `3</tmp/x>, "…"` → `/tmp/x`.
fn descriptor(arguments: &str, which: Written) -> Option<(String, &str)> {
    let is_named = |at: &usize| {
        arguments[..*at].chars().next_back().is_some_and(|before| before.is_ascii_digit())
    };
    let mut named = arguments.match_indices('<').map(|(at, _)| at).filter(is_named);
    let start = match which {
        // Nothing is before it but its number; what is written may look like anything.
        Written::First => arguments.find(|c: char| !c.is_ascii_digit())?,
        Written::Last => named.next_back()?,
    };
    let rest = arguments[start..].strip_prefix('<')?;
    // `/tmp/x>`, `/dev/null<char 1:3>>`, `/tmp/x>(deleted)`; or `TCP:[…->…]>`.
    let end = if rest.starts_with('/') {
        rest.find(['<', '>'])
    } else {
        rest.find("]>").map(|at| at + 1)
    };
    let (name, rest) = rest.split_at(end.or_else(|| rest.find('>'))?);
    Some((name.to_owned(), rest))
}

/// The bytes of all quoted texts among the arguments of a call, with `between` behind each.
fn texts(arguments: &str, between: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = arguments.bytes().peekable();
    let mut inside = false;
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => {
                inside = !inside;
                bytes.extend(if inside { b"" } else { between });
            }
            b'\\' if inside => {
                let is_octal = |it: &u8| matches!(it, b'0'..=b'7');
                let mut octal = None;
                for _ in 0..3 {
                    let Some(digit) = rest.next_if(is_octal) else { break };
                    octal = Some(octal.unwrap_or(0) * 8 + u32::from(digit - b'0'));
                }
                let escaped = octal.map(|octal| octal.to_le_bytes()[0]);
                let named = |it| if it == b'n' { b'\n' } else { it };
                bytes.extend(escaped.or_else(|| rest.next().map(named)));
            }
            byte if inside => bytes.push(byte),
            _ => {}
        }
    }
    bytes
}

mod tests {
    use super::*;

    fn written(line: &str) -> Vec<(String, String)> {
        let told = Told::of(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        told.written.iter().map(|(to, bytes)| (to.clone(), text(bytes))).collect()
    }

    #[test]
    fn what_is_written_is_told_with_where_to() {
        for (line, to, text) in [
            (r#"7 write(3</tmp/x>, "a\n\"b\\\101\3778", 5)   = 5"#, "/tmp/x", "a\n\"b\\A\u{fffd}8"),
            (r#"18 write(2</dev/null<char 1:3>>, "q", 1 <unfinished ...>"#, "/dev/null", "q"),
            (
                r#"7 writev(5</dev/fuse<char 10:229>>, [{iov_base="a", iov_len=1}, {iov_base="b", iov_len=1}], 2) = 2"#,
                "/dev/fuse",
                "ab",
            ),
            (
                r#"7 sendto(4<TCP:[127.0.0.1:3->127.0.0.1:4]>, "hi", 2, 0, NULL, 0) = 2"#,
                "TCP:[127.0.0.1:3->127.0.0.1:4]",
                "hi",
            ),
            (r#"7 write(3</tmp/x>(deleted), "8</dev/fuse>, ", 5) = 5"#, "/tmp/x", "8</dev/fuse>, "),
            (
                r#"7 sendmsg(6<UNIX-STREAM:[1->2,"/run/x"]>, {msg_name=NULL, msg_iov=[{iov_base="x", iov_len=1}]}, 0) = 1"#,
                r#"UNIX-STREAM:[1->2,"/run/x"]"#,
                "x",
            ),
            (r#"7 write(3, "secret", 6) = 6"#, "write to nobody", "secret"),
        ] {
            assert_eq!(written(line), [(to.to_owned(), text.to_owned())], "{line}");
        }
    }

    #[test]
    fn texts_in_parts_are_put_together() {
        let trace = "7 write(3</x>, \"sec\", 3) = 3\n8 write(4</y>, \"-\", 1) = 1\n7 write(3</x>, \"ret\", 3) = 3\n";
        assert_eq!(written(trace)[0], ("/x".to_owned(), "secret".to_owned()));
    }

    #[test]
    fn what_cannot_be_seen_is_told_with_where_to() {
        let told = Told::of(
            "7 copy_file_range(3</a>, NULL, 4</b>, NULL, 9, 0) = 1\n7 sendfile(5</c>, 6</d>, NULL, 9) = 9\n\
             7 splice(3<pipe:[1]>, NULL, 4</dev/fuse<char 10:229>>, NULL, 9, 0) = 9\n",
        );
        assert_eq!(told.unseen.into_iter().collect::<Vec<_>>(), ["/b", "/c", "/dev/fuse"]);
        assert!(Told::of("7 io_uring_setup(8, {}) = 3\n").has_ring);
    }

    #[test]
    fn programs_files_and_ends_are_told() {
        let told = Told::of(
            "7 execve(\"/bin/a\", [\"a\", \"b\"], [\"C=d\"]) = 0\n\
             7 openat(AT_FDCWD</tmp>, \"log\", O_WRONLY|O_CREAT, 0600) = 3</tmp/log>\n\
             7 openat(AT_FDCWD</tmp>, \"in\", O_RDONLY) = 3</tmp/in>\n\
             7 +++ killed by SIGABRT (core dumped) +++\n8 +++ exited with 0 +++\n",
        );
        assert_eq!(
            (&told.arguments[..], &told.environments[..]),
            (&b"/bin/a\na\nb\n"[..], &b"C=d\n"[..])
        );
        assert_eq!(told.opened.into_iter().collect::<Vec<_>>(), ["log"]);
        assert_eq!(told.killed, ["SIGABRT (core dumped)"]);
    }
}
