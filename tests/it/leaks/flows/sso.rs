//! A sign-in to IAM Identity Center from its code to its end. Its tokens are kept where every SDK
//! keeps them, and nowhere else.

use std::fs;
use std::time::Duration;

use super::keys::suffer;
use crate::emulator::{Decision, Fault};
use crate::leaks::life::Life;
use crate::leaks::search::Secrets;
use crate::sso::{CORP, cache_file, write_profiles, write_sign_in};
use crate::support::{eventually, wait_for};

/// Every way to fail of both services, the answers spoilt amid a token included.
const FAULTS: [Fault; 9] = [
    Fault::Echo,
    Fault::Deny,
    Fault::Throttle,
    Fault::ServerError { status: 503 },
    Fault::ExpireCaller,
    Fault::DropMidAnswer,
    Fault::TruncatedXml,
    Fault::MalformedXml,
    Fault::ExpiredSession,
];

const LOGIN: [&str; 2] = ["login", "dev"];

fn login(life: &mut Life<'_>, decision: Decision) -> Option<i32> {
    let before = life.scene.emulator.user_codes();
    let child = life.start(&LOGIN, "");
    let codes = || life.scene.emulator.user_codes().into_iter();
    let code = wait_for("a user code", || codes().find(|code| !before.contains(code)));
    assert!(life.scene.emulator.decide(&code, decision), "the code is under way");
    life.ended(&LOGIN, child)
}

pub(super) fn a_sign_in(life: &mut Life<'_>) {
    let scene = life.scene;
    write_profiles(scene);
    life.keeps("home/.aws/sso");
    // So short that a token is exchanged for the next one whenever it is used.
    scene.emulator.set_sso(|sso| sso.access_token_lifetime = Duration::from_mins(4));
    life.mount(&["--role", "dev", "--role", "behind"]);
    for action in ["RegisterClient", "StartDeviceAuthorization"] {
        scene.emulator.set_fault(Fault::Echo.for_action(action));
        assert_eq!(life.run(&LOGIN), Some(1), "{action}");
        scene.emulator.clear_faults();
    }
    scene.emulator.set_fault(Fault::Echo.for_action("CreateToken"));
    assert_eq!(login(life, Decision::Deny), Some(1));
    scene.emulator.clear_faults();
    scene.emulator.set_fault(Fault::ServerError { status: 503 }.for_action("CreateToken").times(1));
    assert_eq!(login(life, Decision::Approve), Some(0));
    let file = cache_file(scene, CORP);
    let kept = fs::read_to_string(&file).unwrap();
    assert!(Secrets::of(scene).found_in(&kept).next().is_some(), "it is where SDKs look for it");
    for file in ["credentials", "credmount/process/dev.json", "credmount/process/behind.json"] {
        life.shows(file);
    }

    let sign_in = || write_sign_in(scene, CORP, &scene.emulator.sign_in(), true);
    for action in ["GetRoleCredentials", "CreateToken"] {
        for fault in FAULTS {
            sign_in();
            suffer(life, action, &[fault]);
        }
        sign_in();
        scene.emulator.set_fault(Fault::Echo.for_action(action));
        life.run(&["check", "-vvv", "--role", "dev"]);
        scene.emulator.clear_faults();
    }

    // Exchanged, used, and at its end.
    sign_in();
    life.refresh("when all is well again");
    scene.emulator.expire_access_tokens();
    scene.emulator.revoke_refresh_tokens();
    life.refresh("at the end of the sign-in");
    eventually("the login to be needed", || life.daemon().log().contains("a login is needed"));
    fs::write(&file, "{\"accessToken\": \"cut off").unwrap();
    life.refresh("with half a file");
    for words in
        ["session received", "a login is needed", "TooManyRequests", "No access", "refused: "]
    {
        life.expect_said(words);
    }
    // Whatever stands in the cache is for the owner alone, and nothing unfinished stays.
    for entry in fs::read_dir(file.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().is_some_and(|it| it == "json"), "{}", path.display());
    }
}
