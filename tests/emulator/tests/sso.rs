//! IAM Identity Center: sign-in by device authorization, refresh, and role credentials, with the
//! SDK's clients.

use std::time::Duration;

use aws_sdk_ssooidc::config::retry::RetryConfig;
use aws_sdk_ssooidc::config::{BehaviorVersion, Region};
use aws_sdk_ssooidc::operation::create_token::{CreateTokenError, CreateTokenOutput};
use aws_sdk_ssooidc::operation::register_client::RegisterClientOutput;
use aws_smithy_runtime_api::client::result::SdkError;

use crate::emulator::{Decision, Emulator, Fault, RoleRules};
use crate::support::{PlainAnswer, client, identity, keys, plain, refusal_code, start};

const ACCOUNT: &str = "210987654321";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn oidc(emulator: &Emulator) -> aws_sdk_ssooidc::Client {
    let config = aws_sdk_ssooidc::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::from_static("eu-west-1"))
        .endpoint_url(emulator.endpoint())
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_ssooidc::Client::from_conf(config)
}

fn portal(emulator: &Emulator) -> aws_sdk_sso::Client {
    let config = aws_sdk_sso::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::from_static("eu-west-1"))
        .endpoint_url(emulator.endpoint())
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_sso::Client::from_conf(config)
}

/// A registered client.
struct App {
    oidc: aws_sdk_ssooidc::Client,
    registered: RegisterClientOutput,
}

impl App {
    async fn register(emulator: &Emulator, scopes: &[&str]) -> Self {
        let oidc = oidc(emulator);
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let request = oidc.register_client().client_name("tests").client_type("public");
        let registered = request.set_scopes(Some(scopes)).send().await.expect("registered");
        Self { oidc, registered }
    }

    /// Begins; the device code and the user code.
    async fn begin(&self) -> (String, String) {
        let request = self
            .oidc
            .start_device_authorization()
            .client_id(self.registered.client_id().expect("an id"))
            .client_secret(self.registered.client_secret().expect("a secret"))
            .start_url("https://example.awsapps.com/start");
        let begun = request.send().await.expect("codes");
        let page = begun.verification_uri_complete().expect("a page");
        let code = begun.user_code().expect("a code");
        assert!(page.ends_with(&format!("?user_code={code}")), "{page}");
        (begun.device_code().expect("a code").to_owned(), code.to_owned())
    }

    async fn poll(
        &self,
        device_code: &str,
    ) -> Result<
        CreateTokenOutput,
        SdkError<CreateTokenError, aws_sdk_ssooidc::config::http::HttpResponse>,
    > {
        self.request(DEVICE_GRANT).device_code(device_code).send().await
    }

    fn request(
        &self,
        grant: &str,
    ) -> aws_sdk_ssooidc::operation::create_token::builders::CreateTokenFluentBuilder {
        self.oidc
            .create_token()
            .client_id(self.registered.client_id().expect("an id"))
            .client_secret(self.registered.client_secret().expect("a secret"))
            .grant_type(grant)
    }
}

/// The role credentials that an access token gives, as keys for STS.
async fn role_keys(emulator: &Emulator, token: &str) -> aws_credential_types::Credentials {
    let answer = portal(emulator).get_role_credentials().role_name("Admin").account_id(ACCOUNT);
    let answer = answer.access_token(token).send().await.expect("credentials");
    let given = answer.role_credentials().expect("credentials");
    keys(
        given.access_key_id().expect("an id"),
        given.secret_access_key().expect("a secret"),
        given.session_token(),
    )
}

#[tokio::test]
async fn a_device_that_is_approved_gets_keys_that_sts_accepts() {
    let emulator = start();
    emulator.set_sso(|sso| sso.poll_interval = Duration::ZERO);
    let app = App::register(&emulator, &["sso:account:access"]).await;
    let (device_code, user_code) = app.begin().await;
    let pending = app.poll(&device_code).await;
    assert_eq!(refusal_code(pending), (400, "AuthorizationPendingException".to_owned()));
    assert!(emulator.decide(&user_code, Decision::Approve));
    let tokens = app.poll(&device_code).await.expect("tokens");
    assert_eq!(tokens.expires_in(), 3600);
    assert!(tokens.refresh_token().is_some());
    let keys = role_keys(&emulator, tokens.access_token().expect("a token")).await;
    let arn = identity(&client(&emulator, keys)).await;
    let role = format!("arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_");
    assert!(arn.starts_with(&role) && arn.ends_with("/dev@example.com"), "{arn}");
}

