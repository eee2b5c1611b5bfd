//! MFA of a role or of an AWS profile → base credentials that carry it.
//!
//! 1. The device is named by the role, or by the AWS profile that assumes it or holds its keys.
//! 2. Keys of an IAM user are needed: AWS gives sessions with MFA for no others.
//! 3. What the session is like follows from the device and the keys alone, never from the role or
//!    the mount, unless these say something else: one code is to do for all roles behind a device.

use super::{Built, Chains};
use crate::config::aws::profiles::Profile;
use crate::config::options::mfa::{DEFAULT_DURATION, MfaSpec};
use crate::config::settings::MountSettings;
use crate::config::values::{Origin, Report, Sourced, shown};
use crate::model::{BaseCredentials, MfaDevice, MfaSession, Partition, RegionName};

impl MfaSpec {
    /// What an AWS profile says. `mfa_process` is a key that SDKs do not know, but other tools do.
    pub(in crate::config) fn of_profile(profile: &Profile, report: &mut Report) -> Option<Self> {
        let Some(serial) = profile.value("mfa_serial") else { return Some(Self::default()) };
        let device = report.check(&serial.origin, MfaDevice::parse(&serial.value))?;
        let serial = Some(Sourced::new(device, serial.origin));
        Some(Self { serial, process: profile.value("mfa_process"), session_duration: None })
    }

    /// The chain with a session that carries MFA in the place of its base credentials, if a device
    /// is named. A device that `built` has already is the one of the source: that of the role
    /// counts, as for other tools.
    pub(in crate::config) fn apply(
        &self,
        subject: &str,
        mut built: Built,
        chains: &Chains<'_>,
        report: &mut Report,
    ) -> Option<Built> {
        let Some(serial) = &self.serial else { return Some(built) };
        let device = &serial.value;
        if built.base_is_role || !built.chain.hops.is_empty() {
            report.error(
                &serial.origin,
                format!(
                    "{subject} wants MFA of {device}, but starts from the session of a role, for \
                     which AWS gives no session with MFA: use the keys of the IAM user who has the \
                     device, or remove mfa_serial"
                ),
            );
            return None;
        }
        let base = match built.chain.base {
            BaseCredentials::Mfa(source) => source.base,
            base => base,
        };
        let options = chains.options;
        let process = options.mfa_process.for_role(self.process.as_ref(), true);
        let duration = options.mfa_session_duration.for_role(self.session_duration.as_ref(), true);
        built.chain.base = BaseCredentials::Mfa(Box::new(MfaSession {
            sts_region: sts_region(device, built.source_region.as_ref(), chains),
            base,
            device: device.clone(),
            session_duration: duration.map_or(DEFAULT_DURATION, |found| found.value),
            process: process.map(|found| found.value.clone()),
        }));
        Some(built)
    }
}

/// Where the session is asked for: what is said for all mounts, the region of the profile that holds
/// the keys, that of the surroundings; the first that belongs to the partition of the device.
fn sts_region(
    device: &MfaDevice,
    source: Option<&Sourced<RegionName>>,
    chains: &Chains<'_>,
) -> RegionName {
    let regions = &chains.regions;
    let known = regions.option.common().into_iter().chain(source).chain(&regions.ambient);
    let mut known = known.map(|region| &region.value);
    let fits = |region: &&RegionName| {
        device.partition().is_none_or(|partition| region.partition() == Some(partition))
    };
    let partition = device.partition().unwrap_or(Partition::Aws);
    known.find(fits).cloned().unwrap_or_else(|| partition.default_sts_region())
}

/// Warns of roles behind one device that do not share its session.
pub(in crate::config) fn check_shared(mounts: &[MountSettings], report: &mut Report) {
    let mut first: Vec<(&MfaSession, &str)> = Vec::new();
    for role in mounts.iter().flat_map(|mount| &mount.roles) {
        let Some(session) = role.chain.mfa() else { continue };
        let is_other = |(other, _): &&(&MfaSession, &str)| other.device == session.device;
        let Some((other, profile)) = first.iter().find(is_other) else {
            first.push((session, role.profile.as_str()));
            continue;
        };
        let difference = if *other == session {
            continue;
        } else if other.base != session.base {
            "source_profile"
        } else if other.process != session.process {
            "mfa_process"
        } else if other.session_duration != session.session_duration {
            "mfa_session_duration"
        } else {
            "region"
        };
        report.warning(
            &Origin::Whole,
            format!(
                "roles {} and {} share the MFA device {}, but not its session, because their \
                 {difference} differs: each needs a code of its own",
                shown(profile),
                shown(role.profile.as_str()),
                session.device
            ),
        );
    }
}
