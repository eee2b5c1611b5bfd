//! Requests of the kernel to a connection that was adopted, in any order and of any content that
//! their form allows: each gets one answer of a legal form in time, and the mount ends as asked.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use credmount::fuse::Shape;
use credmount::tree::Ino;
use credmount_fuzz::PLANTED;
use credmount_fuzz::kernel::{Answer, Body, Kernel, Request, opcode};
use credmount_fuzz::mount::serve;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

#[derive(Debug, Arbitrary)]
#[expect(clippy::struct_excessive_bools, reason = "each doubles the mounts that are tried")]
struct Input {
    allow_other: bool,
    writable: bool,
    /// Whether `credentials` has a connection of its own, which is the one that is asked.
    keys: bool,
    rules: bool,
    asked: Vec<Asked>,
}

#[derive(Debug, Arbitrary)]
struct Asked {
    node: Number,
    by: Who,
    resent: bool,
    /// Whether the next request is sent before the answer.
    hasty: bool,
    what: What,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Who {
    Owner,
    Root,
    Other,
}

/// A number that was given out before, or any.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Number {
    Known(u8),
    Any(u64),
}

#[derive(Debug, Arbitrary)]
enum Name {
    Known(u8),
    Any(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum What {
    Lookup(Name),
    Forget(u64),
    BatchForget(Vec<(Number, u64)>),
    GetAttr(Option<Number>),
    SetAttr { valid: u32, fh: Number, size: u64, mode: u32, ids: (u32, u32), time: (u64, u32) },
    MkNod(Name, u32),
    MkDir(Name, u32),
    Unlink(Name),
    RmDir(Name),
    Rename { to: Number, from: Name, name: Name, flags: Option<u32> },
    Link { from: Number, name: Name },
    Open(u32),
    Read { fh: Number, offset: u64, size: u32, flags: u32 },
    Write { fh: Number, offset: u64, data: Vec<u8>, flags: u32 },
    StatFs,
    Release { fh: Number, flags: u32 },
    Sync { fh: Number },
    Flush { fh: Number },
    GetXattr(Name, u32),
    OpenDir(u32),
    ReadDir { fh: Number, offset: u64, size: u32 },
    ReleaseDir { fh: Number },
    Create { name: Name, flags: u32, mode: u32 },
    Anything { opcode: u32, body: Vec<u8> },
}

/// What the kernel has been told so far.
#[derive(Debug)]
struct Known {
    nodes: Vec<u64>,
    handles: Vec<u64>,
}

impl Known {
    fn node(&self, number: Number) -> u64 {
        pick(&self.nodes, number)
    }

    fn handle(&self, number: Number) -> u64 {
        pick(&self.handles, number)
    }

    fn learn(&mut self, opcode: u32, answer: &Answer) {
        if answer.errno != 0 {
            return;
        }
        let (entry, handle) = match opcode {
            opcode::LOOKUP | opcode::MKNOD | opcode::MKDIR | opcode::LINK => (Some(0), None),
            opcode::OPEN | opcode::OPENDIR => (None, Some(0)),
            // Behind `struct fuse_entry_out`.
            opcode::CREATE => (Some(0), Some(128)),
            _ => return,
        };
        self.nodes.extend(entry.and_then(|at| answer.u64(at)));
        self.handles.extend(handle.and_then(|at| answer.u64(at)));
    }

    fn body(&self, what: &What) -> (u32, Body) {
        let body = Body::default();
        match what {
            What::Lookup(name) => (opcode::LOOKUP, body.name(name.bytes())),
            What::Forget(times) => (opcode::FORGET, body.u64(*times)),
            What::BatchForget(nodes) => {
                let count = u32::try_from(nodes.len()).unwrap_or_default();
                let one = |body: Body, (node, times): &(Number, u64)| {
                    body.u64(self.node(*node)).u64(*times)
                };
                (opcode::BATCH_FORGET, nodes.iter().fold(body.u32(count).u32(0), one))
            }
            What::GetAttr(fh) => {
                let handle = fh.map_or(0, |fh| self.handle(fh));
                (opcode::GETATTR, body.u32(u32::from(fh.is_some())).u32(0).u64(handle))
            }
            What::SetAttr { valid, fh, size, mode, ids, time } => (
                opcode::SETATTR,
                body.u32(*valid)
                    .u32(0)
                    .u64(self.handle(*fh))
                    .u64(*size)
                    .u64(0)
                    .u64(time.0)
                    .u64(time.0)
                    .u64(time.0)
                    .u32(time.1)
                    .u32(time.1)
                    .u32(time.1)
                    .u32(*mode)
                    .u32(0)
                    .u32(ids.0)
                    .u32(ids.1)
                    .u32(0),
            ),
            What::MkNod(name, mode) => {
                (opcode::MKNOD, body.u32(*mode).u32(0).u32(0).u32(0).name(name.bytes()))
            }
            What::MkDir(name, mode) => (opcode::MKDIR, body.u32(*mode).u32(0).name(name.bytes())),
            What::Unlink(name) => (opcode::UNLINK, body.name(name.bytes())),
            What::RmDir(name) => (opcode::RMDIR, body.name(name.bytes())),
            What::Rename { to, from, name, flags } => {
                let body = body.u64(self.node(*to));
                let (opcode, body) = match flags {
                    Some(flags) => (opcode::RENAME2, body.u32(*flags).u32(0)),
                    None => (opcode::RENAME, body),
                };
                (opcode, body.name(from.bytes()).name(name.bytes()))
            }
            What::Link { from, name } => {
                (opcode::LINK, body.u64(self.node(*from)).name(name.bytes()))
            }
            What::Open(flags) => (opcode::OPEN, body.u32(*flags).u32(0)),
            What::Read { fh, offset, size, flags } => {
                (opcode::READ, self.range(*fh, *offset, size % LONGEST_READ, *flags))
            }
            What::Write { fh, offset, data, flags } => {
                let size = u32::try_from(data.len()).unwrap_or_default();
                (opcode::WRITE, self.range(*fh, *offset, size, *flags).bytes(data))
            }
            What::Release { fh, flags } => {
                (opcode::RELEASE, body.u64(self.handle(*fh)).u32(*flags).u32(0).u64(0))
            }
            What::Sync { fh } => (opcode::FSYNC, body.u64(self.handle(*fh)).u32(0).u32(0)),
            What::Flush { fh } => (opcode::FLUSH, body.u64(self.handle(*fh)).u32(0).u32(0).u64(0)),
            What::GetXattr(name, size) => {
                (opcode::GETXATTR, body.u32(*size).u32(0).name(name.bytes()))
            }
            What::OpenDir(flags) => (opcode::OPENDIR, body.u32(*flags).u32(0)),
            What::ReadDir { fh, offset, size } => {
                (opcode::READDIR, self.range(*fh, *offset, size % LONGEST_READ, 0))
            }
            What::ReleaseDir { fh } => {
                (opcode::RELEASEDIR, body.u64(self.handle(*fh)).u32(0).u32(0).u64(0))
            }
            What::Create { name, flags, mode } => {
                (opcode::CREATE, body.u32(*flags).u32(*mode).u32(0).u32(0).name(name.bytes()))
            }
            // The end of a session is asked for at the end.
            What::StatFs | What::Anything { opcode: opcode::DESTROY, .. } => (opcode::STATFS, body),
            What::Anything { opcode, body: bytes } => (*opcode, body.bytes(bytes)),
        }
    }

    /// `struct fuse_read_in`, which `struct fuse_write_in` equals.
    fn range(&self, fh: Number, offset: u64, size: u32, flags: u32) -> Body {
        let body = Body::default().u64(self.handle(fh)).u64(offset).u32(size);
        body.u32(0).u64(0).u32(flags).u32(0)
    }
}

fn pick(known: &[u64], number: Number) -> u64 {
    match number {
        Number::Known(index) => known[usize::from(index) % known.len()],
        Number::Any(number) => number,
    }
}

impl Name {
    /// As the kernel has names: without NUL and slash, at most 255 bytes, at least one.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Known(index) => NAMES[usize::from(*index) % NAMES.len()],
            Self::Any(bytes) => {
                let bytes = bytes.split(|byte| [0, b'/'].contains(byte)).next();
                let bytes = bytes.filter(|bytes| !bytes.is_empty()).unwrap_or(b"x");
                &bytes[..bytes.len().min(255)]
            }
        }
    }
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

fuzz_target!(|input: Input| {
    let _entered = RUNTIME.enter();
    let shape = Shape { allow_other: input.allow_other, writable: Some(input.writable) };
    let (tree_kernel, tree) = Kernel::new();
    let (keys_kernel, keys) = Kernel::new();
    let mounted = serve(tree, Some(keys), input.rules, shape);
    let mut kernels = [tree_kernel, keys_kernel];
    converse(&mut kernels[usize::from(input.keys)], &input);
    for kernel in &mut kernels {
        end(kernel);
    }
    let ended = RUNTIME
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), mounted.ended()).await });
    ended.expect("the sessions end").expect("as they were asked to");
});

