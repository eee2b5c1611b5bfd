//! Which mounts there are: that of the command line, the tables below `[mounts]` and those added
//! at run time. What is selected comes out; tables that are not selected are checked all the same.

pub(in crate::config) mod endpoint;
mod roles;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::config::aws::include;
use crate::config::aws::profiles::Profiles;
use crate::config::chains::Chains;
use crate::config::chains::regions::Regions;
use crate::config::chains::spec::Catalog;
use crate::config::identities::tokens::TokenCatalog;
use crate::config::options::allow::Has;
use crate::config::options::{AddedMount, OptionKey, Options, RawOptions, from_flags};
use crate::config::settings::MountSettings;
use crate::config::values::{Layer, Origin, Raw, Report, Sourced, listed, meant, paths, shown};
use crate::model::{MountName, ProfileName, RegionName, Role};

/// Which mounts one invocation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// One mount without a name, at this mount point, of the options for all. `[mounts]` is
    /// checked, but not served.
    CommandLine(&'a Path),
    /// The tables `[mounts.NAME]` of these names, in the order of the file; all if there is no
    /// name. An empty `[mounts]` is legal: then only added mounts are served.
    Mounts(&'a [String]),
    /// What is configured, for commands that do not mount: the mount of the command line if a flag
    /// or variable names roles or there is no `[mounts]`, else all mounts.
    Configured,
}

/// The keys of `[mounts.NAME]` beside `path`, in the order in which messages list them.
pub(in crate::config) const MOUNT_KEYS: [(&str, OptionKey); 17] = [
    ("roles", OptionKey::Role),
    ("tokens", OptionKey::Token),
    ("default", OptionKey::Default),
    ("region", OptionKey::Region),
    ("reader_path", OptionKey::ReaderPath),
    ("live_only", OptionKey::LiveOnly),
    ("writable_caches", OptionKey::WritableCaches),
    ("endpoint", OptionKey::Endpoint),
    ("config_include", OptionKey::ConfigInclude),
    ("allow_other", OptionKey::AllowOther),
    ("allow", OptionKey::Allow),
    ("session_name", OptionKey::SessionName),
    ("source_identity", OptionKey::SourceIdentity),
    ("tags", OptionKey::Tags),
    ("transitive_tag_keys", OptionKey::TransitiveTagKeys),
    ("policy", OptionKey::Policy),
    ("policy_arns", OptionKey::PolicyArns),
];

/// A table `[mounts.NAME]`: every key checked to be `path` or one of [`MOUNT_KEYS`].
#[derive(Debug)]
pub(in crate::config) struct RawMount {
    pub(in crate::config) name: String,
    /// Where the table begins.
    pub(in crate::config) origin: Origin,
    pub(in crate::config) path: Option<Sourced<Raw>>,
    pub(in crate::config) options: RawOptions,
}

/// What all mounts have in common.
pub(in crate::config) struct World<'a> {
    pub(in crate::config) catalog: &'a Catalog,
    pub(in crate::config) tokens: &'a TokenCatalog<'a>,
    pub(in crate::config) profiles: &'a Profiles,
    /// Regions that the surroundings name.
    pub(in crate::config) ambient: Vec<Sourced<RegionName>>,
    /// The profile that the standard chain looks at: `AWS_PROFILE`, else `default`.
    pub(in crate::config) ambient_profile: &'a str,
    /// The default that other tools have for roles they share with us.
    pub(in crate::config) compatible_default: Option<Sourced<String>>,
    /// What `~` stands for.
    pub(in crate::config) home: Option<&'a str>,
    /// Reads a file that `config_include` names.
    pub(in crate::config) read: &'a dyn Fn(&Path) -> Result<Vec<u8>, String>,
}

/// What is said for all mounts, by layer.
pub(in crate::config) struct Common {
    pub(in crate::config) flags: RawOptions,
    pub(in crate::config) variables: RawOptions,
    pub(in crate::config) file: RawOptions,
}

impl Common {
    /// Everything, for the mount of the command line.
    pub(in crate::config) fn all(&self) -> RawOptions {
        [&self.flags[..], &self.variables, &self.file].concat()
    }

    /// What a table of the file takes over when it is served.
    fn for_table(&self) -> RawOptions {
        inherited(self.all())
    }

    /// What an added mount takes over: it has flags of its own command line.
    fn for_added(&self) -> RawOptions {
        inherited([&self.variables[..], &self.file].concat())
    }

    /// What a table takes over that is not served: flags and variables are about what is.
    fn for_unserved(&self) -> RawOptions {
        inherited(self.file.clone())
    }

    fn asks_for_roles(&self) -> bool {
        self.flags.iter().chain(&self.variables).any(|(key, _)| *key == OptionKey::Role)
    }
}

/// The options without those of a single mount.
fn inherited(mut options: RawOptions) -> RawOptions {
    options.retain(|(key, _)| !OptionKey::OF_ONE_MOUNT.contains(key));
    options
}

