//! Texts → values, with messages. Knows no place of origin; the caller adds it.

use std::num::NonZeroU8;
use std::time::Duration;

/// The shortest session that STS gives.
const SHORTEST_SESSION: Duration = Duration::from_mins(15);

/// The longest session that STS gives.
const LONGEST_SESSION: Duration = Duration::from_hours(12);

/// The bounds of `open_deadline`: below, no AssumeRole ends; at a minute, readers are killed that
/// run us as a `credential_process` of a Go program.
const OPEN_DEADLINES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(50));

/// A duration as people write it.
///
/// # Errors
/// What is wrong with `text`, which `key` is called in the message.
pub(crate) fn duration(key: &str, text: &str) -> Result<Duration, String> {
    let shown = shown(text);
    if text.trim_start().starts_with('-') {
        return Err(format!("{key} {shown} is negative: write it as in 1h or 45m"));
    }
    let trimmed = text.trim();
    if !trimmed.is_empty() && trimmed != "0" && trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        let remedy = if trimmed.len() > 12 { "1h" } else { &format!("{trimmed}s or 1h") };
        return Err(format!("{key} {shown} has no unit: write it as in {remedy}"));
    }
    humantime::parse_duration(text)
        .map_err(|_| format!("{key} {shown} is no duration: write it as in 1h, 45m or 1h 30m"))
}

/// What AssumeRole takes as `DurationSeconds`.
pub(in crate::config) fn session_duration(key: &str, text: &str) -> Result<Duration, String> {
    session_within(key, text, LONGEST_SESSION, "12h")
}

/// What STS takes as `DurationSeconds`, up to `longest`, as people write it.
pub(in crate::config) fn session_within(
    key: &str,
    text: &str,
    longest: Duration,
    longest_text: &str,
) -> Result<Duration, String> {
    let duration = duration(key, text)?;
    let found = shown(text);
    if duration < SHORTEST_SESSION {
        return Err(format!("{key} {found} is too short: STS gives 15m to {longest_text}"));
    }
    if duration > longest {
        return Err(format!("{key} {found} is too long: STS gives 15m to {longest_text}"));
    }
    if duration.subsec_nanos() != 0 {
        return Err(format!("{key} {found} is not in whole seconds: write it as in 1h or 45m"));
    }
    Ok(duration)
}

/// `duration_seconds` of an AWS profile.
pub(in crate::config) fn duration_seconds(text: &str) -> Result<Duration, String> {
    let found = shown(text);
    let seconds = text.parse().map_err(|_| {
        format!("duration_seconds {found} is no number of seconds: write it as in 3600")
    })?;
    let duration = Duration::from_secs(seconds);
    if (SHORTEST_SESSION..=LONGEST_SESSION).contains(&duration) {
        return Ok(duration);
    }
    Err(format!("duration_seconds {found} is out of range: STS gives 900 to 43200"))
}

/// How long a reader waits.
pub(in crate::config) fn open_deadline(key: &str, text: &str) -> Result<Duration, String> {
    let deadline = duration(key, text)?;
    let (shortest, longest) = OPEN_DEADLINES;
    if (shortest..=longest).contains(&deadline) {
        return Ok(deadline);
    }
    Err(format!("{key} {} is out of range: use 100ms to 50s", shown(text)))
}

/// How many opens may wait at a time: at least one, and no more than any machine has readers.
pub(in crate::config) fn waiting_opens(key: &str, text: &str) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (1..=1_000_000).contains(number));
    number.ok_or_else(|| format!("{key} is {}: write a number, 1 to 1000000", shown(text)))
}

/// A directory as a reader sees it. It stands in `credential_process` lines, which some SDKs
/// split at spaces without knowing quotes, others give to a shell, and PHP cuts at `;`.
pub(in crate::config) fn reader_path(key: &str, text: &str) -> Result<String, String> {
    let found = shown(text);
    if !text.starts_with('/') {
        return Err(format!("{key} {found} is not absolute: write it as in /root/.aws"));
    }
    let legal =
        |character: char| character.is_ascii_alphanumeric() || "/_-.@:+%,".contains(character);
    if let Some(wrong) = text.chars().find(|&character| !legal(character)) {
        return Err(format!(
            "{key} {found} contains `{}`, which some AWS SDKs cannot run in credential_process: \
             use letters, digits and / _ - . @ : + % ,",
            wrong.escape_debug()
        ));
    }
    let trimmed = text.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

/// A switch.
pub(in crate::config) fn boolean(key: &str, text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{key} is {}: write true or false", shown(text))),
    }
}

