//! One GetSessionToken call with MFA: the keys of an IAM user and a code → a session that carries
//! MFA. Must not know where codes come from.

use super::assume::session_in;
use super::client::StsClient;
use super::detail::Signer;
use crate::broker::{Cause, SessionError};
use crate::model::{MfaCode, MfaSession, StsSession};

impl StsClient {
    /// A session with MFA: resolves the keys, asks for a code, calls GetSessionToken.
    ///
    /// # Errors
    /// Those of the keys and of the call; `MfaCodeNeeded` and `MfaProcessFailed` of the code;
    /// `Misconfigured` if the keys are no keys of an IAM user, for which no code is asked.
    pub(super) async fn mfa_session(&self, mfa: &MfaSession) -> Result<StsSession, SessionError> {
        let keys = self.resolve(&mfa.base).await?;
        if keys.session_token.is_some() {
            let detail = format!(
                "AWS gives sessions with MFA for the keys of an IAM user only, and {} are a session \
                 already",
                mfa.base
            );
            return Err(SessionError::new(mfa.subject(), Cause::Misconfigured, &detail));
        }
        let code = self.codes().code(mfa).await?;
        let outcome = self.timely(|| self.session_token(mfa, &code, &keys)).await;
        match &outcome {
            Ok(_) => {}
            Err(error) if error.cause == Cause::MfaCodeRejected => {}
            Err(_) => self.codes().unused(mfa, code),
        }
        outcome
    }

    async fn session_token(
        &self,
        mfa: &MfaSession,
        code: &MfaCode,
        keys: &StsSession,
    ) -> Result<StsSession, SessionError> {
        let subject = mfa.subject();
        // Durations above 36 h are refused long before; STS would refuse this one as well.
        let seconds = i32::try_from(mfa.session_duration.as_secs()).unwrap_or(i32::MAX);
        let answer = self
            .sts(&mfa.sts_region, Some(keys))
            .get_session_token()
            .serial_number(mfa.device.as_str())
            .token_code(code.digits())
            .duration_seconds(seconds)
            .send()
            .await;
        match answer {
            Ok(output) => {
                let now = self.now();
                let mut session = session_in(&subject, output.credentials(), now)?;
                session.account_id.clone_from(&keys.account_id);
                Ok(session)
            }
            Err(error) => {
                let call = self.call(&subject, &mfa.sts_region, Signer::Session(keys));
                let mut error = super::classify::sts_error(call, &error);
                // Whoever answered may repeat what it was sent.
                error.detail = error.detail.replace(code.digits(), "[redacted]");
                Err(error)
            }
        }
    }
}
