//! How long `-t` takes and what it needs, ours beside stock keepalived: `cargo bench --bench config`.
//!
//! Absolute figures drift from run to run, the ratio of two programs that run in turn does not. The target: half the time
//! of stock and no more memory; where that is missed the row says so. Stock is what lies in /usr/sbin, if anything.
//! `CONFIG_BENCH_MAX` limits the number of real servers, `LAB_OURS` names another binary of ours.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

const STOCK: &str = "/usr/sbin/keepalived";
/// Runs of which the fastest counts: what else the machine does only ever adds.
const RUNS: usize = 5;
/// As the first argument: run the rest and say what it used.
const MEASURE: &str = "--measure";

/// What one test used.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    /// Peak, in kilobytes.
    memory: u64,
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|a| a == MEASURE) {
        return measure(arguments.collect());
    }
    let ours = std::env::var_os("LAB_OURS");
    let ours = ours.unwrap_or_else(|| env!("CARGO_BIN_EXE_keepalived-rs").into());
    let max = std::env::var("CONFIG_BENCH_MAX").ok();
    let max: usize = max.and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let dir = std::env::temp_dir().join(format!("keepalived-rs-bench-{}", std::process::id()));
    fs::create_dir(&dir).expect("a new directory below the temporary one");
    say("| file | ours | | stock | | time | memory | |");
    say("|---|---|---|---|---|---|---|---|");
    let row = |name: &str, text: String| {
        let file = dir.join("bench.conf");
        fs::write(&file, text).expect("a file in our own directory");
        let stock = Path::new(STOCK).exists();
        let (ours, stock) = in_turn(&ours, stock.then(|| STOCK.into()), &file);
        let shown = |c: Cost| {
            let micros = c.cpu.as_micros();
            format!(
                "{}.{} ms | {} kB",
                micros / 1000,
                micros / 100 % 10,
                c.memory
            )
        };
        let Some(stock) = stock else {
            say(&format!("| {name} | {} | | | | | |", shown(ours)));
            return ours;
        };
        let time = ours.cpu.as_micros() * 100 / stock.cpu.as_micros().max(1);
        let memory = ours.memory * 100 / stock.memory.max(1);
        let verdict = match (time > 50, memory > 100) {
            (false, false) => "",
            (true, false) => "slow",
            (false, true) => "large",
            (true, true) => "slow, large",
        };
        say(&format!(
            "| {name} | {} | {} | {time} % | {memory} % | {verdict} |",
            shown(ours),
            shown(stock)
        ));
        ours
    };
    row("ten lines", ten_lines());
    for each in [1, 50, 1_000_000] {
        let name = match each {
            1 => "one in each virtual server",
            50 => "50 in each virtual server",
            _ => "in one virtual server",
        };
        let counts = [10_000, 50_000, 100_000, 200_000];
        let mut first: Option<(usize, Cost)> = None;
        for count in counts.into_iter().filter(|n| *n <= max) {
            // Stock takes minutes for more of them.
            let name = format!("{count} real servers, {name}");
            let found = row(&name, servers(count, each.min(count)));
            linear(&mut first, count, found);
        }
    }
    let mut first = None;
    for count in [1_000, 4_000, 16_000] {
        let found = row(&format!("{count} vrrp_instances"), instances(count));
        linear(&mut first, count, found);
    }
    _ = fs::remove_dir_all(&dir);
}

/// Says so when a file that is larger than the first one costs more than in proportion.
fn linear(first: &mut Option<(usize, Cost)>, count: usize, found: Cost) {
    let Some((before, cost)) = *first else {
        *first = Some((count, found));
        return;
    };
    let (before, count) = (before as u128, count as u128);
    let percent = found.cpu.as_micros() * before * 100 / (cost.cpu.as_micros().max(1) * count);
    if percent > 130 {
        say(&format!("| | {percent} % of what is linear | | | | | | |"));
    }
}

/// A line on standard output, which may be closed.
fn say(line: &str) {
    _ = writeln!(io::stdout(), "{line}");
}

/// The best of several runs of each.
fn in_turn(ours: &OsString, stock: Option<OsString>, file: &Path) -> (Cost, Option<Cost>) {
    let better = |a: Cost, b: Option<Cost>| match b {
        None => a,
        Some(b) => Cost {
            cpu: a.cpu.min(b.cpu),
            memory: a.memory.min(b.memory),
        },
    };
    let (mut best, mut best_stock) = (cost(ours, file), None);
    // What is quadratic is not waited for that often.
    let mut left = RUNS;
    while left > 0 {
        left -= 1;
        best = better(cost(ours, file), Some(best));
        if let Some(stock) = &stock {
            let found = cost(stock, file);
            best_stock = Some(better(found, best_stock));
            if found.cpu > Duration::from_secs(5) {
                break;
            }
        }
    }
    (best, best_stock)
}

/// The kernel knows the peak of a process's only child: so each run has a parent of its own.
fn cost(program: &OsString, file: &Path) -> Cost {
    let this = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(this);
    command.arg(MEASURE).arg(program);
    command.args(["-t", "-n", "-l", "-f"]).arg(file);
    let out = command.stdin(Stdio::null()).output().expect("it starts");
    let text = String::from_utf8_lossy(&out.stdout);
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next().expect("two numbers").expect("a number");
    Cost {
        cpu: Duration::from_micros(next()),
        memory: next(),
    }
}

/// Runs a command and says what it used: microseconds and kilobytes.
fn measure(words: Vec<OsString>) {
    let (program, arguments) = words.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    _ = command.status().expect("it starts");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it has no way to fail");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    say(&format!("{micros} {}", usage.max_rss()));
}

fn ten_lines() -> String {
    "global_defs {\n router_id BENCH\n}\nvrrp_instance V {\n interface lo0\n virtual_router_id 51\n virtual_ipaddress {\n  \
     192.0.2.1/24\n }\n}\n"
        .into()
}

/// `count` real servers with one check each, `each` in a virtual server.
fn servers(count: usize, each: usize) -> String {
    let mut text = String::from("global_defs { router_id BENCH\n}\n");
    for (vs, first) in (0..count).step_by(each).enumerate() {
        _ = write!(
            text,
            "virtual_server 10.{}.{}.{} 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n delay_loop 10\n",
            100 + (vs >> 16),
            (vs >> 8) & 255,
            vs & 255
        );
        for rs in first..(first + each).min(count) {
            _ = write!(
                text,
                " real_server 10.{}.{}.{} 8080 {{\n weight 1\n TCP_CHECK {{ connect_timeout 3\n }}\n }}\n",
                77 + (rs >> 16),
                (rs >> 8) & 255,
                rs & 255
            );
        }
        text += "}\n";
    }
    text
}

fn instances(count: usize) -> String {
    let mut text = String::from("global_defs {\n dynamic_interfaces\n}\n");
    for n in 0..count {
        _ = write!(
            text,
            "vrrp_instance V{n} {{\n interface if{}\n virtual_router_id {}\n priority 100\n advert_int 1\n authentication {{\n \
             auth_type PASS\n auth_pass secret\n }}\n virtual_ipaddress {{\n 10.{}.{}.1/24\n }}\n}}\n",
            n / 250,
            n % 250 + 1,
            n >> 8,
            n & 255
        );
    }
    text
}
