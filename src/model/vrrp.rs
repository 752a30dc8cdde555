//! `vrrp_instance` and `vrrp_sync_group`. Source: keepalived.conf(5), RFC 3768, RFC 9568.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::diff::{Keyed, Reload};
use super::global::{ExtraIf, Global};
use super::net::{Family, IfName, VirtualAddress};
use super::track::{InterfaceTrack, NotifyScript, OtherTracks, ScriptTrack};
use super::vmac::{SubLinkKind, SubLinks};

pub(crate) use super::auth::Auth;
pub(crate) use super::terms::Terms;

/// `virtual_router_id`, 1..=255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Vrid(pub(crate) NonZeroU8);

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `priority`, 1..=255. On the wire 0 means "the master resigns"; that is never a configured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Priority(pub(crate) NonZeroU8);

impl Priority {
    /// 255: the router owns the addresses (RFC 9568 §6.1).
    pub(crate) const OWNER: Self = Self(NonZeroU8::MAX);
    /// 100, where neither `priority` nor `state MASTER` is given.
    pub(crate) const DEFAULT: Self = Self(match NonZeroU8::new(100) {
        Some(n) => n,
        None => NonZeroU8::MIN,
    });

    /// `None` for 0.
    pub(crate) fn new(n: u8) -> Option<Self> {
        NonZeroU8::new(n).map(Self)
    }

    pub(crate) fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `version` / `vrrp_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Version {
    /// RFC 3768; intervals in whole seconds.
    V2,
    /// RFC 9568 (and 5798); intervals in centiseconds.
    V3,
}

/// `state`: where an owner starts. Any other router starts as BACKUP whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum InitialState {
    Backup,
    Master,
}

/// Gratuitous ARP and unsolicited neighbour advertisement timing: `garp_master_*`, `garp_lower_prio_*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Garp {
    /// `garp_master_delay`: seconds until the second burst, 0 = none, default 5.
    pub(crate) master_delay: Duration,
    /// `garp_master_repeat`: packets per address and burst, ≥ 1, default 5.
    pub(crate) master_repeat: u32,
    /// `garp_master_refresh`: seconds between refreshes while MASTER, 0 = never (default).
    pub(crate) master_refresh: Duration,
    /// `garp_master_refresh_repeat`: packets per address and refresh, ≥ 1, default 1.
    pub(crate) master_refresh_repeat: u32,
    /// `garp_lower_prio_delay`: seconds until the second burst after a lower priority advert, default the global one's.
    pub(crate) lower_prio_delay: Duration,
    /// `garp_lower_prio_repeat`: packets per address, 0 = none, default the global one's.
    pub(crate) lower_prio_repeat: u32,
    /// `garp_extra_if`, default `vrrp_garp_extra_if`, else never.
    pub(crate) extra: Option<ExtraIf>,
}

impl Default for Garp {
    fn default() -> Self {
        Self {
            master_delay: Duration::from_secs(5),
            master_repeat: 5,
            master_refresh: Duration::ZERO,
            master_refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
            extra: None,
        }
    }
}

/// The `notify*` keywords of an instance or a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Notify {
    /// `notify_master`, and so on: called with the configured arguments only.
    pub(crate) master: Option<Arc<NotifyScript>>,
    pub(crate) backup: Option<Arc<NotifyScript>>,
    pub(crate) fault: Option<Arc<NotifyScript>>,
    pub(crate) stop: Option<Arc<NotifyScript>>,
    /// `notify`: called with `INSTANCE|GROUP`, name, state and priority after the configured arguments.
    pub(crate) any: Option<Arc<NotifyScript>>,
    /// `notify_deleted`; of instances only.
    pub(crate) deletion: Deletion,
    /// `notify_master_rx_lower_pri`; of instances only.
    pub(crate) rx_lower_pri: Option<Arc<NotifyScript>>,
    /// `notify_priority_changes`, default that of the group, else `vrrp_notify_priority_changes`.
    pub(crate) priority_changes: bool,
    /// `smtp_alert`, default `smtp_alert_vrrp`, else the global `smtp_alert`, else no mail.
    pub(crate) mail: bool,
}

/// What is told of an instance that a reload removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Deletion {
    /// FAULT, unless that was its state.
    #[default]
    AsFault,
    /// `notify_deleted`: DELETED, in any state; the script, if one is given.
    Told(Option<Arc<NotifyScript>>),
}

/// What the wire sees of an instance: its identity across reloads. The name is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InstanceKey {
    pub(crate) interface: Option<IfName>,
    pub(crate) family: Family,
    pub(crate) vrid: Vrid,
    pub(crate) hears: Hears,
    /// What the instance lives on, if not on `interface` itself.
    pub(crate) link: Option<SubLinkKind>,
}

