//! What an instance has in common with others: everything but its name, its place and its addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::auth::Auth;
use super::net::{IfName, VirtualAddress};
use super::route::{Route, Rule};
use super::track::{InterfaceTrack, OtherTracks, ScriptTrack};
use super::unicast::Unicast;
use super::vmac::SubLinks;
use super::vrrp::{Garp, InitialState, Notify, Version};

/// See the module. A configuration of thousands of instances has a handful of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// `vrf`: where a unicast instance without interface works.
    pub(crate) vrf: Option<IfName>,
    /// `use_vmac` and its kin: the interfaces that come with the instance.
    pub(crate) links: SubLinks,
    /// `version`, default `vrrp_version` for IPv4, 3 for IPv6.
    pub(crate) version: Version,
    /// `strict_mode`, default `vrrp_strict`: what departs from the RFC was refused.
    pub(crate) strict: bool,
    /// Seconds between advertisements: 1..=255 in version 2, 0.01..=40.95 in version 3, default 1; RFC 9568 §6.1
    /// Advertisement_Interval.
    pub(crate) advert_int: Duration,
    /// `state`, default BACKUP, or MASTER for an owner.
    pub(crate) initial_state: InitialState,
    /// False with `nopreempt`: a lower-priority master is left alone (RFC 9568 §6.1 Preempt_Mode).
    pub(crate) preempt: bool,
    /// `preempt_delay`: seconds a lower-priority master is left alone, 0..=1000, default 0.
    pub(crate) preempt_delay: Duration,
    /// `authentication`.
    pub(crate) auth: Auth,
    /// `track_src_ip`: FAULT while the interface has not got `source`.
    pub(crate) track_source: bool,
    /// `vrrp_mcast_group4` / `6`, `mcast_dst_ip`, default 224.0.0.18 / ff02::12.
    pub(crate) mcast_group: IpAddr,
    /// `unicast_peer`: instead of `mcast_group`.
    pub(crate) unicast: Option<Unicast>,
    /// `v3_checksum_as_v2`: version 3 over IPv4 without pseudo header in the checksum.
    pub(crate) checksum_as_v2: bool,
    /// `virtual_ipaddress_excluded`: set and announced, not listed in advertisements.
    pub(crate) excluded: Vec<Arc<VirtualAddress>>,
    /// `virtual_routes`: installed while MASTER.
    pub(crate) routes: Vec<Route>,
    /// `virtual_rules`: installed while MASTER.
    pub(crate) rules: Vec<Rule>,
    /// `track_interface`, without the instance's own interface.
    pub(crate) track_interfaces: Vec<InterfaceTrack>,
    /// `track_script`.
    pub(crate) track_scripts: Vec<ScriptTrack>,
    /// `track_file`, `track_process`, `track_bfd`.
    pub(crate) other_tracks: OtherTracks,
    /// The state of `interface` does not matter: `dont_track_primary`.
    pub(crate) dont_track_primary: bool,
    pub(crate) garp: Garp,
    /// `down_timer_adverts`: missed advertisements until the master is down, 1..=100, default 3.
    pub(crate) down_timer_adverts: u32,
    /// `timer_expired_backup`: the highest priority of the other routers, 1..=254, default 254: from it follows after which
    /// silence of ours another one may be master.
    pub(crate) timer_expired_backup: u8,
    /// `lower_prio_no_advert`: do not answer a lower-priority master at once.
    pub(crate) lower_prio_no_advert: bool,
    /// `higher_prio_send_advert`: send one advertisement before giving way.
    pub(crate) higher_prio_send_advert: bool,
    /// `no_accept`: packets to its addresses are dropped (RFC 9568 §6.1 Accept_Mode); never those of an owner.
    pub(crate) no_accept: bool,
    /// `owner_ignore_adverts`: nobody else's advertisement counts while we run as the owner.
    pub(crate) owner_ignore_adverts: bool,
    /// `kernel_rx_buf_size`: octets of receive buffer for its packets, default as `vrrp_rx_bufs_policy` has it.
    pub(crate) rx_buffer: Option<u32>,
    /// `skip_check_adv_addr`: trust the address list of a master already known.
    pub(crate) skip_check_adv_addr: bool,
    pub(crate) notify: Notify,
}
