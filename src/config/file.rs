//! credmount's own configuration file: TOML → options, roles and mounts, with lines.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SourceText;
use super::error::{Origin, Report};
use super::identities::{IDENTITY_KEYS, RawIdentity};
use super::layer::Sourced;
use super::mounts::{MOUNT_KEYS, RawMount};
use super::options::{OptionKey, RawOptions};
use super::raw::Raw;
use super::spec::{ROLE_KEYS, RawRole, unknown_key};
use super::tokens::{RawToken, TokenKind};
use super::value::shown;

/// What stands in the file.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) options: RawOptions,
    pub(super) roles: Vec<RawRole>,
    pub(super) identities: Vec<RawIdentity>,
    pub(super) tokens: Vec<RawToken>,
    /// The tables below `[mounts]`; `None` when there is no such table.
    pub(super) mounts: Option<Vec<RawMount>>,
}

/// Reads all that can be read and reports everything else.
pub(super) fn read(source: &SourceText, report: &mut Report) -> Content {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    let lines = Lines::new(source);
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        report
            .error(&lines.at(start), format!("not TOML: {}", error.message().replace('\n', ", ")));
    }
    let mut content = Content::default();
    for (name, value) in lines.table(document.get_ref()) {
        match name.as_str() {
            "roles" => {
                let tables = tables("roles", "role", &value, report);
                content.roles = tables
                    .into_iter()
                    .map(|(name, origin, keys)| role(name, origin, keys, report))
                    .collect();
            }
            "identities" => {
                let tables = tables("identities", "identity", &value, report);
                content.identities = tables
                    .into_iter()
                    .map(|(name, origin, keys)| identity(name, origin, keys, report))
                    .collect();
            }
            "github" => {
                let tables = tables("github", "owner", &value, report);
                content.tokens.extend(tokens(TokenKind::Github, tables, report));
            }
            "ssh" => {
                let tables = tables("ssh", "certificate", &value, report);
                content.tokens.extend(tokens(TokenKind::Ssh, tables, report));
            }
            "mounts" => {
                let tables = tables("mounts", "mount", &value, report);
                let mounts = tables
                    .into_iter()
                    .map(|(name, origin, keys)| mount(name, origin, keys, report));
                content.mounts = Some(mounts.collect());
            }
            _ => {
                let Some(key) = OptionKey::parse(&name) else {
                    let known = OptionKey::ALL.map(OptionKey::name);
                    let known = known.into_iter().chain(TABLES);
                    report.error(&value.origin, unknown_key(&name, "at top level", known));
                    continue;
                };
                content.options.push((key, value));
            }
        }
    }
    content
}

/// What is a table and no option.
const TABLES: [&str; 5] = ["roles", "identities", "github", "ssh", "mounts"];

/// The entries of a table.
type Entries = Vec<(String, Sourced<Raw>)>;

/// The tables `[what.NAME]`, each with its name and where it begins.
fn tables(
    what: &str,
    one: &str,
    value: &Sourced<Raw>,
    report: &mut Report,
) -> Vec<(String, Origin, Entries)> {
    let Raw::Table(entries) = &value.value else {
        report.error(
            &value.origin,
            format!("`{what}` is no table: write [{what}.NAME] and the keys of the {one} below it"),
        );
        return Vec::new();
    };
    let table = |(name, value): &(String, Sourced<Raw>)| {
        if let Raw::Table(keys) = &value.value {
            return Some((name.clone(), value.origin.clone(), keys.clone()));
        }
        let name = shown(name);
        report.error(
            &value.origin,
            format!("{one} {name} is no table: write [{what}.NAME] and its keys below"),
        );
        None
    };
    entries.iter().filter_map(table).collect()
}

fn role(name: String, origin: Origin, keys: Entries, report: &mut Report) -> RawRole {
    let mut values = Vec::new();
    for (key, value) in keys {
        if ROLE_KEYS.contains(&key.as_str()) {
            values.push((key, value));
        } else {
            let place = format!("in role {}", shown(&name));
            report.error(&value.origin, unknown_key(&key, &place, ROLE_KEYS));
        }
    }
    RawRole { name, origin, values }
}

fn identity(name: String, origin: Origin, keys: Entries, report: &mut Report) -> RawIdentity {
    let mut values = Vec::new();
    for (key, value) in keys {
        if IDENTITY_KEYS.contains(&key.as_str()) {
            values.push((key, value));
        } else {
            let place = format!("in identity {}", shown(&name));
            report.error(&value.origin, unknown_key(&key, &place, IDENTITY_KEYS));
        }
    }
    RawIdentity { name, origin, values }
}

fn tokens(
    kind: TokenKind,
    tables: Vec<(String, Origin, Entries)>,
    report: &mut Report,
) -> Vec<RawToken> {
    let table = |(name, origin, keys): (String, Origin, Entries)| {
        let mut values = Vec::new();
        for (key, value) in keys {
            if kind.keys().contains(&key.as_str()) {
                values.push((key, value));
            } else {
                let place = format!("in {} {}", kind.what(), shown(&name));
                let known = kind.keys().iter().copied();
                report.error(&value.origin, unknown_key(&key, &place, known));
            }
        }
        RawToken { kind, name, origin, values }
    };
    tables.into_iter().map(table).collect()
}

fn mount(name: String, origin: Origin, keys: Entries, report: &mut Report) -> RawMount {
    let mut mount = RawMount { name, origin, path: None, options: RawOptions::new() };
    for (key, value) in keys {
        if key == "path" {
            mount.path = Some(value);
        } else if let Some((_, option)) = MOUNT_KEYS.iter().find(|(name, _)| *name == key) {
            mount.options.push((*option, value));
        } else {
            let place = format!("in mount {}", shown(&mount.name));
            let known = ["path"].into_iter().chain(MOUNT_KEYS.map(|(name, _)| name));
            report.error(&value.origin, unknown_key(&key, &place, known));
        }
    }
    mount
}

/// Knows the file, so that offsets become lines.
struct Lines<'a> {
    source: &'a SourceText,
    /// The offset of each newline.
    newlines: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(source: &'a SourceText) -> Self {
        let bytes = source.text.bytes().enumerate();
        let newlines = bytes.filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset);
        Self { source, newlines: newlines.collect() }
    }

    fn at(&self, offset: usize) -> Origin {
        let line = 1 + self.newlines.partition_point(|newline| *newline < offset);
        Origin::line(&self.source.path, line)
    }

    /// The entries in the order of the file, each with the place of its key; the table itself is
    /// sorted by key.
    fn table(&self, table: &DeTable<'_>) -> Entries {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| {
            let Range { start, .. } = key.span();
            start
        });
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            let origin = self.at(key.span().start);
            (key.get_ref().to_string(), Sourced::new(self.raw(value.get_ref()), origin))
        };
        entries.into_iter().map(entry).collect()
    }

    fn raw(&self, value: &DeValue<'_>) -> Raw {
        let item = |item: &Spanned<DeValue<'_>>| {
            Sourced::new(self.raw(item.get_ref()), self.at(item.span().start))
        };
        match value {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Integer(number) => Raw::Integer(number.to_string()),
            DeValue::Boolean(on) => Raw::Boolean(*on),
            DeValue::Float(_) => Raw::Other("a number"),
            DeValue::Datetime(_) => Raw::Other("a date"),
            DeValue::Array(items) => Raw::List(items.iter().map(item).collect()),
            DeValue::Table(table) => Raw::Table(self.table(table)),
        }
    }
}
