//! Logins and sessions with MFA that outlive their daemon, in the keyring of the kernel.

use std::fs;
use std::time::Duration;

use credmount::fnv::fnv1a;
use credmount::os::keyring::{KeyringError, Keys};
use credmount::os::paths::mount_stem;
use rustix::process::{Pid, Signal, kill_process};

use crate::emulator::{RoleRules, WebIdentityTrust};
use crate::identity::login::{cause, has_keys, key, logged_in, mounted};
use crate::leaks::search::{Evidence, Secrets};
use crate::mfa::{DEVICE, codes_sent, give, is_live};
use crate::support::daemon::is_mounted;
use crate::support::{Daemon, Scene, arn, eventually, skipped, wait_for};

const KEPT: [&str; 3] = ["--supervise", "--keep-logins", "keyring"];

/// A scene in which logins can be kept.
fn scene() -> Option<Scene> {
    Scene::mountable().filter(|_| keyring_available())
}

fn keyring_available() -> bool {
    let keys = Keys::new("credmount-test:".to_owned());
    if keys.check() == Err(KeyringError::Refused) {
        skipped("this process may not use keyrings");
        return false;
    }
    true
}

/// What the daemon of a mount on `live` keeps.
struct Kept(Keys);

impl Kept {
    fn of(scene: &Scene) -> Self {
        let stem = mount_stem(&scene.path("live"));
        let file = scene.path("run/credmount").join(stem + ".daemon.json");
        let scope = fnv1a(file.to_str().unwrap().as_bytes());
        Self(Keys::new(format!("credmount:{scope:016x}:")))
    }

    fn names(&self) -> Vec<String> {
        self.0.names().unwrap()
    }
}

impl Drop for Kept {
    /// Also of a test that failed.
    fn drop(&mut self) {
        for name in self.names() {
            let _ = self.0.remove(&name);
        }
    }
}

/// Waits until the role says so: right after its start a daemon has not asked yet.
fn needs_login(daemon: &Daemon<'_>) {
    eventually("a login to be needed", || cause(daemon) == "LoginNeeded");
}

/// Kills the daemon and waits for the next.
fn crash(daemon: &Daemon<'_>) {
    let before = daemon.pid();
    daemon.signal(Signal::KILL);
    wait_for("another daemon", || daemon.try_pid().filter(|pid| *pid != before));
}

fn restart(scene: &Scene, daemon: &Daemon<'_>) {
    let before = daemon.pid();
    let output = scene.run(&["restart"]);
    assert!(output.status.success(), "{output:?}");
    wait_for("another daemon", || daemon.try_pid().filter(|pid| *pid != before));
}

#[test]
fn a_login_outlives_crash_and_restart_and_ends_with_the_mount() {
    let Some(scene) = scene() else { return };
    let kept = Kept::of(&scene);
    for kind in ["vouch", "oidc-device"] {
        let begun = scene.emulator.issuer_calls("/device");
        let daemon = mounted(&scene, kind, &KEPT);
        needs_login(&daemon);
        logged_in(&scene);
        has_keys(&daemon);
        assert_eq!(kept.names(), ["login:corp"]);
        let mut last = key(&daemon);
        let mut is_new = || {
            has_keys(&daemon);
            let now = key(&daemon);
            now != std::mem::replace(&mut last, now.clone())
        };
        crash(&daemon);
        assert!(is_new());
        restart(&scene, &daemon);
        assert!(is_new());
        // The refresh token is used up; the next daemon has the one that came for it.
        scene.emulator.revoke_logins(false);
        daemon.refresh();
        assert!(is_new());
        crash(&daemon);
        scene.emulator.revoke_logins(false);
        daemon.refresh();
        assert!(is_new());
        assert_eq!(scene.emulator.issuer_calls("/device"), begun + 1, "nobody was asked again");
        drop(daemon);
        assert_eq!(kept.names(), [""; 0]);
    }
}

