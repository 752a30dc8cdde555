//! Scripts: finding their files, and whether they may run.
//!
//! A script that root runs must not be replaceable by anybody else: every component of its path is looked at, as written
//! and without links. With `enable_script_security` such a script is not run; without it, it is, and `-t` says so.
//! keepalived 2.4 also refuses paths through a linked directory, such as `/bin/sh` where `/bin` is a link; we look at
//! where the link leads instead. Source: keepalived's behaviour.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::config::blocks::command::CommandDraft;
use crate::config::blocks::global::DEFAULT_SCRIPT_USER;
use crate::config::blocks::script::ScriptDraft;
use crate::config::host::{FileFacts, FileKind, Host};
use crate::config::source::{Code, Diag, Diags, Weight};
use crate::model::global::Global;
use crate::model::track::{Command, Credentials, NotifyScript, Script, Weight as TrackWeight};

/// Where a command without `/` is looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a script does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// It is not there.
    NotFound,
    /// It is there, but its user may not execute it.
    NoAccess,
    /// Somebody else could replace it.
    Insecure,
}

/// Why a file cannot be run, and in words.
struct Unusable(Refused, String);

/// What trackers need of a script.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) weight: TrackWeight,
    pub(super) reverse: bool,
    /// False: it was refused, and is not tracked either.
    pub(super) runs: bool,
    /// Its number among all scripts.
    order: usize,
}

/// Every script of the configuration.
pub(super) struct Scripts<'a> {
    host: &'a dyn Host,
    security: bool,
    /// `set_supplementary_groups`.
    supplementary: bool,
    default_user: Option<Credentials>,
    known: HashMap<Arc<str>, Known>,
    model: Vec<Arc<Script>>,
    /// Whether a script would run at all.
    used: bool,
    /// One of them could be changed by somebody else than root, who runs it.
    insecure_used: bool,
    /// Scripts without a user have none, and that was not said yet.
    default_user_missing: bool,
}

impl<'a> Scripts<'a> {
    /// No script yet.
    pub(super) fn new(host: &'a dyn Host, global: &Global) -> Self {
        Self {
            host,
            security: global.script_security,
            supplementary: global.supplementary_groups,
            default_user: global.script_user.clone(),
            known: HashMap::new(),
            model: Vec::new(),
            used: false,
            insecure_used: false,
            default_user_missing: global.script_user.is_none(),
        }
    }

    /// Settles every `vrrp_script`; `unused`: silently, because no instance could track one.
    pub(super) fn define(&mut self, drafts: Vec<ScriptDraft>, unused: bool, diags: &mut Diags) {
        let mut unheard = Diags::default();
        let diags = if unused { &mut unheard } else { diags };
        for (order, draft) in drafts.into_iter().enumerate() {
            self.add(draft, order, diags);
        }
        self.used &= !unused;
    }

    fn add(&mut self, draft: ScriptDraft, order: usize, diags: &mut Diags) {
        let Some(mut command) = draft.command else {
            return;
        };
        // Of two scripts of one name the first is the one that is found.
        if self.known.contains_key(&draft.name) {
            return;
        }
        command.user = draft.user;
        let resolved = match self.opens(&command) {
            Some(command) => Ok(command),
            None => self.resolve(&command, diags),
        };
        let (weight, reverse, runs) = (draft.weight, draft.reverse, resolved.is_ok());
        self.known.insert(
            Arc::clone(&draft.name),
            Known {
                weight,
                reverse,
                runs,
                order,
            },
        );
        match resolved {
            Ok(command) => self.model.push(Arc::new(Script {
                name: draft.name,
                command,
                interval: draft.interval,
                timeout: draft.timeout.unwrap_or(draft.interval),
                rise: draft.rise,
                fall: draft.fall,
                init_fail: draft.init_fail,
                weight,
                reverse,
            })),
            Err(why) => {
                let (why, weight) = match why {
                    Refused::NotFound => ("since not found/accessible", Weight::Complaint),
                    Refused::NoAccess => ("since not found/accessible", Weight::Log),
                    Refused::Insecure => ("due to insecure", Weight::Complaint),
                };
                let text = format!("Disabling track script {} {why}", draft.name);
                diags.push(Diag::bare(Some(draft.span), Code::Script, text).weighing(weight));
            }
        }
    }

