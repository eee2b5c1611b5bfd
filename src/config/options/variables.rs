//! The options among the environment variables.

use std::collections::BTreeMap;

use super::key::Kind;
use super::{OptionKey, RawOptions};
use crate::config::values::{Origin, Raw, Report, Sourced, text};

/// Variables of ours that are no options.
const OTHER_VARIABLES: [&str; 2] = ["CREDMOUNT_CONFIG", "CREDMOUNT_ROLES"];

/// The options among the variables. An empty variable counts as not set. Warns about `CREDMOUNT_`
/// variables that nothing reads, since they are most likely misspelt.
pub(in crate::config) fn from_environment(
    environment: &BTreeMap<String, String>,
    report: &mut Report,
) -> RawOptions {
    let mut options = RawOptions::new();
    for (name, text) in environment {
        if !name.starts_with("CREDMOUNT_") || text.is_empty() {
            continue;
        }
        let origin = Origin::variable(name);
        match OptionKey::ALL.into_iter().find(|key| key.variable() == *name) {
            Some(key) => options.push((key, Sourced::new(raw(key, text, &origin), origin))),
            None if OTHER_VARIABLES.contains(&name.as_str()) => {}
            None => {
                let known: Vec<String> =
                    OptionKey::ALL.into_iter().map(OptionKey::variable).collect();
                let known = known.iter().map(String::as_str).chain(OTHER_VARIABLES);
                let advice = text::meant(name, known)
                    .map_or_else(String::new, |name| format!("; did you mean {name}?"));
                report.warning(&origin, format!("credmount reads no such variable{advice}"));
            }
        }
    }
    options
}

fn raw(key: OptionKey, text: &str, origin: &Origin) -> Raw {
    match key.kind() {
        // A switch may be a text as well: what people write into a variable is more than TOML has.
        Kind::Text | Kind::Switch => Raw::Text(text.to_owned()),
        Kind::Count => Raw::Integer(text.to_owned()),
        Kind::Words => Raw::list(text.split_whitespace(), origin),
        Kind::List(sign) => {
            let items = text.split(sign).map(str::trim).filter(|item| !item.is_empty());
            Raw::list(items, origin)
        }
    }
}
