//! A configuration that became wrong while no daemon lived: the mounts that were kept are served all
//! the same, and say so to their readers, until it is mended.
//!
//! Of a mount nothing is known then but what an earlier daemon wrote down: where it is, the names of
//! its profiles and tokens, and the address of its endpoint. It is not known whom its rules let in. So everybody who could reach it before
//! reaches it now, because an error would send AWS clients on to other credentials; nobody finds a
//! key, and nobody may write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::Daemon;
use super::state::{self, Known};
use crate::app::lifeline::Lifeline;
use crate::app::plan::Plan;
use crate::broker::{Cause, Place, SessionError};
use crate::config::{ConfigErrors, DEFAULT_OPEN_DEADLINE, MountSettings, Origin};
use crate::fuse::{Shape, mount};
use crate::model::{
    BaseCredentials, GithubGrant, GithubOwner, HostName, OidcIdentity, Part, ProfileName, Role,
    RoleChain, ServiceUrl, SshGrant, SshName, TokenGrant,
};
use crate::os::paths::mount_stem;
use crate::policy::AllowRule;
use crate::render::ReaderPath;

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// All of it, a line for each error; for `status` and logs.
    pub(super) told: String,
    /// What readers get: that it is, and the place of the first error.
    failure: SessionError,
}

impl Broken {
    pub(super) fn new(error: &anyhow::Error) -> Self {
        let errors = error.downcast_ref::<ConfigErrors>();
        let place = errors.and_then(|errors| place(&errors.0.first()?.origin));
        let failure = SessionError::new("this mount", Cause::Unconfigured, "").at(place);
        Self { told: format!("{error:#}"), failure }
    }
}

/// Where to look, without the directories, which are nobody's business but the operator's.
fn place(origin: &Origin) -> Option<Place> {
    match origin {
        Origin::Line { path, line } => {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            Some(Place::new(&format!("{file} line {line}")))
        }
        Origin::Flag(name) | Origin::Variable(name) => Some(Place::new(name)),
        Origin::Whole => None,
    }
}

/// The mounts that an earlier daemon has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptMounts<'a> {
    pub(super) lifeline: &'a Lifeline,
    pub(super) runtime_dir: &'a Path,
}

impl KeptMounts<'_> {
    /// Whether there are any.
    pub(super) fn are_any(self) -> bool {
        self.lifeline.is_in_use()
    }

    /// How they are served while the configuration is broken.
    ///
    /// # Errors
    /// If mountinfo cannot be read.
    pub(super) fn plans(self, broken: &Broken) -> Result<Vec<Plan>> {
        let states = state::all(self.runtime_dir);
        let mounted = mount::all_mounted().context("looking for mounts that were kept")?;
        let plan = |path: PathBuf| {
            let shape = self.lifeline.shape_of(&mount_stem(&path))?;
            let state = states.iter().find(|state| state.mountpoint == path);
            let known = state.map(|state| state.known.clone()).unwrap_or_default();
            Some(plan(path, known, shape, broken))
        };
        mounted.into_iter().filter_map(plan).collect()
    }
}

/// A mount of which no more is known than this, and all of whose profiles fail. There is a `default`
/// among them, so that clients which ask for no profile are told too.
fn plan(mountpoint: PathBuf, known: Known, shape: Shape, broken: &Broken) -> Result<Plan> {
    let parse = |name: &String| ProfileName::parse(name).ok();
    let mut names: Vec<ProfileName> = known.roles.iter().filter_map(parse).collect();
    if names.is_empty() {
        names.extend(ProfileName::parse("default"));
    }
    let default = known.default.as_ref().and_then(parse).filter(|name| names.contains(name));
    let default = default.or_else(|| names.first().cloned());
    let role = |profile: &ProfileName| Role {
        profile: profile.clone(),
        // Nobody is asked for it.
        chain: Arc::new(RoleChain {
            base: BaseCredentials::Profile(profile.to_string()),
            hops: Vec::new(),
        }),
        region: None,
        settings: Vec::new(),
    };
    // Named one by one they are not "all", which would let everybody write.
    let tokens: Vec<_> = known.tokens.iter().filter_map(|name| token(name)).collect();
    let only = Part {
        roles: names.iter().cloned().collect(),
        tokens: tokens.iter().map(|grant| grant.name()).collect(),
    };
    let everybody = AllowRule { only: Some(only), ..AllowRule::default() };
    // A mount point that no `credential_process` can name has a path for readers, which is not
    // known. By another they find nothing, which is an error as well.
    let nameable = mountpoint.to_str().is_some_and(|path| ReaderPath::parse(path).is_ok());
    let settings = MountSettings {
        name: known.name,
        path: Some(mountpoint),
        roles: names.iter().map(role).collect(),
        tokens,
        default,
        endpoint: known.endpoint,
        reader_path: (!nameable).then(|| "/".to_owned()),
        writable_caches: shape.writable,
        allow_other: shape.allow_other,
        allow: vec![everybody],
        ..MountSettings::default()
    };
    let mut plan = Plan::new(&settings, None, DEFAULT_OPEN_DEADLINE)?;
    plan.served.failing = Some(broken.failure.clone());
    Ok(plan)
}

