//! Roles that cannot be had: loud, alone, and never an errno.

use std::fs;
use std::process::Command;

use crate::emulator::Fault;
use crate::support::daemon::arn;
use crate::support::{Scene, eventually, ini_value, read_with_size};

fn denied_beside_live(scene: &Scene) -> crate::support::Daemon<'_> {
    scene.emulator.set_fault(Fault::Deny.for_role("prod"));
    scene.mount(&["--role", &arn("prod"), "--role", &arn("dev")])
}

#[test]
fn a_failing_profile_says_why_and_exits_1_and_the_others_still_work() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = denied_beside_live(&scene);
    let (text, size) = read_with_size(&daemon.file("credentials"));
    assert_eq!(text.len() as u64, size);
    assert!(ini_value(&text, "dev", "aws_secret_access_key").is_some());
    for section in ["default", "prod"] {
        assert_eq!(ini_value(&text, section, "aws_access_key_id"), None);
        let command = ini_value(&text, section, "credential_process").unwrap();
        // As SDKs run it: through a shell, and split into words without one.
        let split = "import shlex,subprocess,sys; \
                     sys.exit(subprocess.run(shlex.split(sys.argv[1])).returncode)";
        for (program, flag, script) in [("sh", "-c", command.as_str()), ("python3", "-c", split)] {
            let run = Command::new(program).args([flag, script, &command]).output().unwrap();
            assert_eq!(run.status.code(), Some(1), "{program}: {run:?}");
            assert!(run.stdout.is_empty());
            let said = String::from_utf8(run.stderr).unwrap();
            let expected = format!(
                "credmount: profile {section} has no keys: AWS denied AssumeRole, run credmount \
                 status\n"
            );
            assert_eq!(said, expected, "{program}");
        }
    }
}

#[test]
fn errors_and_process_files_tell_the_reason_and_are_blank_when_healthy() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = denied_beside_live(&scene);
    let reason = |name: &str| {
        let (text, size) = read_with_size(&daemon.file(&format!("credmount/errors/{name}")));
        assert_eq!(text.len() as u64, size);
        text.trim_end_matches('\n').to_owned()
    };
    assert!(reason("prod").starts_with("credmount: profile prod has no keys: AWS denied"));
    assert_eq!(reason("dev"), "");
    let json = fs::read_to_string(daemon.file("credmount/process/prod.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["Version"].as_str().unwrap().contains("AWS denied AssumeRole"));
    assert!(json.get("AccessKeyId").is_none());

    let role = &daemon.status()["roles"][0];
    assert_eq!(role["state"], "failing");
    assert!(role["last_error"].as_str().unwrap().contains("AccessDenied"));
    assert!(role["next_attempt"].is_string());

    scene.emulator.clear_faults();
    daemon.refresh();
    assert_eq!(reason("prod"), "");
    assert!(ini_value(&daemon.credentials(), "prod", "aws_access_key_id").is_some());
}

#[test]
fn when_every_role_fails_for_good_nothing_is_mounted_and_the_advice_is_given() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_fault(Fault::Deny);
    for background in [&["--background"][..], &[]] {
        let live = scene.path("live");
        let role = arn("prod");
        let args = [&["--role", &role, live.to_str().unwrap()][..], background].concat();
        let output = scene.run(&args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("credmount: no role can be had, so nothing was mounted"), "{said}");
        assert!(said.contains("AccessDenied") && said.contains("trust policy"), "{said}");
        assert!(!crate::support::daemon::is_mounted(&live));
    }
}

#[test]
fn a_failure_that_may_pass_mounts_and_keeps_trying() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_fault(Fault::ServerError { status: 503 });
    let daemon = scene.mount_prod();
    assert!(daemon.credentials().contains("AWS STS is unavailable"));
    scene.emulator.clear_faults();
    eventually("the role to come back by itself", || {
        ini_value(&daemon.credentials(), "prod", "aws_access_key_id").is_some()
    });
}

#[test]
fn a_failed_refresh_says_why_and_keeps_the_session() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let before = daemon.credentials();
    scene.emulator.set_fault(Fault::Deny);
    let output = scene.run(&["refresh", daemon.argument()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("AccessDenied"));
    assert_eq!(daemon.credentials(), before);
}
