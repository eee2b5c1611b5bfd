//! Everything the emulator remembers, and the issuing of sessions. Knows no HTTP.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::attributes::SessionAttributes;
use super::authorization::Authorization;
use super::calls::{CallRecord, role_name};
use super::clock;
use super::faults::{Fault, FaultTable};
use super::keys::{Key, KeyRing, Principal, PrincipalKind};
use super::options::{Options, Settings};
use super::params::ApiRequest;
use super::random;
use super::sources::{self, Asked, Sources};
use super::sso::Sso;

/// The longest lifetime that can be set (about 30 years), so that dates keep four-digit years.
const MAX_LIFETIME: Duration = Duration::from_secs(1_000_000_000);

/// A session that was issued, secrets included: tests look for these in places where they must
/// not be. It has no `Debug`, so that it does not print them by mistake.
#[derive(Clone)]
pub(crate) struct IssuedSession {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
    /// From this instant of the emulated clock on the session is refused; whole seconds.
    pub(crate) expiration: SystemTime,
    /// ARN that GetCallerIdentity answers for it.
    pub(crate) arn: String,
    /// What it carries, inherited or its own.
    pub(crate) attributes: SessionAttributes,
}

/// What the server, the control interface and the handle share.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// Counts the times that faults were cleared; calls that hang wait for it to change.
    pub(crate) cleared: watch::Sender<u64>,
    observer: Option<fn(&CallRecord)>,
}

/// A call under way: its place in the record, and what shall happen to it.
pub(crate) struct Ticket {
    index: usize,
    pub(crate) fault: Option<Fault>,
}

impl Shared {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::new(State::new(options)),
            cleared: watch::Sender::new(0),
            observer: options.observer,
        }
    }

    /// Records the arrival of a call of `action`, as it was sent, and draws its fault.
    pub(crate) fn begin(&self, request: &ApiRequest, action: &str) -> Ticket {
        let sent = |name: &str| request.params.get(name).map(str::to_owned);
        let claimed = Authorization::read(request).ok();
        let mut state = self.state.lock();
        let role_arn = match Asked::of(request.uri.path()) {
            Some(asked) => state.role_of(asked),
            None => sent("RoleArn"),
        };
        let fault = state.faults.take(action, role_arn.as_deref().and_then(role_name));
        state.calls.push(CallRecord {
            time: clock::now(0),
            action: action.to_owned(),
            role_arn,
            session_name: sent("RoleSessionName"),
            external_id: sent("ExternalId"),
            duration_seconds: sent("DurationSeconds"),
            attributes: SessionAttributes::sent(&request.params),
            region: claimed.as_ref().map(|claimed| claimed.region.clone()),
            caller_access_key_id: claimed.map(|claimed| claimed.access_key_id),
            user_agent: request.header("user-agent").map(str::to_owned),
            issued_access_key_id: None,
            result: None,
        });
        Ticket { index: state.calls.len() - 1, fault }
    }

    /// Completes the record of a call.
    pub(crate) fn finish(&self, ticket: &Ticket, result: &str, issued: Option<String>) {
        let record = {
            let mut state = self.state.lock();
            let record = &mut state.calls[ticket.index];
            record.result = Some(result.to_owned());
            record.issued_access_key_id = issued;
            record.clone()
        };
        if let Some(observer) = self.observer {
            observer(&record);
        }
    }

    /// Ends all faults and wakes the calls that hang.
    pub(crate) fn clear_faults(&self) {
        self.state.lock().faults.clear();
        self.cleared.send_modify(|count| *count += 1);
    }
}

/// See [`Shared`].
pub(crate) struct State {
    pub(crate) settings: Settings,
    /// Account of the base user, of the instance and of the container.
    pub(crate) account_id: String,
    pub(crate) sources: Sources,
    pub(crate) faults: FaultTable,
    pub(crate) keys: KeyRing,
    pub(crate) calls: Vec<CallRecord>,
    pub(crate) sessions: Vec<IssuedSession>,
    /// IAM Identity Center.
    pub(crate) sso: Sso,
    /// Unique ids of roles (`AROA…`) by account and name.
    role_ids: HashMap<(String, String), String>,
}

impl State {
    fn new(options: &Options) -> Self {
        let user = Principal {
            kind: PrincipalKind::User,
            account_id: options.account_id.clone(),
            arn: format!("arn:aws:iam::{}:user/dev", options.account_id),
            user_id: random::identifier("AIDA"),
            attributes: SessionAttributes::default(),
            has_mfa: false,
        };
        let base_key = Key {
            secret: options.base_secret_access_key.clone(),
            session_token: None,
            expiration: None,
            principal: user,
        };
        let mut keys = KeyRing::default();
        keys.add(options.base_access_key_id.clone(), base_key);
        Self {
            settings: options.settings.clone(),
            account_id: options.account_id.clone(),
            sources: Sources::default(),
            faults: FaultTable::default(),
            keys,
            calls: Vec::new(),
            sessions: Vec::new(),
            sso: Sso::default(),
            role_ids: HashMap::new(),
        }
    }

    /// The emulated clock.
    pub(crate) fn now(&self) -> SystemTime {
        clock::now(self.settings.clock_offset_seconds)
    }

    /// The role whose keys the source of `asked` hands out.
    fn role_of(&self, asked: Asked) -> Option<String> {
        let role = match asked {
            Asked::ContainerKeys => self.settings.container_role.as_deref(),
            _ => self.settings.instance_role.as_deref(),
        };
        role.map(|role| sources::role_arn(&self.account_id, role))
    }

    /// The unique id of a role, the same each time.
    pub(crate) fn role_id(&mut self, account_id: &str, role_name: &str) -> String {
        let role = (account_id.to_owned(), role_name.to_owned());
        self.role_ids.entry(role).or_insert_with(|| random::identifier("AROA")).clone()
    }

    /// Issues keys for `principal`, good for `duration` unless the settings say otherwise.
    pub(crate) fn issue(
        &mut self,
        principal: Principal,
        duration: Duration,
        fault: Option<&Fault>,
    ) -> IssuedSession {
        let lifetime = self.settings.session_lifetime.unwrap_or(duration);
        self.issue_for(principal, lifetime, fault)
    }

    /// Issues keys for `principal`, good for `lifetime`.
    pub(crate) fn issue_for(
        &mut self,
        principal: Principal,
        lifetime: Duration,
        fault: Option<&Fault>,
    ) -> IssuedSession {
        let lifetime = lifetime.min(MAX_LIFETIME);
        let expiration = if fault == Some(&Fault::ExpiredSession) {
            clock::floor_to_second(self.now()) - Duration::from_mins(1)
        } else {
            clock::floor_to_second(self.now() + lifetime)
        };
        let session = IssuedSession {
            access_key_id: random::identifier("ASIA"),
            secret_access_key: random::secret_access_key(),
            session_token: random::session_token(&self.settings.token_length),
            expiration,
            arn: principal.arn.clone(),
            attributes: principal.attributes.clone(),
        };
        let key = Key {
            secret: session.secret_access_key.clone(),
            session_token: Some(session.session_token.clone()),
            expiration: Some(expiration),
            principal,
        };
        self.keys.add(session.access_key_id.clone(), key);
        self.sessions.push(session.clone());
        session
    }
}
