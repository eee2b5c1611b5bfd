//! credmount's own configuration file: TOML → options and roles, with lines.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SourceText;
use super::error::{Origin, Report};
use super::layer::Sourced;
use super::options::{OptionKey, RawOptions};
use super::spec::{ROLE_KEYS, RawRole, unknown_key};
use super::value::{Scalar, shown};

/// Reads all that can be read and reports everything else.
pub(super) fn read(source: &SourceText, report: &mut Report) -> (RawOptions, Vec<RawRole>) {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    let reader = Reader::new(source);
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        report
            .error(&reader.at(start), format!("not TOML: {}", error.message().replace('\n', ", ")));
    }
    let mut options = RawOptions::new();
    let mut roles = Vec::new();
    for (key, value) in in_order(document.get_ref()) {
        let name: &str = key.get_ref();
        let origin = reader.at(key.span().start);
        match name {
            "roles" => roles = reader.roles(&origin, value, report),
            "mounts" => report.error(
                &origin,
                "this version serves one mount per command line and has no [mounts]: remove the \
                 table and start credmount once for each mount",
            ),
            "role" => options.extend(reader.requests(value, report)),
            _ => {
                let Some(key) = OptionKey::parse(name) else {
                    let known = OptionKey::ALL.map(OptionKey::name).into_iter().chain(["roles"]);
                    report.error(&origin, unknown_key(name, "at top level", known));
                    continue;
                };
                if let Some(text) = report.check(&origin, key.text_of(&scalar(value.get_ref()))) {
                    options.push((key, Sourced::new(text, origin)));
                }
            }
        }
    }
    (options, roles)
}

/// Knows the file, so that offsets become lines.
struct Reader<'a> {
    source: &'a SourceText,
    /// The offset of each newline.
    newlines: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a SourceText) -> Self {
        let bytes = source.text.bytes().enumerate();
        let newlines = bytes.filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset);
        Self { source, newlines: newlines.collect() }
    }

    fn at(&self, offset: usize) -> Origin {
        let line = 1 + self.newlines.partition_point(|newline| *newline < offset);
        Origin::line(&self.source.path, line)
    }

    /// `role = "prod"` or `role = ["prod", "dev"]`.
    fn requests(&self, value: &Spanned<DeValue<'_>>, report: &mut Report) -> RawOptions {
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut options = RawOptions::new();
        for item in items {
            let origin = self.at(item.span().start);
            let text = OptionKey::Role.text_of(&scalar(item.get_ref()));
            if let Some(text) = report.check(&origin, text) {
                options.push((OptionKey::Role, Sourced::new(text, origin)));
            }
        }
        options
    }

    /// The tables below `[roles]`.
    fn roles(
        &self,
        origin: &Origin,
        value: &Spanned<DeValue<'_>>,
        report: &mut Report,
    ) -> Vec<RawRole> {
        let DeValue::Table(tables) = value.get_ref() else {
            report.error(
                origin,
                "`roles` is no table: write [roles.NAME] and the keys of the role below it",
            );
            return Vec::new();
        };
        let mut roles = Vec::new();
        for (name, value) in in_order(tables) {
            let origin = self.at(name.span().start);
            let name = name.get_ref().to_string();
            let DeValue::Table(keys) = value.get_ref() else {
                report.error(
                    &origin,
                    format!(
                        "role {} is no table: write [roles.NAME] and its keys below",
                        shown(&name)
                    ),
                );
                continue;
            };
            roles.push(self.role(name, origin, keys, report));
        }
        roles
    }

    fn role(
        &self,
        name: String,
        origin: Origin,
        keys: &DeTable<'_>,
        report: &mut Report,
    ) -> RawRole {
        let mut values = Vec::new();
        for (key, value) in in_order(keys) {
            let origin = self.at(key.span().start);
            let key = key.get_ref().to_string();
            if ROLE_KEYS.contains(&key.as_str()) {
                values.push((key, Sourced::new(scalar(value.get_ref()), origin)));
            } else {
                let place = format!("in role {}", shown(&name));
                report.error(&origin, unknown_key(&key, &place, ROLE_KEYS));
            }
        }
        RawRole { name, origin, values }
    }
}

/// The entries in the order of the file; the table itself is sorted by key.
fn in_order<'a, 'i>(
    table: &'a DeTable<'i>,
) -> Vec<(&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| {
        let Range { start, .. } = key.span();
        start
    });
    entries
}

fn scalar(value: &DeValue<'_>) -> Scalar {
    match value {
        DeValue::String(text) => Scalar::Text(text.to_string()),
        DeValue::Integer(number) => Scalar::Integer(number.to_string()),
        DeValue::Boolean(on) => Scalar::Boolean(*on),
        DeValue::Float(_) => Scalar::Other("a number"),
        DeValue::Datetime(_) => Scalar::Other("a date"),
        DeValue::Array(_) => Scalar::Other("a list"),
        DeValue::Table(_) => Scalar::Other("a table"),
    }
}
