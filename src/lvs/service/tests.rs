//! Stories of one virtual server, with the lines that keepalived 2.2.7 logged in the same story.

mod any;
mod reload;
mod told;

use nix::errno::Errno;

use super::*;
use crate::daemon::bus::Notice;
use crate::lvs::checker::connect::Connect;
use crate::lvs::checker::{Check, Local, Step};
use crate::lvs::desired::desired;
use crate::model::lvs::{
    Hooks, Listen, Method, RealTerms, Scheduler, SchedulerFlags, ServiceKey, Timing, Transport,
};

pub(crate) fn checker(port: u16) -> Checker {
    Checker {
        check: Check::Tcp(Connect::to(([10, 0, 0, 1], port).into())),
        timing: Arc::new(Timing {
            delay_loop: Duration::from_secs(6),
            connect_timeout: Duration::from_secs(5),
            retry: 0,
            delay_before_retry: Duration::from_secs(1),
            warmup: Duration::ZERO,
            alpha: false,
            log_all_failures: false,
        }),
    }
}

pub(crate) fn rs(last: u8) -> RealServer {
    RealServer {
        addr: ([10, 0, 0, last], 80).into(),
        weight: 1,
        terms: Arc::new(RealTerms {
            method: Method::Nat,
            inhibit_on_failure: false,
            uthreshold: 0,
            lthreshold: 0,
            virtualhost: None,
            snmp_name: None,
            hooks: Hooks::default(),
        }),
        checkers: vec![checker(80)].into(),
    }
}

pub(crate) fn vs(real_servers: Vec<RealServer>) -> VirtualServer {
    VirtualServer {
        key: ServiceKey::Address {
            addr: [10, 9, 9, 9].into(),
            port: 80,
            transport: Transport::Tcp,
        },
        listen: vec![Listen::Addresses {
            first: [10, 9, 9, 9].into(),
            last: [10, 9, 9, 9].into(),
            port: 80,
        }],
        transport: Some(Transport::Tcp),
        scheduler: Scheduler::Rr,
        flags: SchedulerFlags::default(),
        ops: false,
        persistence: None,
        ha_suspend: false,
        quorum: 1,
        hysteresis: 0,
        virtualhost: None,
        snmp_name: None,
        alpha: false,
        omega: false,
        real_servers,
        sorry_server: None,
        hooks: Hooks::default(),
    }
}

/// The same virtual server on another port.
pub(crate) fn moved(mut vs: VirtualServer, to: u16) -> VirtualServer {
    if let ServiceKey::Address { port, .. } = &mut vs.key {
        *port = to;
    }
    for listen in &mut vs.listen {
        if let Listen::Addresses { port, .. } = listen {
            *port = to;
        }
    }
    vs
}

pub(crate) fn sorry() -> SorryServer {
    SorryServer {
        addr: ([10, 0, 0, 14], 80).into(),
        method: Method::Nat,
        inhibit: false,
    }
}

const GOOD: Result<Good, Down> = Ok(Good::Plain);
const BAD: Result<Good, Down> = Err(Down::Connect(Errno::ECONNREFUSED));

/// Nothing more than usual is told.
const QUIET: Manners = Manners {
    tell_start: false,
    mail_checkers: true,
};

/// A service with all that it said.
struct Story {
    service: Service,
    ids: CheckIds,
    out: Vec<Action>,
}

impl Story {
    fn start(cfg: VirtualServer) -> Self {
        let (mut ids, mut out) = (CheckIds::default(), Vec::new());
        let service = Service::start(
            Arc::new(cfg),
            QUIET,
            (&[], &HashSet::new()),
            &mut ids,
            &mut out,
        );
        Self { service, ids, out }
    }

    fn result(&mut self, server: usize, result: Result<Good, Down>) -> Duration {
        self.service.on_result(server, 0, result, &mut self.out)
    }

    fn reload(&mut self, cfg: VirtualServer) {
        self.service
            .reload(Arc::new(cfg), QUIET, &[], &mut self.ids, &mut self.out);
    }

    /// The log so far, and forgets it.
    fn log(&mut self) -> Vec<String> {
        let lines = self.out.drain(..).filter_map(|a| match a {
            Action::Report(r) => Some(r.to_string()),
            Action::Probe(_) | Action::Cancel(_) | Action::Converge(_) | Action::Notice(_) => None,
        });
        lines.collect()
    }

