//! Key pairs and certificates for ssh on a real mount, with ssh, ssh-keygen and an sshd that trusts the
//! authority of the emulator.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::geteuid;
use serde_json::Value;

use super::tokens::log_in;
use crate::emulator::CertificateFault;
use crate::support::namespace::{in_mount_namespace, namespaces_available};
use crate::support::{
    Daemon, Scene, arn, eventually, free_address, read_with_size, skipped, wait_for,
};

const KEY: &str = "credmount/ssh/prod/id_ed25519";
const CERTIFICATE: &str = "credmount/ssh/prod/id_ed25519-cert.pub";
const ERROR: &str = "credmount/ssh/prod/error";

/// Where Debian has it, which is in the search path of root only.
const SSHD: &str = "/usr/sbin/sshd";

/// A mount with the identity `corp`, a certificate `prod`, and a role that needs no login.
fn mounted<'a>(scene: &'a Scene, args: &[&str]) -> Daemon<'a> {
    let file = scene.path("config.toml");
    let (issuer, dev) = (scene.emulator.issuer(), arn("dev"));
    let text = format!(
        "region = \"eu-west-1\"\n\
         [identities.corp]\ntype = \"vouch\"\nissuer = \"{issuer}\"\nclient_id = \"credmount\"\n\
         [ssh.prod]\nidentity = \"corp\"\n[roles.dev]\nrole_arn = \"{dev}\"\n"
    );
    fs::write(&file, text).unwrap();
    scene.mount(&[&["--config", file.to_str().unwrap()][..], args].concat())
}

fn read(daemon: &Daemon<'_>, file: &str) -> String {
    fs::read_to_string(daemon.file(file)).unwrap()
}

/// The certificate that is shown, if there is one.
fn certificate(daemon: &Daemon<'_>) -> Option<String> {
    let text = read(daemon, CERTIFICATE);
    Some(text.trim_end().to_owned()).filter(|text| text.starts_with("ssh-ed25519-cert-v01"))
}

fn await_certificate(daemon: &Daemon<'_>) -> String {
    wait_for("a certificate", || certificate(daemon))
}

fn status(daemon: &Daemon<'_>) -> Value {
    daemon.status()["tokens"][0].clone()
}

/// What a program answers; `None`, said loudly, if it is not installed.
fn answer(command: &mut Command) -> Option<Output> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(error) => {
            skipped(&format!("{}: {error}", command.get_program().display()));
            None
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Who runs the tests: the only one as whom an sshd of theirs lets anybody log in.
fn user() -> String {
    text(&Command::new("id").arg("-un").output().unwrap().stdout).trim().to_owned()
}

/// Why sshd would let this user run nothing, whoever asks.
fn without_shell(user: &str) -> Option<&'static str> {
    let entry = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{user}:")));
        line.unwrap_or_default().to_owned()
    };
    if entry("/etc/passwd").ends_with("/nologin") || entry("/etc/passwd").ends_with("/false") {
        Some("the user who runs the tests has no shell to log in to")
    } else if entry("/etc/shadow").starts_with('!') {
        Some("the user who runs the tests is locked, so sshd lets nobody log in by that name")
    } else {
        None
    }
}

