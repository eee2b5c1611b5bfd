//! The limits that STS puts on parameters, with its words. Source: AWS STS API Reference,
//! "AssumeRole", "GetSessionToken"; IAM User Guide, "Roles terms and concepts" (role chaining).

use super::answer::ApiError;
use super::params::Params;

const HOUR: u64 = 3_600;

/// The parts of a role ARN that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RoleArn<'a> {
    pub(crate) text: &'a str,
    pub(crate) partition: &'a str,
    pub(crate) account_id: &'a str,
    /// Last part of the resource; the path before it does not show in assumed-role ARNs.
    pub(crate) name: &'a str,
}

/// The parameter `RoleArn`.
///
/// # Errors
/// `ValidationError` when it is missing, too short or too long, or no role ARN.
pub(crate) fn role_arn(params: &Params) -> Result<RoleArn<'_>, ApiError> {
    let text = required(params, "RoleArn", "roleArn")?;
    check_length(text, "roleArn", 20, 2048)?;
    parse_role_arn(text).ok_or_else(|| ApiError::validation(format!("{text} is invalid")))
}

fn parse_role_arn(text: &str) -> Option<RoleArn<'_>> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    let (arn, partition, service) = (next()?, next()?, next()?);
    let (region, account_id, resource) = (next()?, next()?, next()?);
    let name = resource.strip_prefix("role/")?.rsplit('/').next()?;
    let is_valid = arn == "arn"
        && is_partition(partition)
        && service == "iam"
        && region.is_empty()
        && account_id.len() == 12
        && account_id.bytes().all(|b| b.is_ascii_digit())
        && (1..=64).contains(&name.len())
        && name.chars().all(|c| is_word(c) || "+=,.@-".contains(c));
    is_valid.then_some(RoleArn { text, partition, account_id, name })
}

/// Whether `text` is a partition of AWS.
pub(crate) fn is_partition(text: &str) -> bool {
    matches!(text, "aws" | "aws-cn" | "aws-us-gov" | "aws-eusc" | "aws-iso")
        || text.strip_prefix("aws-iso-").is_some_and(|rest| rest.len() == 1)
}

/// The parameter `RoleSessionName`.
///
/// # Errors
/// `ValidationError` when it is missing or breaks `[\w+=,.@-]{2,64}`.
pub(crate) fn session_name(params: &Params) -> Result<&str, ApiError> {
    let text = required(params, "RoleSessionName", "roleSessionName")?;
    check_pattern(text, "roleSessionName", "+=,.@-", "[\\w+=,.@-]*")?;
    check_length(text, "roleSessionName", 2, 64)?;
    Ok(text)
}

/// The parameter `ExternalId`, if given.
///
/// # Errors
/// `ValidationError` when it breaks `[\w+=,.@:/-]{2,1224}`.
pub(crate) fn external_id(params: &Params) -> Result<Option<&str>, ApiError> {
    let Some(text) = params.get("ExternalId") else { return Ok(None) };
    check_pattern(text, "externalId", "+=,.@:/-", "[\\w+=,.@:\\/-]*")?;
    check_length(text, "externalId", 2, 1224)?;
    Ok(Some(text))
}

/// The parameter `DurationSeconds`, 900 to `max`.
///
/// # Errors
/// `MalformedInput` for no integer, `ValidationError` out of range.
pub(crate) fn duration_seconds(params: &Params, default: u64, max: u64) -> Result<u64, ApiError> {
    let Some(text) = params.get("DurationSeconds") else { return Ok(default) };
    let seconds: i64 = text
        .parse()
        .map_err(|_| ApiError::bad_request("MalformedInput", "DurationSeconds is no integer"))?;
    let out_of_range = |bound: &str, limit: u64| {
        constraint(text, "durationSeconds", &format!("Member must have value {bound} {limit}"))
    };
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > max => Err(out_of_range("less than or equal to", max)),
        Ok(seconds) if seconds >= 900 => Ok(seconds),
        _ => Err(out_of_range("greater than or equal to", 900)),
    }
}

/// Whether an assumed-role caller (`is_chained`) or anyone may have `seconds` of a role.
///
/// # Errors
/// `ValidationError` above the role's own maximum, and above one hour for chained roles.
pub(crate) fn check_role_limit(
    seconds: u64,
    role_maximum: u64,
    is_chained: bool,
) -> Result<(), ApiError> {
    if is_chained && seconds > HOUR {
        return Err(ApiError::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
             role chaining",
        ));
    }
    if seconds > role_maximum {
        return Err(ApiError::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(())
}

/// A parameter that must be there; `member` is its name in the error.
///
/// # Errors
/// `ValidationError` when it is missing.
pub(crate) fn required<'a>(
    params: &'a Params,
    name: &str,
    member: &str,
) -> Result<&'a str, ApiError> {
    params.get(name).ok_or_else(|| {
        ApiError::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
             Member must not be null"
        ))
    })
}

/// Checks the number of characters.
///
/// # Errors
/// `ValidationError` outside `min` to `max`.
pub(crate) fn check_length(
    text: &str,
    member: &str,
    min: usize,
    max: usize,
) -> Result<(), ApiError> {
    let length = text.chars().count();
    let (bound, limit) = if length < min {
        ("greater than or equal to", min)
    } else if length > max {
        ("less than or equal to", max)
    } else {
        return Ok(());
    };
    Err(constraint(text, member, &format!("Member must have length {bound} {limit}")))
}

fn check_pattern(text: &str, member: &str, marks: &str, pattern: &str) -> Result<(), ApiError> {
    check_chars(text, member, pattern, |c| is_word(c) || marks.contains(c))
}

/// Checks each character; `pattern` is how the error tells the rule.
///
/// # Errors
/// `ValidationError` for a character that is not legal.
pub(crate) fn check_chars(
    text: &str,
    member: &str,
    pattern: &str,
    is_legal: impl Fn(char) -> bool,
) -> Result<(), ApiError> {
    if text.chars().all(is_legal) {
        return Ok(());
    }
    let rule = format!("Member must satisfy regular expression pattern: {pattern}");
    Err(constraint(text, member, &rule))
}

/// `\w` of the service's patterns.
pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The `ValidationError` for a value that breaks `rule`.
pub(crate) fn constraint(value: &str, member: &str, rule: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: \
         {rule}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns_of_every_partition_are_read_and_lose_their_path() {
        for partition in ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"] {
            let text = format!("arn:{partition}:iam::123456789012:role/team/a/prod");
            let arn = parse_role_arn(&text).expect(&text);
            assert_eq!((arn.partition, arn.name), (partition, "prod"));
        }
    }

    #[test]
    fn other_texts_are_no_role_arns() {
        for text in [
            "arn:aws:iam::123456789012:user/dev",
            "arn:aws:iam::12345678901:role/prod",
            "arn:aws:iam:us-east-1:123456789012:role/prod",
            "arn:aws:sts::123456789012:role/prod",
            "arn:aws-x:iam::123456789012:role/prod",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
            "arn:aws:iam::123456789012",
        ] {
            assert_eq!(parse_role_arn(text), None, "{text}");
        }
    }
}