    /// The notices so far, and forgets them: the last octet of the real server, or 0 for the virtual one.
    fn notices(&mut self) -> Vec<(u8, bool)> {
        let last = |name: Arc<str>| {
            let addr = name.split(['[', ']']).nth(1);
            let octet = addr.and_then(|a| a.rsplit('.').next()?.parse().ok());
            octet.expect("an IPv4 address in the name")
        };
        let found = self.out.drain(..).filter_map(|a| match a {
            Action::Notice(Notice::RealServer { rs, up, .. }) => Some((last(rs), up)),
            Action::Notice(Notice::VirtualServer { up, .. }) => Some((0, up)),
            Action::Notice(
                Notice::Instance { .. }
                | Notice::Group { .. }
                | Notice::LowerPriorityHeard { .. }
                | Notice::PriorityChanged { .. }
                | Notice::ServerMail { .. },
            )
            | Action::Probe(_)
            | Action::Cancel(_)
            | Action::Converge(_)
            | Action::Report(_) => None,
        });
        found.collect()
    }

    /// Last octet and weight of every destination that is wanted.
    fn pool(&self) -> Vec<(u8, u32)> {
        let wanted = desired(&self.service, None).remove(0);
        let one = |d: crate::lvs::desired::WantedDest| match d.addr.ip() {
            std::net::IpAddr::V4(v4) => (v4.octets()[3], d.weight),
            std::net::IpAddr::V6(_) => (255, d.weight),
        };
        wanted.dests.into_iter().map(one).collect()
    }
}

#[test]
fn everybody_serves_from_the_start_and_leaves_at_the_first_failure() {
    let mut s = Story::start(vs(vec![rs(11), rs(12)]));
    assert_eq!(s.pool(), [(11, 1), (12, 1)]);
    assert_eq!(
        s.log(),
        ["Gained quorum 1+0=1 <= 2 for VS [10.9.9.9]:tcp:80"]
    );
    s.result(0, GOOD);
    s.result(1, BAD);
    assert_eq!(s.pool(), [(11, 1)]);
    assert_eq!(
        s.log(),
        [
            "TCP connection to [10.0.0.11]:tcp:80 success.",
            "TCP_CHECK on service [10.0.0.12]:tcp:80 failed.",
            "Removing service [10.0.0.12]:tcp:80 from VS [10.9.9.9]:tcp:80",
        ]
    );
    s.result(1, GOOD);
    assert_eq!(
        s.log(),
        [
            "TCP connection to [10.0.0.12]:tcp:80 success.",
            "Adding service [10.0.0.12]:tcp:80 to VS [10.9.9.9]:tcp:80",
        ]
    );
}

#[test]
fn notices_name_the_server_before_the_quorum() {
    let mut s = Story::start(vs(vec![rs(11)]));
    assert_eq!(s.notices(), [(0, true)]);
    s.result(0, GOOD);
    assert_eq!(s.notices(), [], "up was assumed");
    s.result(0, BAD);
    assert_eq!(s.notices(), [(11, false), (0, false)]);
    s.result(0, GOOD);
    assert_eq!(s.notices(), [(11, true), (0, true)]);
}

#[test]
fn alpha_serves_after_the_first_success_and_says_so_when_it_fails() {
    let mut cfg = vs(vec![rs(11), rs(12)]);
    for rs in &mut cfg.real_servers {
        rs.checkers[0].alpha = true;
    }
    let mut s = Story::start(cfg);
    assert_eq!(s.pool(), []);
    assert_eq!(s.log(), [""; 0]);
    s.result(0, BAD);
    assert_eq!(s.notices(), [(11, false)]);
    s.result(0, BAD);
    assert_eq!(s.notices(), []);
    s.result(0, GOOD);
    assert_eq!(
        s.log(),
        [
            "TCP connection to [10.0.0.11]:tcp:80 success.",
            "Adding service [10.0.0.11]:tcp:80 to VS [10.9.9.9]:tcp:80",
            "Gained quorum 1+0=1 <= 1 for VS [10.9.9.9]:tcp:80",
        ]
    );
    assert_eq!(s.pool(), [(11, 1)]);
}

