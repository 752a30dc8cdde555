//! `keepalived.json`: the VRRP instances with their counters, for programs.
//!
//! Names, order and types are keepalived's; a value that does not apply is left out, never null. `json_version` 1 is an
//! array of instances, 2 an object that holds it.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use super::Times;
use super::words::parameters;
use super::words::{Address, RouteLine, RuleLine, Words};
use crate::daemon::bus::{InstanceSnapshot, ProcessSnapshot, TrackSnapshot, VrrpState};
use crate::model::Config;
use crate::model::net::{IfName, VirtualAddress};
use crate::model::track::{Arguments, NotifyScript, TrackProcess, Weight};
use crate::model::vrrp::{Auth, Deletion, Instance, Version};
use crate::vrrp::Counters;

/// The file, which ends with a newline.
pub(crate) fn json(
    config: &Config,
    snapshots: &[InstanceSnapshot],
    trackers: &TrackSnapshot,
    times: &Times,
) -> String {
    let instances: Vec<_> = snapshots
        .iter()
        .map(|s| One {
            data: Data::of(config, s, times),
            stats: Stats::of(&s.counters),
        })
        .collect();
    let mut octets = Vec::new();
    let mut to = Serializer::with_formatter(&mut octets, Keepalived(CompactFormatter));
    // Neither a Vec nor these types can fail.
    _ = match config.global.process.files.json_version {
        1 => instances.serialize(&mut to),
        _ => {
            let tracked = config.track_processes.iter();
            let tracked = tracked.map(|t| Watched::of(t, trackers.processes.get(&t.name)));
            let whole = Whole {
                vrrp: instances,
                track_process: tracked.collect(),
            };
            whole.serialize(&mut to)
        }
    };
    octets.push(b'\n');
    String::from_utf8(octets).unwrap_or_default()
}

/// `json_version` 2.
#[derive(Serialize)]
struct Whole<'a> {
    vrrp: Vec<One<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_process: Vec<Watched<'a>>,
}

/// One `vrrp_track_process`.
#[derive(Serialize)]
struct Watched<'a> {
    process: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<String>,
    param_match: &'static str,
    min_processes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_processes: Option<u32>,
    current_processes: usize,
    have_quorum: bool,
    weight: i16,
    terminate_delay: Short,
    fork_delay: Short,
    fork_delay_timer_running: bool,
    terminate_delay_timer_running: bool,
    full_command: bool,
}

impl<'a> Watched<'a> {
    fn of(t: &'a TrackProcess, now: Option<&ProcessSnapshot>) -> Self {
        let weight = match t.weight {
            Weight::Fault => 0,
            Weight::Adjust(n) => n,
        };
        let good = now.and_then(|n| n.good);
        let delayed = now.is_some_and(|n| n.delayed);
        Self {
            process: &t.name,
            parameters: parameters(t),
            param_match: match t.arguments {
                Arguments::Any => "none",
                Arguments::Exact => "exact",
                Arguments::Initial => "initial",
                Arguments::Partial => "partial",
            },
            min_processes: t.quorum,
            max_processes: t.quorum_max,
            current_processes: now.map_or(0, |n| n.count),
            have_quorum: good == Some(true),
            weight: if t.reverse { -weight } else { weight },
            terminate_delay: Short(t.terminate_delay.as_secs_f32()),
            fork_delay: Short(t.fork_delay.as_secs_f32()),
            fork_delay_timer_running: delayed && good == Some(false),
            terminate_delay_timer_running: delayed && good == Some(true),
            full_command: t.full_command,
        }
    }
}

/// One instance.
#[derive(Serialize)]
struct One<'a> {
    data: Data<'a>,
    stats: Stats,
}

#[derive(Serialize)]
struct Data<'a> {
    iname: &'a str,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: &'a str,
    ifp_ifname: &'a str,
    master_priority: u8,
    last_transition: Exact,
    garp_delay: Short,
    garp_refresh: u64,
    garp_rep: u32,
    garp_refresh_rep: u32,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u32,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    adver_int: Short,
    master_adver_int: Short,
    accept: u8,
    nopreempt: bool,
    preempt_delay: u64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_deleted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master_rx_lower_pri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vroutes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vrules: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_ifp: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_script: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_process: Vec<&'a str>,
    auth_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<&'static str>,
}

