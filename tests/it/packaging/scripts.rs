//! The scripts of the repository, run in a home of the test's own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::{program, variable};

/// A home directory to install into, and a stand-in for the program.
#[derive(Debug)]
pub(super) struct Home {
    root: TempDir,
}

impl Home {
    pub(super) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("credmount-it-").tempdir().expect("a directory");
        fs::create_dir(root.path().join("home")).expect("a directory");
        let home = Self { root };
        home.program("0.1.0");
        home
    }

    /// A path in the directory of the test, which is not the home.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A path in the home.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("home").join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program that is installed by default: a small one that says it is of this version, and
    /// for the rest is credmount.
    pub(super) fn program(&self, version: &str) -> PathBuf {
        let path = self.beside("program");
        let credmount = program("credmount", env!("CARGO_BIN_EXE_credmount"));
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo credmount {version}; exit; fi\n\
             exec '{}' \"$@\"\n",
            credmount.display()
        );
        fs::write(&path, script).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path
    }

    /// `scripts/NAME ARGS` as a person with this home runs it.
    pub(super) fn script(&self, name: &str, args: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
        let mut command = self.command(script);
        command.args(args);
        command
    }

    /// A command as a person with this home runs it.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", variable("PATH").unwrap_or_default())
            .env("HOME", self.path(""))
            .current_dir(self.beside(""));
        command
    }

    pub(super) fn run(&self, name: &str, args: &[&str]) -> Said {
        Said::of(&mut self.script(name, args))
    }

    /// Installs the stand-in.
    pub(super) fn install(&self, args: &[&str]) -> Said {
        let said = self.run("install", &[&["--binary", "program"], args].concat());
        assert!(said.ok(), "{said:?}");
        said
    }

    pub(super) fn uninstall(&self, args: &[&str]) -> Said {
        let said = self.run("uninstall", args);
        assert!(said.ok(), "{said:?}");
        said
    }

    /// Everything below a directory beside the home, by its path there.
    pub(super) fn all_below(&self, name: &str) -> BTreeSet<String> {
        let root = self.beside(name);
        let mut found = BTreeSet::new();
        collect(&root, &root, &mut found);
        found
    }

    /// All files in the home.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let all = self.all_below("home").into_iter();
        all.filter(|name| !self.path(name).is_dir() || self.path(name).is_symlink()).collect()
    }
}

fn collect(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below the root").display().to_string();
        found.insert(name);
        if path.is_dir() && !path.is_symlink() {
            collect(root, &path, found);
        }
    }
}

/// What a script said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    pub(super) fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().expect("the command runs");
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    pub(super) fn ok(&self) -> bool {
        self.code == Some(0)
    }
}