/// An sshd that trusts the authority of the emulator and nothing else.
struct SshServer {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl SshServer {
    /// `None`, said loudly, where it cannot run.
    fn start(scene: &Scene) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            skipped("sshd is not installed");
            return None;
        }
        if let Some(reason) = without_shell(&user()) {
            skipped(reason);
            return None;
        }
        if geteuid().is_root() {
            // Debian's service makes it, in which its sshd gives up all rights.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let (host_key, authority) = (scene.path("host_key"), scene.path("authority.pub"));
        fs::write(&authority, scene.emulator.ssh_authority()).unwrap();
        let mut keygen = scene.command("ssh-keygen");
        let made = answer(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&host_key))?;
        assert!(made.status.success(), "{made:?}");
        let address = free_address();
        let (config, log) = (scene.path("sshd_config"), scene.path("sshd.log"));
        let settings = format!(
            "ListenAddress {address}\nHostKey {}\nTrustedUserCAKeys {}\n\
             AuthorizedKeysFile none\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM no\nPidFile none\nLogLevel VERBOSE\n",
            host_key.display(),
            authority.display(),
        );
        fs::write(&config, settings).unwrap();
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-f"]).arg(&config).arg("-E").arg(&log).env_clear();
        let process = sshd.stdin(Stdio::null()).spawn().unwrap();
        let server = Self { process, address, log };
        eventually("sshd to listen", || server.log().contains("Server listening on"));
        Some(server)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A login with nothing but the files of the mount, as README says it.
    fn ssh(&self, scene: &Scene, mountpoint: &Path, user: &str) -> Command {
        let mut ssh = scene.command("ssh");
        ssh.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]);
        ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.arg("-o").arg(format!("IdentityFile={}", mountpoint.join(KEY).display()));
        ssh.arg("-o").arg(format!("CertificateFile={}", mountpoint.join(CERTIFICATE).display()));
        let (host, port) = (self.address.ip(), self.address.port().to_string());
        ssh.args(["-p", &port, &format!("{user}@{host}"), "echo let in"]);
        ssh
    }

    /// Who came with this certificate, by the words of sshd.
    fn accepted(&self, id: &str) -> bool {
        let log = self.log();
        log.lines().any(|line| line.contains("Accepted publickey for") && line.contains(id))
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn ssh_logs_in_before_and_after_a_renewal() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(server) = SshServer::start(&scene) else { return };
    let user = user();
    scene.emulator.set_issuer(|it| it.principals = vec!["jane".to_owned(), user.clone()]);
    let daemon = mounted(&scene, &[]);
    let login = || answer(&mut server.ssh(&scene, &daemon.file(""), &user)).unwrap();
    let refused = login();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(text(&refused.stderr).contains("Permission denied (publickey)"), "{refused:?}");
    log_in(&scene);
    await_certificate(&daemon);
    let key = read(&daemon, KEY);
    for _ in 0..2 {
        let serial = scene.emulator.ssh_certificates().last().unwrap().serial;
        let let_in = login();
        assert_eq!(text(&let_in.stdout), "let in\n", "{let_in:?}\n{}", server.log());
        let id = status(&daemon)["certificate"]["key_id"].as_str().unwrap().to_owned();
        let id = format!("ID {id} (serial {serial})");
        assert!(server.accepted(&id), "{id}: {}", server.log());
        daemon.refresh();
    }
    assert_eq!(read(&daemon, KEY), key, "one key for all certificates");
}

#[test]
fn a_name_that_the_certificate_is_not_for_is_refused() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(server) = SshServer::start(&scene) else { return };
    let user = user();
    let daemon = mounted(&scene, &[]);
    log_in(&scene);
    await_certificate(&daemon);
    let refused = answer(&mut server.ssh(&scene, &daemon.file(""), &user)).unwrap();
    assert!(text(&refused.stderr).contains("Permission denied (publickey)"), "{refused:?}");
    assert!(server.log().contains("name is not a listed principal"), "{}", server.log());
    scene.emulator.set_issuer(|it| it.principals = vec![user.clone()]);
    daemon.refresh();
    let let_in = answer(&mut server.ssh(&scene, &daemon.file(""), &user)).unwrap();
    assert_eq!(text(&let_in.stdout), "let in\n", "{let_in:?}");
}

#[test]
fn ssh_logs_in_from_a_bind_through_many_renewals() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(server) = SshServer::start(&scene) else { return };
    if !namespaces_available(&scene) {
        return;
    }
    let user = user();
    scene.emulator.set_issuer(|it| it.principals = vec![user.clone()]);
    let daemon = mounted(&scene, &[]);
    log_in(&scene);
    await_certificate(&daemon);
    let inside = scene.path("inside");
    for _ in 0..4 {
        let ssh = server.ssh(&scene, &inside, &user);
        let binds = [(daemon.file(""), inside.clone())];
        let let_in = in_mount_namespace(&scene, &binds, &ssh).output().unwrap();
        assert_eq!(text(&let_in.stdout), "let in\n", "{let_in:?}\n{}", server.log());
        let serial = status(&daemon)["certificate"]["serial"].as_u64().unwrap();
        assert!(server.accepted(&format!("(serial {serial})")), "{}", server.log());
        daemon.refresh();
        assert_ne!(status(&daemon)["certificate"]["serial"], serial);
    }
}

