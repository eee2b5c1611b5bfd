//! An inline session policy: JSON → the same in as few characters as possible.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::config::values::shown;

/// The longest policy, in characters (STS API, `AssumeRole`, `Policy`).
const LONGEST: usize = 2048;

/// Checks a policy and leaves its white space out. Two that differ only in white space or in the
/// order of keys come out equal.
///
/// # Errors
/// When it is no JSON object with `Statement`, holds a key twice, or is too long for STS.
pub(in crate::config) fn compact(key: &str, text: &str) -> Result<String, String> {
    let Unique(value) = serde_json::from_str(text).map_err(|error| {
        // Not its words beyond the place and the repeated key: the text may be long.
        let twice = error.to_string();
        let what = match twice.split_once(TWICE) {
            Some((name, _)) => format!("holds the key {} twice", shown(name)),
            None => "is not JSON".to_owned(),
        };
        let (line, column) = (error.line(), error.column());
        format!("{key} {what}, at its line {line} column {column}: mend it there")
    })?;
    let Value::Object(object) = &value else {
        return Err(format!("{key} is no JSON object: write it as in {EXAMPLE}"));
    };
    if !matches!(object.get("Statement"), Some(Value::Array(_) | Value::Object(_))) {
        return Err(format!("{key} has no Statement: write it as in {EXAMPLE}"));
    }
    let compact = value.to_string();
    if let Some(wrong) = compact.chars().find(|character| !matches!(character, ' '..='\u{ff}')) {
        return Err(format!(
            "{key} contains `{}`, which STS does not accept: it takes Latin-1 only",
            wrong.escape_debug()
        ));
    }
    let len = compact.chars().count();
    if len > LONGEST {
        return Err(format!(
            "{key} has {len} characters without its white space: STS accepts at most {LONGEST}; \
             make a managed policy of it and name that in policy_arns"
        ));
    }
    Ok(compact)
}

const EXAMPLE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;

/// What the message about a repeated key has behind the key.
const TWICE: &str = "\u{0}twice";

/// JSON of which no object holds a key twice: a parser that takes the last would see another policy
/// than its author.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, on: bool) -> Result<Unique, E> {
                Ok(Unique(Value::Bool(on)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Unique, E> {
                Ok(Unique(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Unique, E> {
                Ok(Unique(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Unique, E> {
                Ok(Unique(Number::from_f64(number).map_or(Value::Null, Value::Number)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Unique, E> {
                Ok(Unique(text.into()))
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique(Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
                let mut list = Vec::new();
                while let Some(Unique(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(Unique(Value::Array(list)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
                // Sorted, whatever order the map of serde_json keeps.
                let mut object = BTreeMap::new();
                while let Some((key, Unique(value))) = entries.next_entry::<String, Unique>()? {
                    if object.contains_key(&key) {
                        return Err(A::Error::custom(format!("{key}{TWICE}")));
                    }
                    object.insert(key, value);
                }
                Ok(Unique(Value::Object(object.into_iter().collect())))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn white_space_and_the_order_of_keys_make_no_difference() {
        let one = compact("policy", "{ \"Version\": \"2012-10-17\",\n \"Statement\": [ {} ] }");
        let other = compact("policy", "{\"Statement\":[{}],\"Version\":\"2012-10-17\"}");
        assert_eq!(one, other);
        assert_eq!(one.as_deref(), Ok("{\"Statement\":[{}],\"Version\":\"2012-10-17\"}"));
    }

    #[test]
    fn what_sts_would_refuse_or_read_otherwise_is_refused() {
        let long = format!("{{\"Statement\":[\"{}\"]}}", "x".repeat(2048));
        for (text, problem) in [
            ("{", "policy is not JSON, at its line 1 column 1"),
            ("[]", "policy is no JSON object"),
            ("{}", "policy has no Statement"),
            ("{\"Statement\":\"x\"}", "policy has no Statement"),
            (
                "{\"Statement\":[],\n\"Statement\":[]}",
                "holds the key `Statement` twice, at its line 2",
            ),
            ("{\"Statement\":[{\"Sid\":\"€\"}]}", "contains `€`"),
            ("{\"Statement\":[{\"Sid\":\"\\u0000\"}]} x", "is not JSON"),
            (&long, "has 2066 characters"),
        ] {
            let found = compact("policy", text).expect_err("refused");
            assert!(found.contains(problem), "{text}: {found}");
        }
    }

    proptest! {
        #[test]
        fn a_compact_policy_stays_as_it_is(
            text in "[{]\"Statement\":([{][}]|\\[([{]\"a\": ?-?[1-9][0-9]{0,8}[}])?\\]|\\[true,null, 1\\.5\\])[}]"
        ) {
            let once = compact("policy", &text).expect("legal");
            prop_assert_eq!(compact("policy", &once), Ok(once));
        }

        #[test]
        fn no_text_panics(text in "([{}\":,\\[\\]é]|Statement|\\\\u00|1e9){0,40}") {
            let _ = compact("policy", &text);
        }
    }
}
