//! `check` over a scripted AWS.

use parking_lot::Mutex;

use super::*;
use crate::broker::{CallKind, GivenKey, ObserveCalls as _, SessionCall};
use crate::clock::SystemClock;
use crate::model::{
    AccountId, ExternalId, ProfileName, RoleArn, RoleChain, RoleHop, Secret, SessionAttributes,
};

/// Gives a session for everything but what `fails` names; the key id tells who signed.
#[derive(Debug, Default)]
struct ScriptedAws {
    fails: Vec<(&'static str, Cause)>,
    calls: Mutex<Vec<String>>,
}

impl ScriptedAws {
    fn failing(subject: &'static str, cause: Cause) -> Self {
        Self { fails: vec![(subject, cause)], ..Self::default() }
    }

    fn outcome(&self, call: &str, subject: &str) -> Result<StsSession, SessionError> {
        self.calls.lock().push(format!("{call} {subject}"));
        match self.fails.iter().find(|(failing, _)| *failing == subject) {
            Some((_, cause)) => Err(SessionError::new(subject, *cause, "Code: words of AWS")),
            None => Ok(session(subject)),
        }
    }
}

fn session(who: &str) -> StsSession {
    let issued = SystemTime::UNIX_EPOCH + Duration::from_hours(498_698);
    StsSession {
        access_key_id: who.to_owned(),
        secret_access_key: Secret::new("planted-secret"),
        session_token: Some(Secret::new("planted-token")),
        account_id: AccountId::parse("123456789012").ok(),
        issued,
        expiration: issued + Duration::from_hours(1),
    }
}

impl SessionSource for ScriptedAws {
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(7)).await;
            let BaseCredentials::Profile(name) = base else { panic!("{base:?}") };
            self.outcome("base", name)
        })
    }

    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async move {
            // Later roles answer sooner, so that order is not kept by chance.
            let name = hop.role_arn.as_str();
            let pause = if name.ends_with("/first") { 50 } else { 30 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
            self.outcome(&format!("{} assumes", with.access_key_id), name)
        })
    }
}

impl IdentitySource for ScriptedAws {
    fn caller_identity<'a>(
        &'a self,
        session: &'a StsSession,
        region: &'a RegionName,
    ) -> BoxFuture<'a, Result<CallerIdentity, SessionError>> {
        Box::pin(async move {
            let key = &session.access_key_id;
            self.outcome(&format!("identity in {region} of"), &format!("{key}!"))?;
            Ok(CallerIdentity {
                arn: format!("identity-of({key})"),
                account: "123456789012".to_owned(),
                user_id: "AROA".to_owned(),
            })
        })
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{name}")
}

fn role(profile: &str, hops: &[&str]) -> Role {
    let hop = |name: &&str| RoleHop {
        role_arn: RoleArn::parse(&arn(name)).unwrap(),
        sts_region: RegionName::parse("eu-west-1").unwrap(),
        session_duration: Duration::from_hours(2),
        external_id: None,
        session_name: None,
        attributes: SessionAttributes::default(),
    };
    Role {
        profile: ProfileName::parse(profile).unwrap(),
        chain: Arc::new(RoleChain {
            base: BaseCredentials::Profile("base".to_owned()),
            hops: hops.iter().map(hop).collect(),
        }),
        region: None,
        settings: Vec::new(),
    }
}

async fn run(aws: ScriptedAws, roles: &[Role]) -> (Vec<RoleCheck>, Vec<String>) {
    let aws = Arc::new(aws);
    let region = RegionName::parse("us-east-2").unwrap();
    let checks = check_roles(aws.clone(), roles, &region, &SystemClock, &Arc::default()).await;
    let calls = aws.calls.lock().clone();
    (checks, calls)
}

