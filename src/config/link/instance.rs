//! One `vrrp_instance`: its defaults, and which of its settings exclude each other.

mod genuine;

use std::net::IpAddr;
use std::time::Duration;

use super::scripts::Scripts;
use super::sub_links::{self, Names};
use super::{hooks, tracked};
use crate::config::blocks::vrrp_instance::{AuthType, InstanceDraft};
use crate::config::source::{Code, Diag, Diags, Span, Weight};
use crate::model::auth::Auth;
use crate::model::global::Global;
use crate::model::net::Family;
use crate::model::track::Weight as TrackWeight;
use crate::model::unicast::{Peer, Unicast};
use crate::model::vrrp::{InitialState, Instance, Priority, Version};

/// Longest interval that version 3 can say, RFC 9568 §5.2.7: 4095 centiseconds.
const MAX_INTERVAL_V3: Duration = Duration::from_millis(40_950);

/// Complains in the instance's name.
struct Voice<'a> {
    draft: &'a InstanceDraft,
    diags: &'a mut Diags,
}

impl Voice<'_> {
    fn say(&mut self, code: Code, text: &str) {
        self.weigh(code.weight(), code, text);
    }

    fn say_at(&mut self, span: Span, code: Code, text: &str) {
        let text = format!("({}) {text}", self.draft.name);
        self.diags.push(Diag::bare(Some(span), code, text));
    }

    fn weigh(&mut self, weight: Weight, code: Code, text: &str) {
        let text = format!("({}) {text}", self.draft.name);
        self.diags
            .push(Diag::bare(Some(self.draft.span), code, text).weighing(weight));
    }
}

/// What became of a draft.
pub(super) enum Linked {
    Runs(Box<Instance>),
    /// There is nothing that could run; that was complained about.
    Unusable,
}

/// `weighted`: whether weighted trackers are kept (a sync group may forbid them).
pub(super) fn link(
    mut draft: Box<InstanceDraft>,
    global: &Global,
    weighted: bool,
    scripts: &mut Scripts<'_>,
    names: &mut Names<'_>,
    diags: &mut Diags,
) -> Linked {
    let notify = hooks(std::mem::take(&mut draft.notify), global, scripts, diags);
    let track_scripts = std::mem::take(&mut draft.track_scripts);
    let mut track_scripts = tracked(track_scripts, draft.scripts_before, scripts);
    let mut voice = Voice {
        draft: &draft,
        diags,
    };
    if !weighted {
        track_scripts.retain(|t| {
            let keep = t.weight == TrackWeight::Fault;
            if !keep {
                voice.say(
                    Code::Conflict,
                    &format!(
                        "ignoring tracked script {} with weights due to SYNC group",
                        t.script
                    ),
                );
            }
            keep
        });
    }
    if draft.vrid.is_none() {
        voice.say(Code::NoVrid, "the virtual router id must be set");
        return Linked::Unusable;
    }
    let unicast = !draft.peers.is_empty() || draft.fault_no_peer;
    if draft.interface.is_none() && !(unicast && draft.source.is_some()) {
        voice.say(Code::NoInterfaceGiven, "Unknown interface!");
        return Linked::Unusable;
    }
    let Some(vrid) = draft.vrid else {
        return Linked::Unusable;
    };
    let mut v = Instance::new(&draft.name, draft.interface.clone(), vrid, global);
    let family = draft
        .family
        .or_else(|| draft.excluded.first().map(|a| a.addr.into()));
    v.family = family.unwrap_or(Family::V4);
    v.version = version(&draft, v.family, global);
    v.strict = draft.strict;
    if v.family == Family::V6 {
        v.mcast_group = global.vrrp_mcast_group6.into();
    }
    group(&mut voice, &mut v, unicast);
    unicast_words(&mut voice, unicast);
    if !sub_links::link(&mut v, voice.draft, global, names, voice.diags) {
        return Linked::Unusable;
    }
    // keepalived: unicast does not work on a VMAC.
    v.links.xmit_base |= unicast && draft.links.vmac.is_some();
    addresses(&mut voice, &mut v);
    first_address(&mut voice, &v);
    v.routes = draft.routes.clone();
    state(&mut voice, &mut v);
    v.advert_int = interval(&mut voice, v.version);
    v.auth = genuine::link(&mut voice, &v);
    let mtu = v.interface.as_ref().and_then(|name| names.mtu(name));
    bound(&mut voice, &mut v, mtu);
    v.source = source(&mut voice, v.family).or(v.links.ipvlan_address());
    v.track_source = draft.track_source && v.source.is_some();
    v.unicast = unicast.then(|| Unicast {
        peers: peers(&mut voice, v.family),
        fault_no_peer: draft.fault_no_peer,
        check_source: draft.check_source,
        ttl: draft.unicast_ttl,
        old_checksum: draft.old_checksum,
    });
    v.vrf = draft.vrf.clone().filter(|_| v.interface.is_none());
    v.checksum_as_v2 = draft.checksum_as_v2;
    v.timer_expired_backup = draft.timer_expired_backup;
    v.rx_buffer = draft.rx_buffer;
    v.owner_ignore_adverts = owner_ignores(&mut voice, &v, global);
    trackers(&mut voice, &mut v, weighted);
    v.garp = draft.garp.clone();
    // keepalived: these follow the global keywords, not the instance's own `garp_master_*`.
    v.garp.lower_prio_delay = draft
        .lower_prio_delay
        .unwrap_or(global.garp.lower_prio_delay);
    v.garp.lower_prio_repeat = draft
        .lower_prio_repeat
        .unwrap_or(global.garp.lower_prio_repeat);
    v.down_timer_adverts = draft.down_timer_adverts;
    v.lower_prio_no_advert = draft.lower_prio_no_advert.unwrap_or(draft.strict);
    v.higher_prio_send_advert = draft.higher_prio_send_advert;
    v.skip_check_adv_addr = draft.skip_check_adv_addr;
    v.dont_track_primary = draft.dont_track_primary;
    if draft.strict && global.higher_prio_send_advert {
        // keepalived: only what stands in the instance itself is complained about.
        v.higher_prio_send_advert = false;
    }
    if draft.strict {
        strict(&mut voice, &mut v);
    }
    v.no_accept = !v.is_owner() && refuses(&mut voice, v.version);
    v.track_scripts = track_scripts;
    v.notify = notify;
    Linked::Runs(Box::new(v))
}

