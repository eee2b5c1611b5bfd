//! No token, code or client secret leaves its file.

use std::fs;
use std::path::Path;

use super::login::Login;
use super::*;
use crate::emulator::{Decision, Fault};
use crate::leaks::{Evidence, Secrets};
use crate::support::eventually;

#[test]
fn a_sign_in_from_its_code_to_its_end_leaves_no_secret_behind() {
    let Some(scene) = Scene::mountable() else { return };
    write_profiles(&scene);
    scene.emulator.set_sso(|sso| sso.access_token_lifetime = Duration::from_mins(4));
    let mut evidence = Evidence::default();
    let daemon = scene.mount(&["--role", "dev", "--role", "behind", "-vv"]);
    let pid = daemon.pid();

    // Signing in, refused and granted.
    for decision in [Decision::Deny, Decision::Approve] {
        scene.emulator.slow_down(u32::from(decision == Decision::Deny));
        let login = Login::start(&scene, &["dev"]);
        let cmdline = fs::read(format!("/proc/{}/cmdline", login.id())).unwrap();
        evidence.add("the arguments of login", cmdline);
        login.decide(&scene, decision);
        let (_, text) = login.end();
        evidence.add("login", text);
    }
    let look = |evidence: &mut Evidence| {
        daemon.credentials();
        evidence.run(&scene, &["status"]);
        evidence.run(&scene, &["status", "--json"]);
        for file in ["credmount/status.json", "config", "credmount/errors/dev"] {
            evidence.add(file, fs::read(daemon.file(file)).unwrap());
        }
        evidence.add("/proc/PID/cmdline", fs::read(format!("/proc/{pid}/cmdline")).unwrap());
    };
    look(&mut evidence);

    // Every way to fail of both services, the answers spoilt amid a token included.
    let faults = [
        Fault::Deny,
        Fault::Throttle,
        Fault::ServerError { status: 503 },
        Fault::ExpireCaller,
        Fault::DropMidAnswer,
        Fault::TruncatedXml,
        Fault::MalformedXml,
        Fault::ExpiredSession,
    ];
    for action in ["GetRoleCredentials", "CreateToken"] {
        for fault in &faults {
            write_sign_in(&scene, CORP, &scene.emulator.sign_in(), true);
            scene.emulator.set_fault(fault.clone().for_action(action));
            evidence.run(&scene, &["refresh"]);
            evidence.run(&scene, &["check", "-vv", "--role", "dev"]);
            look(&mut evidence);
            scene.emulator.clear_faults();
        }
    }

    // Exchanged, used, and at its end.
    write_sign_in(&scene, CORP, &scene.emulator.sign_in(), true);
    evidence.run(&scene, &["refresh"]);
    scene.emulator.expire_access_tokens();
    scene.emulator.revoke_refresh_tokens();
    evidence.run(&scene, &["refresh"]);
    eventually("the login to be needed", || daemon.log().contains("a login is needed"));
    look(&mut evidence);
    fs::write(cache_file(&scene, CORP), "{\"accessToken\": \"cut off").unwrap();
    evidence.run(&scene, &["refresh"]);
    look(&mut evidence);
    evidence.run(&scene, &["unmount", daemon.argument()]);
    evidence.files(&scene.path("run"));
    for words in ["session received", "a login is needed", "TooManyRequests", "No access"] {
        evidence.assert_said(words);
    }
    evidence.assert_clean(&Secrets::of(&scene));

    // Whatever stands in the cache is for the owner alone, and nothing unfinished stays.
    for entry in fs::read_dir(cache_file(&scene, CORP).parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension(), Path::new("x.json").extension(), "{}", path.display());
    }
}
