//! What the operator reads. Lines that people and tools search for are keepalived's, word for word; all others are
//! constant text with the data in fields. What keepalived tells with `-D` only is `debug` here.

use std::net::IpAddr;

use tracing::{debug, info, warn};

use crate::daemon::bus::VrrpState;
use crate::model::net::{Family, IfName};
use crate::vrrp::{FaultCause, Kinds, Lost, PacketFault, Report};

pub(super) fn tell(report: &Report) {
    match report {
        Report::Entered {
            instance,
            state,
            init,
        } => match (state, init) {
            (VrrpState::Fault, true) => info!("({instance}) entering FAULT state"),
            (_, true) => info!("({instance}) Entering {} STATE (init)", state.word()),
            (_, false) => info!("({instance}) Entering {} STATE", state.word()),
        },
        Report::Fault { instance, cause } => fault(instance, cause),
        Report::Syncing { group, state } => {
            info!(
                "VRRP_Group({group}) Syncing instances to {} state",
                state.word()
            );
        }
        Report::MasterDown { instance } => debug!("({instance}) Receive advertisement timeout"),
        Report::MasterIs { instance, master } => debug!("({instance}) master set to {master}"),
        Report::LowerPriorityIgnored {
            instance,
            from,
            priority,
            ours: _,
        } => info!(
            "({instance}) received lower priority ({priority}) advert from {from} - discarding"
        ),
        Report::MasterResigned { instance, from: _ } => {
            debug!("({instance}) Backup received priority 0 advertisement");
        }
        Report::LowerPriorityHeard {
            instance,
            from,
            priority,
            ours,
        } => info!(
            "({instance}) Received advert from {from} with lower priority {priority}, ours {ours}"
        ),
        Report::HigherPriorityHeard {
            instance,
            from,
            priority,
            ours,
        } => info!(
            "({instance}) Master received advert from {from} with higher priority {priority}, ours {ours}"
        ),
        Report::OwnAddressHeard { instance, from } => {
            warn!(%instance, %from, "an advertisement came with our own address and priority: a loop, or an address that is used twice");
        }
        Report::OwnershipConceded { instance, from } => {
            warn!(%instance, %from, "another address owner does not give way, running at priority 254");
        }
        Report::BadPacket {
            instance,
            from,
            fault,
        } => bad_packet(instance, *from, *fault),
        Report::Runt { interface } => {
            warn!(
                index = interface.map(|i| i.0),
                "packets that are no advertisements"
            );
        }
        Report::UnknownVrid {
            interface,
            vrid,
            from,
        } => {
            info!(index = interface.map(|i| i.0), vrid, %from, "an advertisement of a virtual router that is not configured here");
        }
        Report::PriorityChanged { instance, from, to } => {
            info!("({instance}) Changing effective priority from {from} to {to}");
        }
        Report::Deleted {
            instance,
            entry,
            by,
        } => match entry {
            Lost::Address(a) => {
                warn!(%instance, addr = %a.addr, iface = %a.dev, %by, "an address of ours was deleted by somebody else");
            }
            Lost::Route(r) => {
                warn!(%instance, dest = %r.dest, table = r.table.0, %by, "a route of ours was deleted by somebody else");
            }
            Lost::Rule(r) => {
                warn!(%instance, preference = r.preference, %by, "a rule of ours was deleted by somebody else");
            }
        },
        Report::Holding {
            instance,
            set,
            kinds,
        } => holding(instance, *set, *kinds),
        Report::Announcing {
            instance,
            iface,
            addr: IpAddr::V4(addr),
        } => debug!("({instance}) Sending/queueing gratuitous ARPs on {iface} for {addr}"),
        Report::Announcing {
            instance,
            iface,
            addr: IpAddr::V6(addr),
        } => {
            debug!(
                "({instance}) Sending/queueing Unsolicited Neighbour Adverts on {iface} for {addr}"
            );
        }
        Report::ForeignSource { instance, source } => {
            warn!(%instance, %source, "no interface has the source address of the advertisements: what is sent to it does not arrive here");
        }
        Report::Late {
            instance,
            from,
            gap,
            limit,
        } => {
            warn!(%instance, %from, ?gap, takes_over_after = ?limit, "advertisements of the master are lost or come late");
        }
        Report::Resigned { instance } => debug!("({instance}) sent 0 priority"),
        Report::Overslept { instance, by } => {
            warn!(%instance, ?by, "woke up too late, listening before it speaks again");
        }
    }
}

/// keepalived: what depends on the addresses is set after them and removed before.
fn holding(instance: &str, set: bool, kinds: Kinds) {
    let verb = if set { "setting" } else { "removing" };
    let addresses = [(kinds.addresses, "VIPs."), (kinds.excluded, "E-VIPs.")];
    let ways = [
        (kinds.routes, "Virtual Routes"),
        (kinds.rules, "Virtual Rules"),
    ];
    let tell = |(has, what): &(bool, &str)| {
        if *has {
            debug!("({instance}) {verb} {what}");
        }
    };
    if set {
        addresses.iter().chain(&ways).for_each(tell);
    } else {
        ways.iter().rev().chain(&addresses).for_each(tell);
    }
}

/// The address that a gratuitous ARP or an unsolicited neighbour advertisement announces.
pub(super) fn announced(frame: &[u8]) -> Option<IpAddr> {
    // Ethernet: 14 octets. ARP: the target address is its octets 24 to 28. IPv6 header: 40 octets; ICMPv6: the target
    // is its octets 8 to 24.
    match frame.get(12..14)? {
        [0x08, 0x06] => <[u8; 4]>::try_from(frame.get(38..42)?)
            .ok()
            .map(IpAddr::from),
        [0x86, 0xdd] => <[u8; 16]>::try_from(frame.get(62..78)?)
            .ok()
            .map(IpAddr::from),
        _ => None,
    }
}

