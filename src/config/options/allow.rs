//! The rules of `[[allow]]` and `--allow`: texts and tables → [`AllowRule`].

use std::sync::Arc;

use glob::Pattern;

use crate::config::values::{
    Layer, Origin, Problems, Raw, Report, Sourced, all, listed, meant, shown, unknown_key,
};
use crate::model::{Part, Role, TokenGrant};
use crate::policy::AllowRule;

/// The keys of a rule, in the order in which messages list them.
const KEYS: [&str; 7] = ["uid", "gid", "cgroup", "container", "exe", "roles", "tokens"];

/// The shortest prefix of a container id: what tools show. Below it, ids of others may fit.
const SHORTEST_ID: usize = 12;

/// A whole container id.
const WHOLE_ID: usize = 64;

/// A rule whose roles and tokens are not looked up yet.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct RuleSpec {
    /// The conditions.
    rule: AllowRule,
    roles: Option<Vec<Sourced<String>>>,
    tokens: Option<Vec<Sourced<String>>>,
}

/// All rules of one `allow`.
///
/// # Errors
/// Whatever is wrong in any of them.
pub(in crate::config) fn rules(raw: &Sourced<Raw>) -> Result<Vec<RuleSpec>, Problems> {
    let items = match &raw.value {
        Raw::List(items) => items.as_slice(),
        Raw::Text(_) => std::slice::from_ref(raw),
        other => {
            return Err(raw.problem(format!(
                "`allow` is {}: write each rule below [[allow]] or [[mounts.NAME.allow]]",
                other.kind()
            )));
        }
    };
    all(items.iter().map(|item| match &item.value {
        Raw::Table(entries) => rule(&item.origin, entries),
        Raw::Text(text) => rule(&item.origin, &entries(text, &item.origin)?),
        other => Err(item.problem(format!(
            "`allow` holds {}: write each rule below [[allow]] or [[mounts.NAME.allow]]",
            other.kind()
        ))),
    }))
}

/// `uid=1000,roles=dev,roles=test` as the entries of a table.
fn entries(text: &str, origin: &Origin) -> Result<Vec<(String, Sourced<Raw>)>, Problems> {
    let sourced = |raw| Sourced::new(raw, origin.clone());
    let mut entries: Vec<(String, Sourced<Raw>)> = Vec::new();
    for part in text.split(',') {
        let Some((key, value)) = part.trim().split_once('=') else {
            let (part, rule) = (shown(part), shown(text));
            let message = format!(
                "{part} of rule {rule} has no `=`: write it as in uid=1000,roles=dev,roles=test"
            );
            return Err(vec![(origin.clone(), message)]);
        };
        let (key, value) = (key.trim(), value.trim());
        let earlier = entries.iter_mut().find(|(name, _)| name == key);
        match (key, earlier) {
            ("uid" | "gid", None) => {
                entries.push((key.to_owned(), sourced(Raw::Integer(value.to_owned()))));
            }
            ("roles" | "tokens", None) => {
                // `roles=` names none.
                let names = Some(value).filter(|name| !name.is_empty());
                entries.push((key.to_owned(), sourced(Raw::list(names, origin))));
            }
            ("roles" | "tokens", Some((_, Sourced { value: Raw::List(names), .. }))) => {
                names.push(sourced(Raw::Text(value.to_owned())));
            }
            (_, None) => entries.push((key.to_owned(), sourced(Raw::Text(value.to_owned())))),
            (_, Some(_)) => {
                let (key, rule) = (shown(key), shown(text));
                let message = format!("rule {rule} has {key} twice: write a rule for each");
                return Err(vec![(origin.clone(), message)]);
            }
        }
    }
    Ok(entries)
}

fn rule(origin: &Origin, entries: &[(String, Sourced<Raw>)]) -> Result<RuleSpec, Problems> {
    let mut spec = RuleSpec::default();
    all(entries.iter().map(|(key, value)| spec.set(key, value)))?;
    let AllowRule { uid, gid, cgroup, container, exe, only: _ } = &spec.rule;
    let everybody =
        uid.is_none() && gid.is_none() && cgroup.is_none() && container.is_none() && exe.is_none();
    let names = [&spec.roles, &spec.tokens];
    let refuses =
        names.iter().any(|names| names.is_some()) && names.into_iter().flatten().all(Vec::is_empty);
    if everybody && !refuses {
        let message = "this rule has no condition, so it would let everybody read: add uid, gid, \
                       cgroup, container or exe";
        return Err(vec![(origin.clone(), message.to_owned())]);
    }
    Ok(spec)
}

