//! What concerns the whole of IPVS and not one virtual server: `lvs_timeouts`, `lvs_sync_daemon`, `lvs_flush`.
//!
//! Never sends anything itself. What was found is put back at the end; sync daemons are stopped that we have started.
//! Source: keepalived's behaviour, linux/ip_vs.h.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tracing::error;

use crate::daemon::bus::VrrpState;
use crate::model::global::SyncDaemon as Asked;
use crate::model::global::{IpvsSettings, IpvsTimeouts};
use crate::sys::genl::{GenlError, Request};
use crate::sys::ipvs::whole::{Role, SyncDaemon, Timeouts};
use crate::sys::ipvs::{Call, Told};

/// What a request was for, as messages call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Flush,
    Read,
    Timeouts,
    Start,
    Stop,
    /// Of a daemon that may have been left behind: there need not be any.
    Clear,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Whole {
    settings: IpvsSettings,
    /// There are virtual servers.
    serves: bool,
    /// The states of the instances, as far as they were told.
    states: HashMap<Arc<str>, VrrpState>,
    /// What was there before us; asked for when it is needed first.
    found: Option<Timeouts>,
    /// What is in force on our behalf.
    set: Option<Timeouts>,
    /// An earlier run may have set timeouts.
    inherited: bool,
    daemons: Vec<(Role, SyncDaemon)>,
    begun: bool,
}

type Requests = Vec<(Step, Request)>;

impl Whole {
    /// Whether IPVS is needed although there is no virtual server.
    pub(super) fn is_needed(settings: &IpvsSettings) -> bool {
        let daemon = settings.sync_daemon.as_ref();
        daemon.is_some_and(|d| d.instance.is_some())
    }

    /// Start or reload.
    pub(super) fn apply(&mut self, settings: &IpvsSettings, serves: bool) -> Requests {
        let mut out = Vec::new();
        let first = !std::mem::replace(&mut self.begun, true);
        self.serves |= serves;
        self.settings = settings.clone();
        if first && settings.flush {
            out.push((Step::Flush, Call::Flush.request()));
        }
        match self.found {
            None if settings.timeouts != IpvsTimeouts::default() => {
                out.push((Step::Read, Call::Config.request()));
            }
            Some(_) | None => self.time(&mut out),
        }
        if first
            && settings
                .sync_daemon
                .as_ref()
                .is_some_and(|d| d.instance.is_none())
        {
            for role in [Role::Master, Role::Backup] {
                out.push((Step::Clear, Call::DelDaemon(role, 0).request()));
            }
        }
        self.converge(&mut out);
        out
    }

    /// An earlier run has found these, and may have set others. To be called before the first [`Whole::apply`].
    pub(super) fn inherit(&mut self, found: Timeouts) {
        (self.found, self.inherited) = (Some(found), true);
    }

    pub(super) fn found(&self) -> Option<Timeouts> {
        self.found
    }

    /// An instance entered a state.
    pub(super) fn follow(&mut self, name: Arc<str>, state: VrrpState) -> Requests {
        self.states.insert(name, state);
        let mut out = Vec::new();
        self.converge(&mut out);
        out
    }

    /// The end: all as it was found.
    pub(super) fn stop(&mut self) -> Requests {
        let mut out = Vec::new();
        self.settings = IpvsSettings::default();
        self.converge(&mut out);
        self.time(&mut out);
        out
    }

    /// Takes in an answer.
    pub(super) fn take_in(&mut self, step: Step, answer: Result<Told, GenlError>) -> Requests {
        let mut out = Vec::new();
        match (step, answer) {
            (Step::Read, Ok(told)) => {
                self.found = told.timeouts;
                self.time(&mut out);
            }
            (Step::Start, Err(GenlError::Refused(Errno::EEXIST)))
            | (Step::Stop, Err(GenlError::Refused(Errno::ESRCH)))
            | (Step::Clear, _)
            | (_, Ok(_)) => {}
            (step, Err(e)) => error!("IPVS cmd {} error: {e}", step.word()),
        }
        out
    }

    /// Sets the timeouts that are wanted, if others are in force.
    fn time(&mut self, out: &mut Requests) {
        let Some(found) = self.found else {
            return;
        };
        let wanted = &self.settings.timeouts;
        let seconds = |d: Option<Duration>, found| {
            d.map_or(found, |d| u32::try_from(d.as_secs()).unwrap_or(found))
        };
        let wanted = Timeouts {
            tcp: seconds(wanted.tcp, found.tcp),
            tcp_fin: seconds(wanted.tcp_fin, found.tcp_fin),
            udp: seconds(wanted.udp, found.udp),
        };
        let unsure = std::mem::take(&mut self.inherited);
        if unsure || self.set.unwrap_or(found) != wanted {
            self.set = Some(wanted);
            out.push((Step::Timeouts, Call::SetConfig(wanted).request()));
        }
    }

    /// Which sync daemons should run.
    fn wanted(&self) -> Vec<(Role, SyncDaemon)> {
        let Some(asked) = &self.settings.sync_daemon else {
            return Vec::new();
        };
        let roles = match &asked.instance {
            Some(name) => match self.states.get(name) {
                Some(VrrpState::Master) => vec![Role::Master],
                Some(
                    VrrpState::Backup | VrrpState::Fault | VrrpState::Stop | VrrpState::Deleted,
                )
                | None => vec![Role::Backup],
            },
            None if self.serves => vec![Role::Master, Role::Backup],
            None => Vec::new(),
        };
        roles.into_iter().map(|r| (r, daemon(asked))).collect()
    }

