//! How long a failover takes, ours beside stock keepalived's, on one machine in one run.
//!
//!     sudo cargo bench --bench failover -- [--runs N] [--timing v2_1s|v3_100ms|v3_10ms] [--scenario NAME] [--mixed]
//!         [--lanes N] [--hog] [--real-time] [--slowest N]
//!
//! Two routers (priority 150 and 100) on a LAN of network namespaces. The fault is injected right after one of the
//! master's advertisements, the phase that gives the longest takeover, so that what is measured can be compared with
//! what the protocol asks for. All times come from the kernel's timestamps on the hub, all figures are medians in
//! milliseconds:
//!
//! | column | |
//! |---|---|
//! | protocol | from the reference to the backup's first advertisement, as the protocol has it: the master down interval after the last advertisement, the skew time after one of priority 0 |
//! | excess | how much later the backup's first advertisement was (least and most of all runs in brackets) |
//! | p99 | of the excesses, by nearest rank: of fewer than a hundred runs the greatest |
//! | garp | from that advertisement to the first gratuitous ARP |
//! | resign | from the fault to the master's advertisement of priority 0, where it sends one |
//! | ratio | excess of ours by excess of stock |
//! | p99 ratio | the same of their p99 |
//!
//! `--lanes` plays each cell on so many LANs side by side, which a hundred runs need to end in minutes. `--hog` gives each
//! processor one loop that never ends and the disk one writer that always syncs; `--real-time` adds `vrrp_rt_priority 50`
//! to the configuration. `--slowest` shows what was on the wire in the slowest runs of each pair, in milliseconds from the
//! reference, and the last lines of both logs.
//!
//! Absolute figures drift with the machine and its load: compare columns, not runs. `LAB_OURS` and `LAB_STOCK` name
//! other binaries.

mod hogs;
#[path = "../lab/mod.rs"]
mod lab;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use hogs::Hogs;
use lab::daemon::{Daemon, now};
use lab::frame::{Event, Seen};
use lab::{Lan, TempDir, millis};
use nix::sys::signal::Signal;

const VIP: &str = "10.66.0.100";
const SECOND: u64 = 1_000_000_000;
/// Lines of each log that are shown of a slow run.
const STORY: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timing {
    name: &'static str,
    version: u8,
    advert_int: &'static str,
    interval: u64,
}

const TIMINGS: [Timing; 3] = [
    Timing {
        name: "v2_1s",
        version: 2,
        advert_int: "1",
        interval: SECOND,
    },
    Timing {
        name: "v3_100ms",
        version: 3,
        advert_int: "0.1",
        interval: SECOND / 10,
    },
    Timing {
        name: "v3_10ms",
        version: 3,
        advert_int: "0.01",
        interval: SECOND / 100,
    },
];

impl Timing {
    /// Nanoseconds; of the backup, whose priority is 100. RFC 3768 §6.1, RFC 9568 §6.1.
    fn skew(self) -> u64 {
        let unit = if self.version == 2 {
            SECOND
        } else {
            self.interval
        };
        156 * unit / 256
    }

    fn down(self) -> u64 {
        3 * self.interval + self.skew()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    Sigkill,
    Sigterm,
    LinkDown,
    ScriptFault,
    ScriptWeight,
}

impl Scenario {
    const ALL: [Self; 5] = [
        Self::Sigkill,
        Self::Sigterm,
        Self::LinkDown,
        Self::ScriptFault,
        Self::ScriptWeight,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Sigkill => "sigkill",
            Self::Sigterm => "sigterm",
            Self::LinkDown => "link_down",
            Self::ScriptFault => "script_fault",
            Self::ScriptWeight => "script_weight",
        }
    }

    /// The lines of a `vrrp_script` that this needs, if it needs one.
    fn weight(self) -> Option<&'static str> {
        match self {
            Self::Sigkill | Self::Sigterm | Self::LinkDown => None,
            Self::ScriptFault => Some(""),
            Self::ScriptWeight => Some("weight -100"),
        }
    }
}

/// Nanoseconds.
struct Run {
    excess: i64,
    garp: Option<i64>,
    resign: Option<i64>,
    expect: u64,
    /// What happened, for a person.
    story: String,
}

struct Options {
    runs: usize,
    timings: Vec<Timing>,
    scenarios: Vec<Scenario>,
    mixed: bool,
    lanes: usize,
    hog: bool,
    real_time: bool,
    /// How many runs of each pair are told of.
    slowest: usize,
}