fn converse(kernel: &mut Kernel, input: &Input) {
    let owner = rustix::process::geteuid().as_raw();
    let mut known = Known { nodes: vec![1, Ino::CREDENTIALS.0], handles: vec![0] };
    let mut early = Vec::new();
    for asked in input.asked.iter().take(MOST_REQUESTS) {
        let (opcode, body) = known.body(&asked.what);
        let uid = match asked.by {
            Who::Owner => owner,
            Who::Root => 0,
            Who::Other => 65_534,
        };
        let node = known.node(asked.node);
        let request = Request { opcode, node, uid, resent: asked.resent, body };
        if asked.hasty || [opcode::FORGET, opcode::BATCH_FORGET].contains(&opcode) {
            kernel.send(&request);
            continue;
        }
        let answer = kernel.ask(&request, &mut early);
        known.learn(opcode, &answer);
        if uid != owner && [opcode::LOOKUP, opcode::GETATTR, opcode::READDIR].contains(&opcode) {
            let planted = PLANTED.as_bytes();
            let leaks = answer.body.windows(planted.len()).any(|bytes| bytes == planted);
            assert!(!leaks, "keys for a stranger");
        }
        let is_open = opcode == opcode::OPEN && node == Ino::CREDENTIALS.0;
        if is_open && uid == 65_534 {
            assert_ne!(answer.errno, 0, "a stranger opens the keys");
        }
    }
    while kernel.is_waiting() {
        kernel.receive();
    }
    // Whatever was asked, the mount still serves.
    let body = Body::default().u32(0).u32(0).u64(0);
    let request = Request { opcode: opcode::GETATTR, node: 1, uid: owner, resent: false, body };
    assert_eq!(kernel.ask(&request, &mut early).errno, 0, "the root is gone");
}

fn end(kernel: &mut Kernel) {
    let request = Request { opcode: opcode::DESTROY, ..Request::default() };
    kernel.ask(&request, &mut Vec::new());
}

const MOST_REQUESTS: usize = 32;

/// The kernel asks for no more at once (`max_pages`).
const LONGEST_READ: u32 = 128 * 1024 + 1;

const NAMES: [&[u8]; 18] = [
    b"credentials",
    b"config",
    b"credmount",
    b"status.json",
    b"metrics",
    b"process",
    b"errors",
    b"prod.json",
    b"prod",
    b"dev",
    b"default",
    b"cli",
    b"sso",
    b"login",
    b"boto",
    b"cache",
    b"a",
    b".",
];
