//! The invariants of `src/ARCHITECTURE.md` that can be read off the sources, and that README keeps
//! up with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use credmount::config::{Flags, Inputs, Selection, SourceText, resolve};

use crate::support::Scene;

/// A source file without its comments and without the tests inside it.
#[derive(Debug)]
struct Source {
    /// Relative to `src`.
    name: String,
    code: Vec<String>,
}

impl Source {
    fn is_below(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            let folder = self.name.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
            folder || self.name == format!("{place}.rs")
        })
    }

    fn lines_with(&self, word: &str) -> impl Iterator<Item = String> {
        let named = move |(index, line): (usize, &String)| {
            line.contains(word).then(|| format!("{}:{}: {}", self.name, index + 1, line.trim()))
        };
        self.code.iter().enumerate().filter_map(named)
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Comments blanked, and everything from `#[cfg(test)]` above a `mod tests {` on left out.
fn code_of(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
    let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
    lines[..end]
        .iter()
        .map(
            |line| if line.trim_start().starts_with("//") { String::new() } else { (*line).into() },
        )
        .collect()
}

/// All files that the daemon is made of. Modules that only tests use are none of them.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let sources: Vec<Source> = files(&src)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().display().to_string();
            Source { name, code: code_of(&fs::read_to_string(&path).unwrap()) }
        })
        .filter(|source| !is_for_tests(&source.name))
        .collect();
    assert!(sources.len() > 50, "the sources are where they are looked for");
    sources
}

/// `tests.rs`, `*_tests.rs` and what else stands behind `#[cfg(test)] mod NAME;`.
fn is_for_tests(name: &str) -> bool {
    let path = root().join("src").join(name);
    let (Some(stem), Some(dir)) = (path.file_stem().and_then(|stem| stem.to_str()), path.parent())
    else {
        return false;
    };
    let parents = [dir.join("mod.rs"), dir.with_extension("rs")];
    let parent = parents.iter().find_map(|parent| fs::read_to_string(parent).ok());
    let parent = parent.unwrap_or_default();
    let lines: Vec<&str> = parent.lines().collect();
    lines
        .windows(2)
        .any(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with(&format!("mod {stem};")))
}

#[track_caller]
fn only_in(places: &[&str], word: &str) {
    let all = sources();
    let (inside, outside): (Vec<&Source>, Vec<&Source>) =
        all.iter().partition(|source| source.is_below(places));
    let found: Vec<String> = outside.iter().flat_map(|source| source.lines_with(word)).collect();
    assert!(found.is_empty(), "{word} belongs into {places:?}:\n{}", found.join("\n"));
    assert!(
        places.is_empty() || inside.iter().any(|source| source.lines_with(word).next().is_some()),
        "{word} is nowhere, so this test proves nothing"
    );
}

const PURE: [&str; 10] = [
    "model", "config", "policy", "broker", "render", "tree", "scratch", "metrics", "check",
    "identity",
];

#[test]
fn the_reader_of_sources_leaves_out_comments_and_tests() {
    let text = "//! a\nfn b() {} // c\n    // d\n#[cfg(test)]\nmod tests {\n    e();\n}\n";
    assert_eq!(code_of(text), ["", "fn b() {} // c", ""]);
    assert!(is_for_tests("broker/testing.rs") && is_for_tests("sts/client_tests.rs"));
    assert!(is_for_tests("check/tests.rs") && !is_for_tests("broker/slot.rs"));
}

#[test]
fn only_sts_names_crates_of_aws() {
    for name in ["aws_config::", "aws_sdk_", "aws_smithy_", "aws_credential_types::"] {
        only_in(&["sts"], name);
    }
    for name in ["aws_runtime::", "aws_types::", "aws_sigv4::"] {
        let outside = sources();
        let mut outside = outside.iter().filter(|source| !source.is_below(&["sts"]));
        assert!(outside.all(|source| source.lines_with(name).next().is_none()), "{name}");
    }
}

#[test]
fn only_fuse_names_fuser() {
    only_in(&["fuse"], "fuser");
}

