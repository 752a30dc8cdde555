//! `track_file` and `vrrp_track_process`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::host::FileKind;
use super::super::source::Code;
use super::super::table::{Args, Block, Fault, Row, key, sub};
use super::super::value;
use super::checks::up_to;
use super::global_process::once;
use super::root::Draft;
use crate::model::track::{Arguments, InitFile, TrackFile, TrackProcess, Weight};

/// A `track_file` block.
#[derive(Debug)]
pub(crate) struct TrackFileDraft {
    path: Option<PathBuf>,
    /// It is in a directory that does not exist.
    unusable: bool,
    weight: Weight,
    reverse: bool,
    /// A weight other than the default was given.
    weighted: bool,
    init: Option<InitFile>,
}

/// `<int> [reverse]`
pub(super) fn weight(a: &mut Args<'_, '_>, limit: i16) -> Result<(Weight, bool), Fault> {
    let weight = a.int(-limit..=limit)?.into();
    match a.opt() {
        None => Ok((weight, false)),
        Some("reverse") => Ok((weight, true)),
        Some(word) => {
            a.warn(
                Code::UnknownWord,
                format!("unknown word '{word}' - ignored"),
            );
            Ok((weight, false))
        }
    }
}

static TRACK_FILE: Block<TrackFileDraft> = Block {
    name: "track_file",
    rows: &[
        key("file", "<PATH>", |v, a| {
            a.present()?;
            let path = Path::new(a.word()?);
            once(&mut v.path.is_some(), a)?;
            v.path = Some(path.to_path_buf());
            let folder = path.parent().and_then(|p| a.host().real_path(p));
            let kind = folder.and_then(|f| a.host().lstat(&f)).map(|f| f.kind);
            if kind != Some(FileKind::Directory) {
                v.unusable = true;
                let text = format!("{} cannot be watched - ignoring the block", path.display());
                return Err(a.fault(Code::BadValue, text));
            }
            Ok(())
        }),
        key("weight", "-254..=254 [reverse], default 1", |v, a| {
            a.present()?;
            if a.peek() != Some("1") {
                once(&mut v.weighted, a)?;
            }
            (v.weight, v.reverse) = weight(a, 254)?;
            Ok(())
        }),
        key("init_file", "[<int>] [overwrite]", |v, a| {
            let mut init = InitFile {
                value: 0,
                overwrite: false,
            };
            while let Some(word) = a.opt() {
                match (word, value::whole(word)) {
                    ("overwrite", _) => init.overwrite = true,
                    (_, Some(number)) if !number.junk => {
                        init.value = i32::try_from(number.value).unwrap_or(0);
                        if !(-254..=254).contains(&number.value) {
                            a.warn(Code::OutOfRange, format!("{word} is not in -254..=254"));
                        }
                    }
                    (_, Some(_) | None) => {
                        a.warn(Code::BadValue, format!("invalid word '{word}' - ignored"));
                    }
                }
            }
            v.init = Some(init);
            Ok(())
        }),
    ],
    more: &[],
};

fn track_file(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    if a.keyword() == "vrrp_track_file" {
        a.remark(Code::Deprecated, "is deprecated - please use 'track_file'");
    }
    let mut file = TrackFileDraft {
        path: None,
        unusable: false,
        weight: Weight::Adjust(1),
        reverse: false,
        weighted: false,
        init: None,
    };
    a.block(&TRACK_FILE, &mut file);
    if file.unusable {
        return Ok(());
    }
    let Some(path) = file.path else {
        return Err(a.whole_fault(
            Code::NoValue,
            format!("No file set for track_file {name} - ignoring"),
        ));
    };
    // Of two with one name the first is the one that is found.
    if v.known.files.define(name, a) {
        v.track_files.push(Arc::new(TrackFile {
            name: name.into(),
            path,
            weight: file.weight,
            reverse: file.reverse,
            init: file.init,
        }));
    }
    Ok(())
}

