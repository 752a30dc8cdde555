//! The lines of `track_interface` and `track_script`: a name, `weight N`, `reverse`.

use std::sync::Arc;

use super::super::source::{Code, Span};
use super::super::table::{Args, Fault};
use super::root::Names;
use crate::model::net::IfName;
use crate::model::track::{InterfaceTrack, Weight};

/// Weights beyond this are cut to it.
const MAX_WEIGHT: i16 = 253;

/// One line of `track_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrackDraft {
    pub(crate) name: Arc<str>,
    /// Default: that of what is tracked.
    pub(crate) weight: Option<Weight>,
    pub(crate) reverse: Option<bool>,
    pub(crate) span: Span,
}

/// What follows the name.
struct Options {
    weight: Option<Weight>,
    reverse: Option<bool>,
}

impl From<i16> for Weight {
    fn from(n: i16) -> Self {
        if n == 0 { Self::Fault } else { Self::Adjust(n) }
    }
}

/// A weight as a tracker line or a `vrrp_script` has it; out of range is a complaint and none.
pub(crate) fn weight(a: &mut Args<'_, '_>) -> Result<Option<Weight>, Fault> {
    match a.int::<i16>(-254..=254) {
        Ok(n @ (-254 | 254)) => {
            let cut = n.clamp(-MAX_WEIGHT, MAX_WEIGHT);
            a.warn(Code::OutOfRange, format!("weight {n} is cut to {cut}"));
            Ok(Some(cut.into()))
        }
        Ok(n) => Ok(Some(n.into())),
        Err(fault) => {
            a.report(fault);
            Ok(None)
        }
    }
}

/// `[weight <int> [reverse|noreverse]]`
fn options(a: &mut Args<'_, '_>, owner: &str, name: &str) -> Result<Options, Fault> {
    let mut found = Options {
        weight: None,
        reverse: None,
    };
    match a.opt() {
        None => return Ok(found),
        Some("weight") => {}
        Some(word) => {
            let text = format!("({owner}) unknown track {name} option {word} - ignoring");
            return Err(a.whole_fault(Code::BadValue, text));
        }
    }
    if a.peek().is_none() {
        let text = format!("({owner}) weight without value specified for track {name} - ignoring");
        return Err(a.whole_fault(Code::NoValue, text));
    }
    found.weight = weight(a)?;
    match a.opt() {
        None => {}
        Some("reverse") => found.reverse = Some(true),
        Some("noreverse") => found.reverse = Some(false),
        Some(word) => a.warn(
            Code::BadValue,
            format!("unknown word '{word}' after the weight of {name}"),
        ),
    }
    Ok(found)
}

/// Reads a line of `track_script`; `owner` is the instance or group.
pub(crate) fn tracked(
    a: &mut Args<'_, '_>,
    owner: &str,
    list: &mut Vec<TrackDraft>,
) -> Result<(), Fault> {
    let name = a.word()?;
    if list.iter().any(|t| *t.name == *name) {
        let text = format!("({owner}) duplicate {} {name} - ignoring", a.keyword());
        return Err(a.whole_fault(Code::Duplicate, text));
    }
    let Options { weight, reverse } = options(a, owner, name)?;
    list.push(TrackDraft {
        name: name.into(),
        weight,
        reverse,
        span: a.span(),
    });
    Ok(())
}

/// Reads a line of `track_interface`. An interface that does not exist makes the configuration unusable, unless
/// `dynamic`.
pub(crate) fn interface(
    a: &mut Args<'_, '_>,
    owner: &str,
    dynamic: bool,
    list: &mut Vec<InterfaceTrack>,
) -> Result<(), Fault> {
    let name = a.word()?;
    let interface = IfName::new(name).filter(|_| dynamic || a.host().interface(name).is_some());
    let Some(interface) = interface else {
        let text = format!("({owner}) tracked interface {name} doesn't exist");
        return Err(a.whole_fault(Code::NoInterface, text));
    };
    if list.iter().any(|t| t.interface == interface) {
        let text = format!("({owner}) duplicate track_interface {name} - ignoring");
        return Err(a.whole_fault(Code::Duplicate, text));
    }
    let Options { weight, reverse } = options(a, owner, name)?;
    list.push(InterfaceTrack {
        interface,
        weight: weight.unwrap_or(Weight::Fault),
        reverse: reverse.unwrap_or(false),
    });
    Ok(())
}

/// A tracker of a kind that is not built yet: the name must be known.
pub(crate) fn other(
    a: &mut Args<'_, '_>,
    owner: &str,
    known: &Names,
    what: &str,
    list: &mut Vec<TrackDraft>,
) -> Result<(), Fault> {
    let name = a.peek().unwrap_or_default();
    if !known.knows(name, a) {
        let text = format!("({owner}) track {what} {name} not found, ignoring...");
        return Err(a.whole_fault(Code::NotFound, text));
    }
    tracked(a, owner, list)
}
