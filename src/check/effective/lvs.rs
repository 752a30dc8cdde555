//! `virtual_server_group` and `virtual_server`.

use super::checks;
use super::global::{endpoint, text};
use super::sheet::{Said, Sheet, seconds, switch, word};
use crate::config::tree::Statement;
use crate::config::{lex, value};
use crate::model::lvs::{
    Granularity, GroupEntry, Hooks, Listen, Method, Persistence, RealServer, RealTerms, Scheduler,
    SchedulerFlags, ServerGroup, ServiceKey, SorryServer, Transport, Tunnel, TunnelChecksum,
    VirtualServer,
};
use crate::model::net::Family;

fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    }
}

/// One group.
pub(super) fn group(s: &mut Sheet<'_>, group: &ServerGroup) {
    let ServerGroup { name, entries } = group;
    let said = s.top("virtual_server_group", name);
    let header = format!("virtual_server_group {}", word(name));
    s.block(&header, &said, |s| {
        for entry in entries {
            let text = match entry {
                GroupEntry::Addresses { first, last, port } => {
                    let to = if last == first {
                        String::new()
                    } else {
                        format!("-{last}")
                    };
                    format!("{first}{to} {port}")
                }
                GroupEntry::Fwmark { mark, family: of } => {
                    let of = of.map_or(String::new(), |of| format!(" {}", family(of)));
                    format!("fwmark {mark}{of}")
                }
            };
            s.entry(&text, &said);
        }
    });
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Sctp => "SCTP",
    }
}

fn method(method: Method) -> String {
    let checksum = |checksum| match checksum {
        TunnelChecksum::None => "nocsum",
        TunnelChecksum::Checksum => "csum",
        TunnelChecksum::Remote => "remcsum",
    };
    match method {
        Method::Nat => "NAT".into(),
        Method::Dr => "DR".into(),
        Method::Tun(Tunnel::Ipip) => "TUN".into(),
        Method::Tun(Tunnel::Gue { port, checksum: c }) => {
            format!("TUN type gue port {port} {}", checksum(c))
        }
        Method::Tun(Tunnel::Gre { checksum: c }) => format!("TUN type gre {}", checksum(c)),
    }
}

fn scheduler(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::Rr => "rr",
        Scheduler::Wrr => "wrr",
        Scheduler::Lc => "lc",
        Scheduler::Wlc => "wlc",
        Scheduler::Lblc => "lblc",
        Scheduler::Lblcr => "lblcr",
        Scheduler::Dh => "dh",
        Scheduler::Sh => "sh",
        Scheduler::Mh => "mh",
        Scheduler::Sed => "sed",
        Scheduler::Nq => "nq",
        Scheduler::Fo => "fo",
        Scheduler::Ovf => "ovf",
        Scheduler::Twos => "twos",
    }
}

/// The words behind `virtual_server`, and those of its header that may have said so.
fn header(key: &ServiceKey) -> (String, Vec<String>) {
    match key {
        ServiceKey::Address {
            addr,
            port,
            transport: _,
        } => {
            let written = format!("{addr} {port}");
            let mut forms = vec![written.clone()];
            if *port == 0 {
                forms.push(addr.to_string());
            }
            (written, forms)
        }
        ServiceKey::Fwmark { mark, family: _ } => {
            let written = format!("fwmark {mark}");
            (written.clone(), vec![written])
        }
        ServiceKey::Group { name, number: _ } => (
            format!("group {}", word(name)),
            vec![format!("group {name}")],
        ),
    }
}

/// The family that `ip_family` sets: that of marks.
fn family_of(key: &ServiceKey, listen: &[Listen]) -> Option<Family> {
    match key {
        ServiceKey::Address { .. } => None,
        ServiceKey::Fwmark { family, .. } => Some(*family),
        ServiceKey::Group { .. } => listen.iter().find_map(|l| match l {
            Listen::Fwmark { family, .. } => Some(*family),
            Listen::Addresses { .. } => None,
        }),
    }
}

