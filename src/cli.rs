//! The options of keepalived(8), with the habits of getopt_long: clusters (`-nlDfFILE`), unambiguous abbreviations,
//! glued optional arguments (`-tFILE`), operands that are tolerated. No logic, no side effect: what is to be printed
//! comes back to the caller. Source: keepalived(8), getopt_long(3).

mod ask;
pub(crate) mod check;
#[cfg(test)]
mod completions;
mod getopt;

use std::path::PathBuf;

use clap::ArgMatches;

pub(crate) use self::ask::{AskOptions, Asked};
use self::check::{CheckOptions, Usage};
pub(crate) use self::getopt::HELP;
use self::getopt::{OPERANDS, Row, place};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Run,
    /// `-t`; complaints go to this file, or to standard error.
    TestConfig(Option<PathBuf>),
    Version,
    Help,
    /// `--signum`: print the number of the signal with this name.
    Signum(String),
    Genhash,
    /// `adopt` as the first word; its options are the daemon's.
    Adopt,
    /// `check` as the first word.
    Check(Box<CheckOptions>),
    /// `check`, `reload` or `status` with `--help` or with a mistake.
    CheckUsage(Usage),
    /// `reload` or `status` as the first word.
    Ask(AskOptions),
    /// Nothing: the command line was not understood.
    Fail,
}

/// `-S`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Facility {
    #[default]
    Daemon,
    User,
    /// 0..=7.
    Local(u8),
}

