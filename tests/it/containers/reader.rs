//! What a client inside a container must find. Must not know which runtime runs the container.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::clients::rig::{expect_identity, identity_calls, run, told};
use crate::support::{Daemon, Scene, arn, ini_value};

/// Sessions are cut to whole seconds, so these live 5 to 6 s; an open serves at least a third.
pub(crate) const LIFETIME: Duration = Duration::from_secs(6);

/// A mount with the roles `prod` and `dev`, of sessions that are soon over.
pub(crate) fn mount<'a>(scene: &'a Scene, args: &[&str]) -> Daemon<'a> {
    mount_on(scene, scene.path("live"), args)
}

/// The same at another place.
pub(crate) fn mount_on<'a>(scene: &'a Scene, mountpoint: PathBuf, args: &[&str]) -> Daemon<'a> {
    scene.emulator.set_session_lifetime(Some(LIFETIME));
    let [prod, dev] = ["prod", "dev"].map(|role| format!("--role={role}={}", arn(role)));
    scene.mount_on(mountpoint, &[&[&*prod, &dev, "--region=eu-west-1"], args].concat())
}

/// A container, by the command that runs another one inside.
pub(crate) struct Reader<'a> {
    pub(crate) scene: &'a Scene,
    /// What the daemon has logged.
    pub(crate) log: &'a dyn Fn() -> String,
    /// Words such as `podman run IMAGE`.
    pub(crate) enter: Vec<String>,
    /// The mount as it is seen inside, `.aws` in a home directory.
    pub(crate) aws: String,
}

impl Reader<'_> {
    /// Everything that is promised to a reader who may read.
    #[track_caller]
    pub(crate) fn expect_all(&self) {
        self.expect_identity("prod");
        self.expect_path();
        self.expect_to_outlive_sessions();
    }

    /// A client with this plain profile has the role of that name.
    #[track_caller]
    pub(crate) fn expect_identity(&self, role: &str) {
        let mut client = self.client(role, &[]);
        expect_identity(&self.scene.emulator, self.log, &mut client, role);
    }

    /// `NAME@live` reads below the directory that this container sees.
    #[track_caller]
    pub(crate) fn expect_path(&self) {
        let output = run(&mut self.command(&["cat", &format!("{}/config", self.aws)]));
        let text = String::from_utf8_lossy(&output.stdout);
        let process = ini_value(&text, "profile prod@live", "credential_process");
        let path = format!("cat {}/credmount/process/prod.json", self.aws);
        assert_eq!(process, Some(path), "{}", told(&output));
    }

    /// One client with `NAME@live` lives longer than the sessions that it uses.
    #[track_caller]
    pub(crate) fn expect_to_outlive_sessions(&self) {
        let before = identity_calls(&self.scene.emulator).len();
        let output = run(&mut self.client("prod@live", &["14"]));
        assert!(output.status.success(), "{}\n{}", told(&output), (self.log)());
        let calls = identity_calls(&self.scene.emulator).split_off(before);
        let refused: Vec<_> =
            calls.iter().filter(|call| call.result.as_deref() != Some("OK")).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        let used: HashSet<_> =
            calls.into_iter().filter_map(|call| call.caller_access_key_id).collect();
        let now = self.scene.emulator.now();
        let sessions = self.scene.emulator.issued_sessions();
        let outlived = sessions
            .iter()
            .filter(|session| session.expiration <= now && used.contains(&session.access_key_id))
            .count();
        assert!(outlived >= 2, "{outlived} sessions were used and outlived");
    }

    /// Keys cannot be read, and a client finds none.
    #[track_caller]
    pub(crate) fn expect_refusal(&self) {
        let before = identity_calls(&self.scene.emulator).len();
        let output = run(&mut self.command(&["cat", &format!("{}/credentials", self.aws)]));
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", told(&output));
        assert!(told(&output).contains("Permission denied"), "{}", told(&output));
        let output = run(&mut self.client("prod", &[]));
        assert!(!output.status.success(), "{}", told(&output));
        // Which words depends on the SDK; that this was about the profile shows that it did run.
        assert!(told(&output).contains("prod"), "{}", told(&output));
        assert_eq!(identity_calls(&self.scene.emulator).len(), before);
    }

    /// boto3, which finds the mount in its home directory.
    pub(crate) fn client(&self, profile: &str, args: &[&str]) -> Command {
        let home = self.aws.strip_suffix("/.aws").expect("a home directory");
        let variables = [
            format!("HOME={home}"),
            format!("AWS_PROFILE={profile}"),
            format!("AWS_ENDPOINT_URL_STS={}", self.scene.emulator.endpoint()),
            "AWS_DEFAULT_REGION=eu-west-1".to_owned(),
            "AWS_EC2_METADATA_DISABLED=true".to_owned(),
            // This Python and its packages were moved.
            "LD_LIBRARY_PATH=/run/clients/python/lib".to_owned(),
            "PYTHONPATH=/run/clients/packages".to_owned(),
            "PYTHONDONTWRITEBYTECODE=1".to_owned(),
        ];
        let mut command = self.command(&["env"]);
        command
            .args(variables)
            .args(["/run/clients/python/bin/python3", "/run/clients/scripts/boto3_client.py"])
            .args(args);
        command
    }

    /// A command inside.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.scene.command(&self.enter[0]);
        command.args(&self.enter[1..]).args(words);
        command
    }
}
