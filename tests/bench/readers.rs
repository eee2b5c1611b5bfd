//! Readers: processes, because the file descriptors of threads share a lock that real readers of
//! the file do not share. Each calls the kernel directly and times every round of calls.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags, fstat, open};
use serde_json::json;

/// What a reader does in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum How {
    /// `open`, `close`
    Open,
    /// `open`, `fstat`, one `read` of the size, `close`
    Once,
    /// `open`, `fstat`, `read` until one returns 0, `close`: what most programs do
    Whole,
}

impl How {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Once => "once",
            Self::Whole => "whole",
        }
    }
}

/// When a reader ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Until {
    /// After the round during which so much time has passed
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// After so many rounds
    #[arg(long)]
    rounds: Option<usize>,
}

impl Until {
    fn words(self) -> Vec<String> {
        let time = self.time.map(|time| ["--time".to_owned(), format!("{}ms", time.as_millis())]);
        let rounds = self.rounds.map(|rounds| ["--rounds".to_owned(), rounds.to_string()]);
        time.into_iter().chain(rounds).flatten().collect()
    }

    fn is_over(self, time: Duration, rounds: usize) -> bool {
        self.time.is_some_and(|most| time >= most) || self.rounds.is_some_and(|most| rounds >= most)
    }
}

/// Starts the readers together and prints what they measured.
#[expect(clippy::disallowed_methods, reason = "measures real time")]
pub(crate) fn run(how: How, readers: usize, until: Until, file: &Path) -> Result<()> {
    let mut children = Vec::new();
    for _ in 0..readers {
        children.push(start(how, until, file)?);
    }
    for child in &mut children {
        let output = child.stdout.as_mut().context("no pipe")?;
        let mut ready = [0];
        output.read_exact(&mut ready).context("a reader did not start")?;
    }
    let begin = Instant::now();
    for child in &mut children {
        drop(child.stdin.take());
    }
    let mut samples: Vec<u32> = Vec::new();
    let mut rate = 0.0;
    for mut child in children {
        let mut bytes = Vec::new();
        child.stdout.take().context("no pipe")?.read_to_end(&mut bytes)?;
        ensure!(child.wait()?.success(), "a reader failed");
        let own: Vec<u32> = bytes.as_chunks().0.iter().copied().map(u32::from_ne_bytes).collect();
        let elapsed: f64 = own.iter().copied().map(f64::from).sum::<f64>() / 1e9;
        rate += f64::from(u32::try_from(own.len())?) / elapsed;
        samples.extend(own);
    }
    let seconds = begin.elapsed().as_secs_f64();
    samples.sort_unstable();
    let result = json!({
        "count": samples.len(),
        "seconds": seconds,
        "per_second": rate,
        "p50_us": percentile(&samples, 50)?,
        "p99_us": percentile(&samples, 99)?,
    });
    println!("{result}");
    Ok(())
}

fn start(how: How, until: Until, file: &Path) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(["reader", "--how", how.word()])
        .args(until.words())
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a reader")
}

fn percentile(sorted: &[u32], percent: usize) -> Result<f64> {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    let nanoseconds = sorted.get(index).context("no round ended in time")?;
    Ok(f64::from(*nanoseconds) / 1e3)
}

/// One reader. Its output: one byte when it is ready, then the nanoseconds of each round.
#[expect(clippy::disallowed_methods, reason = "measures real time")]
pub(crate) fn reader(how: How, until: Until, file: &Path) -> Result<()> {
    let mut samples: Vec<u32> = Vec::with_capacity(1 << 20);
    let mut buffer = Vec::new();
    // Once before the start: names are looked up, and the buffer has its pages.
    round(how, file, &mut buffer)?;
    io::stdout().write_all(b"r")?;
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    let begin = Instant::now();
    let mut last = begin;
    while !until.is_over(last - begin, samples.len()) {
        round(how, file, &mut buffer)?;
        let now = Instant::now();
        samples.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
        last = now;
    }
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    io::stdout().write_all(&bytes)?;
    Ok(())
}

fn round(how: How, file: &Path, buffer: &mut Vec<u8>) -> Result<()> {
    let fd = open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    if how == How::Open {
        return Ok(());
    }
    let size = usize::try_from(fstat(&fd)?.st_size)?;
    // One byte more, as Python asks for, so that a file which has grown would be noticed.
    buffer.resize(size + 1, 0);
    let mut read = rustix::io::read(&fd, &mut buffer[..])?;
    if how == How::Whole {
        while read < buffer.len() {
            match rustix::io::read(&fd, &mut buffer[read..])? {
                0 => break,
                more => read += more,
            }
        }
    }
    ensure!(read == size, "fstat said {size} bytes, read said {read}");
    Ok(())
}