/// A part of the program that may say more or less than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    All,
    Vrrp,
    Track,
    Lvs,
    Notify,
    Config,
    Daemon,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How to do it. The defaults are those of keepalived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-f`; `None`: /etc/keepalived/keepalived.conf.
    pub(crate) config_file: Option<String>,
    /// `-i`.
    pub(crate) config_id: Option<String>,
    /// `-e`: missing include files are errors.
    pub(crate) strict_includes: bool,
    /// `-C`, and no later `--all`.
    pub(crate) no_vrrp: bool,
    /// `-P`, and no later `--all`.
    pub(crate) no_checkers: bool,
    /// `-B`, and no later `--all`.
    pub(crate) no_bfd: bool,
    /// `-l`.
    pub(crate) log_console: bool,
    /// `-D`: how often it was given.
    pub(crate) log_detail: u8,
    /// `-S`.
    pub(crate) facility: Facility,
    /// `-G`.
    pub(crate) no_syslog: bool,
    /// `-g`; an empty path: keepalived.log in the temporary directory.
    pub(crate) log_file: Option<PathBuf>,
    /// `--log-level`: areas and how much they say, in order.
    pub(crate) log_levels: Vec<(Area, Level)>,
    /// `--log-format=json`.
    pub(crate) log_json: bool,
    /// `-u`, 0..=0o777; `None`: 0177.
    pub(crate) umask: Option<u32>,
    /// `-V`.
    pub(crate) keep_vrrp: bool,
    /// `-I`.
    pub(crate) keep_ipvs: bool,
    /// `-n`.
    pub(crate) foreground: bool,
    /// `-a`: addresses of anybody that come or go are logged.
    pub(crate) address_monitoring: bool,
    /// `-d`.
    pub(crate) dump_conf: bool,
    /// `-p`, `-r`, `-c`, `-b`.
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) vrrp_pid_file: Option<PathBuf>,
    pub(crate) checkers_pid_file: Option<PathBuf>,
    pub(crate) bfd_pid_file: Option<PathBuf>,
    /// `-s`.
    pub(crate) namespace: Option<String>,
    /// `-m`, `-M`.
    pub(crate) core_dump: bool,
    /// `-M`.
    pub(crate) core_pattern: Option<String>,
    /// `--ignore-sigint`.
    pub(crate) ignore_sigint: bool,
    /// Options that were given, but whose feature is not there yet: the operator must be told.
    pub(crate) without_effect: Vec<&'static str>,
}

/// A command line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cli {
    pub(crate) task: Task,
    pub(crate) options: Options,
    /// Lines for standard error.
    pub(crate) complaints: Vec<String>,
    /// Words that belong to no option.
    pub(crate) operands: Vec<String>,
}

/// Reads the command line, the program's name first.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Cli {
    let mut words = words.into_iter().peekable();
    let program = words.next().unwrap_or_default();
    if words.next_if(|word| word == "check").is_some() {
        return Cli {
            task: match check::parse(words) {
                Ok(options) => Task::Check(Box::new(options)),
                Err(usage) => Task::CheckUsage(usage),
            },
            options: Options::default(),
            complaints: Vec::new(),
            operands: Vec::new(),
        };
    }
    if let Some(asked) = words.peek().and_then(|word| Asked::named(word)) {
        words.next();
        return Cli {
            task: match ask::parse(asked, words) {
                Ok(options) => Task::Ask(options),
                Err(usage) => Task::CheckUsage(usage),
            },
            options: Options::default(),
            complaints: Vec::new(),
            operands: Vec::new(),
        };
    }
    let adopts = words.next_if(|word| word == "adopt").is_some();
    let rows: Vec<Row> = getopt::rows().collect();
    let (matches, mut complaints) = getopt::scan(words.collect(), &rows);
    let mut task = task(&program, &matches, &mut complaints);
    if adopts && task == Task::Run {
        task = Task::Adopt;
    }
    let options = Options::read(&matches, &rows, &mut complaints);
    if task == Task::Genhash {
        // Its options are others, and it says itself what is wrong with them.
        complaints.clear();
    }
    let operands = matches.get_many(OPERANDS).into_iter().flatten().cloned();
    let operands = operands.filter(|_| task != Task::Genhash);
    let operands: Vec<String> = operands.collect();
    Cli {
        task,
        options,
        complaints,
        operands,
    }
}

/// The first of the options that do one thing and exit; they win over the mistakes.
fn task(program: &str, matches: &ArgMatches, complaints: &mut Vec<String>) -> Task {
    let once = ["version", "help", "signum", "genhash"];
    let first = once
        .into_iter()
        .filter(|long| place(matches, long).is_some());
    let value = |long| matches.get_one::<String>(long).cloned();
    if program.rsplit('/').next() == Some("genhash") {
        return Task::Genhash; // its options are others
    }
    match first.min_by_key(|long| place(matches, long)) {
        Some("version") => Task::Version,
        Some("help") => Task::Help,
        Some("genhash") => Task::Genhash,
        Some(_) => match value("signum").filter(|name| !name.is_empty()) {
            Some(name) => Task::Signum(name),
            None => {
                complaints.push("Missing parameter for option --signum".into());
                Task::Fail
            }
        },
        None if !complaints.is_empty() => Task::Fail,
        None if place(matches, "config-test").is_some() => {
            let file = value("config-test").filter(|file| !file.is_empty());
            Task::TestConfig(file.map(PathBuf::from))
        }
        None => Task::Run,
    }
}

/// What genhash calls itself, and the words that are its own: all of a program of that name, and what follows `--genhash`
/// or `-T`.
pub(crate) fn genhash_words(words: &[String]) -> (String, &[String]) {
    let of_daemon = |w: &String| w.starts_with("--g") || w == "-T";
    let program = words.first().map_or("", String::as_str);
    let (name, skip) = match words.get(1).is_some_and(of_daemon) {
        true => (format!("{program} --genhash"), 2),
        false => (program.to_owned(), 1),
    };
    (name, words.get(skip..).unwrap_or(&[]))
}

impl Options {
    fn read(matches: &ArgMatches, rows: &[Row], complaints: &mut Vec<String>) -> Self {
        let given = |long| place(matches, long).is_some();
        let value = |long| matches.get_one::<String>(long).cloned();
        let off = |long| place(matches, long) > place(matches, "all");
        let mut options = Self {
            config_file: value("use-file"),
            config_id: value("config-id"),
            strict_includes: given("all-config"),
            no_vrrp: off("check"),
            no_checkers: off("vrrp"),
            no_bfd: off("no_bfd"),
            log_console: given("log-console"),
            log_detail: matches.get_count("log-detail"),
            no_syslog: given("no-syslog"),
            keep_vrrp: given("dont-release-vrrp"),
            keep_ipvs: given("dont-release-ipvs"),
            foreground: given("dont-fork"),
            address_monitoring: given("address-monitoring"),
            dump_conf: given("dump-conf"),
            pid_file: value("pid").map(PathBuf::from),
            vrrp_pid_file: value("vrrp_pid").map(PathBuf::from),
            checkers_pid_file: value("checkers_pid").map(PathBuf::from),
            bfd_pid_file: value("bfd_pid").map(PathBuf::from),
            log_file: given("log-file").then(|| value("log-file").unwrap_or_default().into()),
            core_pattern: given("core-dump-pattern").then(|| {
                let name = value("core-dump-pattern").filter(|name| !name.is_empty());
                name.unwrap_or_else(|| "core".into())
            }),
            namespace: value("namespace"),
            core_dump: given("core-dump") || given("core-dump-pattern"),
            ignore_sigint: given("ignore-sigint"),
            ..Self::default()
        };
        if let Some(word) = value("log-facility") {
            match facility(&word) {
                Some(f) => options.facility = f,
                None => complaints.push(format!("Invalid log facility '{word}'")),
            }
        }
        if let Some(word) = value("umask") {
            options.umask = number(&word).filter(|n| *n <= 0o777);
            if options.umask.is_none() {
                complaints.push(format!("Invalid --umask option {word}"));
            }
        }
        match value("log-format").as_deref() {
            None | Some("text") => {}
            Some("json") => options.log_json = true,
            Some(word) => complaints.push(format!("Invalid --log-format option {word}")),
        }
        for word in matches
            .get_many::<String>("log-level")
            .into_iter()
            .flatten()
        {
            match log_level(word) {
                Some(level) => options.log_levels.push(level),
                None => complaints.push(format!("Invalid --log-level option {word}")),
            }
        }
        let idle = rows.iter().filter(|r| !r.has_effect && given(r.long));
        options.without_effect = idle.map(|r| r.long).collect();
        options
    }
}

/// `AREA=LEVEL`, or `LEVEL` for all areas.
fn log_level(word: &str) -> Option<(Area, Level)> {
    let (area, level) = word.split_once('=').unwrap_or(("all", word));
    let level = match level {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "info" => Level::Info,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => return None,
    };
    let area = match area {
        "all" => Area::All,
        "vrrp" => Area::Vrrp,
        "track" => Area::Track,
        "lvs" => Area::Lvs,
        "notify" => Area::Notify,
        "config" => Area::Config,
        "daemon" => Area::Daemon,
        _ => return None,
    };
    Some((area, level))
}

fn facility(word: &str) -> Option<Facility> {
    match word {
        "daemon" => Some(Facility::Daemon),
        "user" => Some(Facility::User),
        _ => match word.strip_prefix("local").unwrap_or(word).as_bytes() {
            [n @ b'0'..=b'7'] => Some(Facility::Local(n - b'0')),
            _ => None,
        },
    }
}

/// By the rules of C: `0x` hexadecimal, `0` octal, else decimal.
fn number(word: &str) -> Option<u32> {
    let (digits, radix) = match (word.strip_prefix("0x"), word.strip_prefix('0')) {
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        (None, _) => (word, 10),
    };
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Cli {
        parse(
            format!("keepalived {line}")
                .split_whitespace()
                .map(str::to_owned),
        )
    }

    fn options(line: &str) -> Options {
        let cli = read(line);
        assert_eq!(cli.complaints, Vec::<String>::new(), "{line}");
        cli.options
    }

    #[test]
    fn clusters_abbreviations_and_glued_values_are_understood() {
        let o = options("-nlDDf/etc/x.conf");
        assert_eq!((o.foreground, o.log_console, o.log_detail), (true, true, 2));
        assert_eq!(o.config_file.as_deref(), Some("/etc/x.conf"));
        let o = options("-nf x.conf --dont-fo --use-f=y.conf --vrrp_pid z -D -D -p -n");
        assert_eq!(o.config_file.as_deref(), Some("y.conf"));
        assert_eq!(o.vrrp_pid_file, Some("z".into()));
        assert_eq!(o.pid_file, Some("-n".into()));
        assert_eq!(o.log_detail, 2);
        assert_eq!(options("--vrrp").config_file, None);
        assert!(options("-P -x").no_checkers);
    }

    #[test]
    fn an_optional_argument_must_be_glued() {
        assert_eq!(
            read("-t/tmp/log").task,
            Task::TestConfig(Some("/tmp/log".into()))
        );
        assert_eq!(
            read("-nt/tmp/log -f x").task,
            Task::TestConfig(Some("/tmp/log".into()))
        );
        assert_eq!(
            read("--config-test=l").task,
            Task::TestConfig(Some("l".into()))
        );
        let cli = read("-t /tmp/log -f x");
        assert_eq!(
            (cli.task, cli.operands),
            (Task::TestConfig(None), vec!["/tmp/log".to_owned()])
        );
        let o = options("-g/var/log/x -M");
        assert_eq!(o.log_file, Some("/var/log/x".into()));
        assert_eq!(
            (o.core_pattern.as_deref(), o.core_dump),
            (Some("core"), true)
        );
        assert_eq!(options("-g -Mcore.%p").log_file, Some("".into()));
    }

    #[test]
    fn mistakes_are_told_and_do_not_hide_the_version() {
        let cli = read("--nosuch -Z -f");
        let told = [
            "Unknown option --nosuch",
            "Unknown option -Z",
            "Missing parameter for option -f",
        ];
        assert_eq!(
            (cli.task, cli.complaints),
            (Task::Fail, told.map(str::to_owned).to_vec())
        );
        assert_eq!(read("-nZ -v").task, Task::Version);
        assert_eq!(read("-nZ").complaints, ["Unknown option -Z"]);
        assert_eq!(read("--log").complaints, ["Unknown option --log"]);
        assert_eq!(
            read("--signum").complaints,
            ["Missing parameter for option --signum"]
        );
        assert_eq!(
            read("--signum=").complaints,
            ["Missing parameter for option --signum"]
        );
        assert_eq!(read("--vrrp=3").task, Task::Fail);
        assert_eq!(read("--ver a b").operands, ["a", "b"]);
    }

    #[test]
    fn the_first_of_the_single_tasks_wins() {
        assert_eq!(read("--signum=JSON -v").task, Task::Signum("JSON".into()));
        assert_eq!(read("-v --signum=JSON").task, Task::Version);
        assert_eq!(parse(["/usr/bin/genhash".to_owned()]).task, Task::Genhash);
        let cli = read("--genhash -S -s 192.0.2.1 -p 80 -u / -P 1.0");
        assert_eq!(cli.task, Task::Genhash);
        assert!(cli.complaints.is_empty() && cli.operands.is_empty());
        let words = |line: &str| parse(line.split(' ').map(str::to_owned)).task;
        assert_eq!(words("keepalived-rs adopt -f x"), Task::Adopt);
        assert_eq!(words("keepalived-rs -f adopt"), Task::Run);
    }

    #[test]
    fn all_counts_from_where_it_stands() {
        let parts = |line| (options(line).no_checkers, options(line).no_vrrp);
        assert_eq!(parts("--all -P"), (true, false));
        assert_eq!(parts("-P --all"), (false, false));
        assert_eq!(parts("-C"), (false, true));
        assert_eq!(parts("-P -C"), (true, true));
    }

    #[test]
    fn a_name_that_begins_another_is_not_ambiguous() {
        assert!(options("--check").no_vrrp);
        assert!(options("--vrrp --pid x").no_checkers);
        assert_eq!(read("--c").complaints, ["Unknown option --c"]);
    }

    #[test]
    fn bad_facilities_and_masks_are_told_and_ignored() {
        let cli = read("-S local8 -u 999");
        assert_eq!(cli.options.facility, Facility::Daemon);
        assert_eq!(
            cli.complaints,
            [
                "Invalid log facility 'local8'",
                "Invalid --umask option 999"
            ]
        );
        assert_eq!(cli.task, Task::Run);
        assert_eq!(options("-S 3").facility, Facility::Local(3));
        for (word, mask) in [("022", 0o22), ("0x12", 0x12), ("18", 18), ("0", 0)] {
            assert_eq!(options(&format!("-u {word}")).umask, Some(mask));
        }
    }

    #[test]
    fn areas_may_say_more_or_less_than_the_others() {
        let o = options("--log-level=debug --log-level lvs=error --log-format=json");
        assert_eq!(
            o.log_levels,
            [(Area::All, Level::Debug), (Area::Lvs, Level::Error)]
        );
        assert!(o.log_json);
        for wrong in ["--log-level=loud", "--log-level=x=info", "--log-format=xml"] {
            assert_eq!(read(wrong).complaints.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn check_is_a_command_only_as_the_first_word() {
        assert!(matches!(read("check a.conf").task, Task::Check(_)));
        assert!(matches!(read("check -h").task, Task::CheckUsage(_)));
        assert_eq!(read("-n check").operands, ["check"]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config {
            failure_persistence: None,
            ..Default::default()
        })]
        #[test]
        fn any_words_are_read_without_a_panic(words in proptest::collection::vec("(-{0,2}[a-zA-Z_=-]{0,12}|\\PC{0,6})", 0..8)) {
            let cli = parse(std::iter::once("keepalived".to_owned()).chain(words.clone()));
            proptest::prop_assert!(cli.operands.len() <= words.len());
        }
    }
}
