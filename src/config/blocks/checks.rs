//! Values that many keywords share. The setters among them check and keep nothing: they stand in rows whose feature is
//! not built yet, which [`super::inert`] lists.

use std::sync::Arc;
use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Fault};
use crate::model::net::IfName;

/// A keyword that says all by being there.
pub(crate) fn flag<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.flag().map(drop)
}

/// `[<bool>]`
pub(crate) fn boolean<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.bool().map(drop)
}

/// Anything; nothing at all is a complaint.
pub(crate) fn some_text<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()
}

/// A text that may stand once; the last one counts.
pub(crate) fn text(slot: &mut Option<Arc<str>>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let word = a.word()?;
    match slot.replace(word.into()) {
        None => Ok(()),
        Some(_) => Err(a.fault(Code::Repeated, "already specified - overwriting")),
    }
}

/// Exactly one word, which may stand once; the last one counts.
pub(crate) fn only_text(slot: &mut Option<Arc<str>>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.only()?;
    match slot.replace(word.into()) {
        None => Ok(()),
        Some(_) => Err(a.fault(Code::Repeated, "already specified - overwriting")),
    }
}

/// A word; none ends reading.
pub(crate) fn word<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.word().map(drop)
}

/// Exactly one word.
pub(crate) fn only_word<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.only().map(drop)
}

/// The name of an interface, existing or not.
pub(crate) fn ifname(a: &mut Args<'_, '_>) -> Result<IfName, Fault> {
    let name = a.word()?;
    IfName::new(name).ok_or_else(|| {
        a.fault(
            Code::TooLong,
            format!("'{name}' cannot be the name of an interface"),
        )
    })
}

/// A name that is cut to the longest the kernel takes for a process.
pub(crate) fn process_name<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    match a.word()?.len() {
        0..=15 => Ok(()),
        _ => Err(a.fault(Code::TooLong, "longer than 15 characters - cut")),
    }
}

/// A name of at most `max` octets; more is a complaint.
pub(crate) fn short(a: &mut Args<'_, '_>, max: usize) -> Result<(), Fault> {
    match a.opt() {
        Some(name) if name.is_empty() || name.len() > max => Err(a.fault(
            Code::TooLong,
            format!("'{name}' must have 1 to {max} characters - ignored"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// A nice value.
pub(crate) fn nice<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    a.int(-20..=19_i32).map(drop)
}

/// A real-time priority: outside 1..=99 it is cut.
pub(crate) fn rt_priority<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    a.int(1..=99_i32).map(drop)
}

/// Numbers of processors.
pub(crate) fn cpus<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let online = u32::try_from(a.host().cpus()).unwrap_or(u32::MAX);
    while a.peek().is_some() {
        a.int(0..=online.saturating_sub(1))?;
    }
    Ok(())
}

/// Microseconds of processor time.
pub(crate) fn rttime<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.int(1..=u32::MAX).map(drop)
}

/// The same under its old spelling, which is only logged.
pub(crate) fn old_rttime<T>(v: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.log(
        Code::Deprecated,
        "is deprecated - please use the spelling rttime",
    );
    rttime(v, a)
}

/// Octets of a socket buffer.
pub(crate) fn buffer<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    a.strict(0..=u32::MAX).map(drop)
}

/// `[all] <seconds>`
pub(crate) fn extra_if(a: &mut Args<'_, '_>, min: u32) -> Result<(), Fault> {
    if a.peek() == Some("all") {
        a.opt();
    }
    a.present()?;
    a.int(min..=86_400).map(drop)
}

/// A decimal up to `max` seconds, in microseconds.
pub(crate) fn up_to(a: &mut Args<'_, '_>, max: Duration) -> Result<Duration, Fault> {
    a.secs(super::global::MICRO..=max)
}
