//! The time of one rendering of `credentials`, padding included.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::Result;
use credmount::model::{AccountId, ProfileName, Secret, StsSession};
use credmount::render::{Padding, Profile, ProfileState, credentials, pad, roomy};
use serde_json::json;

/// Prints the median of many renderings for so many roles.
#[expect(clippy::disallowed_methods, reason = "measures real time")]
pub(crate) fn run(roles: usize) -> Result<()> {
    let names: Vec<ProfileName> =
        (0..roles).map(|n| ProfileName::parse(&format!("role-{n}"))).collect::<Result<_, _>>()?;
    let state = ProfileState::Live(Arc::new(session()?));
    let profiles: Vec<_> = names
        .iter()
        .map(|name| (Profile { name, region: None, settings: &[] }, state.clone()))
        .collect();
    let size = roomy(credentials(&profiles, false).len(), roles);
    let mut samples = Vec::new();
    let begin = Instant::now();
    while samples.len() < FEWEST || begin.elapsed() < LEAST_TIME {
        let start = Instant::now();
        let text = credentials(black_box(&profiles), false);
        black_box(pad(text, size, Padding::IniComment).is_ok());
        samples.push(start.elapsed());
    }
    samples.sort_unstable();
    let median = samples[samples.len() / 2].as_secs_f64() * 1e6;
    println!("{}", json!({ "roles": roles, "p50_us": median, "bytes": size }));
    Ok(())
}

/// A session with a token of a usual length.
fn session() -> Result<StsSession> {
    Ok(StsSession {
        access_key_id: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: Secret::new("k".repeat(40)),
        session_token: Some(Secret::new("t".repeat(800))),
        account_id: Some(AccountId::parse("123456789012")?),
        issued: UNIX_EPOCH,
        expiration: UNIX_EPOCH + Duration::from_hours(1),
    })
}

const FEWEST: usize = 25;

const LEAST_TIME: Duration = Duration::from_millis(200);
