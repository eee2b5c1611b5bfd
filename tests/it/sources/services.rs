//! Keys that the place gives to who runs there: those of an instance and of a container.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{aws_files, expiration, key, without_keys};
use crate::emulator::Fault;
use crate::support::daemon::arn;
use crate::support::{Scene, eventually, ini_value, skipped};

/// A profile with nothing of its own, so that the standard chain goes on to its end.
const PLAIN: &str = "[default]\nregion = eu-west-1\n";

/// As on an instance, outside any container.
fn on_instance(scene: &Scene) -> impl FnOnce(&mut Command) {
    let endpoint = scene.emulator.endpoint();
    move |command| {
        without_keys(command)
            .env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
    }
}

/// As in a container whose endpoint is `uri`.
fn in_container(uri: String) -> impl FnOnce(&mut Command) {
    move |command| {
        without_keys(command).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
    }
}

/// Expects that a key was issued to this role, and that readers are told when it ends.
#[track_caller]
fn expect_key_of(scene: &Scene, text: &str, role: &str) -> SystemTime {
    let session = scene.emulator.session(&key(text, "default").expect("a key")).expect("ours");
    assert!(session.arn.contains(&format!(":assumed-role/{role}/")), "{}", session.arn);
    let told = expiration(text, "default").expect("an expiration");
    assert_eq!(humantime::parse_rfc3339(&told).expect(&told), session.expiration);
    session.expiration
}

/// Expects that keys which live for a few seconds are followed by others while nobody asks for it.
#[track_caller]
fn expect_rotation(scene: &Scene, read: &dyn Fn() -> String, role: &str) {
    let first = expect_key_of(scene, &read(), role);
    eventually("keys that live longer", || expect_key_of(scene, &read(), role) > first);
}

#[test]
fn the_standard_chain_ends_at_the_instance_and_follows_its_rotation() {
    let Some(scene) = Scene::mountable() else { return };
    aws_files(&scene, PLAIN, "");
    scene.emulator.configure(|it| it.source_lifetime = Some(Duration::from_secs(6)));
    let daemon = scene.mount_with(&["--role", "default"], on_instance(&scene));
    expect_rotation(&scene, &|| daemon.credentials(), "instance");
    let calls = scene.emulator.calls();
    assert!(calls.iter().all(|call| call.result.as_deref() == Some("OK")), "{calls:#?}");
}

#[test]
fn a_role_is_assumed_with_the_keys_that_the_instance_has_now() {
    let Some(scene) = Scene::mountable() else { return };
    let config = format!(
        "[profile prod]\nrole_arn = {}\ncredential_source = Ec2InstanceMetadata\n\
         region = eu-west-1\n",
        arn("prod")
    );
    aws_files(&scene, &config, "");
    let daemon = scene.mount_with(&["--role", "prod"], on_instance(&scene));
    let signer = || {
        let calls = scene.emulator.calls();
        let last = calls.iter().rfind(|call| call.action == "AssumeRole").expect("a call");
        let signer = last.caller_access_key_id.clone().expect("a signature");
        let session = scene.emulator.session(&signer).expect("keys of the instance");
        assert!(session.arn.contains(":assumed-role/instance/"), "{}", session.arn);
        signer
    };
    let before = signer();
    scene.emulator.rotate_sources();
    daemon.refresh();
    assert_ne!(signer(), before);
}

#[test]
fn expired_keys_of_the_instance_are_not_given_more_time() {
    let scene = Scene::new();
    aws_files(&scene, PLAIN, "");
    for role in ["default", "prod"] {
        let config = format!(
            "{PLAIN}[profile prod]\nrole_arn = {}\ncredential_source = Ec2InstanceMetadata\n",
            arn("prod")
        );
        aws_files(&scene, &config, "");
        scene.emulator.set_fault(Fault::ExpiredSession.for_action("InstanceCredentials"));
        let mut check = scene.credmount(&["check", "--json", "--role", role]);
        on_instance(&scene)(&mut check);
        let output = check.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the base credentials are expired: they expired at 20"), "{said}");
    }
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), 0);
}

