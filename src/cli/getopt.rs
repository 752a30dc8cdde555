//! The options, and the habits of getopt_long that clap lacks. Knows which options there are, not what they mean.
//! Source: keepalived(8), getopt_long(3).

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// The help text, and the one list of the options: each line that begins with a dash declares one. `=X` is a value,
/// `[=X]` a glued one, `*` says that the feature is not there yet.
pub(crate) const HELP: &str = "\
Usage: keepalived [OPTION...]
       keepalived-rs check [OPTION...] FILE...   Explain what is wrong with a configuration
       keepalived-rs reload [OPTION...]          Reload, and tell whether the file was taken
       keepalived-rs status [OPTION...]          Show how everything is
       keepalived-rs adopt [OPTION...]           End a keepalived; the next start goes on as master

What to run
  -f, --use-file=FILE             Configuration file [/etc/keepalived/keepalived.conf]
  -P, --vrrp                      Only VRRP, no health checking
  -C, --check                     Only health checking, no VRRP
  -B, --no_bfd                    No BFD
      --all                       Everything, whatever -P and -C said before
  -i, --config-id=ID              Which lines '@ID ...' count [host name up to the first dot]
  -s, --namespace=NAME            Run in this network namespace
  -e, --all-config                A missing include file is an error

How to run
  -n, --dont-fork                 Stay in the foreground
  -p, --pid=FILE                  Pid file [/run/keepalived.pid]
  -r, --vrrp_pid=FILE             Pid file of the VRRP part [/run/vrrp.pid]
  -c, --checkers_pid=FILE         Pid file of the health checkers [/run/checkers.pid]
  -b, --bfd_pid=FILE              Pid file of the BFD part [/run/bfd.pid]
  -u, --umask=MASK                File mode creation mask [0177]
  -V, --dont-release-vrrp         On stop, leave the addresses and send no priority 0
  -I, --dont-release-ipvs         On stop, leave the IPVS table
  -X, --release-vips              Nothing: addresses always go with the state
  -R, --dont-respawn              A task that dies ends the daemon (it always does)
  -m, --core-dump                 Core files of any size
  -M, --core-dump-pattern[=NAME]  The same, with this name [core]
      --ignore-sigint             SIGINT does nothing
      --config-fd=N               Nothing: keepalived uses it between its processes
  -L, --mem-check-log             Nothing: keepalived's memory debugging

Log
  -l, --log-console               Log to standard error too, together with -n
  -D, --log-detail                More detail; given twice: every packet
  -S, --log-facility=FACILITY     0-7, local0-local7, user, daemon [daemon]
  -G, --no-syslog                 Do not log to syslog
  -g, --log-file[=FILE]           Log to files too [/tmp/keepalived.log]; VRRP to FILE_vrrp
      --flush-log-file            Nothing: each line is written at once
      --log-level=[AREA=]LEVEL    error, warn, info, debug or trace; of everything, or of an area:
                                  vrrp, track, lvs, notify, config, daemon
      --log-format=FORMAT         On the console and in files: text or json [text]
  -d, --dump-conf                 Log the configuration as it was understood
  -a, --address-monitoring        Log every address that comes or goes
  -x, --snmp                    * SNMP
  -A, --snmp-agent-socket=ADDR  * AgentX master

Do one thing and exit
  -t, --config-test[=FILE]        Check the configuration, complain to FILE [standard error]
      --signum=NAME               Number of a signal: STOP RELOAD DATA STATS STATS_CLEAR JSON
  -T, --genhash                   Become genhash
  -v, --version                   Print versions
  -h, --help                      Print this

* accepted for compatibility, has no effect yet
";

/// One line of [`HELP`].
pub(crate) struct Row {
    short: Option<char>,
    pub(crate) long: &'static str,
    takes: Takes,
    /// Its feature is there.
    pub(crate) has_effect: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    Glued,
}

/// All of them, in the order of [`HELP`].
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    HELP.lines().filter_map(|line| {
        let (names, text) = line.split_once("--")?;
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
        let (long, text) = text.split_at(end.unwrap_or(text.len()));
        let takes = match text.chars().next() {
            Some('=') => Takes::Value,
            Some('[') => Takes::Glued,
            _ => Takes::Nothing,
        };
        Some(Row {
            short: names
                .trim_start()
                .strip_prefix('-')
                .and_then(|n| n.chars().next()),
            long,
            takes,
            has_effect: !text.contains('*'),
        })
    })
}

