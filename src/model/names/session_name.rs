//! The session name as it is configured: text with places that are filled in, those for mount and
//! role when the configuration is read, those for user, host and time at each call.

use std::fmt;

use super::{NameError, RoleSessionName, is_iam_name_character, quoted, shown};

/// The longest `RoleSessionName` that STS takes, in characters.
pub const LONGEST_SESSION_NAME: usize = 64;

/// What `{time}` takes, in characters: `20261122T022718.123Z`.
pub const SESSION_TIME_LEN: usize = 20;

/// A session name as somebody wrote it, such as `ci-{mount}-{time}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionNameTemplate(Vec<Piece>);

/// A piece of a [`SessionNameTemplate`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Mount,
    Role,
    Part(SessionNamePart),
}

/// A session name of which only user, host and time are open. Two chains share a session only if
/// these are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionNamePattern(Vec<SessionNamePart>);

/// A part of a [`SessionNamePattern`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionNamePart {
    /// As it is; characters that STS takes.
    Text(String),
    /// The user who runs the daemon.
    User,
    /// The host, without its domain.
    Host,
    /// The instant of the call, another one for each call.
    Time,
}

const PLACEHOLDERS: [(&str, Piece); 5] = [
    ("user", Piece::Part(SessionNamePart::User)),
    ("host", Piece::Part(SessionNamePart::Host)),
    ("mount", Piece::Mount),
    ("role", Piece::Role),
    ("time", Piece::Part(SessionNamePart::Time)),
];

impl SessionNameTemplate {
    /// Parses and checks: characters of `[\w+=,.@-]`, and `{user}`, `{host}`, `{mount}`, `{role}`
    /// and `{time}`, each at most once. Without any of these, it is a [`RoleSessionName`].
    ///
    /// # Errors
    /// For another character or placeholder, a brace without its partner, and a text that cannot
    /// be filled in to what STS accepts.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !text.contains(['{', '}']) {
            return RoleSessionName::parse(text).map(Self::from);
        }
        let refuse = |problem: String| NameError(format!("session name {}{problem}", quoted(text)));
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            literal(&mut pieces, &rest[..open]).map_err(refuse)?;
            let inside = rest[open..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let Some((name, after)) = inside.filter(|(name, _)| !name.contains('{')) else {
                let (brace, partner) =
                    if rest[open..].starts_with('{') { ('{', '}') } else { ('}', '{') };
                return Err(refuse(format!(
                    " has a `{brace}` without its `{partner}`: write placeholders as in {{user}}"
                )));
            };
            let Some((_, piece)) = PLACEHOLDERS.into_iter().find(|(known, _)| *known == name)
            else {
                let known = PLACEHOLDERS.map(|(known, _)| format!("{{{known}}}")).join(", ");
                let found = quoted(&format!("{{{name}}}"));
                return Err(refuse(format!(" has the unknown placeholder {found}: use {known}")));
            };
            if pieces.contains(&piece) {
                return Err(refuse(format!(" has {{{name}}} twice: keep one")));
            }
            pieces.push(piece);
            rest = after;
        }
        literal(&mut pieces, rest).map_err(refuse)?;
        let template = Self(pieces);
        // With the shortest of everything: what is too long then is too long whoever serves it.
        template.filled("", "").check().map_err(refuse)?;
        Ok(template)
    }

    /// The same with mount and role filled in; in both, characters that STS does not take become
    /// `-`.
    ///
    /// # Errors
    /// When the result has no room in what STS accepts, or is too short.
    pub fn bind(&self, mount: &str, role: &str) -> Result<SessionNamePattern, NameError> {
        let pattern = self.filled(mount, role);
        pattern.check().map_err(|problem| {
            let found = quoted(&pattern.to_string());
            NameError(format!("session name {found}{problem}"))
        })?;
        if let [SessionNamePart::Text(text)] = &pattern.0[..] {
            RoleSessionName::parse(text)?;
        }
        Ok(pattern)
    }

    fn filled(&self, mount: &str, role: &str) -> SessionNamePattern {
        let mut parts: Vec<SessionNamePart> = Vec::new();
        for piece in &self.0 {
            let text = match piece {
                Piece::Part(SessionNamePart::Text(text)) => text.clone(),
                Piece::Mount => legal_session_name(mount),
                Piece::Role => legal_session_name(role),
                Piece::Part(open) => {
                    parts.push(open.clone());
                    continue;
                }
            };
            // One text where there were several pieces: equal names are equal patterns.
            match parts.last_mut() {
                Some(SessionNamePart::Text(before)) => before.push_str(&text),
                _ => parts.push(SessionNamePart::Text(text)),
            }
        }
        SessionNamePattern(parts)
    }
}

/// Adds text between placeholders, or tells what is wrong with it.
fn literal(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    if let Some(wrong) = text.chars().find(|&character| !is_iam_name_character(character)) {
        let wrong = shown(wrong);
        return Err(format!(
            " contains {wrong}: STS accepts letters, digits and + = , . @ - _, and placeholders \
             stand in braces"
        ));
    }
    if !text.is_empty() {
        pieces.push(Piece::Part(SessionNamePart::Text(text.to_owned())));
    }
    Ok(())
}

impl SessionNamePattern {
    /// The parts, in order; each placeholder at most once.
    pub fn parts(&self) -> &[SessionNamePart] {
        &self.0
    }

    /// What the text and the time take, in characters: what is left of
    /// [`LONGEST_SESSION_NAME`] is for user and host.
    pub fn fixed_len(&self) -> usize {
        let len = |part: &SessionNamePart| match part {
            SessionNamePart::Text(text) => text.len(),
            SessionNamePart::Time => SESSION_TIME_LEN,
            SessionNamePart::User | SessionNamePart::Host => 0,
        };
        self.0.iter().map(len).sum()
    }

