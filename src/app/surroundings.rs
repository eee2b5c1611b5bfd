//! Reads what settings are made of: environment and files. The only place that does.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs};

use anyhow::{Context, Result};
use rustix::process::geteuid;
use rustix::system::uname;
use tokio::runtime::Runtime;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use zeroize::Zeroizing;

use crate::broker::{MfaCodes, ObserveCalls};
use crate::clock::Clock;
use crate::config::{
    self, AddedMount, ConfigError, ConfigErrors, Flags, Inputs, LARGEST_INCLUDE, Locations,
    LogFormat, Origin, Selection, Settings, SourceText, Verbosity,
};
use crate::identity::Logins;
use crate::os::mountinfo::{self, MountEntry};
use crate::os::paths;
use crate::sts::{IdentityCenter, SignIns, StsClient, StsOptions};

/// The environment and the places of files.
pub(super) struct Surroundings {
    environment: BTreeMap<String, String>,
    locations: Locations,
    /// What is known of sign-ins to IAM Identity Center, whatever client asks.
    sign_ins: SignIns,
}

impl fmt::Debug for Surroundings {
    /// Without the environment, which may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("locations", &self.locations).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Reads the environment; `config` is `--config`.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(super) fn read(config: Option<&Path>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment: BTreeMap<_, _> = std::env::vars_os().filter_map(text).collect();
        let mut locations = Locations::find(config, &environment);
        // A daemon in the background leaves the directory that relative paths are meant from.
        for path in
            [&mut locations.config_file, &mut locations.aws_config, &mut locations.aws_credentials]
                .into_iter()
                .flatten()
        {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        Self { environment, locations, sign_ins: SignIns::default() }
    }

    /// The settings of one invocation, or of a daemon that reads its configuration again: which
    /// mounts of it are meant, and which were added since it started.
    ///
    /// # Errors
    /// [`ConfigErrors`]; what the system says of a file that exists but cannot be read at present.
    pub(super) fn settings(
        &self,
        flags: &Flags,
        selection: Selection<'_>,
        added: &[AddedMount],
    ) -> Result<Settings> {
        let config_file = read_text(self.locations.config_file.as_deref())?;
        if let (None, Some(path), true) =
            (&config_file, &self.locations.config_file, self.locations.config_file_named)
        {
            let message = format!("the configuration file {} does not exist", path.display());
            return Err(ConfigErrors(vec![ConfigError { origin: Origin::Whole, message }]).into());
        }
        let aws_config = read_text(self.locations.aws_config.as_deref())?;
        let aws_credentials = read_text(self.locations.aws_credentials.as_deref())?;
        let inputs = Inputs {
            flags,
            selection,
            added,
            environment: &self.environment,
            config_file: config_file.as_ref(),
            aws_config: aws_config.as_ref(),
            aws_credentials: aws_credentials.as_ref(),
            read_include: &read_include,
        };
        Ok(config::resolve(&inputs)?)
    }

    /// The configuration file, if there is a place for one.
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.locations.config_file.as_deref()
    }

    /// The names of the mounts in the configuration file; `None` if it is no TOML. What is wrong with
    /// the file is told when it is resolved.
    ///
    /// # Errors
    /// If it exists but cannot be read.
    pub(super) fn mount_names(&self) -> Result<Option<Vec<String>>> {
        let file = read_text(self.locations.config_file.as_deref())?;
        Ok(file.map_or_else(|| Some(Vec::new()), |file| config::mount_names(&file.text)))
    }

    /// `HOME`.
    pub(super) fn home(&self) -> Option<&str> {
        self.variable("HOME").filter(|home| home.starts_with('/'))
    }

    /// One variable of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Whether a variable says which roles are meant.
    pub(super) fn names_roles(&self) -> bool {
        self.environment.contains_key("CREDMOUNT_ROLE")
    }

    /// The files that base credentials may be read from.
    pub(super) fn base_files(&self) -> Vec<PathBuf> {
        let locations = &self.locations;
        locations.aws_config.iter().chain(&locations.aws_credentials).cloned().collect()
    }

    /// The directory of sockets and logs, made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or others can enter it.
    pub(super) fn runtime_dir(&self) -> Result<PathBuf> {
        let dir = self.runtime_path();
        paths::make_private(&dir).with_context(|| shown_runtime_dir(&dir))?;
        Ok(dir)
    }

    /// The directory of sockets and logs, which may not exist.
    pub(super) fn runtime_path(&self) -> PathBuf {
        paths::runtime_dir(self.environment.get("XDG_RUNTIME_DIR").map(String::as_str))
    }

    /// A client for AWS; `observer` is told of its AssumeRole calls, `mfa_codes` is asked for codes,
    /// `logins` are those of the daemon.
    pub(super) async fn sts(
        &self,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn ObserveCalls>,
        mfa_codes: Arc<dyn MfaCodes>,
        logins: Option<Arc<Logins>>,
    ) -> StsClient {
        let role = settings.roles().next();
        let options = StsOptions {
            fallback_region: role.and_then(|role| {
                let hop = role.chain.hops.last().map(|hop| hop.sts_region.clone());
                role.region.clone().or(hop)
            }),
            key_lifetime: settings.session_duration,
            observer,
            mfa_codes,
            logins,
            ..self.sts_options()
        };
        StsClient::new(options, clock).await
    }

    /// Sign-ins to IAM Identity Center.
    pub(super) async fn identity_center(&self, clock: Arc<dyn Clock>) -> Arc<IdentityCenter> {
        StsClient::new(self.sts_options(), clock).await.identity_center()
    }

    /// What is known of sign-ins.
    pub(super) fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// What a client for AWS needs to know, as far as environment and places of files tell.
    fn sts_options(&self) -> StsOptions {
        // An empty file, where there is no home to find one in.
        let file = |path: &Option<PathBuf>| path.clone().unwrap_or_else(|| "/dev/null".into());
        let (config, credentials) =
            (file(&self.locations.aws_config), file(&self.locations.aws_credentials));
        let user = ["USER", "LOGNAME"].iter().find_map(|name| self.environment.get(*name));
        let user = user.cloned().unwrap_or_else(|| format!("uid{}", geteuid().as_raw()));
        let host = uname().nodename().to_string_lossy().into_owned();
        StsOptions {
            sso_cache: self.home().map(|home| Path::new(home).join(".aws/sso/cache")),
            mount_above,
            sign_ins: self.sign_ins.clone(),
            ..StsOptions::new(config, credentials, &user, &host)
        }
    }
}

