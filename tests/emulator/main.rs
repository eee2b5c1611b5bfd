//! Runs the STS emulator of this directory as a program: `cargo run --example sts-emulator`. Reads
//! the arguments; all else is in `mod.rs`, which also documents the control interface.

#[path = "mod.rs"]
mod emulator;

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Parser;

use emulator::{CallRecord, Emulator, Options, RoleRules, Settings, valid_token_length};

/// A small STS for development and tests. Never use its keys for anything else.
#[derive(Parser)]
#[command(name = "sts-emulator")]
struct Arguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Lifetime of sessions whatever duration is asked for, such as 20s or 2500ms
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    session_lifetime: Option<Duration>,
    /// Account of the base user
    #[arg(long, default_value = "123456789012", value_parser = account_id)]
    account_id: String,
    /// Base access key id [default: random]
    #[arg(long, requires = "secret_access_key", value_name = "ID")]
    access_key_id: Option<String>,
    /// Base secret access key [default: random]
    #[arg(long, requires = "access_key_id", value_name = "SECRET")]
    secret_access_key: Option<String>,
    /// Length of session tokens, drawn from this range
    #[arg(long, default_value = "400..1200", value_parser = token_length, value_name = "MIN..MAX")]
    token_length: RangeInclusive<usize>,
    /// Seconds that the clock of the service is ahead (negative: behind)
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "SECONDS")]
    clock_offset: i64,
    /// Rules of one role,
    /// NAME:external-id=ID,max-session-duration=SECONDS,trust=PRINCIPAL,mfa=required (each part
    /// optional, trust any number of times)
    #[arg(long, value_parser = role, value_name = "RULES")]
    role: Vec<(String, RoleRules)>,
    /// Write the port number to this file once it listens
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut options = Options {
        listen: arguments.listen,
        account_id: arguments.account_id,
        settings: Settings {
            session_lifetime: arguments.session_lifetime,
            token_length: arguments.token_length,
            clock_offset_seconds: arguments.clock_offset,
            roles: arguments.role.into_iter().collect(),
            ..Settings::default()
        },
        observer: Some(log),
        ..Options::default()
    };
    if let (Some(id), Some(secret)) = (arguments.access_key_id, arguments.secret_access_key) {
        options.base_access_key_id = id;
        options.base_secret_access_key = secret;
    }
    let emulator = Emulator::start_with(options)?;
    announce(&emulator)?;
    if let Some(file) = &arguments.port_file {
        write_port(file, emulator.address().port())?;
    }
    loop {
        thread::park();
    }
}

fn announce(emulator: &Emulator) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let endpoint = emulator.endpoint();
    writeln!(out, "listening on {endpoint}")?;
    writeln!(out, "export AWS_ENDPOINT_URL_STS={endpoint}")?;
    writeln!(out, "export AWS_ACCESS_KEY_ID={}", emulator.base_access_key_id())?;
    writeln!(out, "export AWS_SECRET_ACCESS_KEY={}", emulator.base_secret_access_key())?;
    out.flush()
}

/// Writes the port in one step, so that a script that waits for the file never reads half of it.
fn write_port(file: &Path, port: u16) -> io::Result<()> {
    let unfinished = file.with_added_extension("tmp");
    fs::write(&unfinished, format!("{port}\n"))?;
    fs::rename(unfinished, file)
}

/// One line for each call, in one write; standard error going away does not stop the service.
fn log(call: &CallRecord) {
    let line = format!("{call}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("an account id has 12 digits".to_owned())
}

fn token_length(text: &str) -> Result<RangeInclusive<usize>, String> {
    let bounds =
        text.split_once("..").and_then(|(min, max)| Some((min.parse().ok()?, max.parse().ok()?)));
    // A range that cannot be read is refused in the same words as one that is out of bounds.
    let (min, max) = bounds.unwrap_or((0, 0));
    valid_token_length(min, max)
}

fn role(text: &str) -> Result<(String, RoleRules), String> {
    let (name, rules_text) = text.split_once(':').unwrap_or((text, ""));
    let mut rules = RoleRules::default();
    for rule in rules_text.split(',').filter(|rule| !rule.is_empty()) {
        match rule.split_once('=') {
            Some(("external-id", id)) => rules.external_id = Some(id.to_owned()),
            Some(("trust", principal)) => rules.trusts.push(principal.to_owned()),
            Some(("mfa", "required")) => rules.requires_mfa = true,
            Some(("max-session-duration", seconds)) => {
                rules.max_session_duration_seconds =
                    seconds.parse().map_err(|_| format!("'{seconds}' is no number of seconds"))?;
            }
            _ => return Err(format!("'{rule}' is no rule")),
        }
    }
    Ok((name.to_owned(), rules.validated()?))
}
