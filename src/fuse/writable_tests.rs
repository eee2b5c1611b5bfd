//! The writable directories and the file of keys as programs see them, on real mounts.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirEntryExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use fuser::{Filesystem, INodeNo, Notifier, SessionACL};
use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::OwnMount;
use super::adapter::CredFs;
use super::adopt::adopt;
use super::key_file::KeyFileFs;
use super::make::{Connections, Shape};
use super::mount::{self, MountError};
use super::writable::WritableFs;
use crate::broker::schedule::Jitter;
use crate::broker::testing::no_tokens;
use crate::broker::{BoxFuture, Broker, SessionError, SessionSource};
use crate::clock::{Clock, SystemClock};
use crate::model::{BaseCredentials, Caller, RoleHop, StsSession};
use crate::open::{
    CurrentService, Gate, IdentifyCaller, MountLife, OpenOptions as Opening, OpenService,
    Requester, Traffic,
};
use crate::policy::Policy;
use crate::publish::{Publisher, Served};
use crate::render::ReaderPath;
use crate::scratch::{Quotas, Scratch};
use crate::tree::{Contents, FileId, Snapshot, Tree, View};

const KEYS: &str = "[default]\naws_access_key_id = AKIA\n";

/// There are no roles, so nobody asks for sessions.
#[derive(Debug)]
struct NoSource;

impl SessionSource for NoSource {
    fn base<'a>(
        &'a self,
        _base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        unreachable!("there are no roles")
    }

    fn assume_role<'a>(
        &'a self,
        _hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        unreachable!("there are no roles")
    }
}

/// Nothing is recorded and there are no rules, so nobody asks who asks.
#[derive(Debug)]
struct Nobody;

impl IdentifyCaller for Nobody {
    fn identify(&self, _requester: Requester) -> Caller {
        unreachable!("the kernel's words are enough")
    }
}

fn service(mountpoint: &Path, clock: Arc<dyn Clock>) -> Arc<CurrentService> {
    let tree = Arc::new(Tree::new(&Contents::default(), clock.now(), 1));
    let until = clock.now() + Duration::from_hours(1);
    let keys = Arc::new(Snapshot::new(Zeroizing::new(KEYS.to_owned()), Vec::new()));
    tree.publish(FileId::Credentials, View::ALL, keys, until, clock.now());
    let broker = Broker::new(Arc::new(NoSource), clock.clone(), None, || Jitter::NONE);
    let served = Served::default();
    let publisher = Publisher::new(
        served,
        broker.clone(),
        no_tokens(clock.clone()),
        clock.clone(),
        tree.clone(),
        Arc::default(),
    );
    let options = Opening {
        name: None,
        mountpoint: mountpoint.display().to_string(),
        deadline: Duration::from_secs(1),
        reader_path: None,
        fallback_path: ReaderPath::parse("/aws").unwrap(),
        log_file: None,
        endpoint_token: None,
    };
    let gate = Gate {
        label: "test".to_owned(),
        policy: Policy::new(Vec::new(), rustix::process::geteuid().as_raw()),
        identify: Arc::new(Nobody),
        recorder: Arc::default(),
        metrics: Arc::default(),
        calls: Arc::default(),
    };
    let (locate, life) = (Arc::new(OwnMount::default()), MountLife::new(clock.now()));
    let service = OpenService::new(
        tree,
        broker,
        publisher,
        clock,
        options,
        locate,
        life,
        gate,
        Traffic::new(1),
    );
    CurrentService::new(service)
}

/// A mount with writable directories, and one upon its `credentials`. Unmounted when dropped.
#[derive(Debug)]
struct Mounts {
    path: PathBuf,
    service: Arc<CurrentService>,
    /// The writable mount and, where it takes mounts below, that of the file of keys.
    sessions: Vec<Serving>,
    _dir: tempfile::TempDir,
    _runtime: Runtime,
}

impl Mounts {
    /// `None` on a machine where nothing can be mounted.
    fn new(quotas: Quotas) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aws");
        fs::create_dir(&path).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let runtime = Runtime::new().unwrap();
        let service = service(&path, clock.clone());
        let creds = || CredFs::new(service.clone(), runtime.handle().clone());
        let scratch = Arc::new(Scratch::new(quotas, 1, clock.now()));

        let writable =
            WritableFs::new(creds(), service.clone(), scratch, clock, runtime.handle().clone());
        let shape = Shape { allow_other: false, writable: Some(true) };
        let Connections { tree, keys } = match Connections::make(&path, shape) {
            Ok(made) => made,
            Err(MountError::NoDevice(_) | MountError::NoFusermount) => return None,
            Err(error) => panic!("{error}"),
        };
        let mut sessions = vec![serve(writable, &tree)];
        if let Some(keys) = keys {
            sessions.push(serve(KeyFileFs::new(creds(), service.get().tree()), &keys));
        }
        Some(Self { path, service, sessions, _dir: dir, _runtime: runtime })
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        mount::unmount(&self.path).unwrap();
    }
}

