//! `credmount login`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::options::CONFIG_HELP;

/// `credmount login [NAME]`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit codes: 0 signed in, 1 denied, too late or failed, 2 usage or \
                        configuration, 130 interrupted.")]
pub struct LoginArgs {
    /// An AWS profile, a role whose keys come by way of one, or an sso-session; the only one if not
    /// given
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// Open the page with xdg-open
    #[arg(long)]
    pub open_browser: bool,

    /// The configuration file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help = CONFIG_HELP)]
    pub config: Option<PathBuf>,
}
