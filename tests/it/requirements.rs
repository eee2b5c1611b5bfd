//! What the public documents ask for that describe programs of this kind, item by item, each with
//! the tests that hold it. What no other module is about is tested in `own`.
//!
//! The documents: the credential broker of moat (its pull request 24 with the review), the design
//! of AWS role authentication for agents (`AWS_AUTH_ROLES`), the guide of Vouch, and the page of
//! the DevOps Agent about boto3.

mod own;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::architecture::{files, readme, root, test_names};

/// A document, an item of it, and its tests as `module::name`.
type Row = (&'static str, &'static str, &'static [&'static str]);

const MOAT: &str = "moat PR";
const AWS_AUTH: &str = "AWS auth design";
const VOUCH: &str = "Vouch guide";
const BOTO3: &str = "DevOps Agent page";

/// What no test can hold: sentences of README, by words that stand in it.
const IN_README: [(&str, &str, &str); 1] =
    [(MOAT, "troubleshooting guide", "Look at the trust policy of the role")];

const TABLE: [Row; 48] = [
    (
        MOAT,
        "stores configuration, never secrets",
        &[
            "shared_file::secrets_are_not_kept",
            "leaks::a_life_with_every_fault_leaves_no_secret_behind",
        ],
    ),
    (
        MOAT,
        "delivery by credential_process",
        &[
            "render::process_json_is_what_sdks_expect",
            "identity::the_cli_tells_where_its_keys_come_from",
        ],
    ),
    (
        MOAT,
        "any image, without curl",
        &["docker::a_container_with_the_one_file_bound_has_new_keys_after_a_renewal"],
    ),
    (
        MOAT,
        "keys of the host never in the container",
        &[
            "own::base_keys_never_reach_a_reader",
            "copied::nothing_that_names_credentials_is_copied",
        ],
    ),
    (
        MOAT,
        "duration of 15 min to 12 h; negative and zero refused",
        &[
            "text::session_durations_are_15_minutes_to_12_hours",
            "cli::a_negative_duration_reaches_the_configuration",
        ],
    ),
    (
        MOAT,
        "external id",
        &[
            "chains::each_hop_carries_what_it_says_and_what_goes_with_the_chain",
            "text::external_ids_follow_the_pattern_of_sts",
        ],
    ),
    (
        MOAT,
        "role ARNs: parts, partition, account, name, path",
        &["arn::each_wrong_part_has_its_message", "arn::a_role_arn_knows_its_parts"],
    ),
    (
        MOAT,
        "refresh before the end, configurable",
        &[
            "renewal::a_configured_min_ttl_is_the_floor",
            "renewal::no_open_is_served_less_than_the_floor",
        ],
    ),
    (
        MOAT,
        "single flight",
        &[
            "failures::fifty_waiters_share_one_flight",
            "faults::a_hundred_readers_of_a_session_that_is_due_cause_one_call",
        ],
    ),
    (
        MOAT,
        "a reader that gave up costs the others nothing",
        &["readers::readers_that_are_killed_while_they_wait_leave_nothing_to_others"],
    ),
    (
        MOAT,
        "an answer without credentials is refused",
        &["client_tests::answers_that_are_no_session_are_bad_answers"],
    ),
    (
        MOAT,
        "generic error to the reader, details in the log",
        &[
            "render::nothing_of_the_service_reaches_readers_of_a_failing_profile",
            "failing::errors_and_process_files_tell_the_reason_and_are_blank_when_healthy",
        ],
    ),
    (
        MOAT,
        "audit of each fetch",
        &["audit::a_crowd_of_readers_leaves_as_many_whole_records_as_opens"],
    ),
    (MOAT, "cache metrics", &["metrics::counts_rise_with_each_decision_and_each_call"]),
    (
        MOAT,
        "nothing is left behind, also after an early failure",
        &[
            "survive::a_clean_end_leaves_nothing_behind",
            "cli::mounting_again_clears_what_a_killed_daemon_left",
        ],
    ),
    (
        MOAT,
        "permissions for the owner alone",
        &[
            "semantics::the_tree_has_the_documented_files_modes_and_owner",
            "namespaces::other_users_are_refused_by_the_kernel",
        ],
    ),
    (
        MOAT,
        "AssumeRole is tried beforehand, with advice",
        &[
            "cli::check_exits_with_0_only_if_every_role_works",
            "check::a_denial_names_the_role_the_caller_and_the_conditions",
        ],
    ),
    (
        MOAT,
        "session names with a timestamp",
        &[
            "session_name::it_names_user_host_and_time",
            "session_name::two_calls_in_one_second_differ",
        ],
    ),
    (
        MOAT,
        "region, by default us-east-1",
        &[
            "own::without_any_region_sts_is_called_in_us_east_1",
            "semantics::config_has_region_and_live_profiles_with_the_path_of_the_mount",
        ],
    ),
    (
        MOAT,
        "tests: concurrency",
        &["load::ten_thousand_readers_at_once_leave_the_daemon_small_and_are_answered_in_time"],
    ),
    (
        MOAT,
        "tests: throttling",
        &["table::throttling", "table::throttling_that_says_when_to_come_back"],
    ),
    (
        MOAT,
        "tests: expired and revoked",
        &[
            "failures::old_keys_are_served_until_they_expire_and_expired_ones_never",
            "faults::every_fault_is_told_and_passes_by_itself",
        ],
    ),
    (MOAT, "tests: partitions", &["own::each_partition_is_called_in_a_region_of_its_own"]),
    (MOAT, "tests: integration", &["docker::root_of_a_rootful_container_reads_a_mount_of_root"]),
    (
        MOAT,
        "the maximum of the role counts",
        &["check::advice_names_what_was_asked_for", "classify::each_answer_has_its_cause"],
    ),
    (AWS_AUTH, "RoleConfig", &["own::roles_of_the_aws_auth_design_are_served_as_they_stand"]),
    (
        AWS_AUTH,
        "AWSAuthConfig, with role chaining",
        &[
            "cases::every_case_comes_out_as_expected",
            "chains::three_roles_behind_two_hops_cost_one_call_for_each_hop",
        ],
    ),
    (
        AWS_AUTH,
        "AWS_AUTH_ROLES, AWS_AUTH_DEFAULT_ROLE, AWS_AUTH_ENABLE_CACHING",
        &[
            "own::roles_of_the_aws_auth_design_are_served_as_they_stand",
            "sources::roles_can_come_from_the_environment",
        ],
    ),
    (
        AWS_AUTH,
        "a configuration file",
        &["sources::roles_of_the_configuration_file_share_the_session_of_their_source_role"],
    ),
    (
        AWS_AUTH,
        "a profile that is not managed passes through",
        &[
            "sources::a_profile_without_role_arn_is_served_as_it_is",
            "reload::a_reload_reads_the_included_file_anew",
        ],
    ),
    (
        AWS_AUTH,
        "retries with backoff",
        &[
            "schedule::retries_double_up_to_their_limit",
            "trouble::throttling_is_retried_ever_more_slowly",
        ],
    ),
    (
        AWS_AUTH,
        "sessions are cached until they end",
        &["renewal::an_hour_is_renewed_every_half_hour_however_many_opens_there_are"],
    ),
    (
        AWS_AUTH,
        "session name and timestamp",
        &["options::placeholders_of_a_session_name_are_filled_in_for_each_call"],
    ),
    (
        AWS_AUTH,
        "typed errors with codes",
        &["classify::each_answer_has_its_cause", "check::json_has_the_answer_and_no_secret"],
    ),
    (
        AWS_AUTH,
        "nothing sensitive in errors and logs",
        &[
            "client_tests::secrets_that_an_answer_repeats_stay_out_of_the_error",
            "leaks::failures_without_a_mount_tell_no_secret",
        ],
    ),
    (AWS_AUTH, "several accounts", &["own::roles_of_several_accounts_are_served_in_one_mount"]),
    (
        AWS_AUTH,
        "a bound ~/.aws keeps working",
        &[
            "rotation::a_bound_directory_is_never_torn_or_stale_under_forced_renewal",
            "identity::boto3_finds_a_mount_bound_elsewhere",
        ],
    ),
    (
        AWS_AUTH,
        "NoCredentials and ProfileNotFound stay what they are",
        &[
            "own::a_profile_that_is_not_served_is_not_there",
            "failing::boto3_tells_why_a_role_is_denied",
        ],
    ),
    (VOUCH, "errors of a web identity", &["classify::each_answer_has_its_cause"]),
    (
        MOAT,
        "token of the endpoint: random, 32 bytes, compared in constant time; missing, wrong, valid",
        &[
            "endpoint::the_token_is_a_file_of_nothing_else_for_the_life_of_the_daemon",
            "endpoint::whoever_is_not_a_program_with_the_token_is_refused",
            "endpoint::who_has_the_token_gets_the_keys_that_the_mount_serves",
        ],
    ),
    (
        VOUCH,
        "device flow: pending, slow_down, expiry, denial",
        &[
            "login::a_login_gives_keys_and_the_code_is_shown_before",
            "login::an_issuer_that_asks_for_slower_polls_is_obeyed",
            "login::a_code_that_is_too_old_says_so",
            "login::a_denied_login_says_so_and_another_heals",
        ],
    ),
    (
        VOUCH,
        "bearer to id_token to an unsigned call, without other credentials",
        &[
            "login::an_access_token_that_was_taken_back_is_renewed",
            "web_identity::a_token_file_gives_keys_with_no_other_credentials_anywhere",
        ],
    ),
    (
        VOUCH,
        "GitHub token of an owner and repositories, about 1 h, never on disk",
        &[
            "tokens::a_github_token_is_shown_as_soon_as_somebody_is_logged_in",
            "tokens::a_token_is_renewed_before_it_ends",
            "tokens::git_clones_with_the_token_and_with_the_next_one",
        ],
    ),
    (
        BOTO3,
        "the chain of boto3, unchanged",
        &["identity::boto3_works_unchanged_beside_a_provider_of_its_own"],
    ),
    (
        BOTO3,
        "credentials file, config, environment",
        &[
            "identity::boto3_finds_default_named_and_live_profiles",
            "identity::boto3_finds_a_mount_at_home",
        ],
    ),
    (
        BOTO3,
        "role of an instance",
        &["services::the_standard_chain_ends_at_the_instance_and_follows_its_rotation"],
    ),
    (
        BOTO3,
        "signatures of version 4",
        &["signatures::a_wrong_secret_is_refused", "long_running::boto3_outlives_three_sessions"],
    ),
    (
        BOTO3,
        "troubleshooting of regions and permissions",
        &[
            "identity::boto3_does_not_go_on_along_its_chain_when_a_role_fails",
            "chains::the_failure_of_a_hop_names_the_hop_everywhere",
        ],
    ),
];