/// `mcast_dst_ip`.
fn group(voice: &mut Voice<'_>, v: &mut Instance, unicast: bool) {
    let Some(group) = voice.draft.group else {
        return;
    };
    if unicast {
        // keepalived: `unicast_fault_no_peer` alone is not complained about.
        if voice.draft.peers.is_empty() {
            return;
        }
        voice.say(
            Code::Useless,
            "mcast_dst_ip has no effect with unicast peers - ignoring",
        );
    } else if Family::from(group) != v.family {
        voice.say(
            Code::WrongFamily,
            &format!("mcast_dst_ip {group} is of the other family - ignoring"),
        );
    } else {
        v.mcast_group = group;
    }
}

/// Keywords that make sense with peers only, and what unicast excludes.
fn unicast_words(voice: &mut Voice<'_>, unicast: bool) {
    let draft = voice.draft;
    if draft.unicast_ttl.is_some() && draft.peers.is_empty() {
        let text = "Cannot use unicast_ttl without unicast peers - resetting";
        voice.say(Code::Useless, text);
    }
    if !unicast && draft.unicast {
        let text = "A unicast keyword has been specified without any unicast peers. Defaulting to multicast. This usage \
                    is deprecated - please update your configuration.";
        voice.say(Code::Deprecated, text);
    }
    if unicast && draft.strict {
        voice.weigh(
            Weight::Unusable,
            Code::Conflict,
            "Unicast peers are not supported in strict mode",
        );
    }
    if draft.links.xmit_base && draft.links.vmac.is_none() {
        voice.say(
            Code::Useless,
            "vmac_xmit_base is only valid with a vmac - clearing",
        );
    }
    if unicast && draft.links.vmac.is_some() && !draft.links.xmit_base {
        voice.say(
            Code::Conflict,
            "unicast with use_vmac requires vmac_xmit_base - setting",
        );
    }
}

/// IPv6 is version 3 unless the instance itself says otherwise; in strict mode it always is.
fn version(draft: &InstanceDraft, family: Family, global: &Global) -> Version {
    match family {
        Family::V6 if draft.strict => Version::V3,
        Family::V6 => draft.version.unwrap_or(Version::V3),
        Family::V4 => draft.version.unwrap_or(global.vrrp_version),
    }
}

fn addresses(voice: &mut Voice<'_>, v: &mut Instance) {
    let draft = voice.draft;
    if v.addresses.is_empty() && !draft.no_addresses {
        if v.version == Version::V3 || draft.strict {
            voice.weigh(
                Weight::Unusable,
                Code::NoAddress,
                "No VIP specified; at least one is required",
            );
        } else {
            voice.say(
                Code::NoAddress,
                "No VIP specified; at least one is sensible",
            );
        }
    }
}

