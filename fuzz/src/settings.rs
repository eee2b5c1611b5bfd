//! Settings out of texts, and what must hold of them whatever the texts say.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use credmount::config::{
    AddedMount, ConfigErrors, Flags, Inputs, Selection, Settings, SourceText, resolve,
};
use credmount::render::{self, Profile, ReaderPath};

use crate::{PLANTED, ini, is_one_line};

/// What settings are made of; what is empty is not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// credmount's own file.
    pub own: &'a str,
    /// The AWS config file.
    pub aws_config: &'a str,
    /// The AWS credentials file.
    pub aws_credentials: &'a str,
    /// The file that `config_include` names.
    pub include: &'a str,
}

/// Resolves and checks what comes out: settings that can be rendered, or errors that can be shown.
///
/// # Panics
/// If an invariant is broken.
pub fn resolved(
    texts: Texts<'_>,
    flags: &Flags,
    environment: &BTreeMap<String, String>,
    selection: Selection<'_>,
    added: &[AddedMount],
) -> Option<Settings> {
    let file = |name: &str, text: &str| {
        (!text.is_empty()).then(|| SourceText { path: name.into(), text: text.to_owned().into() })
    };
    let own = file("config.toml", texts.own);
    let aws_config = file("aws-config", texts.aws_config);
    let aws_credentials = file("aws-credentials", texts.aws_credentials);
    let outcome = resolve(&Inputs {
        flags,
        selection,
        added,
        environment,
        config_file: own.as_ref(),
        aws_config: aws_config.as_ref(),
        aws_credentials: aws_credentials.as_ref(),
        read_include: &|_: &Path| Ok(texts.include.as_bytes().to_vec()),
    });
    match outcome {
        Ok(settings) => {
            check_settings(&settings);
            Some(settings)
        }
        Err(errors) => {
            check_errors(&errors);
            None
        }
    }
}

fn check_errors(errors: &ConfigErrors) {
    assert!(!errors.0.is_empty(), "refused without a reason");
    for error in &errors.0 {
        let text = error.to_string();
        assert!(is_one_line(&text), "{text:?}");
        assert!(!text.contains(PLANTED), "a secret in {text:?}");
    }
}

fn check_settings(settings: &Settings) {
    let told = format!("{settings:?}");
    assert!(!told.contains(PLANTED), "a secret in {told}");
    for warning in &settings.warnings {
        assert!(is_one_line(warning), "{warning}");
    }
    for mount in &settings.mounts {
        assert!(!mount.roles.is_empty(), "a mount without roles");
        let mut names = HashSet::new();
        for role in &mount.roles {
            assert!(names.insert(role.profile.as_str()), "{} stands twice", role.profile);
        }
        if let Some(default) = &mount.default {
            assert!(names.contains(default.as_str()), "{default} is not served");
        }
        check_rendered(mount);
    }
}

/// The `config` file of a mount is one that every client reads.
fn check_rendered(mount: &credmount::config::MountSettings) {
    let profiles: Vec<Profile<'_>> = mount
        .roles
        .iter()
        .map(|role| Profile {
            name: &role.profile,
            region: role.region.as_ref(),
            settings: &role.settings,
        })
        .collect();
    let path = mount.reader_path.as_deref().unwrap_or("/root/.aws");
    let path = ReaderPath::parse(path).expect("a reader path that was checked");
    let text = render::config(&profiles, &path, mount.live_only, "");
    let sections = ini::sections(&text);
    assert_eq!(sections.len(), 2 * profiles.len(), "{}", *text);
    let headers: HashSet<&str> = sections.iter().map(|(header, _)| header.as_str()).collect();
    assert_eq!(headers.len(), sections.len(), "a section twice: {}", *text);
}
