//! `credmount check`: walks the chain of each role once and says who one becomes, or what failed
//! and what to do about it. Returns values and text; printing, arguments and AWS are elsewhere.

#![forbid(unsafe_code)]

mod advice;
mod packed;
mod report;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use packed::PackedSizes;
pub use report::{all_succeeded, text};

use crate::broker::{BoxFuture, Cause, SessionError, SessionSource};
use crate::clock::{Clock, CorrectedClock};
use crate::model::{
    BaseCredentials, ClockSkew, MfaSession, Perishable as _, RegionName, Role, RoleChain,
    SessionAttributes, StsSession,
};

/// How many roles are walked at once: enough to be quick, few enough not to be throttled.
const AT_ONCE: usize = 16;

/// What `check` needs from AWS beyond the port of the broker.
pub trait IdentitySource: SessionSource {
    /// Who AWS says that `session` is (GetCallerIdentity), asked in `region`.
    fn caller_identity<'a>(
        &'a self,
        session: &'a StsSession,
        region: &'a RegionName,
    ) -> BoxFuture<'a, Result<CallerIdentity, SessionError>>;
}

/// The answer of GetCallerIdentity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallerIdentity {
    /// `arn:aws:sts::123456789012:assumed-role/NAME/SESSION` for a session.
    pub arn: String,
    /// The account id.
    pub account: String,
    /// The unique id of the identity.
    pub user_id: String,
}

/// What became of one role.
#[derive(Debug, Clone, Serialize)]
pub struct RoleCheck {
    /// The profile name that readers of a mount would see.
    pub profile: String,
    /// The role served; `None` when base credentials are served as they are.
    pub role_arn: Option<String>,
    /// The steps taken, in order; the last one failed if `outcome` says so.
    pub steps: Vec<Step>,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many seconds the clock of this machine is ahead of that of AWS, negative if it is
    /// behind; absent if that is not worth a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_seconds: Option<i64>,
}

/// One call on the way.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What was called.
    pub name: String,
    /// How long it took, retries included; in JSON in milliseconds.
    #[serde(rename = "took_ms", serialize_with = "millis")]
    pub took: Duration,
    /// How much of the space for session policies and tags the session takes, in percent, as STS
    /// told; absent where it did not, and where no policies and tags were sent and there is room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed_percent: Option<u8>,
}