fn main() -> ExitCode {
    if !lab::root() {
        return ExitCode::SUCCESS;
    }
    match options() {
        Ok(options) => {
            bench(&options);
            ExitCode::SUCCESS
        }
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        runs: 5,
        timings: Vec::new(),
        scenarios: Vec::new(),
        mixed: false,
        lanes: 1,
        hog: false,
        real_time: false,
        slowest: 0,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            // cargo adds it.
            "--bench" => {}
            "--mixed" => options.mixed = true,
            "--hog" => options.hog = true,
            "--real-time" => options.real_time = true,
            "--lanes" => {
                options.lanes = value()?.parse().map_err(|e| format!("--lanes: {e}"))?;
            }
            "--slowest" => {
                options.slowest = value()?.parse().map_err(|e| format!("--slowest: {e}"))?;
            }
            "--runs" => options.runs = value()?.parse().map_err(|e| format!("--runs: {e}"))?,
            "--timing" => {
                let name = value()?;
                let found = TIMINGS.into_iter().find(|t| t.name == name);
                options
                    .timings
                    .push(found.ok_or(format!("no timing {name}"))?);
            }
            "--scenario" => {
                let name = value()?;
                let found = Scenario::ALL.into_iter().find(|s| s.name() == name);
                options
                    .scenarios
                    .push(found.ok_or(format!("no scenario {name}"))?);
            }
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    if options.timings.is_empty() {
        options.timings = TIMINGS.to_vec();
    }
    if options.scenarios.is_empty() {
        options.scenarios = Scenario::ALL.to_vec();
    }
    Ok(options)
}

fn bench(options: &Options) {
    let named = |variable: &str, default: &str| {
        std::env::var_os(variable).map_or_else(|| PathBuf::from(default), PathBuf::from)
    };
    let ours = named("LAB_OURS", env!("CARGO_BIN_EXE_keepalived-rs"));
    let stock = named("LAB_STOCK", "/usr/sbin/keepalived");
    let mut pairs = vec![("stock", [&stock, &stock]), ("ours", [&ours, &ours])];
    if options.mixed {
        pairs.extend([
            ("ours, then stock", [&ours, &stock]),
            ("stock, then ours", [&stock, &ours]),
        ]);
    }
    say(
        "| timing/scenario | pair | n | protocol | excess | p99 | garp | resign | ratio | p99 ratio |",
    );
    say("|---|---|---|---|---|---|---|---|---|---|");
    let dir = TempDir::new();
    for &timing in &options.timings {
        for &scenario in &options.scenarios {
            let plan = Plan {
                timing,
                scenario,
                real_time: options.real_time,
            };
            let binaries: Vec<_> = pairs.iter().map(|(_, binaries)| *binaries).collect();
            let mut of_stock = None;
            let hogs = options.hog.then(|| Hogs::start(dir.path()));
            let done = lanes(&binaries, plan, options);
            drop(hogs);
            for ((name, _), (runs, trouble)) in pairs.iter().zip(done) {
                let of = |value: fn(&Run) -> Option<i64>| {
                    median(runs.iter().filter_map(value).collect())
                };
                let excess = of(|r| Some(r.excess));
                let mut all: Vec<i64> = runs.iter().map(|r| r.excess).collect();
                all.sort_unstable();
                let late = all.get((all.len() * 99).div_ceil(100).saturating_sub(1));
                let (base, base_late) = *of_stock.get_or_insert((excess, late.copied()));
                say(&format!(
                    "| {}/{} | {name} | {} | {} | {} ({}..{}) | {} | {} | {} | {} | {} |",
                    timing.name,
                    scenario.name(),
                    runs.len(),
                    ms(runs.first().and_then(|r| i64::try_from(r.expect).ok())),
                    ms(excess),
                    ms(all.first().copied()),
                    ms(all.last().copied()),
                    ms(late.copied()),
                    ms(of(|r| r.garp)),
                    ms(of(|r| r.resign)),
                    ratio(excess, base),
                    ratio(late.copied(), base_late),
                ));
                let mut slowest: Vec<&Run> = runs.iter().collect();
                slowest.sort_unstable_by_key(|r| -r.excess);
                for run in slowest.into_iter().take(options.slowest) {
                    say(&format!(
                        "\n{name}, {}:\n{}",
                        ms(Some(run.excess)),
                        run.story
                    ));
                }
                for trouble in trouble {
                    say(&format!("{name}: {trouble}\n"));
                }
            }
        }
    }
}

/// What a cell gave: its runs, and what stopped a lane.
type Outcome = (Vec<Run>, Vec<String>);

/// All runs of one plan, for each pair.
fn lanes(pairs: &[[&PathBuf; 2]], plan: Plan, options: &Options) -> Vec<Outcome> {
    let lanes = options.lanes.clamp(1, options.runs.max(1));
    let lane = |number: usize| {
        // All pairs at once and in turn: whatever else the machine does, it does to all of them.
        let mut cells: Vec<Cell> = pairs.iter().map(|two| Cell::new(*two, plan)).collect();
        for _ in (number..options.runs).step_by(lanes) {
            cells.iter_mut().for_each(Cell::turn);
        }
        let results = cells.into_iter().map(|c| (c.runs, c.trouble));
        results.collect::<Vec<_>>()
    };
    let mut all: Vec<Outcome> = pairs.iter().map(|_| Outcome::default()).collect();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..lanes).map(|n| scope.spawn(move || lane(n))).collect();
        for thread in threads {
            let Ok(results) = thread.join() else {
                all.iter_mut()
                    .for_each(|(_, trouble)| trouble.push("a lane broke".to_owned()));
                continue;
            };
            for (sum, (runs, trouble)) in all.iter_mut().zip(results) {
                sum.0.extend(runs);
                sum.1.extend(trouble);
            }
        }
    });
    all
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some((upper + lower) / 2)
}