    /// Stops what should not run, then starts what should.
    fn converge(&mut self, out: &mut Requests) {
        let wanted = self.wanted();
        for (role, daemon) in self.daemons.iter().filter(|d| !wanted.contains(d)) {
            out.push((Step::Stop, Call::DelDaemon(*role, daemon.id).request()));
        }
        for (role, daemon) in wanted.iter().filter(|d| !self.daemons.contains(d)) {
            out.push((Step::Start, Call::NewDaemon(*role, daemon).request()));
        }
        self.daemons = wanted;
    }
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Flush => "IP_VS_SO_SET_FLUSH(1157)",
            Self::Read => "IP_VS_SO_GET_TIMEOUT",
            Self::Timeouts => "IP_VS_SO_SET_TIMEOUT(1162)",
            Self::Start => "IP_VS_SO_SET_STARTDAEMON(1163)",
            Self::Stop | Self::Clear => "IP_VS_SO_SET_STOPDAEMON(1164)",
        }
    }
}

fn daemon(asked: &Asked) -> SyncDaemon {
    SyncDaemon {
        interface: asked.interface.as_str().to_owned(),
        id: asked.id,
        maxlen: asked.maxlen,
        port: asked.port,
        ttl: asked.ttl,
        group: asked.group,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::net::IfName;

    fn steps(requests: Requests) -> Vec<Step> {
        requests.into_iter().map(|(step, _)| step).collect()
    }

    fn following(instance: Option<&str>) -> IpvsSettings {
        IpvsSettings {
            sync_daemon: Some(Asked {
                interface: IfName::new("eth0").expect("a name"),
                instance: instance.map(Into::into),
                id: 51,
                maxlen: None,
                port: None,
                ttl: None,
                group: None,
            }),
            ..IpvsSettings::default()
        }
    }

    #[test]
    fn a_sync_daemon_follows_its_instance_and_ends_with_us() {
        let mut w = Whole::default();
        let settings = following(Some("VI_1"));
        assert!(Whole::is_needed(&settings));
        assert_eq!(steps(w.apply(&settings, false)), [Step::Start]);
        assert_eq!(
            steps(w.apply(&settings, false)),
            [],
            "a reload changes nothing"
        );
        let turn = [Step::Stop, Step::Start];
        assert_eq!(steps(w.follow("VI_1".into(), VrrpState::Master)), turn);
        assert_eq!(w.daemons[0].0, Role::Master);
        assert_eq!(steps(w.follow("VI_2".into(), VrrpState::Fault)), []);
        assert_eq!(steps(w.follow("VI_1".into(), VrrpState::Fault)), turn);
        assert_eq!(w.daemons[0].0, Role::Backup);
        assert_eq!(steps(w.stop()), [Step::Stop]);
    }

    #[test]
    fn without_an_instance_both_run_while_there_are_virtual_servers() {
        let mut w = Whole::default();
        let settings = following(None);
        assert!(!Whole::is_needed(&settings));
        let clear = [Step::Clear, Step::Clear];
        assert_eq!(steps(w.apply(&settings, false)), clear);
        let both = [Step::Start, Step::Start];
        assert_eq!(steps(w.apply(&settings, true)), both);
        assert_eq!(steps(w.stop()), [Step::Stop, Step::Stop]);
    }

    #[test]
    fn timeouts_are_put_back_to_what_was_found_first() {
        let mut w = Whole::default();
        let mut settings = IpvsSettings::default();
        assert_eq!(steps(w.apply(&settings, true)), []);
        settings.timeouts.tcp = Some(Duration::from_secs(7200));
        assert_eq!(steps(w.apply(&settings, true)), [Step::Read]);
        let found = Timeouts {
            tcp: 900,
            tcp_fin: 120,
            udp: 300,
        };
        let told = Told {
            timeouts: Some(found),
            ..Told::default()
        };
        assert_eq!(steps(w.take_in(Step::Read, Ok(told))), [Step::Timeouts]);
        assert_eq!(w.set, Some(Timeouts { tcp: 7200, ..found }));
        assert_eq!(steps(w.apply(&settings, true)), []);
        assert_eq!(steps(w.stop()), [Step::Timeouts]);
        assert_eq!(w.set, Some(found));
    }

    #[test]
    fn timeouts_of_a_run_that_was_killed_are_put_back_at_once_or_at_the_end() {
        let found = Timeouts {
            tcp: 900,
            tcp_fin: 120,
            udp: 300,
        };
        let mut w = Whole::default();
        w.inherit(found);
        assert_eq!(
            steps(w.apply(&IpvsSettings::default(), true)),
            [Step::Timeouts]
        );
        assert_eq!(w.set, Some(found));
        let mut w = Whole::default();
        w.inherit(found);
        let mut settings = IpvsSettings::default();
        settings.timeouts.udp = Some(Duration::from_secs(60));
        assert_eq!(steps(w.apply(&settings, true)), [Step::Timeouts]);
        assert_eq!(w.set, Some(Timeouts { udp: 60, ..found }));
        assert_eq!(steps(w.stop()), [Step::Timeouts]);
        assert_eq!(w.set, Some(found));
    }
}