impl Step {
    fn new(name: impl Into<String>, took: Duration) -> Self {
        Self { name: name.into(), took, packed_percent: None }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Outcome {
    /// Every step succeeded.
    Ok {
        /// Who one becomes.
        #[serde(flatten)]
        identity: CallerIdentity,
        /// The access key id of the session.
        access_key_id: String,
        /// When the session ends, RFC 3339 in JSON.
        #[serde(serialize_with = "rfc3339")]
        expiration: SystemTime,
        /// The lifetime the session came with, in JSON in seconds.
        #[serde(rename = "lifetime_seconds", serialize_with = "seconds")]
        lifetime: Duration,
    },
    /// A step failed.
    Failed {
        /// The step that failed.
        step: String,
        /// The kind of failure.
        cause: Cause,
        /// What happened, with the words of AWS.
        message: String,
        /// What to do about it.
        advice: String,
    },
}

impl RoleCheck {
    /// Whether every step succeeded.
    pub fn succeeded(&self) -> bool {
        matches!(self.outcome, Outcome::Ok { .. })
    }
}

/// Checks all roles, several at a time; the answers keep their order. Base credentials that
/// several roles share are resolved once: their source may ask a human. `fallback_region` is where
/// GetCallerIdentity is called for a role that names no region; `clock` is the one that `source`
/// tells the time of AWS, `packed` hears of its calls.
pub async fn check_roles(
    source: Arc<dyn IdentitySource>,
    roles: &[Role],
    fallback_region: &RegionName,
    clock: &dyn Clock,
    packed: &Arc<PackedSizes>,
) -> Vec<RoleCheck> {
    let bases = Arc::new(resolve_bases(&source, roles).await);
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for (index, role) in roles.iter().cloned().enumerate() {
        let (source, bases, permits) = (source.clone(), bases.clone(), permits.clone());
        let (fallback_region, packed) = (fallback_region.clone(), packed.clone());
        tasks.spawn(async move {
            // The semaphore is never closed, so this only ever waits.
            let _permit = permits.acquire().await;
            (
                index,
                check_role(
                    &Aws { source: &*source, packed: &packed },
                    &role,
                    &bases,
                    &fallback_region,
                )
                .await,
            )
        });
    }
    let mut checks = tasks.join_all().await;
    checks.sort_by_key(|(index, _)| *index);
    let skew = clock.corrected().and_then(CorrectedClock::skew).filter(|skew| skew.is_notable());
    let clock_skew_seconds = skew.map(ClockSkew::seconds);
    let told = |(_, check)| RoleCheck { clock_skew_seconds, ..check };
    checks.into_iter().map(told).collect()
}

/// An outcome and how long it took.
type Timed<T> = (Result<T, SessionError>, Duration);

async fn timed<T>(call: impl Future<Output = Result<T, SessionError>>) -> Timed<T> {
    let start = Instant::now();
    let outcome = call.await;
    (outcome, start.elapsed())
}

async fn resolve_bases(
    source: &Arc<dyn IdentitySource>,
    roles: &[Role],
) -> HashMap<BaseCredentials, Timed<StsSession>> {
    let mut tasks = JoinSet::new();
    let mut seen = Vec::new();
    for base in roles.iter().map(|role| &role.chain.base) {
        // A token is asked for by the call that it is for.
        if seen.contains(&base) || matches!(base, BaseCredentials::WebIdentity(_)) {
            continue;
        }
        seen.push(base);
        let (source, base) = (source.clone(), base.clone());
        tasks.spawn(async move {
            let outcome = timed(source.base(&base)).await;
            (base, outcome)
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Whom a walk asks, and who listens.
struct Aws<'a> {
    source: &'a dyn IdentitySource,
    packed: &'a PackedSizes,
}

async fn check_role(
    aws: &Aws<'_>,
    role: &Role,
    bases: &HashMap<BaseCredentials, Timed<StsSession>>,
    fallback_region: &RegionName,
) -> RoleCheck {
    let mut steps = Vec::new();
    let outcome = match walk(aws, role, bases, fallback_region, &mut steps).await {
        Ok(outcome) => outcome,
        Err(Stop { error, advice }) => Outcome::Failed {
            step: steps.last().map(|step| step.name.clone()).unwrap_or_default(),
            cause: error.cause,
            message: error.to_string(),
            advice,
        },
    };
    RoleCheck {
        profile: role.profile.as_str().to_owned(),
        role_arn: role.chain.role_arn().map(ToString::to_string),
        steps,
        outcome,
        clock_skew_seconds: None,
    }
}

/// The error that ended a walk.
struct Stop {
    error: SessionError,
    advice: String,
}

async fn walk(
    &Aws { source, packed }: &Aws<'_>,
    role: &Role,
    bases: &HashMap<BaseCredentials, Timed<StsSession>>,
    fallback_region: &RegionName,
    steps: &mut Vec<Step>,
) -> Result<Outcome, Stop> {
    let mut region = role.region.as_ref().unwrap_or(fallback_region);
    let (mut session, done) = start(source, &role.chain, bases, steps).await?;
    for (position, hop) in role.chain.hops.iter().enumerate().skip(done) {
        region = &hop.sts_region;
        let (outcome, took) = timed(source.assume_role(hop, &session)).await;
        let mut step = Step::new(format!("AssumeRole {}", hop.role_arn), took);
        if let Ok(next) = &outcome {
            let SessionAttributes { tags, policy, policy_arns, .. } = &hop.attributes;
            let packs = !tags.is_empty() || policy.is_some() || !policy_arns.is_empty();
            let percent = packed.of(&next.access_key_id);
            step.packed_percent = percent.filter(|it| packs || *it >= packed::NEAR_THE_LIMIT);
        }
        steps.push(step);
        session = match outcome {
            Ok(next) => next,
            Err(error) => {
                let caller = match error.cause {
                    Cause::AccessDenied
                    | Cause::SessionTagsDenied
                    | Cause::SourceIdentityDenied
                    | Cause::ChainedDurationTooLong => {
                        source.caller_identity(&session, region).await.ok()
                    }
                    _ => None,
                };
                let advice = advice::for_hop(&error, hop, position, caller.as_ref());
                return Err(Stop { error, advice });
            }
        };
    }
    let (outcome, took) = timed(source.caller_identity(&session, region)).await;
    steps.push(Step::new("GetCallerIdentity", took));
    let identity = outcome.map_err(plain_stop)?;
    Ok(Outcome::Ok {
        identity,
        access_key_id: session.access_key_id.clone(),
        expiration: session.expiration,
        lifetime: session.lifetime(),
    })
}

/// The session at the start of a chain, and how many of its hops lead to it: none where base
/// credentials sign the first, one where a token is given for it.
async fn start(
    source: &dyn IdentitySource,
    chain: &RoleChain,
    bases: &HashMap<BaseCredentials, Timed<StsSession>>,
    steps: &mut Vec<Step>,
) -> Result<(StsSession, usize), Stop> {
    if let (BaseCredentials::WebIdentity(token), Some(hop)) = (&chain.base, chain.hops.first()) {
        let (outcome, took) = timed(source.assume_role_with_web_identity(hop, token)).await;
        steps.push(Step::new(format!("AssumeRoleWithWebIdentity {}", hop.role_arn), took));
        let session = outcome.map_err(|error| {
            let advice = advice::for_hop(&error, hop, 0, None);
            Stop { error, advice }
        })?;
        return Ok((session, 1));
    }
    let (outcome, took) = &bases[&chain.base];
    let name = chain.mfa().map_or_else(|| "base credentials".to_owned(), MfaSession::subject);
    steps.push(Step::new(name, *took));
    Ok((outcome.clone().map_err(plain_stop)?, 0))
}

// The signatures are serde's.
fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

fn rfc3339<S: Serializer>(instant: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*instant))
}

fn plain_stop(error: SessionError) -> Stop {
    let advice = error.cause.advice().to_owned();
    Stop { error, advice }
}

#[cfg(test)]
mod tests;
