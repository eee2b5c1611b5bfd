//! A login or a session with MFA ⇄ the bytes that are kept of it. Pure: what is read is input from
//! outside, since whoever is the user may have written it. Must not know where the bytes are.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::identity::KeptLogin;
use crate::model::{AccountId, MfaSession, OidcIdentity, Perishable as _, Secret, StsSession};

/// Bytes that hold secrets.
pub(super) type Bytes = Zeroizing<Vec<u8>>;

/// Why bytes are not what they should be. Does not repeat them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// Another program wrote it, or a version that wrote it otherwise.
    #[error("it is not of the form that this version keeps")]
    Malformed,
    /// Something that has the same name.
    #[error("it was kept for something else")]
    OfAnother,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
}

/// All that has to be equal for a login to be that of an identity; the same for a session with MFA.
/// The text of each, not a hash: who can choose one cannot have it taken for another.
pub(super) type Of = Vec<Option<String>>;

/// What makes a login that of `identity`, for the daemon of `scope`.
pub(super) fn of_login(scope: &str, identity: &OidcIdentity) -> Of {
    let OidcIdentity { name, issuer, client_id, scope: asked, audience, token_url } = identity;
    let text = |text: &str| Some(text.to_owned());
    vec![
        text(scope),
        text("login"),
        text(name),
        text(issuer.as_str()),
        text(client_id),
        text(asked),
        audience.clone(),
        token_url.as_ref().map(|url| url.as_str().to_owned()),
    ]
}

/// What makes a session that of `mfa`, for the daemon of `scope`. The command that prints codes has
/// no part in it.
pub(super) fn of_session(scope: &str, mfa: &MfaSession) -> Of {
    let MfaSession { base, device, sts_region, session_duration, process: _ } = mfa;
    let seconds = session_duration.as_secs().to_string();
    let rest = [base.to_string(), device.to_string(), sts_region.to_string(), seconds];
    [scope.to_owned(), "mfa".to_owned()].into_iter().chain(rest).map(Some).collect()
}

/// Times are milliseconds since 1970, or since the machine was started.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginForm<'a> {
    of: Cow<'a, [Option<String>]>,
    #[serde(borrow)]
    access: Cow<'a, str>,
    expiration: Option<u64>,
    #[serde(borrow)]
    refresh: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionForm<'a> {
    of: Cow<'a, [Option<String>]>,
    #[serde(borrow)]
    access_key_id: Cow<'a, str>,
    #[serde(borrow)]
    secret_access_key: Cow<'a, str>,
    #[serde(borrow)]
    session_token: Cow<'a, str>,
    account_id: Option<String>,
    issued: u64,
    expiration: u64,
    ends_after_boot: u64,
}

/// The two clocks by which the end of a session is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// The wall clock.
    pub(super) wall: SystemTime,
    /// How long the machine has been running, suspend included. What is kept ends with this life of
    /// the machine, so it is the same clock that is read later, and nobody can set it.
    pub(super) boot: Duration,
}

/// The bytes of a login; `None` if they are more than `most`.
pub(super) fn login(of: &Of, login: &KeptLogin, most: usize) -> Option<Bytes> {
    let form = LoginForm {
        of: Cow::Borrowed(of),
        access: Cow::Borrowed(login.access.expose()),
        expiration: login.expiration.map(millis),
        refresh: login.refresh.as_ref().map(|refresh| Cow::Borrowed(refresh.expose())),
    };
    written(&form, most)
}

/// The login that these bytes hold.
///
/// # Errors
/// See [`Unusable`]. An access token that has ended is no error: a renewal gives another.
pub(super) fn read_login(of: &Of, bytes: &[u8]) -> Result<KeptLogin, Unusable> {
    let form: LoginForm<'_> = serde_json::from_slice(bytes).map_err(|_| Unusable::Malformed)?;
    if *form.of != **of {
        return Err(Unusable::OfAnother);
    }
    let texts = [Some(&form.access), form.refresh.as_ref()];
    if !texts.into_iter().flatten().all(|text| is_plain(text)) {
        return Err(Unusable::Malformed);
    }
    Ok(KeptLogin {
        access: Secret::new(form.access),
        expiration: form.expiration.map(instant).transpose()?,
        refresh: form.refresh.map(Secret::new),
    })
}

/// The bytes of a session; `None` if they are more than `most`, or it has no token, which every
/// session of STS has.
pub(super) fn session(of: &Of, session: &StsSession, now: Now, most: usize) -> Option<Bytes> {
    let ends = now.boot + session.remaining(now.wall);
    let form = SessionForm {
        of: Cow::Borrowed(of),
        access_key_id: Cow::Borrowed(&session.access_key_id),
        secret_access_key: Cow::Borrowed(session.secret_access_key.expose()),
        session_token: Cow::Borrowed(session.session_token.as_ref()?.expose()),
        account_id: session.account_id.as_ref().map(ToString::to_string),
        issued: millis(session.issued),
        expiration: millis(session.expiration),
        ends_after_boot: u64::try_from(ends.as_millis()).unwrap_or(u64::MAX),
    };
    written(&form, most)
}

