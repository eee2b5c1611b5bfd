//! What the path of a cgroup tells of a container, pod or unit. Pure: knows the names that runtimes
//! give to their cgroups, not whether such a cgroup exists.
//!
//! Runtimes name cgroups in two ways: with the systemd driver as `PREFIX-ID.scope`, with the
//! cgroupfs driver as `PREFIX-ID` or as a bare `ID` in a directory of their own. A bare id counts
//! only where the directory above says whose it is.

use crate::model::Container;

/// The container, pod and unit that a path names; `None` if it names none of them.
///
/// Of nested containers (docker in a pod, pods in kind) the innermost is told, and so is the
/// innermost pod and the innermost unit, each wherever it stands.
pub fn of_cgroup(path: &str) -> Option<Container> {
    let mut found = Container::default();
    let (mut pod_uid, mut unit) = (None, None);
    for piece in pieces(path) {
        match piece {
            Piece::Container { runtime, id, pod_uid: pod } => {
                found = Container { runtime: runtime.into(), id: Some(id), ..Container::default() };
                pod_uid = pod.or(pod_uid);
            }
            Piece::Pod(uid) => pod_uid = Some(uid),
            Piece::Unit(name) => unit = Some(name.to_owned()),
            Piece::User(_) => {}
        }
    }
    if found.id.is_none() {
        found.runtime = match (&pod_uid, &unit) {
            (Some(_), _) => "kubernetes".into(),
            (None, Some(_)) => "systemd".into(),
            (None, None) => return None,
        };
    }
    Some(Container { pod_uid, unit, ..found })
}

/// The outermost container of a path, which is the one that the machine itself runs, and whose
/// name it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outermost {
    /// The container id.
    pub(super) id: String,
    /// The user in whose slice it stands. systemd delegates `user@UID.service` to that user, who
    /// makes cgroups of any name there (systemd.resource-control(5), `Delegate=`).
    pub(super) named_by: Option<u32>,
}

/// The outermost container. What stands below it may have been named by the container itself.
pub(super) fn outermost(path: &str) -> Option<Outermost> {
    let mut named_by = None;
    for piece in pieces(path) {
        match piece {
            Piece::User(uid) => named_by = Some(uid),
            Piece::Container { id, .. } => return Some(Outermost { id, named_by }),
            Piece::Pod(_) | Piece::Unit(_) => {}
        }
    }
    None
}

/// What one component of a path says.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Container {
        runtime: &'static str,
        id: String,
        /// From the one form that names both at once.
        pod_uid: Option<String>,
    },
    Pod(String),
    /// A service or scope of systemd.
    Unit(&'a str),
    /// `user-UID.slice`.
    User(u32),
}

fn pieces(path: &str) -> impl Iterator<Item = Piece<'_>> {
    let components: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    (0..components.len()).filter_map(move |index| {
        let (above, rest) = components.split_at(index);
        piece(rest.first()?, above)
    })
}

/// What a component says that stands below `above`.
fn piece<'a>(name: &'a str, above: &[&str]) -> Option<Piece<'a>> {
    let parent = above.last().copied().unwrap_or_default();
    if let Some(container) = colon_form(name).or_else(|| prefixed(name)) {
        return Some(container);
    }
    if let Some(uid) = pod_slice(name).or_else(|| pod_directory(name, above)) {
        return Some(Piece::Pod(uid));
    }
    if is_id(name) {
        let runtime = directory_of(parent, above)?;
        return Some(Piece::Container { runtime, id: name.to_owned(), pod_uid: None });
    }
    if let Some((runtime, id)) = named(name, parent) {
        return Some(Piece::Container { runtime, id, pod_uid: None });
    }
    if let Some((_, "service" | "scope")) = name.rsplit_once('.') {
        return Some(Piece::Unit(name));
    }
    let uid = name.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()?;
    Some(Piece::User(uid))
}

