//! MFA codes, what programs print beside them, and the sessions that they give.

use super::keys::suffer;
use crate::emulator::{Fault, RoleRules};
use crate::leaks::life::Life;
use crate::leaks::search::PLANTED;
use crate::support::arn;

const DEVICE: &str = "arn:aws:iam::123456789012:mfa/dev";

/// The profile `prod`, behind a device, and these lines in it.
fn profiles(life: &mut Life<'_>, lines: &str) {
    let rules = RoleRules { requires_mfa: true, ..RoleRules::default() };
    life.scene.emulator.set_role("prod", rules);
    life.keys();
    let role = arn("prod");
    life.profiles(&format!(
        "[profile prod]\nrole_arn = {role}\nsource_profile = keys\nmfa_serial = {DEVICE}\n\
         region = eu-west-1\n{lines}"
    ));
}

pub(super) fn of_a_program(life: &mut Life<'_>) {
    let (key, token) = (PLANTED[0].1, PLANTED[1].1);
    let codes = life.scene.path("code");
    let read = format!("read -r code < {}", codes.display());
    // The planted ones stand in the arguments of the program, where the person wrote them.
    let notes = life.write("notes", &format!("echo {token} >&2; echo {key}\n"));
    profiles(life, &format!("mfa_process = . {}; {read}; echo $code\n", notes.display()));
    let next = |life: &mut Life<'_>| {
        let code = life.scene.emulator.mfa_code(DEVICE);
        life.write("code", &(code + "\n"));
    };
    next(life);
    life.mount(&["--role", "prod"]);
    life.shows("credentials");
    suffer(life, "AssumeRole", &[Fault::Echo]);
    // A code that was used, as another tool might find it, and one that AWS cannot be asked about.
    assert_eq!(life.run(&["check", "-vvv", "--role", "prod"]), Some(1));
    next(life);
    life.scene.emulator.set_fault(Fault::ServerError { status: 503 }.for_action("GetSessionToken"));
    assert_eq!(life.run(&["check", "-vvv", "--role", "prod"]), Some(1));
    life.scene.emulator.clear_faults();
    life.scene.emulator.set_fault(Fault::Echo.for_action("GetSessionToken"));
    assert_eq!(life.run(&["check", "-vvv", "--role", "prod"]), Some(1));
    life.scene.emulator.clear_faults();
    assert_eq!(life.run(&["check", "-vvv", "--role", "prod"]), Some(0));
    next(life);
    for words in ["AWS did not accept the MFA", "TokenCode [redacted]"] {
        life.expect_said(words);
    }
}

pub(super) fn of_a_person(life: &mut Life<'_>) {
    profiles(life, "");
    life.mount(&["--notify", "--role", "prod"]);
    life.expect_said("an MFA code is needed");
    let give =
        |life: &mut Life<'_>, code: &str| life.run_with(&["mfa", "prod"], &format!("{code}\n"));
    let wrong = "918273";
    life.secrets().add_code(wrong);
    assert_eq!(give(life, wrong), Some(1));
    life.secrets().add_words("what is no code", "hunter2-hunter2");
    assert_eq!(give(life, "no code, but hunter2-hunter2"), Some(1));
    let right = life.scene.emulator.mfa_code(DEVICE);
    for fault in [Fault::ServerError { status: 503 }, Fault::Echo] {
        life.scene.emulator.set_fault(fault.for_action("GetSessionToken"));
        assert_eq!(give(life, &right), Some(1));
        life.scene.emulator.clear_faults();
    }
    life.look("after wrong codes");
    assert_eq!(give(life, &right), Some(0));
    assert_eq!(give(life, &right), Some(1));
    life.shows("credentials");
    suffer(life, "AssumeRole", &[Fault::Echo]);
    let request =
        format!("{{\"command\":\"mfa\",\"device\":\"{DEVICE}\",\"code\":\"{wrong}x\"}}\n");
    life.converse(&request);
    for words in ["AWS did not accept the MFA code", "session received"] {
        life.expect_said(words);
    }
}