/// The session of `mfa` that these bytes hold. However the wall clock was set since, it ends no later
/// than it would have, and no later than one that was asked for now.
///
/// # Errors
/// See [`Unusable`].
pub(super) fn read_session(
    of: &Of,
    mfa: &MfaSession,
    bytes: &[u8],
    now: Now,
) -> Result<StsSession, Unusable> {
    let form: SessionForm<'_> = serde_json::from_slice(bytes).map_err(|_| Unusable::Malformed)?;
    if *form.of != **of {
        return Err(Unusable::OfAnother);
    }
    let texts = [&form.access_key_id, &form.secret_access_key, &form.session_token];
    if !texts.into_iter().all(|text| is_plain(text)) {
        return Err(Unusable::Malformed);
    }
    let account_id = form.account_id.as_deref().map(AccountId::parse).transpose();
    let account_id = account_id.map_err(|_| Unusable::Malformed)?;
    let left = Duration::from_millis(form.ends_after_boot).saturating_sub(now.boot);
    let (told, ends) = (instant(form.expiration)?, now.wall + left.min(mfa.session_duration));
    // The two clocks are not read at one moment, and are not kept to the last digit.
    let expiration = if told <= ends + PRECISION { told } else { ends };
    if expiration <= now.wall {
        return Err(Unusable::Expired);
    }
    Ok(StsSession {
        access_key_id: form.access_key_id.into_owned(),
        secret_access_key: Secret::new(form.secret_access_key),
        session_token: Some(Secret::new(form.session_token)),
        account_id,
        issued: instant(form.issued)?.min(now.wall),
        expiration,
    })
}

/// As keys and tokens are: they stand in files and headers.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// In a buffer that does not grow, so that no copy stays behind.
fn written(form: &impl Serialize, most: usize) -> Option<Bytes> {
    let mut bytes = Zeroizing::new(vec![0; most]);
    let mut rest = &mut bytes[..];
    serde_json::to_writer(&mut rest, form).ok()?;
    let left = rest.len();
    bytes.truncate(most - left);
    Some(bytes)
}