#[derive(Debug)]
struct Serving {
    thread: JoinHandle<io::Result<()>>,
    kernel: Notifier,
}

fn serve(filesystem: impl Filesystem, fd: &OwnedFd) -> Serving {
    let session = adopt(filesystem, fd.as_fd(), SessionACL::Owner).unwrap();
    let kernel = session.notifier();
    Serving { thread: thread::spawn(move || session.run()), kernel }
}

#[track_caller]
fn fails<T>(result: io::Result<T>, errno: rustix::io::Errno) {
    let error = result.err().expect("an error");
    assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
}

#[test]
fn the_caches_are_directories_like_any_other() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    let cache = mounts.at("cli/cache");
    fs::create_dir_all(&cache).unwrap();
    // As the AWS CLI writes a session: a file of its own, then renamed.
    let (temporary, token) = (cache.join("token.tmp"), cache.join("token.json"));
    let mut file = File::create(&temporary).unwrap();
    file.write_all(b"{\"a\": 1}").unwrap();
    file.sync_all().unwrap();
    fs::set_permissions(&temporary, Permissions::from_mode(0o600)).unwrap();
    fs::rename(&temporary, &token).unwrap();
    assert_eq!(fs::read(&token).unwrap(), b"{\"a\": 1}");
    let meta = fs::metadata(&token).unwrap();
    assert_eq!(meta.mode(), 0o100_600);
    assert_eq!(meta.uid(), rustix::process::geteuid().as_raw());

    OpenOptions::new().append(true).open(&token).unwrap().write_all(b"\n").unwrap();
    assert_eq!(fs::metadata(&token).unwrap().len(), 9);
    File::create(&token).unwrap().write_all(b"new").unwrap();
    assert_eq!(fs::read(&token).unwrap(), b"new");
    fails(File::create_new(&token), rustix::io::Errno::EXIST);

    let mut open = File::open(&token).unwrap();
    fs::remove_file(&token).unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "new");
    assert_eq!(open.metadata().unwrap().nlink(), 0);

    let times = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    let file = File::create(cache.join("x")).unwrap();
    file.set_times(times).unwrap();
    assert_eq!(file.metadata().unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    fails(fs::remove_dir(&cache), rustix::io::Errno::NOTEMPTY);
    let to = cache.join("y");
    File::create(&to).unwrap();
    let kept = renameat_with(CWD, cache.join("x"), CWD, &to, RenameFlags::NOREPLACE);
    assert_eq!(kept, Err(rustix::io::Errno::EXIST));
    let swapped = renameat_with(CWD, cache.join("x"), CWD, &to, RenameFlags::EXCHANGE);
    assert_eq!(swapped, Err(rustix::io::Errno::INVAL));
    fs::remove_dir_all(&cache).unwrap();
    assert_eq!(fs::read_dir(mounts.at("cli")).unwrap().count(), 0);
}

#[test]
fn a_long_listing_is_complete() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    for n in 0..1000 {
        File::create(mounts.at(&format!("sso/file-with-a-rather-long-name-{n}"))).unwrap();
    }
    let mut names: Vec<_> =
        fs::read_dir(mounts.at("sso")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1000);
}

#[test]
fn the_root_lists_the_tree_and_the_four_directories() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    let entries = fs::read_dir(&mounts.path).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.ino())).collect();
    names.sort();
    let expected = ["boto", "cli", "config", "credentials", "credmount", "login", "sso"];
    assert_eq!(names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), expected);
    for (name, ino) in names {
        assert_eq!(fs::metadata(mounts.at(&name)).unwrap().ino(), ino, "{name}");
    }
    // Two links of its own and one from each directory in it.
    assert_eq!(fs::metadata(&mounts.path).unwrap().nlink(), 2 + 5);
}

#[test]
fn all_but_the_caches_stays_read_only() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    let read_only = rustix::io::Errno::ROFS;
    fails(File::create(mounts.at("new")), read_only);
    fails(fs::create_dir(mounts.at("new")), read_only);
    fails(OpenOptions::new().write(true).open(mounts.at("credentials")), read_only);
    fails(OpenOptions::new().write(true).open(mounts.at("config")), read_only);
    fails(File::create(mounts.at("config")), read_only);
    fails(fs::remove_file(mounts.at("config")), read_only);
    fails(fs::remove_dir(mounts.at("credmount")), read_only);
    fails(fs::rename(mounts.at("config"), mounts.at("cli/config")), read_only);
    fails(fs::rename(mounts.at("config"), mounts.at("config.bak")), read_only);
    fails(fs::set_permissions(mounts.at("config"), Permissions::from_mode(0o666)), read_only);
    fails(symlink("/etc/passwd", mounts.at("link")), read_only);
    File::create(mounts.at("cli/config")).unwrap();
    fails(fs::rename(mounts.at("cli/config"), mounts.at("config")), read_only);
    fails(fs::hard_link(mounts.at("cli/config"), mounts.at("link")), read_only);
}

