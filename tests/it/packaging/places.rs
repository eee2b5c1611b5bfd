//! What `scripts/install` puts where, and that `scripts/uninstall` takes back that and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::scripts::{Home, Said};
use crate::support::{program, skipped};

const UNIT: &str = ".local/share/systemd/user/credmount.service";
const PROGRAM: &str = ".local/bin/credmount";
const BASH: &str = ".local/share/bash-completion/completions/credmount";

#[test]
fn an_installation_has_program_manual_completions_units_and_an_example() {
    let home = Home::new();
    let said = home.install(&[]);
    let expected = [
        PROGRAM,
        BASH,
        UNIT,
        ".local/share/systemd/user/credmount@.service",
        ".local/share/man/man1/credmount.1",
        ".local/share/zsh/site-functions/_credmount",
        ".local/share/fish/vendor_completions.d/credmount.fish",
        ".local/share/doc/credmount/config.toml",
        ".local/share/credmount/manifest",
    ];
    assert_eq!(home.files(), expected.map(str::to_owned).into());
    assert_eq!(fs::metadata(home.path(PROGRAM)).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::metadata(home.path(UNIT)).unwrap().permissions().mode() & 0o777, 0o644);
    let credmount = program("credmount", env!("CARGO_BIN_EXE_credmount"));
    for (file, args) in [
        (expected[4], &["man"][..]),
        (BASH, &["completions", "bash"]),
        (expected[5], &["completions", "zsh"]),
        (expected[6], &["completions", "fish"]),
    ] {
        let said = Said::of(home.command(&credmount).args(args));
        assert_eq!(home.text(file), said.out, "{file}");
    }
    for wanted in ["credmount 0.1.0 is installed", "systemctl --user enable --now", "linger"] {
        assert!(said.out.contains(wanted), "{wanted}: {said:?}");
    }
}

#[test]
fn units_start_the_program_that_was_installed() {
    let home = Home::new();
    home.install(&[]);
    let installed = home.path(PROGRAM).display().to_string();
    for unit in home.files().iter().filter(|name| name.ends_with(".service")) {
        let text = home.text(unit);
        let starts = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        assert_eq!(starts.split(' ').next(), Some(installed.as_str()), "{unit}");
        let elsewhere = text.lines().filter(|line| line.starts_with("Exec"));
        let elsewhere = elsewhere.filter(|line| line.contains("/bin/credmount"));
        for line in elsewhere {
            assert!(line.contains(&installed), "{unit}: {line}");
        }
    }
}

#[test]
fn an_example_of_a_configuration_can_be_used_as_it_is() {
    let home = Home::new();
    home.install(&[]);
    let config = home.path(".local/share/doc/credmount/config.toml");
    // The role cannot be assumed, but what is asked for is understood.
    let mut check = home.command(program("credmount", env!("CARGO_BIN_EXE_credmount")));
    check.args(["check", "--config"]).arg(config).env("AWS_EC2_METADATA_DISABLED", "true");
    let said = Said::of(&mut check);
    assert_eq!(said.code, Some(1), "2 would be an error in the configuration: {said:?}");
    assert!(said.out.contains("prod") || said.err.contains("prod"), "{said:?}");
}

#[test]
fn uninstalling_leaves_what_was_there_before_and_nothing_else() {
    let home = Home::new();
    fs::create_dir_all(home.path(".config/credmount")).unwrap();
    fs::write(home.path(".config/credmount/config.toml"), "").unwrap();
    fs::create_dir_all(home.path(".local/share/man/man1")).unwrap();
    fs::write(home.path(".local/share/man/man1/other.1"), "").unwrap();
    let before = home.all_below("home");
    home.install(&[]);
    assert!(home.all_below("home").len() > before.len());
    let said = home.uninstall(&[]);
    assert_eq!(home.all_below("home"), before);
    assert!(said.out.contains("credmount 0.1.0 is removed"), "{said:?}");
    assert!(said.out.contains(".config/credmount"), "the configuration is told: {said:?}");
    let again = home.uninstall(&[]);
    assert!(again.out.contains("nothing to do"), "{again:?}");
}

#[test]
fn uninstalling_disables_the_units() {
    let home = Home::new();
    if home.command("systemctl").arg("--version").output().is_err() {
        skipped("systemctl is not installed");
        return;
    }
    home.install(&[]);
    let mut enable = home.command("systemctl");
    enable.args(["--user", "enable", "credmount.service", "credmount@prod.service"]);
    let enabled = Said::of(enable.env("SYSTEMD_OFFLINE", "1"));
    assert!(enabled.ok(), "{enabled:?}");
    let links = |home: &Home| home.files().iter().filter(|name| name.contains(".wants/")).count();
    assert!(links(&home) >= 2, "{:?}", home.files());
    home.uninstall(&[]);
    assert_eq!(links(&home), 0, "{:?}", home.files());
}

