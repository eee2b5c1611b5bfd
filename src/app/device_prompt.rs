//! How a person is asked to approve a device: which page, which code. Must not know who grants it.

use std::io;
use std::process::{Command, Stdio};
use std::thread;

use qrcodegen::{QrCode, QrCodeEcc};

/// What to print, ending in a line break. On a terminal the page and the code stand out.
pub(super) fn text(uri: &str, code: &str, is_terminal: bool) -> String {
    let strong = |text: &str| {
        if is_terminal { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    };
    let (uri, code) = (strong(&plain(uri)), strong(&plain(code)));
    format!(
        "To sign in, open this page in a browser, on whatever device:\n\n  {uri}\n\nand approve \
         only if it shows this code:\n\n  {code}\n\n"
    )
}

/// The page as a QR code for a terminal, black on white whatever its colours, ending in a line break;
/// empty if the page is too long for one.
pub(super) fn qr_code(uri: &str) -> String {
    let Ok(code) = QrCode::encode_text(&plain(uri), QrCodeEcc::Low) else { return String::new() };
    let end = code.size() + QUIET_ZONE;
    let mut text = String::new();
    // Two rows of modules stand in one row of characters.
    for row in (-QUIET_ZONE..end).step_by(2) {
        text.push_str("\x1b[30;107m");
        for column in -QUIET_ZONE..end {
            // Outside of the code every module is light.
            let dark = |row| code.get_module(column, row);
            text.push(match (dark(row), dark(row + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push_str("\x1b[0m\n");
    }
    text + "\n"
}

/// The light border, in modules. Scanners get along with less than the four of ISO/IEC 18004.
const QUIET_ZONE: i32 = 2;

/// Opens the page in the person's browser, by way of xdg-open, whose end is not waited for.
///
/// # Errors
/// If it is no page of the web, or there is no xdg-open.
pub(super) fn open_browser(uri: &str) -> io::Result<()> {
    if !["https://", "http://"].iter().any(|scheme| uri.starts_with(scheme)) {
        return Err(io::Error::other("it is no page of the web"));
    }
    let mut command = Command::new("xdg-open");
    let command = command.arg(uri).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn()?;
    // Somebody has to hear of its end; what it was does not matter, since the page is printed.
    thread::spawn(move || child.wait());
    Ok(())
}

/// What the service sent, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_and_code_stand_on_lines_of_their_own() {
        let told = text("https://device.sso/?user_code=ABCD-EFGH", "ABCD-EFGH", false);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines.contains(&"  https://device.sso/?user_code=ABCD-EFGH"), "{told}");
        assert!(lines.contains(&"  ABCD-EFGH"), "{told}");
    }

    #[test]
    fn a_service_cannot_write_to_the_terminal() {
        let told = text("https://x/\x1b[2J", "A\r\nB\x07", true);
        assert!(told.contains("https://x/[2J") && told.contains("AB"), "{told:?}");
        assert_eq!(told.matches('\x1b').count(), 4, "ours");
    }

    #[test]
    fn a_qr_code_is_square_and_has_a_light_border() {
        let text = qr_code("https://device.sso/?user_code=ABCD-EFGH");
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let bare = |line: &&str| line.replace("\x1b[30;107m", "").replace("\x1b[0m", "");
        let widths: Vec<usize> = lines.iter().map(|line| bare(line).chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
        assert_eq!(lines.len(), widths[0].div_ceil(2));
        assert!(bare(&lines[0]).trim().is_empty() && text.contains('█'), "{text}");
        assert_eq!(qr_code(&"x".repeat(5000)), "");
    }

    #[test]
    fn only_pages_of_the_web_are_opened() {
        for uri in ["file:///etc/passwd", "--help", "", "javascript:0"] {
            assert!(open_browser(uri).is_err(), "{uri}");
        }
    }
}
