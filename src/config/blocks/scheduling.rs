//! `global_defs`: how the kernel schedules the parts of the daemon.

use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Fault, Row, key};
use super::global::GlobalDraft;
use crate::model::process::{AutoPriority, Process, Scheduling};

/// A part of the daemon that is scheduled by itself.
trait Part {
    fn of(process: &mut Process) -> &mut Scheduling;
}

struct Vrrp;
struct Checker;
struct Bfd;

impl Part for Vrrp {
    fn of(process: &mut Process) -> &mut Scheduling {
        &mut process.vrrp
    }
}

impl Part for Checker {
    fn of(process: &mut Process) -> &mut Scheduling {
        &mut process.checker
    }
}

impl Part for Bfd {
    fn of(process: &mut Process) -> &mut Scheduling {
        &mut process.bfd
    }
}

fn of<P: Part>(v: &mut GlobalDraft) -> &mut Scheduling {
    P::of(&mut v.model.process)
}

/// A nice value; a bad one means 0.
fn nice<P: Part>(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    of::<P>(v).nice = 0;
    a.present()?;
    of::<P>(v).nice = a.int(-20..=19)?;
    Ok(())
}

fn no_swap<P: Part>(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.flag().map(|on| of::<P>(v).no_swap = on)
}

/// A real-time priority: what is outside the range is moved to its end.
fn rt_priority<P: Part>(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let wanted = a.int(i32::MIN..=i32::MAX)?;
    let possible = wanted.clamp(1, 99);
    if possible != wanted {
        let text = format!("{wanted} is not in 1..=99 - using {possible}");
        a.warn(Code::OutOfRange, text);
    }
    of::<P>(v).rt_priority = u8::try_from(possible).ok();
    Ok(())
}

/// Numbers of processors; a bad one empties the set.
fn cpus<P: Part>(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    of::<P>(v).cpus.clear();
    let last = u32::try_from(a.host().cpus() - 1).unwrap_or(u32::MAX);
    let mut found = std::collections::BTreeSet::new();
    while a.peek().is_some() {
        found.insert(a.int(0..=last)?);
    }
    of::<P>(v).cpus = found;
    Ok(())
}

/// Microseconds of processor time.
fn rttime<P: Part>(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let micros = a.int(1..=u32::MAX)?;
    // The limit at which a signal is sent is half of it.
    of::<P>(v).rlimit_rttime = Duration::from_micros(micros.max(2).into());
    Ok(())
}

/// The same under its old spelling, which is only logged.
fn old_rttime<P: Part>(v: &mut GlobalDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.remark(
        Code::Deprecated,
        "is deprecated - please use the spelling rttime",
    );
    rttime::<P>(v, a)
}

/// In the order of the names: priority, no_swap, rt_priority, cpu_affinity, rlimit_rttime, rlimit_rtime.
const fn rows<P: Part>(keywords: [&'static str; 6]) -> [Row<GlobalDraft>; 6] {
    let [n, swap, rt, affinity, limit, old] = keywords;
    [
        key(n, "nice, -20..=19", nice::<P>),
        key(swap, "flag", no_swap::<P>),
        key(rt, "1..=99", rt_priority::<P>),
        key(affinity, "<cpu>...", cpus::<P>),
        key(limit, "microseconds, ≥ 1, default 10000", rttime::<P>),
        key(old, "deprecated: the spelling rttime", old_rttime::<P>),
    ]
}

/// `vrrp_priority` and so on.
pub(super) const VRRP_ROWS: &[Row<GlobalDraft>] = &rows::<Vrrp>([
    "vrrp_priority",
    "vrrp_no_swap",
    "vrrp_rt_priority",
    "vrrp_cpu_affinity",
    "vrrp_rlimit_rttime",
    "vrrp_rlimit_rtime",
]);

/// `checker_priority` and so on.
pub(super) const CHECKER_ROWS: &[Row<GlobalDraft>] = &rows::<Checker>([
    "checker_priority",
    "checker_no_swap",
    "checker_rt_priority",
    "checker_cpu_affinity",
    "checker_rlimit_rttime",
    "checker_rlimit_rtime",
]);

/// `bfd_priority` and so on.
pub(super) const BFD_ROWS: &[Row<GlobalDraft>] = &rows::<Bfd>([
    "bfd_priority",
    "bfd_no_swap",
    "bfd_rt_priority",
    "bfd_cpu_affinity",
    "bfd_rlimit_rttime",
    "bfd_rlimit_rtime",
]);

/// `max_auto_priority` and its delay.
pub(super) const AUTO_ROWS: &[Row<GlobalDraft>] = &[
    key("max_auto_priority", "[-1..=99], default 0", |v, a| {
        let highest = match a.peek() {
            Some(_) => a.int(-1..=99_i8)?,
            None => 99,
        };
        v.model.process.auto_priority = match u8::try_from(highest) {
            Err(_) => AutoPriority::Silent,
            Ok(0) => AutoPriority::Off,
            Ok(n) => AutoPriority::UpTo(n),
        };
        Ok(())
    }),
    key(
        "min_auto_priority_delay",
        "microseconds, 1..=10000000, default 1000000",
        |v, a| {
            a.present()?;
            let micros = a.int(1..=10_000_000_u32)?;
            v.model.process.auto_priority_delay = Duration::from_micros(micros.into());
            Ok(())
        },
    ),
];
