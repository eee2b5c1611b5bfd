//! The safe over the keyring of whoever runs the tests. Each test has a scope of its own, and takes
//! out what it has put in.

use super::*;
use crate::broker::testing::TestClock;
use crate::model::{BaseCredentials, MfaDevice, RegionName, Secret, ServiceUrl};

/// A safe that is open, as of a daemon; emptied when it goes.
struct Opened(Arc<Safe>, Arc<TestClock>);

impl Opened {
    /// `None`, said loudly, where there are no keyrings.
    #[expect(clippy::print_stderr, reason = "that nothing was tested has to be said")]
    fn of(test: &str) -> Option<Self> {
        let clock = Arc::new(TestClock::new());
        let path = format!("/test/{}/{test}", std::process::id());
        let safe = Safe::of(Path::new(&path), clock.clone());
        assert!(safe.set_open(true) && !safe.set_open(true));
        if let Some(trouble) = safe.status().unwrap().trouble {
            eprintln!("SKIPPED: {trouble}");
            return None;
        }
        Some(Self(Arc::new(safe), clock))
    }

    /// That of the daemon that follows.
    fn next(&self) -> Arc<Safe> {
        let safe = Safe::of(Path::new(&self.0.scope), self.1.clone());
        safe.set_open(true);
        Arc::new(safe)
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.0.keys.names().unwrap();
        names.sort();
        names
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        Safe::empty(Path::new(&self.0.scope));
    }
}

fn identity(name: &str) -> Arc<OidcIdentity> {
    Arc::new(OidcIdentity {
        name: name.to_owned(),
        issuer: ServiceUrl::parse("https://a.example").unwrap(),
        client_id: "c".to_owned(),
        scope: "openid".to_owned(),
        audience: None,
        token_url: None,
    })
}

fn login(access: &str) -> KeptLogin {
    let (access, refresh) = (Secret::new(access), Some(Secret::new("refresh")));
    KeptLogin { access, expiration: None, refresh }
}

fn mfa(name: &str) -> MfaSession {
    MfaSession {
        base: BaseCredentials::Profile("keys".to_owned()),
        device: MfaDevice::parse(&format!("arn:aws:iam::123456789012:mfa/{name}")).unwrap(),
        sts_region: RegionName::parse("eu-west-1").unwrap(),
        session_duration: Duration::from_hours(36),
        process: None,
    }
}

fn session(clock: &TestClock) -> StsSession {
    StsSession {
        access_key_id: "ASIA1".to_owned(),
        secret_access_key: Secret::new("secret"),
        session_token: Some(Secret::new("token")),
        account_id: None,
        issued: clock.now(),
        expiration: clock.now() + Duration::from_hours(36),
    }
}

#[test]
fn the_daemon_that_follows_finds_the_latest_login_until_it_is_forgotten() {
    let Some(safe) = Opened::of("login") else { return };
    let corp = identity("corp");
    assert!(safe.0.kept(&corp).is_none());
    for access in ["one", "two"] {
        safe.0.keep(&corp, &login(access));
        assert!(safe.next().kept(&corp).unwrap().access.is(access.as_bytes()));
    }
    assert!(safe.next().kept(&identity("other")).is_none());
    safe.next().forget(&corp);
    assert!(safe.next().kept(&corp).is_none());
}

#[test]
fn a_session_is_taken_over_once() {
    let Some(safe) = Opened::of("session") else { return };
    let jane = mfa("jane");
    safe.0.keep_session(&jane, &session(&safe.1));
    let next = safe.next();
    assert!(next.holds(&jane) && next.holds(&jane));
    assert_eq!(next.session(&jane).unwrap().access_key_id, "ASIA1");
    assert!(next.session(&jane).is_none(), "who asks again wants another");
    assert!(!next.holds(&mfa("joe")));
}

#[test]
fn a_closed_safe_is_empty_and_stays_so() {
    let Some(safe) = Opened::of("closed") else { return };
    let (corp, jane) = (identity("corp"), mfa("jane"));
    let put = || {
        safe.0.keep(&corp, &login("one"));
        safe.0.keep_session(&jane, &session(&safe.1));
    };
    put();
    assert_eq!(safe.names(), ["login:corp", "mfa:arn:aws:iam::123456789012:mfa/jane"]);
    assert!(!safe.0.set_open(false));
    assert_eq!(safe.names(), [""; 0]);
    put();
    assert_eq!(safe.names(), [""; 0]);
    assert!(safe.0.set_open(true), "it has to be filled again");
}

#[test]
fn what_was_put_or_found_is_taken_out_also_where_the_kernel_lists_nothing() {
    let Some(safe) = Opened::of("unlisted") else { return };
    let (corp, jane) = (identity("corp"), mfa("jane"));
    let unlisted = || {
        let safe = Safe::of(Path::new(&safe.0.scope), safe.1.clone());
        safe.set_open(true);
        Safe { keys: safe.keys.clone().unlisted(), ..safe }
    };
    let first = unlisted();
    first.keep(&corp, &login("one"));
    first.keep_session(&jane, &session(&safe.1));
    assert_eq!(safe.names().len(), 2);
    first.set_open(false);
    assert_eq!(safe.names(), [""; 0]);

    safe.0.keep(&corp, &login("one"));
    let second = unlisted();
    assert!(second.kept(&corp).is_some());
    second.retain(&[], &[]);
    assert_eq!(safe.names(), [""; 0]);
}

#[test]
fn what_is_not_of_this_daemon_and_its_settings_is_not_used() {
    let Some(safe) = Opened::of("others") else { return };
    let Some(other) = Opened::of("another daemon") else { return };
    let corp = identity("corp");
    safe.0.keep(&corp, &login("one"));
    assert!(other.0.kept(&corp).is_none());
    let moved = OidcIdentity { client_id: "d".to_owned(), ..(*corp).clone() };
    assert!(safe.next().kept(&moved).is_none());
    assert_eq!(safe.names(), [""; 0], "what cannot be used is taken out");

    for garbage in [&b"{}"[..], b"\xff", b"{\"of\":[\"login\"]}"] {
        safe.0.keys.put("login:corp", garbage, UNUSED).unwrap();
        assert!(safe.next().kept(&corp).is_none());
        assert_eq!(safe.names(), [""; 0]);
    }
}

#[test]
fn what_nobody_is_configured_to_need_is_taken_out() {
    let Some(safe) = Opened::of("retain") else { return };
    for name in ["a", "b"] {
        safe.0.keep(&identity(name), &login("one"));
        safe.0.keep_session(&mfa(name), &session(&safe.1));
    }
    safe.0.retain_sessions(&[&mfa("a")]);
    assert_eq!(safe.names(), ["login:a", "login:b", "mfa:arn:aws:iam::123456789012:mfa/a"]);
    safe.0.retain(&[identity("b")], &[]);
    assert_eq!(safe.names(), ["login:b"]);
}

#[test]
fn a_login_lies_there_for_as_long_as_it_can_be_of_use() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let hour = Duration::from_hours(1);
    let of = |expiration: Option<SystemTime>, refresh: bool| {
        let refresh = refresh.then(|| Secret::new("refresh"));
        lifetime(&KeptLogin { access: Secret::new("a"), expiration, refresh }, now)
    };
    assert_eq!(of(Some(now + hour), false), hour);
    assert_eq!(of(Some(now + hour), true), hour + UNUSED);
    assert_eq!(of(Some(now - hour), true), UNUSED);
    assert_eq!(of(None, false), UNUSED);
}
