//! `vrrp_script`.

use std::sync::Arc;
use std::time::Duration;

use super::super::lex;
use super::super::source::{Code, Span};
use super::super::table::{Args, Block, Fault, key, raw};
use super::command::{self, CommandDraft, Nobody};
use crate::model::track::{Credentials, Weight};

/// A `vrrp_script` block.
#[derive(Clone, Debug)]
pub(crate) struct ScriptDraft {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    pub(crate) command: Option<Box<CommandDraft>>,
    pub(crate) user: Option<Credentials>,
    /// A user was named that does not exist.
    bad_user: bool,
    pub(crate) interval: Duration,
    pub(crate) timeout: Option<Duration>,
    pub(crate) weight: Weight,
    pub(crate) reverse: bool,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    pub(crate) init_fail: bool,
}

impl ScriptDraft {
    pub(crate) fn new(name: &str, span: Span) -> Self {
        Self {
            name: name.into(),
            span,
            command: None,
            user: None,
            bad_user: false,
            interval: Duration::from_secs(1),
            timeout: None,
            weight: Weight::Fault,
            reverse: false,
            rise: 1,
            fall: 1,
            init_fail: false,
        }
    }

    /// What is wrong with the block as a whole; false: it is left out.
    pub(crate) fn finish(&mut self, nobody: Nobody, a: &mut Args<'_, '_>) -> bool {
        let name = &self.name;
        let text = if self.bad_user {
            return false;
        } else if self.command.is_none() {
            format!("No script set for vrrp_script {name} - removing")
        } else if self.user.is_none() && nobody != Nobody::Somebody {
            nobody.say(a);
            format!("Unable to set default user for vrrp script {name} - removing")
        } else {
            return true;
        };
        let fault = a.whole_fault(Code::Script, text);
        a.report(fault.complaint());
        false
    }
}

/// Longest interval and timeout: what fits 32 bits of microseconds.
const MAX: Duration = Duration::from_secs(4294);

/// `interval` and `timeout`: 0 is a mistake that means a second.
fn period(a: &mut Args<'_, '_>) -> Result<Duration, Fault> {
    let found = a.millis(Duration::ZERO..=MAX)?;
    if found.is_zero() {
        a.warn(Code::OutOfRange, "0 is not possible - using 1");
        return Ok(Duration::from_secs(1));
    }
    Ok(found)
}

/// `rise` and `fall`: anything bad means 1.
fn count(a: &mut Args<'_, '_>) -> Result<u32, Fault> {
    let word = a.int(1..=2_147_483_647_u32);
    match word {
        Ok(n) => Ok(n),
        Err(fault) if fault.is_missing() => Err(fault),
        Err(fault) => {
            a.report(fault);
            Ok(1)
        }
    }
}

pub(crate) static VRRP_SCRIPT: Block<ScriptDraft> = Block {
    name: "vrrp_script",
    rows: &[
        raw(key("script", "<CMD|\"CMD ARGS...\">, one word", |v, a| {
            v.command = None;
            let raw = a.raw();
            let Ok(line) = lex::command(raw) else {
                return Err(a.fault(
                    Code::UnmatchedQuote,
                    format!("missing terminating quote in {}", raw.trim()),
                ));
            };
            let span = a.span();
            v.command = (!line.argv.is_empty()).then(|| {
                Box::new(CommandDraft {
                    argv: line.argv,
                    user: None,
                    span,
                })
            });
            Ok(())
        })),
        key("interval", "seconds, 0.001..=4294, default 1", |v, a| {
            period(a).map(|d| v.interval = d)
        }),
        key(
            "timeout",
            "seconds, 0.001..=4294, default interval",
            |v, a| period(a).map(|d| v.timeout = Some(d)),
        ),
        key("weight", "-253..=253 [reverse], default 0", |v, a| {
            let found = a.int::<i16>(-253..=253)?;
            v.weight = found.into();
            v.reverse = match a.opt() {
                None => false,
                Some("reverse") => true,
                Some(word) => {
                    a.warn(Code::BadValue, format!("unknown word '{word}' - ignored"));
                    false
                }
            };
            Ok(())
        }),
        key("rise", "successes, 1..=2147483647, default 1", |v, a| {
            count(a).map(|n| v.rise = n)
        }),
        key("fall", "failures, 1..=2147483647, default 1", |v, a| {
            count(a).map(|n| v.fall = n)
        }),
        key(
            "user",
            "<USER> [[:]<GROUP>], default script_user",
            |v, a| {
                let name = a.word()?;
                let group = a.opt();
                v.user = command::credentials(a.host(), name, group);
                v.bad_user = v.user.is_none();
                match v.bad_user {
                    true => Err(a
                        .whole_fault(
                            Code::Script,
                            format!("Unable to set uid/gid for vrrp script {}", v.name),
                        )
                        .complaint()),
                    false => Ok(()),
                }
            },
        ),
        key("init_fail", "flag", |v, a| {
            a.flag().map(|on| v.init_fail = on)
        }),
    ],
    more: &[],
};