#[test]
fn key_and_certificate_are_what_ssh_keygen_writes_and_status_tells_what_is_in_them() {
    let Some(scene) = Scene::mountable() else { return };
    let principals = ["jane", "deploy"].map(str::to_owned);
    scene.emulator.set_issuer(|it| it.principals = principals.to_vec());
    let daemon = mounted(&scene, &[]);
    log_in(&scene);
    let shown = await_certificate(&daemon);
    let given = scene.emulator.ssh_certificates().pop().unwrap();
    assert_eq!(shown, given.line);
    assert_eq!(read(&daemon, ERROR).trim(), "");
    // ssh takes a key of another size than it is told for one that was changed.
    for file in [KEY, CERTIFICATE, ERROR] {
        let (text, size) = read_with_size(&daemon.file(file));
        assert_eq!(text.len() as u64, size, "{file}");
    }
    let meta = fs::metadata(daemon.file(KEY)).unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, meta.uid()), (0o400, geteuid().as_raw()));

    let mut keygen = scene.command("ssh-keygen");
    let Some(public) = answer(keygen.args(["-y", "-f"]).arg(daemon.file(KEY))) else { return };
    assert_eq!(text(&public.stdout).trim_end(), given.public_key, "{public:?}");
    let mut keygen = scene.command("ssh-keygen");
    let said = answer(keygen.args(["-L", "-f"]).arg(daemon.file(CERTIFICATE))).unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    let said = text(&said.stdout);
    let parts = ["user certificate", "Key ID: \"jane@example.com\"", "Serial: 1\n", "deploy"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");

    let status = status(&daemon);
    assert_eq!((&status["name"], &status["state"]), (&"ssh/prod".into(), &"live".into()));
    assert_eq!(status["certificate"]["serial"], 1);
    assert_eq!(status["certificate"]["principals"], serde_json::json!(principals));
    let expires = humantime::format_rfc3339(given.ends).to_string();
    assert_eq!(status["expires"], expires.as_str());
    let told = text(&scene.run(&["status", daemon.argument()]).stdout);
    assert!(told.contains("ssh/prod: live  certificate of corp, for jane, deploy"), "{told}");
    assert!(told.contains("    certificate jane@example.com (serial 1), issued "), "{told}");
}

#[test]
fn a_certificate_is_renewed_before_it_ends_and_an_expired_one_is_never_shown() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &[]);
    for file in [KEY, CERTIFICATE, ERROR] {
        let text = read(&daemon, file);
        let reason = "credmount: ssh/prod has no certificate: nobody is signed in";
        assert!(text.starts_with(reason), "{file}: {text}");
    }
    log_in(&scene);
    let first = await_certificate(&daemon);
    scene.emulator.set_issuer(|it| it.denies_ssh = true);
    assert!(!scene.run(&["refresh", daemon.argument()]).status.success());
    assert_eq!(status(&daemon)["last_cause"], "TokenDenied");
    assert_eq!(certificate(&daemon).as_ref(), Some(&first), "what is valid is served on");
    scene.emulator.set_issuer(|it| {
        it.denies_ssh = false;
        it.certificate_lifetime = Duration::from_secs(6);
    });
    daemon.refresh();
    let key = read(&daemon, KEY);
    let mut seen = vec![first];
    eventually("three certificates more", || {
        let before = scene.emulator.now();
        let shown = certificate(&daemon).unwrap();
        let given = scene.emulator.ssh_certificates();
        let given = given.iter().find(|given| given.line == shown).unwrap();
        assert!(before < given.ends, "{given:?}");
        if seen.last() != Some(&shown) {
            seen.push(shown);
        }
        seen.len() == 4
    });
    assert_eq!(read(&daemon, KEY), key);
    scene.emulator.revoke_logins(true);
    eventually("the certificate to end", || certificate(&daemon).is_none());
    assert!(!read(&daemon, KEY).contains("PRIVATE KEY"), "a key without a certificate");
    assert_eq!(status(&daemon)["last_cause"], "LoginNeeded");
    let mut keygen = scene.command("ssh-keygen");
    if let Some(refused) = answer(keygen.args(["-y", "-f"]).arg(daemon.file(KEY))) {
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    }
    scene.emulator.set_issuer(|it| it.certificate_lifetime = Duration::from_hours(1));
    log_in(&scene);
    await_certificate(&daemon);
    assert_eq!(read(&daemon, KEY), key, "one key for all certificates");
}

#[test]
fn what_is_no_certificate_of_the_key_for_now_is_refused_and_told_why() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &[]);
    scene.emulator.set_issuer(|it| it.denies_ssh = true);
    log_in(&scene);
    // Or else the first refresh would join the flight that the login has started.
    eventually("the denial", || status(&daemon)["last_cause"] == "TokenDenied");
    for (fault, why) in [
        (CertificateFault::OtherKey, "is not of the key that was sent"),
        (CertificateFault::OfHost, "is one of a host, not of a user"),
        (CertificateFault::NoPrincipals, "names no principals"),
        (CertificateFault::Ended, "has ended already"),
        (CertificateFault::NotYet, "is not valid yet"),
        (CertificateFault::Cut, "is no OpenSSH certificate"),
        (CertificateFault::PlainKey, "is no OpenSSH certificate"),
    ] {
        scene.emulator.set_issuer(|it| {
            it.denies_ssh = false;
            it.certificate_fault = Some(fault);
        });
        assert!(!scene.run(&["refresh", daemon.argument()]).status.success());
        let status = status(&daemon);
        assert_eq!(status["last_cause"], "TokenDenied", "{fault:?}: {status}");
        let error = status["last_error"].as_str().unwrap();
        assert!(error.contains(why), "{fault:?}: {error}");
        let shown = read(&daemon, KEY);
        assert!(shown.contains("the issuer does not give this token"), "{shown}");
        assert!(!shown.contains(why) && certificate(&daemon).is_none());
    }
    scene.emulator.set_issuer(|it| it.certificate_fault = None);
    daemon.refresh();
    await_certificate(&daemon);
}

