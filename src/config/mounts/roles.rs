//! The roles to serve: each `[NAME=]ROLE` asked for, looked up and named.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::aws::copied;
use crate::config::chains::{Built, Chains};
use crate::config::options::attributes::AttributeSpec;
use crate::config::values::{Origin, Report, Sourced, listed, meant, shown};
use crate::model::{ProfileName, Role, RoleArn};

/// What makes a text an ARN, so that it has no `NAME=` in front.
const ARN_PREFIX: &str = "arn:";

/// The roles asked for, or all configured ones when nothing is said of them.
///
/// `origin` is the mount that serves them. It may have none if it has other things (`others`).
pub(in crate::config) fn served(
    chains: &Chains<'_>,
    origin: &Origin,
    others: bool,
    report: &mut Report,
) -> Vec<Role> {
    if chains.options.no_roles {
        return Vec::new();
    }
    let asked = &chains.options.roles;
    let all: Vec<Sourced<String>> = if asked.is_empty() {
        chains
            .catalog
            .roles
            .iter()
            .map(|spec| Sourced::new(spec.name.clone(), spec.origin.clone()))
            .collect()
    } else {
        asked.clone()
    };
    if all.is_empty() && !others && report.is_clean() {
        report.error(
            origin,
            "there is no role to serve: give --role with a role ARN or an AWS profile, or write \
             [roles.NAME] in the configuration file",
        );
    }
    let mut names: BTreeMap<ProfileName, Origin> = BTreeMap::new();
    let mut roles = Vec::new();
    for request in &all {
        // A configured name is looked up whole: it may hold a `=`.
        let (name, target) =
            if asked.is_empty() { (None, request.value.as_str()) } else { split(&request.value) };
        let Some((fallback, built)) = find(chains, target, &request.origin, report) else {
            continue;
        };
        if built.chain.hops.is_empty() {
            let attributes = &chains.options.attributes;
            attributes
                .for_role(&AttributeSpec::default(), true)
                .refuse(&format!("role {}", shown(&fallback)), report);
        }
        let Some(profile) = profile_name(name, &fallback, &request.origin, report) else {
            continue;
        };
        if names.contains_key(&profile) {
            report.error(
                &request.origin,
                format!(
                    "profile name `{profile}` stands twice: give one another name, as in NAME={}",
                    target.escape_debug()
                ),
            );
            continue;
        }
        names.insert(profile.clone(), request.origin.clone());
        let Built { chain, region, settings_profile, .. } = built;
        let settings = settings_profile
            .and_then(|name| chains.profiles.find(&name))
            .map(|profile| copied::copied(profile, report))
            .unwrap_or_default();
        roles.push(Role { profile, chain: Arc::new(chain), region, settings });
    }
    roles
}

/// `NAME=ROLE` → both; an ARN, whose role name may hold a `=`, has no NAME unless one stands
/// before `arn:`.
fn split(request: &str) -> (Option<&str>, &str) {
    if request.starts_with(ARN_PREFIX) {
        return (None, request);
    }
    match request.split_once('=') {
        Some((name, target)) => (Some(name), target),
        None => (None, request),
    }
}

/// What ROLE is: a configured role, else an AWS profile, else an ARN. With the name it has when
/// nobody gives it another.
fn find(
    chains: &Chains<'_>,
    target: &str,
    origin: &Origin,
    report: &mut Report,
) -> Option<(String, Built)> {
    if let Some(spec) = chains.catalog.find(target) {
        return Some((spec.name.clone(), chains.of_role(spec, report)?));
    }
    if chains.catalog.is_broken(target) {
        return None;
    }
    if let Some(profile) = chains.profiles.find(target) {
        return Some((profile.name.clone(), chains.of_profile(profile, report)?));
    }
    if target.starts_with(ARN_PREFIX) || target.matches(':').count() >= 4 {
        let arn = report.check(origin, RoleArn::parse(target))?;
        let name = arn.role_name().to_owned();
        return Some((name, chains.of_arn(&arn, origin, report)?));
    }
    report.error(origin, unknown(chains, target));
    None
}

fn unknown(chains: &Chains<'_>, target: &str) -> String {
    let roles = || chains.catalog.names();
    let found = shown(target);
    if target.is_empty() {
        return "the role is empty: write [NAME=]ROLE".to_owned();
    }
    if let Some(advice) = chains.profiles.misplaced(target) {
        return advice;
    }
    if let Some(name) = meant(target, roles().chain(chains.profiles.names())) {
        let name = shown(name);
        return format!("there is no role or AWS profile {found}: did you mean {name}?");
    }
    let configured = if roles().next().is_some() {
        format!("configured roles are {}", listed(roles()))
    } else {
        "no role is configured".to_owned()
    };
    let profiles = if chains.profiles.names().next().is_some() {
        format!("AWS profiles are {}", listed(chains.profiles.names()))
    } else {
        "there is no AWS profile".to_owned()
    };
    format!(
        "there is no role or AWS profile {found}, and it is no role ARN: {configured}; {profiles}{}",
        chains.profiles.hidden_by()
    )
}

/// The profile name that readers see.
fn profile_name(
    given: Option<&str>,
    fallback: &str,
    origin: &Origin,
    report: &mut Report,
) -> Option<ProfileName> {
    match given {
        Some(name) => report.check(origin, ProfileName::parse(name)),
        None => match ProfileName::parse(fallback) {
            Ok(name) => Some(name),
            Err(error) => {
                report.error(
                    origin,
                    format!(
                        "{error}; give it a name for readers, as in --role 'NAME={}'",
                        fallback.escape_debug()
                    ),
                );
                None
            }
        },
    }
}

/// Which role is also `[default]`. `compatible` is what other tools are told; it counts least.
pub(in crate::config) fn default(
    chains: &Chains<'_>,
    compatible: Option<&Sourced<String>>,
    roles: &[Role],
    report: &mut Report,
) -> Option<ProfileName> {
    let find = |name: &str| roles.iter().find(|role| role.profile.as_str() == name);
    let named = find("default").map(|role| role.profile.clone());
    let first = named.clone().or_else(|| roles.first().map(|role| role.profile.clone()));
    let wish = chains.options.default.first().or(compatible);
    let Some(wish) = wish else { return first };
    if let Some(named) = named
        && wish.value != named.as_str()
    {
        report.error(
            &wish.origin,
            format!(
                "default is {}, but a role is itself called `default`: give that role another \
                 name, as in --role NAME=default",
                shown(&wish.value)
            ),
        );
        return None;
    }
    if wish.value == "none" {
        return None;
    }
    if let Some(role) = find(&wish.value) {
        return Some(role.profile.clone());
    }
    // A default for all roles says nothing when some of them are picked on a higher layer.
    if chains.options.picked() < wish.origin.layer() {
        return first;
    }
    if report.is_clean() {
        report.error(
            &wish.origin,
            format!(
                "default is {}, which is not served: use `none` or one of {}",
                shown(&wish.value),
                listed(roles.iter().map(|role| role.profile.as_str()))
            ),
        );
    }
    None
}