/// The mount of ours that a path leads through, of this daemon or another.
fn mount_above(path: &Path) -> Option<PathBuf> {
    let mounts = mountinfo::own().ok()?;
    let ours: Vec<PathBuf> =
        mounts.iter().filter(|it| it.is_ours()).map(MountEntry::path).collect();
    paths::first_on_the_way(path, &ours).map(Path::to_owned)
}

/// Logs go to stderr. Other crates are heard only when everything is asked for, and then no lower
/// than their warnings: what they say below that may hold requests. The AWS SDK is never heard: its
/// warnings repeat lines of files and what a `credential_process` printed. What it knows comes back
/// as errors.
///
/// `usual` is the level where nothing is said: [`Level::INFO`] for a daemon, whose life one wants to
/// follow, [`Level::WARN`] for a command that prints its result.
pub(super) fn start_logging(settings: &Settings, usual: Level) {
    let (own, others) = match settings.verbosity {
        Verbosity::Quiet => (Level::ERROR, None),
        Verbosity::Normal => (usual, None),
        Verbosity::Verbose => (Level::DEBUG, None),
        Verbosity::Trace => (Level::TRACE, Some(Level::WARN)),
    };
    let filter = Targets::new()
        .with_default(others)
        .with_target("aws", LevelFilter::OFF)
        .with_target("credmount", own);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only if a subscriber is there already, as in a test; then that one is used.
    let _ = match settings.log_format {
        LogFormat::Text => {
            let ansi = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(layer.with_target(false).with_ansi(ansi)).try_init()
        }
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
}

/// The runtime of one command. The FUSE thread is not among its workers.
pub(super) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// A file that `config_include` names, up to one byte more than may be in it. Anything but a regular
/// file could keep us waiting, or never end.
fn read_include(path: &Path) -> Result<Vec<u8>, String> {
    let read = || -> io::Result<Vec<u8>> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut bytes = Vec::new();
        let most = LARGEST_INCLUDE as u64 + 1;
        fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| error.to_string())
}

/// The runtime directory, in errors: that of another user is in the environment after `su`.
pub(super) fn shown_runtime_dir(dir: &Path) -> String {
    format!("runtime directory {} (XDG_RUNTIME_DIR can name another place)", dir.display())
}

/// The text of a file, if there is one.
///
/// # Errors
/// [`ConfigErrors`] where somebody has to mend the file or its place; what may pass by itself, as the
/// system tells it.
fn read_text(path: Option<&Path>) -> Result<Option<SourceText>> {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    let Some(path) = path else { return Ok(None) };
    let shown = path.display();
    let wrong = |origin, message| Err(ConfigErrors(vec![ConfigError { origin, message }]).into());
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) => match error.kind() {
            NotFound | NotADirectory => return Ok(None),
            IsADirectory | PermissionDenied => {
                return wrong(Origin::Whole, format!("{shown} cannot be read: {error}"));
            }
            _ => return Err(error).with_context(|| format!("reading {shown}")),
        },
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(SourceText { path: path.to_owned(), text: text.to_owned().into() })),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            let origin = Origin::Line { path: path.to_owned(), line };
            wrong(origin, "not UTF-8: save the file in this encoding".to_owned())
        }
    }
}