#[test]
fn the_four_directories_stay() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    let busy = rustix::io::Errno::BUSY;
    fails(fs::remove_dir(mounts.at("cli")), busy);
    fails(fs::rename(mounts.at("cli"), mounts.at("sso/cli")), busy);
    fs::create_dir(mounts.at("sso/cli")).unwrap();
    fails(fs::rename(mounts.at("sso/cli"), mounts.at("cli")), busy);
}

#[test]
fn links_and_other_owners_are_refused() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    let refused = rustix::io::Errno::PERM;
    let file = mounts.at("cli/a");
    File::create(&file).unwrap();
    fails(symlink("/etc", mounts.at("cli/link")), refused);
    fails(fs::hard_link(&file, mounts.at("cli/b")), refused);
    fails(chown(&file, Some(4711), None), refused);
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    chown(&file, Some(own.0), Some(own.1)).unwrap();
}

#[test]
fn a_full_cache_says_so() {
    let quotas = Quotas { bytes: 100_000, file_bytes: 100_000, entries: 2, depth: 16 };
    let Some(mounts) = Mounts::new(quotas) else { return };
    let full = rustix::io::Errno::NOSPC;
    let mut file = File::create(mounts.at("cli/a")).unwrap();
    fails(file.write_all(&vec![b'x'; 200_000]), full);
    fails(file.set_len(100_001), full);
    file.set_len(40_960).unwrap();
    File::create(mounts.at("cli/b")).unwrap();
    fails(File::create(mounts.at("cli/c")), full);
    let stat = statvfs(mounts.at("cli")).unwrap();
    assert_eq!((stat.f_blocks, stat.f_bfree), (24, 14));
    assert_eq!((stat.f_files, stat.f_ffree), (2, 0));
}

#[test]
fn the_file_of_keys_is_a_mount_of_its_own() {
    let Some(mut mounts) = Mounts::new(Quotas::default()) else { return };
    let keys = mounts.at("credentials");
    assert_eq!(fs::read_to_string(&keys).unwrap(), KEYS);
    let meta = fs::metadata(&keys).unwrap();
    assert!(meta.is_file());
    assert_eq!(meta.len(), KEYS.len() as u64);
    let nested = mounts.sessions.len() == 2;
    let outer = fs::metadata(&mounts.path).unwrap().dev();
    assert_eq!(meta.dev() != outer, nested);
    if nested {
        fails(fs::remove_file(&keys), rustix::io::Errno::BUSY);
        fs::write(mounts.at("cli/x"), "x").unwrap();
        fails(fs::rename(mounts.at("cli/x"), &keys), rustix::io::Errno::BUSY);
    }
    // One unmount takes both, and both sessions end.
    let sessions = std::mem::take(&mut mounts.sessions);
    drop(mounts);
    for session in sessions {
        session.thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_change_of_the_keys_is_seen_once_the_kernel_is_told() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    let modified = || fs::metadata(mounts.at("credentials")).unwrap().modified().unwrap();
    let (before, service) = (modified(), mounts.service.get());
    let tree = service.tree();
    let later = before + Duration::from_mins(1);
    let text = Arc::new(Snapshot::new(Zeroizing::new("[other]\n".to_owned()), Vec::new()));
    tree.publish(FileId::Credentials, View::ALL, text, later + Duration::from_hours(1), later);
    assert_eq!(modified(), before, "attributes are cached for ever");
    let node = match mounts.sessions.len() {
        2 => KeyFileFs::NODE,
        _ => INodeNo(tree.ino(FileId::Credentials).0),
    };
    mounts.sessions.last().unwrap().kernel.inval_inode(node, 0, 0).unwrap();
    assert_eq!(modified(), later);
    assert_eq!(fs::read_to_string(mounts.at("credentials")).unwrap(), "[other]\n");
}

/// `SQLite` in WAL mode maps a file shared; the AWS CLI keeps a data base in `cli/cache`.
#[test]
fn files_can_be_mapped_shared() {
    let Some(mounts) = Mounts::new(Quotas::default()) else { return };
    let script = "\
import mmap, sqlite3
a, b = sqlite3.connect('session.db'), sqlite3.connect('session.db')
assert a.execute('PRAGMA journal_mode=WAL').fetchone() == ('wal',)
a.execute('CREATE TABLE t(n)')
for n in range(500):
    a.execute('INSERT INTO t VALUES (?)', (n,))
    a.commit()
assert b.execute('SELECT COUNT(*) FROM t').fetchone() == (500,)
with open('mapped', 'w+b') as file:
    file.truncate(10000)
    with mmap.mmap(file.fileno(), 0) as mapped:
        mapped[9000:9004] = b'keys'
        assert open('mapped', 'rb').read()[9000:9004] == b'keys'
        mapped.flush()
assert open('mapped', 'rb').read()[9000:9005] == b'keys\\0'
";
    let directory = mounts.at("cli");
    match Command::new("python3").args(["-c", script]).current_dir(directory).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "python3 may be missing"),
    }
}