impl<'a> Data<'a> {
    fn of(config: &Config, s: &'a InstanceSnapshot, times: &Times) -> Self {
        let i: &Instance = &s.instance;
        let set = s.state == VrrpState::Master;
        let shown = |a: &Arc<VirtualAddress>| Address::held(i, a, set).to_string();
        let script = |n: &Option<std::sync::Arc<NotifyScript>>| {
            n.as_ref().map(|n| Words(&n.command).to_string())
        };
        let route = |route| {
            RouteLine {
                route,
                track_group: None,
            }
            .to_string()
        };
        let rule = |rule| {
            RuleLine {
                rule,
                track_group: None,
            }
            .to_string()
        };
        let state = number(s.state);
        let n = &i.notify;
        let deleted = match &n.deletion {
            Deletion::Told(script) => (true, script),
            Deletion::AsFault => (false, &None),
        };
        let (auth_type, auth_data) = match i.auth {
            Auth::None => (0, None),
            Auth::Pass(_) => (1, Some("********")),
            Auth::Ah(_) => (2, Some("********")),
            Auth::Hmac(_) => (0, None),
        };
        let since = s
            .since
            .map_or(std::time::Duration::ZERO, |at| times.wall(at));
        let interval = s.master.map_or(i.advert_int, |m| m.interval);
        Self {
            iname: &i.name,
            dont_track_primary: i.dont_track_primary.into(),
            skip_check_adv_addr: i.skip_check_adv_addr.into(),
            strict_mode: i.strict.into(),
            vmac_ifname: i.links.own.as_ref().map_or("", |l| l.name.as_str()),
            ifp_ifname: i
                .links
                .own
                .as_ref()
                .map(|l| &l.name)
                .or(i.interface.as_ref())
                .map_or("", IfName::as_str),
            master_priority: s.master.map_or(0, |m| m.priority),
            last_transition: Exact(since.as_secs_f64()),
            garp_delay: Short(i.garp.master_delay.as_secs_f32()),
            garp_refresh: i.garp.master_refresh.as_secs(),
            garp_rep: i.garp.master_repeat,
            garp_refresh_rep: i.garp.master_refresh_repeat,
            garp_lower_prio_delay: i.garp.lower_prio_delay.as_secs(),
            garp_lower_prio_rep: i.garp.lower_prio_repeat,
            lower_prio_no_advert: i.lower_prio_no_advert.into(),
            higher_prio_send_advert: i.higher_prio_send_advert.into(),
            vrid: i.vrid.0.get(),
            base_priority: i.priority.get(),
            effective_priority: s.effective_priority,
            vipset: set,
            promote_secondaries: i.links.promotes(),
            adver_int: Short(i.advert_int.as_secs_f32()),
            master_adver_int: Short(interval.as_secs_f32()),
            accept: (!i.no_accept).into(),
            nopreempt: !i.preempt,
            preempt_delay: i.preempt_delay.as_secs(),
            state,
            wantstate: state,
            version: match i.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            smtp_alert: n.mail,
            notify_deleted: deleted.0,
            script_backup: script(&n.backup),
            script_master: script(&n.master),
            script_fault: script(&n.fault),
            script_stop: script(&n.stop),
            script_deleted: script(deleted.1),
            script: script(&n.any),
            script_master_rx_lower_pri: script(&n.rx_lower_pri),
            vips: i.addresses.iter().map(shown).collect(),
            evips: i.excluded.iter().map(shown).collect(),
            vroutes: i.routes.iter().map(route).collect(),
            vrules: i.rules.iter().map(rule).collect(),
            track_ifp: i
                .track_interfaces
                .iter()
                .map(|t| t.interface.as_str())
                .collect(),
            track_script: i
                .track_scripts
                .iter()
                .filter_map(|t| config.scripts.iter().find(|s| s.name == t.script))
                .map(|s| Words(&s.command).to_string())
                .collect(),
            track_process: i.other_tracks.processes.iter().map(|t| &*t.name).collect(),
            auth_type,
            auth_data,
        }
    }
}

/// keepalived's number of a state.
fn number(state: VrrpState) -> u8 {
    match state {
        VrrpState::Backup => 1,
        VrrpState::Master => 2,
        VrrpState::Fault => 3,
        VrrpState::Deleted => 97,
        VrrpState::Stop => 98,
    }
}

