//! The measuring half of `scripts/bench`: readers that time their own system calls, a minimal
//! fuser file system to compare with, and the time of one rendering. Prints JSON; starts nothing
//! and judges nothing, `tests/bench/bench.py` does that.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is JSON")]

mod hello;
mod readers;
mod render;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use readers::{How, Until};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads FILE over and over in processes of their own
    Readers {
        #[arg(long, value_enum)]
        how: How,
        #[arg(long)]
        readers: usize,
        #[command(flatten)]
        until: Until,
        file: PathBuf,
    },
    /// One process of `readers`: begins when its standard input ends
    Reader {
        #[arg(long, value_enum)]
        how: How,
        #[command(flatten)]
        until: Until,
        file: PathBuf,
    },
    /// Serves the bytes of FILE as the file `credentials` of a minimal file system
    Hello { file: PathBuf, mountpoint: PathBuf },
    /// Times renderings of `credentials`
    Render { roles: usize },
}

fn main() -> ExitCode {
    let Ok(arguments) = Arguments::try_parse() else {
        // `cargo bench` and test runners that collect benches come here with words of their own.
        eprintln!("nothing to do by itself; scripts/bench runs this program");
        return ExitCode::SUCCESS;
    };
    let outcome = match arguments.command {
        Command::Readers { how, readers, until, file } => readers::run(how, readers, until, &file),
        Command::Reader { how, until, file } => readers::reader(how, until, &file),
        Command::Hello { file, mountpoint } => hello::serve(&file, &mountpoint),
        Command::Render { roles } => render::run(roles),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
