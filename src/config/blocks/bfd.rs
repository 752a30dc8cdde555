//! `bfd_instance`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::source::Code;
use super::super::table::{Args, Block, Fault, Row, key, sub};
use super::root::Draft;
use super::tracked_things::weight;
use crate::model::bfd::BfdInstance;
use crate::model::track::Weight;

/// Longest name, in octets.
const MAX_NAME: usize = 31;
/// Intervals above this are unusual enough for a message.
const LONG: Duration = Duration::from_secs(10);

/// A `bfd_instance` block.
#[derive(Debug)]
pub(crate) struct BfdDraft {
    neighbor: Option<IpAddr>,
    source: Option<IpAddr>,
    /// Its neighbour cannot be understood.
    dropped: bool,
    min_rx: Duration,
    min_tx: Duration,
    idle_tx: Duration,
    multiplier: u8,
    passive: bool,
    ttl: Option<u8>,
    /// -1: not checked.
    max_hops: i32,
    multihop: bool,
    weight: Weight,
    reverse: bool,
    vrrp: bool,
    checker: bool,
}

fn neighbor(v: &mut BfdDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    v.neighbor = a.addr().map(Some).inspect_err(|_| v.dropped = true)?;
    Ok(())
}

/// Milliseconds with three decimals, read as thousandths of what [`Args::millis`] reads.
fn millis(a: &mut Args<'_, '_>, min: u64) -> Result<Duration, Fault> {
    let found = a.millis(Duration::from_secs(min)..=Duration::from_secs(4_294_967))? / 1000;
    if found > LONG {
        a.log(Code::Useless, format!("{} is very large", a.last()));
    }
    Ok(found)
}

fn ttl(v: &mut BfdDraft, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.strict(1..=255_u8).map(|n| v.ttl = Some(n))
}

static BFD_INSTANCE: Block<BfdDraft> = Block {
    name: "bfd_instance",
    rows: &[
        key("neighbor_ip", "<IP>", neighbor),
        key("neighbour_ip", "<IP>", neighbor),
        key("source_ip", "<IP>", |v, a| {
            v.source = Some(a.addr()?);
            Ok(())
        }),
        key("min_rx", "milliseconds, 1..=4294967, default 10", |v, a| {
            millis(a, 1).map(|d| v.min_rx = d)
        }),
        key("min_tx", "milliseconds, 1..=4294967, default 10", |v, a| {
            millis(a, 1).map(|d| v.min_tx = d)
        }),
        key(
            "idle_tx",
            "milliseconds, 1000..=4294967, default 1000",
            |v, a| millis(a, 1000).map(|d| v.idle_tx = d),
        ),
        key("multiplier", "1..=255, default 5", |v, a| {
            a.strict(1..=255_u8).map(|n| v.multiplier = n)
        }),
        key("passive", "flag", |v, a| a.flag().map(|on| v.passive = on)),
        key("ttl", "1..=255, default 255, IPv6 64", ttl),
        key("hoplimit", "as ttl", ttl),
        key("max_hops", "-1..=255, default 0", |v, a| {
            a.strict(-1..=255_i32).map(|n| v.max_hops = n)
        }),
        key("multihop", "[<bool>]", |v, a| {
            a.bool().map(|on| v.multihop = on)
        }),
        key("weight", "-253..=253 [reverse], default 0", |v, a| {
            (v.weight, v.reverse) = weight(a, 253)?;
            Ok(())
        }),
        key("vrrp", "flag", |v, a| a.flag().map(|on| v.vrrp = on)),
        key("checker", "flag", |v, a| a.flag().map(|on| v.checker = on)),
    ],
    more: &[],
};

pub(super) const BFD: Row<Draft> = sub("bfd_instance", &BFD_INSTANCE, |v, a| {
    a.present()?;
    let name = a.word()?;
    if name.len() > MAX_NAME {
        return Err(a.fault(Code::TooLong, "longer than 31 characters - block ignored"));
    }
    if v.known.bfds.knows(name, a) {
        return Err(a.whole_fault(
            Code::Duplicate,
            format!("BFD instance {name} already defined"),
        ));
    }
    let mut bfd = BfdDraft {
        neighbor: None,
        source: None,
        dropped: false,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: Duration::from_secs(1),
        multiplier: 5,
        passive: false,
        ttl: None,
        max_hops: 0,
        multihop: false,
        weight: Weight::Fault,
        reverse: false,
        vrrp: false,
        checker: false,
    };
    a.block(&BFD_INSTANCE, &mut bfd);
    if bfd.dropped {
        return Ok(());
    }
    let bfd = finish(name, bfd, &v.bfds, a)?;
    v.known.bfds.define(name, a);
    v.bfds.push(Arc::new(bfd));
    Ok(())
});

/// Which keywords need or exclude each other, and what must differ from the instances before.
fn finish(
    name: &str,
    v: BfdDraft,
    others: &[Arc<BfdInstance>],
    a: &mut Args<'_, '_>,
) -> Result<BfdInstance, Fault> {
    let Some(neighbor) = v.neighbor else {
        let text = format!("BFD instance {name} has no neighbor_ip - disabled");
        return Err(a.whole_fault(Code::NoValue, text));
    };
    if v.source.is_some_and(|s| s.is_ipv4() != neighbor.is_ipv4()) {
        let text = format!("BFD instance {name}: source and neighbor differ in family");
        return Err(a.whole_fault(Code::WrongFamily, text));
    }
    // Without a source it is any address of ours.
    let same = |o: &&Arc<BfdInstance>| {
        let any = o.source.is_none() || v.source.is_none();
        (o.neighbor, o.multihop) == (neighbor, v.multihop) && (any || o.source == v.source)
    };
    if let Some(other) = others.iter().find(same) {
        let text = format!(
            "BFD instance {name}: same neighbor and source as {} - ignoring",
            other.name
        );
        return Err(a.whole_fault(Code::Duplicate, text));
    }
    let ttl = v.ttl.unwrap_or(if neighbor.is_ipv4() { 255 } else { 64 });
    let mut max_hops = u8::try_from(v.max_hops).ok();
    if max_hops.is_some_and(|hops| hops > ttl) {
        let text = format!("BFD instance {name}: max_hops is above ttl - using {ttl}");
        let fault = a.whole_fault(Code::Conflict, text);
        a.report(fault);
        max_hops = Some(ttl);
    }
    let both = !v.vrrp && !v.checker;
    Ok(BfdInstance {
        name: name.into(),
        neighbor,
        source: v.source,
        min_rx: v.min_rx,
        min_tx: v.min_tx,
        idle_tx: v.idle_tx,
        multiplier: v.multiplier,
        passive: v.passive,
        ttl,
        max_hops,
        multihop: v.multihop,
        weight: v.weight,
        reverse: v.reverse,
        tells_vrrp: v.vrrp || both,
        tells_checkers: v.checker || both,
    })
}