/// The list of an advertisement has a count of one octet, and the packet has to fit into a frame. Both sides must list the
/// same, so that this is stock's own sum.
fn bound(voice: &mut Voice<'_>, v: &mut Instance, mtu: Option<u32>) {
    // keepalived: an Ethernet header counts, too. Then those of IP and VRRP, and what proves who we are.
    let (ip, each) = match v.family {
        Family::V4 => (20, 4),
        Family::V6 => (40, 16),
    };
    let trailer = match (&v.auth, v.version, v.family) {
        (Auth::Hmac(_), Version::V2, Family::V4) => 8 + 28,
        (Auth::Hmac(_), Version::V2 | Version::V3, _) => 28,
        (Auth::Ah(_), _, _) => 8 + 24,
        (Auth::None | Auth::Pass(_), Version::V2, Family::V4) => 8,
        (Auth::None | Auth::Pass(_), Version::V2 | Version::V3, _) => 0,
    };
    let space = mtu
        .unwrap_or(u32::MAX)
        .saturating_sub(14 + ip + 8 + trailer)
        / each;
    let most = u8::try_from(space).unwrap_or(u8::MAX);
    if v.addresses.len() > usize::from(most) {
        let moved = v.addresses.split_off(most.into());
        let text = format!(
            "Number of VIPs ({}) exceeds maximum/space available in packet (max {most} addresses) - excess moved to eVIPs",
            voice.draft.addresses.len(),
        );
        voice.say(Code::OutOfRange, &text);
        v.excluded.splice(0..0, moved);
    }
}

/// `state`, `priority` and preemption.
fn state(voice: &mut Voice<'_>, v: &mut Instance) {
    let draft = voice.draft;
    let master = draft.state == Some(InitialState::Master);
    v.priority = draft.priority.unwrap_or(if master {
        Priority::OWNER
    } else {
        Priority::DEFAULT
    });
    let mut wanted = draft.state;
    if draft.strict && draft.priority.is_some() && draft.state.is_some() && master != v.is_owner() {
        let word = if master { "MASTER" } else { "BACKUP" };
        voice.say(
            Code::Conflict,
            &format!("State {word} must match being address owner"),
        );
        wanted = Some(if v.is_owner() {
            InitialState::Master
        } else {
            InitialState::Backup
        });
    }
    let starts_as_owner = if v.is_owner() {
        InitialState::Master
    } else {
        InitialState::Backup
    };
    v.initial_state = wanted.unwrap_or(starts_as_owner);
    let is_master = v.initial_state == InitialState::Master || v.is_owner();
    if draft.auth_type == Some(AuthType::Ah)
        && v.initial_state == InitialState::Master
        && !v.is_owner()
    {
        voice.say(
            Code::Conflict,
            "Initial state master is incompatible with AH authentication - clearing",
        );
        v.initial_state = InitialState::Backup;
    }
    v.preempt = !draft.nopreempt;
    if draft.nopreempt && is_master {
        voice.say(
            Code::Conflict,
            "Warning - nopreempt will not work with initial state MASTER - clearing",
        );
        v.preempt = true;
    }
    v.preempt_delay = draft.preempt_delay;
    if !draft.preempt_delay.is_zero() {
        if is_master {
            voice.say(
                Code::Conflict,
                "Warning - preempt delay will not work with initial state MASTER - clearing",
            );
            v.preempt_delay = Duration::ZERO;
        } else if !v.preempt {
            voice.say(
                Code::Conflict,
                "preempt_delay is incompatible with nopreempt mode - clearing",
            );
            v.preempt_delay = Duration::ZERO;
        }
    }
}

/// `advert_int` in what the version can say.
fn interval(voice: &mut Voice<'_>, version: Version) -> Duration {
    let Some(asked) = voice.draft.advert_int else {
        return Duration::from_secs(1);
    };
    let unit: u64 = match version {
        Version::V2 => 1_000_000,
        Version::V3 => 10_000,
    };
    let micros = u64::try_from(asked.as_micros()).unwrap_or(u64::MAX);
    let possible = Duration::from_micros(((micros + unit / 2) / unit).max(1) * unit);
    let possible = if version == Version::V3 {
        possible.min(MAX_INTERVAL_V3)
    } else {
        possible
    };
    if possible != asked {
        let version = match version {
            Version::V2 => 2,
            Version::V3 => 3,
        };
        let text = format!(
            "advert_int {asked:?} is not possible in VRRP version {version} - using {possible:?}"
        );
        voice.say(Code::Rounded, &text);
    }
    possible
}

fn source(voice: &mut Voice<'_>, family: Family) -> Option<std::net::IpAddr> {
    let (source, span) = voice.draft.source?;
    if Family::from(source) != family {
        voice.say_at(
            span,
            Code::WrongFamily,
            &format!("source address {source} is of the other family - ignoring"),
        );
        return None;
    }
    Some(source)
}