#[test]
fn the_quorum_is_lost_below_and_gained_above_the_hysteresis() {
    let mut cfg = vs(vec![rs(11), rs(12), rs(13)]);
    (cfg.quorum, cfg.hysteresis) = (5, 2);
    for rs in &mut cfg.real_servers {
        rs.weight = 3;
    }
    let mut s = Story::start(cfg);
    assert_eq!(
        s.log(),
        ["Gained quorum 5+2=7 <= 9 for VS [10.9.9.9]:tcp:80"]
    );
    s.result(0, BAD);
    s.result(1, BAD);
    assert!(s.service.quorum_met(), "3 is not below 5 - 2");
    s.log();
    s.result(2, BAD);
    assert_eq!(
        s.log().last().map(String::as_str),
        Some("Lost quorum 5-2=3 > 0 for VS [10.9.9.9]:tcp:80")
    );
    s.result(0, GOOD);
    s.result(1, GOOD);
    assert!(!s.service.quorum_met(), "6 is below 5 + 2");
    s.result(2, GOOD);
    assert!(s.service.quorum_met());
}

#[test]
fn a_sorry_server_stands_in_while_the_quorum_is_lost() {
    let mut cfg = vs(vec![rs(11), rs(12)]);
    cfg.quorum = 2;
    cfg.sorry_server = Some(SorryServer {
        inhibit: true,
        ..sorry()
    });
    for rs in &mut cfg.real_servers {
        rs.inhibit_on_failure = true;
    }
    let mut s = Story::start(cfg);
    assert_eq!(s.pool(), [(11, 1), (12, 1), (14, 0)]);
    s.log();
    s.result(0, BAD);
    assert_eq!(s.pool(), [(11, 0), (12, 0), (14, 1)]);
    assert_eq!(
        s.log(),
        [
            "TCP_CHECK on service [10.0.0.11]:tcp:80 failed.",
            "Disabling service [10.0.0.11]:tcp:80 of VS [10.9.9.9]:tcp:80",
            "Lost quorum 2-0=2 > 1 for VS [10.9.9.9]:tcp:80",
            "Enabling sorry server [10.0.0.14]:tcp:80 to VS [10.9.9.9]:tcp:80",
            "Removing alive servers from the pool for VS [10.9.9.9]:tcp:80",
        ]
    );
    s.result(0, GOOD);
    assert_eq!(s.pool(), [(11, 1), (12, 1), (14, 0)]);
    assert_eq!(
        s.log(),
        [
            "TCP connection to [10.0.0.11]:tcp:80 success.",
            "Enabling service [10.0.0.11]:tcp:80 of VS [10.9.9.9]:tcp:80",
            "Gained quorum 2+0=2 <= 2 for VS [10.9.9.9]:tcp:80",
            "Disabling sorry server [10.0.0.14]:tcp:80 from VS [10.9.9.9]:tcp:80",
            "Adding alive servers to the pool for VS [10.9.9.9]:tcp:80",
        ]
    );
}

#[test]
fn a_start_below_the_quorum_begins_with_the_sorry_server() {
    let mut cfg = vs(vec![rs(11), rs(12)]);
    (cfg.quorum, cfg.hysteresis) = (2, 1);
    cfg.sorry_server = Some(sorry());
    let mut s = Story::start(cfg);
    assert_eq!(s.pool(), [(14, 1)]);
    assert_eq!(
        s.log(),
        [
            "Starting with quorum down 2-1=3 > 2 for VS [10.9.9.9]:tcp:80",
            "Adding sorry server [10.0.0.14]:tcp:80 to VS [10.9.9.9]:tcp:80",
            "Removing alive servers from the pool for VS [10.9.9.9]:tcp:80",
        ]
    );
}

#[test]
fn a_sorry_server_that_is_a_real_server_is_in_the_table_once() {
    let mut cfg = vs(vec![rs(11), rs(14)]);
    cfg.quorum = 2;
    cfg.sorry_server = Some(SorryServer {
        inhibit: true,
        ..sorry()
    });
    let mut s = Story::start(cfg);
    assert_eq!(s.pool(), [(11, 1), (14, 1)]);
    s.result(0, BAD);
    assert_eq!(s.pool(), [(14, 1)]);
}

#[test]
fn trouble_of_this_machine_changes_nothing_and_is_told_once() {
    let mut s = Story::start(vs(vec![rs(11)]));
    s.log();
    let trouble = Err(Down::Local(Local {
        step: Step::Bind,
        errno: Errno::EADDRNOTAVAIL,
    }));
    assert_eq!(s.result(0, trouble), Duration::from_secs(6));
    s.result(0, trouble);
    assert_eq!(s.log().len(), 1);
    assert_eq!(s.pool(), [(11, 1)]);
    s.result(0, BAD);
    assert_eq!(s.pool(), [], "the first real result counts as the first");
}

