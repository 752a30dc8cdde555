//! How long `-t` takes and what it needs, ours beside stock keepalived: `cargo bench --bench config`.
//!
//! It asserts nothing: absolute figures drift from run to run, the ratio of two programs in one run does not. Stock is
//! what lies in /usr/sbin, if anything; 2.4 reads 50,000 real servers in 302 ms and 38 MiB on the machine where 2.2.7
//! is measured here. `CONFIG_BENCH_MAX` limits the number of real servers.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

const OURS: &str = env!("CARGO_BIN_EXE_keepalived-rs");
const STOCK: &str = "/usr/sbin/keepalived";
/// Runs of which the fastest counts: what else the machine does only ever adds.
const RUNS: usize = 5;

/// What one test used.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    /// Kilobytes.
    memory: u64,
}

fn main() {
    let max = std::env::var("CONFIG_BENCH_MAX").ok();
    let max: usize = max.and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let dir = std::env::temp_dir().join(format!("keepalived-rs-bench-{}", std::process::id()));
    fs::create_dir(&dir).expect("a new directory below the temporary one");
    let mut out = io::stdout();
    _ = writeln!(out, "{:<34} {:<20} {:<20} ratio", "file", "ours", "stock");
    let mut row = |name: &str, text: String| {
        let file = dir.join("bench.conf");
        fs::write(&file, text).expect("a file in our own directory");
        let (ours, stock) = (
            best(OURS, &file),
            Path::new(STOCK).exists().then(|| best(STOCK, &file)),
        );
        let shown = |c: Cost| format!("{:>7} us {:>6} kB", c.cpu.as_micros(), c.memory);
        let both = stock.map_or_else(String::new, |s| {
            let percent = ours.cpu.as_micros() * 100 / s.cpu.as_micros().max(1);
            format!("{} {percent:>5} %", shown(s))
        });
        _ = writeln!(out, "{name:<34} {} {both}", shown(ours));
    };
    row("ten lines", ten_lines());
    for count in [10, 1_000, 10_000, 50_000, 100_000, 200_000] {
        if count <= max {
            row(
                &format!("{count} real servers, 100 each"),
                servers(count, 100),
            );
        }
    }
    for count in [1_000, 10_000, 200_000] {
        if count <= max {
            row(
                &format!("{count} in one virtual server"),
                servers(count, count),
            );
        }
    }
    row("20000 virtual servers of one", servers(20_000, 1));
    row("4000 vrrp_instances", instances(4_000));
    _ = fs::remove_dir_all(&dir);
}

fn best(program: &str, file: &Path) -> Cost {
    let runs = (0..RUNS).map(|_| cost(program, file));
    runs.reduce(|a, b| Cost {
        cpu: a.cpu.min(b.cpu),
        memory: a.memory.min(b.memory),
    })
    .expect("at least one run")
}

fn cost(program: &str, file: &Path) -> Cost {
    let mut command = Command::new(program);
    command.args(["-t", "-n", "-l", "-f"]).arg(file);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let before = spent();
    let mut child = command.spawn().expect("it starts");
    let (status, mut memory) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().expect("our child").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|p| p.trim().trim_end_matches(" kB").parse().ok());
        memory = memory.max(peak.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
    Cost {
        cpu: spent().saturating_sub(before),
        memory,
    }
}

/// Processor time of the children that have ended.
fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it has no way to fail");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
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
