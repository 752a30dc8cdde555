//! The section that every dump file begins with: what `global_defs` and the top level of the file say.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::lines::Lines;
use super::words::{Micros, Words, enabled, yes};
use crate::model::Config;
use crate::model::global::{FlushOnStop, Global, SyncDaemon};
use crate::model::mail::Mail;
use crate::model::notify::{Fifo, Lifecycle};
use crate::model::process::{
    AutoPriority, Buffers, IpvsNamespace, PacketBuffer, Process, ReloadMarker, Scheduling,
};
use crate::model::vrrp::Version;

/// Which file the section is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `keepalived_parent.data` and those of checkers and BFD.
    Other,
    /// `keepalived.data`.
    Vrrp,
}

/// `------< Global definitions >------` and its lines.
pub(super) fn global(config: &Config, part: Part) -> String {
    let mut text = Text(String::from("------< Global definitions >------\n"));
    let g = &*config.global;
    text.identity(g);
    text.mail(&g.mail);
    text.reload(g);
    text.network(g, part);
    text.fifos(g);
    text.instances(g, part);
    text.firewall(config, part);
    text.defaults(g);
    text.processes(&g.process);
    text.listeners(g);
    text.rest(g);
    text.0
}

struct Text(String);

impl Lines for Text {
    const MARGIN: &'static str = " ";
    const INDENT: &'static str = "";

    fn text(&mut self) -> &mut String {
        &mut self.0
    }
}