#[test]
fn a_session_with_mfa_outlives_crash_and_restart_and_ends_with_the_mount() {
    let Some(scene) = crate::mfa::scene().filter(|_| keyring_available()) else { return };
    let kept = Kept::of(&scene);
    let args = [&["--role", "prod", "--role", "staging"], &KEPT[..]].concat();
    let daemon = scene.mount(&args);
    let (status, text) = give(&scene, &scene.emulator.mfa_code(DEVICE));
    assert_eq!(status, Some(0), "{text}\n{}", daemon.log());
    let expires = daemon.status()["roles"][0]["mfa"]["expires"].clone();
    assert!(expires.is_string());
    assert_eq!(kept.names(), [format!("mfa:{DEVICE}")]);
    crash(&daemon);
    eventually("keys", || is_live(&daemon, "prod") && is_live(&daemon, "staging"));
    restart(&scene, &daemon);
    daemon.refresh();
    assert!(is_live(&daemon, "prod"));
    let mfa = daemon.status()["roles"][0]["mfa"].clone();
    assert!(mfa["command"].is_null(), "{mfa}");
    assert_eq!(mfa["expires"], expires);
    assert_eq!(codes_sent(&scene), 1, "one code does for all daemons");
    daemon.signal(Signal::TERM);
    eventually("nothing to be kept", || kept.names().is_empty());
}

#[test]
fn nothing_is_kept_unless_it_is_asked_for() {
    let Some(scene) = scene() else { return };
    let kept = Kept::of(&scene);
    let daemon = mounted(&scene, "vouch", &["--supervise"]);
    logged_in(&scene);
    has_keys(&daemon);
    let all = fs::read_to_string("/proc/keys").unwrap();
    assert_eq!(kept.names(), [""; 0], "{all}");
    crash(&daemon);
    needs_login(&daemon);
}

#[test]
fn a_lock_takes_out_what_is_kept_and_an_unlock_keeps_the_login_again() {
    let Some(scene) = scene() else { return };
    let kept = Kept::of(&scene);
    let daemon = mounted(&scene, "vouch", &KEPT);
    logged_in(&scene);
    has_keys(&daemon);
    let order = |order: &str| assert!(scene.run(&[order]).status.success());
    order("lock");
    assert_eq!(kept.names(), [""; 0]);
    order("unlock");
    assert_eq!(kept.names(), ["login:corp"]);
    crash(&daemon);
    has_keys(&daemon);
}

#[test]
fn a_login_that_the_issuer_ends_is_not_kept() {
    let Some(scene) = scene() else { return };
    let kept = Kept::of(&scene);
    let daemon = mounted(&scene, "vouch", &KEPT);
    logged_in(&scene);
    has_keys(&daemon);
    scene.emulator.revoke_logins(true);
    assert!(!scene.run(&["refresh", daemon.argument()]).status.success());
    assert_eq!(cause(&daemon), "LoginNeeded");
    assert_eq!(kept.names(), [""; 0]);
}

#[test]
fn what_others_have_put_there_is_told_and_not_used() {
    let (Some(scene), Some(other)) = (scene(), scene()) else { return };
    let (kept, kept_by_other) = (Kept::of(&scene), Kept::of(&other));
    let elsewhere = mounted(&other, "vouch", &KEPT);
    logged_in(&other);
    has_keys(&elsewhere);
    let login = kept_by_other.0.get("login:corp").unwrap().unwrap();
    let daemon = mounted(&scene, "vouch", &KEPT);
    for planted in [&b"garbage"[..], &login] {
        kept.0.put("login:corp", planted, Duration::from_hours(1)).unwrap();
        crash(&daemon);
        eventually("it to be looked at", || kept.names().is_empty());
        needs_login(&daemon);
        assert!(daemon.log().contains("what an earlier daemon has kept is not used"));
    }
}

#[test]
fn a_daemon_that_is_started_anew_begins_without_a_login() {
    let Some(scene) = scene() else { return };
    let kept = Kept::of(&scene);
    let daemon = mounted(&scene, "vouch", &KEPT);
    logged_in(&scene);
    has_keys(&daemon);
    drop(daemon);
    assert_eq!(kept.names(), [""; 0]);
    let daemon = mounted(&scene, "vouch", &KEPT);
    needs_login(&daemon);
}

#[test]
fn the_end_of_a_supervisor_that_gives_up_ends_the_login() {
    let Some(scene) = scene() else { return };
    let kept = Kept::of(&scene);
    let daemon = mounted(&scene, "vouch", &KEPT);
    logged_in(&scene);
    has_keys(&daemon);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    let supervisor = Pid::from_raw(parent.trim().parse().unwrap()).unwrap();
    // In the pause between two daemons, or else passed on to the next one.
    daemon.signal(Signal::KILL);
    kill_process(supervisor, Signal::TERM).unwrap();
    eventually("the mount to go", || !is_mounted(&daemon.mountpoint));
    eventually("nothing to be kept", || kept.names().is_empty());
}

