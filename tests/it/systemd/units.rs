//! What systemd says of the units themselves.

use std::path::Path;

use super::machine::As;
use super::rig::Rig;

const UNITS: [(As, &[&str]); 2] = [
    (
        As::User,
        &[".config/systemd/user/credmount.service", ".config/systemd/user/credmount@.service"],
    ),
    (As::Root, &["/etc/systemd/system/credmount.service"]),
];

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    for (who, units) in UNITS {
        let Some(rig) = Rig::installed(who) else { return };
        for unit in units {
            let unit = rig.machine.home().join(unit);
            let mut verify = rig.machine.command(who, "systemd-analyze");
            verify.args((who == As::User).then_some("--user")).arg("verify").arg(&unit);
            let output = verify.output().expect("systemd-analyze");
            let said = String::from_utf8_lossy(&output.stderr);
            // Of other units, which belong to the machine.
            let of_ours = said.lines().filter(|line| line.contains("credmount")).count();
            assert!(output.status.success() && of_ours == 0, "{}: {said}", unit.display());
        }
    }
}

#[test]
fn the_exposure_of_the_units_is_at_most_what_readme_tells() {
    let readme = include_str!("../../../README.md");
    for (who, units) in UNITS {
        let Some(rig) = Rig::installed(who) else { return };
        let unit = rig.machine.home().join(units[0]);
        let mut analyze = rig.machine.command(who, "systemd-analyze");
        analyze.args((who == As::User).then_some("--user"));
        let output = analyze.args(["--offline=true", "security"]).arg(&unit).output();
        let output = output.expect("systemd-analyze");
        let said = String::from_utf8_lossy(&output.stdout);
        let exposure: f64 = figure(&said, "exposure level for").expect(&said);
        let kind = if who == As::User { "user" } else { "system" };
        let told: f64 = figure(readme, &format!("of the {kind} unit")).expect("in README");
        let name = Path::new(units[0]).display();
        assert!(exposure <= told, "{name}: {exposure}, README says {told}\n{said}");
        eprintln!("{name}: {exposure}");
    }
}

/// The first number after `words` that has a point.
fn figure(text: &str, words: &str) -> Option<f64> {
    let rest = &text[text.find(words)? + words.len()..];
    let words = rest.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.map(|word| word.trim_end_matches('.')).find(|word| word.contains('.'))?.parse().ok()
}
