//! Keys of the environment, of files and of programs, and roles assumed with them.

use std::os::unix::fs::PermissionsExt as _;

use crate::emulator::Fault;
use crate::leaks::life::Life;
use crate::leaks::search::PLANTED;
use crate::support::arn;

/// What a hop of a chain may be answered, the answers that are spoilt amid a token included.
const FAULTS: [Fault; 6] = [
    Fault::Echo,
    Fault::Deny,
    Fault::ExpireCaller,
    Fault::DropMidAnswer,
    Fault::TruncatedXml,
    Fault::ExpiredSession,
];

/// Lets each of `faults` meet `action`, asking for new keys each time.
pub(super) fn suffer(life: &mut Life<'_>, action: &str, faults: &[Fault]) {
    for fault in faults {
        life.scene.emulator.set_fault(fault.clone().for_action(action));
        life.refresh(&format!("while {action} meets {fault:?}"));
        life.scene.emulator.clear_faults();
    }
}

pub(super) fn of_the_environment(life: &mut Life<'_>) {
    let emulator = &life.scene.emulator;
    life.variable("AWS_ACCESS_KEY_ID", emulator.base_access_key_id());
    let key = emulator.base_secret_access_key();
    life.secret_variable("AWS_SECRET_ACCESS_KEY", "the base secret key", key);
    life.profiles(&format!(
        "[profile own]\nrole_arn = {}\ncredential_source = Environment\nregion = eu-west-1\n",
        arn("own")
    ));
    life.mount(&["--role", &arn("prod"), "--role", "own"]);
    life.shows("credentials");
    life.shows("credmount/process/own.json");
    suffer(life, "AssumeRole", &[Fault::Echo]);
    assert_eq!(life.run(&["check", "-vvv", "--role", "own"]), Some(0));
}

pub(super) fn of_a_chain(life: &mut Life<'_>) {
    life.keys();
    life.configure(&format!(
        "region = \"eu-west-1\"\nsts_calls_per_second = 100\n[roles.hub]\nrole_arn = \"{}\"\n\
         source_profile = \"keys\"\nsource_identity = \"jane\"\ntags = {{ team = \"search\" }}\n\
         [roles.leaf]\nrole_arn = \"{}\"\nsource_role = \"hub\"\n",
        arn("hub"),
        arn("leaf")
    ));
    life.mount(&["--role", "hub", "--role", "leaf", "--role", "keys"]);
    let text = life.shows("credentials");
    assert!(
        text.contains(life.scene.emulator.base_secret_access_key()),
        "keys are served as they are"
    );
    life.shows("credmount/process/leaf.json");
    suffer(life, "AssumeRole", &FAULTS);
    // The session of the hub is repeated by who refuses the leaf.
    life.scene.emulator.set_fault(Fault::Echo.for_role("leaf"));
    assert_eq!(life.run(&["check", "-vvv"]), Some(1));
    life.refresh("while the leaf is refused");
    life.scene.emulator.clear_faults();
    assert_eq!(life.run(&["check", "-vvv"]), Some(0));
    life.expect_said("refused: ");
    life.expect_said("[redacted]");
}

pub(super) fn of_a_program(life: &mut Life<'_>) {
    let (_, key) = PLANTED[0];
    let (_, token) = PLANTED[1];
    let answer = life.scene.path("answer");
    // It says too much on stderr, and what it prints is not always what it should be.
    let script = format!(
        "#!/bin/sh\necho {token} >&2\nread -r line < '{}'\necho \"$line\"\n",
        answer.display()
    );
    let program = life.write("program", &script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    life.profiles(&format!(
        "[profile tool]\ncredential_process = {}\n[profile behind]\nrole_arn = {}\n\
         source_profile = tool\nregion = eu-west-1\n",
        program.display(),
        arn("behind")
    ));
    let given = format!(
        "{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}\n",
        life.scene.emulator.base_access_key_id(),
        life.scene.emulator.base_secret_access_key()
    );
    life.write("answer", &given);
    life.mount(&["--role", "tool", "--role", "behind"]);
    life.shows("credmount/process/tool.json");
    life.shows("credmount/process/behind.json");
    suffer(life, "AssumeRole", &[Fault::Echo]);
    for wrong in [
        format!("{{\"Version\":1,\"AccessKeyId\":\"ASIAX\",\"SecretAccessKey\":\"{key}\"\n"),
        format!("{{\"Version\":\"{key}\",\"SessionToken\":\"{token}\"}}\n"),
        format!(
            "{{\"Version\":1,\"AccessKeyId\":\"ASIAX\",\"SecretAccessKey\":\"{key}\",\"Expiration\":\"{token}\"}}\n"
        ),
        format!("{key} {token}\n"),
    ] {
        life.write("answer", &wrong);
        life.refresh("after a wrong answer");
        assert_eq!(life.run(&["check", "-vvv", "--role", "behind"]), Some(1), "{wrong}");
    }
    life.expect_said("credential_process");
    life.write("answer", &given);
    life.refresh("when all is well again");
}