/// A `vrrp_track_process` block.
#[derive(Debug)]
pub(crate) struct TrackProcessDraft {
    process: Vec<Arc<str>>,
    arguments: Option<Arguments>,
    full_command: bool,
    weight: Weight,
    reverse: bool,
    weighted: bool,
    quorum: Option<u32>,
    quorum_max: Option<u32>,
    fork_delay: Duration,
    terminate_delay: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

static TRACK_PROCESS: Block<TrackProcessDraft> = Block {
    name: "vrrp_track_process",
    rows: &[
        key("process", "<NAME|PATH> [<ARG>...]", |v, a| {
            let name = a.word()?;
            once(&mut !v.process.is_empty(), a)?;
            v.process.push(name.into());
            v.process.extend(a.rest().map(Arc::from));
            Ok(())
        }),
        key("param_match", "[initial|partial]", |v, a| {
            v.arguments = Some(match a.opt() {
                None => Arguments::Exact,
                Some("initial") => Arguments::Initial,
                Some("partial") => Arguments::Partial,
                Some(word) => {
                    return Err(a.fault(Code::BadValue, format!("unknown word '{word}' - ignored")));
                }
            });
            Ok(())
        }),
        key("weight", "-254..=254 [reverse]", |v, a| {
            a.present()?;
            if a.peek() != Some("0") {
                once(&mut v.weighted, a)?;
            }
            (v.weight, v.reverse) = weight(a, 254)?;
            Ok(())
        }),
        key("quorum", "1..=65535, default 1", |v, a| {
            let n = a.int(1..=65_535_u32)?;
            if v.quorum_max.is_some_and(|max| n > max) {
                return Err(a.fault(Code::Conflict, "above quorum_max - ignored"));
            }
            v.quorum = Some(n);
            Ok(())
        }),
        key("quorum_max", "0..=65535", |v, a| {
            let n = a.int(0..=65_535_u32)?;
            if n > 0 && v.quorum.is_some_and(|q| n < q) {
                return Err(a.fault(Code::Conflict, "below quorum - ignored"));
            }
            if n == 0 {
                v.quorum = Some(0);
            }
            v.quorum_max = Some(n);
            Ok(())
        }),
        key("delay", "seconds, ≤ 3600", |v, a| {
            let delay = up_to(a, HOUR)?;
            (v.fork_delay, v.terminate_delay) = (delay, delay);
            Ok(())
        }),
        key("terminate_delay", "seconds, ≤ 3600", |v, a| {
            up_to(a, HOUR).map(|d| v.terminate_delay = d)
        }),
        key("fork_delay", "seconds, ≤ 3600", |v, a| {
            up_to(a, HOUR).map(|d| v.fork_delay = d)
        }),
        key("full_command", "flag", |v, a| {
            a.flag().map(|on| v.full_command = on)
        }),
    ],
    more: &[],
};

fn track_process(v: &mut Draft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    let mut found = TrackProcessDraft {
        process: Vec::new(),
        arguments: None,
        full_command: false,
        weight: Weight::Fault,
        reverse: false,
        weighted: false,
        quorum: None,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    a.block(&TRACK_PROCESS, &mut found);
    if found.process.is_empty() {
        return Err(a.whole_fault(
            Code::NoValue,
            format!("No process set for track_process {name} - ignoring"),
        ));
    }
    let usual = match found.process.len() {
        1 => Arguments::Any,
        _ => Arguments::Exact,
    };
    // Of two with one name the first is the one that is found.
    if v.known.processes.define(name, a) {
        v.track_processes.push(Arc::new(TrackProcess {
            name: name.into(),
            process: found.process,
            arguments: found.arguments.unwrap_or(usual),
            full_command: found.full_command,
            weight: found.weight,
            reverse: found.reverse,
            quorum: found.quorum.unwrap_or(1),
            quorum_max: found.quorum_max,
            fork_delay: found.fork_delay,
            terminate_delay: found.terminate_delay,
        }));
    }
    Ok(())
}

pub(super) const FILE: Row<Draft> = sub("track_file", &TRACK_FILE, track_file);
pub(super) const OLD_FILE: Row<Draft> = sub("vrrp_track_file", &TRACK_FILE, track_file);
pub(super) const PROCESS: Row<Draft> = sub("vrrp_track_process", &TRACK_PROCESS, track_process);