fn ms(nanos: Option<i64>) -> String {
    nanos.map_or("-".to_owned(), |n| {
        format!(
            "{}{}",
            if n < 0 { "-" } else { "" },
            millis(n.unsigned_abs())
        )
    })
}

/// With two decimals.
fn ratio(value: Option<i64>, base: Option<i64>) -> String {
    match (value, base) {
        (Some(value), Some(base)) if base > 0 => {
            let percent = (value * 100 / base).max(0);
            format!("{}.{:02}", percent / 100, percent % 100)
        }
        _ => "-".to_owned(),
    }
}

/// What the runs of a cell have in common.
#[derive(Clone, Copy, Debug)]
struct Plan {
    timing: Timing,
    scenario: Scenario,
    real_time: bool,
}

/// Two routers of one pair of binaries, for several runs of one scenario.
struct Cell {
    lan: Lan,
    binaries: [PathBuf; 2],
    plan: Plan,
    healthy: PathBuf,
    /// Master and backup.
    daemons: Vec<Daemon>,
    runs: Vec<Run>,
    /// What stopped the runs that did not come to their end.
    trouble: Vec<String>,
}

impl Cell {
    fn new(binaries: [&PathBuf; 2], plan: Plan) -> Self {
        let lan = Lan::new("eth0", &["10.66.0.1/24", "10.66.0.2/24"]);
        let healthy = lan.node(0).file("healthy", "", 0o644);
        let binaries = binaries.map(Clone::clone);
        let (daemons, runs) = (Vec::new(), Vec::new());
        let mut cell = Self {
            lan,
            binaries,
            plan,
            healthy,
            daemons,
            runs,
            trouble: Vec::new(),
        };
        cell.daemons = vec![cell.start(0), cell.start(1)];
        cell
    }

    /// One run, and what is needed for the next.
    fn turn(&mut self) {
        match self.run() {
            Ok(run) => {
                self.runs.push(run);
                self.heal();
            }
            Err(why) => {
                let scenario = self.plan.scenario.name();
                self.trouble
                    .push(format!("{scenario}: {why}\n{}", self.lan.story()));
                self.again();
            }
        }
    }

    /// Both routers from the beginning.
    fn again(&mut self) {
        self.daemons.clear();
        self.lan.cable(0, true);
        self.lan.node(0).file("healthy", "", 0o644);
        for node in 0..2 {
            self.lan
                .node(node)
                .ns
                .try_ip(&format!("addr del {VIP}/24 dev eth0"));
        }
        self.daemons = vec![self.start(0), self.start(1)];
    }

    fn start(&self, node: usize) -> Daemon {
        let Timing {
            version,
            advert_int,
            ..
        } = self.plan.timing;
        let scheduling = if self.plan.real_time {
            " vrrp_rt_priority 50\n"
        } else {
            ""
        };
        let mut conf = format!(
            "global_defs {{\n router_id bench\n vrrp_version {version}\n script_user root\n{scheduling}}}\n"
        );
        let script = self.plan.scenario.weight().filter(|_| node == 0);
        if let Some(weight) = script {
            let text = format!("#!/bin/sh\n[ -e {} ]\n", self.healthy.display());
            let path = self.lan.node(0).file("check.sh", &text, 0o755);
            conf += &format!(
                "vrrp_script check {{\n script \"{}\"\n interval 1\n timeout 2\n rise 1\n fall 1\n {weight}\n}}\n",
                path.display()
            );
        }
        conf += &format!(
            "vrrp_instance V {{\n state BACKUP\n interface eth0\n virtual_router_id 66\n priority {}\n advert_int {advert_int}\n {}\n virtual_ipaddress {{\n {VIP}/24\n }}\n}}\n",
            [150, 100][node],
            if script.is_some() {
                "track_script {\n check\n }"
            } else {
                ""
            },
        );
        self.lan.node(node).start(&self.binaries[node], &conf)
    }

