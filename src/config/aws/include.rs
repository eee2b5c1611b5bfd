//! `config_include`: a file with sections for `config` → the same in the one form that every AWS
//! SDK reads. Knows no file system; a line that any SDK would stumble over is an error here, since
//! there it would take all profiles away.
//!
//! Comments and blank lines are left out of the result: some SDKs take an indented comment for a
//! part of the value above, PHP takes some signs in comments for syntax.

use std::fmt::Write as _;
use std::path::Path;

use crate::config::values::{Origin, Report, shown};
use crate::model::ProfileName;

/// The largest file, in bytes. It is rendered into each `config` anew.
pub const LARGEST: usize = 64 * 1024;

/// The longest value, in bytes.
const LONGEST_VALUE: usize = 1024;

/// Keys that are secret, or belong to some: the mount would show them to all its readers.
const STATIC_KEYS: [&str; 4] =
    ["aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token"];

/// What the mount renders itself.
#[derive(Debug)]
pub(in crate::config) struct Taken<'a> {
    /// The names of its profiles.
    pub(in crate::config) profiles: &'a [&'a str],
    /// Whether one of them is also `[default]`.
    pub(in crate::config) default: bool,
}

/// The sections in their one form, with a newline at the end; empty if something is wrong, which is
/// in the report.
pub(in crate::config) fn checked(
    path: &Path,
    bytes: &[u8],
    taken: &Taken<'_>,
    report: &mut Report,
) -> String {
    if bytes.len() > LARGEST {
        let message = "config_include has more than 64 KiB: leave out what readers do not need";
        report.error(&Origin::line(path, 1), message);
        return String::new();
    }
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            report.error(&Origin::line(path, line), "not UTF-8: save the file as UTF-8");
            return String::new();
        }
    };
    let mut include = Include { taken, sections: Vec::new(), lost: false };
    let mut clean = true;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Err(message) = include.add(line, number) {
            report.error(&Origin::line(path, number), message);
            clean = false;
        }
    }
    for (line, message) in include.unfinished() {
        report.error(&Origin::line(path, line), message);
        clean = false;
    }
    if clean { include.rendered() } else { String::new() }
}

/// The file as far as it has been read.
struct Include<'a> {
    taken: &'a Taken<'a>,
    sections: Vec<Section>,
    /// Whether the last header was wrong, so that nobody knows whose keys follow.
    lost: bool,
}

struct Section {
    header: String,
    properties: Vec<Property>,
}

struct Property {
    key: String,
    /// Empty for a block of indented lines.
    value: String,
    line: usize,
    nested: Vec<(String, String)>,
}

