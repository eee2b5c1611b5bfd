//! credmount's own configuration file: TOML → options, roles and mounts, with lines.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::SourceText;
use crate::config::chains::spec::ROLE_KEYS;
use crate::config::identities::catalog::IDENTITY_KEYS;
use crate::config::identities::tokens::GITHUB_KEYS;
use crate::config::mounts::{MOUNT_KEYS, RawMount};
use crate::config::options::{OptionKey, RawOptions};
use crate::config::values::{Origin, Raw, Report, Sourced, Table, shown, unknown_key};

/// What stands in the file.
#[derive(Debug, Default)]
pub(in crate::config) struct Content {
    pub(in crate::config) options: RawOptions,
    pub(in crate::config) roles: Vec<Table>,
    pub(in crate::config) identities: Vec<Table>,
    pub(in crate::config) github: Vec<Table>,
    /// The tables below `[mounts]`; `None` when there is no such table.
    pub(in crate::config) mounts: Option<Vec<RawMount>>,
}

/// Reads all that can be read and reports everything else.
pub(in crate::config) fn read(source: &SourceText, report: &mut Report) -> Content {
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
            "roles" => content.roles = checked("roles", "role", &ROLE_KEYS, &value, report),
            "identities" => {
                content.identities =
                    checked("identities", "identity", &IDENTITY_KEYS, &value, report);
            }
            "github" => {
                content.github = checked("github", "GitHub owner", &GITHUB_KEYS, &value, report);
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
                    let known =
                        known.into_iter().chain(["roles", "identities", "github", "mounts"]);
                    report.error(&value.origin, unknown_key(&name, "at top level", known));
                    continue;
                };
                content.options.push((key, value));
            }
        }
    }
    content
}

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

/// The tables `[what.NAME]` with those of their keys that are among `known`.
fn checked(
    what: &str,
    one: &str,
    known: &[&str],
    value: &Sourced<Raw>,
    report: &mut Report,
) -> Vec<Table> {
    let tables = tables(what, one, value, report).into_iter();
    let table = |(name, origin, mut values): (String, Origin, Entries)| {
        values.retain(|(key, value)| {
            let is_known = known.contains(&key.as_str());
            if !is_known {
                let place = format!("in {one} {}", shown(&name));
                report.error(&value.origin, unknown_key(key, &place, known.iter().copied()));
            }
            is_known
        });
        Table { name, origin, values }
    };
    tables.map(table).collect()
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