/// Where an instance listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Hears {
    /// In this multicast group.
    Group(IpAddr),
    /// At this address of ours, or at the first one of its interface; see [`Instance::twin`].
    Unicast(Option<IpAddr>, u8),
}

/// One `vrrp_instance`: what tells it apart. All else is in its [`Terms`], and reads as if it were here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Name of the block; unique.
    pub(crate) name: Arc<str>,
    /// `interface`; unicast works without one.
    pub(crate) interface: Option<IfName>,
    /// That of the first virtual address; IPv4 without one.
    pub(crate) family: Family,
    /// Which one of those with the same interface, family, VRID and source, and only other peers; see [`super::twins`].
    /// 0 but for unicast.
    pub(crate) twin: u8,
    /// `virtual_router_id`, 1..=255.
    pub(crate) vrid: Vrid,
    /// `priority`, 1..=255, default 100, or 255 with `state MASTER`.
    pub(crate) priority: Priority,
    /// `mcast_src_ip`, `unicast_src_ip`: source of advertisements, default the first address of the interface.
    pub(crate) source: Option<IpAddr>,
    /// `virtual_ipaddress`: listed in advertisements, in this order.
    pub(crate) addresses: Vec<Arc<VirtualAddress>>,
    /// Thousands of instances differ in little else: those that are equal share it.
    pub(crate) terms: Arc<Terms>,
}

impl Deref for Instance {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

/// While a configuration is read: what is shared is parted first.
impl DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut Terms {
        Arc::make_mut(&mut self.terms)
    }
}

impl Instance {
    /// An instance with every default in place; family IPv4 and no addresses.
    pub(crate) fn new(
        name: &str,
        interface: impl Into<Option<IfName>>,
        vrid: Vrid,
        global: &Global,
    ) -> Self {
        Self {
            name: name.into(),
            interface: interface.into(),
            family: Family::V4,
            twin: 0,
            vrid,
            priority: Priority::DEFAULT,
            source: None,
            addresses: Vec::new(),
            terms: Arc::new(Terms {
                vrf: None,
                links: SubLinks::default(),
                version: global.vrrp_version,
                strict: global.strict,
                advert_int: Duration::from_secs(1),
                initial_state: InitialState::Backup,
                preempt: true,
                preempt_delay: Duration::ZERO,
                auth: Auth::None,
                track_source: false,
                mcast_group: global.vrrp_mcast_group4.into(),
                unicast: None,
                checksum_as_v2: global.v3_checksum_as_v2,
                excluded: Vec::new(),
                routes: Vec::new(),
                rules: Vec::new(),
                track_interfaces: Vec::new(),
                track_scripts: Vec::new(),
                other_tracks: OtherTracks::default(),
                dont_track_primary: false,
                garp: global.garp.clone(),
                down_timer_adverts: 3,
                timer_expired_backup: 254,
                lower_prio_no_advert: false,
                higher_prio_send_advert: false,
                no_accept: false,
                owner_ignore_adverts: false,
                rx_buffer: None,
                skip_check_adv_addr: false,
                notify: Notify::default(),
            }),
        }
    }

    /// How a running instance takes `new`. Only another packet format needs a fresh start; addresses, trackers and
    /// timers are adjusted without a transition.
    pub(crate) fn reload_class(&self, new: &Self) -> Reload {
        // Key: `_`. No `..`: every new field must be classed.
        let Self {
            interface: _,
            family: _,
            vrid: _,
            twin: _,
            name,
            priority,
            source,
            addresses,
            terms,
        } = new;
        let Terms {
            mcast_group: _,
            links,
            version,
            strict,
            advert_int,
            initial_state,
            preempt,
            preempt_delay,
            auth,
            vrf,
            track_source,
            unicast,
            checksum_as_v2,
            excluded,
            routes,
            rules,
            track_interfaces,
            track_scripts,
            other_tracks,
            dont_track_primary,
            garp,
            down_timer_adverts,
            timer_expired_backup,
            lower_prio_no_advert,
            higher_prio_send_advert,
            no_accept,
            owner_ignore_adverts,
            rx_buffer,
            skip_check_adv_addr,
            notify,
        } = &**terms;
        // keepalived: even another version does not make a master give way.
        let adjust = *name != self.name
            || *links != self.links
            || *version != self.version
            || *strict != self.strict
            || *priority != self.priority
            || *advert_int != self.advert_int
            || *initial_state != self.initial_state
            || *preempt != self.preempt
            || *preempt_delay != self.preempt_delay
            || *auth != self.auth
            || *vrf != self.vrf
            || *source != self.source
            || *track_source != self.track_source
            || *unicast != self.unicast
            || *checksum_as_v2 != self.checksum_as_v2
            || *addresses != self.addresses
            || *excluded != self.excluded
            || *routes != self.routes
            || *rules != self.rules
            || *track_interfaces != self.track_interfaces
            || *track_scripts != self.track_scripts
            || *other_tracks != self.other_tracks
            || *dont_track_primary != self.dont_track_primary
            || *garp != self.garp
            || *down_timer_adverts != self.down_timer_adverts
            || *timer_expired_backup != self.timer_expired_backup
            || *lower_prio_no_advert != self.lower_prio_no_advert
            || *higher_prio_send_advert != self.higher_prio_send_advert
            || *no_accept != self.no_accept
            || *owner_ignore_adverts != self.owner_ignore_adverts
            || *rx_buffer != self.rx_buffer
            || *skip_check_adv_addr != self.skip_check_adv_addr
            || *notify != self.notify;
        Reload::of(false, adjust)
    }

