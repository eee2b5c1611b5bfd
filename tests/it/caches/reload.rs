//! Reloads while writable directories are in use, and of what `config_include` names.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};

use crate::support::daemon::arn;
use crate::support::fleet::Fleet;
use crate::support::{Scene, ini_value, read_with_size};

const INCLUDE: &str = "[profile chained]\nrole_arn = arn:aws:iam::123456789012:role/chained\n\
                       source_profile = prod\n";

fn config(roles: &str) -> String {
    format!(
        "region = \"eu-west-1\"\n[roles.prod]\nrole_arn = \"{}\"\n[roles.dev]\nrole_arn = \"{}\"\n\
         [mounts.agent]\npath = \"ROOT/agent\"\nroles = {roles}\nwritable_caches = true\n\
         config_include = \"ROOT/include\"\n",
        arn("prod"),
        arn("dev")
    )
}

fn source(fleet: &Fleet<'_>, profile: &str) -> Option<String> {
    ini_value(&fleet.read("agent", "config"), &format!("profile {profile}"), "source_profile")
}

#[test]
fn a_file_that_is_open_in_a_cache_stays_across_a_reload() {
    let Some(scene) = Scene::mountable() else { return };
    fs::write(scene.path("include"), INCLUDE).unwrap();
    let fleet = scene.serve(&config(r#"["prod"]"#));
    let path = scene.path("agent/cli/session");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"before ").unwrap();
    assert!(fleet.reload(&config(r#"["prod", "dev"]"#)).status.success());
    file.write_all(b"after").unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "before after");
    assert_eq!(fleet.read("agent", "cli/session"), text);
    assert!(fleet.read("agent", "credentials").contains("[dev]"));
    let (keys, size) = read_with_size(&scene.path("agent/credentials"));
    assert_eq!(keys.len() as u64, size);
    fs::write(scene.path("agent/cli/other"), "new").unwrap();
    assert_eq!(fs::read_dir(scene.path("agent/cli")).unwrap().count(), 2);
}

#[test]
fn a_reload_reads_the_included_file_anew() {
    let Some(scene) = Scene::mountable() else { return };
    fs::write(scene.path("include"), INCLUDE).unwrap();
    let config = config(r#"["prod"]"#);
    let fleet = scene.serve(&config);
    assert_eq!(source(&fleet, "chained").as_deref(), Some("prod"));
    // Many more sections, so that the file grows.
    let many =
        (0..50).map(|n| format!("[profile p{n}]\nsource_profile = prod\nregion = eu-west-1\n"));
    let many: String = many.collect();
    fs::write(scene.path("include"), &many).unwrap();
    assert_eq!(source(&fleet, "p49"), None, "nothing changes without a reload");
    let told = fleet.reload(&config);
    assert!(String::from_utf8_lossy(&told.stdout).contains("1 changed"), "{told:?}");
    assert_eq!(source(&fleet, "p49").as_deref(), Some("prod"));
    assert_eq!(source(&fleet, "chained"), None);
    let (text, size) = read_with_size(&scene.path("agent/config"));
    assert_eq!(text.len() as u64, size);
    assert!(text.contains(&many));
    // And without the key.
    let without = config.replace("config_include = \"ROOT/include\"\n", "");
    assert!(fleet.reload(&without).status.success());
    assert_eq!(source(&fleet, "p49"), None);
}

#[test]
fn an_included_file_that_is_wrong_changes_nothing() {
    let Some(scene) = Scene::mountable() else { return };
    let include = scene.path("include");
    fs::write(&include, INCLUDE).unwrap();
    let fleet = scene.serve(&config(r#"["prod"]"#));
    fs::write(scene.path("agent/cli/session"), "kept").unwrap();
    let before = fleet.read("agent", "config");
    let wrongs = [
        (Some("[profile a]\nno equals sign\n"), "include:2: a line without `=`"),
        (Some("[profile prod]\nregion = eu-west-1\n"), "rendered by the mount itself"),
        // One that the next roles make wrong.
        (Some("[profile dev]\nregion = eu-west-1\n"), "rendered by the mount itself"),
        (None, "include"),
    ];
    for (wrong, problem) in wrongs {
        match wrong {
            Some(text) => fs::write(&include, text).unwrap(),
            None => fs::remove_file(&include).unwrap(),
        }
        let told = fleet.reload(&config(r#"["prod", "dev"]"#));
        let said = String::from_utf8(told.stderr).unwrap();
        assert!(!told.status.success() && said.contains(problem), "{said}");
        assert_eq!(fleet.read("agent", "config"), before);
        assert!(!fleet.read("agent", "credentials").contains("[dev]"));
        assert_eq!(fleet.read("agent", "cli/session"), "kept");
    }
    fs::write(&include, INCLUDE).unwrap();
    assert!(fleet.reload(&config(r#"["prod", "dev"]"#)).status.success());
    assert_eq!(source(&fleet, "chained").as_deref(), Some("prod"));
}