#[test]
fn without_a_program_a_release_build_is_installed_where_xdg_data_home_says() {
    let home = Home::new();
    // Builds nothing, but answers where cargo would have put it.
    fs::create_dir(home.beside("bin")).unwrap();
    let stub = format!(
        "#!/bin/sh\ncase $* in 'build '*--release*--bin' credmount')\n\
         mkdir -p \"$CARGO_TARGET_DIR/release\" && cp '{}' \"$CARGO_TARGET_DIR/release/credmount\"\n\
         ;; *) exit 1 ;; esac\n",
        home.beside("program").display()
    );
    fs::write(home.beside("bin/cargo"), stub).unwrap();
    fs::set_permissions(home.beside("bin/cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = home.script("install", &[]);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap();
    let path = format!("{}:{}", home.beside("bin").display(), path.to_str().unwrap());
    command.env("PATH", path).env("CARGO_TARGET_DIR", home.beside("target"));
    let said = Said::of(command.env("XDG_DATA_HOME", home.path("data")));
    assert!(said.ok(), "{said:?}");
    assert!(home.text(PROGRAM).contains("0.1.0"));
    assert!(home.path("data/systemd/user/credmount.service").exists());
    assert!(home.path(".local/share/man/man1/credmount.1").exists(), "found beside bin");
    let said = Said::of(home.script("uninstall", &[]).env("XDG_DATA_HOME", home.path("data")));
    assert!(said.ok(), "{said:?}");
    assert_eq!(home.all_below("home"), BTreeSet::new());
}

#[test]
fn an_upgrade_replaces_each_file_at_once_and_drops_what_is_no_longer_shipped() {
    let home = Home::new();
    home.install(&[]);
    let inode = fs::metadata(home.path(PROGRAM)).unwrap().ino();
    // A file that the version before has shipped.
    let gone = home.path(".local/share/doc/credmount/gone");
    fs::write(&gone, "").unwrap();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let manifest = home.text(".local/share/credmount/manifest");
    let manifest = format!("{manifest}file {empty} {}\n", gone.display());
    fs::write(home.path(".local/share/credmount/manifest"), manifest).unwrap();

    home.program("0.2.0");
    let said = home.install(&[]);
    assert!(said.out.contains("credmount 0.1.0 is upgraded to 0.2.0"), "{said:?}");
    assert!(home.text(PROGRAM).contains("0.2.0"));
    assert_ne!(fs::metadata(home.path(PROGRAM)).unwrap().ino(), inode, "another file by renaming");
    assert!(!gone.exists());
    let files = home.files();
    assert!(!files.iter().any(|name| name.contains(".orig")), "nothing was foreign: {files:?}");

    let again = home.install(&[]);
    assert!(again.out.contains("credmount 0.2.0 is installed again"), "{again:?}");
    assert_eq!(home.files(), files);
    home.uninstall(&[]);
    assert_eq!(home.files(), BTreeSet::new());
}

#[test]
fn files_of_others_and_changed_files_are_kept_beside_the_new_ones() {
    let home = Home::new();
    fs::create_dir_all(home.path(".local/bin")).unwrap();
    fs::write(home.path(".local/bin/wrapper"), "mine").unwrap();
    symlink("wrapper", home.path(PROGRAM)).unwrap();
    home.install(&[]);
    assert_eq!(home.text(".local/bin/wrapper"), "mine");
    let orig = home.path(".local/bin/credmount.orig");
    assert_eq!(fs::read_link(&orig).unwrap().to_str(), Some("wrapper"));

    fs::write(home.path(UNIT), "changed").unwrap();
    let said = home.install(&[]);
    assert!(said.out.contains("credmount.service.orig"), "{said:?}");
    assert_eq!(home.text(".local/share/systemd/user/credmount.service.orig"), "changed");
    assert!(home.text(UNIT).contains("ExecStart="));

    fs::write(home.path(BASH), "changed").unwrap();
    let said = home.uninstall(&[]);
    assert!(said.out.contains("kept, because it has changed"), "{said:?}");
    let kept = [
        ".local/bin/credmount.orig",
        ".local/bin/wrapper",
        BASH,
        ".local/share/systemd/user/credmount.service.orig",
    ];
    assert_eq!(home.files(), kept.map(str::to_owned).into());
}

#[test]
fn an_interrupted_installation_can_be_taken_back_or_repeated() {
    let home = Home::new();
    // Renaming the first completion fails.
    fs::create_dir(home.beside("bin")).unwrap();
    let stub =
        "#!/bin/sh\ncase $* in *bash-completion*) exit 1 ;; esac\nPATH=${PATH#*:} exec mv \"$@\"\n";
    fs::write(home.beside("bin/mv"), stub).unwrap();
    fs::set_permissions(home.beside("bin/mv"), fs::Permissions::from_mode(0o755)).unwrap();
    let fail = || {
        let mut command = home.script("install", &["--binary", "program"]);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap();
        let path = format!("{}:{}", home.beside("bin").display(), path.to_str().unwrap());
        let said = Said::of(command.env("PATH", path));
        assert_ne!(said.code, Some(0), "{said:?}");
        assert!(home.path(PROGRAM).exists() && !home.path(UNIT).exists(), "in the midst of it");
    };
    fail();
    home.uninstall(&[]);
    assert_eq!(home.files(), BTreeSet::new());

    home.install(&[]);
    fs::remove_file(home.path(UNIT)).unwrap();
    home.program("0.2.0");
    fail();
    home.install(&[]);
    assert!(home.path(UNIT).exists());
    home.uninstall(&[]);
    assert_eq!(home.all_below("home"), BTreeSet::new());
}

#[test]
fn packagers_get_a_system_wide_installation_below_a_directory_of_theirs() {
    let home = Home::new();
    let staged = home.beside("staged dir");
    let staged = staged.to_str().unwrap();
    for (prefix, units) in [
        ("/usr/local", "usr/local/lib/systemd/user"),
        ("/usr", "usr/lib/systemd/user"),
        ("/opt/credmount", "etc/systemd/user"),
    ] {
        let run = |name: &str, args: &[&str]| {
            let said =
                Said::of(home.script(name, args).env("DESTDIR", staged).env("PREFIX", prefix));
            assert!(said.ok(), "{said:?}");
        };
        run("install", &["--system", "--binary", "program"]);
        let found = home.all_below("staged dir");
        let program = &prefix[1..];
        assert!(found.contains(&format!("{program}/bin/credmount")), "{found:?}");
        let unit = format!("staged dir/{units}/credmount.service");
        let unit = fs::read_to_string(home.beside(&unit)).unwrap();
        assert!(unit.contains(&format!("ExecStart={prefix}/bin/credmount")), "{unit}");
        run("uninstall", &["--system"]);
        assert_eq!(home.all_below("staged dir"), BTreeSet::new());
        assert_eq!(home.files(), BTreeSet::new(), "nothing went into the home");
        fs::remove_dir(home.beside("staged dir")).unwrap();
    }
}

#[test]
fn what_cannot_be_done_is_refused_in_words_and_changes_nothing() {
    let home = Home::new();
    fs::create_dir(home.beside("dir")).unwrap();
    let install = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = home.script("install", args);
        command.envs(variables.iter().copied());
        Said::of(&mut command)
    };
    let binary = ["--binary", "program"];
    for (said, code, words) in [
        (install(&["--sytem"], &[]), 2, "unexpected argument: --sytem"),
        (install(&["--binary"], &[]), 2, "--binary needs the path"),
        (install(&["--binary", "absent"], &[]), 1, "there is no program at absent"),
        (install(&["--binary", "/bin/true"], &[]), 1, "/bin/true is not credmount"),
        (install(&binary, &[("PREFIX", "local")]), 2, "PREFIX is no absolute path: local"),
        (install(&binary, &[("PREFIX", "/a b")]), 2, "/a b"),
        (install(&binary, &[("PREFIX", "/50%")]), 2, "/50%"),
        (install(&binary, &[("DESTDIR", "staged")]), 2, "DESTDIR is no absolute path"),
        (install(&binary, &[("HOME", "")]), 2, "HOME"),
        (home.run("uninstall", &["all"]), 2, "unexpected argument: all"),
    ] {
        assert_eq!(said.code, Some(code), "{words}: {said:?}");
        assert!(said.err.contains(words), "{words}: {said:?}");
        assert!(!said.err.contains("line "), "no error of the shell: {said:?}");
    }
    if rustix::process::geteuid().is_root() {
        let said = install(&binary, &[("SUDO_USER", "ann")]);
        assert!(said.err.contains("run as root by ann"), "{said:?}");
    }
    fs::create_dir_all(home.path(BASH)).unwrap();
    let before = home.all_below("home");
    let said = install(&binary, &[]);
    assert!(said.err.contains("a directory is in the way"), "{said:?}");
    assert_eq!(home.all_below("home"), before);
    for script in ["install", "uninstall", "package"] {
        let said = home.run(script, &["--help"]);
        assert!(said.ok() && said.out.contains(&format!("usage: scripts/{script}")), "{said:?}");
    }
}
