//! Scripts that set something up, such as a machine for containers, and take it back at their end.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Starts a script that says `ready WORD` once all is set up, and ends when its stdin is closed.
/// Returns it with the word, or what it says on stderr if it ends before.
pub(crate) fn start(command: &mut Command) -> Result<(Child, String), String> {
    let mut script = command
        // Out of reach of the signals that end the test, so that the script can clean up.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let mut line = String::new();
    let stdout = script.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a pipe can be read");
    if let Some(word) = line.trim_end().strip_prefix("ready ") {
        return Ok((script, word.to_owned()));
    }
    drop(script.stdin.take());
    let mut said = String::new();
    script.stderr.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
    script.wait().expect("the script ends");
    Err(said.trim().to_owned())
}
