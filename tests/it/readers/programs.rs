//! Programs that read, to be told apart by rules: copies of `reader.c`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Scene, skipped};

/// What `reader look` ends with if every open was refused.
pub(super) const REFUSED: i32 = 10;

/// What a reader ends with if something else than the opens failed.
pub(super) const FAILED: i32 = 12;

/// The programs `allowed` and `other` in `bin`, where every user may run them.
#[derive(Debug)]
pub(super) struct Programs<'a> {
    pub(super) scene: &'a Scene,
}

impl<'a> Programs<'a> {
    /// Compiles them; `None`, said loudly, without a C compiler.
    pub(super) fn build(scene: &'a Scene) -> Option<Self> {
        let bin = scene.path("bin");
        fs::create_dir(&bin).unwrap();
        for dir in [&scene.path(""), &bin] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
        // The text is part of the tests, because not every user can enter the source directory.
        let source = scene.path("bin/reader.c");
        fs::write(&source, include_str!("reader.c")).unwrap();
        let mut compiler = scene.command("cc");
        compiler.args(["-O1", "-pthread", "-o"]).arg(bin.join("allowed")).arg(&source);
        let Ok(compiled) = compiler.output() else {
            skipped("there is no C compiler for the reading programs");
            return None;
        };
        assert!(compiled.status.success(), "{compiled:?}");
        fs::copy(bin.join("allowed"), bin.join("other")).unwrap();
        Some(Self { scene })
    }

    /// Where a program is, as the kernel tells it.
    pub(super) fn path(&self, name: &str) -> String {
        let bin = self.scene.path("bin").canonicalize().unwrap();
        bin.join(name).to_str().unwrap().to_owned()
    }

    /// A program with these arguments.
    pub(super) fn run(&self, name: &str, args: &[&str]) -> Command {
        let mut command = self.scene.command(self.path(name));
        command.args(args);
        command
    }
}
