//! The options of `keepalived-rs check`, which stock keepalived does not have: nothing to be compatible with.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What `check` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Say what is wrong with each file.
    Findings,
    /// `--explain`: say what a code means. Reads no file.
    Explain(String),
    /// `--cluster`: say what breaks between the files of several nodes.
    Cluster,
    /// `--diff`: say what a reload from the first to the second file would do.
    Diff,
    /// `--migrate`: say what will differ from the keepalived that runs here, and how to switch.
    Migrate,
    /// `--effective`: write the configuration in force.
    Effective {
        /// Keys and passwords, too.
        show_secrets: bool,
    },
}

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One object for programs.
    Json,
}

/// When the text has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    Always,
    Never,
}

/// The command line of `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckOptions {
    pub(crate) mode: Mode,
    /// Paths or patterns, as for `-f`; at least one, unless the mode reads none.
    pub(crate) files: Vec<String>,
    /// `-i`.
    pub(crate) config_id: Option<String>,
    /// `-s`: whose interfaces count.
    pub(crate) namespace: Option<String>,
    /// `-e`: missing include files are errors.
    pub(crate) strict_includes: bool,
    pub(crate) format: Format,
    pub(crate) color: Color,
}

/// Nothing to check: text for the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) text: String,
    /// It was asked for; otherwise the command line was wrong.
    pub(crate) asked: bool,
}

const ABOUT: &str = "Explain what is wrong with configuration files, without touching the machine.";

const EXIT: &str = "\
Exit status: 0 nothing, or only notes; 1 warnings; 2 errors; 3 nothing could be checked.
Without FILE: /etc/keepalived/keepalived.conf.";

pub(super) fn command() -> Command {
    let value = |id: &'static str, name: &'static str, help: &'static str| {
        Arg::new(id).long(id).value_name(name).help(help)
    };
    Command::new("keepalived-rs check")
        .no_binary_name(true)
        .about(ABOUT)
        .after_help(EXIT)
        .args_override_self(true)
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .num_args(0..)
                .help("Configuration files, each checked on its own"),
        )
        .arg(
            value(
                "config-id",
                "ID",
                "Which lines '@ID ...' count [host name up to the first dot]",
            )
            .short('i'),
        )
        .arg(
            value(
                "namespace",
                "NAME",
                "Look at the interfaces of this network namespace",
            )
            .short('s'),
        )
        .arg(
            Arg::new("all-config")
                .long("all-config")
                .short('e')
                .action(ArgAction::SetTrue)
                .help("A missing include file is an error"),
        )
        .arg(
            value("format", "FORMAT", "Form of the findings")
                .value_parser(["text", "json"])
                .default_value("text"),
        )
        .arg(
            value("color", "WHEN", "Colours in the text")
                .value_parser(["auto", "always", "never"])
                .default_value("auto"),
        )
        .arg(
            value(
                "explain",
                "CODE",
                "Explain a code of a finding, such as unknown-keyword",
            )
            .conflicts_with("files"),
        )
        .arg(
            Arg::new("cluster")
                .long("cluster")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["explain", "effective", "diff"])
                .help("The files are those of the nodes of one cluster: find what breaks between them"),
        )
        .arg(
            Arg::new("diff")
                .long("diff")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["explain", "effective"])
                .help("Say what a reload from the first FILE to the second one would do"),
        )
        .arg(
            Arg::new("migrate")
                .long("migrate")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["explain", "effective", "diff", "cluster"])
                .help("Say what will differ from the keepalived that runs here, and how to switch and to go back"),
        )
        .arg(
            Arg::new("effective")
                .long("effective")
                .action(ArgAction::SetTrue)
                .conflicts_with("explain")
                .help("Print the configuration in force, each value with its file and line"),
        )
        .arg(
            Arg::new("show-secrets")
                .long("show-secrets")
                .action(ArgAction::SetTrue)
                .requires("effective")
                .help("With --effective: print keys and passwords, too"),
        )
}

/// Reads the words behind `check`.
///
/// # Errors
/// When there is nothing to check: `--help`, or a mistake.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<CheckOptions, Usage> {
    match command().try_get_matches_from(words) {
        Ok(matches) => Ok(read(&matches)),
        Err(e) => Err(Usage {
            asked: e.kind() == ErrorKind::DisplayHelp,
            text: e.to_string(),
        }),
    }
}

fn read(matches: &ArgMatches) -> CheckOptions {
    let value = |id| matches.get_one::<String>(id).cloned();
    let is = |id, word| matches.get_one::<String>(id).is_some_and(|v| v == word);
    let show_secrets = matches.get_flag("show-secrets");
    let mode = match value("explain") {
        Some(code) => Mode::Explain(code),
        None if matches.get_flag("effective") => Mode::Effective { show_secrets },
        None if matches.get_flag("cluster") => Mode::Cluster,
        None if matches.get_flag("diff") => Mode::Diff,
        None if matches.get_flag("migrate") => Mode::Migrate,
        None => Mode::Findings,
    };
    let mut files: Vec<String> = matches
        .get_many("files")
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    if files.is_empty() {
        files.push("/etc/keepalived/keepalived.conf".into());
    }
    CheckOptions {
        mode,
        files,
        config_id: value("config-id"),
        namespace: value("namespace"),
        strict_includes: matches.get_flag("all-config"),
        format: if is("format", "json") {
            Format::Json
        } else {
            Format::Text
        },
        color: if is("color", "always") {
            Color::Always
        } else if is("color", "never") {
            Color::Never
        } else {
            Color::Auto
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<CheckOptions, Usage> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_declaration_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn options_and_files_may_stand_in_any_order() {
        let o = parsed("a.conf -i lb1 --format=json b.conf --color never -e").expect("valid");
        assert_eq!(o.files, ["a.conf", "b.conf"]);
        assert_eq!(o.config_id.as_deref(), Some("lb1"));
        assert_eq!((o.format, o.color), (Format::Json, Color::Never));
        assert!(o.strict_includes);
        assert_eq!(o.mode, Mode::Findings);
    }

    #[test]
    fn without_a_file_the_usual_one_is_checked() {
        let o = parsed("").expect("valid");
        assert_eq!(o.files, ["/etc/keepalived/keepalived.conf"]);
    }

    #[test]
    fn explaining_needs_no_file_and_takes_none() {
        let o = parsed("--explain unknown-keyword").expect("valid");
        assert_eq!(o.mode, Mode::Explain("unknown-keyword".into()));
        assert!(parsed("--explain x a.conf").is_err());
    }

    #[test]
    fn each_way_of_looking_excludes_the_others() {
        assert_eq!(parsed("--cluster a b").expect("valid").mode, Mode::Cluster);
        assert_eq!(parsed("--diff a b").expect("valid").mode, Mode::Diff);
        assert_eq!(parsed("--migrate").expect("valid").mode, Mode::Migrate);
        let shown = Mode::Effective { show_secrets: true };
        assert_eq!(
            parsed("--effective --show-secrets a").expect("valid").mode,
            shown
        );
        for line in [
            "--cluster --diff a b",
            "--effective --diff a b",
            "--show-secrets a",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn help_is_asked_for_and_mistakes_are_not() {
        assert!(parsed("--help").expect_err("help").asked);
        let wrong = parsed("--colour always").expect_err("unknown");
        assert!(!wrong.asked);
        assert!(wrong.text.contains("--colour"), "{}", wrong.text);
        assert!(parsed("--format xml").is_err());
    }
}
