//! Keys that the place gives to who runs there, and those that the daemon gives itself to programs of
//! its place.

use super::keys::suffer;
use crate::emulator::Fault;
use crate::leaks::life::Life;
use crate::support::{arn, free_address};

fn profile_of(source: &str) -> String {
    let arn = arn("prod");
    format!("[profile prod]\nrole_arn = {arn}\ncredential_source = {source}\nregion = eu-west-1\n")
}

pub(super) fn instance(life: &mut Life<'_>) {
    life.profiles(&profile_of("Ec2InstanceMetadata"));
    life.variable("AWS_EC2_METADATA_DISABLED", "false");
    life.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", life.scene.emulator.endpoint());
    life.mount(&["--role", "prod"]);
    life.shows("credentials");
    life.shows("credmount/process/prod.json");
    assert!(!life.scene.emulator.instance_tokens().is_empty());
    suffer(life, "AssumeRole", &[Fault::Echo]);
    life.scene.emulator.rotate_sources();
    suffer(life, "InstanceCredentials", &[Fault::Echo, Fault::Deny, Fault::ExpiredSession]);
    assert_eq!(life.run(&["check", "-vvv", "--role", "prod"]), Some(0));
    for words in ["AssumeRoleUnauthorizedAccess", "they expired at"] {
        life.expect_said(words);
    }
}

pub(super) fn container(life: &mut Life<'_>) {
    let token = "LetMeIn-9fXw2Lk7Qz4Rb8Tn1Vc6Hs3Yp5Dj0GaEu";
    life.secret("the token of the container", token);
    life.scene.emulator.configure(|settings| settings.container_token = Some(token.to_owned()));
    let file = life.write("container-token", token).display().to_string();
    life.profiles(&profile_of("EcsContainer"));
    life.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", life.scene.emulator.container_uri());
    life.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file);
    life.mount(&["--role", "prod"]);
    life.shows("credentials");
    life.scene.emulator.rotate_sources();
    suffer(life, "ContainerCredentials", &[Fault::Echo, Fault::ExpiredSession]);
    life.scene.emulator.configure(|settings| settings.container_token = Some("another".to_owned()));
    life.refresh("while the token is refused");
    assert_eq!(life.run(&["check", "-vvv", "--role", "prod"]), Some(1));
}

pub(super) fn endpoint(life: &mut Life<'_>) {
    let address = free_address();
    life.keys();
    life.configure(&format!(
        "region = \"eu-west-1\"\n[roles.prod]\nrole_arn = \"{}\"\nsource_profile = \"keys\"\n\
         [roles.dev]\nrole_arn = \"{}\"\nsource_profile = \"keys\"\n",
        arn("prod"),
        arn("dev")
    ));
    life.scene.emulator.set_fault(Fault::Echo.for_role("dev"));
    life.mount(&["--endpoint", &address.to_string()]);
    let token = std::fs::read_to_string(life.daemon().file("credmount/endpoint/token")).unwrap();
    life.secret("the token of the endpoint", &token);
    life.shows("credmount/endpoint/token");
    let request = crate::endpoint::request(address, "/role/prod", &token, &[]);
    let answer = crate::endpoint::converse(address, &request).unwrap();
    let keys = crate::leaks::search::Secrets::of(life.scene);
    assert!(keys.found_in(&answer.whole).next().is_some(), "{}", answer.whole);
    // Bearer, as some clients have it, and tokens in places where there should be none.
    life.evidence.asked(address, "/role/prod", &format!("Bearer {token}"), "to a bearer");
    life.evidence.asked(address, &format!("/role/{token}"), &token, "to a role of that name");
    life.evidence.asked(address, &format!("/?token={token}"), "", "to a query");
    life.evidence.asked(address, "/role/dev", &token, "in failure");
    life.evidence.guesses(address, &token, "to a guess");
    life.refresh("while a role fails");
    life.expect_said("InvalidToken");
}
