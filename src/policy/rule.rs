//! One rule of `[[mounts.NAME.allow]]`.

use glob::Pattern;

use crate::model::ProfileName;

/// A rule: matches a caller for whom every condition given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowRule {
    /// The user id, as the host counts.
    pub uid: Option<u32>,
    /// The primary group id, as the host counts.
    pub gid: Option<u32>,
    /// The cgroup's path; `*` also matches `/`.
    pub cgroup: Option<Pattern>,
    /// The first digits of the container id, at least 12.
    pub container: Option<String>,
    /// The program's path, best effort.
    pub exe: Option<Pattern>,
    /// The profiles that the caller may read; `None` for all, empty for none.
    pub roles: Option<Vec<ProfileName>>,
}