/// A mount with a name, before its options are looked at.
struct Named<'a> {
    name: &'a str,
    origin: Origin,
    path: Option<Sourced<PathBuf>>,
}

/// Which mount it is.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// That of the command line, with what to call it in session names.
    Unnamed(&'a str),
    Named(&'a Named<'a>),
}

/// What `{mount}` in session names is where nothing is mounted.
const NO_MOUNT: &str = "check";

/// The mounts to serve, as [`crate::config::Settings::mounts`] has them. `options` are those of
/// the command line; `tables` is `None` where the file has no `[mounts]`.
pub(in crate::config) fn served(
    world: &World<'_>,
    common: &Common,
    options: &Options,
    tables: Option<&[RawMount]>,
    (selection, added): (Selection<'_>, &[AddedMount]),
    report: &mut Report,
) -> Vec<MountSettings> {
    let selected = match selection {
        Selection::Configured if common.asks_for_roles() || tables.is_none() => None,
        Selection::CommandLine(_) => None,
        Selection::Configured => Some(&[][..]),
        Selection::Mounts(names) => Some(names),
    };
    let unnamed = match selection {
        Selection::CommandLine(path) => path.file_name().and_then(OsStr::to_str),
        _ => None,
    };
    let mut mounts = Vec::new();
    if let Some(selected) = selected {
        check_selection(selected, tables, report);
        if tables.is_some() {
            refuse_options_of_one(common, report);
        }
    } else {
        mounts.push(world.mount(Place::Unnamed(unnamed.unwrap_or(NO_MOUNT)), options, report));
    }
    let (mut earlier, mut endpoints) = (Vec::new(), Vec::new());
    let mut listens = |name, options: &Options| {
        endpoints.extend(options.endpoint.first().cloned().map(|endpoint| (name, endpoint)));
    };
    for table in tables.unwrap_or_default() {
        let found = Named {
            name: &table.name,
            origin: table.origin.clone(),
            path: table_path(table, world.home, report),
        };
        check_name(&found, &earlier, report);
        let wanted = |names: &[String]| names.is_empty() || names.contains(&table.name);
        if selected.is_some_and(wanted) {
            let inherited = common.for_table();
            let options = Options::check(&table.options, &inherited, world.home, report);
            listens(&*table.name, &options);
            mounts.push(world.mount(Place::Named(&found), &options, report));
        } else {
            // Warnings about what nobody serves are of no interest.
            let mut unserved = Report::default();
            let inherited = common.for_unserved();
            let options = Options::check(&table.options, &inherited, world.home, &mut unserved);
            listens(&*table.name, &options);
            world.mount(Place::Named(&found), &options, &mut unserved);
            report.adopt(unserved);
        }
        earlier.push(found);
    }
    for mount in added {
        let command = format!("add {} ", mount.name.escape_debug());
        let found = added_place(mount, &command, report);
        check_name(&found, &earlier, report);
        let own = from_flags(&mount.flags, &command);
        let options = Options::check(&own, &common.for_added(), world.home, report);
        listens(&*mount.name, &options);
        mounts.push(world.mount(Place::Named(&found), &options, report));
        earlier.push(found);
    }
    check_paths(&earlier, report);
    endpoint::check(&endpoints, report);
    mounts
}

/// The name and path of an added mount.
fn added_place<'a>(mount: &'a AddedMount, command: &str, report: &mut Report) -> Named<'a> {
    let origin = Origin::Flag(format!("{command}--path"));
    let path = report.check(&origin, paths::check("path", &mount.path));
    Named {
        name: &mount.name,
        origin: Origin::Flag(command.trim_end().to_owned()),
        path: path.map(|()| Sourced::new(mount.path.components().collect(), origin)),
    }
}

impl World<'_> {
    /// One mount out of its options. What is wrong with it is in the report.
    fn mount(&self, place: Place<'_>, options: &Options, report: &mut Report) -> MountSettings {
        let (named, label) = match place {
            Place::Unnamed(label) => (None, label),
            Place::Named(named) => (Some(named), named.name),
        };
        let chains = Chains {
            options,
            catalog: self.catalog,
            profiles: self.profiles,
            regions: Regions { option: &options.region, ambient: self.ambient.clone() },
            ambient_profile: self.ambient_profile,
            mount: label,
            home: self.home,
        };
        let origin = named.map_or(&Origin::Whole, |named| &named.origin);
        let tokens = self.tokens.served(options, report);
        let roles = roles::served(&chains, origin, !tokens.is_empty(), report);
        let compatible = self.compatible_default.as_ref().filter(|_| named.is_none());
        let default = roles::default(&chains, compatible, &roles, report);
        let allow = options.allow.first().map_or(&[][..], |allow| &allow.value);
        let tokens = self.tokens.served(options, report);
        let has = Has {
            all: report.is_clean(),
            roles: &roles,
            roles_picked: options.picked(),
            tokens: &tokens,
            tokens_picked: options.tokens_picked(),
        };
        let allow = allow.iter().map(|rule| rule.resolve(&has, report)).collect();
        let config_include = self.include(options, &roles, default.as_ref(), report);
        MountSettings {
            name: named.map(|named| named.name.to_owned()),
            path: named.and_then(|named| Some(named.path.as_ref()?.value.clone())),
            roles,
            tokens,
            default,
            reader_path: options.reader_path.value(),
            live_only: options.live_only.value().unwrap_or_default(),
            endpoint: options.endpoint.value(),
            writable_caches: options.writable_caches.value(),
            allow_other: options.allow_other.value().unwrap_or_default(),
            allow,
            config_include,
        }
    }

    /// The text of `config_include`; empty if there is none, or something is wrong with it.
    fn include(
        &self,
        options: &Options,
        roles: &[Role],
        default: Option<&ProfileName>,
        report: &mut Report,
    ) -> String {
        let Some(path) = options.config_include.first() else { return String::new() };
        let bytes = match (self.read)(&path.value) {
            Ok(bytes) => bytes,
            Err(reason) => {
                let path_shown = shown(&path.value.display().to_string());
                report.error(
                    &path.origin,
                    format!("config_include {path_shown} cannot be read: {reason}"),
                );
                return String::new();
            }
        };
        let profiles: Vec<&str> = roles.iter().map(|role| role.profile.as_str()).collect();
        let taken = include::Taken { profiles: &profiles, default: default.is_some() };
        include::checked(&path.value, &bytes, &taken, report)
    }
}