#[test]
fn all_failures_are_told_on_request_while_they_may_matter() {
    let mut cfg = vs(vec![rs(11)]);
    let check = &mut cfg.real_servers[0].checkers[0];
    (check.retry, check.log_all_failures) = (1, true);
    let mut s = Story::start(cfg);
    s.result(0, GOOD);
    s.log();
    s.result(0, Err(Down::Timeout));
    s.result(0, BAD);
    s.result(0, BAD);
    assert_eq!(
        s.log(),
        [
            "TCP connection to [10.0.0.11]:tcp:80 timeout.",
            "TCP connection to [10.0.0.11]:tcp:80 failed.",
            "TCP_CHECK on service [10.0.0.11]:tcp:80 failed after 1 retries.",
            "Removing service [10.0.0.11]:tcp:80 from VS [10.9.9.9]:tcp:80",
            "Lost quorum 1-0=1 > 0 for VS [10.9.9.9]:tcp:80",
        ]
    );
}

#[test]
fn a_server_is_down_while_any_of_its_checkers_is() {
    let mut cfg = vs(vec![rs(11)]);
    cfg.real_servers[0].checkers = vec![checker(80), checker(443)].into();
    let mut s = Story::start(cfg);
    s.service.on_result(0, 0, BAD, &mut s.out);
    s.service.on_result(0, 1, BAD, &mut s.out);
    s.notices();
    s.service.on_result(0, 0, GOOD, &mut s.out);
    assert_eq!((s.notices(), s.pool()), (vec![], vec![]));
    s.service.on_result(0, 1, GOOD, &mut s.out);
    assert_eq!(s.notices(), [(11, true), (0, true)]);
}

#[test]
fn stop_tells_scripts_only_with_omega() {
    let mut cfg = vs(vec![rs(11), rs(12)]);
    cfg.real_servers[1].inhibit_on_failure = true;
    for (omega, notices) in [(false, vec![]), (true, vec![(11, false), (0, false)])] {
        cfg.omega = omega;
        let mut s = Story::start(cfg.clone());
        s.result(1, BAD);
        s.out.clear();
        s.service.stop(true, &mut s.out);
        let actions = s.out.clone();
        assert_eq!(s.notices(), notices);
        s.out = actions;
        assert_eq!(
            s.log(),
            [
                "Shutting down service [10.0.0.11]:tcp:80 from VS [10.9.9.9]:tcp:80",
                "Shutting down (inhibited) service [10.0.0.12]:tcp:80 from VS [10.9.9.9]:tcp:80",
            ]
        );
    }
}

#[test]
fn who_made_room_for_the_sorry_server_does_not_go_down_once_more() {
    let mut cfg = vs(vec![rs(11), rs(12)]);
    (cfg.quorum, cfg.omega, cfg.sorry_server) = (2, true, Some(sorry()));
    for inhibit in [false, true] {
        cfg.real_servers[1].inhibit_on_failure = inhibit;
        let fallen = || {
            let mut s = Story::start(cfg.clone());
            s.result(0, BAD);
            s.out.clear();
            s
        };
        let of_server: &[_] = if inhibit { &[(12, false)] } else { &[] };
        let mut s = fallen();
        s.service.stop(true, &mut s.out);
        assert_eq!(s.notices(), [of_server, &[(0, false)]].concat());
        let mut s = fallen();
        let mut without = cfg.clone();
        (without.quorum, without.real_servers) = (1, vec![rs(11)]);
        s.reload(without);
        assert_eq!(s.notices(), of_server);
        let mut s = fallen();
        s.service.remove(&mut s.out);
        assert_eq!(s.notices(), of_server);
    }
}

#[test]
fn mails_are_sent_where_they_are_wanted_with_the_words_of_the_checker() {
    let mut cfg = vs(vec![rs(1), rs(2)]);
    cfg.hooks.mail = true;
    cfg.real_servers[0].hooks.mail = true;
    let mut s = Story::start(cfg);
    s.out.clear();
    for server in [0, 1] {
        s.service.on_result(server, 0, BAD, &mut s.out);
    }
    let mut mails = Vec::new();
    for action in &s.out {
        if let Action::Notice(Notice::ServerMail { rs, up, text, .. }) = action {
            mails.push((rs.is_some(), *up, text.to_string()));
        }
    }
    let expected = [
        (true, false, "TCP CHECK failed on service".to_owned()),
        (false, false, "Lost quorum 1-0=1 > 0".to_owned()),
    ];
    assert_eq!(mails, expected);
}
