//! Options and mounts → [`Settings`], with the checks that concern several of them.

use super::chains::mfa;
use super::options::Options;
use super::settings::{
    DEFAULT_MAX_WAITING_OPENS, DEFAULT_OPEN_DEADLINE, DEFAULT_SESSION_DURATION, MountSettings,
    Settings, Verbosity,
};
use super::values::Report;

/// Puts them together. `options` are those for all.
pub(super) fn settings(
    options: &Options,
    mounts: Vec<MountSettings>,
    report: &mut Report,
) -> Settings {
    check_min_ttl(options, &mounts, report);
    mfa::check_shared(&mounts, report);
    Settings {
        mounts,
        session_duration: options.session_duration.value().unwrap_or(DEFAULT_SESSION_DURATION),
        min_ttl: options.min_ttl.value(),
        open_deadline: options.open_deadline.value().unwrap_or(DEFAULT_OPEN_DEADLINE),
        max_waiting_opens: options.max_waiting_opens.value().unwrap_or(DEFAULT_MAX_WAITING_OPENS),
        sts_calls_per_second: options.sts_calls_per_second.value(),
        audit_log: options.audit_log.value(),
        audit_journal: options.audit_journal.value().unwrap_or_default(),
        on_audit_failure: options.on_audit_failure.value().unwrap_or_default(),
        background: options.background.value().unwrap_or_default(),
        supervise: options.supervise.value().unwrap_or_default(),
        log_format: options.log_format.value().unwrap_or_default(),
        verbosity: verbosity(options),
        mfa_prompt: options.mfa_prompt.value().unwrap_or_default(),
        notify: options.notify.value().unwrap_or_default(),
        keep_logins: options.keep_logins.value().unwrap_or_default(),
        warnings: Vec::new(),
    }
}

/// A floor as high as the session would make every open wait for a renewal.
fn check_min_ttl(options: &Options, mounts: &[MountSettings], report: &mut Report) {
    let Some(min_ttl) = options.min_ttl.first() else { return };
    let too_short = mounts.iter().flat_map(|mount| &mount.roles).find_map(|role| {
        let session_duration = role.chain.hops.last()?.session_duration;
        (session_duration <= min_ttl.value).then_some((role, session_duration))
    });
    if let Some((role, session_duration)) = too_short {
        report.error(
            &min_ttl.origin,
            format!(
                "min_ttl {} is not below the session duration of role `{}`, {}: every open would \
                 wait for a new session; use a third of it or less",
                humantime::format_duration(min_ttl.value),
                role.profile,
                humantime::format_duration(session_duration)
            ),
        );
    }
}

/// The louder or quieter wish of the highest layer that has one; in one layer `quiet` wins.
fn verbosity(options: &Options) -> Verbosity {
    let quiet = options.quiet.first();
    let verbose = options.verbose.first();
    match (quiet, verbose) {
        (Some(quiet), Some(verbose))
            if quiet.value && quiet.origin.layer() <= verbose.origin.layer() =>
        {
            Verbosity::Quiet
        }
        (Some(quiet), None) if quiet.value => Verbosity::Quiet,
        (_, Some(verbose)) => match verbose.value {
            0 => Verbosity::Normal,
            1 => Verbosity::Verbose,
            _ => Verbosity::Trace,
        },
        (_, None) => Verbosity::Normal,
    }
}
