//! A reader that lives on, in a mount namespace of its own where a mount is bound, as a container
//! has it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Scene;
use super::namespace::{in_mount_namespace, namespaces_available};

/// Reads what it is asked for until it is dropped.
#[derive(Debug)]
pub(crate) struct Reader {
    child: Child,
    asks: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Reader {
    /// A reader that has `mountpoint` bound; `None`, said loudly, where that cannot be.
    pub(crate) fn in_a_bind(scene: &Scene, mountpoint: &Path) -> Option<Self> {
        if !namespaces_available(scene) {
            return None;
        }
        let target = scene.path("bind");
        let script = "cd / && while read -r path; do \
            if [ -d \"$0/$path\" ]; then ls \"$0/$path\"; else cat \"$0/$path\"; fi; echo END; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(&target);
        let mut command = in_mount_namespace(scene, &[(mountpoint.to_owned(), target)], &command);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a reader");
        let (asks, told) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Some(Self { child, asks: asks.expect("a pipe"), told: told.expect("a pipe") })
    }

    /// What a file says there; empty if it cannot be read.
    pub(crate) fn read(&mut self, name: &str) -> String {
        writeln!(self.asks, "{name}").expect("the reader lives");
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let length = self.told.read_line(&mut line).expect("the reader tells");
            assert!(length > 0, "the reader has ended");
            // A file need not end with a newline.
            if let Some(rest) = line.strip_suffix("END\n") {
                return text + rest;
            }
            text += &line;
        }
    }

    /// The names in the directory.
    pub(crate) fn list(&mut self) -> Vec<String> {
        self.read(".").lines().map(str::to_owned).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
