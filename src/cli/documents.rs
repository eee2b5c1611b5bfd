//! What is generated from the definition of the command line: completions and the man page.

use std::io;

use clap::CommandFactory;

use super::Cli;

/// Writes the completion script of `shell`.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_completions(shell: clap_complete::Shell, out: &mut dyn io::Write) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "credmount", &mut script);
    out.write_all(&script)
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
        // The sections of a subcommand become subsections of its own section.
        out.write_all(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").as_bytes())?;
    }
    page.render_extra_section(out)?;
    page.render_version_section(out)
}

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
        assert!(page.contains("Exit codes: 0 ok"));
        assert!(!page.contains("daemon-child"), "hidden");
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh] {
            let mut script = Vec::new();
            write_completions(shell, &mut script).expect("memory");
            let script = String::from_utf8(script).expect("UTF-8");
            assert!(script.contains("refresh") && script.contains("--source-profile"));
        }
    }
}
