//! The semantics table of README, row by row, on a real mount.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use crate::support::daemon::arn;
use crate::support::{Scene, eventually, ini_value, read_with_size};

const FILES: [&str; 7] = [
    "credentials",
    "config",
    "credmount/status.json",
    "credmount/process/default.json",
    "credmount/process/prod.json",
    "credmount/errors/default",
    "credmount/errors/prod",
];

#[test]
fn the_tree_has_the_documented_files_modes_and_owner() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let uid = rustix::process::geteuid().as_raw();
    for name in ["", "credmount", "credmount/process", "credmount/errors"] {
        let meta = fs::metadata(daemon.file(name)).unwrap();
        assert!(meta.is_dir());
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o500, uid), "{name}");
    }
    for name in FILES {
        let meta = fs::metadata(daemon.file(name)).unwrap();
        assert!(meta.is_file());
        assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o400, uid), "{name}");
    }
    assert!(!daemon.file("models").exists());
}

#[test]
fn the_root_has_writable_directories_where_they_cost_nothing_or_are_wanted() {
    let Some(scene) = Scene::mountable() else { return };
    let listed = |name: &str, args: &[&str]| {
        let role = arn("prod");
        let daemon = scene.mount_on(scene.path(name), &[&["--role", &role], args].concat());
        let entries = fs::read_dir(&daemon.mountpoint).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.join(" ")
    };
    let (read_only, writable) =
        ("config credentials credmount", "boto cli config credentials credmount login sso");
    assert_eq!(listed("off", &["--writable-caches=false"]), read_only);
    assert_eq!(listed("on", &["--writable-caches"]), writable);
    let root = rustix::process::geteuid().is_root();
    assert_eq!(listed("default", &[]), if root { writable } else { read_only });
}

#[test]
fn every_way_to_read_gives_one_whole_rendering_of_the_size_that_stat_tells() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    for name in FILES.into_iter().filter(|name| *name != "credmount/status.json") {
        let path = daemon.file(name);
        let (whole, size) = read_with_size(&path);
        assert_eq!(whole.len() as u64, size, "{name}");
        assert_eq!(fs::metadata(&path).unwrap().len(), size, "{name}");

        let mut file = File::open(&path).unwrap();
        let mut by_byte = Vec::new();
        let mut byte = [0];
        while file.read(&mut byte).unwrap() == 1 {
            by_byte.push(byte[0]);
        }
        assert_eq!(by_byte, whole.as_bytes(), "{name}");
        file.seek(SeekFrom::Start(3)).unwrap();
        let mut tail = String::new();
        file.read_to_string(&mut tail).unwrap();
        assert_eq!(tail, whole[3..], "{name}");
        assert_eq!(file.read_at(&mut [0; 10], size + 100).unwrap(), 0, "{name}");

        let copy = scene.path("copy");
        let copied = Command::new("cp").arg("-a").args([&path, &copy]).status().unwrap();
        assert!(copied.success());
        assert_eq!(fs::read_to_string(&copy).unwrap(), whole, "{name}");
        fs::remove_file(&copy).unwrap();
        let counted = Command::new("wc").arg("-c").arg(&path).output().unwrap();
        let counted = String::from_utf8(counted.stdout).unwrap();
        assert_eq!(counted.split(' ').next().unwrap(), size.to_string());
        let mapped = Command::new("dd").arg(format!("if={}", path.display())).arg("bs=7").output();
        assert_eq!(mapped.unwrap().stdout, whole.as_bytes());
    }
    let tar =
        Command::new("tar").arg("-C").arg(&daemon.mountpoint).args(["-cf", "-", "."]).output();
    let tar = tar.unwrap();
    assert!(tar.status.success(), "{tar:?}");
    assert!(tar.stderr.is_empty(), "{}", String::from_utf8_lossy(&tar.stderr));
}

#[test]
fn a_private_mapping_shows_the_whole_file() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    // Python maps privately with no unsafe code here.
    let script = "import mmap,sys\n\
                  f=open(sys.argv[1],'rb')\n\
                  m=mmap.mmap(f.fileno(),0,flags=mmap.MAP_PRIVATE,prot=mmap.PROT_READ)\n\
                  sys.stdout.buffer.write(m[:])";
    let path = daemon.file("credentials");
    let mapped = Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
    assert!(mapped.status.success(), "{mapped:?}");
    assert_eq!(mapped.stdout, fs::read(&path).unwrap());
}

#[test]
fn credentials_hold_the_session_of_each_role_and_of_default() {
    let Some(scene) = Scene::mountable() else { return };
    let (prod, dev) = (arn("prod"), format!("dev={}", arn("team/x")));
    let daemon = scene.mount(&["--role", &prod, "--role", &dev]);
    let text = daemon.credentials();
    let issued = scene.emulator.issued_sessions();
    for (section, role) in [("default", "prod"), ("prod", "prod"), ("dev", "x")] {
        let key = ini_value(&text, section, "aws_access_key_id").unwrap();
        let session = issued.iter().find(|session| session.access_key_id == key).unwrap();
        assert!(session.arn.contains(&format!("assumed-role/{role}/credmount-tester-")));
        let value = |key| ini_value(&text, section, key).unwrap();
        assert_eq!(value("aws_secret_access_key"), session.secret_access_key);
        assert_eq!(value("aws_session_token"), session.session_token);
        assert_eq!(value("aws_account_id"), "123456789012");
        assert!(value("x_security_token_expires").ends_with('Z'));
    }
    assert!(text.starts_with("# credmount: generated on open, do not edit\n[default]\n"));
    assert!(text.ends_with('\n'));
}