    /// `script "</path"`: no command, the file is opened for reading. A shell does that, so that user and timeout count as
    /// for any script; nothing is executed that anybody could replace, so there is nothing to look for or to check.
    fn opens(&self, draft: &CommandDraft) -> Option<Command> {
        let path = draft.argv.first()?.strip_prefix('<')?;
        if !path.starts_with('/') {
            return None;
        }
        Some(Command::opening(path, self.user_of(draft)))
    }

    /// Who runs a script; `None`: the daemon's user.
    fn user_of(&self, draft: &CommandDraft) -> Option<Credentials> {
        let mut user = draft.user.clone().or_else(|| self.default_user.clone())?;
        if self.supplementary && user.groups.is_empty() {
            user.groups = self.host.groups_of_uid(user.uid, user.gid);
        }
        Some(user)
    }

    /// The script of that name, if it is one of the first `before`.
    pub(super) fn named(&self, name: &str, before: usize) -> Option<&Known> {
        self.known.get(name).filter(|k| k.order < before)
    }

    /// A script that is run when something happens; `None` when it may not run.
    pub(super) fn notify(
        &mut self,
        draft: Option<Box<CommandDraft>>,
        diags: &mut Diags,
    ) -> Option<Arc<NotifyScript>> {
        let draft = draft?;
        match self.resolve(&draft, diags) {
            Ok(command) => Some(Arc::new(NotifyScript { command })),
            Err(why) => {
                let name = draft.argv.first().map_or("", String::as_str);
                let why = match why {
                    Refused::NotFound | Refused::NoAccess => "not found/accessible",
                    Refused::Insecure => "insecure",
                };
                let text = format!("Disabling notify script {name} since {why}");
                diags.push(Diag::at(draft.span, Code::Script, text));
                None
            }
        }
    }

    fn resolve(&mut self, draft: &CommandDraft, diags: &mut Diags) -> Result<Command, Refused> {
        let user = self.user_of(draft);
        let name = draft.argv.first().ok_or(Refused::NotFound)?;
        let mut log = |text: String| {
            diags.push(Diag::at(draft.span, Code::Script, text).weighing(Weight::Log));
        };
        if user.is_none() && self.default_user_missing {
            self.default_user_missing = false; // once for all scripts
            log(format!(
                "Script user '{DEFAULT_SCRIPT_USER}' does not exist"
            ));
            log(format!(
                "scripts run as the daemon's own user; to have them run by somebody who may do less: \
                 useradd --system --no-create-home --shell /usr/sbin/nologin {DEFAULT_SCRIPT_USER}"
            ));
        }
        let (written, path) =
            self.find(name, user.as_ref(), &mut log)
                .map_err(|Unusable(refused, why)| {
                    log(format!("script {name}: {why}"));
                    refused
                })?;
        let weak = self.insecure(&written, &path, user.as_ref());
        if !weak.is_empty() {
            let disabling = if self.security { " - disabling" } else { "" };
            let shown = written.display();
            log(format!(
                "Unsafe permissions found for script '{shown}'{disabling}."
            ));
            for part in weak {
                log(format!("script {name}: {part}"));
            }
            if self.security {
                return Err(Refused::Insecure);
            }
            self.insecure_used = true;
        }
        self.used = true;
        Ok(Command {
            path,
            argv: draft.argv.clone(),
            user,
        })
    }

