//! Certificates for ssh, as an issuer sends them: what is understood can be shown and recorded, and
//! is understood alike the next time.

#![no_main]

use std::sync::LazyLock;

use aws_smithy_types::base64;
use credmount::model::SshKey;
use credmount::openssh::certificate;
use credmount_fuzz::is_one_line;
use libfuzzer_sys::fuzz_target;

/// The key of the seeds.
static KEY: LazyLock<SshKey> = LazyLock::new(|| SshKey::new([0; 32].into(), [7; 32]));

fuzz_target!(|blob: &[u8]| {
    let _ = certificate(&String::from_utf8_lossy(blob), &KEY);
    let text = format!("ssh-ed25519-cert-v01@openssh.com {}", base64::encode(blob));
    let Ok(found) = certificate(&text, &KEY) else { return };
    assert!(is_one_line(&found.id()) && !found.principals.is_empty());
    assert!(found.principals.iter().all(|name| is_one_line(name)));
    assert_eq!(found.line, text);
    assert_eq!(certificate(&format!("{text} comment\n"), &KEY), Ok(found));
});
