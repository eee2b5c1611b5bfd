//! Tokens of services other than AWS on a real mount: for GitHub, with git itself, and the token of
//! an identity for programs that assume a role with it themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::geteuid;
use serde_json::Value;

use crate::emulator::Decision;
use crate::support::{
    Daemon, Scene, arn, eventually, ini_value, read_with_size, script, skipped, variable, wait_for,
};

const TOKEN: &str = "credmount/github/acme/token";
const GIT_CREDENTIALS: &str = "credmount/github/acme/git-credentials";
const ERROR: &str = "credmount/github/acme/error";

/// A configuration with the identity `corp`, a token for `acme`, and roles that need no login.
fn configured(scene: &Scene, host: &str) -> String {
    let file = scene.path("config.toml");
    let (issuer, prod, dev) = (scene.emulator.issuer(), arn("prod"), arn("dev"));
    let text = format!(
        "region = \"eu-west-1\"\n\
         [identities.corp]\ntype = \"vouch\"\nissuer = \"{issuer}\"\nclient_id = \"credmount\"\n\
         [github.acme]\nidentity = \"corp\"\nrepositories = [\"api\"]\nhost = \"{host}\"\n\
         [roles.prod]\nrole_arn = \"{prod}\"\n[roles.dev]\nrole_arn = \"{dev}\"\n"
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn mounted<'a>(scene: &'a Scene, args: &[&str]) -> Daemon<'a> {
    let config = configured(scene, "github.com");
    scene.mount(&[&["--config", &config][..], args].concat())
}

pub(super) fn log_in(scene: &Scene) {
    let mut command = scene.credmount(&["login", "corp"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let code = wait_for("a user code", || scene.emulator.login_codes().pop());
    assert!(scene.emulator.decide_login(&code, Decision::Approve));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn read(daemon: &Daemon<'_>, file: &str) -> String {
    read_with_size(&daemon.file(file)).0
}

/// What a shell makes of the token file.
fn token(daemon: &Daemon<'_>) -> String {
    read(daemon, TOKEN).trim_end_matches('\n').to_owned()
}

fn is_token(text: &str) -> bool {
    text.starts_with("ghs_")
}

fn await_token(daemon: &Daemon<'_>) -> String {
    wait_for("a token", || Some(token(daemon)).filter(|text| is_token(text)))
}

fn status(daemon: &Daemon<'_>) -> Value {
    daemon.status()["tokens"][0].clone()
}

fn cause(daemon: &Daemon<'_>) -> String {
    status(daemon)["last_cause"].as_str().unwrap_or_default().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the emulator lives in real time")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn a_github_token_is_shown_as_soon_as_somebody_is_logged_in() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &[]);
    let reason = "credmount: github/acme has no token: nobody is signed in";
    assert!(token(&daemon).starts_with(reason), "{}", token(&daemon));
    assert!(read(&daemon, GIT_CREDENTIALS).starts_with(&format!("# {reason}")));
    assert_eq!(read(&daemon, ERROR).trim_end(), token(&daemon));
    assert_eq!(status(&daemon)["state"], "failing");
    assert_eq!(cause(&daemon), "LoginNeeded");
    log_in(&scene);
    let token = await_token(&daemon);
    let given = scene.emulator.github_tokens().pop().unwrap();
    assert_eq!(token, given.token);
    assert_eq!((given.owner.as_str(), &given.repositories[..]), ("acme", &["api".to_owned()][..]));
    let url = format!("https://x-access-token:{token}@github.com\n");
    assert_eq!(read(&daemon, GIT_CREDENTIALS).trim_end_matches('\n'), url.trim_end());
    assert_eq!(read(&daemon, ERROR).trim_end_matches('\n'), "");
    for file in [TOKEN, GIT_CREDENTIALS, ERROR] {
        let (text, size) = read_with_size(&daemon.file(file));
        assert_eq!(text.len() as u64, size, "{file}");
    }
    let status = status(&daemon);
    assert_eq!(status["state"], "live");
    assert_eq!(status["identity"], "corp");
    assert_eq!(status["repositories"][0], "api");
    let text = scene.run(&["status", daemon.argument()]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("github/acme: live  token of corp, for api only"), "{text}");
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_issuer(|it| it.github_token_lifetime = Duration::from_secs(6));
    let daemon = mounted(&scene, &[]);
    log_in(&scene);
    let mut seen: Vec<String> = vec![await_token(&daemon)];
    eventually("three tokens", || {
        let before = now();
        let token = token(&daemon);
        let given = scene.emulator.github_tokens();
        let given = given.iter().find(|given| given.token == token);
        assert!(given.is_some_and(|given| before < given.ends), "{token}: {given:?}");
        if seen.last() != Some(&token) {
            seen.push(token);
        }
        seen.len() == 3
    });
}

#[test]
fn a_valid_token_outlives_its_issuer_and_its_login_and_an_expired_one_is_never_shown() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &[]);
    log_in(&scene);
    let first = await_token(&daemon);
    scene.emulator.set_issuer(|it| it.is_down = true);
    let failed = scene.run(&["refresh", daemon.argument()]);
    assert!(!failed.status.success());
    assert_eq!(cause(&daemon), "IssuerUnavailable");
    assert_eq!(token(&daemon), first);
    scene.emulator.set_issuer(|it| {
        it.is_down = false;
        it.denies_github = true;
    });
    assert!(!scene.run(&["refresh", daemon.argument()]).status.success());
    assert_eq!(cause(&daemon), "TokenDenied");
    assert_eq!(token(&daemon), first);
    scene.emulator.set_issuer(|it| {
        it.denies_github = false;
        it.github_token_lifetime = Duration::from_secs(10);
    });
    daemon.refresh();
    scene.emulator.revoke_logins(true);
    let short = token(&daemon);
    assert!(is_token(&short) && short != first, "{short}");
    eventually("the token to end", || !is_token(&token(&daemon)));
    let given = scene.emulator.github_tokens().pop().unwrap();
    assert!(given.ends <= now() + Duration::from_secs(1), "{given:?}");
    assert!(token(&daemon).contains("nobody is signed in"), "{}", token(&daemon));
    assert_eq!(cause(&daemon), "LoginNeeded");
    log_in(&scene);
    await_token(&daemon);
}

#[test]
fn an_issuer_is_not_asked_before_it_wants_to_be() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &[]);
    log_in(&scene);
    await_token(&daemon);
    scene.emulator.set_issuer(|it| {
        it.is_down = true;
        it.retry_after_seconds = Some(300);
    });
    assert!(!scene.run(&["refresh", daemon.argument()]).status.success());
    let status = status(&daemon);
    let at = |key: &str| humantime::parse_rfc3339(status[key].as_str().unwrap()).unwrap();
    let wait = at("next_attempt").duration_since(at("last_error_at")).unwrap();
    // With jitter on top, so that not all who were told come back at once.
    assert!((299..=451).contains(&wait.as_secs()), "{wait:?}");
}

