//! Words that the lines of routes and of rules share.

use super::super::names::Names;
use super::super::source::Code;
use super::super::table::{Args, Fault};
use crate::model::net::{Family, IfName};
use crate::model::route::Realms;

fn refuse<T>(a: &Args<'_, '_>, text: String) -> Result<T, Fault> {
    Err(a.whole_fault(Code::BadValue, text))
}

/// Every address of a line is of one family.
pub(crate) fn same_family(
    a: &Args<'_, '_>,
    known: &mut Option<Family>,
    family: Family,
    what: &str,
) -> Result<(), Fault> {
    match *known.get_or_insert(family) == family {
        true => Ok(()),
        false => Err(a.whole_fault(
            Code::WrongFamily,
            format!("Cannot mix IPv4 and IPv6 addresses for {what}"),
        )),
    }
}

/// `inet` or `inet6`.
pub(crate) fn force_family(
    a: &mut Args<'_, '_>,
    known: &mut Option<Family>,
    family: Family,
    what: &str,
) -> Result<(), Fault> {
    same_family(a, known, family, what)?;
    let keyword = a.keyword();
    if a.peek() == Some(keyword) {
        // Files that repeat the word for keepalived, which skips the second one, are understood.
        a.opt();
    } else if let Some(next) = a.peek() {
        let text = format!("keepalived skips '{next}' after {keyword}; it is not skipped here");
        a.warn(Code::Conflict, text);
    }
    Ok(())
}

/// An interface that exists, or may come later.
pub(crate) fn interface(a: &mut Args<'_, '_>, dynamic: bool, what: &str) -> Result<IfName, Fault> {
    let name = a.word()?;
    let found = IfName::new(name).filter(|_| dynamic || a.host().interface(name).is_some());
    found.ok_or_else(|| {
        let text = format!("WARNING - interface {name} for {what} doesn't exist");
        a.whole_fault(Code::NoInterface, text)
    })
}

/// `<realm>[/<realm>]`, numbers or names; the first one alone is that of the destination.
pub(crate) fn realms(a: &mut Args<'_, '_>, what: &str) -> Result<Realms, Fault> {
    let word = a.word()?;
    let one = |word: &str| {
        let number = a.named(Names::Realm, word)?;
        u8::try_from(number).ok()
    };
    let found = match word.split_once('/') {
        Some((source, dest)) => one(source).zip(one(dest)),
        None => one(word).map(|dest| (0, dest)),
    };
    match found {
        Some((source, dest)) => Ok(Realms { source, dest }),
        None => refuse(a, format!("Invalid realms {word} for {what}")),
    }
}

/// A number up to 255, or a name for one.
pub(crate) fn named_octet(a: &mut Args<'_, '_>, names: Names, what: &str) -> Result<u8, Fault> {
    let word = a.word()?;
    let number = a.named(names, word);
    match number.and_then(|n| u8::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => refuse(a, format!("{what} {word} not found or invalid")),
    }
}
