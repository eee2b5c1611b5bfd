//! Sandboxes that a user makes without any daemon.

use super::machine::{As, Machine, parent_of_user, words};
use super::reader::{self, Reader};

#[test]
fn a_bubblewrap_sandbox_reads_where_the_mount_is_bound() {
    let Some(machine) = Machine::start(&["bwrap"]) else { return };
    let scene = machine.scene(As::User);
    let daemon = reader::mount(&scene, &[]);
    let own = ["bwrap", "--unshare-all", "--share-net", "--die-with-parent", "--uid", "1000"];
    let system = ["--ro-bind", "/usr", "/usr", "--ro-bind", "/run/clients", "/run/clients"];
    let links = ["--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"];
    let more = ["--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"];
    let cache = ["--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache"];
    let aws = ["--bind", daemon.argument(), "/home/app/.aws", "--"];
    let enter = words(&[&own[..], &system, &links, &more, &cache, &aws].concat());
    Reader { scene: &scene, log: &|| daemon.log(), enter, aws: "/home/app/.aws".into() }
        .expect_all();
}

#[test]
fn root_of_a_user_namespace_reads_as_the_user_who_made_it() {
    let Some(machine) = Machine::start(&[]) else { return };
    let scene = machine.scene(As::User);
    // Nothing is bound, so this has to be a home directory.
    let daemon = reader::mount_on(&scene, parent_of_user(&scene).join(".aws"), &[]);
    let enter = words(&["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]);
    let aws = daemon.argument().to_owned();
    Reader { scene: &scene, log: &|| daemon.log(), enter, aws }.expect_all();
}
