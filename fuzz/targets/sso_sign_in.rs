//! The file of a sign-in to IAM Identity Center, which other programs write, and what AWS answers to
//! its token: keys that may be served, or an error of one short line without the token.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use credmount::broker::SessionSource as _;
use credmount::clock::{Clock as _, CorrectedClock};
use credmount::model::{BaseCredentials, Perishable as _};
use credmount::sts::{StsClient, StsOptions};
use credmount_fuzz::answer::{Canned, answer_all};
use credmount_fuzz::{PLANTED, StoppedClock, is_one_line, is_spoilt};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// With a clock that is paused, so that pauses before a retry take no time.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
});

/// A home with one profile that signs in.
static HOME: LazyLock<TempDir> = LazyLock::new(|| {
    let home = tempfile::tempdir().expect("a directory");
    let config = "[profile p]\nsso_session = corp\nsso_account_id = 123456789012\n\
                  sso_role_name = Admin\n[sso-session corp]\nsso_region = eu-west-1\n\
                  sso_start_url = https://example.awsapps.com/start\n";
    fs::write(home.path().join("config"), config).expect("a file");
    home
});

/// The SHA-1 of `corp`.
const FILE: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f.json";

/// What stands for a secret in an input, which cannot know it.
const WORD: &str = "TOKEN";

async fn client() -> (StsClient, Arc<CorrectedClock>) {
    let clock = Arc::new(CorrectedClock::over(StoppedClock));
    let nowhere: PathBuf = "/nonexistent".into();
    let mut options = StsOptions::new(HOME.path().join("config"), nowhere, "ann", "web1");
    options.sso_cache = Some(HOME.path().to_owned());
    let transport = SharedHttpClient::new(Canned);
    (StsClient::with_transport(options, clock.clone(), transport).await, clock)
}

// The file, and after a NUL the answer.
fuzz_target!(|text: &str| {
    if is_spoilt(text.as_bytes()) {
        return;
    }
    let (file, answer) = text.split_once('\0').unwrap_or((text, ""));
    fs::write(HOME.path().join(FILE), file.replace(WORD, PLANTED)).expect("a file");
    answer_all(answer.replace(WORD, PLANTED).as_bytes());
    let (client, clock) = RUNTIME.block_on(client());
    let base = BaseCredentials::Profile("p".to_owned());
    match RUNTIME.block_on(client.base(&base)) {
        Ok(session) => {
            assert!(session.is_valid(clock.now()), "an expired session");
            let told = format!("{session:?}");
            assert!(answer.contains(WORD) || !told.contains(PLANTED), "{told}");
        }
        Err(error) => {
            for told in [error.to_string(), format!("{error:?}")] {
                // What AWS says itself is repeated; what the file says is not.
                assert!(answer.contains(WORD) || !told.contains(PLANTED), "a secret in {told:?}");
                assert!(told.chars().count() < 1000, "{told:?} is long");
                assert!(is_one_line(&told), "{told:?}");
            }
        }
    }
});
