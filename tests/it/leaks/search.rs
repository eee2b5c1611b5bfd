//! What must not be told, what was told, and the search for the one in the other.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::endpoint;
use crate::support::Scene;

/// Keys that stand in files and variables, where nobody expects them to be repeated.
pub(crate) const PLANTED: [(&str, &str); 2] = [
    ("the planted secret key", "Zq7RkT2mXv9LwPb4Hs8YcN1dFg6JeU3aVo5KxQ0i"),
    ("the planted session token", "IQoPlanted7Hk2Wm9Rt4Yx8Bz1Lc6Vn3Qd5Fs0Gj7Ua2Ei4Ow"),
];

/// Texts to look for, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    forms: Vec<(String, String)>,
    /// Codes of six digits, which stand in longer numbers by chance.
    codes: BTreeSet<String>,
}

impl Secrets {
    pub(crate) fn planted() -> Self {
        let mut secrets = Self::default();
        for (name, text) in PLANTED {
            secrets.add(name, text);
        }
        secrets
    }

    /// The planted ones, the base key, and all that the emulator issued so far, answered or not.
    pub(crate) fn of(scene: &Scene) -> Self {
        let mut secrets = Self::planted();
        let emulator = &scene.emulator;
        secrets.add("the base secret key", emulator.base_secret_access_key());
        for (number, session) in emulator.issued_sessions().iter().enumerate() {
            let arn = &session.arn;
            secrets.add(&format!("secret key {number} ({arn})"), &session.secret_access_key);
            secrets.add(&format!("token {number} ({arn})"), &session.session_token);
        }
        for (who, all) in [
            ("IAM Identity Center", emulator.sso_secrets()),
            ("the issuer", emulator.issuer_secrets()),
            ("the metadata service", emulator.instance_tokens()),
        ] {
            for (number, secret) in all.iter().enumerate() {
                secrets.add(&format!("secret {number} of {who}"), secret);
            }
        }
        for code in emulator.mfa_codes() {
            secrets.add_code(&code);
        }
        secrets
    }

    /// A key, a token or a device code. Of a JWT the signature is what nobody can guess: all begin
    /// alike.
    pub(crate) fn add(&mut self, name: &str, secret: &str) {
        if let Some((signed, signature)) = secret.rsplit_once('.') {
            self.forms.push((format!("{name}, its claims"), signed.to_owned()));
            return self.add(&format!("{name}, its signature"), signature);
        }
        assert!(secret.len() >= 36 && secret.is_ascii(), "{name} is long enough to search for");
        let mut form = |form: &str, text: String| self.forms.push((format!("{name}{form}"), text));
        form("", secret.to_owned());
        form(", its begin", secret[..12].to_owned());
        form(", its end", secret[secret.len() - 12..].to_owned());
        let escaped: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        form(", escaped for a URL", escaped);
        for shift in 0..3 {
            // One of the three stands in the base64 of any text that holds the secret.
            let whole_groups = aws_smithy_types::base64::encode(&secret[shift..shift + 30]);
            form(", in base64", whole_groups);
        }
        let mut hex = String::new();
        for byte in secret.bytes().take(16) {
            write!(hex, "{byte:02x}").unwrap();
        }
        form(", in hexadecimal", hex);
    }

    /// An MFA code.
    pub(crate) fn add_code(&mut self, code: &str) {
        assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
        self.codes.insert(code.to_owned());
    }

    /// What is no key and no code, but typed where one is asked for.
    pub(crate) fn add_words(&mut self, name: &str, words: &str) {
        self.forms.push((name.to_owned(), words.to_owned()));
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.forms.extend(more.forms);
        self.codes.extend(more.codes);
    }

    /// Whether one of this name is among them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.forms.iter().any(|(own, _)| own == name)
    }

    /// The names of those that are in `text`.
    pub(crate) fn found_in<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let forms = self.forms.iter().filter(|(_, form)| text.contains(form.as_str()));
        let codes = self.codes.iter().filter(|code| stands_alone(text, code));
        forms.map(|(name, _)| name.as_str()).chain(codes.map(|_| "an MFA code"))
    }
}

/// Whether a code is in `text` other than as a part of a word, a longer number or the fraction of a
/// second.
fn stands_alone(text: &str, code: &str) -> bool {
    text.match_indices(code).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + code.len()..].chars().next();
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        !is_word(before) && !is_word(after) && before != Some('.')
    })
}

/// What was said and where.
#[derive(Debug, Default)]
pub(crate) struct Evidence(Vec<(String, Vec<u8>)>);

