//! One GetSessionToken call with MFA: the keys of an IAM user and a code → a session that carries
//! MFA. Must not know where codes come from.

use super::assume::{self, Said, session_in};
use super::calls::{Begun, key_of};
use super::client::StsClient;
use super::detail::Signer;
use crate::broker::{CallKind, Cause, SessionError};
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
        let begun = Begun::at(self.now(), CallKind::GetSessionToken);
        let answer = self
            .sts(&mfa.sts_region, Some(keys))
            .get_session_token()
            .serial_number(mfa.device.as_str())
            .token_code(code.digits())
            .duration_seconds(seconds)
            .send()
            .await;
        let (outcome, said) = match answer {
            Ok(output) => {
                let session = session_in(&subject, output.credentials(), self.now());
                let account_id = keys.account_id.clone();
                let session = session.map(|session| StsSession { account_id, ..session });
                (session, Said::with(&output, None))
            }
            Err(error) => {
                let said = Said::by(&error);
                let call = self.call(&subject, &mfa.sts_region, Signer::Session(keys));
                let mut error = super::classify::sts_error(call, &error);
                // Whoever answered may repeat what it was sent.
                error.detail = error.detail.replace(code.digits(), "[redacted]");
                (Err(error), said.without(code.digits()))
            }
        };
        let call = begun.ended(mfa.device.as_str(), assume::told(key_of(&outcome), said));
        self.tell(&call).await;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use aws_sdk_sts::config::SharedHttpClient;
    use parking_lot::Mutex;

    use super::super::client_tests::{FixedClock, error_answer, now, options, replay};
    use crate::broker::{BoxFuture, MfaCodes, SessionSource as _};
    use crate::model::{BaseCredentials, MfaDevice, RegionName};

    use super::*;

    const CODE: &str = "918273";

    /// Has one code, and notes whether it came back.
    #[derive(Debug, Default)]
    struct OneCode(Mutex<Vec<MfaCode>>);

    impl MfaCodes for OneCode {
        fn code<'a>(&'a self, _: &'a MfaSession) -> BoxFuture<'a, Result<MfaCode, SessionError>> {
            Box::pin(async { Ok(MfaCode::parse(CODE).unwrap()) })
        }

        fn unused(&self, _: &MfaSession, code: MfaCode) {
            self.0.lock().push(code);
        }
    }

    /// The outcome, and how often the code came back.
    async fn ask(http: SharedHttpClient) -> (Result<StsSession, SessionError>, usize) {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        let profile = "[profile p]\naws_access_key_id = AKIA1\naws_secret_access_key = s/1\n";
        std::fs::write(&config, profile).unwrap();
        let codes = Arc::new(OneCode::default());
        let mut options = options(&config);
        options.mfa_codes = codes.clone();
        let client = StsClient::with_http(options, Arc::new(FixedClock(now())), http).await;
        let base = BaseCredentials::Mfa(Box::new(MfaSession {
            base: BaseCredentials::Profile("p".to_owned()),
            device: MfaDevice::parse("arn:aws:iam::123456789012:mfa/jane").unwrap(),
            sts_region: RegionName::parse("eu-west-1").unwrap(),
            session_duration: Duration::from_hours(36),
            process: None,
        }));
        let outcome = client.base(&base).await;
        let back = codes.0.lock().len();
        (outcome, back)
    }

    #[tokio::test]
    async fn the_call_has_device_code_and_duration_and_is_signed_by_the_keys_of_the_user() {
        let (http, record) = replay(vec![error_answer(403, "AccessDenied", "no")]);
        let (outcome, _) = ask(http).await;
        assert_eq!(
            outcome.unwrap_err().subject,
            "MFA session of arn:aws:iam::123456789012:mfa/jane"
        );
        let request = record.actual_requests().next().unwrap();
        assert_eq!(
            request.body().bytes().unwrap(),
            b"Action=GetSessionToken&Version=2011-06-15&DurationSeconds=129600\
              &SerialNumber=arn%3Aaws%3Aiam%3A%3A123456789012%3Amfa%2Fjane&TokenCode=918273"
        );
        assert!(request.uri().starts_with("https://sts.eu-west-1.amazonaws.com"));
        assert!(request.headers().get("authorization").unwrap().contains("AKIA1/"));
    }

    #[tokio::test]
    async fn a_code_that_was_not_judged_comes_back_and_no_answer_makes_it_known() {
        let rejected =
            "MultiFactorAuthentication failed with invalid MFA one time pass code 918273";
        for (status, code, message, cause, back) in [
            (403, "AccessDenied", rejected, Cause::MfaCodeRejected, 0),
            (503, "ServiceUnavailable", "TokenCode=918273", Cause::ServiceUnavailable, 1),
        ] {
            let (http, _) = replay(vec![error_answer(status, code, message)]);
            let (outcome, came_back) = ask(http).await;
            let error = outcome.unwrap_err();
            assert_eq!((error.cause, came_back), (cause, back));
            assert!(!format!("{error} {error:?}").contains(CODE), "{error}");
        }
    }
}