fn table_path(
    table: &RawMount,
    home: Option<&str>,
    report: &mut Report,
) -> Option<Sourced<PathBuf>> {
    let Some(raw) = &table.path else {
        report.error(
            &table.origin,
            format!(
                "mount {} has no path: add the directory to mount on, as in path = \
                 \"~/.local/state/credmount/{}\"",
                shown(&table.name),
                table.name.escape_debug()
            ),
        );
        return None;
    };
    let text =
        report.check(&raw.origin, raw.value.text("path", "~/.local/state/credmount/NAME"))?;
    let path = report.check(&raw.origin, paths::absolute("path", text, home))?;
    Some(Sourced::new(path, raw.origin.clone()))
}

/// Refuses names that could not be told from others, or not be written somewhere.
fn check_name(named: &Named<'_>, earlier: &[Named<'_>], report: &mut Report) {
    report.check(&named.origin, MountName::parse(named.name));
    if let Some(twin) = earlier.iter().find(|other| other.name == named.name) {
        let message = match twin.origin {
            Origin::Line { .. } => format!("is configured at {}", twin.origin),
            _ => "was added before".to_owned(),
        };
        let name = shown(named.name);
        report.error(&named.origin, format!("a mount {name} {message}: choose another name"));
    }
}

/// Refuses mounts that would hide one another.
fn check_paths(mounts: &[Named<'_>], report: &mut Report) {
    for (index, mount) in mounts.iter().enumerate() {
        let Some(path) = &mount.path else { continue };
        for other in &mounts[..index] {
            let Some(earlier) = &other.path else { continue };
            let Some(conflict) = paths::conflict(&path.value, &earlier.value) else { continue };
            report.error(
                &path.origin,
                format!(
                    "path {} of mount {} {conflict} mount {}: choose another",
                    shown(&path.value.display().to_string()),
                    shown(mount.name),
                    shown(other.name)
                ),
            );
        }
    }
}

/// Refuses names that no table has, and the wish for mounts where there is no `[mounts]`.
fn check_selection(selected: &[String], tables: Option<&[RawMount]>, report: &mut Report) {
    let names = || tables.unwrap_or_default().iter().map(|table| table.name.as_str());
    let origin = |name: &str| Origin::Flag(format!("mount {}", name.escape_debug()));
    if tables.is_none() && selected.is_empty() {
        report.error(
            &Origin::Whole,
            "there is nothing to mount: name a MOUNTPOINT, as in credmount --role prod \
             ~/.aws-live, or write [mounts.NAME] with its path in the configuration file",
        );
    }
    for name in selected.iter().filter(|name| !names().any(|known| known == *name)) {
        let advice = match meant(name, names()) {
            Some(name) => format!("did you mean {}?", shown(name)),
            None if names().next().is_some() => format!("there are {}", listed(names())),
            None => "write [mounts.NAME] with its path in the configuration file".to_owned(),
        };
        report.error(&origin(name), format!("no such mount is configured: {advice}"));
    }
}

/// Refuses flags that are about a single mount where there may be many: which roles a mount serves
/// and to whom is for that mount to say. A variable may be there for other invocations.
fn refuse_options_of_one(common: &Common, report: &mut Report) {
    for (key, raw) in common.flags.iter().chain(&common.variables) {
        if !OptionKey::OF_ONE_MOUNT.contains(key) {
            continue;
        }
        if raw.origin.layer() == Layer::Flags {
            report.error(
                &raw.origin,
                "this is about one mount: name its MOUNTPOINT, or say it in [mounts.NAME]",
            );
        } else {
            report.warning(&raw.origin, "not used: the mounts of the file say it themselves");
        }
    }
}
