//! `MISC_CHECK`: a script says whether the server is well, and which weight it should have.

use std::time::Duration;

use nix::errno::Errno;
use tokio::time::timeout;

use super::{Down, Good, Local, Step};
use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::blocks::command::{self, CommandDraft, Nobody};
use crate::config::lex;
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key, raw};
use crate::model::track::{Command, Credentials};
use crate::sys::process::Signal;
use crate::track::command::Outcome;
use crate::track::run::{KILL_GRACE, TERM_GRACE};

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
    pub(crate) script: Option<Box<CommandDraft>>,
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
                v.own.script = (!line.argv.is_empty()).then(|| {
                    Box::new(CommandDraft {
                        argv: line.argv,
                        user: None,
                        span,
                    })
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
                        shown(v.own.script.as_deref())
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
        Ok(vec![common.with(Kind::Misc(Box::new(self)))])
    }
}

/// How a run went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    Exited(i32),
    Signal(i32),
    TimedOut,
}

impl Misc {
    pub(super) async fn probe(&self) -> Result<Good, Down> {
        let started = crate::track::command::start(&self.command, &[]);
        let child = started.map_err(|_| {
            Down::Local(Local {
                step: Step::Process,
                errno: Errno::last(),
            })
        })?;
        if let Ok(end) = timeout(self.timeout, child.ended()).await {
            let (outcome, reason) = crate::track::command::outcome(Ok(end));
            if let Some(reason) = reason {
                tracing::debug!(%reason, script = %self.command.path.display(), "check script was not run");
            }
            return self.judge(outcome);
        }
        // One that cannot be signalled has ended, or is killed when the child is dropped.
        let _ = child.signal(Signal::Term);
        if timeout(TERM_GRACE, child.ended()).await.is_err() {
            let _ = child.signal(Signal::Kill);
            let _ = timeout(KILL_GRACE, child.ended()).await;
        }
        let _ = child.signal(Signal::Kill); // what is left of its group
        Err(Down::Misc(Bad::TimedOut))
    }

    fn judge(&self, outcome: Outcome) -> Result<Good, Down> {
        match outcome {
            Outcome::Status(0) if self.dynamic => Ok(Good::Weight(None)),
            Outcome::Status(0) => Ok(Good::Plain),
            Outcome::Status(n @ 2..) if self.dynamic => {
                Ok(Good::Weight(Some(u32::try_from(n - 2).unwrap_or(0))))
            }
            Outcome::Status(n) => Err(Down::Misc(Bad::Exited(n))),
            Outcome::Signal(n) => Err(Down::Misc(Bad::Signal(n))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testserver::run;
    use super::*;

    fn script(text: &str, dynamic: bool) -> Misc {
        let argv = ["sh", "-c", text];
        Misc {
            command: Command {
                path: "/bin/sh".into(),
                argv: argv.map(str::to_owned).to_vec(),
                user: None,
            },
            timeout: Duration::from_secs(20),
            dynamic,
        }
    }

    #[test]
    fn the_exit_status_is_the_verdict_and_the_weight() {
        run(async {
            let plain = |text| script(text, false);
            let dynamic = |text| script(text, true);
            let bad = |why| Err(Down::Misc(why));
            assert_eq!(plain("exit 0").probe().await, Ok(Good::Plain));
            assert_eq!(plain("exit 3").probe().await, bad(Bad::Exited(3)));
            assert_eq!(dynamic("exit 0").probe().await, Ok(Good::Weight(None)));
            assert_eq!(dynamic("exit 1").probe().await, bad(Bad::Exited(1)));
            assert_eq!(dynamic("exit 2").probe().await, Ok(Good::Weight(Some(0))));
            assert_eq!(
                dynamic("exit 255").probe().await,
                Ok(Good::Weight(Some(253)))
            );
            assert_eq!(dynamic("kill -9 $$").probe().await, bad(Bad::Signal(9)));
        });
    }

    #[test]
    fn a_script_that_takes_too_long_is_ended_and_has_failed() {
        run(async {
            let mut slow = script("sleep 1000", false);
            slow.timeout = Duration::from_millis(100);
            assert_eq!(slow.probe().await, Err(Down::Misc(Bad::TimedOut)));
        });
    }
}