#[test]
fn a_locked_daemon_shows_no_token() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &[]);
    log_in(&scene);
    await_token(&daemon);
    assert!(scene.run(&["lock"]).status.success());
    let text = token(&daemon);
    assert!(text.contains("github/acme has no token: credmount is locked"), "{text}");
    assert!(read(&daemon, GIT_CREDENTIALS).starts_with("# "));
    assert_eq!(status(&daemon)["state"], "locked");
    assert!(scene.run(&["unlock"]).status.success());
    await_token(&daemon);
}

#[test]
fn a_rule_gives_the_tokens_that_it_names() {
    let Some(scene) = Scene::mountable() else { return };
    let uid = geteuid().as_raw();
    let refused = |daemon: &Daemon<'_>, file: &str| {
        let error = fs::read(daemon.file(file)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{file}");
    };
    {
        let daemon = mounted(&scene, &["--allow", &format!("uid={uid},roles=prod")]);
        for file in [TOKEN, GIT_CREDENTIALS, ERROR] {
            refused(&daemon, file);
        }
        let status = read(&daemon, "credmount/status.json");
        assert!(status.contains("prod") && !status.contains("github"), "{status}");
    }
    let daemon = mounted(&scene, &["--allow", &format!("uid={uid},tokens=github/acme")]);
    log_in(&scene);
    await_token(&daemon);
    for file in ["credentials", "credmount/process/prod.json", "credmount/errors/dev"] {
        refused(&daemon, file);
    }
    let status = read(&daemon, "credmount/status.json");
    assert!(!status.contains("prod") && status.contains("github"), "{status}");
}

#[test]
fn a_mount_that_names_its_roles_shows_only_the_tokens_that_it_names() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &["--role", "prod"]);
    assert!(!daemon.file("credmount/github").exists());
    drop(daemon);
    let daemon = mounted(&scene, &["--role", "prod", "--token", "github/acme"]);
    assert!(daemon.file(TOKEN).exists());
}

#[test]
fn the_token_of_an_identity_is_shown_to_its_last_byte() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, &["--role", "prod", "--token", "web-identity/corp"]);
    log_in(&scene);
    let path = daemon.file("credmount/web-identity/corp/token");
    let token = wait_for("a token", || {
        fs::read_to_string(&path).ok().filter(|text| text.split('.').count() == 3)
    });
    assert!(!token.ends_with('\n') && scene.emulator.issuer_secrets().contains(&token), "{token}");
    assert_eq!(status(&daemon)["name"], "web-identity/corp");
    assert_eq!(status(&daemon)["state"], "live");
}

#[test]
fn an_open_is_recorded_by_the_hash_of_the_token() {
    let Some(scene) = Scene::mountable() else { return };
    let log = scene.path("audit.log");
    let daemon = mounted(&scene, &["--audit-log", log.to_str().unwrap()]);
    log_in(&scene);
    await_token(&daemon);
    read(&daemon, GIT_CREDENTIALS);
    let hash = status(&daemon)["hash"].as_str().unwrap().to_owned();
    let records = fs::read_to_string(&log).unwrap();
    let record = records.lines().rfind(|line| line.contains(GIT_CREDENTIALS)).unwrap();
    let record: Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["roles"][0]["name"], "github/acme");
    assert_eq!(record["roles"][0]["access_key_id"], hash.as_str());
}

