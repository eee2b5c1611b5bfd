//! What a session carries beside its role: source identity, tags and the ARNs of policies.

use std::fmt;

use super::{
    AccountId, NameError, Partition, check_length, checked_text, is_iam_name_character, quoted,
    shown,
};

checked_text! {
    /// A source identity: 2 to 64 characters of `[\w+=,.@-]` (STS API, `SourceIdentity`). It
    /// cannot begin with `aws:`, which the pattern rules out already.
    SourceIdentity
}

impl SourceIdentity {
    /// Parses and checks.
    ///
    /// # Errors
    /// When length or characters are outside what STS accepts.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_length("source identity", text, 64, is_iam_name_character, "+ = , . @ - _")?;
        Ok(Self(text.to_owned()))
    }
}

/// A session tag: the key 1 to 128 characters, the value 0 to 256, both letters and digits of any
/// script, spaces and `_.:/=+-@` (STS API, `Tag`). No key begins with `aws:`, in whatever case
/// (IAM User Guide, "Pass session tags in AWS STS").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionTag {
    key: String,
    value: String,
}

impl SessionTag {
    /// How many tags one session may carry (STS API, `AssumeRole`).
    pub const MOST: usize = 50;

    /// Parses and checks.
    ///
    /// # Errors
    /// When lengths or characters are outside what STS accepts.
    pub fn parse(key: &str, value: &str) -> Result<Self, NameError> {
        Self::check_key(key)?;
        check_tag_text(&format!("value of tag {}", quoted(key)), value, 256)?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }

    /// Checks a key alone.
    ///
    /// # Errors
    /// When length or characters are outside what STS accepts.
    pub fn check_key(key: &str) -> Result<(), NameError> {
        if key.is_empty() {
            return Err(NameError("tag key is empty: write at least one character".to_owned()));
        }
        if Self::folded(key).starts_with("aws:") {
            return Err(NameError(format!(
                "tag key {} begins with `aws:`, which AWS keeps for itself: choose another",
                quoted(key)
            )));
        }
        check_tag_text("tag key", key, 128)
    }

    /// What two keys have in common that AWS takes for one: it ignores case in tag keys.
    pub fn folded(key: &str) -> String {
        key.to_lowercase()
    }

    /// The key, in the case in which it was written.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value; may be empty.
    pub fn value(&self) -> &str {
        &self.value
    }
}

fn check_tag_text(what: &str, text: &str, longest: usize) -> Result<(), NameError> {
    let legal = |character: char| {
        character.is_alphanumeric()
            || character.is_whitespace() && !character.is_control()
            || "_.:/=+-@".contains(character)
    };
    if let Some(wrong) = text.chars().find(|&character| !legal(character)) {
        return Err(NameError(format!(
            "{what} {} contains {}: STS accepts letters, digits, spaces and _ . : / = + - @",
            quoted(text),
            shown(wrong)
        )));
    }
    let len = text.chars().count();
    if len > longest {
        let text = quoted(text);
        return Err(NameError(format!(
            "{what} {text} has {len} characters: STS accepts at most {longest}"
        )));
    }
    Ok(())
}

/// The ARN of a managed policy: `arn:PARTITION:iam::ACCOUNT:policy/PATH/NAME`, where ACCOUNT is
/// `aws` for the policies that AWS manages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyArn {
    text: String,
    partition: Partition,
}

impl PolicyArn {
    /// How many managed policies may bound one session (STS API, `AssumeRole`).
    pub const MOST: usize = 10;