/// How far two clocks may be apart that were not set.
const PRECISION: Duration = Duration::from_secs(1);

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn instant(millis: u64) -> Result<SystemTime, Unusable> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).ok_or(Unusable::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{BaseCredentials, MfaDevice, RegionName, ServiceUrl};

    const MOST: usize = 4096;

    fn identity() -> OidcIdentity {
        OidcIdentity {
            name: "corp".to_owned(),
            issuer: ServiceUrl::parse("https://a.example").unwrap(),
            client_id: "c".to_owned(),
            scope: "openid".to_owned(),
            audience: None,
            token_url: None,
        }
    }

    fn mfa() -> MfaSession {
        MfaSession {
            base: BaseCredentials::Profile("keys".to_owned()),
            device: MfaDevice::parse("arn:aws:iam::123456789012:mfa/jane").unwrap(),
            sts_region: RegionName::parse("eu-west-1").unwrap(),
            session_duration: Duration::from_hours(36),
            process: None,
        }
    }

    fn hours(hours: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000 + hours)
    }

    fn now(wall: u64, boot: u64) -> Now {
        Now { wall: hours(wall), boot: Duration::from_hours(boot) }
    }

    /// Received at hour 0 of the wall clock, 100 h after boot; ends after 36 h.
    fn kept_session() -> Bytes {
        let keys = StsSession {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: Secret::new("s/+\\\"1"),
            session_token: Some(Secret::new("t==")),
            account_id: Some(AccountId::parse("123456789012").unwrap()),
            issued: hours(0),
            expiration: hours(36),
        };
        session(&of_session("a", &mfa()), &keys, now(0, 100), MOST).unwrap()
    }

    fn read_at(now: Now) -> Result<StsSession, Unusable> {
        read_session(&of_session("a", &mfa()), &mfa(), &kept_session(), now)
    }

    fn kept_login() -> Bytes {
        let kept = KeptLogin {
            access: Secret::new("access\"\\"),
            expiration: Some(hours(1)),
            refresh: Some(Secret::new("refresh")),
        };
        login(&of_login("a", &identity()), &kept, MOST).unwrap()
    }

    #[test]
    fn what_is_kept_comes_back_whole() {
        let kept = read_login(&of_login("a", &identity()), &kept_login()).unwrap();
        assert!(kept.access.is(b"access\"\\") && kept.refresh.unwrap().is(b"refresh"));
        assert_eq!(kept.expiration, Some(hours(1)));

        let keys = read_at(now(10, 110)).unwrap();
        assert_eq!((keys.issued, keys.expiration), (hours(0), hours(36)));
        assert!(keys.secret_access_key.is(b"s/+\\\"1") && keys.session_token.unwrap().is(b"t=="));
        assert_eq!(keys.account_id.unwrap().as_str(), "123456789012");
    }

    #[test]
    fn a_session_ends_when_it_would_have_however_the_clock_was_set() {
        assert_eq!(read_at(now(36, 136)).unwrap_err(), Unusable::Expired);
        // Set forward.
        assert_eq!(read_at(now(40, 110)).unwrap_err(), Unusable::Expired);
        // Set back by 30 h, after 20 h: 16 h are left.
        let back = now(0, 120);
        let keys = read_at(Now { wall: back.wall - Duration::from_hours(10), ..back }).unwrap();
        assert_eq!(keys.expiration, back.wall + Duration::from_hours(6));
        assert!(keys.issued < keys.expiration);
        // Set back to before it was received, and over.
        assert_eq!(read_at(now(0, 137)).unwrap_err(), Unusable::Expired);
    }

    #[test]
    fn nothing_is_taken_for_that_of_another() {
        let of = of_login("a", &identity());
        let mut others = vec![of_login("b", &identity())];
        let changes: [fn(&mut OidcIdentity); 6] = [
            |it| it.name.push('2'),
            |it| it.issuer = ServiceUrl::parse("https://b.example").unwrap(),
            |it| it.client_id.push('2'),
            |it| it.scope.push_str(" email"),
            |it| it.audience = Some(String::new()),
            |it| it.token_url = Some(ServiceUrl::parse("https://a.example/aws").unwrap()),
        ];
        for change in changes {
            let mut other = identity();
            change(&mut other);
            others.push(of_login("a", &other));
        }
        for other in others {
            assert_ne!(other, of);
            assert_eq!(read_login(&other, &kept_login()).unwrap_err(), Unusable::OfAnother);
        }
        let changes: [fn(&mut MfaSession); 4] = [
            |it| it.base = BaseCredentials::Profile("other".to_owned()),
            |it| it.device = MfaDevice::parse("GAHT12345678").unwrap(),
            |it| it.sts_region = RegionName::parse("eu-west-2").unwrap(),
            |it| it.session_duration = Duration::from_hours(1),
        ];
        for change in changes {
            let mut other = mfa();
            change(&mut other);
            let read = |of| read_session(&of, &other, &kept_session(), now(0, 100));
            assert_eq!(read(of_session("a", &other)).unwrap_err(), Unusable::OfAnother);
        }
    }

    #[test]
    fn what_does_not_fit_or_is_no_text_of_ours_is_not_kept_and_not_read() {
        let (of, kept) = (of_login("a", &identity()), kept_login());
        let whole = read_login(&of, &kept).unwrap();
        assert!(login(&of, &whole, kept.len() - 1).is_none());
        assert!(login(&of, &whole, kept.len()).is_some());
        for length in 0..kept.len() {
            assert_eq!(read_login(&of, &kept[..length]).unwrap_err(), Unusable::Malformed);
        }
        let text = String::from_utf8(kept.to_vec()).unwrap();
        for (from, to) in [
            ("\"refresh\":\"refresh\"", "\"refresh\":\"re\\nfresh\""),
            ("\"refresh\":\"refresh\"", "\"refresh\":\"\""),
            ("\"expiration\":", "\"expiration\":-"),
            ("{\"of\"", "{\"x\":1,\"of\""),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert_eq!(read_login(&of, other.as_bytes()).unwrap_err(), Unusable::Malformed);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let of = of_login("a", &identity());
            prop_assert_eq!(read_login(&of, &bytes).unwrap_err(), Unusable::Malformed);
        }

        #[test]
        fn no_time_is_too_strange(issued: u64, expiration: u64, ends: u64, boot: u32) {
            let text = String::from_utf8(kept_session().to_vec()).unwrap();
            let (head, _) = text.split_once("\"issued\"").unwrap();
            let times = format!("\"issued\":{issued},\"expiration\":{expiration}");
            let text = format!("{head}{times},\"ends_after_boot\":{ends}}}");
            let now = Now { wall: hours(0), boot: Duration::from_secs(boot.into()) };
            let read = read_session(&of_session("a", &mfa()), &mfa(), text.as_bytes(), now);
            if let Ok(keys) = read {
                prop_assert!(keys.issued <= now.wall && now.wall < keys.expiration);
                prop_assert!(keys.expiration <= now.wall + Duration::from_hours(36) + PRECISION);
            }
        }
    }
}