/// A token of which no more is known than its name, and for which nobody is asked.
fn token(name: &str) -> Option<Arc<TokenGrant>> {
    let (kind, own_name) = name.split_once('/')?;
    let nowhere = ServiceUrl::parse("https://localhost").ok()?;
    let identity = Arc::new(OidcIdentity {
        name: own_name.to_owned(),
        issuer: nowhere.clone(),
        client_id: String::new(),
        scope: String::new(),
        audience: None,
        token_url: None,
    });
    let grant = match kind {
        "github" => TokenGrant::Github(GithubGrant {
            identity,
            owner: GithubOwner::parse(own_name).ok()?,
            repositories: Vec::new(),
            token_url: nowhere,
            host: HostName::parse("localhost").ok()?,
        }),
        "ssh" => TokenGrant::Ssh(SshGrant {
            identity,
            name: SshName::parse(own_name).ok()?,
            certificate_url: nowhere,
        }),
        "web-identity" => TokenGrant::WebIdentity(identity),
        _ => return None,
    };
    Some(Arc::new(grant))
}

/// When a broken configuration is tried again.
pub(super) fn tries() -> Interval {
    let mut tries = interval_at(Instant::now() + TRY_AGAIN, TRY_AGAIN);
    tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tries
}

impl Daemon {
    /// Goes on to serve what is configured, if it is mended by now.
    pub(super) async fn try_again(&mut self) {
        let done = self.apply().await;
        match &done {
            Ok((_, told)) => {
                tracing::info!("the configuration is mended: {told}");
                self.record(&done);
            }
            Err(error) => self.still_broken(error).await,
        }
    }

    /// Tells what is wrong now with a configuration that was broken from the start, if it is
    /// something else than before.
    pub(super) async fn still_broken(&mut self, error: &anyhow::Error) {
        let broken = Broken::new(error);
        if self.shared.broken.as_ref().is_none_or(|before| *before == broken) {
            return;
        }
        tracing::error!("the configuration is still broken: {error:#}");
        for it in &mut self.mounts {
            let mut plan = it.mount.plan.clone();
            if plan.served.failing.is_some() {
                plan.served.failing = Some(broken.failure.clone());
            }
            if plan != it.mount.plan {
                it.mount.replace(plan, &self.shared).await;
            }
        }
        self.shared.broken = Some(broken);
        self.changed();
    }
}

/// How soon it is noticed that the configuration was mended: a few small files are read each time.
const TRY_AGAIN: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::model::Caller;
    use crate::policy::{Decision, Policy};

    fn broken(origins: &[Origin]) -> Broken {
        let error = |origin: &Origin| ConfigError { origin: origin.clone(), message: "no".into() };
        Broken::new(&ConfigErrors(origins.iter().map(error).collect()).into())
    }

    fn line(line: usize) -> Origin {
        Origin::Line { path: "/home/jane/.config/credmount/config.toml".into(), line }
    }

    fn read_only() -> Shape {
        Shape { allow_other: true, writable: Some(true) }
    }

    #[test]
    fn readers_get_the_place_of_the_first_error_and_operators_all() {
        let both = broken(&[line(3), line(8)]);
        let place = both.failure.place.unwrap();
        assert_eq!(place.as_str(), "config.toml line 3");
        assert_eq!(both.told.lines().count(), 2);
        assert!(both.told.contains("/home/jane/.config/credmount/config.toml:8: no"));
        let flag = broken(&[Origin::Flag("--role".to_owned())]).failure.place.unwrap();
        assert_eq!(flag.as_str(), "--role");
        assert_eq!(broken(&[Origin::Whole]).failure.place, None);
        assert_eq!(Broken::new(&anyhow::anyhow!("reading /x")).failure.place, None);
    }

    #[test]
    fn a_mount_keeps_its_names_and_nobody_is_asked_for_sessions() {
        let known = Known {
            name: Some("ops".to_owned()),
            roles: vec!["prod".to_owned(), "dev".to_owned()],
            default: Some("dev".to_owned()),
            tokens: ["github/acme", "ssh/prod", "web-identity/corp"].map(str::to_owned).to_vec(),
            endpoint: Some("127.0.0.1:8080".parse().unwrap()),
        };
        let broken = broken(&[line(3)]);
        let plan = plan("/ops".into(), known.clone(), read_only(), &broken).unwrap();
        assert_eq!(plan.served.contents().profiles, ["default", "prod", "dev"]);
        assert!(plan.served.chains().is_empty() && plan.served.grants().is_empty());
        assert!(plan.served.identities().is_empty(), "nobody can log in to it");
        let tokens: Vec<_> = plan.served.tokens.iter().map(|grant| grant.name()).collect();
        assert_eq!(tokens, known.tokens);
        assert_eq!(plan.shape(), read_only());
        assert_eq!(Known::of(&plan), known, "the next daemon knows it, too");
    }

    #[test]
    fn there_is_a_default_that_fails_whatever_is_known() {
        let not_ours = vec!["a/b".to_owned()];
        for (roles, names) in [
            (vec!["prod".to_owned()], &["default", "prod"][..]),
            (Vec::new(), &["default"]),
            (not_ours, &["default"]),
        ] {
            let known = Known { roles, ..Known::default() };
            let plan = plan("/a \"b\"".into(), known, read_only(), &broken(&[])).unwrap();
            assert_eq!(plan.served.contents().profiles, names);
        }
    }

    #[test]
    fn everybody_is_told_and_nobody_may_write() {
        let known = Known { roles: vec!["prod".to_owned()], ..Known::default() };
        let plan = plan("/ops".into(), known, read_only(), &broken(&[])).unwrap();
        let policy = Policy::new(plan.rules, 1000);
        for uid in [1000, 0, 70_000] {
            let Decision::Allowed { view, .. } = policy.decide(&Caller::unknown(uid, uid, 1))
            else {
                panic!("{uid} is refused");
            };
            // Who may read all may write as well.
            assert!(policy.views()[view].is_some());
        }
    }
}
