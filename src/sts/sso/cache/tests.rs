//! The files as they are written and read.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn cache(directory: &Path) -> TokenCache {
    TokenCache { directory: directory.join(".aws/sso/cache"), above: |_| None }
}

fn token() -> Token {
    let client = Registration { id: "id".into(), secret: Secret::new("cs"), expires_at: at(4000) };
    let refresh = Some(Refresh { token: Secret::new("rt"), client });
    Token { access: Secret::new("at"), expires_at: at(3600), refresh }
}

#[test]
fn a_token_is_read_as_it_was_written_and_by_the_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let cache = cache(home.path());
    let path = cache.file("name");
    let written = cache.write(&path, "https://start", "eu-west-1", &token(), None).unwrap();
    assert_eq!(cache.read(&path).unwrap(), (token(), written));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"startUrl\":\"https://start\",\"region\":\"eu-west-1\",\"accessToken\":\"at\",\
         \"expiresAt\":\"1970-01-01T01:00:00Z\",\"clientId\":\"id\",\"clientSecret\":\"cs\",\
         \"registrationExpiresAt\":\"1970-01-01T01:06:40Z\",\"refreshToken\":\"rt\"}"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&cache.directory)), (0o600, 0o700));
    assert_eq!(fs::read_dir(&cache.directory).unwrap().count(), 1, "nothing else stays");
}

#[test]
fn what_others_write_is_read() {
    let home = tempfile::tempdir().unwrap();
    let cache = cache(home.path());
    fs::create_dir_all(&cache.directory).unwrap();
    let path = cache.file("name");
    for expires_at in
        ["1970-01-01T01:00:00Z", "1970-01-01T01:00:00UTC", "1970-01-01T02:00:00+01:00"]
    {
        let text =
            format!("{{\"accessToken\": \"at\", \"expiresAt\": \"{expires_at}\", \"x\": [1]}}");
        fs::write(&path, text).unwrap();
        let (read, _) = cache.read(&path).unwrap();
        assert_eq!(read, Token { refresh: None, ..token() }, "{expires_at}");
    }
}

#[test]
fn a_file_that_is_no_token_is_told_without_its_content() {
    let home = tempfile::tempdir().unwrap();
    let cache = cache(home.path());
    fs::create_dir_all(&cache.directory).unwrap();
    let path = cache.file("name");
    assert!(matches!(cache.read(&path), Err(CacheError::Missing)));
    for text in [
        "",
        "{",
        "{\"accessToken\":\"hidden\"}",
        "{\"accessToken\":\"hidden\",\"expiresAt\":\"x\"}",
    ] {
        fs::write(&path, text).unwrap();
        let error = cache.read(&path).unwrap_err();
        assert!(matches!(error, CacheError::Malformed(_)), "{text}");
        assert!(!format!("{error} {error:?}").contains("hidden"));
    }
}

#[test]
fn a_registration_is_read_as_it_was_written() {
    let home = tempfile::tempdir().unwrap();
    let cache = cache(home.path());
    let client = token().refresh.unwrap().client;
    let path = cache.file("registration");
    assert_eq!(cache.read_registration(&path), None);
    cache.write_registration(&path, &client).unwrap();
    assert_eq!(cache.read_registration(&path), Some(client));
}

#[test]
fn nothing_is_read_or_written_through_our_own_mount() {
    let home = tempfile::tempdir().unwrap();
    let cache = TokenCache { above: |_| Some("/h/.aws".into()), ..cache(home.path()) };
    let path = cache.file("name");
    let refused = cache.write(&path, "s", "r", &token(), None).unwrap_err();
    assert!(refused.to_string().contains("inside the mount /h/.aws"), "{refused}");
    assert!(matches!(cache.read(&path), Err(CacheError::Mounted { .. })));
    assert!(!cache.directory.exists());
}