fn command(rows: &[Row]) -> Command {
    let args = rows.iter().map(|row| {
        let arg = Arg::new(row.long).long(row.long);
        let arg = match row.short {
            Some(c) => arg.short(c),
            None => arg,
        };
        match row.takes {
            Takes::Nothing => arg.action(ArgAction::Count),
            // Each one counts.
            Takes::Value if row.long == "log-level" => arg.action(ArgAction::Append),
            Takes::Value => arg.allow_hyphen_values(true),
            Takes::Glued => {
                let arg = arg.num_args(0..=1).require_equals(true);
                arg.default_missing_value("")
            }
        }
    });
    Command::new("keepalived")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .args_override_self(true)
        .args(args)
        .arg(Arg::new(OPERANDS).num_args(0..))
}

/// The id of the words that belong to no option.
pub(crate) const OPERANDS: &str = "operands";

/// Takes clusters apart, since clap knows no argument that is optional and glued to a short option: `-nt/log` becomes
/// `-n`, `-t=/log`; `-nf` `FILE` becomes `-n`, `-f`, `FILE`.
fn unglue(words: Vec<String>, rows: &[Row], complaints: &mut Vec<String>) -> Vec<String> {
    let mut out = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut wants_value = false;
        match word.strip_prefix('-') {
            Some("-") => {
                out.push(word);
                out.extend(words);
                break;
            }
            Some(long) if long.starts_with('-') => {
                let long = &long[1..];
                let fits: Vec<_> = rows.iter().filter(|r| r.long.starts_with(long)).collect();
                let exact = fits.iter().find(|r| r.long == long);
                let one = exact.or(fits.first().filter(|_| fits.len() == 1));
                wants_value = one.is_some_and(|r| r.takes == Takes::Value);
                out.push(word);
            }
            Some(cluster) if !cluster.is_empty() => {
                for (at, c) in cluster.char_indices() {
                    if c == '-' {
                        complaints.push("Unknown option --".into()); // on its own it would end the options
                        continue;
                    }
                    let rest = &cluster[at + c.len_utf8()..];
                    let row = rows.iter().find(|r| r.short == Some(c));
                    let takes = row.map_or(Takes::Nothing, |r| r.takes);
                    match takes {
                        Takes::Glued if !rest.is_empty() => out.push(format!("-{c}={rest}")),
                        Takes::Nothing | Takes::Glued | Takes::Value => out.push(format!("-{c}")),
                    }
                    match takes {
                        Takes::Nothing => continue,
                        Takes::Value if rest.is_empty() => wants_value = true,
                        Takes::Value => out.push(rest.to_owned()),
                        Takes::Glued => {}
                    }
                    break;
                }
            }
            Some(_) | None => out.push(word),
        }
        if wants_value {
            out.extend(words.next());
        }
    }
    out
}

/// Reads the words after the program's name: what they say, and what is wrong with them. Like getopt_long it goes on
/// after a mistake: a later `-v` still counts.
pub(crate) fn scan(words: Vec<String>, rows: &[Row]) -> (ArgMatches, Vec<String>) {
    let mut complaints = Vec::new();
    let mut words = unglue(words, rows, &mut complaints);
    loop {
        let e = match command(rows).try_get_matches_from(&words) {
            Ok(matches) => return (matches, complaints),
            Err(e) => e,
        };
        let wrong = match (e.kind(), e.get(ContextKind::InvalidArg)) {
            (
                ErrorKind::UnknownArgument | ErrorKind::TooManyValues,
                Some(ContextValue::String(arg)),
            ) => arg.clone(),
            _ => String::new(),
        };
        let is_wrong = |w: &String| w == &wrong || w.starts_with(&format!("{wrong}="));
        let at = words
            .iter()
            .position(is_wrong)
            .filter(|_| !wrong.is_empty());
        // What is not unknown lacks its argument, which only the last word can do.
        let what = if at.is_some() {
            "Unknown option"
        } else {
            "Missing parameter for option"
        };
        let Some(word) = at.map(|at| words.remove(at)).or_else(|| words.pop()) else {
            return (ArgMatches::default(), complaints);
        };
        complaints.push(format!("{what} {}", word.trim_end_matches('=')));
    }
}

/// Where an option stands in the words, if it was given.
pub(crate) fn place(matches: &ArgMatches, long: &str) -> Option<usize> {
    let given = matches.value_source(long) == Some(ValueSource::CommandLine);
    matches.indices_of(long).filter(|_| given)?.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_declares_every_option_once() {
        let rows: Vec<Row> = rows().collect();
        assert_eq!(rows.len(), 40);
        command(&rows).debug_assert();
        assert!(
            rows.iter()
                .any(|r| r.long == "no_bfd" && r.short == Some('B') && r.has_effect)
        );
        assert!(
            rows.iter()
                .any(|r| r.long == "log-file" && r.takes == Takes::Glued && r.has_effect)
        );
    }
}
