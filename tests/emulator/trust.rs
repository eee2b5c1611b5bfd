//! Trust policies, as far as tests need them: who may assume a role, and whether with MFA. Knows
//! no requests. Sources: IAM User Guide, "AWS JSON policy elements: Principal" and "Secure API
//! access with MFA".

use super::keys::{Principal, PrincipalKind};
use super::options::RoleRules;

/// Whether the trust policy of a role lets `caller` assume it.
pub(crate) fn admits(rules: &RoleRules, caller: &Principal) -> bool {
    let is_trusted = rules.trusts.is_empty() || rules.trusts.iter().any(|it| names(it, caller));
    is_trusted && (!rules.requires_mfa || caller.has_mfa)
}

/// Whether `principal` names the caller: its account (12 digits, or the ARN of its root), its own
/// ARN, or, for the session of a role, the ARN of that role.
fn names(principal: &str, caller: &Principal) -> bool {
    let Principal { account_id, arn, .. } = caller;
    principal == account_id
        || principal == arn
        || principal.strip_suffix(":root").is_some_and(|account| account.ends_with(&**account_id))
        || is_session_of(principal, caller)
}

/// Sessions name their role without its path, so the path counts for nothing here.
fn is_session_of(role_arn: &str, caller: &Principal) -> bool {
    let Some((account, role)) = role_arn.split_once(":role/") else { return false };
    let Some((_, session)) = caller.arn.split_once(":assumed-role/") else { return false };
    let name = role.rsplit('/').next();
    caller.kind == PrincipalKind::AssumedRole
        && account.ends_with(&*caller.account_id)
        && session.split('/').next() == name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::attributes::SessionAttributes;

    const ACCOUNT: &str = "123456789012";

    fn principal(kind: PrincipalKind, arn: &str) -> Principal {
        Principal {
            kind,
            account_id: ACCOUNT.to_owned(),
            arn: arn.to_owned(),
            user_id: "AIDA".to_owned(),
            attributes: SessionAttributes::default(),
            has_mfa: false,
        }
    }

    fn user() -> Principal {
        principal(PrincipalKind::User, "arn:aws:iam::123456789012:user/dev")
    }

    fn hub() -> Principal {
        let arn = "arn:aws:sts::123456789012:assumed-role/hub/me";
        principal(PrincipalKind::AssumedRole, arn)
    }

    fn trusts(principal: &str, caller: &Principal) -> bool {
        let trusts = vec!["arn:aws:iam::999999999999:root".to_owned(), principal.to_owned()];
        admits(&RoleRules { trusts, ..RoleRules::default() }, caller)
    }

    #[test]
    fn a_principal_names_an_account_an_identity_or_a_role() {
        for caller in [user(), hub()] {
            assert!(trusts(ACCOUNT, &caller));
            assert!(trusts("arn:aws:iam::123456789012:root", &caller));
            assert!(trusts(&caller.arn.clone(), &caller));
            assert!(!trusts("210987654321", &caller));
            assert!(!trusts("arn:aws:iam::210987654321:root", &caller));
        }
        assert!(trusts("arn:aws:iam::123456789012:role/hub", &hub()));
        assert!(trusts("arn:aws:iam::123456789012:role/team/hub", &hub()));
        assert!(!trusts("arn:aws:iam::123456789012:role/hub", &user()));
        assert!(!trusts("arn:aws:iam::123456789012:role/hu", &hub()));
        assert!(!trusts("arn:aws:iam::210987654321:role/hub", &hub()));
    }

    #[test]
    fn a_role_that_trusts_nobody_by_name_trusts_all() {
        assert!(admits(&RoleRules::default(), &user()));
    }

    #[test]
    fn a_role_that_requires_mfa_wants_it_of_the_calling_session() {
        let rules = RoleRules { requires_mfa: true, ..RoleRules::default() };
        assert!(!admits(&rules, &user()));
        assert!(admits(&rules, &Principal { has_mfa: true, ..user() }));
    }
}
