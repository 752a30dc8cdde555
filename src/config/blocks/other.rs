//! Blocks of the top level whose feature is not built yet: they are read and checked.

use std::collections::HashSet;
use std::time::Duration;

use super::super::host::FileKind;
use super::super::source::Code;
use super::super::table::{Args, Block, Fault, key, words};
use super::super::value;
use super::checks::{boolean, flag, up_to};
use super::global::MAX_DECIMAL;
use super::global_process::once;

/// A `track_file` block.
#[derive(Debug, Default)]
pub(crate) struct TrackFileDraft {
    pub(crate) file: bool,
    /// It is in a directory that does not exist.
    pub(crate) unusable: bool,
    weight: bool,
}

/// `<int> [reverse]`
fn weight(a: &mut Args<'_, '_>, limit: i32) -> Result<(), Fault> {
    a.int(-limit..=limit)?;
    match a.opt() {
        None | Some("reverse") => Ok(()),
        Some(word) => Err(a.fault(
            Code::UnknownWord,
            format!("unknown word '{word}' - ignored"),
        )),
    }
}

pub(crate) static TRACK_FILE: Block<TrackFileDraft> = Block {
    name: "track_file",
    rows: &[
        key("file", "<PATH>", |v, a| {
            a.present()?;
            let path = std::path::Path::new(a.word()?);
            once(&mut v.file, a)?;
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
            let other = a.peek() != Some("1");
            if other {
                once(&mut v.weight, a)?;
            }
            weight(a, 254)
        }),
        key("init_file", "[<int>] [overwrite]", |_, a| {
            while let Some(word) = a.opt() {
                if word != "overwrite" && value::whole(word).is_none_or(|w| w.junk) {
                    return Err(a.fault(Code::BadValue, format!("invalid word '{word}'")));
                }
            }
            Ok(())
        }),
    ],
    more: &[],
};

/// A `vrrp_track_process` block.
#[derive(Debug, Default)]
pub(crate) struct TrackProcessDraft {
    pub(crate) process: bool,
    weight: bool,
    quorum: Option<u32>,
    quorum_max: Option<u32>,
}

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) static TRACK_PROCESS: Block<TrackProcessDraft> = Block {
    name: "vrrp_track_process",
    rows: &[
        key("process", "<NAME|PATH> [<ARG>...]", |v, a| {
            a.word()?;
            once(&mut v.process, a)
        }),
        key("param_match", "[initial|partial]", |_, a| match a.opt() {
            None | Some("initial" | "partial") => Ok(()),
            Some(word) => Err(a.fault(Code::BadValue, format!("unknown word '{word}' - ignored"))),
        }),
        key("weight", "-254..=254 [reverse]", |v, a| {
            a.present()?;
            let other = a.peek() != Some("0");
            if other {
                once(&mut v.weight, a)?;
            }
            weight(a, 254)
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
            v.quorum_max = Some(n);
            Ok(())
        }),
        key("delay", "seconds, ≤ 3600", |_, a| {
            up_to(a, HOUR).map(drop)
        }),
        key("terminate_delay", "seconds, ≤ 3600", |_, a| {
            up_to(a, HOUR).map(drop)
        }),
        key("fork_delay", "seconds, ≤ 3600", |_, a| {
            up_to(a, HOUR).map(drop)
        }),
        key("full_command", "flag", flag),
    ],
    more: &[],
};

/// A `garp_group` block.
#[derive(Debug, Default)]
pub(crate) struct GarpGroupDraft {
    /// Interfaces of the groups so far.
    pub(crate) grouped: HashSet<String>,
    pub(crate) delay: bool,
    pub(crate) dynamic: bool,
}

fn garp_delay(v: &mut GarpGroupDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.secs(Duration::ZERO..=MAX_DECIMAL)?;
    v.delay = true;
    Ok(())
}