#[test]
fn only_the_clock_reads_the_wall_clock() {
    only_in(&["clock"], "SystemTime::now");
    only_in(&["clock"], "clock_gettime");
    only_in(&[], "std::time::Instant");
}

#[test]
fn only_os_uses_the_keyrings_of_the_kernel() {
    only_in(&["os/keyring"], "linux_keyutils");
}

#[test]
fn only_app_reads_the_environment_and_the_command_line() {
    for name in ["env::var", "env::args", "env::current_dir", "env::set_"] {
        let all = sources();
        let outside = all.iter().filter(|source| !source.is_below(&["app"]));
        let found: Vec<String> = outside.flat_map(|source| source.lines_with(name)).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn only_descriptors_are_unsafe() {
    for source in sources().iter().filter(|source| source.name != "os/descriptors.rs") {
        let found: Vec<String> = source
            .lines_with("unsafe")
            .filter(|line| !line.contains("unsafe_code") && !line.contains("unsafe_character"))
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
}

#[test]
fn pure_modules_forbid_unsafe_code_and_do_no_io() {
    let all = sources();
    for place in PURE {
        let heads = [format!("{place}/mod.rs"), format!("{place}.rs")];
        let head = all.iter().find(|source| heads.contains(&source.name)).expect(place);
        assert!(head.lines_with("#![forbid(unsafe_code)]").next().is_some(), "{place}");
    }
    let io = ["fuser", "std::fs", "std::net", "std::env", "std::process", "rustix", "tokio::net"];
    for source in all.iter().filter(|source| source.is_below(&PURE)) {
        let found: Vec<String> = io.iter().flat_map(|name| source.lines_with(name)).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
        // Sessions and logins over time wait, and `check` asks for many at once; nothing else is
        // async.
        if !source.is_below(&["broker", "check", "identity"]) {
            assert_eq!(source.lines_with("tokio").next(), None);
            assert_eq!(source.lines_with("async ").next(), None);
        }
    }
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let all = sources();
    let forbid = |place: &str, names: &[&str]| {
        for source in all.iter().filter(|source| source.is_below(&[place])) {
            for name in names {
                let path = format!("crate::{name}");
                // `open` is not `openssh`.
                let is_it = |line: &String| {
                    let mut ends =
                        line.match_indices(&path).map(|(at, _)| &line[at + path.len()..]);
                    ends.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                };
                let found = source.lines_with(&path).find(is_it);
                assert_eq!(found, None, "{place} must not know {name}");
            }
        }
    };
    let adapters = ["app", "sts", "fuse", "endpoint", "os", "control", "cli"];
    let path_of_an_open = ["open", "status", "publish"];
    let with = |more: &[&'static str]| [&adapters[..], &path_of_an_open, more].concat();
    let beside = ["audit", "check", "metrics", "scratch"];
    let and_beside = |more: &[&'static str]| with(&[&beside[..], more].concat());
    forbid("model", &and_beside(&["broker", "clock", "config", "policy", "render", "tree"]));
    forbid("policy", &and_beside(&["broker", "clock", "config", "render", "tree"]));
    forbid("clock", &and_beside(&["broker", "config", "policy", "render", "tree"]));
    forbid("config", &and_beside(&["broker", "clock", "render", "tree"]));
    forbid("broker", &and_beside(&["config", "policy", "render", "tree", "identity"]));
    forbid("identity", &and_beside(&["config", "policy", "render", "tree", "broker::Broker"]));
    forbid("command", &and_beside(&["broker", "clock", "config", "identity", "policy", "tree"]));
    forbid("openssh", &and_beside(&["broker", "clock", "config", "identity", "policy", "render"]));
    forbid("tree", &and_beside(&["broker", "clock", "config", "policy", "render"]));
    let others = ["broker", "clock", "config", "policy", "render"];
    forbid("audit", &with(&[&["check", "metrics", "scratch", "tree"], &others[..]].concat()));
    forbid("scratch", &with(&[&["audit", "check", "metrics", "model"], &others[..]].concat()));
    let of_metrics = ["audit", "check", "scratch", "clock", "config", "model", "policy", "render"];
    forbid("metrics", &with(&of_metrics));
    forbid("render", &with(&["check", "clock", "config", "metrics", "policy", "scratch", "tree"]));
    forbid("check", &with(&["audit", "config", "metrics", "policy", "render", "scratch", "tree"]));
    let of_publish = [&adapters[..], &beside, &["config", "open", "policy", "status"]].concat();
    forbid("publish", &of_publish);
    forbid("status", &[&adapters[..], &beside, &["config", "open", "policy"]].concat());
    forbid("open", &[&adapters[..], &["check", "config", "scratch"]].concat());
    forbid(
        "sts",
        &["app", "fuse", "endpoint", "os", "control", "cli", "config", "render", "tree", "publish"],
    );
    forbid("sts", &["audit", "metrics", "open", "policy", "scratch", "status"]);
    forbid("endpoint", &["app", "sts", "fuse", "control", "cli", "config", "audit", "policy"]);
    forbid("endpoint", &["tree", "scratch", "publish", "status", "clock"]);
    forbid(
        "fuse",
        &["app", "sts", "endpoint", "control", "cli", "config", "broker", "audit", "policy"],
    );
    forbid(
        "os",
        &["app", "sts", "fuse", "endpoint", "control", "cli", "config", "broker", "render", "tree"],
    );
    forbid("os", &["audit", "metrics", "open", "policy::Policy", "publish", "scratch", "status"]);
    forbid(
        "control",
        &["app", "sts", "fuse", "endpoint", "os", "cli", "open", "policy", "publish", "tree"],
    );
}

#[test]
fn secrets_are_exposed_only_where_files_are_rendered_requests_signed_and_logins_kept() {
    only_in(&["render", "sts", "model/secret", "model/mfa", "app/safe/payload"], "expose()");
    // The type itself has no other door.
    let secret = fs::read_to_string(root().join("src/model/secret.rs")).unwrap();
    for door in ["Display for Secret", "Serialize", "Deref", "AsRef", "pub String"] {
        let code = code_of(&secret).join("\n");
        assert!(!code.contains(door), "{door}");
    }
}

#[test]
fn the_private_half_of_a_key_is_read_only_where_its_file_is_written() {
    only_in(&["openssh/key", "model/ssh"], "seed()");
    only_in(&["openssh"], "ring::signature");
}

#[test]
fn mfa_codes_are_read_only_where_sts_is_called_and_the_control_socket_is_written() {
    only_in(&["sts/mfa", "control/code", "model/mfa"], "digits()");
}

#[test]
fn what_is_recorded_counted_and_told_knows_no_secret() {
    for source in sources() {
        if source.is_below(&["audit", "metrics", "policy", "control", "status"]) {
            for word in ["Secret", "secret_access_key", "session_token"] {
                // The record of the call of that name holds no token.
                let mut lines =
                    source.lines_with(word).filter(|it| !it.contains("get_session_token"));
                assert_eq!(lines.next(), None, "{word}");
            }
        }
    }
}

#[test]
fn files_tell_one_thing_and_say_which() {
    for source in sources() {
        let lines = source.code.len();
        assert!(lines < 400, "{} has {lines} lines", source.name);
        let text = fs::read_to_string(root().join("src").join(&source.name)).unwrap();
        let head = text.starts_with("//! ") || text.starts_with("#![doc = ");
        assert!(head, "{} does not begin with what it is", source.name);
    }
}

#[test]
fn nothing_is_left_for_later() {
    for source in sources() {
        for word in ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME", "XXX"] {
            let text = fs::read_to_string(root().join("src").join(&source.name)).unwrap();
            assert!(!text.contains(word), "{} has {word}", source.name);
        }
    }
}

// README.

/// README, or `None` in a checkout that has none.
pub(crate) fn readme() -> Option<String> {
    let readme = fs::read_to_string(root().join("README.md"));
    if readme.is_err() {
        crate::support::skipped("README.md is missing");
    }
    readme.ok()
}

/// The words of a text that begin with `--`.
fn flags(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    let flags = parts.filter(|part| part.starts_with("--") && part.len() > 3);
    flags.map(|flag| flag.trim_end_matches('-').to_owned()).collect()
}

#[test]
fn readme_names_every_command_and_flag() {
    let Some(readme) = readme() else { return };
    let scene = Scene::new();
    let described = flags(&readme);
    let help = String::from_utf8(scene.run(&["--help"]).stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let commands: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"audit") && commands.ends_with(&["help"]), "{commands:?}");
    let (_, ours) = commands.split_last().unwrap();
    for command in [&[""], ours].concat() {
        let args: Vec<&str> =
            [command, "--help"].into_iter().filter(|arg| !arg.is_empty()).collect();
        let help = String::from_utf8(scene.run(&args).stdout).unwrap();
        let missing: Vec<_> = flags(&help)
            .difference(&described)
            .filter(|flag| !["--help", "--version"].contains(&flag.as_str()))
            .cloned()
            .collect();
        assert!(missing.is_empty(), "README.md says nothing of {missing:?} of {args:?}");
        assert!(readme.contains(&format!("credmount {command}")), "{command}");
    }
}

#[test]
fn the_configurations_that_readme_shows_are_right() {
    let Some(readme) = readme() else { return };
    let file =
        |name: &str, text: &str| SourceText { path: name.into(), text: text.to_owned().into() };
    // Roles that a fragment does not show.
    let profile = |name| {
        let role_arn = format!("role_arn = arn:aws:iam::123456789012:role/{name}");
        format!("[profile {name}]\n{role_arn}\ncredential_source = Environment\n")
    };
    let keys = "[profile keys]\naws_access_key_id = AKIAX\naws_secret_access_key = x\n";
    let profiles = ["prod", "dev", "reports"].map(profile).concat() + keys;
    let aws_config = file("aws", &profiles);
    let environment = BTreeMap::from([("HOME".to_owned(), "/home/jane".to_owned())]);
    let blocks = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let ours = blocks.filter(|block| block.contains("[mounts.") || block.contains("[roles."));
    let mut checked = 0;
    for block in ours {
        let settings = resolve(&Inputs {
            flags: &Flags::default(),
            selection: Selection::Configured,
            added: &[],
            environment: &environment,
            config_file: Some(&file("README.md", block)),
            aws_config: Some(&aws_config),
            aws_credentials: None,
            read_include: &|_| Ok(Vec::new()),
        });
        let settings = settings.unwrap_or_else(|errors| panic!("{errors}\n{block}"));
        assert!(settings.warnings.is_empty(), "{:?}\n{block}", settings.warnings);
        checked += 1;
    }
    assert!(checked >= 4, "README.md shows configurations, but only {checked}");
}

#[test]
fn the_tests_that_readme_names_exist() {
    let Some(readme) = readme() else { return };
    let tests = test_names();
    let rows = readme.lines().filter(|line| line.starts_with('|'));
    let paths = rows.flat_map(|row| row.split('`')).filter_map(test_path);
    let mut named = 0;
    for (module, name) in paths {
        named += 1;
        assert!(
            tests.contains(name),
            "README.md names the test {module}::{name}, which is nowhere"
        );
        let file = root().join("tests/it").join(module.replace("::", "/")).with_extension("rs");
        if let Ok(text) = fs::read_to_string(file) {
            assert!(text.contains(&format!("fn {name}(")), "{name} is not in {module}");
        }
    }
    assert!(named >= 20, "the semantics table names the tests of each row, but only {named}");
}

/// `semantics::writes_fail_with_erofs` as its module and its name.
fn test_path(word: &str) -> Option<(&str, &str)> {
    let (module, name) = word.rsplit_once("::")?;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_sentence = !name.is_empty() && name.chars().all(legal) && name.contains('_');
    is_sentence.then_some((module, name))
}

/// The names of all functions below `#[test]` or the like.
pub(crate) fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in [root().join("src"), root().join("tests")].iter().flat_map(|dir| files(dir)) {
        let text = fs::read_to_string(file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let function = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some(function) = function {
                if is_test || text.contains("proptest!") {
                    names.insert(function.split('(').next().unwrap_or_default().to_owned());
                }
                is_test = false;
            }
        }
    }
    names
}