/// `PREFIX-ID.scope` (systemd driver) and `PREFIX-ID` (cgroupfs driver).
fn prefixed(name: &str) -> Option<Piece<'_>> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (prefix, id) = name.rsplit_once('-')?;
    let (_, runtime) = *PREFIXES.iter().find(|(known, _)| *known == prefix)?;
    is_id(id).then(|| Piece::Container { runtime, id: id.to_owned(), pod_uid: None })
}

/// `SLICE:PREFIX:ID`: what the systemd driver was asked for, taken as a directory name by a runtime
/// that uses the other one.
fn colon_form(name: &str) -> Option<Piece<'_>> {
    let mut parts = name.splitn(3, ':');
    let (slice, prefix, id) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, runtime) = *PREFIXES.iter().find(|(known, _)| *known == prefix)?;
    is_id(id).then(|| Piece::Container { runtime, id: id.to_owned(), pod_uid: pod_slice(slice) })
}

/// `kubepods-QOS-podUID.slice`, with `_` for the dashes of the uid; below kind and minikube with
/// `kubelet-` before it.
fn pod_slice(name: &str) -> Option<String> {
    let (qos, uid) = name.strip_suffix(".slice")?.rsplit_once("-pod")?;
    let uid = uid.replace('_', "-");
    (qos.split('-').any(|part| part == "kubepods") && is_pod_uid(&uid)).then_some(uid)
}

/// `kubepods/podUID` and `kubepods/QOS/podUID`.
fn pod_directory(name: &str, above: &[&str]) -> Option<String> {
    let uid = name.strip_prefix("pod")?;
    let below_kubepods = above.iter().rev().take(2).any(|name| *name == "kubepods");
    (below_kubepods && is_pod_uid(uid)).then(|| uid.to_owned())
}

/// Whose a bare id is, by the directories above it.
fn directory_of(parent: &str, above: &[&str]) -> Option<&'static str> {
    let before = above.split_last().map_or(&[][..], |(_, before)| before);
    if parent == "docker" {
        Some("docker")
    } else if parent == "libpod_parent" {
        Some("podman")
    } else if pod_slice(parent).is_some() || pod_directory(parent, before).is_some() {
        // The cgroupfs driver of containerd, and formerly of docker; CRI-O writes its prefix.
        Some("containerd")
    } else if before.last() == Some(&"ecs") {
        // Amazon ECS on EC2: `/ecs/TASK/ID`, run by docker.
        Some("docker")
    } else {
        None
    }
}

/// Containers that have a name instead of an id: LXC and machines of `systemd-nspawn`.
fn named(name: &str, parent: &str) -> Option<(&'static str, String)> {
    if let Some(container) = name.strip_prefix("lxc.payload.") {
        return Some(("lxc", container.to_owned()));
    }
    if parent == "lxc" || parent == "lxc.payload" {
        return Some(("lxc", name.to_owned()));
    }
    let machine = name
        .strip_prefix("machine-")
        .and_then(|rest| rest.strip_suffix(".scope"))
        .or_else(|| name.strip_prefix("systemd-nspawn@")?.strip_suffix(".service"))?
        .replace("\\x2d", "-");
    // A virtual machine of libvirt: what reads there is the emulator, a program of the host.
    let is_virtual = machine.starts_with("qemu-");
    (!is_virtual).then_some(("nspawn", machine))
}

/// 64 hexadecimal digits as a rule; runtimes allow shorter ones.
fn is_id(text: &str) -> bool {
    (32..=64).contains(&text.len()) && text.bytes().all(is_hex)
}