fn garp_interface(v: &mut GarpGroupDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    let name = a.word()?;
    if !v.dynamic && a.host().interface(name).is_none() {
        let text = format!("WARNING - interface {name} specified for garp_group doesn't exist");
        return Err(a.whole_fault(Code::NoInterface, text));
    }
    match v.grouped.insert(name.to_owned()) {
        true => Ok(()),
        false => Err(a.whole_fault(
            Code::Duplicate,
            format!("garp_group already specified for {name} - ignoring"),
        )),
    }
}

pub(crate) static GARP_GROUP: Block<GarpGroupDraft> = Block {
    name: "garp_group",
    rows: &[
        key("garp_interval", "seconds", garp_delay),
        key("gna_interval", "seconds", garp_delay),
        key("interface", "<IFNAME>", garp_interface),
        super::super::table::filled(words("interfaces", "{ <IFNAME> ... }", garp_interface)),
    ],
    more: &[],
};

/// A `bfd_instance` block.
#[derive(Debug, Default)]
pub(crate) struct BfdDraft {
    pub(crate) neighbor: Option<std::net::IpAddr>,
    pub(crate) source: Option<std::net::IpAddr>,
    pub(crate) dropped: bool,
    ttl: Option<u8>,
}

fn neighbor(v: &mut BfdDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    v.neighbor = a.addr().map(Some).inspect_err(|_| v.dropped = true)?;
    Ok(())
}

fn millis(_: &mut BfdDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    bfd_millis(a, 1)
}

fn idle(_: &mut BfdDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    bfd_millis(a, 1000)
}

/// Milliseconds with three decimals, read as thousandths of what [`Args::millis`] reads.
fn bfd_millis(a: &mut Args<'_, '_>, min: u64) -> Result<(), Fault> {
    a.millis(Duration::from_secs(min)..=Duration::from_secs(4_294_967))
        .map(drop)
}

fn ttl(v: &mut BfdDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.strict(1..=255_u8).map(|n| v.ttl = Some(n))
}

pub(crate) static BFD_INSTANCE: Block<BfdDraft> = Block {
    name: "bfd_instance",
    rows: &[
        key("neighbor_ip", "<IP>", neighbor),
        key("neighbour_ip", "<IP>", neighbor),
        key("source_ip", "<IP>", |v, a| {
            v.source = Some(a.addr()?);
            Ok(())
        }),
        key("min_rx", "milliseconds, 1..=4294967", millis),
        key("min_tx", "milliseconds, 1..=4294967", millis),
        key("idle_tx", "milliseconds, 1000..=4294967", idle),
        key("multiplier", "1..=255", |_, a| {
            a.strict(1..=255_u8).map(drop)
        }),
        key("passive", "flag", flag),
        key("ttl", "1..=255", ttl),
        key("hoplimit", "1..=255", ttl),
        key("max_hops", "-1..=255", |v, a| {
            let hops = a.strict(-1..=255_i32)?;
            match v.ttl.is_some_and(|ttl| hops > i32::from(ttl)) {
                true => Err(a.fault(Code::Conflict, "above ttl - ttl is used")),
                false => Ok(()),
            }
        }),
        key("multihop", "[<bool>]", boolean),
        key("weight", "-253..=253 [reverse]", |_, a| weight(a, 253)),
        key("vrrp", "flag", flag),
        key("checker", "flag", flag),
    ],
    more: &[],
};

/// The `SSL` block.
#[derive(Debug, Default)]
pub(crate) struct SslDraft {
    password: bool,
    ca: bool,
    certificate: bool,
    key: bool,
}

fn ssl(seen: &mut bool, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    once(seen, a)
}

pub(crate) static SSL: Block<SslDraft> = Block {
    name: "SSL",
    rows: &[
        key("password", "<STRING>", |v, a| ssl(&mut v.password, a)),
        key("ca", "<PATH>", |v, a| ssl(&mut v.ca, a)),
        key("certificate", "<PATH>", |v, a| ssl(&mut v.certificate, a)),
        key("key", "<PATH>", |v, a| ssl(&mut v.key, a)),
    ],
    more: &[],
};
