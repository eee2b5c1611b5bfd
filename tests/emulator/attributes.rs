//! What a session carries beside its role: source identity, tags, session policies; read, checked
//! and handed on in role chains as STS does. Sources: AWS STS API Reference, "AssumeRole"; IAM User
//! Guide, "Pass session tags in AWS STS" and "Monitor and control actions taken with assumed roles".

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;

use super::answer::ApiError;
use super::params::Params;
use super::validate::{check_chars, check_length, constraint, is_partition, is_word};

/// What policies and tags of one session may take, in bytes. AWS compresses them and does not say
/// how; this is a plain sum, so that tests know when it overflows.
pub(crate) const PACKED_LIMIT: usize = 4_096;
/// What the plain text of all session policies may take, in characters.
const POLICY_LIMIT: usize = 2_048;
const MAX_TAGS: usize = 50;
const MAX_POLICY_ARNS: usize = 10;

/// The attributes of one call as sent, or of one session as it carries them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct SessionAttributes {
    /// `SourceIdentity`.
    pub(crate) source_identity: Option<String>,
    /// `Tags`, in the order sent; in a session those inherited stand first.
    pub(crate) tags: Vec<Tag>,
    /// `TransitiveTagKeys`.
    pub(crate) transitive_tag_keys: Vec<String>,
    /// `Policy`.
    pub(crate) policy: Option<String>,
    /// `PolicyArns`.
    pub(crate) policy_arns: Vec<String>,
}