impl Include<'_> {
    fn add(&mut self, raw: &str, line: usize) -> Result<(), String> {
        let text = raw.trim();
        if let Some(wrong) = text.chars().find(|c| c.is_control() && *c != '\t') {
            let wrong = wrong.escape_debug();
            return Err(format!("the control character `{wrong}` is in this line: remove it"));
        }
        if text.is_empty() || text.starts_with(['#', ';']) {
            return Ok(());
        }
        let indented = raw.starts_with(char::is_whitespace);
        if text.starts_with('[') && !indented {
            let header = self.header(text);
            self.lost = header.is_err();
            self.sections.push(Section { header: header?, properties: Vec::new() });
            return Ok(());
        }
        if self.lost {
            return Ok(());
        }
        let Some(section) = self.sections.last_mut() else {
            return Err("a line before the first section: write a header such as [profile NAME] \
                        above it"
                .to_owned());
        };
        let (key, value) = pair(text)?;
        if indented {
            return section.nest(key, value);
        }
        if section.properties.iter().any(|earlier| earlier.key == key) {
            let (key, header) = (shown(key), &section.header);
            return Err(format!("{key} stands twice in [{header}]: keep one"));
        }
        section.properties.push(Property {
            key: key.to_owned(),
            value: value.to_owned(),
            line,
            nested: Vec::new(),
        });
        Ok(())
    }

    /// What stands between the brackets, in its one form.
    fn header(&self, text: &str) -> Result<String, String> {
        let forms = "write [profile NAME], [sso-session NAME], [services NAME], [plugins] or \
                     [default]";
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let Some(inside) = inside.filter(|inside| !inside.contains(['[', ']'])) else {
            return Err(format!(
                "no section header that every SDK reads: {forms}, alone on its line"
            ));
        };
        let words: Vec<&str> = inside.split_whitespace().collect();
        let header = match words[..] {
            ["default" | "plugins"] => words[0].to_owned(),
            ["profile", "default"] => {
                return Err("[profile default] is [default] to SDKs: write [default]".to_owned());
            }
            [kind @ ("profile" | "sso-session" | "services"), name] => {
                if let Err(error) = ProfileName::parse(name) {
                    return Err(if kind == "profile" {
                        error.to_string()
                    } else {
                        let found = shown(name);
                        format!(
                            "{kind} {found} is no name that every SDK reads: use letters, digits and _ - . @ : + %"
                        )
                    });
                }
                format!("{kind} {name}")
            }
            [name] if !["profile", "sso-session", "services"].contains(&name) => {
                let (found, name) = (shown(inside), name.escape_debug());
                return Err(format!(
                    "section {found} is none that SDKs know in `config`: for a profile, write \
                     [profile {name}]"
                ));
            }
            _ => {
                let found = shown(inside);
                return Err(format!("section {found} is none that every SDK reads: {forms}"));
            }
        };
        let rendered = match header.strip_prefix("profile ") {
            Some(name) => self.taken.profiles.contains(&name),
            None => header == "default" && self.taken.default,
        };
        if rendered {
            return Err(format!(
                "[{header}] is rendered by the mount itself, and SDKs refuse a section that stands \
                 twice: choose another name"
            ));
        }
        if self.sections.iter().any(|section| section.header == header) {
            return Err(format!("[{header}] stands twice: put its keys into one section"));
        }
        Ok(header)
    }

    /// Keys that have neither a value nor a block.
    fn unfinished(&self) -> impl Iterator<Item = (usize, String)> {
        let properties = self.sections.iter().flat_map(|section| &section.properties);
        properties.filter(|property| property.value.is_empty() && property.nested.is_empty()).map(
            |property| {
                let key = shown(&property.key);
                (property.line, format!("{key} has no value: give it one, or remove the line"))
            },
        )
    }

    fn rendered(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "[{}]", section.header);
            for Property { key, value, nested, .. } in &section.properties {
                let _ = match value.as_str() {
                    "" => writeln!(text, "{key} ="),
                    value => writeln!(text, "{key} = {value}"),
                };
                for (key, value) in nested {
                    let _ = writeln!(text, "  {key} = {value}");
                }
            }
        }
        text
    }
}

impl Section {
    /// Adds an indented line to the block above it.
    fn nest(&mut self, key: &str, value: &str) -> Result<(), String> {
        let Some(owner) = self.properties.last_mut() else {
            return Err(
                "an indented line without a key above it: remove the spaces before it".to_owned()
            );
        };
        if !owner.value.is_empty() {
            let owner = shown(&owner.key);
            return Err(format!(
                "an indented line below {owner}, which has a value already, so that some SDKs take \
                 it for a part of the value: remove the spaces before it"
            ));
        }
        if value.is_empty() {
            return Err(format!("{} has no value: SDKs read one level of blocks only", shown(key)));
        }
        if owner.nested.iter().any(|(earlier, _)| earlier == key) {
            let (key, owner) = (shown(key), shown(&owner.key));
            return Err(format!("{key} stands twice in the block of {owner}: keep one"));
        }
        owner.nested.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// `key = value`; no message repeats the value, which may be a secret.
fn pair(text: &str) -> Result<(&str, &str), String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("a line without `=`: write it as key = value".to_owned());
    };
    let (key, value) = (key.trim(), value.trim());
    if STATIC_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
        return Err(format!(
            "{key} would be served to every reader and never renewed: keep keys in the AWS \
             credentials file, and serve that profile as a role"
        ));
    }
    let legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    if key.is_empty() || !key.bytes().all(legal) {
        let key = shown(key);
        return Err(format!(
            "{key} is no key that every SDK reads: use lower-case letters, digits and _ - ."
        ));
    }
    if let Some(problem) = value_problem(value) {
        return Err(format!("the value of {} {problem}", shown(key)));
    }
    Ok((key, value))
}

