//! The variables that hold roles as JSON.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use credmount::config::{Flags, Selection};
use credmount_fuzz::is_spoilt;
use credmount_fuzz::settings::{Texts, resolved};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if is_spoilt(text.as_bytes()) {
        return;
    }
    for name in ["CREDMOUNT_ROLES", "AWS_AUTH_ROLES", "CREDMOUNT_ALLOW", "CREDMOUNT_TAGS"] {
        let environment = BTreeMap::from([
            ("HOME".to_owned(), "/home/jane".to_owned()),
            ("AWS_REGION".to_owned(), "eu-west-1".to_owned()),
            (name.to_owned(), text.to_owned()),
        ]);
        let (flags, selection) = (Flags::default(), Selection::CommandLine(Path::new("/live")));
        resolved(Texts::default(), &flags, &environment, selection, &[]);
    }
});
