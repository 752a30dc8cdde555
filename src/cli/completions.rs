//! Completions for shells, made of the options: `UPDATE_GOLDEN=1` writes `packaging/completions` anew.

use std::fs;
use std::path::Path;

use clap::builder::ValueHint;
use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;

use super::ask::Asked;
use super::check;
use super::getopt::HELP;

/// One line of the help, as clap wants it. The lines have columns: names up to the 34th, then the text.
fn option(line: &'static str) -> Option<Arg> {
    let (names, text) = line.split_at_checked(34)?;
    let (short, long) = names.split_once("--")?;
    let end = long.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
    let (long, value) = long.split_at(end.unwrap_or(long.len()));
    let value = value.trim_matches(['[', '=', ']', ' ', '*']);
    let arg = Arg::new(long).long(long).help(text);
    let arg = match short.trim().strip_prefix('-') {
        Some(short) => arg.short(short.chars().next()),
        None => arg,
    };
    Some(match value {
        "" => arg.action(ArgAction::Count),
        "FILE" => arg.value_hint(ValueHint::FilePath),
        _ => arg.value_hint(ValueHint::Other),
    })
}

fn command() -> Command {
    Command::new("keepalived-rs")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(HELP.lines().filter_map(option))
        .subcommand(check::command().name("check").no_binary_name(false))
        .subcommands([Asked::Reload, Asked::Status].map(|asked| {
            let name = match asked {
                Asked::Reload => "reload",
                Asked::Status => "status",
            };
            asked.command().name(name).no_binary_name(false)
        }))
}

#[test]
fn the_shells_know_every_option() {
    assert_eq!(
        HELP.lines().filter_map(option).count(),
        super::getopt::rows().count()
    );
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions");
    for (shell, name) in [
        (Shell::Bash, "keepalived-rs.bash"),
        (Shell::Zsh, "_keepalived-rs"),
        (Shell::Fish, "keepalived-rs.fish"),
    ] {
        let mut wanted = Vec::new();
        clap_complete::generate(shell, &mut command(), "keepalived-rs", &mut wanted);
        let path = dir.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|word| !word.is_empty()) {
            fs::write(&path, &wanted).expect("the project's own file");
        }
        let there = fs::read(&path).unwrap_or_default();
        assert!(
            there == wanted,
            "{} is out of date (UPDATE_GOLDEN=1 writes it anew)",
            path.display()
        );
    }
}
