//! What is generated from the definition of the command line: completions and the man page.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::roff::{Roff, roman};

use super::Cli;

/// Writes the completion script of `shell`.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_completions(shell: clap_complete::Shell, out: &mut dyn io::Write) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(), "credmount", &mut script);
    out.write_all(&script)
}

/// The command line without its hidden flag, which `clap_complete` would offer.
fn visible() -> Command {
    let all = Cli::command();
    let flags = all.get_arguments().filter(|argument| !argument.is_hide_set()).cloned();
    Command::new("credmount")
        .version(env!("CARGO_PKG_VERSION"))
        .args(flags)
        .subcommands(all.get_subcommands().cloned())
}

/// Writes one man page (roff) of the command and all its subcommands.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_man_page(out: &mut dyn io::Write) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    for subcommand in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        writeln!(out, ".SH \"CREDMOUNT {}\"", subcommand.get_name().to_uppercase())?;
        let mut section = Vec::new();
        let page = clap_mangen::Man::new(subcommand.clone());
        page.render_description_section(&mut section)?;
        page.render_synopsis_section(&mut section)?;
        page.render_options_section(&mut section)?;
        write_after_help(&mut section, subcommand)?;
        // The sections of a subcommand become subsections of its own section.
        out.write_all(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").as_bytes())?;
    }
    write_after_help(out, &command)?;
    let mut files = Roff::new();
    files.control("SH", ["FILES"]);
    for (path, what) in FILES {
        files.control("TP", []).text([roman(*path)]).text([roman(*what)]);
    }
    files.to_writer(out)?;
    page.render_version_section(out)
}

/// What stands below the options of `--help`, as sections of a man page: each paragraph is one, and
/// examples keep their lines.
fn write_after_help(out: &mut dyn io::Write, command: &Command) -> io::Result<()> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    for paragraph in help.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let (heading, text) = match paragraph.split_once(':') {
            Some(("Example" | "Examples", text)) => ("EXAMPLES", text),
            Some(("Exit codes", text)) => ("EXIT STATUS", text),
            _ => ("NOTES", paragraph),
        };
        roff.control("SH", [heading]);
        if heading == "EXAMPLES" {
            roff.control("nf", []);
            text.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| {
                roff.text([roman(line)]);
            });
            roff.control("fi", []);
        } else {
            roff.text([roman(text.trim().replace('\n', " "))]);
        }
    }
    roff.to_writer(out)
}

/// Where things are, for the man page.
const FILES: &[(&str, &str)] = &[
    (
        "$XDG_CONFIG_HOME/credmount/config.toml, ~/.config/credmount/config.toml",
        "Roles, mounts, identities and whatever else is an option.",
    ),
    ("~/.aws/config, ~/.aws/credentials", "Profiles, and base credentials, which sign AssumeRole."),
    ("~/.aws/sso/cache", "Sign-ins to IAM Identity Center, shared with the AWS CLI and the SDKs."),
    (
        "$XDG_RUNTIME_DIR/credmount",
        "Control sockets, logs of daemons in the background, and what the next daemon has to know. No \
         secrets. Without the variable: /run/credmount for root, for others below /run/user/UID, or \
         /tmp/credmount-UID.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_man_page_has_every_command_and_option() {
        let mut page = Vec::new();
        write_man_page(&mut page).expect("memory");
        let page = String::from_utf8(page).expect("UTF-8").replace("\\-", "-");
        for command in Cli::command().get_subcommands() {
            let heading = format!("CREDMOUNT {}", command.get_name().to_uppercase());
            assert!(page.contains(&heading), "{heading}");
            for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
                assert!(page.contains(&format!("--{option}")), "{option}");
            }
        }
        for part in [
            ".SH \"EXIT STATUS\"\n0 ok",
            ".SH FILES",
            ".SS \"EXIT STATUS\"\n0 signed in",
            ".SS EXAMPLES",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("daemon-child"), "hidden");
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh] {
            let mut script = Vec::new();
            write_completions(shell, &mut script).expect("memory");
            let script = String::from_utf8(script).expect("UTF-8");
            assert!(script.contains("refresh") && script.contains("--source-profile"));
            assert!(!script.contains("daemon-child"), "hidden");
        }
    }
}