/// One virtual server.
pub(crate) fn server(s: &mut Sheet<'_>, server: &VirtualServer) {
    let VirtualServer {
        key,
        listen,
        transport: protocol,
        scheduler: algorithm,
        flags,
        ops,
        persistence,
        ha_suspend,
        quorum,
        hysteresis,
        alpha,
        omega,
        virtualhost,
        snmp_name,
        real_servers,
        sorry_server,
        hooks,
    } = server;
    let (words, forms) = header(key);
    let said: Vec<Statement<'_>> = forms
        .iter()
        .flat_map(|form| s.top("virtual_server", form))
        .collect();
    s.block(&format!("virtual_server {words}"), &said, |s| {
        s.option("protocol", protocol.map(transport));
        if let Some(of) = family_of(key, listen) {
            s.key("ip_family", family(of));
        }
        let from = [Said::Here("lvs_sched"), Said::Here("lb_algo")];
        s.key_from("lvs_sched", scheduler(*algorithm), &from);
        scheduler_flags(s, *flags);
        s.flag("ops", *ops);
        persistent(s, persistence.as_ref());
        s.flag("ha_suspend", *ha_suspend);
        let checkers = real_servers.iter().flat_map(|r| &r.checkers);
        if let Some(timeout) = checks::odd_timeout(checkers) {
            s.key("delay_loop", timeout);
        }
        s.option("virtualhost", text(virtualhost.as_ref()));
        s.option("snmp_name", text(snmp_name.as_ref()));
        s.flag("alpha", *alpha);
        s.flag("omega", *omega);
        s.key("quorum", quorum);
        s.key("hysteresis", hysteresis);
        hooked(s, ["quorum_up", "quorum_down"], hooks);
        match sorry_server {
            None => s.remark("sorry_server: none"),
            Some(SorryServer {
                addr,
                method: how,
                inhibit,
            }) => {
                s.key("sorry_server", endpoint(addr));
                s.flag("sorry_server_inhibit", *inhibit);
                let from = ["sorry_server_lvs_method", "lvs_method", "lb_kind"];
                let from = from.map(Said::Here);
                s.key_from("sorry_server_lvs_method", &method(*how), &from);
            }
        }
        let said = s.inner("real_server");
        let mut said = said.into_iter();
        for real in real_servers {
            // In file order; those that are missing here were dropped.
            let said: Vec<_> = said.find(|st| names(st, real)).into_iter().collect();
            real_server(s, real, &said);
        }
    });
}

/// Whether a statement opens the block of that real server.
fn names(statement: &Statement<'_>, real: &RealServer) -> bool {
    let (words, _) = lex::words(statement.text);
    let addr = words.get(1).and_then(|w| value::address_of(w.text));
    addr.is_some_and(|(addr, _)| addr == real.addr.ip())
}

fn scheduler_flags(s: &mut Sheet<'_>, flags: SchedulerFlags) {
    let SchedulerFlags {
        first,
        second,
        third,
    } = flags;
    let says = |own, sh, mh| [Said::Here(own), Said::Here(sh), Said::Here(mh)];
    let from = says("flag-1", "sh-fallback", "mh-fallback");
    s.flag_from("flag-1", first, &from);
    let from = says("flag-2", "sh-port", "mh-port");
    s.flag_from("flag-2", second, &from);
    s.flag("flag-3", third);
}

fn persistent(s: &mut Sheet<'_>, persistence: Option<&Persistence>) {
    let Some(Persistence {
        timeout,
        granularity,
        engine,
    }) = persistence
    else {
        return s.remark("persistence_timeout: none");
    };
    s.key("persistence_timeout", seconds(*timeout));
    s.option(
        "persistence_granularity",
        granularity.map(|g| match g {
            Granularity::V4(mask) => mask.to_string(),
            Granularity::V6(len) => len.to_string(),
        }),
    );
    s.option("persistence_engine", text(engine.as_ref()));
}

fn hooked(s: &mut Sheet<'_>, [on_up, on_down]: [&str; 2], hooks: &Hooks) {
    let Hooks { up, down, mail } = hooks;
    s.script(on_up, up.as_ref().map(|n| &n.command));
    s.script(on_down, down.as_ref().map(|n| &n.command));
    let from = [
        Said::Here("smtp_alert"),
        Said::Global("smtp_alert_checker"),
        Said::Global("smtp_alert"),
    ];
    s.key_from("smtp_alert", switch(*mail), &from);
}

/// One real server, wherever it was written.
pub(crate) fn bare_real(s: &mut Sheet<'_>, real: &RealServer) {
    real_server(s, real, &[]);
}

fn real_server<'a>(s: &mut Sheet<'a>, real: &RealServer, said: &[Statement<'a>]) {
    let RealServer {
        addr,
        weight,
        terms,
        checkers,
    } = real;
    let RealTerms {
        method: how,
        inhibit_on_failure,
        uthreshold,
        lthreshold,
        virtualhost,
        snmp_name,
        hooks,
    } = &**terms;
    s.block(&format!("real_server {}", endpoint(addr)), said, |s| {
        let from = |keyword| [Said::Here(keyword), Said::Outer(keyword)];
        s.key_from("weight", &weight.to_string(), &from("weight"));
        let places = [
            Said::Here("lvs_method"),
            Said::Outer("lvs_method"),
            Said::Outer("lb_kind"),
        ];
        s.key_from("lvs_method", &method(*how), &places);
        let on = switch(*inhibit_on_failure);
        s.key_from("inhibit_on_failure", on, &from("inhibit_on_failure"));
        s.key("uthreshold", uthreshold);
        s.key("lthreshold", lthreshold);
        hooked(s, ["notify_up", "notify_down"], hooks);
        let places = from("virtualhost");
        match virtualhost {
            Some(host) => s.key_from("virtualhost", &word(host), &places),
            None => s.remark("virtualhost: none"),
        }
        s.option("snmp_name", text(snmp_name.as_ref()));
        checks::inherited(s, checkers);
        checks::checkers(s, checkers);
    });
}
