//! The head of a request to the endpoint of a mount: let in is only who shows the token, by the one
//! address, with nobody in between; and nobody is told the token.

#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use credmount::endpoint::admit;
use credmount::model::Secret;
use credmount_fuzz::{PLANTED, is_one_line, is_spoilt};
use http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;

static TOKEN: LazyLock<Secret> = LazyLock::new(|| Secret::new(PLANTED));

/// What stands for the token in an input, which cannot know it.
const WORD: &[u8] = b"TOKEN";

// A method and a target, then lines of header.
fuzz_target!(|text: &[u8]| {
    if is_spoilt(text) {
        return;
    }
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut first = lines.next().unwrap_or_default().splitn(2, |byte| *byte == b' ');
    let (Some(method), Some(target)) = (first.next(), first.next()) else { return };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method), Uri::try_from(target)) else { return };
    let headers: HeaderMap = lines.filter_map(header).collect();
    for address in ["127.0.0.1:8080", "[::1]:80"] {
        let address: SocketAddr = address.parse().expect("an address");
        match admit(&method, &uri, &headers, address, &TOKEN) {
            Ok(name) => {
                assert_eq!(method, Method::GET);
                let shown: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
                assert_eq!(shown, [PLANTED], "let in without the token");
                for sign in [FORWARDED, VIA, ORIGIN, HeaderName::from_static("x-forwarded-for")] {
                    assert!(!headers.contains_key(&sign), "{sign}: somebody is in between");
                }
                let hosts: Vec<_> = headers.get_all(HOST).iter().collect();
                let [host] = &hosts[..] else { panic!("{hosts:?}") };
                let host = host.to_str().expect("text").to_ascii_lowercase();
                let ours = ["127.0.0.1", "[::1]", "localhost"];
                assert!(ours.iter().any(|ours| host.starts_with(ours)), "{host}");
                assert!(uri.path().starts_with("/role/"), "{uri} asks for {name:?}");
            }
            Err(refusal) => {
                assert!(refusal.status().is_client_error(), "{refusal:?}");
                let told = format!("{} {}", refusal.code(), refusal.message());
                assert!(is_one_line(&told) && !told.contains(PLANTED), "{told}");
            }
        }
    }
});

/// A line of header in which [`WORD`] is the token.
fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = line[colon + 1..].trim_ascii();
    let at = value.windows(WORD.len()).position(|bytes| bytes == WORD);
    let value = match at {
        Some(at) => [&value[..at], PLANTED.as_bytes(), &value[at + WORD.len()..]].concat(),
        None => value.to_owned(),
    };
    Some((name, HeaderValue::from_bytes(&value).ok()?))
}