    /// User and host can be cut, but not to nothing.
    fn check(&self) -> Result<(), String> {
        let is_cut =
            |part: &&SessionNamePart| matches!(part, SessionNamePart::User | SessionNamePart::Host);
        let len = self.fixed_len() + self.0.iter().filter(is_cut).count();
        if len <= LONGEST_SESSION_NAME {
            return Ok(());
        }
        Err(format!(
            " has at least {len} characters when filled in: STS accepts 2 to \
             {LONGEST_SESSION_NAME}"
        ))
    }
}

impl From<RoleSessionName> for SessionNameTemplate {
    fn from(name: RoleSessionName) -> Self {
        Self(vec![Piece::Part(SessionNamePart::Text(name.to_string()))])
    }
}

impl From<RoleSessionName> for SessionNamePattern {
    fn from(name: RoleSessionName) -> Self {
        Self(vec![SessionNamePart::Text(name.to_string())])
    }
}

impl fmt::Display for SessionNamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            SessionNamePart::Text(text) => f.write_str(text),
            SessionNamePart::User => f.write_str("{user}"),
            SessionNamePart::Host => f.write_str("{host}"),
            SessionNamePart::Time => f.write_str("{time}"),
        })
    }
}

/// `text` with every character outside `[\w+=,.@-]` replaced by `-`; the result is ASCII.
pub fn legal_session_name(text: &str) -> String {
    text.chars().map(|c| if is_iam_name_character(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str, mount: &str, role: &str) -> String {
        let template = SessionNameTemplate::parse(text).unwrap();
        template.bind(mount, role).unwrap().to_string()
    }

    fn refusal(text: &str) -> String {
        SessionNameTemplate::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn mount_and_role_are_filled_in_and_the_rest_stays_open() {
        assert_eq!(bound("{mount}.{role}-{time}", "ci", "prod"), "ci.prod-{time}");
        assert_eq!(bound("{user}@{host}", "ci", "prod"), "{user}@{host}");
        assert_eq!(bound("{role}", "ci", "a:b/c é"), "a-b-c--");
    }

    #[test]
    fn a_name_without_placeholders_is_fixed() {
        assert_eq!(bound("me+x=1,a.b@host-1_2", "ci", "prod"), "me+x=1,a.b@host-1_2");
        assert_eq!(refusal("a"), "session name `a` has 1 character: STS accepts 2 to 64");
        assert!(refusal("a b").contains("contains a space"));
    }

    #[test]
    fn a_pattern_that_is_written_in_two_ways_is_equal() {
        let parse = |text| SessionNameTemplate::parse(text).unwrap();
        let first = parse("x-{mount}-{role}").bind("a", "b").unwrap();
        assert_eq!(first, parse("x-a-{role}").bind("other", "b").unwrap());
        assert_eq!(first, RoleSessionName::parse("x-a-b").unwrap().into());
    }

    #[test]
    fn an_unknown_placeholder_is_told_with_those_there_are() {
        assert_eq!(
            refusal("x-{pid}"),
            "session name `x-{pid}` has the unknown placeholder `{pid}`: use {user}, {host}, \
             {mount}, {role}, {time}"
        );
        assert!(refusal("{}x").contains("unknown placeholder `{}`"));
        assert!(refusal("{User}").contains("unknown placeholder `{User}`"));
    }

    #[test]
    fn a_brace_needs_its_partner() {
        for text in ["{user", "x{", "{us{er}}", "{"] {
            assert!(refusal(text).contains("has a `{` without its `}`"), "{}", refusal(text));
        }
        for text in ["user}", "}", "{user}}", "a}{user}"] {
            assert!(refusal(text).contains("has a `}` without its `{`"), "{}", refusal(text));
        }
    }

    #[test]
    fn a_placeholder_stands_once() {
        assert!(refusal("{user}-{user}").contains("has {user} twice"));
    }

    #[test]
    fn characters_of_the_text_are_those_of_sts() {
        assert!(refusal("{user} x").contains("contains a space"));
        assert!(refusal("{user}/é").contains("contains `/`"));
    }

    #[test]
    fn what_cannot_become_short_enough_is_refused() {
        let text = format!("{}-{{time}}", "x".repeat(44));
        assert!(
            refusal(&text)
                .ends_with("has at least 65 characters when filled in: STS accepts 2 to 64")
        );
        let template = SessionNameTemplate::parse("{mount}-{user}").unwrap();
        assert!(template.bind(&"m".repeat(62), "r").is_ok());
        let error = template.bind(&"m".repeat(63), "r").unwrap_err().to_string();
        assert!(error.contains("has at least 65 characters"), "{error}");
    }

    #[test]
    fn what_is_too_short_when_filled_in_is_refused() {
        let template = SessionNameTemplate::parse("{role}").unwrap();
        assert!(template.bind("m", "r").is_err());
        assert!(template.bind("m", "").is_err());
        assert!(template.bind("m", "ro").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_is_accepted_is_legal(text in ".*", mount in ".*", role in ".*") {
            let Ok(template) = SessionNameTemplate::parse(&text) else { return Ok(()) };
            let Ok(pattern) = template.bind(&mount, &role) else { return Ok(()) };
            proptest::prop_assert!(pattern.fixed_len() <= LONGEST_SESSION_NAME);
        }

        #[test]
        fn placeholders_among_legal_text_are_accepted(text in "[a-z]{0,5}(\\{user\\})?[a-z]{0,5}(\\{time\\})") {
            proptest::prop_assert!(SessionNameTemplate::parse(&text).is_ok());
        }
    }
}