    fn wait<T>(
        &self,
        what: &str,
        limit: u64,
        check: impl FnMut(&[Seen]) -> Option<T>,
    ) -> Result<T, String> {
        self.lan
            .capture
            .wait(Duration::from_nanos(limit), check)
            .ok_or_else(|| format!("never: {what}"))
    }

    /// The master advertises and the backup has not for a while; what the master said last.
    fn settled(&self) -> Result<Seen, String> {
        let quiet = (2 * self.plan.timing.interval).max(SECOND / 5);
        let since = now();
        self.wait("the better router alone is master", 20 * SECOND, |seen| {
            let last = seen
                .iter()
                .rfind(|s| s.node == 0 && s.priority() == Some(150))?;
            let rival = seen
                .iter()
                .rfind(|s| s.node == 1 && s.advert().is_some())
                .map_or(since, |s| s.at.max(since));
            // Fresh, so that the fault comes right after it.
            (last.at > rival + quiet && now() < last.at + SECOND / 500).then(|| last.clone())
        })
    }

    fn run(&mut self) -> Result<Run, String> {
        if self.plan.scenario.weight().is_some() {
            self.daemons[0].wait_log("VRRP_Script(check) succeeded");
        }
        self.settled()?;
        let fault = now();
        match self.plan.scenario {
            Scenario::Sigkill => {
                self.daemons[0].kill();
            }
            Scenario::Sigterm => self.daemons[0].signal(Signal::SIGTERM),
            Scenario::LinkDown => self.lan.cable(0, false),
            Scenario::ScriptFault | Scenario::ScriptWeight => {
                fs::remove_file(&self.healthy).map_err(|e| e.to_string())?;
            }
        }
        let limit = 12 * SECOND + self.plan.timing.down();
        let first = self.wait("the backup takes over", limit, |seen| {
            seen.iter()
                .find(|s| s.node == 1 && s.at >= fault && s.advert().is_some())
                .cloned()
        })?;
        let garp = self.wait("the address is announced", 5 * SECOND, |seen| {
            seen.iter()
                .find(|s| s.node == 1 && s.at >= first.at && s.announces(VIP))
                .cloned()
        })?;
        let last = |priority: u8, since: u64| {
            let mut seen = self.lan.events().into_iter();
            seen.rfind(|s| {
                s.node == 0 && s.priority() == Some(priority) && s.at >= since && s.at < first.at
            })
        };
        let resigned = last(0, fault);
        let (reference, expect) = match &resigned {
            Some(zero) => (zero.at, self.plan.timing.skew()),
            None => (
                last(150, 0).ok_or("the master never spoke")?.at,
                self.plan.timing.down(),
            ),
        };
        let story = self.story(reference, fault, garp.at);
        let span = |from: u64, to: u64| i64::try_from(to - from).map_err(|e| e.to_string());
        Ok(Run {
            excess: span(reference, first.at)?
                - i64::try_from(expect).map_err(|e| e.to_string())?,
            garp: Some(span(first.at, garp.at)?),
            resign: resigned.map(|zero| span(fault, zero.at)).transpose()?,
            expect,
            story,
        })
    }

    /// Of a run whose `fault` came at that time, until `end`; times from `reference` on.
    fn story(&self, reference: u64, fault: u64, end: u64) -> String {
        /// What came this long before the reference may have led to it.
        const BEFORE: u64 = SECOND / 2;
        let after = |at: u64| {
            ms(i64::try_from(at)
                .ok()
                .zip(i64::try_from(reference).ok())
                .map(|(a, r)| a - r))
        };
        let seen = self.lan.events().into_iter();
        let seen =
            seen.filter(|s| s.at + BEFORE >= reference && s.at <= end && s.event != Event::Other);
        let mut text: String = seen
            .map(|s| format!("{:>12}  node {}  {}\n", after(s.at), s.node, s.event))
            .collect();
        text += &format!("{:>12}  the fault\n", after(fault));
        for daemon in &self.daemons {
            let log = daemon.log();
            let mut lines: Vec<&str> = log.lines().rev().take(STORY).collect();
            lines.reverse();
            text += &format!("---\n{}\n", lines.join("\n"));
        }
        text
    }

    fn heal(&mut self) {
        match self.plan.scenario {
            Scenario::Sigkill | Scenario::Sigterm => {
                if self.daemons[0].running() {
                    self.daemons[0].wait_exit();
                }
                // A killed one left it; a stopped one did not.
                self.lan
                    .node(0)
                    .ns
                    .try_ip(&format!("addr del {VIP}/24 dev eth0"));
                self.daemons[0] = self.start(0);
            }
            Scenario::LinkDown => self.lan.cable(0, true),
            Scenario::ScriptFault | Scenario::ScriptWeight => {
                self.lan.node(0).file("healthy", "", 0o644);
            }
        }
    }
}
