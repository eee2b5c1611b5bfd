//! The rules of `[[allow]]` and `--allow`: texts and tables → [`AllowRule`].

use glob::Pattern;

use crate::config::values::{
    Layer, Origin, Problems, Raw, Report, Sourced, all, listed, meant, shown, unknown_key,
};
use crate::model::Role;
use crate::policy::AllowRule;

/// The keys of a rule, in the order in which messages list them.
const KEYS: [&str; 6] = ["uid", "gid", "cgroup", "container", "exe", "roles"];

/// The shortest prefix of a container id: what tools show. Below it, ids of others may fit.
const SHORTEST_ID: usize = 12;

/// A whole container id.
const WHOLE_ID: usize = 64;

/// A rule whose roles are not looked up yet.
#[derive(Debug, Clone)]
pub(in crate::config) struct RuleSpec {
    /// Everything but the roles.
    rule: AllowRule,
    roles: Option<Vec<Sourced<String>>>,
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
            ("roles", None) => {
                // `roles=` names none.
                let names = Some(value).filter(|name| !name.is_empty());
                entries.push((key.to_owned(), sourced(Raw::list(names, origin))));
            }
            ("roles", Some((_, Sourced { value: Raw::List(names), .. }))) => {
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
    let mut spec = RuleSpec { rule: AllowRule::default(), roles: None };
    all(entries.iter().map(|(key, value)| spec.set(key, value)))?;
    let AllowRule { uid, gid, cgroup, container, exe, roles: _ } = &spec.rule;
    let everybody =
        uid.is_none() && gid.is_none() && cgroup.is_none() && container.is_none() && exe.is_none();
    if everybody && spec.roles.as_ref().is_none_or(|roles| !roles.is_empty()) {
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
            _ => return Err(problem(unknown_key(key, "in a rule of allow", KEYS))),
        }
        Ok(())
    }

    /// The rule with its roles looked up among those of its mount, which were picked on the layer
    /// `picked`. Where that is a higher one, a role that is not served is no mistake of the rule.
    pub(in crate::config) fn resolve(
        &self,
        roles: &[Role],
        picked: Layer,
        report: &mut Report,
    ) -> AllowRule {
        let find = |name: &Sourced<String>, report: &mut Report| {
            let found = roles.iter().find(|role| role.profile.as_str() == name.value);
            // With a role that could not be made, that it is missing is no news.
            if found.is_none() && picked >= name.origin.layer() && report.is_clean() {
                report.error(&name.origin, unknown_role(&name.value, roles));
            }
            found.map(|role| role.profile.clone())
        };
        let names = self.roles.as_ref();
        let names = names.map(|names| names.iter().filter_map(|name| find(name, report)).collect());
        AllowRule { roles: names, ..self.rule.clone() }
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
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_refused() {
        for (text, problem) in [
            ("", "has no `=`"),
            ("roles=a", "would let everybody read"),
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