impl Text {
    fn optional(&mut self, label: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.pair(label, value);
        }
    }

    fn path(&mut self, label: &str, path: Option<&Path>) {
        self.optional(label, path.map(Path::display));
    }

    fn identity(&mut self, g: &Global) {
        let p = &g.process;
        let namespace = g.net_namespace.as_deref().unwrap_or("(default)");
        self.pair("Network namespace", namespace);
        let ipvs = match &p.ipvs_namespace {
            IpvsNamespace::Own => "(main namespace)",
            IpvsNamespace::Default => "(default)",
            IpvsNamespace::Named(name) => name,
        };
        self.pair("Network namespace ipvs", ipvs);
        self.optional("Instance name", p.instance.as_ref());
        for (label, name) in [
            ("Parent process name", &p.names.main),
            ("VRRP process name", &p.names.vrrp),
            ("LVS process name", &p.names.checker),
            ("BFD process name", &p.names.bfd),
        ] {
            self.optional(label, name.as_ref());
        }
        self.line(if g.symlink_paths {
            "Keep symlinks in script paths"
        } else {
            "Replace symlinks in script paths"
        });
        self.line(if g.supplementary_groups {
            "Set supplementary groups for all scripts"
        } else {
            "Don't set supplementary groups for all scripts"
        });
        self.optional("Router ID", g.router_id.as_ref());
    }

    fn mail(&mut self, m: &Mail) {
        if let Some(server) = &m.server {
            self.pair("Smtp server", server.addr.ip());
            self.pair("Smtp server port", server.addr.port());
        }
        self.optional("Smtp HELO name", m.helo_name.as_ref());
        // Without a server nothing of it matters.
        if m.server.is_some() {
            self.pair(
                "Smtp server connection timeout",
                m.connect_timeout.as_secs(),
            );
        }
        if let Some(from) = &m.from {
            self.pair("Email notification from", from);
        }
        if !m.to.is_empty() {
            self.line("Email notification to:");
            m.to.iter().for_each(|to| self.line(format_args!("  {to}")));
        }
        let word = |alert| match alert {
            None => "unset",
            Some(true) => "on",
            Some(false) => "off",
        };
        self.pair("Default smtp_alert", word(m.alert));
        self.pair("Default smtp_alert_vrrp", word(m.alert_vrrp));
        self.pair("Default smtp_alert_checker", word(m.alert_checker));
    }

    fn reload(&mut self, g: &Global) {
        let files = &g.process.files;
        self.pair("Checkers log all failures", g.log_all_failures);
        match (&g.reload_check_log, g.reload_check_config) {
            (Some(log), true) => {
                let log = log.display();
                self.line(format_args!("Test config before reload, log to {log}"));
            }
            (None, true) => self.line("Test config before reload"),
            (_, false) => self.line("No test config before reload"),
        }
        if let Some(file) = &files.reload_time {
            let repeat = if files.reload_repeat { " (repeat)" } else { "" };
            let file = file.display();
            self.pair("Reload time file", format_args!("{file}{repeat}"));
        }
        match &files.reload_marker {
            ReloadMarker::None => {}
            ReloadMarker::BesidePidFile => self.pair("Reload_file", "default"),
            ReloadMarker::At(path) => self.pair("Reload_file", path.display()),
        }
        self.path("config save directory", files.config_save.as_deref());
        if files.data_use_instance {
            self.line("Use instance name in data dumps");
        }
        self.lifecycle("Startup script", g.notify.startup.as_ref());
        self.lifecycle("Shutdown script", g.notify.shutdown.as_ref());
    }

    fn lifecycle(&mut self, label: &str, lifecycle: Option<&Lifecycle>) {
        if let Some(Lifecycle { script, timeout }) = lifecycle {
            let user = script.command.user.as_ref();
            let (uid, gid) = user.map_or((0, 0), |u| (u.uid, u.gid));
            let (words, secs) = (Words(&script.command), timeout.as_secs());
            self.pair(
                label,
                format_args!("{words}, uid:gid {uid}:{gid}, timeout {secs}"),
            );
        }
    }

    fn network(&mut self, g: &Global, part: Part) {
        self.pair("Dynamic interfaces", g.dynamic_interfaces);
        if !g.mail.faults {
            self.pair("Send emails for fault transitions", "off");
        }
        let t = &g.ipvs.timeouts;
        let secs = |d: Option<Duration>| d.map(|d| d.as_secs());
        self.optional("LVS TCP timeout", secs(t.tcp));
        self.optional("LVS TCP FIN timeout", secs(t.tcp_fin));
        self.optional("LVS TCP timeout", secs(t.udp)); // keepalived: that label again
        if part == Part::Vrrp {
            self.pair("Default interface", g.static_interface());
        }
        self.pair("Disable local IGMP", yes(g.disable_local_igmp));
        self.pair(
            "Use VRRPv2 checksum for VRRPv3 IPv4",
            yes(g.v3_checksum_as_v2),
        );
        if let Some(daemon) = &g.ipvs.sync_daemon {
            self.sync_daemon(daemon, part);
        }
        self.pair("LVS flush", g.ipvs.flush);
        self.pair(
            "LVS flush on stop",
            match g.ipvs.flush_on_stop {
                FlushOnStop::No => "disabled",
                FlushOnStop::Services => "VS",
                FlushOnStop::Table => "full",
            },
        );
    }

    fn sync_daemon(&mut self, d: &SyncDaemon, part: Part) {
        let label = match part {
            Part::Vrrp => "LVS syncd vrrp instance",
            Part::Other => "LVS syncd vrrp name",
        };
        self.optional(label, d.instance.as_ref());
        self.pair("LVS syncd interface", &d.interface);
        self.pair("LVS syncd syncid", d.id);
        self.optional("LVS syncd maxlen", d.maxlen);
        if let Some(group) = d.group {
            self.line(format_args!("LVS mcast group {group}"));
        }
        self.optional("LVS syncd mcast port", d.port);
        self.optional("LVS syncd mcast ttl", d.ttl);
    }

    fn fifos(&mut self, g: &Global) {
        let n = &g.notify;
        for (label, fifo) in [
            ("Global notify fifo", &n.fifo),
            ("VRRP notify fifo", &n.vrrp_fifo),
            ("LVS notify fifo", &n.lvs_fifo),
        ] {
            if let Some(fifo) = fifo {
                self.fifo(label, fifo);
            }
        }
        self.pair("FIFO write vrrp states on reload", n.states_on_reload);
        self.pair("VRRP notify priority changes", n.priority_changes);
    }

    fn fifo(&mut self, label: &str, fifo: &Fifo) {
        let (uid, gid) = fifo.owner.unwrap_or((0, 0));
        let path = fifo.path.display();
        self.pair(label, format_args!("{path}, uid:gid {uid}:{gid}"));
        if let Some(script) = &fifo.script {
            let label = format!("{label} script");
            self.pair(&label, super::words::Quoted(&script.command));
        }
    }

    fn instances(&mut self, g: &Global, part: Part) {
        let garp = &g.garp;
        let (lower_delay, lower_repeat) = match part {
            Part::Vrrp => (garp.lower_prio_delay.as_secs(), garp.lower_prio_repeat),
            // keepalived: unset there, as only the reader of instances fills it in.
            Part::Other => (u64::from(u32::MAX), u32::MAX),
        };
        let interval = g.garp_extra_if.map_or(0, |e| e.interval.as_secs());
        let extra = match g.garp_extra_if {
            Some(e) if e.all => "Gratuitous ARP for each secondary i/f",
            Some(_) | None => "Gratuitous ARP for each secondary VMAC",
        };
        let pairs: [(&str, &dyn Display); 15] = [
            ("VRRP IPv4 mcast group", &g.vrrp_mcast_group4),
            ("VRRP IPv6 mcast group", &g.vrrp_mcast_group6),
            ("Gratuitous ARP delay", &garp.master_delay.as_secs()),
            ("Gratuitous ARP repeat", &garp.master_repeat),
            (
                "Gratuitous ARP refresh timer",
                &garp.master_refresh.as_secs(),
            ),
            ("Gratuitous ARP refresh repeat", &garp.master_refresh_repeat),
            ("Gratuitous ARP lower priority delay", &lower_delay),
            ("Gratuitous ARP lower priority repeat", &lower_repeat),
            ("Num adverts before down", &g.down_timer_adverts),
            (extra, &format_args!("{interval}s")),
            (
                "Send advert after receive lower priority advert",
                &!g.lower_prio_no_advert,
            ),
            (
                "Send advert after receive higher priority advert",
                &g.higher_prio_send_advert,
            ),
            ("Gratuitous ARP interval", &Micros(g.garp_interval)),
            ("Gratuitous NA interval", &Micros(g.gna_interval)),
            (
                "VRRP default protocol version",
                match g.vrrp_version {
                    Version::V2 => &2,
                    Version::V3 => &3,
                },
            ),
        ];
        for (label, value) in pairs {
            self.pair(label, value);
        }
    }

    fn firewall(&mut self, config: &Config, part: Part) {
        let f = &config.global.firewall;
        let mut links = config.instances.iter().flat_map(|i| i.links.iter());
        // What a VMAC must not say is kept back by the same tables.
        let tables = f.nftables.wanted || links.any(|l| l.is_vmac());
        if let (Some(iptables), Part::Vrrp) = (&f.iptables, part) {
            self.optional("Iptables input chain", iptables.input.as_ref());
            self.optional("Iptables output chain", iptables.output.as_ref());
            self.pair("Using ipsets", f.ipsets.used);
        }
        if tables && part == Part::Vrrp {
            let n = &f.nftables;
            self.pair("nftables table name", &n.table);
            self.pair("nftables base chain priority", n.priority);
            self.line(format_args!(
                "nftables {} use ifindex for link local IPv6",
                if n.ifindex { "force" } else { "don't force" }
            ));
        }
        if f.nftables_ipvs.wanted {
            let n = &f.nftables_ipvs;
            self.pair("ipvs nftables table name", &n.table);
            self.pair("ipvs nftables base chain priority", n.priority);
            self.pair("ipvs nftables start fwmark", n.start_fwmark);
        }
        let counters = if f.counters { "with" } else { "without" };
        self.line(format_args!("nftables {counters} counters"));
    }

    fn defaults(&mut self, g: &Global) {
        self.pair("VRRP check unicast_src", g.check_unicast_src);
        self.pair("VRRP skip check advert addresses", g.skip_check_adv_addr);
        self.pair("VRRP strict mode", g.strict);
        match g.process.auto_priority {
            AutoPriority::UpTo(n) => self.pair("Max auto priority", n),
            AutoPriority::Off | AutoPriority::Silent => self.pair("Max auto priority", "Disabled"),
        }
        let delay = g.process.auto_priority_delay.as_micros();
        self.pair("Min auto priority delay", format_args!("{delay} usecs"));
    }

    fn processes(&mut self, p: &Process) {
        for (name, s) in [("VRRP", &p.vrrp), ("Checker", &p.checker), ("BFD", &p.bfd)] {
            let Scheduling {
                nice,
                no_swap,
                rt_priority,
                cpus,
                rlimit_rttime,
            } = s;
            self.pair(&format!("{name} process priority"), nice);
            self.pair(&format!("{name} don't swap"), no_swap);
            let priority = rt_priority.unwrap_or(0);
            self.pair(&format!("{name} realtime priority"), priority);
            if !cpus.is_empty() {
                let cpus: Vec<_> = cpus.iter().map(u32::to_string).collect();
                self.pair(&format!("{name} CPU Affinity"), cpus.join(" "));
            }
            let limit = rlimit_rttime.as_micros();
            self.pair(&format!("{name} realtime limit"), limit);
        }
    }

    fn listeners(&mut self, g: &Global) {
        let s = &g.snmp;
        for (name, on) in [
            ("vrrp", s.vrrp),
            ("checker", s.checker),
            ("RFCv2", s.rfc2787),
            ("RFCv3", s.rfc6527),
            ("traps", s.traps),
        ] {
            self.line(format_args!("SNMP {name} {}", enabled(on)));
        }
        match &*s.socket {
            socket @ "unix:/var/agentx/master" => {
                self.pair("SNMP socket", format_args!("default ({socket})"));
            }
            socket => self.pair("SNMP socket", socket),
        }
        self.pair("SNMP VS stats update interval", Micros(s.vs_stats_interval));
        self.pair("SNMP RS stats update interval", Micros(s.rs_stats_interval));
        self.line(format_args!("DBus {}", enabled(g.dbus.enabled)));
        let name = match &*g.dbus.service_name {
            "org.keepalived.Vrrp1" => "", // keepalived: the default is not told
            name => name,
        };
        self.pair("DBus service name", name);
        self.pair("DBus no interface name", &g.dbus.no_interface_name);
        self.line(format_args!(
            "Script security {}",
            enabled(g.script_security)
        ));
        if let Some(user) = &g.script_user {
            let (uid, gid) = (user.uid, user.gid);
            self.line(format_args!("Default script uid:gid {uid}:{gid}"));
        }
    }

    fn rest(&mut self, g: &Global) {
        let p = &g.process;
        self.buffers(&p.buffers);
        self.pair("rs_init_notifies", u8::from(g.rs_init_notifies));
        self.pair("no_checker_emails", u8::from(!g.mail.every_checker));
        match p.buffers.vrrp_packets {
            PacketBuffer::System => {}
            PacketBuffer::Mtu => self.pair("rx_bufs_policy", "MTU"),
            PacketBuffer::Advert => self.pair("rx_bufs_policy", "ADVERT"),
            PacketBuffer::Octets(n) => self.pair("rx_bufs_size", n),
        }
        self.pair("rx_bufs_multiples", p.buffers.vrrp_packets_multiplier);
        self.pair("umask", format_args!("0{:o}", p.files.umask));
        if g.startup_delay > Duration::ZERO {
            self.pair("vrrp_startup_delay", g.startup_delay.as_secs_f32());
        }
        if g.log_unknown_vrids {
            self.line("log_unknown_vrids");
        }
        if g.owner_ignore_adverts {
            self.line("vrrp_owner_ignore_adverts");
        }
        for (label, prefix) in [
            ("VMAC prefix", &g.vmac_prefix),
            ("VMAC address prefix", &g.vmac_addr_prefix),
        ] {
            if &**prefix != "vrrp" {
                self.pair(label, prefix);
            }
        }
        self.line(format_args!("json_version {}", p.files.json_version));
        for (label, dir) in [("usr", &p.files.iproute_usr), ("etc", &p.files.iproute_etc)] {
            let dir = dir.as_deref().unwrap_or(Path::new("/etc/iproute2"));
            let dir = dir.display();
            self.line(format_args!("iproute {label} directory {dir}"));
        }
        for (label, file) in [
            ("state", &p.files.state_dump),
            ("stats", &p.files.stats_dump),
            ("json", &p.files.json_dump),
        ] {
            if let Some(file) = file {
                let file = file.display();
                self.line(format_args!("{label} dump file {file}"));
            }
        }
    }

    fn buffers(&mut self, b: &Buffers) {
        for (name, buffer) in [
            ("vrrp_netlink_cmd", b.vrrp_command),
            ("vrrp_netlink_monitor", b.vrrp_monitor),
            ("process_monitor", b.process_monitor),
            ("lvs_netlink_cmd", b.lvs_command),
            ("lvs_netlink_monitor", b.lvs_monitor),
        ] {
            self.pair(&format!("{name}_rcv_bufs"), buffer.octets.unwrap_or(0));
            self.pair(&format!("{name}_rcv_bufs_force"), u8::from(buffer.force));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake::Fake;

    /// Lines of `------< Global definitions >------`, as keepalived 2.4.3 wrote them for that file, but for those that
    /// tell of its libraries.
    #[test]
    fn the_section_looks_as_keepalived_writes_it() {
        let config = Fake::with(include_str!("../../tests/dumps/global.conf"))
            .load()
            .config;
        let wrote = include_str!("../../tests/dumps/global.data");
        let ours = global(&config, Part::Other);
        let wrote: Vec<_> = wrote.lines().filter(|l| !l.contains("libnftnl")).collect();
        for (n, line) in ours.lines().enumerate() {
            assert_eq!(Some(&line), wrote.get(n));
        }
        assert_eq!(ours.lines().count(), wrote.len());
    }
}
