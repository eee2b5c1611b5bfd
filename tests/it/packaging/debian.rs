//! The Debian package: what is in it, and what becomes of mounts when it is installed, upgraded and
//! removed by dpkg.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::host::Host;
use super::running::small_program;
use super::scripts::{Home, Said};
use crate::support::{Scene, ini_value, skipped};

/// Options of cargo-deb that make larger packages in less time.
const QUICKLY: [&str; 5] = ["--fast", "--compress-type", "gz", "--compress-system", "--offline"];

/// Whether packages can be made and installed here. Says so loudly if not.
fn tools_available() -> bool {
    for tool in [&["dpkg-shlibdeps", "--version"][..], &["cargo", "deb", "--version"]] {
        let tried = Command::new(tool[0]).args(&tool[1..]).output();
        if !tried.is_ok_and(|tried| tried.status.success()) {
            skipped(&format!("`{}` does not run here", tool.join(" ")));
            return false;
        }
    }
    true
}

/// Packages a program by `scripts/package`, as `DIR/NAME.deb`.
fn package(home: &Home, program: &Path, name: &str, version: &str, options: &[&str]) -> String {
    let deb = home.beside(&format!("{name}.deb")).display().to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package");
    let mut command = Command::new(script);
    command.arg("--binary").arg(program).args(["--output", &deb, "--", "--deb-version", version]);
    let said = Said::of(command.args(QUICKLY).args(options));
    assert!(said.ok(), "{said:?}");
    assert_eq!(said.out.trim_end(), deb, "the path is printed");
    deb
}

/// A reader that has bound a mount in a namespace of its own, as a container does.
#[derive(Debug)]
struct Reader {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Reader {
    fn bind(host: &Host, mountpoint: &Path) -> Self {
        let script = "mount --bind \"$1\" /mnt
            while read -r _; do cat /mnt/credentials || echo FAILED; echo END; done";
        let mut child = host
            .command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(mountpoint)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a reader");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    /// Opens and reads the file of keys.
    fn credentials(&mut self) -> String {
        self.child.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("it runs");
        let lines = self.lines.by_ref().lines().map(|line| line.expect("UTF-8"));
        lines.take_while(|line| line != "END").map(|line| line + "\n").collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Panics unless the text has keys that the emulator issued.
#[track_caller]
fn assert_keys(scene: &Scene, text: &str) {
    let secret = ini_value(text, "default", "aws_secret_access_key").expect("keys");
    let issued = scene.emulator.issued_sessions();
    assert!(issued.iter().any(|session| session.secret_access_key == secret), "issued keys");
}

#[test]
fn a_mount_outlives_the_upgrade_and_the_removal_of_the_package() {
    let home = Home::new();
    if !tools_available() {
        return;
    }
    let Some(host) = Host::start(&home.beside("")) else { return };
    let binary = small_program(&home.beside("small"));
    let old = package(&home, &binary, "old", "0.1.0-1", &[]);
    let mut bytes = fs::read(&binary).unwrap();
    bytes.extend(b"next");
    fs::write(&binary, bytes).unwrap();
    let new = package(&home, &binary, "new", "0.1.0-2", &["--no-strip"]);

    host.run("dpkg", &["--install", &old]);
    assert_eq!(host.run("dpkg", &["--verify", "credmount"]), "");
    for path in [
        "/usr/bin/credmount",
        "/usr/share/man/man1/credmount.1.gz",
        "/usr/share/bash-completion/completions/credmount",
        "/usr/share/zsh/vendor-completions/_credmount",
        "/usr/share/fish/vendor_completions.d/credmount.fish",
        "/usr/lib/systemd/user/credmount.service",
        "/usr/lib/systemd/user/credmount@.service",
        "/usr/share/doc/credmount/examples/config.toml",
        "/usr/share/doc/credmount/copyright",
    ] {
        assert!(host.path(path).exists(), "{path}");
    }
    let unit = fs::read_to_string(host.path("/usr/lib/systemd/user/credmount.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/credmount"), "{unit}");
    assert!(host.run("dpkg-query", &["--show", "-f", "${Depends}", "credmount"]).contains("fuse3"));

    let scene = Scene::elsewhere(host.enter(), "/usr/bin/credmount".into());
    let mountpoint = home.beside("live");
    let daemon = scene.mount_on(mountpoint.clone(), &["--role", &crate::support::arn("prod")]);
    let mut reader = Reader::bind(&host, &mountpoint);
    assert_keys(&scene, &reader.credentials());

    let said = host.run("dpkg", &["--install", &new]);
    assert!(said.contains("these users have daemons that go on"), "{said}");
    assert_eq!(host.run("dpkg", &["--verify", "credmount"]), "");
    assert_keys(&scene, &reader.credentials());
    daemon.refresh();
    let renewed = reader.credentials();
    assert_keys(&scene, &renewed);

    let said = host.run("dpkg", &["--purge", "credmount"]);
    assert!(said.contains("cannot be restarted: root"), "{said}");
    assert_eq!(reader.credentials(), renewed);
    let left = host.run("find", &["/usr", "/etc", "/var/lib", "-xdev", "-path", "*credmount*"]);
    assert_eq!(left, "");
}

#[test]
fn the_service_of_the_machine_is_restarted_by_upgrades_and_stopped_by_removal() {
    let home = Home::new();
    if !tools_available() {
        return;
    }
    let Some(host) = Host::start(&home.beside("")) else { return };
    // Which version of the program runs matters to nobody here.
    let options = ["--no-strip"];
    let old = package(&home, &home.program("0.1.0"), "old", "0.1.0-1", &options);
    let new = package(&home, &home.program("0.2.0"), "new", "0.2.0-1", &options);
    // A system manager that writes down what it is asked for, and says that two services run.
    let log = home.beside("systemctl.log");
    let manager = format!(
        "#!/bin/sh\necho \"$@\" >>'{}'\ncase $* in *list-units*)\n\
         echo 'credmount.service loaded active running Keys'\n\
         echo 'credmount@ci.service loaded active running Keys' ;;\nesac\n",
        log.display()
    );
    host.run("mkdir", &["-p", "/run/systemd/system", "/usr/local/sbin"]);
    // Images of containers have a policy that services are neither started nor stopped.
    host.run("rm", &["-f", "/usr/sbin/policy-rc.d"]);
    let stub = host.path("/usr/local/sbin/systemctl");
    fs::write(&stub, manager).unwrap();
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
    let asked = |args: &[&str]| {
        fs::write(&log, "").unwrap();
        host.run("dpkg", args);
        let text = fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| !line.contains("list-units")).map(str::to_owned).collect()
    };

    let installed: Vec<String> = asked(&["--install", &old]);
    assert_eq!(installed, ["--system daemon-reload"], "starts nothing that was not asked for");
    let upgraded: Vec<String> = asked(&["--install", &new]);
    assert_eq!(
        upgraded[..3],
        [
            "--system daemon-reload",
            "try-restart credmount.service",
            "try-restart credmount@ci.service"
        ],
    );
    assert!(!upgraded.iter().any(|line| line.contains("stop")), "{upgraded:?}");
    let removed: Vec<String> = asked(&["--remove", "credmount"]);
    assert_eq!(removed[..2], ["stop credmount.service", "stop credmount@ci.service"]);
    let disabled = "--quiet --global disable credmount.service";
    assert!(removed.iter().any(|line| line == disabled), "{removed:?}");
    assert_eq!(removed.last().map(String::as_str), Some("--system daemon-reload"));
}