impl RuleSpec {
    fn set(&mut self, key: &str, value: &Sourced<Raw>) -> Result<(), Problems> {
        let problem = |message: String| value.problem(message);
        let text = |example: &str| value.value.text(key, example).map_err(problem);
        match key {
            "uid" => self.rule.uid = Some(id(key, &value.value).map_err(problem)?),
            "gid" => self.rule.gid = Some(id(key, &value.value).map_err(problem)?),
            "cgroup" => {
                let text = text("/system.slice/docker-*")?;
                self.rule.cgroup = Some(pattern(key, text, "/system.slice/").map_err(problem)?);
            }
            "container" => {
                self.rule.container = Some(container(text("3f4e8a1b2c3d")?).map_err(problem)?);
            }
            "exe" => {
                let text = text("/usr/bin/aws")?;
                self.rule.exe = Some(pattern(key, text, "/usr/bin/").map_err(problem)?);
            }
            "roles" => self.roles = Some(value.texts(key, "dev", Ok)?),
            "tokens" => self.tokens = Some(value.texts(key, "github/acme", Ok)?),
            _ => return Err(problem(unknown_key(key, "in a rule of allow", KEYS))),
        }
        Ok(())
    }

    /// The rule with its roles and tokens looked up in what its mount has.
    pub(in crate::config) fn resolve(&self, has: &Has<'_>, report: &mut Report) -> AllowRule {
        let mut missing = |name: &Sourced<String>, picked: Layer, told: String| {
            if picked >= name.origin.layer() && has.all {
                report.error(&name.origin, told);
            }
        };
        let mut only = Part::default();
        for name in self.roles.iter().flatten() {
            match has.roles.iter().find(|role| role.profile.as_str() == name.value) {
                Some(role) => drop(only.roles.insert(role.profile.clone())),
                None => missing(name, has.roles_picked, unknown_role(&name.value, has.roles)),
            }
        }
        for name in self.tokens.iter().flatten() {
            if has.tokens.iter().any(|grant| grant.name() == name.value) {
                only.tokens.insert(name.value.clone());
            } else {
                missing(name, has.tokens_picked, unknown_token(&name.value, has.tokens));
            }
        }
        let is_limited = self.roles.is_some() || self.tokens.is_some();
        AllowRule { only: is_limited.then_some(only), ..self.rule.clone() }
    }
}

/// What a mount has, and by which layers that was picked. Where it is a higher one than that of a
/// rule, something that is not there is no mistake of the rule.
#[derive(Debug)]
pub(in crate::config) struct Has<'a> {
    /// Whether all of it could be made. If not, that something is missing is no news.
    pub(in crate::config) all: bool,
    pub(in crate::config) roles: &'a [Role],
    pub(in crate::config) roles_picked: Layer,
    pub(in crate::config) tokens: &'a [Arc<TokenGrant>],
    pub(in crate::config) tokens_picked: Layer,
}

fn unknown_token(name: &str, tokens: &[Arc<TokenGrant>]) -> String {
    let names: Vec<String> = tokens.iter().map(|grant| grant.name()).collect();
    let known = || names.iter().map(String::as_str);
    let found = shown(name);
    match meant(name, known()) {
        Some(name) => format!("the mount shows no token {found}: did you mean `{name}`?"),
        None if names.is_empty() => {
            format!("the mount shows no token {found}: it shows none; name it in its `tokens`")
        }
        None => format!("the mount shows no token {found}: it shows {}", listed(known())),
    }
}

fn unknown_role(name: &str, roles: &[Role]) -> String {
    let known = || roles.iter().map(|role| role.profile.as_str());
    let found = shown(name);
    match meant(name, known()) {
        Some(name) => format!("the mount serves no role {found}: did you mean `{name}`?"),
        None => format!("the mount serves no role {found}: it serves {}", listed(known())),
    }
}

