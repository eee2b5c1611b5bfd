//! One AWS shared file (`config` or `credentials`): text → sections with lines.
//!
//! A broken line spoils only its own section, so that roles which do not need it still work; no
//! INI crate tells the line of each key and goes on after an error. Values of `aws_*` keys are
//! not kept: they may be secrets, and no message repeats a line.

use crate::config::SourceText;

/// A section, also one without any use for us.
#[derive(Debug)]
pub(in crate::config) struct Section {
    /// What stands between the brackets, trimmed.
    pub(in crate::config) header: String,
    /// The line of the header, from 1.
    pub(in crate::config) line: usize,
    /// Its keys, in order.
    pub(in crate::config) properties: Vec<Property>,
    /// Its broken lines.
    pub(in crate::config) problems: Vec<Problem>,
}

/// One `key = value`, with the indented lines below it.
#[derive(Debug, Clone)]
pub(in crate::config) struct Property {
    /// The key, lower case.
    pub(in crate::config) key: String,
    /// The value without comment and white space at its ends; empty for `aws_*` keys.
    pub(in crate::config) value: String,
    /// The line, from 1.
    pub(in crate::config) line: usize,
    /// The pairs of a nested block such as `s3 =`.
    pub(in crate::config) nested: Vec<(String, String)>,
}

/// A line that is no part of the format.
#[derive(Debug, Clone)]
pub(in crate::config) struct Problem {
    /// The line, from 1.
    pub(in crate::config) line: usize,
    /// What is wrong with it; never its text.
    pub(in crate::config) what: &'static str,
}

/// The sections, and the broken lines outside of any.
pub(in crate::config) fn parse(source: &SourceText) -> (Vec<Section>, Vec<Problem>) {
    let mut sections: Vec<Section> = Vec::new();
    let mut problems = Vec::new();
    // After a broken header nobody knows whose keys follow: they are skipped.
    let mut skipping = false;
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if raw.starts_with('[') {
            let header = header(raw);
            skipping = header.is_none();
            match header {
                Some(header) => sections.push(Section {
                    header: header.to_owned(),
                    line,
                    properties: Vec::new(),
                    problems: Vec::new(),
                }),
                None => problems.push(Problem { line, what: "section header without `]`" }),
            }
            continue;
        }
        if skipping {
            continue;
        }
        match sections.last_mut() {
            Some(section) => {
                if let Err(what) = section.add(raw, line) {
                    section.problems.push(Problem { line, what });
                }
            }
            None => problems.push(Problem { line, what: "text before the first [section]" }),
        }
    }
    (sections, problems)
}

impl Section {
    /// Adds one line that is neither blank, comment nor header.
    fn add(&mut self, raw: &str, line: usize) -> Result<(), &'static str> {
        if raw.starts_with([' ', '\t']) {
            let Some(owner) = self.properties.last_mut() else {
                return Err("indented line without a key above it");
            };
            return owner.add(raw);
        }
        let (key, value) = raw.split_once('=').ok_or("line without `=`")?;
        let key = key.trim().to_ascii_lowercase();
        if key.is_empty() {
            return Err("no key before `=`");
        }
        let value = if key.starts_with("aws_") { "" } else { without_comment(value) };
        self.properties.push(Property { key, value: value.to_owned(), line, nested: Vec::new() });
        Ok(())
    }
}

impl Property {
    /// Adds an indented line: a pair of a nested block when the key has no value of its own, else
    /// the continuation of the value, which no key that we read has.
    fn add(&mut self, raw: &str) -> Result<(), &'static str> {
        if self.key.starts_with("aws_") {
            return Ok(());
        }
        if !self.value.is_empty() {
            self.value.push('\n');
            self.value.push_str(raw.trim());
            return Ok(());
        }
        let (key, value) = raw.split_once('=').ok_or("line of a nested block without `=`")?;
        self.nested.push((key.trim().to_ascii_lowercase(), without_comment(value).to_owned()));
        Ok(())
    }
}

/// What stands between the brackets; a comment may follow.
fn header(raw: &str) -> Option<&str> {
    let (inside, after) = raw.strip_prefix('[')?.split_once(']')?;
    let after = after.trim_start();
    (after.is_empty() || after.starts_with(['#', ';'])).then_some(inside.trim())
}

/// The value before a comment that white space sets apart.
fn without_comment(value: &str) -> &str {
    let comment = value
        .char_indices()
        .zip(value.chars().skip(1))
        .find(|((_, before), sign)| before.is_whitespace() && matches!(sign, '#' | ';'));
    match comment {
        Some(((start, _), _)) => value[..start].trim(),
        None => value.trim(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> SourceText {
        SourceText { path: "config".into(), text: text.to_owned().into() }
    }

    #[test]
    fn nested_blocks_belong_to_their_key() {
        let text = "[profile a]\ns3 =\n  max_concurrent_requests = 20 # c\n\tAddressing_Style=path\n\
                    region = eu-west-1 ; c\n";
        let (sections, problems) = parse(&source(text));
        assert!(problems.is_empty());
        let [section] = sections.as_slice() else { panic!("one section") };
        assert_eq!((section.header.as_str(), section.line), ("profile a", 1));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            section.properties[0].nested,
            [pair("max_concurrent_requests", "20"), pair("addressing_style", "path")]
        );
        assert_eq!(section.properties[1].value, "eu-west-1");
        assert_eq!(section.properties[1].line, 5);
    }

    #[test]
    fn a_broken_line_spoils_only_its_section() {
        let text = "lost = 1\n[a]\nnonsense\nx = 1\n[b # c\ny = 2\n[c] # d\nz = 3\n";
        let (sections, problems) = parse(&source(text));
        let lines = |problems: &[Problem]| problems.iter().map(|p| p.line).collect::<Vec<_>>();
        assert_eq!(lines(&problems), [1, 5]);
        assert_eq!(sections.len(), 2);
        assert_eq!(lines(&sections[0].problems), [3]);
        assert_eq!(sections[0].properties.len(), 1, "the key of the broken section is dropped");
        assert_eq!(sections[1].header, "c");
    }

    #[test]
    fn secrets_are_not_kept() {
        let text = "[a]\naws_secret_access_key = planted\n  planted\naws_session_token=planted\n";
        assert!(!format!("{:?}", parse(&source(text))).contains("planted"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([\\[\\]=#; \\t\\n\\rés3]|profile |aws_){0,80}") {
            let _ = parse(&source(&text));
        }
    }
}
