//! credmount's own configuration file, whichever of its mounts are meant.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use credmount::config::{Flags, Selection};
use credmount_fuzz::is_spoilt;
use credmount_fuzz::settings::{Texts, resolved};
use libfuzzer_sys::fuzz_target;

/// Profiles that roles of the file can begin with.
const AWS_CONFIG: &str = "\
[default]
region = eu-west-1
[profile a]
role_arn = arn:aws:iam::123456789012:role/a
source_profile = keys
[profile keys]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = x
";

// The file, and after a NUL the one that it may include.
fuzz_target!(|text: &str| {
    if is_spoilt(text.as_bytes()) {
        return;
    }
    let (own, include) = text.split_once('\0').unwrap_or((text, ""));
    let texts = Texts { own, aws_config: AWS_CONFIG, include, ..Texts::default() };
    let environment = BTreeMap::from([("HOME".to_owned(), "/home/jane".to_owned())]);
    let names = ["a".to_owned()];
    for selection in [
        Selection::CommandLine(Path::new("/live")),
        Selection::Configured,
        Selection::Mounts(&[]),
        Selection::Mounts(&names),
    ] {
        let first = resolved(texts, &Flags::default(), &environment, selection, &[]);
        let second = resolved(texts, &Flags::default(), &environment, selection, &[]);
        assert_eq!(first, second, "one text, two meanings");
    }
});