#[derive(Serialize)]
struct Stats {
    advert_rcvd: u64,
    advert_sent: u64,
    become_master: u64,
    release_master: u64,
    packet_len_err: u64,
    advert_interval_err: u64,
    ip_ttl_err: u64,
    invalid_type_rcvd: u64,
    addr_list_err: u64,
    invalid_authtype: u64,
    authtype_mismatch: u64,
    auth_failure: u64,
    auth_ext_missing: u64,
    auth_ext_malformed: u64,
    auth_ext_unknown_key: u64,
    auth_ext_invalid_hmac: u64,
    auth_ext_stale: u64,
    auth_ext_replay: u64,
    pri_zero_rcvd: u64,
    pri_zero_sent: u64,
}

impl Stats {
    fn of(c: &Counters) -> Self {
        Self {
            advert_rcvd: c.advert_received,
            advert_sent: c.advert_sent,
            become_master: c.became_master,
            release_master: c.released_master,
            packet_len_err: c.packet_length_errors,
            advert_interval_err: c.advert_interval_errors,
            ip_ttl_err: c.ttl_errors,
            invalid_type_rcvd: c.invalid_type,
            addr_list_err: c.address_list_errors,
            invalid_authtype: c.invalid_auth_type,
            authtype_mismatch: c.auth_type_mismatch,
            auth_failure: c.auth_failures,
            auth_ext_missing: c.hmac_missing,
            auth_ext_malformed: c.hmac_malformed,
            auth_ext_unknown_key: c.hmac_unknown_key,
            auth_ext_invalid_hmac: c.hmac_invalid,
            auth_ext_stale: c.hmac_stale,
            auth_ext_replay: c.hmac_replay,
            pri_zero_rcvd: c.priority_zero_received,
            pri_zero_sent: c.priority_zero_sent,
        }
    }
}

/// A number with as few digits as it takes.
#[derive(Serialize)]
#[serde(transparent)]
struct Short(f32);

/// A number with six decimals.
#[derive(Serialize)]
#[serde(transparent)]
struct Exact(f64);

/// As keepalived's library writes JSON: no blanks, `/` escaped.
struct Keepalived(CompactFormatter);

impl Formatter for Keepalived {
    fn write_f32<W: ?Sized + io::Write>(&mut self, to: &mut W, value: f32) -> io::Result<()> {
        write!(to, "{value}")
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, to: &mut W, value: f64) -> io::Result<()> {
        write!(to, "{value:.6}")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        to.write_all(fragment.replace('/', "\\/").as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.0.write_char_escape(to, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Fake;
    use crate::dump::data::tests::{UTC, snapshot};
    use crate::time::Mono;

    /// keepalived 2.4.3 wrote the expected text for the same instance, as MASTER.
    #[test]
    fn an_instance_looks_as_keepalived_writes_it() {
        let mut fake = Fake::with(include_str!("../../tests/dumps/json.conf"));
        fake.scripts_in = Some("/usr/bin/true".into());
        let config = fake.load().config;
        let mut now = snapshot("VI_1");
        now.instance = std::sync::Arc::clone(&config.instances[0]);
        now.effective_priority = 150;
        now.since = Some(Mono::from_micros(360_985));
        (now.counters.advert_sent, now.counters.became_master) = (20, 1);
        let text = json(&config, &[now], &TrackSnapshot::default(), &UTC);
        assert_eq!(text, include_str!("../../tests/dumps/keepalived.json"));
    }

    #[test]
    fn the_second_version_is_an_object() {
        let mut config = Config::default();
        std::sync::Arc::make_mut(&mut config.global)
            .process
            .files
            .json_version = 2;
        assert_eq!(
            json(&config, &[], &TrackSnapshot::default(), &UTC),
            "{\"vrrp\":[]}\n"
        );
    }

    #[test]
    fn every_counter_of_the_extension_is_told() {
        let counters = Counters {
            hmac_missing: 1,
            hmac_malformed: 2,
            hmac_unknown_key: 3,
            hmac_invalid: 4,
            hmac_stale: 5,
            hmac_replay: 6,
            ..Counters::default()
        };
        let text = serde_json::to_string(&Stats::of(&counters)).expect("plain numbers");
        assert!(text.contains(
            "\"auth_ext_missing\":1,\"auth_ext_malformed\":2,\"auth_ext_unknown_key\":3,\
             \"auth_ext_invalid_hmac\":4,\"auth_ext_stale\":5,\"auth_ext_replay\":6"
        ));
    }
}
