//! What is said of each kind of failure: to readers, and to whoever has to mend it.

use super::Cause;

impl Cause {
    /// One clause that says what happened. It stands in files that readers of the mount see, so
    /// it has letters, digits, spaces, commas, hyphens and full stops only.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AccessDenied => "AWS denied AssumeRole",
            Self::SessionTagsDenied => "AWS denied the session tags",
            Self::SourceIdentityDenied => "AWS denied the source identity",
            Self::MalformedPolicy => "AWS cannot read the session policy",
            Self::PolicyTooLarge => "the session policies and tags are too large",
            Self::DurationTooLong => "the session duration is above the maximum of the role",
            Self::ChainedDurationTooLong => "a chained role cannot have a session above 1 hour",
            Self::ClockSkew => "the clock of this machine differs too much from that of AWS",
            Self::BaseExpired => "the base credentials are expired",
            Self::LoginNeeded => "nobody is signed in",
            Self::NotAssigned => "IAM Identity Center does not give this role",
            Self::BaseInvalid => "AWS does not accept the base credentials",
            Self::NoBaseCredentials => "no base credentials were found",
            Self::MfaCodeNeeded => "an MFA code is needed",
            Self::MfaCodeRejected => "AWS did not accept the MFA code",
            Self::MfaProcessFailed => "the mfa process gave no code",
            Self::BaseSourceFailed => "the source of the base credentials failed",
            Self::WebIdentityDenied => "AWS denied AssumeRoleWithWebIdentity",
            Self::TokenInvalid => "AWS does not accept the web identity token",
            Self::TokenExpired => "the web identity token is expired",
            Self::TokenSourceFailed => "the source of the web identity token failed",
            Self::Misconfigured => "the AWS configuration of this machine cannot be used",
            Self::WrongRegion => "the region is disabled or in another partition",
            Self::TokenDenied => "the issuer does not give this token",
            Self::IssuerUnavailable => "the issuer of the token cannot be reached or fails",
            Self::Rejected => "AWS refused a parameter of AssumeRole",
            Self::Throttled => "AWS throttles AssumeRole calls",
            Self::ServiceUnavailable => "AWS STS is unavailable",
            Self::Network => "AWS STS cannot be reached",
            Self::TimedOut => "no answer came in time",
            Self::BadAnswer => "the answer of AWS STS was unusable",
            Self::Busy => "too many programs wait for this role",
            Self::Locked => "credmount is locked",
            Self::Ended => "this mount was ended",
            Self::Unconfigured => "the configuration of credmount is broken",
            Self::NoRole => "this mount has no role",
        }
    }

    /// What to do about it: whole sentences for the operator.
    #[expect(clippy::too_many_lines, reason = "a table with a row for each cause")]
    pub fn advice(self) -> &'static str {
        match self {
            Self::AccessDenied => {
                "Three things decide: the trust policy of the role must allow the calling \
                 identity sts:AssumeRole; the policies of the calling identity must allow \
                 sts:AssumeRole on the role; and the conditions of both must be met, such as \
                 sts:ExternalId (see external_id) or aws:MultiFactorAuthPresent (see mfa_serial). \
                 A role that does not exist gives the same answer."
            }
            Self::SessionTagsDenied => {
                "Two things must allow sts:TagSession beside sts:AssumeRole: the trust policy of \
                 the role, for the calling identity, and the policies of the calling identity, on \
                 the role; conditions on aws:RequestTag or aws:TagKeys must admit these tags. It \
                 is needed too when tags come along from the session before (transitive tags). Or \
                 remove tags from the mount."
            }
            Self::SourceIdentityDenied => {
                "The trust policy of the role and the policies of the calling identity must both \
                 allow sts:SetSourceIdentity beside sts:AssumeRole, also when a source identity \
                 comes along from the session before; conditions on sts:SourceIdentity must admit \
                 this one. A source identity once set stays for the whole role chain: if the base \
                 credentials carry one, set source_identity to the same or remove it."
            }
            Self::MalformedPolicy => {
                "Mend policy: it must be an IAM policy document in JSON with Version and \
                 Statement, without Principal. aws accessanalyzer validate-policy --policy-type \
                 IDENTITY_POLICY --policy-document file://FILE says what is wrong."
            }
            Self::PolicyTooLarge => {
                "STS packs policy, policy_arns and tags together and takes no more than 100 percent \
                 of its space; what it answered says how much they need. Shorten them: fewer or \
                 shorter tags, a managed policy (policy_arns) in place of a long policy. Tags that \
                 come along from the session before take space as well; the sessions of EKS Pod \
                 Identity bring many."
            }
            Self::DurationTooLong => {
                "Ask for less with session_duration, or raise the maximum session duration of \
                 the role: aws iam update-role --role-name NAME --max-session-duration SECONDS."
            }
            Self::ChainedDurationTooLong => {
                "AWS limits a role assumed with the session of another role to 1 hour: set \
                 session_duration to 1h or less. The base credentials may be such a session too."
            }
            Self::ClockSkew => {
                "Set the clock of this machine (timedatectl set-ntp true); AWS accepts a \
                 difference of 5 minutes."
            }
            Self::BaseExpired => {
                "Renew the base credentials: sign in again (aws sso login), or let their source \
                 write new keys. credmount reads them again by itself."
            }
            Self::LoginNeeded => {
                "Sign in: credmount login NAME, NAME being the identity or the AWS profile; for IAM \
                 Identity Center also aws sso login --profile NAME. Running daemons notice it \
                 within seconds."
            }
            Self::NotAssigned => {
                "Compare sso_account_id and sso_role_name of the profile with what the start page \
                 of IAM Identity Center shows; a permission set may have been taken away, or have \
                 to be asked for."
            }
            Self::BaseInvalid => {
                "The access key may be deleted or inactive, its secret or session token may not \
                 belong to it, it may be of another partition, or the region may be an opt-in \
                 region that the account has not enabled. Try: aws sts get-caller-identity with \
                 the same source."
            }
            Self::NoBaseCredentials => {
                "Give credmount something to sign with: a source profile with keys, SSO or a \
                 credential_process, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity \
                 token, or a role of the instance or container. A service does not see the \
                 environment of your shell."
            }
            Self::MfaCodeNeeded => {
                "Give the code that the device shows: credmount mfa. It is asked for and lasts for \
                 all roles behind the device. A command that prints codes (mfa_process) needs nobody."
            }
            Self::MfaCodeRejected => {
                "A code is good once, and for about a minute: wait for the next one, then credmount \
                 mfa. If none is accepted, look at the clock of the device and at mfa_serial: aws \
                 iam list-mfa-devices shows the devices of the user whose keys are used."
            }
            Self::MfaProcessFailed => {
                "Run the mfa_process by hand as the same user, without a terminal for its input: it \
                 has to print a code of six digits within 30 seconds. Meanwhile credmount mfa takes \
                 a code."
            }
            Self::BaseSourceFailed => {
                "Run the credential_process of the profile by hand as the same user, or ask the \
                 metadata service with curl: it says there what is wrong."
            }
            Self::WebIdentityDenied => {
                "The trust policy of the role must name the issuer as federated principal and allow \
                 sts:AssumeRoleWithWebIdentity, and its conditions must fit the claims of the \
                 token: ISSUER:aud its audience, ISSUER:sub its subject. An IAM OIDC provider for \
                 the issuer must exist in the account of the role. A role that does not exist \
                 gives the same answer."
            }
            Self::TokenInvalid => {
                "The token must be an ID token (JWT) of an issuer for which the account of the role \
                 has an IAM OIDC provider that lists its audience, and whose keys AWS can fetch. An \
                 access token is none."
            }
            Self::TokenExpired => {
                "Whoever writes the token has to renew it: the kubelet, the CI system, \
                 web_identity_process. credmount reads it again by itself. If the token is new, \
                 check the clock of its issuer."
            }
            Self::TokenSourceFailed => {
                "Look at web_identity_token_file, run web_identity_process by hand as the same user, \
                 or ask the issuer of the identity with curl: it says there what is wrong. \
                 credmount tries again by itself."
            }
            Self::Misconfigured => {
                "Mend the profile that is named, or the endpoint setting (AWS_ENDPOINT_URL_STS, \
                 AWS_ENDPOINT_URL, endpoint_url). aws configure list --profile NAME shows what is \
                 in effect."
            }
            Self::WrongRegion => {
                "Use a region that is enabled for the account of the base credentials and belongs \
                 to the partition of the role (region, or --region); aws account list-regions \
                 shows which are enabled."
            }
            Self::TokenDenied => {
                "Compare owner and repositories with what the issuer may give: the GitHub App must be \
                 installed for the owner, with these repositories, and the issuer must let who is \
                 logged in use it. For ssh, it must sign for who is logged in, and with principals. \
                 What it answered says more."
            }
            Self::IssuerUnavailable => {
                "Ask the issuer of the identity, or token_url, with curl: it says there what is wrong. \
                 Check name resolution, firewall and proxy (HTTPS_PROXY, NO_PROXY). credmount tries \
                 again by itself; a token that is still valid is served."
            }
            Self::Rejected => {
                "Compare what AWS says with the settings of this role: role_arn, session_name, \
                 external_id, session_duration, source_identity, tags, transitive_tag_keys, policy_arns. \
                 A tag that comes along from the session before cannot be set again."
            }
            Self::Throttled => {
                "The account makes too many STS calls; credmount tries again by itself. Fewer \
                 mounts or a longer session_duration make fewer calls."
            }
            Self::ServiceUnavailable => {
                "AWS has a problem; credmount tries again by itself. health.aws.amazon.com shows \
                 the state of the region."
            }
            Self::Network => {
                "Check name resolution, routing, firewall and proxy (HTTPS_PROXY, NO_PROXY) \
                 towards sts.REGION.amazonaws.com port 443. A private subnet needs NAT or an STS \
                 VPC endpoint; a proxy that opens TLS needs its CA in SSL_CERT_FILE."
            }
            Self::TimedOut => {
                "Packets may be dropped on the way to STS (firewall, security group of the VPC \
                 endpoint, proxy), or the source of the base credentials takes too long."
            }
            Self::BadAnswer => {
                "Something other than STS may have answered: a proxy, a captive portal, a wrong \
                 endpoint URL. If the session arrived expired, check the clock of this machine."
            }
            Self::Busy => {
                "Find out why so many programs read at once while there is no session, or why AWS \
                 does not answer; max_waiting_opens is how many may wait."
            }
            Self::Locked => "credmount unlock serves again.",
            Self::Ended => "Start the container or program anew with a mount that is served.",
            Self::Unconfigured => {
                "Mend what credmount status and the log name; it is served again within seconds, \
                 or at once by credmount reload."
            }
            Self::NoRole => {
                "The mount has tokens only. Name roles for it, with --role or roles of its table."
            }
        }
    }
}
