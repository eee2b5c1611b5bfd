//! What can be made to go wrong, and which calls it hits. Decides only; [`super::server`] acts.

use serde::{Deserialize, Serialize};

/// One way to fail. In JSON a name (`"deny"`), or a name with its parameters
/// (`{"slow": {"delay_ms": 500}}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// `AccessDenied`, after the signature has been verified as always.
    Deny,
    /// `Throttling`, HTTP 400.
    Throttle,
    /// `Throttling` with a `Retry-After` header.
    ThrottleRetryAfter { seconds: u64 },
    /// `ServiceUnavailable` for 503, else `InternalFailure`; `status` is 500–599.
    ServerError { status: u16 },
    /// `ServiceUnavailable`, HTTP 503, with a `Retry-After` header.
    UnavailableRetryAfter { seconds: u64 },
    /// `ExpiredToken`, as if the session of the caller were over.
    ExpireCaller,
    /// No answer until the faults are cleared or the client closes; then the ordinary answer.
    Hang,
    /// The ordinary answer, this much later.
    Slow { delay_ms: u64 },
    /// The connection is closed without an answer; nothing is issued.
    DropConnection,
    /// The session is issued, and the connection closed after half of the answer.
    DropMidAnswer,
    /// The session is issued; half of the answer comes, and then nothing until the client closes.
    HangMidAnswer,
    /// The ordinary answer with the `Date` header this much ahead (negative: behind), as something
    /// on the way may write it. See [`super::Settings::clock_offset_seconds`] for a service whose
    /// clock differs.
    WrongDate { seconds: i64 },
    /// The session is issued, and the answer is a complete body that is no XML.
    MalformedXml,
    /// The session is issued, and the answer is a complete HTTP message with half of the XML.
    TruncatedXml,
    /// The session is issued, and the answer is XML with an unknown element of this many bytes.
    HugeAnswer { bytes: u64 },
    /// A session whose expiration is already a minute ago.
    ExpiredSession,
    /// A refusal that repeats every secret of the request; see [`super::echo`].
    Echo,
}

impl Fault {
    /// This fault for calls about one role, by role name.
    pub(crate) fn for_role(self, role_name: &str) -> FaultRule {
        FaultRule { role: Some(role_name.to_owned()), ..self.into() }
    }

    /// This fault for calls of one action, such as `AssumeRole`.
    pub(crate) fn for_action(self, action: &str) -> FaultRule {
        FaultRule { action: Some(action.to_owned()), ..self.into() }
    }

    /// This fault for the next `calls` calls.
    pub(crate) fn times(self, calls: u32) -> FaultRule {
        FaultRule::from(self).times(calls)
    }

    /// What stands as the result of a call whose answer this fault spoils; `None` for a fault
    /// that is an answer itself.
    pub(crate) fn spoils(&self) -> Option<&'static str> {
        match self {
            Self::DropConnection => Some("DropConnection"),
            Self::DropMidAnswer => Some("DropMidAnswer"),
            Self::HangMidAnswer => Some("HangMidAnswer"),
            Self::MalformedXml => Some("MalformedXml"),
            Self::TruncatedXml => Some("TruncatedXml"),
            Self::HugeAnswer { .. } => Some("HugeAnswer"),
            Self::Deny
            | Self::Throttle
            | Self::ThrottleRetryAfter { .. }
            | Self::ServerError { .. }
            | Self::UnavailableRetryAfter { .. }
            | Self::ExpireCaller
            | Self::WrongDate { .. }
            | Self::Hang
            | Self::Slow { .. }
            | Self::ExpiredSession
            | Self::Echo => None,
        }
    }
}

/// A fault and the calls that it hits: all calls, until cleared, unless limited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultRule {
    pub(crate) fault: Fault,
    /// Only calls that name this role in `RoleArn`.
    pub(crate) role: Option<String>,
    /// Only calls of this action.
    pub(crate) action: Option<String>,
    /// Only this many calls.
    pub(crate) times: Option<u32>,
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self { fault, role: None, action: None, times: None }
    }
}

impl FaultRule {
    /// Only the next `calls` of the calls that fit.
    pub(crate) fn times(self, calls: u32) -> Self {
        Self { times: Some(calls), ..self }
    }

    fn hits(&self, action: &str, role_name: Option<&str>) -> bool {
        self.action.as_deref().is_none_or(|wanted| wanted == action)
            && (self.role.is_none() || self.role.as_deref() == role_name)
            && self.times != Some(0)
    }
}

/// The rules in force. A call meets at most one of them: the oldest that fits and is not used up,
/// so that rules set one after the other make a sequence.
#[derive(Debug, Default)]
pub(crate) struct FaultTable(Vec<FaultRule>);

impl FaultTable {
    pub(crate) fn add(&mut self, rule: FaultRule) {
        self.0.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault for one call, which is thereby counted.
    pub(crate) fn take(&mut self, action: &str, role_name: Option<&str>) -> Option<Fault> {
        let rule = self.0.iter_mut().find(|rule| rule.hits(action, role_name))?;
        rule.times = rule.times.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_used_up_in_the_order_they_were_set() {
        let mut table = FaultTable::default();
        table.add(Fault::Throttle.times(2));
        table.add(Fault::Deny.times(1));
        let taken: Vec<_> = (0..4).map(|_| table.take("AssumeRole", Some("prod"))).collect();
        let expected = [Some(Fault::Throttle), Some(Fault::Throttle), Some(Fault::Deny), None];
        assert_eq!(taken, expected);
    }

    #[test]
    fn a_rule_for_one_role_and_action_leaves_the_others_alone() {
        let mut table = FaultTable::default();
        table.add(Fault::Deny.for_role("prod"));
        table.add(Fault::Throttle.for_action("GetCallerIdentity"));
        assert_eq!(table.take("AssumeRole", Some("prod")), Some(Fault::Deny));
        assert_eq!(table.take("AssumeRole", Some("dev")), None);
        assert_eq!(table.take("AssumeRole", None), None);
        assert_eq!(table.take("GetCallerIdentity", None), Some(Fault::Throttle));
    }
}