/// Such a frame has left.
pub(super) fn frame(frame: &[u8], iface: &str) {
    match announced(frame) {
        Some(IpAddr::V4(addr)) => debug!("Sending gratuitous ARP on {iface} for {addr}"),
        Some(IpAddr::V6(addr)) => {
            debug!("Sending unsolicited Neighbour Advert on {iface} for {addr}");
        }
        None => {}
    }
}

/// The kernel says that an interface of ours went down or up.
pub(super) fn link(iface: &IfName, running: bool) {
    info!(
        "Netlink reports {iface} {}",
        if running { "up" } else { "down" }
    );
}

fn fault(instance: &str, cause: &FaultCause) {
    match cause {
        FaultCause::InterfaceDown(iface) => {
            info!("({instance}): entering FAULT state (interface {iface} down)");
        }
        FaultCause::InterfaceUp(iface) => {
            info!("({instance}): entering FAULT state (interface {iface} up)");
        }
        FaultCause::NoSource(Family::V4) => {
            info!("({instance}) entering FAULT state (no IPv4 address for interface)");
        }
        FaultCause::NoSource(Family::V6) => {
            info!("({instance}) entering FAULT state (no IPv6 link-local address for interface)");
        }
        FaultCause::SourceMissing(addr) => {
            info!("({instance}) entering FAULT state (source address {addr} missing)");
        }
        FaultCause::NoPeer => info!("({instance}) entering FAULT state (no unicast peers)"),
        FaultCause::File(file) => {
            info!("({instance}) entering FAULT state (tracked file {file})");
        }
        FaultCause::Process(process) => {
            info!("({instance}) entering FAULT state (tracked process {process})");
        }
        FaultCause::Bfd(bfd) => info!("({instance}) entering FAULT state (bfd {bfd})"),
        FaultCause::Script(script) => {
            info!("({instance}) entering FAULT state (script {script})");
        }
        FaultCause::ScriptPending(script) => {
            debug!(instance, %script, "waiting for the first result of a script");
        }
    }
}

fn bad_packet(instance: &str, from: IpAddr, fault: PacketFault) {
    match fault {
        PacketFault::TooShort { got, want } => {
            warn!(instance, %from, got, want, "dropped: the packet is too short");
        }
        PacketFault::TooLong { got, want } => {
            warn!(instance, %from, got, want, "dropped: the packet is too long");
        }
        PacketFault::Ttl(got) => warn!(instance, %from, got, want = 255, "dropped: invalid TTL"),
        PacketFault::Version { got, want } => {
            warn!(instance, %from, got, want, "dropped: another version of VRRP");
        }
        PacketFault::AuthTypeUnknown(got) => {
            warn!(instance, %from, got, "dropped: unknown authentication type");
        }
        PacketFault::AuthTypeMismatch { got, want } => {
            warn!(instance, %from, got, want, "dropped: another authentication type");
        }
        PacketFault::Password => warn!(instance, %from, "dropped: another password"),
        PacketFault::AhDigest => warn!(instance, %from, "dropped: another password"),
        PacketFault::AhSpi => {
            warn!(instance, %from, "dropped: the authentication header names another sender");
        }
        PacketFault::AhReplay { got, last } => {
            warn!(instance, %from, got, last, "dropped: the sequence number has been used");
        }
        PacketFault::HmacMissing => warn!(instance, %from, "dropped: not signed (auth_hmac)"),
        PacketFault::HmacMalformed => {
            warn!(instance, %from, "dropped: the signature is malformed");
        }
        PacketFault::HmacStale { off } => {
            warn!(instance, %from, off, "dropped: signed at another time (seconds ahead of our clock)");
        }
        PacketFault::HmacUnknownKey(key) => {
            warn!(instance, %from, key, "dropped: signed with an unknown key");
        }
        PacketFault::HmacInvalid => warn!(instance, %from, "dropped: the signature is wrong"),
        PacketFault::HmacReplay => warn!(instance, %from, "dropped: heard before"),
        PacketFault::HmacSkewed(off) => {
            warn!(instance, %from, off, "the clocks differ by more than half of what is allowed (seconds)");
        }
        PacketFault::Deaf => {
            info!(instance, %from, "another router advertises what we own: ignored");
        }
        PacketFault::NotAPeer => warn!(instance, %from, "dropped: not a unicast peer"),
        PacketFault::PeerTtl(got) => {
            warn!(instance, %from, got, "dropped: the TTL is not what this peer may have");
        }
        PacketFault::Interval { got, want } => {
            warn!(instance, %from, got, want, "dropped: another advert_int (seconds)");
        }
        PacketFault::Type(got) => warn!(instance, %from, got, "dropped: not an advertisement"),
        PacketFault::TotalLength { got, want } => {
            warn!(instance, %from, got, want, "dropped: another length than its header says");
        }
        PacketFault::IntervalLearned { got, want } => {
            info!(instance, %from, ?got, ?want, "another advert_int, which counts while that router is master");
        }
        PacketFault::Checksum => warn!(instance, %from, "dropped: invalid checksum"),
        PacketFault::AddressCount { got, want } => {
            warn!(instance, %from, got, want, "another number of addresses than ours");
        }
        PacketFault::AddressMissing(addr) => {
            warn!(instance, %from, %addr, "an address of ours is not in the advertisement");
        }
    }
}