/// A UUID, or for a static pod the hash of its manifest.
fn is_pod_uid(text: &str) -> bool {
    match text.len() {
        36 => text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => is_hex(byte),
        }),
        32 => text.bytes().all(is_hex),
        _ => false,
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The prefixes that runtimes put before the id of a container. Their monitors (`libpod-conmon-`,
/// `crio-conmon-`) are programs of the host and no containers.
const PREFIXES: [(&str, &str); 6] = [
    ("docker", "docker"),
    ("libpod", "podman"),
    ("libpod-payload", "podman"),
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3b1f0c5d7e9a2b4c6d8e0f1a3c5e7f9b1d3f5a7c9e0b2d4f6a8c0e1f3a5b7c9d";
    const B: &str = "f00df00df00df00df00df00df00df00df00df00df00df00df00df00df00df00d";
    const POD: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    /// A static pod's.
    const HASH: &str = "9a8b7c6d5e4f30211203f4e5d6c7b8a9";

    /// `A`, `B`, `P`, `S` (the pod uid as slices write it) and `H` in a row stand for the constants.
    fn filled(text: &str) -> String {
        let underscored = POD.replace('-', "_");
        text.replace("{A}", A)
            .replace("{B}", B)
            .replace("{P}", POD)
            .replace("{S}", &underscored)
            .replace("{H}", HASH)
    }

    #[test]
    fn paths_of_all_runtimes_are_understood() {
        // Path → runtime, id, pod uid, unit; `-` for what the path does not tell.
        let table = "
/docker/{A}                                                          docker     {A} -   -
/docker/{A}/init                                                     docker     {A} -   -
/../{A}                                                              none
/../../docker/{A}                                                    docker     {A} -   -
/system.slice/docker-{A}.scope                                       docker     {A} -   -
/ci.slice/ci-jobs.slice/docker-{A}.scope                             docker     {A} -   -
/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope docker {A} -  user@1000.service
/docker/{A}/system.slice/nginx.service                               docker     {A} -   nginx.service
/ecs/0123456789abcdef0123456789abcdef/{A}                            docker     {A} -   -
/machine.slice/libpod-{A}.scope                                      podman     {A} -   -
/machine.slice/libpod-{A}.scope/container                            podman     {A} -   -
/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope         podman     {A} -   -
/libpod_parent/libpod-{A}                                            podman     {A} -   -
/libpod_parent/{A}                                                   podman     {A} -   -
/libpod-{A}/container                                                podman     {A} -   -
/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container podman {A} - user@1000.service
/system.slice/web.service/libpod-payload-{A}                         podman     {A} -   web.service
/machine.slice/libpod-conmon-{A}.scope                               systemd    -   -   libpod-conmon-{A}.scope
/system.slice/nerdctl-{A}.scope                                      containerd {A} -   -
/kubepods/pod{P}/{A}                                                 containerd {A} {P} -
/kubepods/burstable/pod{P}/{A}                                       containerd {A} {P} -
/kubepods/besteffort/pod{H}/{A}                                      containerd {A} {H} -
/kubepods.slice/kubepods-pod{S}.slice/cri-containerd-{A}.scope       containerd {A} {P} -
/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{S}.slice/cri-containerd-{A}.scope containerd {A} {P} -
/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{H}.slice/crio-{A}.scope cri-o {A} {H} -
/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{S}.slice/docker-{A}.scope docker {A} {P} -
/system.slice/containerd.service/kubepods-burstable-pod{S}.slice:cri-containerd:{A} containerd {A} {P} containerd.service
/system.slice:docker:{A}                                             docker     {A} -   -
/kubepods/burstable/pod{P}/crio-{A}                                  cri-o      {A} {P} -
/kubepods/burstable/pod{P}                                           kubernetes -   {P} -
/kubepods.slice/kubepods-pod{S}.slice/crio-conmon-{A}.scope          kubernetes -   {P} crio-conmon-{A}.scope
/kubepods.slice/kubepods-pod{S}.slice/cri-containerd-{A}.scope/docker/{B} docker {B} {P} -
/kubepods/pod{P}/{A}/docker/{B}                                      docker     {B} {P} -
/docker/{A}/docker/{B}                                               docker     {B} -   -
/docker/{A}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{S}.slice/cri-containerd-{B}.scope containerd {B} {P} -
/docker/{A}/kubelet/kubepods/besteffort/pod{P}/{B}                   containerd {B} {P} -
/system.slice/backup.service                                         systemd    -   -   backup.service
/system.slice/system-agent.slice/agent@7.service                     systemd    -   -   agent@7.service
/user.slice/user-1000.slice/session-3.scope                          systemd    -   -   session-3.scope
/user.slice/user-1000.slice/user@1000.service/app.slice/app-term-12.scope systemd -  -   app-term-12.scope
/user.slice/user-1000.slice/user@1000.service/init.scope             systemd    -   -   init.scope
/lxc/web                                                             lxc        web -   -
/lxc/web/ns/system.slice/cron.service                                lxc        web -   cron.service
/lxc.payload/web                                                     lxc        web -   -
/lxc.payload.web/system.slice/cron.service                           lxc        web -   cron.service
/lxc.monitor.web                                                     none
/lxc/web/docker/{A}                                                  docker     {A} -   -
/machine.slice/machine-web.scope/payload                             nspawn     web -   -
/machine.slice/machine-my\\x2dbox.scope                              nspawn     my-box - -
/machine.slice/systemd-nspawn@web.service/payload                    nspawn     web -   -
/machine.slice/machine-qemu\\x2d1\\x2dvm.scope                       systemd    -   -   machine-qemu\\x2d1\\x2dvm.scope
/                                                                    none
/user.slice                                                          none
/{A}                                                                 none
/builds/{A}                                                          none
/docker/buildkit/wz4o4vxk                                            none
/docker/3b1f0c5d7e9a                                                 none
/kubepods/burstable/podium                                           none
/burstable/pod{P}/{A}                                                none
/evil-docker-{A}.scope                                               systemd    -   -   evil-docker-{A}.scope
/DOCKER-{A}.scope                                                    systemd    -   -   DOCKER-{A}.scope
/docker-{A}x.scope                                                   systemd    -   -   docker-{A}x.scope
";
        let mut rows = 0;
        for row in table.lines().filter(|row| !row.is_empty()) {
            let row = filled(row);
            let columns: Vec<&str> = row.split_whitespace().collect();
            let text = |at: usize| Some(columns[at].to_owned()).filter(|text| text != "-");
            let expected = (columns[1] != "none").then(|| Container {
                runtime: columns[1].to_owned(),
                id: text(2),
                pod_uid: text(3),
                unit: text(4),
            });
            assert_eq!(of_cgroup(columns[0]), expected, "{row}");
            rows += 1;
        }
        assert!(rows > 50, "the table was read: {rows}");
    }

    #[test]
    fn an_empty_path_and_a_relative_one_are_no_mistake() {
        assert_eq!(of_cgroup(""), None);
        assert_eq!(of_cgroup(&format!("docker/{A}")), of_cgroup(&format!("/docker/{A}")));
    }

    #[test]
    fn the_outermost_container_is_the_one_that_the_machine_named() {
        let check = |path: &str, expected: Option<(&str, Option<u32>)>| {
            let expected = expected.map(|(id, named_by)| Outermost { id: id.into(), named_by });
            assert_eq!(outermost(&filled(path)), expected, "{path}");
        };
        check("/docker/{A}", Some((A, None)));
        check("/docker/{A}/docker/{B}", Some((A, None)));
        check("/docker/{A}/user.slice/user-7.slice/docker-{B}.scope", Some((A, None)));
        check("/lxc/web/docker/{B}", Some(("web", None)));
        let user = "/user.slice/user-1001.slice/user@1001.service";
        check(&format!("{user}/user.slice/libpod-{{A}}.scope"), Some((A, Some(1001))));
        check(&format!("{user}/docker/{{A}}"), Some((A, Some(1001))));
        check(user, None);
        check("/", None);
    }
}
