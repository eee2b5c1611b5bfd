//! Roles out of environment variables: JSON of the shape of `[roles]`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::config::chains::spec::ROLE_KEYS;
use crate::config::values::{Origin, Raw, Report, Sourced, Table, listed, shown, unknown_key};

/// Our own variable: the keys of a role are those of the file.
pub(in crate::config) const OWN: &str = "CREDMOUNT_ROLES";

/// The variable of existing deployments, with keys of its own.
pub(in crate::config) const COMPATIBLE: &str = "AWS_AUTH_ROLES";

/// The role that existing deployments serve as `[default]`.
pub(in crate::config) const COMPATIBLE_DEFAULT: &str = "AWS_AUTH_DEFAULT_ROLE";

/// The roles of `CREDMOUNT_ROLES`.
pub(in crate::config) fn own(
    environment: &BTreeMap<String, String>,
    report: &mut Report,
) -> Vec<Table> {
    let origin = Origin::variable(OWN);
    roles(environment.get(OWN), &origin, report, |name, key, value, report| {
        if ROLE_KEYS.contains(&key) {
            return Some((key.to_owned(), raw(value, &origin)));
        }
        report.error(&origin, unknown_key(key, &format!("in role {}", shown(name)), ROLE_KEYS));
        None
    })
}

/// The roles of `AWS_AUTH_ROLES`. Keys that only other programs know are no error.
pub(in crate::config) fn compatible(
    environment: &BTreeMap<String, String>,
    report: &mut Report,
) -> Vec<Table> {
    let origin = Origin::variable(COMPATIBLE);
    roles(environment.get(COMPATIBLE), &origin, report, |name, key, value, report| match key {
        "role_arn" | "account_id" | "external_id" if value.is_null() => None,
        "role_arn" | "account_id" | "external_id" => Some((key.to_owned(), raw(value, &origin))),
        "role_session_name" => Some(("session_name".to_owned(), raw(value, &origin))),
        "duration" => {
            let duration = match value {
                Value::Number(seconds) => Raw::Text(format!("{seconds}s")),
                other => raw(other, &origin),
            };
            Some(("session_duration".to_owned(), duration))
        }
        _ => {
            let (key, name) = (shown(key), shown(name));
            report.warning(&origin, format!("key {key} of role {name} is ignored"));
            None
        }
    })
}

/// The default of other tools, if a variable has one.
pub(in crate::config) fn compatible_default(
    variables: &BTreeMap<String, String>,
) -> Option<Sourced<String>> {
    let name = COMPATIBLE_DEFAULT;
    let wish = variables.get(name).filter(|wish| !wish.is_empty())?;
    Some(Sourced::new(wish.clone(), Origin::variable(name)))
}

/// Goes through the JSON; `accept` translates each key or reports it.
fn roles(
    text: Option<&String>,
    origin: &Origin,
    report: &mut Report,
    accept: impl Fn(&str, &str, &Value, &mut Report) -> Option<(String, Raw)>,
) -> Vec<Table> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Vec::new() };
    let entries: Entries<Entries<Value>> = match serde_json::from_str(text) {
        Ok(entries) => entries,
        Err(error) => {
            report.error(
                origin,
                // Not the words of the parser: they repeat values.
                format!(
                    "not JSON of roles, at line {} column {}: write it as in \
                     {{\"prod\":{{\"role_arn\":\"…\"}}}}",
                    error.line(),
                    error.column()
                ),
            );
            return Vec::new();
        }
    };
    duplicates(&entries, "role", origin, report);
    let mut roles = Vec::new();
    for (name, keys) in entries.0 {
        duplicates(&keys, &format!("in role {} key", shown(&name)), origin, report);
        let values = keys.0.iter().filter_map(|(key, value)| {
            let (key, value) = accept(&name, key, value, report)?;
            Some((key, Sourced::new(value, origin.clone())))
        });
        let values = values.collect();
        roles.push(Table { name, origin: origin.clone(), values });
    }
    roles
}

fn duplicates<V>(entries: &Entries<V>, what: &str, origin: &Origin, report: &mut Report) {
    let mut names: Vec<&str> = entries.0.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let mut twice: Vec<&str> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twice.dedup();
    if !twice.is_empty() {
        report.error(origin, format!("{what} {} stands there twice: keep one", listed(twice)));
    }
}

fn raw(value: &Value, origin: &Origin) -> Raw {
    let sourced = |value| Sourced::new(raw(value, origin), origin.clone());
    match value {
        Value::String(text) => Raw::Text(text.clone()),
        Value::Number(number) => Raw::Integer(number.to_string()),
        Value::Bool(on) => Raw::Boolean(*on),
        Value::Null => Raw::Other("null"),
        Value::Array(items) => Raw::List(items.iter().map(sourced).collect()),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone(), sourced(value)));
            Raw::Table(entries.collect())
        }
    }
}

/// A JSON object in the order of its text, with names that stand there twice. The order decides
/// which role is `[default]`.
struct Entries<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for InOrder<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<V>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}
