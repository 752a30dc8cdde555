//! Scripts as they are written: `<command> [<user> [[:]<group>]]`.

use super::super::host::Host;
use super::super::lex;
use super::super::source::{Code, Span};
use super::super::table::{Args, Fault};
use crate::model::track::Credentials;

/// A script that was named, its file not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandDraft {
    /// At least one.
    pub(crate) argv: Vec<String>,
    /// Who runs it, where the statement says so.
    pub(crate) user: Option<Credentials>,
    pub(crate) span: Span,
}

/// Whether somebody runs scripts that name no user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// There is a user.
    #[default]
    Somebody,
    /// `script_user` is wrong, which was complained about.
    Wrong,
    /// With `enable_script_security` the account `keepalived_script` is needed, and it does not exist.
    Missing,
}

impl Nobody {
    /// Complains about a missing account, once: it is the same one for every script.
    pub(crate) fn say(self, a: &mut Args<'_, '_>) {
        match self {
            Self::Somebody | Self::Wrong => {}
            Self::Missing => {
                let text = "Unable to set default user keepalived_script for script";
                a.once(Code::Script, text);
            }
        }
    }
}

/// A user, and the group that follows (with or without a colon).
pub(crate) fn credentials(host: &dyn Host, user: &str, group: Option<&str>) -> Option<Credentials> {
    let found = host.user(user)?;
    let (name, supplementary) = match group.map(|g| (g, g.strip_prefix(':'))) {
        Some((_, Some(name))) => (Some(name).filter(|n| !n.is_empty()), true),
        Some((name, None)) => (Some(name), false),
        None => (None, false),
    };
    let gid = match name {
        Some(name) => host.group(name)?,
        None => found.gid,
    };
    let groups = if supplementary {
        host.groups_of(user, gid)
    } else {
        Vec::new()
    };
    Some(Credentials {
        uid: found.uid,
        gid,
        groups,
    })
}

/// A `notify*`-like statement: the first one of a kind counts. Only a missing command ends reading; a user that does not
/// exist is no error of the configuration, the script is left out. `nobody`: who
/// runs scripts without a user of their own.
pub(crate) fn script(
    a: &mut Args<'_, '_>,
    slot: &mut Option<Box<CommandDraft>>,
    nobody: Nobody,
) -> Result<(), Fault> {
    let raw = a.raw();
    if raw.trim().is_empty() {
        a.word()?;
    }
    optional_script(a, slot, nobody)
}

/// Like [`script`] where the command may be missing.
pub(crate) fn optional_script(
    a: &mut Args<'_, '_>,
    slot: &mut Option<Box<CommandDraft>>,
    nobody: Nobody,
) -> Result<(), Fault> {
    let raw = a.raw();
    let Ok(line) = lex::command(raw) else {
        // keepalived: where there is a script already it asks for the word that the quote swallowed.
        if slot.is_some() {
            a.word()?;
        }
        return Err(a.fault(
            Code::UnmatchedQuote,
            format!("missing terminating quote in {}", raw.trim()),
        ));
    };
    if slot.is_some() {
        return Err(a.fault(
            Code::Repeated,
            format!(
                "script already specified - ignoring {}",
                line.argv.join(" ")
            ),
        ));
    }
    if line.argv.is_empty() {
        a.log(Code::Script, "the command is empty - ignored");
        return Ok(());
    }
    let mut who = line.rest.split_ascii_whitespace();
    let user = match who.next() {
        None if nobody != Nobody::Somebody => {
            nobody.say(a);
            return Ok(());
        }
        None => None,
        Some(name) => {
            let found = credentials(a.host(), name, who.next());
            if found.is_none() {
                a.log(
                    Code::Script,
                    format!(
                        "Unable to set uid/gid for script '{}' - ignored",
                        line.argv.join(" ")
                    ),
                );
                return Ok(());
            }
            found
        }
    };
    *slot = Some(Box::new(CommandDraft {
        argv: line.argv,
        user,
        span: a.span(),
    }));
    Ok(())
}