impl Evidence {
    pub(crate) fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    pub(crate) fn output(&mut self, args: &[&str], output: &Output) {
        self.add(format!("stdout of {args:?}"), output.stdout.clone());
        self.add(format!("stderr of {args:?}"), output.stderr.clone());
    }

    /// Runs a command whose output holds no keys.
    pub(crate) fn run(&mut self, scene: &Scene, args: &[&str]) -> i32 {
        let output = scene.run(args);
        self.output(args, &output);
        output.status.code().expect("no signal ends it")
    }

    /// All files below a directory.
    pub(crate) fn files(&mut self, dir: &Path) {
        for path in tree(dir) {
            if path.is_file() {
                self.add(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }

    /// What the endpoint of a mount answers to one who shows this.
    pub(crate) fn asked(&mut self, address: SocketAddr, path: &str, shown: &str, when: &str) {
        let request = endpoint::request(address, path, shown, &[]);
        let answer = endpoint::converse(address, &request).unwrap();
        self.add(format!("the endpoint's answer {when}"), answer.whole);
    }

    /// The same for those who guess. What they tried must not be written down either: it may be
    /// another secret.
    pub(crate) fn guesses(&mut self, address: SocketAddr, token: &str, when: &str) {
        let guess = PLANTED[0].1;
        self.asked(address, "/role/prod", guess, when);
        self.asked(address, &format!("/{guess}"), token, when);
        self.asked(address, "/role/nobody", token, when);
    }

    /// Each place that holds a secret, and which.
    pub(crate) fn leaks(&self, secrets: &Secrets) -> BTreeSet<(String, String)> {
        let mut leaks = BTreeSet::new();
        for (place, bytes) in &self.0 {
            let said = String::from_utf8_lossy(bytes);
            leaks.extend(secrets.found_in(&said).map(|name| (place.clone(), name.to_owned())));
        }
        leaks
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self, secrets: &Secrets) {
        let leaks = self.leaks(secrets);
        assert!(leaks.is_empty(), "secrets were found: {leaks:#?}");
    }

    /// Whether a text was said anywhere: that something was provoked is not taken for granted.
    #[track_caller]
    pub(crate) fn assert_said(&self, words: &str) {
        let said = self.0.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(words));
        assert!(said, "nobody said {words:?}");
    }
}

/// Everything below a directory, without going through mounts or symlinks.
pub(crate) fn tree(dir: &Path) -> Vec<PathBuf> {
    let device = fs::metadata(dir).unwrap().dev();
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() && meta.dev() == device {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found
}

/// What a socket answers.
pub(crate) fn converse(socket: &Path, request: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut answer).unwrap();
    answer
}

#[test]
fn the_search_finds_every_form_of_a_secret() {
    let (_, secret) = PLANTED[0];
    let hidden = |text: String| {
        let mut evidence = Evidence::default();
        evidence.add("stderr", text);
        !evidence.leaks(&Secrets::planted()).is_empty()
    };
    assert!(hidden(format!("key={secret}")));
    assert!(hidden(format!("key={}…", &secret[..12])));
    assert!(hidden(format!("…{}", &secret[28..])));
    for before in ["", "x", "xy"] {
        assert!(
            hidden(aws_smithy_types::base64::encode(format!("{before}{secret}"))),
            "{before:?}"
        );
    }
    assert!(!hidden(format!("key={}", &secret[14..25])));
}

#[test]
fn the_search_finds_a_code_and_takes_no_part_of_a_number_for_one() {
    let mut secrets = Secrets::default();
    secrets.add_code("918273");
    let hidden = |text: &str| secrets.found_in(text).next().is_some();
    for text in ["918273", "code=918273", "\"918273\"", "TokenCode 918273,", "918273."] {
        assert!(hidden(text), "{text}");
    }
    for text in ["1918273", "9182730", "12:00:07.918273Z", "0x918273", "ab918273"] {
        assert!(!hidden(text), "{text}");
    }
}

#[test]
fn the_search_knows_a_jwt_by_its_signature_and_its_claims() {
    let mut secrets = Secrets::default();
    let signature = PLANTED[0].1;
    secrets.add("a token", &format!("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.{signature}"));
    let hidden = |text: &str| secrets.found_in(text).next().is_some();
    assert!(hidden(&format!("…{}", &signature[28..])));
    assert!(hidden("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0."));
    assert!(!hidden("eyJhbGciOiJSUzI1NiJ9."));
}