/// A session tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl SessionAttributes {
    /// Reads what a call sent, right or wrong. Half a tag counts as one with an empty half.
    pub(crate) fn sent(params: &Params) -> Self {
        let text = |name: &str| params.get(name).map(str::to_owned);
        let half = |name: String| params.get(&name).map(str::to_owned);
        let tag = |index: usize| {
            let key = half(format!("Tags.member.{index}.Key"));
            let value = half(format!("Tags.member.{index}.Value"));
            (key.is_some() || value.is_some())
                .then(|| Tag { key: key.unwrap_or_default(), value: value.unwrap_or_default() })
        };
        Self {
            source_identity: text("SourceIdentity"),
            tags: (1..).map_while(tag).collect(),
            transitive_tag_keys: (1..)
                .map_while(|index| half(format!("TransitiveTagKeys.member.{index}")))
                .collect(),
            policy: text("Policy"),
            policy_arns: (1..)
                .map_while(|index| half(format!("PolicyArns.member.{index}.arn")))
                .collect(),
        }
    }

    /// The value of a tag, whatever the case of its key.
    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|tag| folded(&tag.key) == folded(key))?;
        Some(&tag.value)
    }

    /// Checks the form of what a call sent.
    ///
    /// # Errors
    /// `ValidationError`, `InvalidParameterValue` or `MalformedPolicyDocument`, as STS answers.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if let Some(identity) = &self.source_identity {
            let legal = |c: char| is_word(c) || "+=,.@-".contains(c);
            check_chars(identity, "sourceIdentity", "[\\w+=,.@-]*", legal)?;
            check_length(identity, "sourceIdentity", 2, 64)?;
        }
        self.check_tags()?;
        self.check_policies()
    }

    fn check_tags(&self) -> Result<(), ApiError> {
        check_count(self.tags.len(), "tags", MAX_TAGS)?;
        check_count(self.transitive_tag_keys.len(), "transitiveTagKeys", MAX_TAGS)?;
        for (index, tag) in self.tags.iter().enumerate() {
            let member = |name: &str| format!("tags.{}.member.{name}", index + 1);
            check_chars(&tag.key, &member("key"), &format!("{TAG_CHARS}+"), is_tag_char)?;
            check_length(&tag.key, &member("key"), 1, 128)?;
            check_chars(&tag.value, &member("value"), &format!("{TAG_CHARS}*"), is_tag_char)?;
            check_length(&tag.value, &member("value"), 0, 256)?;
            if folded(&tag.key).starts_with("aws:") {
                return Err(invalid("Tag keys that begin with aws: are reserved for AWS."));
            }
        }
        let keys = self.tag_keys();
        if keys.len() < self.tags.len() {
            return Err(invalid(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        if self.transitive_tag_keys.iter().any(|key| !keys.contains(&folded(key))) {
            return Err(invalid(
                "The specified transitive tag key must be included in the requested tags.",
            ));
        }
        Ok(())
    }

    fn check_policies(&self) -> Result<(), ApiError> {
        check_count(self.policy_arns.len(), "policyArns", MAX_POLICY_ARNS)?;
        for (index, arn) in self.policy_arns.iter().enumerate() {
            check_length(arn, &format!("policyArns.{}.member.arn", index + 1), 20, 2_048)?;
            if !is_policy_arn(arn) {
                return Err(ApiError::validation(format!("ARN {arn} is not valid.")));
            }
        }
        let Some(policy) = &self.policy else { return Ok(()) };
        let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}');
        check_chars(policy, "policy", "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+", legal)?;
        let arns: usize = self.policy_arns.iter().map(String::len).sum();
        check_length(policy, "policy", 1, POLICY_LIMIT.saturating_sub(arns))?;
        let malformed = |message| Err(ApiError::bad_request("MalformedPolicyDocument", message));
        match serde_json::from_str(policy) {
            Err(_) => malformed("This policy contains invalid Json"),
            Ok(Value::Object(document)) if document.contains_key("Statement") => Ok(()),
            Ok(_) => malformed("Syntax errors in policy."),
        }
    }

    /// What the session carries that a caller with the attributes `caller` gets for these: the
    /// caller's source identity and transitive tags stay for the whole role chain.
    ///
    /// # Errors
    /// `ValidationError` for another source identity, `InvalidParameterValue` for a tag that is
    /// inherited, `PackedPolicyTooLarge` when there is too much of all.
    pub(crate) fn chained(self, caller: &Self) -> Result<Self, ApiError> {
        let inherited: HashSet<String> =
            caller.transitive_tag_keys.iter().map(|key| folded(key)).collect();
        if caller.source_identity.is_some()
            && self.source_identity.is_some()
            && caller.source_identity != self.source_identity
        {
            return Err(ApiError::validation(
                "The source identity is already set for this assume role session",
            ));
        }
        if !inherited.is_disjoint(&self.tag_keys()) {
            return Err(invalid(
                "One of the specified transitive tag keys can't be set because it conflicts with a \
                 transitive tag key from the calling session.",
            ));
        }
        let mut tags = caller.tags.clone();
        tags.retain(|tag| inherited.contains(&folded(&tag.key)));
        tags.extend(self.tags);
        let mut transitive_tag_keys = caller.transitive_tag_keys.clone();
        transitive_tag_keys.extend(self.transitive_tag_keys);
        let source_identity = self.source_identity.or_else(|| caller.source_identity.clone());
        let session = Self { source_identity, tags, transitive_tag_keys, ..self };
        let percent = session.packed_percent().unwrap_or_default();
        if percent <= 100 {
            return Ok(session);
        }
        let has_policies = session.policy.is_some() || !session.policy_arns.is_empty();
        let message = if has_policies {
            format!(
                "Packed policy consumes {percent}% of allotted space, please use smaller policy."
            )
        } else {
            format!("Packed size of session tags consumes {percent}% of allotted space.")
        };
        Err(ApiError::bad_request("PackedPolicyTooLarge", message))
    }

    /// `PackedPolicySize`: the share of [`PACKED_LIMIT`] that policies and tags take, rounded up;
    /// `None` if there are none.
    pub(crate) fn packed_percent(&self) -> Option<usize> {
        let tags = self.tags.iter().map(|tag| tag.key.len() + tag.value.len());
        let policies = self.policy.iter().chain(&self.policy_arns).map(String::len);
        let size: usize = tags.chain(policies).sum();
        (size > 0).then(|| (size * 100).div_ceil(PACKED_LIMIT))
    }

    fn tag_keys(&self) -> HashSet<String> {
        self.tags.iter().map(|tag| folded(&tag.key)).collect()
    }
}

const TAG_CHARS: &str = "[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]";

fn is_tag_char(c: char) -> bool {
    let is_separator = c.is_whitespace() && !c.is_control();
    c.is_alphanumeric() || is_separator || "_.:/=+-@".contains(c)
}

/// Tag keys that differ only in this are the same to AWS.
fn folded(key: &str) -> String {
    key.to_lowercase()
}

fn is_policy_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", partition, "iam", "", owner, resource] = parts.as_slice() else { return false };
    let is_account = owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit());
    is_partition(partition)
        && (owner == "aws" || is_account)
        && resource.strip_prefix("policy/").is_some_and(|name| !name.is_empty())
}

fn check_count(count: usize, member: &str, max: usize) -> Result<(), ApiError> {
    if count <= max {
        return Ok(());
    }
    let rule = format!("Member must have length less than or equal to {max}");
    Err(constraint(&format!("[{count} members]"), member, &rule))
}

fn invalid(message: &str) -> ApiError {
    ApiError::bad_request("InvalidParameterValue", message)
}