/// A peer may stand before the first address, so that the family was not known.
fn peers(voice: &mut Voice<'_>, family: Family) -> Vec<Peer> {
    let mut peers = voice.draft.peers.clone();
    peers.retain(|p| {
        let fits = Family::from(p.addr) == family;
        if !fits {
            let text = format!("unicast peer {} is of the other family - ignoring", p.addr);
            voice.say(Code::WrongFamily, &text);
        }
        fits
    });
    peers
}

/// `owner_ignore_adverts`.
fn owner_ignores(voice: &mut Voice<'_>, v: &Instance, global: &Global) -> bool {
    let draft = voice.draft;
    match (draft.owner_ignore_adverts, v.is_owner()) {
        (Some(true), false) => {
            voice.say(
                Code::Conflict,
                "owner_ignore_adverts is for owners (priority 255) - clearing",
            );
            false
        }
        (Some(false), true) if draft.strict => {
            voice.say(
                Code::Conflict,
                "an owner ignores adverts in strict mode - setting",
            );
            true
        }
        (Some(on), _) => on,
        (None, owner) => owner && (draft.strict || global.owner_ignore_adverts),
    }
}

/// `weighted`: whether the sync group leaves weights to its members.
fn trackers(voice: &mut Voice<'_>, v: &mut Instance, weighted: bool) {
    v.track_interfaces = voice.draft.track_interfaces.clone();
    let base = v.interface.clone();
    v.track_interfaces.retain(|t| {
        let own = base.as_ref() == Some(&t.interface) && !voice.draft.dont_track_primary;
        if own {
            voice.say(
                Code::Useless,
                &format!(
                    "Ignoring track_interface {} since own interface",
                    t.interface
                ),
            );
        }
        !own
    });
    for t in v.track_interfaces.iter_mut().filter(|_| !weighted) {
        if t.weight != TrackWeight::Fault {
            let name = &t.interface;
            let text = format!("ignoring {name} tracked interface weight due to SYNC group");
            voice.say(Code::Conflict, &text);
            t.weight = TrackWeight::Fault;
        }
    }
}

/// Whether packets to its addresses are refused: by default in strict mode only, where version 2 has no choice.
fn refuses(voice: &mut Voice<'_>, version: Version) -> bool {
    let draft = voice.draft;
    match (draft.links.accept, draft.strict, version) {
        (Some(true), true, Version::V2) => {
            let text = "warning - accept mode for VRRP version 2 does not comply with RFC3768 - resetting to no_accept";
            voice.say(Code::Conflict, text);
            true
        }
        (Some(accept), _, _) => !accept,
        (None, strict, _) => strict,
    }
}

/// RFC 9568 §5.2.9: over IPv6 the first address is the link-local one, by which hosts know the router as a neighbour.
fn first_address(voice: &mut Voice<'_>, v: &Instance) {
    let first = v.addresses.first().map(|a| a.addr);
    match first {
        Some(IpAddr::V6(addr)) if !addr.is_unicast_link_local() => {
            // keepalived: counted as a complaint in strict mode only.
            let (weight, must) = match v.strict {
                true => (Code::Conflict.weight(), "must"),
                false => (Weight::Log, "should"),
            };
            let text = format!("the first IPv6 VIP address {must} be link local");
            voice.weigh(weight, Code::Conflict, &text);
        }
        Some(IpAddr::V4(_) | IpAddr::V6(_)) | None => {}
    }
}

/// Settings that RFC conformance leaves no choice about.
fn strict(voice: &mut Voice<'_>, v: &mut Instance) {
    let draft = voice.draft;
    if !v.preempt_delay.is_zero() {
        voice.say(
            Code::Conflict,
            "preempt_delay is incompatible with strict mode - clearing",
        );
        v.preempt_delay = Duration::ZERO;
    }
    if v.down_timer_adverts != 3 {
        voice.say(
            Code::Conflict,
            "down_timer_adverts must be 3 in strict mode",
        );
        v.down_timer_adverts = 3;
    }
    if draft.lower_prio_no_advert == Some(false) {
        voice.say(
            Code::Conflict,
            "lower_prio_no_advert must be on in strict mode",
        );
    }
    v.lower_prio_no_advert = true;
    if v.higher_prio_send_advert {
        voice.say(
            Code::Conflict,
            "higher_prio_send_advert must be off in strict mode",
        );
        v.higher_prio_send_advert = false;
    }
    if std::mem::take(&mut v.links.xmit_base) {
        voice.say(
            Code::Conflict,
            "vmac_xmit_base is incompatible with strict mode - clearing",
        );
    }
    let asked = draft.lower_prio_delay.is_some_and(|d| !d.is_zero())
        || draft.lower_prio_repeat.is_some_and(|n| n > 0);
    if asked {
        voice.say(Code::Conflict, "garp_lower_prio_* must be 0 in strict mode");
    }
    v.garp.lower_prio_delay = Duration::ZERO;
    v.garp.lower_prio_repeat = 0;
}