#[test]
fn keys_are_for_those_who_may_read_every_role_and_for_nobody_when_locked() {
    let Some(scene) = Scene::mountable() else { return };
    let rule = format!("uid={},roles=dev", geteuid().as_raw());
    let daemon = mounted(&scene, &["--allow", &rule]);
    for file in [KEY, CERTIFICATE, ERROR] {
        let error = fs::read(daemon.file(file)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{file}");
    }
    drop(daemon);
    let daemon = mounted(&scene, &["--role", "dev"]);
    assert!(!daemon.file("credmount/ssh").exists());
    drop(daemon);
    let daemon = mounted(&scene, &["--role", "dev", "--token", "ssh/prod"]);
    log_in(&scene);
    await_certificate(&daemon);
    let key = read(&daemon, KEY);
    assert!(scene.run(&["lock"]).status.success());
    for file in [KEY, CERTIFICATE] {
        let text = read(&daemon, file);
        assert!(text.contains("ssh/prod has no certificate: credmount is locked"), "{text}");
    }
    assert!(scene.run(&["unlock"]).status.success());
    await_certificate(&daemon);
    assert_ne!(read(&daemon, KEY), key, "what was locked is gone");
}

#[test]
fn a_key_is_in_its_file_only_and_its_reads_are_recorded_by_the_words_of_sshd() {
    let Some(scene) = Scene::mountable() else { return };
    let log = scene.path("audit.log");
    let daemon = mounted(&scene, &["-vv", "--audit-log", log.to_str().unwrap()]);
    log_in(&scene);
    await_certificate(&daemon);
    let key = read(&daemon, KEY);
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = aws_smithy_types::base64::decode(body.as_str()).unwrap();
    // The seed stands before the second of the public keys of the file, whose bytes end it.
    let public = &scene.emulator.ssh_certificates()[0].public_key["ssh-ed25519 ".len()..];
    let public = &aws_smithy_types::base64::decode(public).unwrap()[19..];
    let at = bytes.windows(32).rposition(|window| window == public).unwrap();
    let seed = bytes[at - 32..at].to_vec();
    scene.emulator.set_issuer(|it| it.certificate_fault = Some(CertificateFault::Cut));
    scene.run(&["refresh", daemon.argument()]);

    let records = fs::read_to_string(&log).unwrap();
    let record = records.lines().rfind(|line| line.contains(KEY)).unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["roles"][0]["name"], "ssh/prod");
    assert_eq!(record["roles"][0]["access_key_id"], "jane@example.com (serial 1)");
    let mut told = vec![
        records.into_bytes(),
        daemon.log().into_bytes(),
        daemon.status().to_string().into_bytes(),
        scene.run(&["status", daemon.argument()]).stdout,
        scene.run(&["status", "--prometheus"]).stdout,
        fs::read(daemon.file("credmount/metrics")).unwrap(),
        fs::read(daemon.file("credmount/status.json")).unwrap(),
        fs::read(daemon.file(CERTIFICATE)).unwrap(),
        fs::read(format!("/proc/{}/cmdline", daemon.pid())).unwrap(),
    ];
    for entry in fs::read_dir(scene.path("run")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::File::open(path).unwrap().read_to_end(told.last_mut().unwrap()).unwrap();
        }
    }
    let mut hex = String::new();
    for byte in &seed {
        write!(hex, "{byte:02x}").unwrap();
    }
    let lines = key.lines().filter(|line| line.len() >= 40 && !line.starts_with('-'));
    // The first three hold the public half only.
    let mut secrets: Vec<Vec<u8>> = lines.skip(3).map(|line| line.as_bytes().to_vec()).collect();
    for shift in 0..3 {
        secrets.push(aws_smithy_types::base64::encode(&seed[shift..shift + 27]).into_bytes());
    }
    secrets.extend([seed, hex.into_bytes()]);
    for secret in &secrets {
        assert!(secret.len() >= 32, "{secret:?}");
        for text in &told {
            let found = text.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{}", String::from_utf8_lossy(text));
        }
    }
}
