//! Codes that programs print, and programs that tell of codes.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_program_gives_the_codes_and_nobody_is_asked() {
    let Some(scene) = scene() else { return };
    let codes =
        file(&scene, "codes", &format!("dev account  {}\n", scene.emulator.mfa_code(DEVICE)));
    let process = format!("test \"$MFA_SERIAL\" = {DEVICE} && cat {}", shown(&codes));
    let daemon = scene.mount(&[&BOTH[..], &["--mfa-process", &process]].concat());
    assert!(is_live(&daemon, "prod") && is_live(&daemon, "staging"));
    assert_eq!(codes_sent(&scene), 1, "one session for both roles");
}

#[test]
fn a_program_that_fails_is_told_and_a_person_can_help_out() {
    let Some(scene) = scene() else { return };
    for (process, problem) in [
        ("echo 123456; exit 3", "it ended with exit status 3"),
        ("echo no code here", "it printed no code of six digits"),
    ] {
        let output = scene.run(&["check", "--role", "prod", "--mfa-process", process]);
        let (status, text) = said(&output);
        assert_eq!(status, Some(1));
        assert!(text.contains(problem) && !text.contains("no code here"), "{text}");
    }
    let codes = scene.path("codes");
    let process = format!("cat {}", shown(&codes));
    for by_person in [true, false] {
        let daemon = scene.mount(&["--role", "prod", "--mfa-process", &process]);
        let told = "the mfa process gave no code, run credmount mfa prod";
        assert!(daemon.credentials().contains(told));
        let code = scene.emulator.mfa_code(DEVICE);
        if by_person {
            let (status, text) = give(&scene, &code);
            assert_eq!(status, Some(0), "{text}");
        } else {
            fs::write(&codes, code).unwrap();
            daemon.refresh();
        }
        assert!(is_live(&daemon, "prod"));
    }
    assert_eq!(codes_sent(&scene), 2, "AWS is not asked without a code");
}

/// A program of this name that runs `script` goes before all others; returns the PATH for that.
fn fake(scene: &Scene, name: &str, script: &str) -> String {
    let bin = scene.path("bin");
    fs::create_dir(&bin).unwrap();
    let program = file(scene, &format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = crate::support::variable("PATH").unwrap_or_default();
    format!("{}:{}", shown(&bin), path.to_str().unwrap())
}

#[test]
fn systemd_is_asked_where_that_is_configured() {
    let Some(scene) = scene() else { return };
    let code = scene.emulator.mfa_code(DEVICE);
    let asked = scene.path("asked");
    let script = format!("echo \"$@\" >> {}; echo {code}", shown(&asked));
    let path = fake(&scene, "systemd-ask-password", &script);
    let args = [&BOTH[..], &["--mfa-prompt", "systemd"]].concat();
    let daemon = scene
        .mount_by(scene.path("live"), &args, |command| command.env("PATH", path).output().unwrap());
    assert!(is_live(&daemon, "prod") && is_live(&daemon, "staging"));
    let text = fs::read_to_string(&asked).unwrap();
    assert!(
        text.contains("--no-tty") && text.contains(&format!("MFA code of {DEVICE}:")),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_code_of_a_person_goes_before_that_of_a_program_that_hangs_which_is_ended_with_its_children() {
    let Some(scene) = scene() else { return };
    let pid = scene.path("pid");
    let process = format!("sleep 3600 & echo $! > {0}.new; mv {0}.new {0}; wait", shown(&pid));
    let args = ["--role", "prod", "--open-deadline", "100ms", "--mfa-process", &process];
    let daemon = scene.mount(&args);
    eventually("the program to run", || pid.exists());
    let child = fs::read_to_string(&pid).unwrap();
    let alive = || Path::new("/proc").join(child.trim()).join("exe").exists();
    assert!(alive());
    let (status, text) = give(&scene, &scene.emulator.mfa_code(DEVICE));
    assert_eq!(status, Some(0), "{text}");
    assert!(is_live(&daemon, "prod"));
    eventually("the child to be gone", || !alive());
}

#[test]
fn the_desktop_is_told_once_that_a_code_is_needed() {
    let Some(scene) = scene() else { return };
    let told = scene.path("told");
    let path = fake(&scene, "notify-send", &format!("echo \"$@\" >> {}", shown(&told)));
    let args = [&BOTH[..], &["--notify"]].concat();
    let daemon = scene
        .mount_by(scene.path("live"), &args, |command| command.env("PATH", path).output().unwrap());
    let text = || fs::read_to_string(&told).unwrap_or_default();
    eventually("the desktop to be told", || text().ends_with('\n'));
    let failures = daemon.status()["roles"][0]["failures"].as_u64();
    assert_eq!(scene.run(&["refresh", daemon.argument()]).status.code(), Some(1));
    eventually("another failure", || daemon.status()["roles"][0]["failures"].as_u64() > failures);
    let text = text();
    assert!(text.contains("Run: credmount mfa prod"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(give(&scene, &scene.emulator.mfa_code(DEVICE)).0, Some(0));
}