    /// The interface that advertisements leave and enter through.
    pub(crate) fn voice(&self) -> Option<&IfName> {
        let own = self.links.own.as_ref().filter(|_| !self.links.xmit_base);
        let own = own.map(|link| &link.name);
        own.or(self.interface.as_ref()).or(self.vrf.as_ref())
    }

    /// The interface whose address is the source of advertisements: on a VMAC, IPv4 uses that of the base.
    pub(crate) fn source_interface(&self) -> Option<&IfName> {
        let on_vmac = self.links.own.as_ref().is_some_and(|link| link.is_vmac());
        match self.family {
            Family::V4 if on_vmac => self.interface.as_ref(),
            Family::V4 | Family::V6 => self.voice(),
        }
    }

    /// Those that must be up.
    pub(crate) fn own_interfaces(&self) -> impl Iterator<Item = &IfName> {
        let link = self.links.own.iter().map(|link| &link.name);
        self.interface.iter().chain(&self.vrf).chain(link)
    }

    /// Interfaces besides its own that what it holds needs, `no_track` apart: those of addresses, and those that routes and rules
    /// name. keepalived: one that is down is a fault, whatever else is tracked; the next hops of a route do not count.
    pub(crate) fn carriers(&self) -> impl Iterator<Item = &IfName> {
        let addresses = self.addresses.iter().chain(&self.excluded);
        let addresses = addresses.filter(|a| a.track).map(|a| &a.dev);
        let routes = self.routes.iter().filter(|r| r.track);
        let routes = routes.filter_map(|r| r.dev.as_ref());
        let rules = self.rules.iter().filter(|r| r.track);
        let rules = rules.flat_map(|r| r.iif.iter().chain(&r.oif));
        let all = addresses.chain(routes).chain(rules);
        all.filter(|name| !self.own_interfaces().any(|own| own == *name))
    }

    /// Address owner: priority 255 (RFC 9568 §6.1).
    pub(crate) fn is_owner(&self) -> bool {
        self.priority == Priority::OWNER
    }
}

impl Keyed for Instance {
    type Key = InstanceKey;

    fn key(&self) -> InstanceKey {
        InstanceKey {
            interface: self.interface.clone(),
            family: self.family,
            vrid: self.vrid,
            hears: match self.unicast {
                Some(_) => Hears::Unicast(self.source, self.twin),
                None => Hears::Group(self.mcast_group),
            },
            link: self.links.own.as_ref().map(|link| link.kind.clone()),
        }
    }
}

/// One `vrrp_sync_group`: its members change state together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncGroup {
    /// Name of the block; unique among groups.
    pub(crate) name: Arc<str>,
    /// `group`: names of existing instances, in file order; each instance is in one group at most.
    pub(crate) members: Vec<Arc<str>>,
    /// `sync_group_tracking_weight`: members may have weighted trackers of their own.
    pub(crate) tracking_weight: bool,
    /// `track_interface`: applies to every member.
    pub(crate) track_interfaces: Vec<InterfaceTrack>,
    /// `track_script`: applies to every member.
    pub(crate) track_scripts: Vec<ScriptTrack>,
    /// `track_file`, `track_process`, `track_bfd`: apply to every member.
    pub(crate) other_tracks: OtherTracks,
    pub(crate) notify: Notify,
}

impl Keyed for SyncGroup {
    type Key = Arc<str>;

    fn key(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}
