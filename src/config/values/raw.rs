//! A value as a file, a variable or a flag gave it, with the place of each part. Knows what kinds
//! of values there are, not what they mean.

use super::error::{Origin, Problems};
use super::layer::Sourced;
use super::text::{meant, shown};

/// A value before anybody has looked at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum Raw {
    Text(String),
    Integer(String),
    Boolean(bool),
    List(Vec<Sourced<Raw>>),
    /// In the order in which it was written.
    Table(Vec<(String, Sourced<Raw>)>),
    /// Anything else, by the name of its kind with an article.
    Other(&'static str),
}

impl Raw {
    /// Texts that all have one place.
    pub(in crate::config) fn list<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        origin: &Origin,
    ) -> Self {
        let text = |text: &str| Sourced::new(Self::Text(text.to_owned()), origin.clone());
        Self::List(texts.into_iter().map(text).collect())
    }

    /// What it is, for messages.
    pub(in crate::config) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }

    /// The text of `key`.
    ///
    /// # Errors
    /// When it is not a text; `example` shows what is right.
    pub(in crate::config) fn text(&self, key: &str, example: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Table(_) if key == "role" => {
                Err("`role` is a table: write [roles.NAME] for each role".to_owned())
            }
            other => Err(format!(
                "`{key}` is {}: write it in quotes, as in {key} = \"{example}\"",
                other.kind()
            )),
        }
    }
}

impl Sourced<Raw> {
    /// The texts of a list, each checked by `check`; a text alone is a list of one.
    ///
    /// # Errors
    /// Whatever is wrong with any of them; `example` is one that is right.
    pub(in crate::config) fn texts<T>(
        &self,
        key: &str,
        example: &str,
        mut check: impl FnMut(Sourced<String>) -> Result<T, Problems>,
    ) -> Result<Vec<T>, Problems> {
        let items = match &self.value {
            Raw::List(items) => items.as_slice(),
            Raw::Text(_) => std::slice::from_ref(self),
            other => {
                let message =
                    format!("`{key}` is {}: write it as in {key} = [\"{example}\"]", other.kind());
                return Err(self.problem(message));
            }
        };
        all(items.iter().map(|item| match &item.value {
            Raw::Text(text) => check(Sourced::new(text.clone(), item.origin.clone())),
            other => Err(item.problem(format!(
                "`{key}` holds {}: write each in quotes, as in {key} = [\"{example}\"]",
                other.kind()
            ))),
        }))
    }

    /// The pairs of a table of texts, or of a list of texts `KEY=VALUE`, each checked by `check`.
    ///
    /// # Errors
    /// Whatever is wrong with any of them.
    pub(in crate::config) fn pairs<T>(
        &self,
        key: &str,
        mut check: impl FnMut(&str, Sourced<String>) -> Result<T, Problems>,
    ) -> Result<Vec<T>, Problems> {
        let Raw::Table(entries) = &self.value else {
            return self.texts(key, "KEY=VALUE", |text| {
                if let Some((name, value)) = text.value.split_once('=') {
                    return check(name, Sourced::new(value.to_owned(), text.origin));
                }
                let found = shown(&text.value);
                let message = format!("{key} {found} has no `=`: write it as in KEY=VALUE");
                Err(vec![(text.origin, message)])
            });
        };
        all(entries.iter().map(|(name, value)| match &value.value {
            Raw::Text(text) => check(name, Sourced::new(text.clone(), value.origin.clone())),
            other => Err(value.problem(format!(
                "in {key}: {} is {}: write its value in quotes",
                shown(name),
                other.kind()
            ))),
        }))
    }

    /// One problem, with the place of this value.
    pub(in crate::config) fn problem(&self, message: impl Into<String>) -> Problems {
        vec![(self.origin.clone(), message.into())]
    }
}

/// A table `[what.NAME]`, or its like in a variable: every key is one that such tables have.
#[derive(Debug)]
pub(in crate::config) struct Table {
    pub(in crate::config) name: String,
    /// Where it begins.
    pub(in crate::config) origin: Origin,
    /// Its keys, in order.
    pub(in crate::config) values: Vec<(String, Sourced<Raw>)>,
}

impl Table {
    /// The value of `key`, if it stands there.
    pub(in crate::config) fn find(&self, key: &str) -> Option<&Sourced<Raw>> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Whether `key` stands there.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }
}

/// All values, or everything that is wrong with any.
pub(in crate::config) fn all<T>(
    results: impl IntoIterator<Item = Result<T, Problems>>,
) -> Result<Vec<T>, Problems> {
    let (mut values, mut problems) = (Vec::new(), Problems::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// The message about a key that is none of ours.
pub(in crate::config) fn unknown_key<'a>(
    key: &str,
    place: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let advice = match meant(key, known.clone()) {
        Some(name) => format!("did you mean `{name}`? All"),
        None => "the".to_owned(),
    };
    let known: Vec<&str> = known.into_iter().collect();
    format!("unknown key {} {place}: {advice} keys there are {}", shown(key), known.join(", "))
}