#[test]
fn an_instance_without_a_role_is_told_with_what_was_tried() {
    let scene = Scene::new();
    aws_files(&scene, PLAIN, "");
    scene.emulator.configure(|settings| settings.instance_role = None);
    let mut check = scene.credmount(&["check", "--role", "default"]);
    on_instance(&scene)(&mut check);
    let said = String::from_utf8(check.output().unwrap().stdout).unwrap();
    assert!(said.contains("no base credentials were found"), "{said}");
    assert!(said.contains("Ec2InstanceMetadata"), "{said}");
}

#[test]
fn the_standard_chain_finds_the_container_and_follows_its_rotation() {
    let Some(scene) = Scene::mountable() else { return };
    aws_files(&scene, PLAIN, "");
    scene.emulator.configure(|settings| {
        settings.source_lifetime = Some(Duration::from_secs(6));
        settings.container_token = Some("let-me-in".to_owned());
    });
    let container = in_container(scene.emulator.container_uri());
    let daemon = scene.mount_with(&["--role", "default"], |command| {
        container(command);
        command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in");
    });
    expect_rotation(&scene, &|| daemon.credentials(), "container");
}

#[test]
fn the_token_file_of_a_pod_is_read_anew_for_each_call() {
    let Some(scene) = Scene::mountable() else { return };
    let config = format!(
        "[profile prod]\nrole_arn = {}\ncredential_source = EcsContainer\nregion = eu-west-1\n",
        arn("prod")
    );
    aws_files(&scene, &config, "");
    let token = |text: &str| {
        fs::write(scene.path("token"), text).unwrap();
        scene.emulator.configure(|settings| settings.container_token = Some(text.to_owned()));
        scene.emulator.rotate_sources();
    };
    token("first-token");
    let pod = in_container(scene.emulator.pod_identity_uri());
    let daemon = scene.mount_with(&["--role", "prod"], |command| {
        pod(command);
        command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", scene.path("token"));
    });
    let first = key(&daemon.credentials(), "prod").unwrap();
    token("second-token");
    daemon.refresh();
    assert_ne!(key(&daemon.credentials(), "prod").unwrap(), first);
    assert_eq!(scene.emulator.call_count("ContainerCredentials", "container"), 2);
}

#[test]
fn a_container_endpoint_that_refuses_is_told_without_the_token() {
    let Some(scene) = Scene::mountable() else { return };
    aws_files(&scene, PLAIN, "");
    scene.emulator.configure(|settings| settings.container_token = Some("right".to_owned()));
    let container = in_container(scene.emulator.container_uri());
    let daemon = scene.mount_with(&["--role", "default", "-vv"], |command| {
        container(command);
        command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "planted-token");
    });
    let text = daemon.credentials();
    let reason = ini_value(&text, "default", "credential_process").unwrap();
    assert!(reason.contains("the source of the base credentials failed"), "{reason}");
    let status = daemon.status().to_string();
    assert!(status.contains("base credentials"), "{status}");
    let log = daemon.log();
    for told in [text, status, log] {
        assert!(!told.contains("planted-token"), "{told}");
    }
}

/// Serves the keys of a task at the address that ECS has, in a network of its own, while a command
/// runs there.
const TASK: &str = r#"
import datetime, http.server, json, subprocess, sys, threading
class Task(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        keys = {"AccessKeyId": "ASIATASK", "SecretAccessKey": "s", "Token": "t",
                "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        body = json.dumps(keys).encode()
        self.send_response(200 if self.path == "/v2/credentials/1f4e" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("169.254.170.2", 80), Task)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"#;

#[test]
fn the_keys_of_a_task_of_ecs_are_found_at_its_relative_uri() {
    let scene = Scene::new();
    aws_files(&scene, PLAIN, "");
    let network = "ip link set lo up && ip addr add 169.254.170.2/32 dev lo && exec \"$@\"";
    let unshared = |args: &[&str]| {
        let mut command = scene.command("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", network, "sh"]).args(args);
        command
    };
    if !unshared(&["python3", "-c", ""]).output().is_ok_and(|output| output.status.success()) {
        return skipped("no network namespaces, ip or python3 here");
    }
    let program = scene.program().to_str().unwrap().to_owned();
    let render = ["render", "--role", "default", "--format", "process"];
    let mut command = unshared(&[&["python3", "-c", TASK, &program][..], &render].concat());
    in_container(String::new())(&mut command);
    let command = command
        .env_remove("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1f4e");
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && told.contains("ASIATASK"), "{output:?}");
}
