//! Every way to have keys or tokens, each lived through with what can go wrong on it: one row, one
//! function, one test.

mod keys;
mod logins;
mod mfa;
mod places;
mod sso;
mod tokens;
mod web_identity;

use std::collections::BTreeSet;

use credmount::model::{BaseCredentials, TokenGrant, TokenSource};

use super::life::Life;
use crate::architecture::readme;
use crate::support::Scene;

/// Makes of `name: function, "what README calls it"` a test and a row.
macro_rules! flows {
    ($($name:ident: $flow:path, $readme:literal;)*) => {
        /// The names of the rows, and what README calls each.
        const TABLE: &[(&str, &str)] = &[$((stringify!($name), $readme)),*];

        $(
            #[test]
            fn $name() {
                let Some(scene) = Scene::mountable() else { return };
                let mut life = Life::new(&scene);
                $flow(&mut life);
                life.end();
            }
        )*
    };
}

flows! {
    keys_of_the_environment: keys::of_the_environment, "Environment";
    keys_of_a_program: keys::of_a_program, "Keys, or a program that prints them";
    a_chain_of_roles: keys::of_a_chain, "Role chain";
    keys_of_an_instance: places::instance, "EC2 instance";
    keys_of_a_container: places::container, "ECS task, EKS Pod Identity, or any container credentials endpoint";
    codes_of_a_program: mfa::of_a_program, "MFA";
    codes_of_a_person: mfa::of_a_person, "MFA";
    a_sign_in: sso::a_sign_in, "IAM Identity Center (SSO)";
    a_token_file: web_identity::of_a_file, "Web identity tokens";
    a_token_process: web_identity::of_a_process, "Web identity tokens";
    a_login_with_its_id_token: logins::with_id_token, "Logins";
    a_login_with_a_token_url: logins::with_token_url, "Logins";
    tokens_of_other_services: tokens::of_other_services, "Tokens of other services";
    certificates_of_ssh: tokens::certificates_of_ssh, "ssh certificates";
    the_endpoint: places::endpoint, "Images without a shell";
}

/// Bold words and titles in the chapter on identities that tell of no way to have keys.
const NO_FLOWS: [&str; 2] = ["How full a session is", "Logins that outlive the daemon"];

#[test]
fn every_identity_and_service_of_readme_has_its_row() {
    let Some(readme) = readme() else { return };
    let chapter = readme.split("\n## Identities\n").nth(1).expect("the chapter on identities");
    let chapter = chapter.split("\n## ").next().unwrap();
    let (sources, _) = chapter.split_once("\n### ").expect("titles");
    let bold = sources.lines().filter_map(|line| line.strip_prefix("**")?.split_once(".**"));
    let titles = chapter.lines().filter_map(|line| line.strip_prefix("### "));
    let chapters = ["Tokens of other services", "ssh certificates", "Images without a shell"];
    let has_title = |title: &&str| {
        ["## ", "### "].iter().any(|it| readme.contains(&format!("\n{it}{title}\n")))
    };
    assert!(chapters.iter().all(has_title));
    let mut wanted: BTreeSet<&str> = bold.map(|(words, _)| words).chain(titles).collect();
    wanted.extend(chapters);
    for none in NO_FLOWS {
        assert!(wanted.remove(none), "{none}");
    }
    let rows: BTreeSet<&str> = TABLE.iter().map(|(_, readme)| *readme).collect();
    assert_eq!(rows, wanted);
}

/// The row of each source of credentials. What is added to the model does not compile before it has
/// one here.
fn row_of_base(base: &BaseCredentials) -> &'static str {
    match base {
        BaseCredentials::DefaultChain | BaseCredentials::Environment => "keys_of_the_environment",
        BaseCredentials::Profile(_) => "a_chain_of_roles",
        BaseCredentials::Ec2InstanceMetadata => "keys_of_an_instance",
        BaseCredentials::EcsContainer => "keys_of_a_container",
        BaseCredentials::Mfa(_) => "codes_of_a_person",
        BaseCredentials::WebIdentity(TokenSource::File(_)) => "a_token_file",
        BaseCredentials::WebIdentity(TokenSource::Process(_)) => "a_token_process",
        BaseCredentials::WebIdentity(TokenSource::Identity(_)) => "a_login_with_its_id_token",
    }
}

/// The same for tokens.
fn row_of_token(grant: &TokenGrant) -> &'static str {
    match grant {
        TokenGrant::Github(_) | TokenGrant::WebIdentity(_) => "tokens_of_other_services",
        TokenGrant::Ssh(_) => "certificates_of_ssh",
    }
}

#[test]
fn every_source_of_the_model_has_its_row() {
    let is_row = |row: &str| TABLE.iter().any(|(name, _)| *name == row);
    for base in [
        BaseCredentials::DefaultChain,
        BaseCredentials::Profile(String::new()),
        BaseCredentials::Environment,
        BaseCredentials::Ec2InstanceMetadata,
        BaseCredentials::EcsContainer,
        BaseCredentials::WebIdentity(TokenSource::File("/".into())),
        BaseCredentials::WebIdentity(TokenSource::Process(String::new())),
    ] {
        assert!(is_row(row_of_base(&base)), "{base}");
    }
    let _: fn(&TokenGrant) -> &'static str = row_of_token;
    for row in ["codes_of_a_person", "a_login_with_its_id_token", "tokens_of_other_services"] {
        assert!(is_row(row), "{row}");
    }
}
