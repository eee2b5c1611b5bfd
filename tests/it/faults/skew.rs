//! Logins on a machine whose clock is wrong: with no role that would tell the time beside them.

use std::time::Duration;

use super::table::MOST_OFF;
use crate::emulator::Fault;
use crate::support::flows;
use crate::support::{Daemon, Scene, eventually, ini_value};

/// How far the clock of the machine is ahead of all others, in seconds.
const AHEAD: [i64; 4] = [600, -600, 37 * 3600, -37 * 3600];

/// Does `flow` on machines with wrong clocks, each with a mount of the role `profile` alone.
fn on_each_machine(profile: &str, flow: impl Fn(&Scene)) {
    for seconds in AHEAD {
        let Some(scene) = Scene::mountable() else { return };
        scene.emulator.set_clock_offset(-seconds);
        let config = flows::configure(&scene);
        let daemon = scene.mount(&["--config", &config, "--role", profile]);
        flow(&scene);
        flows::key_of(&daemon, profile);
        let status = daemon.status();
        let left = status["roles"][0]["remaining_seconds"].as_u64().unwrap();
        assert!((3500..=3600).contains(&left), "{left} s of 1 h, {seconds} s ahead");
        let skew = status["clock_skew_seconds"].as_i64().unwrap_or_else(|| panic!("{status}"));
        assert!((skew - seconds).abs() <= MOST_OFF, "{skew} s");
        keys_are_served_to_their_end(&scene, &daemon, profile);
    }
}

/// Neither do keys outlive their end, nor do they die early.
fn keys_are_served_to_their_end(scene: &Scene, daemon: &Daemon<'_>, profile: &str) {
    let key = || ini_value(&daemon.credentials(), profile, "aws_access_key_id");
    let first = key();
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(4)));
    daemon.refresh();
    eventually("keys that end soon", || key() != first);
    scene.emulator.set_fault(Fault::ServerError { status: 500 });
    let mut live = 0;
    loop {
        let opened = scene.emulator.now();
        let Some(key) = key() else { break };
        let session = scene.emulator.session(&key).expect("a session of the emulator");
        assert!(opened < session.expiration, "expired keys were served");
        live += 1;
    }
    assert!(live > 0, "valid keys were not served");
}

#[test]
fn a_code_of_an_mfa_device_gives_keys() {
    on_each_machine("staff", |scene| {
        flows::give_code(scene);
    });
}

#[test]
fn a_sign_in_to_iam_identity_center_gives_keys() {
    on_each_machine("dev", flows::sign_in);
}

#[test]
fn a_web_identity_token_gives_keys() {
    on_each_machine("pod", |_| ());
}

#[test]
fn a_login_at_an_issuer_gives_keys() {
    on_each_machine("vouched", flows::log_in_at_issuer);
}
