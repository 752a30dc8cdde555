//! `MISC_CHECK`: a script says whether the server is well, and how much weight it shall have.

use std::time::Duration;

use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::blocks::command::{self, CommandDraft, Nobody};
use crate::config::lex;
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key, raw};
use crate::model::track::{Command, Credentials};

/// Options of `MISC_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misc {
    /// `misc_path`, `user`.
    pub(crate) command: Command,
    /// `misc_timeout`: how long a run may take, 1..=4294 s, default `delay_loop` of the virtual server.
    pub(crate) timeout: Duration,
    /// `misc_dynamic`: exit statuses 2..=255 set the weight to the status minus 2.
    pub(crate) dynamic: bool,
}

/// What a `MISC_CHECK` block adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct MiscDraft {
    pub(crate) script: Option<CommandDraft>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dynamic: bool,
    user: Option<Credentials>,
    bad_user: bool,
}

pub(crate) static MISC_CHECK: Block<Draft<MiscDraft>> = Block {
    name: "virtual_server/real_server/MISC_CHECK",
    rows: &[
        raw(key(
            "misc_path",
            "<CMD|\"CMD ARGS...\">, one word",
            |v, a| {
                v.own.script = None;
                let Ok(line) = lex::command(a.raw()) else {
                    return Err(a.fault(Code::UnmatchedQuote, "missing terminating quote"));
                };
                let span = a.span();
                v.own.script = (!line.argv.is_empty()).then_some(CommandDraft {
                    argv: line.argv,
                    user: None,
                    span,
                });
                Ok(())
            },
        )),
        key("misc_timeout", "seconds, 0..=4294", |v, a| {
            let seconds = a.int(0..=4294_u32)?;
            v.own.timeout = (seconds > 0).then_some(Duration::from_secs(seconds.into()));
            Ok(())
        }),
        key("misc_dynamic", "flag", |v, a| {
            a.flag().map(|on| v.own.dynamic = on)
        }),
        key("user", "<USER> [[:]<GROUP>]", |v, a| {
            a.present()?;
            let name = a.word()?;
            let group = a.opt();
            v.own.user = command::credentials(a.host(), name, group);
            v.own.bad_user = v.own.user.is_none();
            match v.own.bad_user {
                true => {
                    let text = format!(
                        "Failed to set uid/gid for misc checker script {} - removing",
                        shown(v.own.script.as_ref())
                    );
                    Err(a.whole_fault(Code::Script, text).complaint())
                }
                false => Ok(()),
            }
        }),
    ],
    more: &[Draft::<MiscDraft>::TIMING_ROWS],
};

fn shown(script: Option<&CommandDraft>) -> String {
    let words = script.map_or(&[][..], |s| &s.argv).iter();
    let words: Vec<String> = words.map(|w| format!("'{w}'")).collect();
    words.join(" ")
}

impl Own for MiscDraft {
    fn finish(mut self, common: Common, a: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        let Some(script) = self.script.as_mut() else {
            let text = format!("{} needs misc_path - removing", a.keyword());
            return Err(a.whole_fault(Code::NoValue, text));
        };
        if self.bad_user {
            return Ok(Vec::new());
        }
        script.user = self.user.clone();
        if script.user.is_none() && common.no_script_user != Nobody::Somebody {
            common.no_script_user.say(a);
            let text = format!(
                "Unable to set default user for misc script {} - removing",
                shown(Some(script))
            );
            return Err(a.whole_fault(Code::Script, text).complaint());
        }
        Ok(vec![common.with(Kind::Misc(self))])
    }
}
