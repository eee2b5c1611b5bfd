//! Asks for an MFA code on the terminal, without showing it.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::model::{MfaCode, MfaDevice};

/// Whether there is a terminal to ask on: one that shows the question and one that takes the answer.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The code of `device`; `None` if nobody wants to give one: an empty line, Ctrl-C or Ctrl-D. What is
/// no code is asked for again, a few times.
///
/// # Errors
/// If the terminal cannot be read.
pub(super) fn ask(device: &MfaDevice) -> io::Result<Option<MfaCode>> {
    let mut err = io::stderr();
    for _ in 0..TRIES {
        // First: who answers at once is neither shown nor passed over.
        let quiet = Quiet::new()?;
        write!(err, "MFA code of {device} (Enter to go on without): ")?;
        let answer = answer();
        drop(quiet);
        writeln!(err)?;
        let Some(text) = answer?.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        match MfaCode::parse(&text) {
            Ok(code) => return Ok(Some(code)),
            Err(error) => writeln!(err, "{error}")?,
        }
    }
    Ok(None)
}

/// One line of a terminal that is [`Quiet`]; `None` for Ctrl-C, Ctrl-D and a terminal that goes away.
fn answer() -> io::Result<Option<Zeroizing<String>>> {
    // Never grows, so no copy of a code is left behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    loop {
        let mut byte = [0];
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(Some(text)),
            CTRL_C | CTRL_D => return Ok(None),
            BACKSPACE | DELETE => drop(text.pop()),
            byte if byte.is_ascii() && text.len() < LONGEST => text.push(byte.into()),
            _ => {}
        }
    }
}

/// A terminal that shows nothing of what is typed and raises no signals, until it is dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question is no answer to it.
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nothing else to do for a terminal that cannot be set.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// How often a text that is no code is asked for again.
const TRIES: u32 = 3;

/// More than any code; what is typed beyond is left out, and so refused.
const LONGEST: usize = 64;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;