/// A small count.
pub(in crate::config) fn count(key: &str, text: &str) -> Result<u8, String> {
    text.trim().parse().map_err(|_| format!("{key} is {}: write 0, 1 or 2", shown(text)))
}

/// A limit of calls: 1 to 100.
pub(in crate::config) fn calls_per_second(key: &str, text: &str) -> Result<NonZeroU8, String> {
    let number = text.trim().parse().ok().filter(|number: &NonZeroU8| number.get() <= 100);
    number.ok_or_else(|| format!("{key} is {}: write a number, 1 to 100", shown(text)))
}

/// `text` in quotes, cut where it is long and with control characters escaped.
pub(in crate::config) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The names as a message lists them; long lists are cut.
pub(in crate::config) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.iter().take(20).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    if names.len() > 20 { format!("{shown} and {} more", names.len() - 20) } else { shown }
}

/// The known name that `text` was probably meant to be: at most two edits away, and at most a
/// third of its length.
pub(crate) fn meant<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text: Vec<char> = text.chars().take(64).collect();
    known
        .into_iter()
        .map(|name| (edits(&text, &name.chars().take(64).collect::<Vec<_>>()), name))
        .filter(|(edits, name)| *edits <= 2 && *edits * 3 <= name.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// The Levenshtein distance.
fn edits(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, &from) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, &to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn session_durations_are_15_minutes_to_12_hours() {
        let parse = |text| session_duration("session_duration", text);
        assert_eq!(parse("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(parse("12h"), Ok(Duration::from_hours(12)));
        assert_eq!(parse("1h 30m"), Ok(Duration::from_mins(90)));
        for (text, problem) in [
            ("14m 59s", "is too short: STS gives 15m to 12h"),
            ("0", "is too short: STS gives 15m to 12h"),
            ("0s", "is too short: STS gives 15m to 12h"),
            ("12h 1s", "is too long: STS gives 15m to 12h"),
            ("-1h", "is negative: write it as in 1h or 45m"),
            ("3600", "has no unit: write it as in 3600s or 1h"),
            ("soon", "is no duration: write it as in 1h, 45m or 1h 30m"),
            ("", "is no duration: write it as in 1h, 45m or 1h 30m"),
            ("1h 1ms", "is not in whole seconds: write it as in 1h or 45m"),
        ] {
            assert_eq!(parse(text), Err(format!("session_duration `{text}` {problem}")));
        }
    }

    #[test]
    fn at_least_one_open_may_wait() {
        let parse = |text| waiting_opens("max_waiting_opens", text);
        assert_eq!((parse("1"), parse("4096")), (Ok(1), Ok(4096)));
        for wrong in ["0", "-1", "1000001", "many", "", "1.5"] {
            let told = parse(wrong).unwrap_err();
            let expected = "write a number, 1 to 1000000";
            assert_eq!(told, format!("max_waiting_opens is `{wrong}`: {expected}"));
        }
    }

    #[test]
    fn a_limit_of_calls_is_1_to_100() {
        let parse = |text| calls_per_second("sts_calls_per_second", text).map(NonZeroU8::get);
        assert_eq!((parse("1"), parse("100")), (Ok(1), Ok(100)));
        for text in ["0", "101", "300", "-1", "2.5", "many", ""] {
            let problem = format!("sts_calls_per_second is `{text}`: write a number, 1 to 100");
            assert_eq!(parse(text), Err(problem));
        }
    }

    #[test]
    fn reader_paths_survive_every_way_to_run_a_process() {
        assert_eq!(reader_path("reader_path", "/root/.aws/"), Ok("/root/.aws".to_owned()));
        assert_eq!(reader_path("reader_path", "/"), Ok("/".to_owned()));
        for bad in ["", ".aws", "~/.aws", "/a b", "/a'b", "/a;b", "/a$b", "/a\nb"] {
            assert!(reader_path("reader_path", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        assert_eq!(meant("regoin", ["region", "role_arn"]), Some("region"));
        assert_eq!(meant("role_arm", ["region", "role_arn"]), Some("role_arn"));
        assert_eq!(meant("mfa", ["region", "role_arn"]), None);
        assert_eq!(meant("x", ["a", "b"]), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = session_duration("k", &text);
            let _ = open_deadline("k", &text);
            let _ = waiting_opens("k", &text);
            let _ = reader_path("k", &text);
            let _ = meant(&text, ["region"]);
        }

        #[test]
        fn durations_come_back(seconds in 900_u64..=43_200) {
            let duration = Duration::from_secs(seconds);
            let text = humantime::format_duration(duration).to_string();
            prop_assert_eq!(session_duration("k", &text), Ok(duration));
        }
    }
}
