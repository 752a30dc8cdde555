//! Values that many keywords share. The setters among them check and keep nothing: they stand in rows whose feature is
//! not built yet, which [`super::inert`] lists.

use std::sync::Arc;
use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Fault};
use crate::model::global::ExtraIf;
use crate::model::net::IfName;

/// A keyword without arguments.
pub(crate) fn flag<T>(_: &mut T, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.flag().map(drop)
}

/// A text that may stand once; the last one counts.
pub(crate) fn text(slot: &mut Option<Arc<str>>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let word = a.word()?;
    if slot.replace(word.into()).is_some() {
        a.warn(Code::Repeated, "already specified - overwriting");
    }
    Ok(())
}

/// Exactly one word, which may stand once; the last one counts.
pub(crate) fn only_text(slot: &mut Option<Arc<str>>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let word = a.only()?;
    if slot.replace(word.into()).is_some() {
        a.warn(Code::Repeated, "already specified - overwriting");
    }
    Ok(())
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

/// A name of at most `max` octets, if there is one; another length is a complaint.
pub(crate) fn short<'a>(a: &mut Args<'_, 'a>, max: usize) -> Result<Option<&'a str>, Fault> {
    match a.opt() {
        Some(name) if name.is_empty() || name.len() > max => Err(a.fault(
            Code::TooLong,
            format!("'{name}' must have 1 to {max} characters - ignored"),
        )),
        found @ (Some(_) | None) => Ok(found),
    }
}

/// `[all] <seconds>`; 0 means never. An `all` before a bad number still counts.
pub(crate) fn extra_if(
    slot: &mut Option<ExtraIf>,
    a: &mut Args<'_, '_>,
    min: u32,
) -> Result<(), Fault> {
    let mut seconds = None;
    let mut all = false;
    while let Some(word) = a.peek() {
        if word == "all" {
            a.opt();
            all = true;
            if let Some(set) = slot {
                set.all = true;
            }
        } else {
            seconds = Some(a.int(min..=86_400)?);
        }
    }
    let Some(seconds) = seconds else {
        return a.present();
    };
    *slot = (seconds > 0).then(|| ExtraIf {
        all: all || slot.is_some_and(|s| s.all),
        interval: Duration::from_secs(seconds.into()),
    });
    Ok(())
}

/// A decimal up to `max` seconds, in microseconds.
pub(crate) fn up_to(a: &mut Args<'_, '_>, max: Duration) -> Result<Duration, Fault> {
    a.secs(super::global::MICRO..=max)
}