    /// The absolute path as written and without links, if the user may execute it; else why not.
    fn find(
        &self,
        name: &str,
        user: Option<&Credentials>,
        log: &mut impl FnMut(String),
    ) -> Result<(PathBuf, PathBuf), Unusable> {
        if name.contains('/') {
            return self.runnable(self.host.cwd().join(name), user);
        }
        let path = self.host.env("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let found = path
            .split(':')
            .filter(|d| !d.is_empty())
            .find_map(|dir| self.runnable(Path::new(dir).join(name), user).ok());
        let none = || format!("nothing of that name can be run in {path}");
        let found = found.ok_or_else(|| Unusable(Refused::NotFound, none()))?;
        log(format!(
            "WARNING - script `{name}` resolved by path search to `{}`. Please specify full path.",
            found.0.display()
        ));
        Ok(found)
    }

    fn runnable(
        &self,
        written: PathBuf,
        user: Option<&Credentials>,
    ) -> Result<(PathBuf, PathBuf), Unusable> {
        let uid = user.map_or(self.host.myself().uid, |u| u.uid);
        let Some(path) = self.host.real_path(&written) else {
            let why = format!("{} does not exist", written.display());
            return Err(Unusable(Refused::NotFound, why));
        };
        let mut parts: Vec<&Path> = path.ancestors().collect();
        parts.reverse();
        for part in parts {
            let shown = part.display();
            let Some(facts) = self.host.lstat(part) else {
                let why = format!("{shown} does not exist");
                return Err(Unusable(Refused::NotFound, why));
            };
            let is_file = part == path;
            if is_file && facts.kind != FileKind::Regular {
                let why = format!("{shown} is not a file");
                return Err(Unusable(Refused::NotFound, why));
            }
            if !self.may_execute(facts, user) {
                let what = if is_file { "executed" } else { "entered" };
                let mode = facts.mode;
                let refused = match is_file {
                    true => Refused::NoAccess,
                    false => Refused::NotFound,
                };
                let why = format!("{shown} cannot be {what} by user {uid} (mode {mode:04o})");
                return Err(Unusable(refused, why));
            }
        }
        Ok((written, path))
    }

    fn may_execute(&self, facts: FileFacts, user: Option<&Credentials>) -> bool {
        let myself = self.host.myself();
        let (uid, gid, groups) = user.map_or((myself.uid, myself.gid, &[][..]), |u| {
            (u.uid, u.gid, &u.groups[..])
        });
        let bits = match () {
            () if uid == 0 => 0o111,
            () if facts.uid == uid => 0o100,
            () if facts.gid == gid || groups.contains(&facts.gid) => 0o010,
            () => 0o001,
        };
        facts.mode & bits != 0 || (uid == 0 && facts.kind == FileKind::Directory)
    }

    /// The components that somebody else than root could change, where that matters: the script runs as root.
    fn insecure(
        &self,
        written: &Path,
        path: &Path,
        user: Option<&Credentials>,
    ) -> BTreeSet<String> {
        let Some(facts) = self.host.lstat(path) else {
            return BTreeSet::new();
        };
        let as_root = user.map_or(self.host.myself().uid == 0, |u| u.uid == 0 || u.gid == 0);
        let set_id = (facts.mode & 0o4000 != 0 && facts.uid == 0)
            || (facts.mode & 0o2000 != 0 && facts.gid == 0);
        if !as_root && !set_id {
            return BTreeSet::new();
        }
        let normal = normal(written);
        let parts = normal.ancestors().chain(path.ancestors());
        parts.flat_map(|part| self.weakness(part)).collect()
    }

    /// What is wrong with one component, and the commands that mend it.
    fn weakness(&self, part: &Path) -> Vec<String> {
        let shown = part.display();
        let Some(f) = self.host.lstat(part) else {
            return vec![format!("{shown} does not exist")];
        };
        let mut found = Vec::new();
        if f.uid != 0 {
            let uid = f.uid;
            found.push(format!(
                "{shown} belongs to user {uid}; to mend: chown root {shown}"
            ));
        }
        let sticky = f.kind == FileKind::Directory && f.mode & 0o1000 != 0;
        if !sticky && f.kind != FileKind::Symlink {
            let (gid, mode) = (f.gid, f.mode);
            if mode & 0o020 != 0 && gid != 0 {
                found.push(format!(
                    "{shown} can be written to by group {gid} (mode {mode:04o}); to mend: chmod g-w {shown}"
                ));
            }
            if mode & 0o002 != 0 {
                found.push(format!(
                    "{shown} can be written to by everybody (mode {mode:04o}); to mend: chmod o-w {shown}"
                ));
            }
        }
        found
    }

    /// Says that the scripts seen since the last time run without security. `what`: `scripts` or `check scripts`.
    pub(super) fn say(&mut self, what: &str, diags: &mut Diags) {
        if std::mem::take(&mut self.used) && !self.security {
            let insecure = match std::mem::take(&mut self.insecure_used) {
                true => " There are insecure scripts.",
                false => "",
            };
            let text = format!(
                "SECURITY VIOLATION - {what} are being executed but script_security not enabled.{insecure}"
            );
            diags.push(Diag::bare(None, Code::ScriptSecurity, text));
        }
    }

    /// The scripts that run, in file order.
    pub(super) fn into_model(self) -> Vec<Arc<Script>> {
        self.model
    }
}

/// Without `.`, `..` and doubled slashes.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => out.push(part),
        }
    }
    out
}