#[test]
fn every_item_has_a_test_that_exists() {
    let tests = test_names();
    let mut items = BTreeSet::new();
    for (document, item, names) in TABLE {
        assert!(items.insert((document, item)), "{document}: {item} stands twice");
        assert!(!names.is_empty(), "{document}: {item} has no test");
        for path in names {
            let (module, name) = path.rsplit_once("::").expect(path);
            assert!(tests.contains(name), "{document}: {item}: there is no test {path}");
            assert!(is_in(module, name), "{document}: {item}: {name} is not in {module}");
        }
    }
    for document in [MOAT, AWS_AUTH, VOUCH, BOTO3] {
        assert!(items.iter().any(|(found, _)| *found == document), "{document} has no item");
    }
}

/// Whether a file of this module, or of a directory called so, has the function.
fn is_in(module: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let sources = [root().join("src"), root().join("tests")];
    sources.iter().flat_map(|directory| files(directory)).any(|file| {
        let is_named = |part: &OsStr| Path::new(part).file_stem() == Some(OsStr::new(module));
        file.iter().any(is_named) && fs::read_to_string(file).is_ok_and(|it| it.contains(&function))
    })
}

#[test]
fn what_no_test_can_hold_stands_in_readme() {
    let Some(readme) = readme() else { return };
    for (document, item, words) in IN_README {
        assert!(readme.contains(words), "{document}: {item}: README.md does not say {words:?}");
    }
}