/// Why SDKs would read a value differently; `None` when they do not.
fn value_problem(value: &str) -> Option<&'static str> {
    let comment = || {
        let pairs = value.chars().zip(value.chars().skip(1));
        let mut pairs = pairs.filter(|(_, sign)| *sign == '#');
        value.starts_with('#') || pairs.any(|(before, _)| before.is_whitespace())
    };
    if value.contains(';') {
        Some("contains `;`, where some SDKs begin a comment: write it without")
    } else if comment() {
        Some(
            "has a `#` after a space, where some SDKs begin a comment: put the comment on a line of its own",
        )
    } else if value.starts_with(['"', '\'']) {
        Some("begins with a quote, which some SDKs keep and some drop: write it without")
    } else if value.contains('\t') {
        Some("contains a tab: write a space")
    } else if value.len() > LONGEST_VALUE {
        Some("has more than 1024 bytes: make it shorter")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAKEN: Taken<'static> = Taken { profiles: &["prod"], default: true };

    fn result(bytes: &[u8]) -> Result<String, String> {
        let mut report = Report::default();
        let text = checked("inc".as_ref(), bytes, &TAKEN, &mut report);
        report.finish().map(|_| text).map_err(|errors| errors.to_string())
    }

    #[test]
    fn sections_come_out_in_one_form() {
        let text = "\u{feff}# comment = \"\r\n[ profile  ci ]\r\n\n  # more\nrole_arn=arn:aws:iam::123456789012:role/x\n\
                    source_profile = prod\ns3 =\n\tmax_queue_size = 10\n; end\n[services x]\n\
                    sso_start_url = https://a/start#/";
        let expected = "[profile ci]\nrole_arn = arn:aws:iam::123456789012:role/x\n\
                        source_profile = prod\ns3 =\n  max_queue_size = 10\n[services x]\n\
                        sso_start_url = https://a/start#/\n";
        assert_eq!(result(text.as_bytes()).as_deref(), Ok(expected));
        assert_eq!(result(expected.as_bytes()).as_deref(), Ok(expected), "it stays as it is");
        assert_eq!(result(b"").as_deref(), Ok(""));
    }

    #[test]
    fn a_line_that_breaks_an_sdk_is_refused() {
        for (text, problem) in [
            ("a = b", "inc:1: a line before the first section"),
            ("[profile a]\nb", "inc:2: a line without `=`"),
            ("[profile a]\nB = c", "`B` is no key"),
            ("[profile a]\nb = c\nb = d", "inc:3: `b` stands twice"),
            ("[profile a]\n[profile a]", "inc:2: [profile a] stands twice"),
            ("[profile prod]", "is rendered by the mount itself"),
            ("[default]", "is rendered by the mount itself"),
            ("[profile default]", "write [default]"),
            ("[profile x@live]", "ends with `@live`"),
            ("[profile \"a b\"]", "is none that every SDK reads"),
            ("[prod]", "write [profile prod]"),
            ("[profile]", "is none that every SDK reads"),
            ("[broken", "no section header"),
            ("[profile a] # c", "no section header"),
            ("[services a/b]", "is no name"),
            (" [profile a]", "inc:1: a line before"),
            ("[profile a]\n b = c", "an indented line without a key"),
            ("[profile a]\nb = c\n d = e", "which has a value already"),
            ("[profile a]\nb =\n[profile c]", "inc:2: `b` has no value"),
            ("[profile a]\nb =\n c =", "inc:3: `c` has no value"),
            ("[profile a]\nb =\n c = 1\n c = 2", "inc:4: `c` stands twice in the block of `b`"),
            ("[profile a]\nb = c # d", "has a `#` after a space"),
            ("[profile a]\nb = c;d", "contains `;`"),
            ("[profile a]\nb = \"c\"", "begins with a quote"),
            ("[profile a]\nb = c\0", "control character `\\0`"),
            ("[profile a]\nb = c\rd", "control character `\\r`"),
        ] {
            let found = result(text.as_bytes()).expect_err("refused");
            assert!(found.contains(problem), "{text:?}: {found}");
        }
        assert!(result(b"[profile a]\n\xff").expect_err("refused").starts_with("inc:2: not UTF-8"));
        assert!(result(&vec![b'#'; LARGEST]).is_ok());
        assert!(result(&vec![b'#'; LARGEST + 1]).is_err());
    }

    #[test]
    fn keys_are_neither_served_nor_repeated() {
        let text =
            "[profile a]\nAWS_Secret_Access_Key = planted\nb =\n aws_session_token = planted\n";
        let found = result(text.as_bytes()).expect_err("refused");
        assert_eq!(found.matches("would be served to every reader").count(), 2);
        assert!(!found.contains("planted"), "{found}");
    }

    #[test]
    fn all_errors_are_told_but_not_those_that_follow_from_others() {
        let found = result(b"[a\nx\ny\n[profile b]\nz\n").expect_err("refused");
        assert_eq!(found.lines().count(), 2, "{found}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_accepted_stays_as_it_is(
            text in "(\\[profile a\\]\n|\\[default\\]\n|\\[|\\]|=| |\t|\n|\r|#|;|a|b|é|s3 =\n  k = v\n){0,40}"
        ) {
            if let Ok(once) = result(text.as_bytes()) {
                prop_assert_eq!(result(once.as_bytes()), Ok(once));
            }
        }
    }
}