#[tokio::test]
async fn whoever_opens_the_verification_page_approves() {
    let emulator = start();
    let app = App::register(&emulator, &[]).await;
    let (device_code, user_code) = app.begin().await;
    let page = |code: &str| {
        plain(&emulator, "GET", &format!("/_emulator/device?user_code={code}"), &[], "").status
    };
    assert_eq!((page("WRONG"), page(&user_code)), (404, 200));
    let tokens = app.poll(&device_code).await.expect("tokens");
    assert!(tokens.refresh_token().is_none(), "no scope, no refresh");
}

#[tokio::test]
async fn a_device_that_is_denied_or_too_late_is_told_so() {
    let emulator = start();
    let app = App::register(&emulator, &[]).await;
    let (denied, user_code) = app.begin().await;
    emulator.decide(&user_code, Decision::Deny);
    let refused = app.poll(&denied).await;
    assert_eq!(refusal_code(refused), (400, "AccessDeniedException".to_owned()));
    let (late, _) = app.begin().await;
    emulator.expire_user_codes();
    assert_eq!(refusal_code(app.poll(&late).await).1, "ExpiredTokenException");
    assert_eq!(refusal_code(app.poll("unknown").await).1, "InvalidGrantException");
    let (hasty, _) = app.begin().await;
    emulator.slow_down(1);
    assert_eq!(refusal_code(app.poll(&hasty).await).1, "SlowDownException");
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_until_it_is_revoked() {
    let emulator = start();
    let sign_in = emulator.sign_in();
    let oidc = oidc(&emulator);
    let refresh = |token: &str| {
        oidc.create_token()
            .client_id(&sign_in.client_id)
            .client_secret(&sign_in.client_secret)
            .grant_type("refresh_token")
            .refresh_token(token)
            .send()
    };
    let tokens = refresh(&sign_in.refresh_token).await.expect("tokens");
    let again = refresh(&sign_in.refresh_token).await;
    assert_eq!(refusal_code(again), (400, "InvalidGrantException".to_owned()));
    emulator.revoke_refresh_tokens();
    let next = tokens.refresh_token().expect("a token");
    assert_eq!(refusal_code(refresh(next).await).1, "InvalidGrantException");
    role_keys(&emulator, tokens.access_token().expect("a token")).await;
}

#[tokio::test]
async fn the_portal_tells_its_refusals_apart() {
    let emulator = start();
    let sign_in = emulator.sign_in();
    let portal = portal(&emulator);
    let ask = |role: &str, account: &str| {
        let request = portal.get_role_credentials().access_token(&sign_in.access_token);
        request.role_name(role).account_id(account).send()
    };
    emulator.set_role("Gone", RoleRules { is_deleted: true, ..RoleRules::default() });
    let forbidden = (403, "ForbiddenException".to_owned());
    assert_eq!(refusal_code(ask("Gone", ACCOUNT).await), forbidden);
    assert_eq!(refusal_code(ask("Admin", "1").await).1, "ResourceNotFoundException");
    emulator.set_fault(Fault::Throttle.for_action("GetRoleCredentials").times(1));
    let throttled = (429, "TooManyRequestsException".to_owned());
    assert_eq!(refusal_code(ask("Admin", ACCOUNT).await), throttled);
    emulator.expire_access_tokens();
    let unauthorized = (401, "UnauthorizedException".to_owned());
    assert_eq!(refusal_code(ask("Admin", ACCOUNT).await), unauthorized);
    assert_eq!(emulator.action_count("GetRoleCredentials"), 4);
}

#[test]
fn the_control_interface_decides_and_changes() {
    let emulator = start();
    let post = |name: &str, body: &str| -> PlainAnswer {
        plain(&emulator, "POST", &format!("/_emulator/{name}"), &[], body)
    };
    assert_eq!(post("sso", r#"{"access_token_lifetime_seconds": 7}"#).status, 200);
    let left = emulator.sign_in().expiration.duration_since(emulator.now());
    assert!(left.is_ok_and(|left| left < Duration::from_secs(8)));
    assert_eq!(post("sso", r#"{"oops": 7}"#).status, 400);
    assert_eq!(post("devices", r#"{"user_code": "A", "decision": "deny"}"#).status, 404);
    let shown = plain(&emulator, "GET", "/_emulator/devices", &[], "").body;
    assert_eq!(shown, "{\"user_codes\":[]}\n");
}