    /// Parses and checks.
    ///
    /// # Errors
    /// When a part is wrong or missing.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse =
            |problem: String| Err(NameError(format!("policy ARN {}: {problem}", quoted(text))));
        let right = "write arn:aws:iam::ACCOUNT:policy/NAME, with `aws` as ACCOUNT for a policy \
                     of AWS";
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else {
            return refuse(format!("it is not of the form of one: {right}"));
        };
        let partition = match Partition::parse(partition) {
            Ok(partition) => partition,
            Err(error) => return refuse(error.to_string()),
        };
        if account != "aws"
            && let Err(error) = AccountId::parse(account)
        {
            return refuse(error.to_string());
        }
        let Some(name) = resource.strip_prefix("policy/") else {
            return refuse(format!("resource is {}: {right}", quoted(resource)));
        };
        if let Some(wrong) = name.chars().find(|c| !c.is_ascii_graphic()) {
            return refuse(format!("its name contains {}: {right}", shown(wrong)));
        }
        let last = name.rsplit('/').next().unwrap_or_default();
        if last.is_empty() || last.len() > 128 || !last.chars().all(is_iam_name_character) {
            return refuse(
                "the policy name is not 1 to 128 letters, digits and + = , . @ - _: mend it"
                    .to_owned(),
            );
        }
        if text.len() > 2048 {
            return refuse("it has more than 2048 characters".to_owned());
        }
        Ok(Self { text: text.to_owned(), partition })
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition.
    pub fn partition(&self) -> Partition {
        self.partition
    }
}

impl fmt::Display for PolicyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message<T: fmt::Debug>(result: Result<T, NameError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn source_identities_follow_the_pattern_of_sts() {
        assert_eq!(SourceIdentity::parse("jane@host-1").expect("legal").as_str(), "jane@host-1");
        assert!(message(SourceIdentity::parse("aws:jane")).contains("contains `:`"));
        assert_eq!(
            message(SourceIdentity::parse("j")),
            "source identity `j` has 1 character: STS accepts 2 to 64"
        );
    }

    #[test]
    fn tags_follow_the_pattern_of_sts() {
        let tag = SessionTag::parse("Kosten Stelle/ä=1", "").expect("legal");
        assert_eq!((tag.key(), tag.value()), ("Kosten Stelle/ä=1", ""));
        assert!(SessionTag::parse(&"ä".repeat(128), &"ä".repeat(256)).is_ok());
        for (key, value, problem) in [
            ("", "x", "tag key is empty"),
            ("AWS:x", "x", "begins with `aws:`"),
            ("a,b", "x", "tag key `a,b` contains `,`"),
            ("a\tb", "x", "contains a tab"),
            ("a", "x\ny", "value of tag `a` `x\\ny` contains a newline"),
            ("a", "x*", "contains `*`"),
        ] {
            let found = message(SessionTag::parse(key, value));
            assert!(found.contains(problem), "{key:?} {value:?}: {found}");
        }
        assert!(message(SessionTag::parse(&"x".repeat(129), "")).contains("at most 128"));
        assert!(message(SessionTag::parse("x", &"x".repeat(257))).contains("at most 256"));
    }

    #[test]
    fn policy_arns_are_of_aws_or_of_an_account() {
        for legal in [
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "arn:aws-cn:iam::123456789012:policy/team/a+b",
            "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess",
        ] {
            assert_eq!(PolicyArn::parse(legal).expect("legal").as_str(), legal);
        }
        let arn = PolicyArn::parse("arn:aws-cn:iam::aws:policy/x").expect("legal");
        assert_eq!(arn.partition(), Partition::AwsCn);
        for (text, problem) in [
            ("ReadOnlyAccess", "is not of the form"),
            ("arn:aws:iam:eu-west-1:aws:policy/x", "is not of the form"),
            ("arn:aws-x:iam::aws:policy/x", "partition `aws-x` is unknown"),
            ("arn:aws:iam::123:policy/x", "has 3 digits"),
            ("arn:aws:iam::aws:role/x", "resource is `role/x`"),
            ("arn:aws:iam::aws:policy/", "the policy name is not"),
            ("arn:aws:iam::aws:policy/a/", "the policy name is not"),
            ("arn:aws:iam::aws:policy/a b", "contains a space"),
            ("arn:aws:iam::aws:policy/a:b", "the policy name is not"),
        ] {
            let found = message(PolicyArn::parse(text));
            assert!(found.contains(problem), "{text}: {found}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(arn|:|/|aws|iam|policy|é|[0-9]{12}){0,12}") {
            let _ = PolicyArn::parse(&text);
            let _ = SessionTag::parse(&text, &text);
        }
    }
}