#[test]
fn what_is_kept_is_in_the_kernel_only() {
    let Some(scene) = crate::mfa::scene().filter(|_| keyring_available()) else { return };
    let kept = Kept::of(&scene);
    let trust = WebIdentityTrust { issuer: Some(scene.emulator.issuer()), ..Default::default() };
    scene.emulator.set_role("web", RoleRules { web_identity: Some(trust), ..Default::default() });
    let config = format!(
        "region = \"eu-west-1\"\nkeep_logins = \"keyring\"\nsupervise = true\n[identities.corp]\n\
         type = \"vouch\"\nissuer = \"{}\"\nclient_id = \"credmount\"\n[roles.web]\n\
         role_arn = \"{}\"\nidentity = \"corp\"\n",
        scene.emulator.issuer(),
        arn("web")
    );
    let file = scene.path("config.toml");
    fs::write(&file, config).unwrap();
    let args = ["-vvv", "--config", file.to_str().unwrap(), "--role", "prod", "--role", "web"];
    let daemon = scene.mount(&args);
    assert_eq!(give(&scene, &scene.emulator.mfa_code(DEVICE)).0, Some(0));
    logged_in(&scene);
    eventually("keys", || is_live(&daemon, "prod") && is_live(&daemon, "web"));
    assert_eq!(kept.names().len(), 2);
    let mut evidence = Evidence::default();
    let look = |evidence: &mut Evidence| {
        for args in [&["status"][..], &["status", "--json"]] {
            assert_eq!(evidence.run(&scene, args), 0);
        }
        let proc = format!("/proc/{}", daemon.pid());
        evidence.add("cmdline", fs::read(format!("{proc}/cmdline")).unwrap());
        evidence.add("keys", fs::read("/proc/keys").unwrap());
        evidence.add("log", daemon.log());
        evidence.files(&scene.path("run"));
    };
    crash(&daemon);
    eventually("keys", || is_live(&daemon, "prod") && is_live(&daemon, "web"));
    look(&mut evidence);
    evidence.assert_said("logged in already, before this start");
    evidence.assert_said("the session with MFA of before this start goes on");
    evidence.assert_said("login:corp");
    evidence.assert_said("logins: kept in the keyring of the kernel");
    // One that cannot be read is told of, but not repeated.
    for name in kept.names() {
        let mut planted = kept.0.get(&name).unwrap().unwrap();
        let end = planted.len() - 1;
        planted[end] = b' ';
        kept.0.put(&name, &planted, Duration::from_hours(1)).unwrap();
    }
    crash(&daemon);
    eventually("it to be looked at", || kept.names().is_empty());
    look(&mut evidence);
    evidence.assert_said("it is not of the form that this version keeps");
    let mut secrets = Secrets::of(&scene);
    for (number, secret) in scene.emulator.issuer_secrets().iter().enumerate() {
        // All JWTs of one header begin alike, which is no secret.
        let rest = secret.rsplit('.').next().unwrap();
        if rest.len() >= 36 {
            secrets.add(&format!("secret {number} of the issuer"), rest);
        }
    }
    evidence.assert_clean(&secrets);
}

#[test]
fn a_reload_decides_anew_what_is_kept() {
    let Some(scene) = scene() else { return };
    let kept = Kept::of(&scene);
    let daemon = mounted(&scene, "vouch", &["--supervise"]);
    logged_in(&scene);
    has_keys(&daemon);
    let config = scene.path("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    for (option, names) in
        [("keyring", vec!["login:corp"]), ("memory", vec![]), ("keyring", vec!["login:corp"])]
    {
        fs::write(&config, format!("keep_logins = \"{option}\"\n{text}")).unwrap();
        let output = scene.run(&["reload"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(kept.names(), names, "{option}");
    }
    // A configuration that is broken says nothing of it.
    fs::write(&config, "keep_logins = 1\n").unwrap();
    crash(&daemon);
    eventually("it to be told", || daemon.status()["broken"].is_string());
    assert_eq!(kept.names(), ["login:corp"]);
    fs::write(&config, format!("keep_logins = \"keyring\"\n{text}")).unwrap();
    assert!(scene.run(&["reload"]).status.success());
    has_keys(&daemon);
}
