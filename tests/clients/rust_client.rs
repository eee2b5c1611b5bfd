//! Asks who it is, as a program with the AWS SDK for Rust does: settings come from the environment
//! and `~/.aws` only.
//!
//! usage: `rust-client [SECONDS]`
//!
//! Prints the ARN that GetCallerIdentity answers. With SECONDS it goes on asking twice a second,
//! always with the same client, and ends at the first failure.

use std::process::ExitCode;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_sts::error::DisplayErrorContext;
use tokio::time::{Instant, sleep};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "the test reads what a person would be shown")]
async fn main() -> ExitCode {
    match ask().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
async fn ask() -> Result<(), String> {
    let seconds = std::env::args().nth(1).map_or(Ok(0.0), |seconds| seconds.parse());
    let seconds = seconds.map_err(|error| format!("SECONDS: {error}"))?;
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let client = aws_sdk_sts::Client::new(&config);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    loop {
        let identity = client.get_caller_identity().send().await;
        let identity = identity.map_err(|error| DisplayErrorContext(error).to_string())?;
        println!("{}", identity.arn().unwrap_or_default());
        if Instant::now() >= until {
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
}
