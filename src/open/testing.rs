//! What tests of opens and of requests share: a mount of two roles without a kernel, and callers of
//! whom all is known.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{
    Gate, IdentifyCaller, LocateMount, MountLife, OpenOptions, OpenService, Requester, Traffic,
};
use crate::audit::Recorder;
use crate::metrics::CallMetrics;
use crate::model::{Caller, Process, Secret};
use crate::policy::{AllowRule, Policy};
use crate::publish::testing::Roles;
use crate::render::ReaderPath;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A caller of whom `/proc` tells everything, unless it was gone.
#[derive(Debug)]
struct ProcFs;

impl IdentifyCaller for ProcFs {
    fn identify(&self, requester: Requester) -> Caller {
        let Requester { uid, gid, tid, resent, .. } = requester;
        let process = Process {
            tgid: tid,
            start_time: 1,
            comm: "reader".to_owned(),
            exe: Some("/usr/bin/reader".to_owned()),
            cgroup: None,
            container: None,
        };
        Caller { uid, gid, tid, process: Some(process).filter(|_| tid != 0 && !resent) }
    }
}

#[derive(Debug)]
struct Nowhere;

impl LocateMount for Nowhere {
    fn seen_by(&self, _tid: u32) -> Option<ReaderPath> {
        None
    }
}

pub(crate) fn service(
    roles: &Roles,
    allow: Vec<AllowRule>,
    most_waiting: usize,
) -> Arc<OpenService> {
    let fallback_path = ReaderPath::parse("/aws").unwrap();
    let options = OpenOptions {
        name: None,
        mountpoint: "/aws".to_owned(),
        deadline: DEADLINE,
        reader_path: None,
        fallback_path,
        log_file: None,
        endpoint_token: Some(Secret::new(TOKEN)),
    };
    let life = MountLife::new(SystemTime::UNIX_EPOCH);
    let gate = Gate {
        label: "test".to_owned(),
        policy: Policy::new(allow, OWNER),
        identify: Arc::new(ProcFs),
        recorder: Arc::<Recorder>::default(),
        metrics: life.metrics.clone(),
        calls: Arc::<CallMetrics>::default(),
    };
    OpenService::new(
        roles.tree.clone(),
        roles.broker.clone(),
        roles.publisher.clone(),
        roles.clock.clone(),
        options,
        Arc::new(Nowhere),
        life,
        gate,
        Traffic::new(most_waiting),
    )
}

/// The user who mounted.
pub(crate) const OWNER: u32 = 1000;

/// What opens the endpoint.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
