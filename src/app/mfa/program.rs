//! Runs a program that prints an MFA code. Must not know which device the code is of.

use std::time::Duration;

use tokio::process::Command;

use crate::command::secret_output_of;
use crate::model::MfaCode;

/// The code that `command` prints within `deadline`.
///
/// # Errors
/// What went wrong, without a word of what was printed.
pub(super) async fn code(command: Command, deadline: Duration) -> Result<MfaCode, String> {
    let printed = secret_output_of(command, MOST, deadline).await;
    let printed = printed.map_err(|error| error.to_string())?;
    MfaCode::find_in(&printed).map_err(|_| "it printed no code of six digits".to_owned())
}

/// No program needs more to print a code.
const MOST: usize = 4096;