fn id(key: &str, raw: &Raw) -> Result<u32, String> {
    let Raw::Integer(text) = raw else {
        return Err(format!("`{key}` is {}: write a number, as in {key} = 1000", raw.kind()));
    };
    // The highest means "no id" to the kernel.
    text.parse()
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| format!("{key} {} is no id: write a number, 0 to 4294967294", shown(text)))
}

fn container(text: &str) -> Result<String, String> {
    let found = shown(text);
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!(
            "container {found} is no container id: write the digits that `docker ps` shows; a name \
             can be taken by another container"
        ));
    }
    if !(SHORTEST_ID..=WHOLE_ID).contains(&text.len()) {
        return Err(format!(
            "container {found} has {} digits: write {SHORTEST_ID} to {WHOLE_ID}",
            text.len()
        ));
    }
    Ok(text.to_ascii_lowercase())
}

/// A pattern for a whole path.
fn pattern(key: &str, text: &str, example: &str) -> Result<Pattern, String> {
    let found = shown(text);
    if !text.starts_with(['/', '*', '?', '[']) {
        return Err(format!(
            "{key} {found} matches no path, since paths begin with `/`: write it as in {example}* \
             or */{}",
            text.escape_debug()
        ));
    }
    Pattern::new(text).map_err(|error| {
        format!("{key} {found} is no pattern: {} at character {}", error.msg, error.pos + 1)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Vec<RuleSpec>, Problems> {
        let origin = Origin::Flag("--allow".to_owned());
        rules(&Sourced::new(Raw::Text(text.to_owned()), origin))
    }

    fn one(text: &str) -> RuleSpec {
        parse(text).expect("legal").remove(0)
    }

    #[test]
    fn a_flag_says_what_a_table_says() {
        let found = one("uid=1000, gid=5,cgroup=/a/*,container=3F4E8A1B2C3D,exe=*/aws");
        assert_eq!(found.rule.uid, Some(1000));
        assert_eq!(found.rule.gid, Some(5));
        assert_eq!(found.rule.cgroup, Pattern::new("/a/*").ok());
        assert_eq!(found.rule.container.as_deref(), Some("3f4e8a1b2c3d"));
        assert_eq!(found.rule.exe, Pattern::new("*/aws").ok());
        assert!(found.roles.is_none(), "all roles");
    }

    #[test]
    fn roles_may_be_some_or_none() {
        let names = |text| {
            let roles = one(text).roles.expect("said");
            roles.into_iter().map(|role| role.value).collect::<Vec<_>>()
        };
        assert_eq!(names("uid=1,roles=a,roles=b"), ["a", "b"]);
        assert_eq!(names("uid=1,roles="), [""; 0]);
        assert_eq!(names("roles="), [""; 0], "nobody is everybody's opposite");
        let tokens = one("uid=1,tokens=github/a,tokens=github/b");
        assert!(tokens.roles.is_none());
        assert_eq!(tokens.tokens.expect("said").len(), 2);
        assert!(one("tokens=").tokens.expect("said").is_empty());
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_refused() {
        for (text, problem) in [
            ("", "has no `=`"),
            ("roles=a", "would let everybody read"),
            ("roles=,tokens=github/a", "would let everybody read"),
            ("uid=1,uid=2", "has `uid` twice"),
            ("uid=-1", "is no id"),
            ("uid=4294967295", "is no id"),
            ("uid=jane", "is no id"),
            ("uidd=1", "did you mean `uid`"),
            ("container=3f4e8a1b2c3", "has 11 digits"),
            ("container=web", "is no container id"),
            ("exe=aws", "matches no path"),
            ("cgroup=/a[b", "is no pattern: invalid range pattern at character 3"),
        ] {
            let found = parse(text).expect_err("refused");
            assert!(found[0].1.contains(problem), "{text:?}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(uid|gid|cgroup|container|exe|roles|=|,|[*?\\[]|[a-f0-9]{12}|/|é| ){0,20}") {
            let _ = parse(&text);
        }
    }
}