/// A git server with the repository `acme/api`, which takes the tokens of the emulator.
struct GitServer {
    process: Child,
    port: String,
    certificate: PathBuf,
    tokens: PathBuf,
}

impl GitServer {
    /// `None`, said loudly, where it cannot run.
    fn start(scene: &Scene) -> Option<Self> {
        let (certificate, key) = (scene.path("git.pem"), scene.path("git.key"));
        let (tokens, root) = (scene.path("tokens"), scene.path("repositories"));
        fs::write(&tokens, "").unwrap();
        let work = scene.path("work");
        let run = |command: &mut Command| {
            let output = command.output()?;
            let failed = || io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned());
            output.status.success().then_some(()).ok_or_else(failed)
        };
        let repository = root.join("acme/api.git");
        let made = run(scene
            .command("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate))
        .and_then(|()| run(git(scene).args(["init", "-q"]).arg(&work)))
        .and_then(|()| {
            let person = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
            let commit = ["commit", "-q", "--allow-empty", "-m", "first"];
            run(git(scene).arg("-C").arg(&work).args(person).args(commit))
        })
        .and_then(|()| run(git(scene).args(["clone", "-q", "--bare"]).args([&work, &repository])));
        if let Err(error) = made {
            skipped(&format!("git or openssl: {error}"));
            return None;
        }
        let python = variable("CREDMOUNT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/git_server.py");
        let mut command = scene.command(python);
        command.arg(program).args([&root, &tokens, &certificate, &key]);
        match script::start(&mut command) {
            Ok((process, port)) => Some(Self { process, port, certificate, tokens }),
            Err(error) => {
                skipped(&format!("the git server: {error}"));
                None
            }
        }
    }

    /// From now on these tokens are good.
    fn accept(&self, tokens: &[String]) {
        fs::write(&self.tokens, tokens.join("\n")).unwrap();
    }

    /// `git clone` with what README says of the mount.
    fn clone_to(&self, scene: &Scene, daemon: &Daemon<'_>, to: &str) -> Output {
        let url = format!("https://localhost:{}/acme/api.git", self.port);
        let helper = format!(
            "credential.https://localhost:{}/acme.helper=!f() {{ test \"$1\" != get || git \
             credential-store --file {} get; }}; f",
            self.port,
            daemon.file(GIT_CREDENTIALS).display()
        );
        let mut command = git(scene);
        command.args(["-c", &helper, "clone", &url]).arg(scene.path(to));
        command.env("GIT_SSL_CAINFO", &self.certificate).output().unwrap()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// git, with no settings of the person who runs the tests, that asks nobody.
fn git(scene: &Scene) -> Command {
    let mut command = scene.command("git");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}

#[test]
fn git_clones_with_the_token_and_with_the_next_one() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(server) = GitServer::start(&scene) else { return };
    let config = configured(&scene, &format!("localhost:{}", server.port));
    let daemon = scene.mount(&["--config", &config]);
    let refused = server.clone_to(&scene, &daemon, "refused");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("could not read Username"), "{said}");
    log_in(&scene);
    for name in ["first", "second"] {
        daemon.refresh();
        let token = await_token(&daemon);
        server.accept(&[token]);
        let cloned = server.clone_to(&scene, &daemon, name);
        let said = String::from_utf8_lossy(&cloned.stderr).into_owned();
        assert!(cloned.status.success(), "{said}");
        assert!(!said.contains("fatal"), "{said}");
        assert!(scene.path(name).join(".git/HEAD").exists());
    }
}

#[test]
fn a_mount_may_have_tokens_only_and_says_so_to_who_asks_for_keys() {
    let Some(scene) = Scene::mountable() else { return };
    let config = configured(&scene, "github.com");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.split("[roles.prod]").next().unwrap()).unwrap();
    let daemon = scene.mount(&["--config", &config]);
    log_in(&scene);
    await_token(&daemon);
    let text = read(&daemon, "credentials");
    let process = ini_value(&text, "default", "credential_process").expect(&text);
    assert!(process.contains("profile default has no keys: this mount has no role"), "{process}");
    assert!(read(&daemon, "credmount/errors/default").contains("this mount has no role"));
    let status = daemon.status();
    assert_eq!(status["roles"], Value::Array(Vec::new()), "{status}");
    assert_eq!(scene.run(&["refresh", daemon.argument()]).status.code(), Some(0));
    assert!(scene.emulator.calls().is_empty(), "nobody asks AWS for anything");
    let checked = scene.run(&["check", "--config", &config]);
    assert_eq!(checked.status.code(), Some(2));
    let told = String::from_utf8(checked.stderr).unwrap();
    assert!(told.contains("there is no role, only tokens"), "{told}");
}