#[test]
fn default_can_be_another_role_or_none() {
    let Some(scene) = Scene::mountable() else { return };
    let (prod, dev) = (arn("prod"), arn("dev"));
    let key = |text: &str, section| ini_value(text, section, "aws_access_key_id");
    {
        let daemon = scene.mount(&["--role", &prod, "--role", &dev, "--default", "dev"]);
        let text = daemon.credentials();
        assert_eq!(key(&text, "default"), key(&text, "dev"));
        assert_ne!(key(&text, "default"), key(&text, "prod"));
    }
    let daemon = scene.mount(&["--role", &prod, "--default", "none"]);
    assert_eq!(key(&daemon.credentials(), "default"), None);
    assert!(!daemon.file("credmount/process/default.json").exists());
}

#[test]
fn writes_fail_with_erofs() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount(&["--role", &arn("prod"), "--writable-caches=false"]);
    let path = daemon.file("credentials");
    let erofs = |result: std::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    };
    erofs(File::options().write(true).open(&path).map(drop));
    erofs(File::create(daemon.file("new")).map(drop));
    erofs(fs::remove_file(&path));
    erofs(fs::create_dir(daemon.file("cli")));
    erofs(fs::rename(&path, daemon.file("other")));
}

#[test]
fn an_open_descriptor_keeps_its_rendering_across_renewals() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let path = daemon.file("credentials");
    let mut first = File::open(&path).unwrap();
    let before = daemon.credentials();
    let mut half = vec![0; before.len() / 2];
    first.read_exact(&mut half).unwrap();
    for _ in 0..3 {
        daemon.refresh();
    }
    let second = daemon.credentials();
    first.read_to_end(&mut half).unwrap();
    assert_eq!(String::from_utf8(half).unwrap(), before);
    assert_ne!(second, before);
}

#[test]
fn mtime_moves_with_each_renewal_also_when_nobody_opens() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let mtime = || fs::metadata(daemon.file("credentials")).unwrap().modified().unwrap();
    for _ in 0..3 {
        let before = mtime();
        daemon.refresh();
        eventually("a later mtime", || mtime() > before);
    }
    let before = mtime();
    daemon.credentials();
    assert_eq!(mtime(), before, "an open is no change");
}

#[test]
fn inode_numbers_are_the_same_in_the_next_life() {
    let Some(scene) = Scene::mountable() else { return };
    let numbers = |daemon: &crate::support::Daemon<'_>| {
        FILES.map(|name| fs::metadata(daemon.file(name)).unwrap().ino())
    };
    let first = numbers(&scene.mount_prod());
    assert_eq!(first, numbers(&scene.mount_prod()));
}

#[test]
fn config_has_region_and_live_profiles_with_the_path_of_the_mount() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let text = fs::read_to_string(daemon.file("config")).unwrap();
    assert_eq!(ini_value(&text, "profile prod", "region").unwrap(), "eu-west-1");
    let command = ini_value(&text, "profile prod@live", "credential_process").unwrap();
    let path = daemon.file("credmount/process/prod.json");
    assert_eq!(command, format!("cat {}", path.display()));
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let key = ini_value(&daemon.credentials(), "prod", "aws_access_key_id").unwrap();
    assert_eq!(json["AccessKeyId"], key.as_str());
}

#[test]
fn live_only_leaves_static_keys_out() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount(&["--role", &arn("prod"), "--live-only"]);
    assert!(!daemon.credentials().contains("aws_access_key_id"));
    let text = fs::read_to_string(daemon.file("config")).unwrap();
    for section in ["default", "profile prod", "profile prod@live"] {
        assert!(ini_value(&text, section, "credential_process").unwrap().starts_with("cat /"));
    }
}

#[test]
fn settings_of_the_source_profile_stand_in_config() {
    let Some(scene) = Scene::mountable() else { return };
    let aws = scene.path("home/.aws");
    fs::create_dir(&aws).unwrap();
    fs::write(
        aws.join("config"),
        format!(
            "[profile team]\nrole_arn = {}\ncredential_source = Environment\nregion = eu-north-1\n\
             output = yaml\ns3 =\n  addressing_style = path\n",
            arn("team")
        ),
    )
    .unwrap();
    let daemon = scene.mount(&["--role", "team"]);
    let text = fs::read_to_string(daemon.file("config")).unwrap();
    let value = |key| ini_value(&text, "profile team", key).unwrap();
    assert_eq!((value("region").as_str(), value("output").as_str()), ("eu-north-1", "yaml"));
    assert!(text.contains("s3 =\n  addressing_style = path\n"));
}

#[test]
fn status_counts_reads_and_renewals_and_stands_in_the_mount() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let before = daemon.status();
    daemon.credentials();
    daemon.refresh();
    let after = daemon.status();
    assert_eq!(after["reads"].as_u64().unwrap(), before["reads"].as_u64().unwrap() + 1);
    assert_eq!(after["roles"][0]["renewals"], 2);
    assert_eq!(after["roles"][0]["state"], "live");
    let (text, size) = read_with_size(&daemon.file("credmount/status.json"));
    assert_eq!(text.len() as u64, size);
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    // The one value that may differ between the two.
    file["roles"][0]["remaining_seconds"] = after["roles"][0]["remaining_seconds"].clone();
    assert_eq!(file, after);
}
