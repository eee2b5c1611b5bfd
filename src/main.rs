//! Mounts a live `~/.aws`. See the library's documentation.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    credmount::app::run(credmount::cli::Cli::parse())
}