fn failure(check: &RoleCheck) -> (&str, Cause, &str, &str) {
    match &check.outcome {
        Outcome::Failed { step, cause, message, advice } => (step, *cause, message, advice),
        ok @ Outcome::Ok { .. } => panic!("{ok:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_hop_is_signed_by_the_one_before() {
    let (checks, calls) = run(ScriptedAws::default(), &[role("p", &["first", "second"])]).await;
    assert!(all_succeeded(&checks));
    assert_eq!(
        calls,
        [
            "base base".to_owned(),
            format!("base assumes {}", arn("first")),
            format!("{} assumes {}", arn("first"), arn("second")),
            format!("identity in eu-west-1 of {}!", arn("second")),
        ]
    );
    let names: Vec<_> = checks[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "base credentials",
            &format!("AssumeRole {}", arn("first")),
            &format!("AssumeRole {}", arn("second")),
            "GetCallerIdentity"
        ]
    );
    assert_eq!(checks[0].steps[1].took, Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn roles_keep_their_order_and_share_base_credentials() {
    let roles = [role("a", &["first"]), role("b", &["second"]), role("c", &[])];
    let (checks, calls) = run(ScriptedAws::default(), &roles).await;
    let profiles: Vec<_> = checks.iter().map(|check| check.profile.as_str()).collect();
    assert_eq!(profiles, ["a", "b", "c"]);
    assert_eq!(calls.iter().filter(|call| call.starts_with("base base")).count(), 1);
    assert!(calls.contains(&"identity in us-east-2 of base!".to_owned()), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn roles_are_walked_at_the_same_time() {
    let roles: Vec<_> = (0..AT_ONCE).map(|n| role(&format!("p{n}"), &["first"])).collect();
    let start = Instant::now();
    run(ScriptedAws::default(), &roles).await;
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_failing_role_leaves_the_others_alone() {
    let denied = Box::leak(arn("second").into_boxed_str());
    let aws = ScriptedAws::failing(denied, Cause::AccessDenied);
    let (checks, _) = run(aws, &[role("a", &["first"]), role("b", &["second"])]).await;
    assert!(checks[0].succeeded());
    assert!(!all_succeeded(&checks));
}

#[tokio::test(start_paused = true)]
async fn a_denial_names_the_role_the_caller_and_the_conditions() {
    let denied = Box::leak(arn("first").into_boxed_str());
    let aws = ScriptedAws::failing(denied, Cause::AccessDenied);
    let (checks, _) = run(aws, &[role("a", &["first"])]).await;
    let (step, cause, message, advice) = failure(&checks[0]);
    assert_eq!((step, cause), (format!("AssumeRole {denied}").as_str(), Cause::AccessDenied));
    assert!(message.contains("Code: words of AWS"), "{message}");
    for part in [
        &format!("The trust policy of {denied} must allow identity-of(base)"),
        &format!("policies of identity-of(base) must allow sts:AssumeRole on {denied}"),
        "credmount sends no external id",
        "MFA",
    ] {
        assert!(advice.contains(part), "{part:?} not in {advice:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_without_a_known_caller_still_has_advice() {
    let denied = Box::leak(arn("first").into_boxed_str());
    let mut aws = ScriptedAws::failing(denied, Cause::AccessDenied);
    aws.fails.push(("base!", Cause::Network));
    let mut denied_role = role("a", &["first"]);
    let chain = Arc::make_mut(&mut denied_role.chain);
    chain.hops[0].external_id = Some(ExternalId::parse("planted-id").unwrap());
    let (checks, _) = run(aws, &[denied_role]).await;
    let (_, _, _, advice) = failure(&checks[0]);
    assert!(advice.contains("must allow the identity of the base credentials"), "{advice}");
    assert!(advice.contains("credmount sends the external_id"), "{advice}");
    assert!(!advice.contains("planted-id"), "{advice}");
}

#[tokio::test(start_paused = true)]
async fn advice_names_what_was_asked_for() {
    for (cause, part) in [
        (Cause::DurationTooLong, "2h were asked for"),
        (Cause::ChainedDurationTooLong, "identity-of(base) is itself an assumed role"),
        (Cause::WrongRegion, "STS was called in eu-west-1"),
        (Cause::ClockSkew, "timedatectl"),
    ] {
        let failing = Box::leak(arn("first").into_boxed_str());
        let (checks, _) = run(ScriptedAws::failing(failing, cause), &[role("a", &["first"])]).await;
        let (_, _, _, advice) = failure(&checks[0]);
        assert!(advice.contains(part), "{part:?} not in {advice:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn advice_names_what_the_session_was_to_carry() {
    let carrying = SessionAttributes {
        source_identity: Some("jane".to_owned()),
        tags: vec![("team".to_owned(), "search".to_owned())],
        policy: Some("{\"Statement\":[]}".to_owned()),
        ..SessionAttributes::default()
    };
    let nothing = SessionAttributes::default();
    for (cause, attributes, part) in [
        (Cause::SessionTagsDenied, &carrying, "credmount sends the tags team. "),
        (Cause::SessionTagsDenied, &nothing, "they come along from the session before"),
        (Cause::SourceIdentityDenied, &carrying, "credmount sends the source identity jane. "),
        (Cause::SourceIdentityDenied, &nothing, "so the session of identity-of(base) has one"),
        (Cause::PolicyTooLarge, &carrying, "a policy of 16 characters, 0 policy_arns and 1 tags"),
        (Cause::MalformedPolicy, &carrying, "validate-policy"),
    ] {
        let failing = Box::leak(arn("first").into_boxed_str());
        let mut asked = role("a", &["first"]);
        Arc::make_mut(&mut asked.chain).hops[0].attributes = attributes.clone();
        let (checks, _) = run(ScriptedAws::failing(failing, cause), &[asked]).await;
        let (_, _, _, advice) = failure(&checks[0]);
        assert!(advice.contains(part), "{part:?} not in {advice:?}");
        assert!(!advice.contains("search"), "{advice}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_base_credentials_no_role_is_assumed() {
    let aws = ScriptedAws::failing("base", Cause::NoBaseCredentials);
    let (checks, calls) = run(aws, &[role("a", &["first"])]).await;
    let (step, cause, _, advice) = failure(&checks[0]);
    assert_eq!((step, cause), ("base credentials", Cause::NoBaseCredentials));
    assert_eq!(advice, Cause::NoBaseCredentials.advice());
    assert_eq!(calls, ["base base"]);
}

#[tokio::test(start_paused = true)]
async fn json_has_the_answer_and_no_secret() {
    let denied = Box::leak(arn("second").into_boxed_str());
    let aws = ScriptedAws::failing(denied, Cause::AccessDenied);
    let (checks, _) = run(aws, &[role("a", &["first"]), role("b", &["second"])]).await;
    let json = serde_json::to_value(&checks).unwrap();
    assert_eq!(json[0]["result"], "ok");
    assert_eq!(json[0]["profile"], "a");
    assert_eq!(json[0]["role_arn"], arn("first"));
    assert_eq!(json[0]["arn"], format!("identity-of({})", arn("first")));
    assert_eq!(json[0]["account"], "123456789012");
    assert_eq!(json[0]["expiration"], "2026-11-22T03:00:00Z");
    assert_eq!(json[0]["lifetime_seconds"], 3600);
    assert_eq!(json[0]["steps"][1]["took_ms"], 50);
    assert_eq!(json[1]["result"], "failed");
    assert_eq!(json[1]["cause"], "AccessDenied");
    for output in [json.to_string(), text(&checks), format!("{checks:?}")] {
        assert!(!output.contains("planted"), "{output}");
    }
}

#[tokio::test(start_paused = true)]
async fn text_has_one_block_per_role() {
    let aws = ScriptedAws::failing("base", Cause::TimedOut);
    let (failed, _) = run(aws, &[role("b", &["first"])]).await;
    let (ok, _) = run(ScriptedAws::default(), &[role("a", &["first"])]).await;
    insta::assert_snapshot!(text(&[ok, failed].concat()), @"
    a: ok
        identity    identity-of(arn:aws:iam::123456789012:role/first)
        account     123456789012
        access key  arn:aws:iam::123456789012:role/first
        expires     2026-11-22T03:00:00Z (in 1h)
        latency     base credentials 7 ms, AssumeRole arn:aws:iam::123456789012:role/first 50 ms,
                    GetCallerIdentity 0 ms
    b: FAILED at base credentials
        error       base: no answer came in time: Code: words of AWS
        advice      Packets may be dropped on the way to STS (firewall, security group of the VPC
                    endpoint, proxy), or the source of the base credentials takes too long.
        latency     base credentials 7 ms
    ");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_is_told_with_advice_once() {
    let (checks, _) = run(ScriptedAws::default(), &[role("a", &["first"])]).await;
    let wrong = |check| RoleCheck { clock_skew_seconds: Some(-600), ..check };
    let checks: Vec<_> = [checks.clone(), checks].concat().into_iter().map(wrong).collect();
    let told = text(&checks);
    assert_eq!(told.matches("clock: 10 min behind AWS").count(), 1, "{told}");
    assert!(told.contains("timedatectl"), "{told}");
    assert_eq!(serde_json::to_value(&checks).unwrap()[0]["clock_skew_seconds"], -600);
}

#[tokio::test(start_paused = true)]
async fn the_packed_size_is_told_where_something_is_packed_or_little_room_is_left() {
    let tagged = |profile: &str| {
        let plain = role(profile, &["first"]);
        let mut chain = (*plain.chain).clone();
        chain.hops[0].attributes.tags = vec![("team".to_owned(), "search".to_owned())];
        Role { chain: Arc::new(chain), ..plain }
    };
    let told = async |percent, role: Role| {
        let packed = Arc::new(PackedSizes::default());
        let call = SessionCall {
            kind: CallKind::AssumeRole,
            subject: arn("first"),
            session_name: Some("me".to_owned()),
            source_identity: None,
            started: SystemTime::UNIX_EPOCH,
            latency: Duration::ZERO,
            outcome: Ok(GivenKey {
                access_key_id: arn("first"),
                expiration: SystemTime::UNIX_EPOCH,
                request_id: None,
                packed_percent: percent,
            }),
        };
        packed.called(&call).await;
        let region = RegionName::parse("us-east-2").unwrap();
        let aws = Arc::new(ScriptedAws::default());
        let checks = check_roles(aws, &[role], &region, &SystemClock, &packed).await;
        (
            text(&checks),
            serde_json::to_value(&checks).unwrap()[0]["steps"][1]["packed_percent"].clone(),
        )
    };
    let (some, json) = told(Some(45), tagged("a")).await;
    let expected = "packed      45 % of the space for policies and tags, by AssumeRole";
    assert!(some.contains(expected) && !some.contains("warning"), "{some}");
    assert_eq!(json, 45);
    let (much, _) = told(Some(80), tagged("a")).await;
    assert!(much.contains("warning     STS refuses above 100 %"), "{much}");
    let (inherited, _) = told(Some(97), role("a", &["first"])).await;
    assert!(inherited.contains("packed      97 %"), "{inherited}");
    for untold in [told(None, tagged("a")).await, told(Some(3), role("a", &["first"])).await] {
        assert!(!untold.0.contains("packed") && untold.1.is_null(), "{}", untold.0);
    }
}
