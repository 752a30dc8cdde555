//! Words that virtual and real servers share: addresses, schedulers, methods, transports.

use std::net::SocketAddr;

use super::super::source::Code;
use super::super::table::{Args, Fault};
use super::super::value;
use crate::model::lvs::{Method, Scheduler, Transport, Tunnel, TunnelChecksum};

/// `<IP> [<PORT>]`; port 0 and none are the same. What follows `/` or `-` is cut off, as keepalived does.
pub(super) fn endpoint(a: &mut Args<'_, '_>, what: &str) -> Result<SocketAddr, Fault> {
    let word = a.word()?;
    let port = a.peek();
    let shown = port.map_or_else(|| word.to_owned(), |p| format!("{word}/{p}"));
    let bad = |a: &Args<'_, '_>| {
        a.whole_fault(
            Code::InvalidAddress,
            format!("Invalid {what} IP address/port {shown} - skipping"),
        )
    };
    let (addr, cut) = value::address_of(word).ok_or_else(|| bad(a))?;
    let port = match port {
        Some(_) => a.strict(0..=u16::MAX).map_err(|_| bad(a))?,
        None => 0,
    };
    if cut {
        a.log(Code::Useless, format!("only {addr} of '{word}' is used"));
    }
    Ok(SocketAddr::new(addr, port))
}

/// `lvs_sched`.
pub(super) fn scheduler(a: &mut Args<'_, '_>) -> Result<Scheduler, Fault> {
    let word = a.word()?;
    Ok(match word {
        "rr" => Scheduler::Rr,
        "wrr" => Scheduler::Wrr,
        "lc" => Scheduler::Lc,
        "wlc" => Scheduler::Wlc,
        "lblc" => Scheduler::Lblc,
        "lblcr" => Scheduler::Lblcr,
        "dh" => Scheduler::Dh,
        "sh" => Scheduler::Sh,
        "mh" => Scheduler::Mh,
        "sed" => Scheduler::Sed,
        "nq" => Scheduler::Nq,
        "fo" => Scheduler::Fo,
        "ovf" => Scheduler::Ovf,
        "twos" => Scheduler::Twos,
        _ => {
            return Err(a.whole_fault(
                Code::BadValue,
                format!("Invalid lvs_scheduler '{word}' - ignoring"),
            ));
        }
    })
}

/// `lvs_method`.
pub(super) fn method(a: &mut Args<'_, '_>) -> Result<Method, Fault> {
    let word = a.word()?;
    Ok(match word {
        // keepalived: the words of a tunnel may stand here, too.
        "NAT" => tunnel(a).map(|_| Method::Nat)?,
        "DR" => tunnel(a).map(|_| Method::Dr)?,
        "TUN" => Method::Tun(tunnel(a)?),
        _ => {
            let text = format!("PARSER : unknown [{word}] routing method for virtual server.");
            return Err(a.whole_fault(Code::BadValue, text));
        }
    })
}

/// The words behind a method: `[type {ipip|gue port N|gre} [nocsum|csum|remcsum]]`.
fn tunnel(a: &mut Args<'_, '_>) -> Result<Tunnel, Fault> {
    let (mut kind, mut port, mut checksum) = ("ipip", None, None);
    while let Some(word) = a.opt() {
        match word {
            "type" => {
                let missing = a.fault(Code::NoValue, "Missing tunnel type - ignored");
                kind = a.opt().ok_or(missing)?;
            }
            "port" => port = Some(a.int(1..=u16::MAX)?),
            "nocsum" => checksum = Some(TunnelChecksum::None),
            "csum" => checksum = Some(TunnelChecksum::Checksum),
            "remcsum" => checksum = Some(TunnelChecksum::Remote),
            _ => {
                let text = format!("Invalid tunnel option {word} for virtual server.");
                return Err(a.whole_fault(Code::UnknownWord, text));
            }
        }
    }
    let checksum = checksum.unwrap_or(TunnelChecksum::None);
    match (kind, port, checksum) {
        ("ipip", None, TunnelChecksum::None) => Ok(Tunnel::Ipip),
        ("gue", Some(port), _) => Ok(Tunnel::Gue { port, checksum }),
        ("gre", None, TunnelChecksum::None | TunnelChecksum::Checksum) => {
            Ok(Tunnel::Gre { checksum })
        }
        _ => Err(a.fault(
            Code::Conflict,
            format!("tunnel options that do not fit type {kind} - ignored"),
        )),
    }
}

/// `protocol`.
pub(super) fn transport(a: &mut Args<'_, '_>) -> Result<Transport, Fault> {
    let word = a.word()?;
    Ok(match word.to_ascii_uppercase().as_str() {
        "TCP" => Transport::Tcp,
        "UDP" => Transport::Udp,
        "SCTP" => Transport::Sctp,
        _ => return Err(a.fault(Code::BadValue, format!("unknown protocol '{word}'"))),
    })
}
