//! The end: every master resigns, then all that is ours leaves the kernel, and only then the daemon is told.

use super::Router;
use crate::daemon::bus::{Notice, Release, VrrpState};
use crate::time::Mono;
use crate::vrrp::Action;
use crate::vrrp::instance::State;
use crate::vrrp::sync::Unit;

impl Router {
    pub(super) fn stop(&mut self, now: Mono, release: Release, out: &mut Vec<Action>) {
        // Every resignation leaves before any kernel work is asked for.
        if release == Release::All {
            for instance in self.instances.iter_mut() {
                if let State::Master(_) = instance.state {
                    instance.resign(now, 1, out);
                }
            }
        }
        let mut farewell: Vec<Notice> = self.units.iter_mut().flat_map(Unit::take).collect();
        for id in self.units.iter().flat_map(|u| u.members.iter()) {
            let Some(instance) = self.instances.get_mut(*id) else {
                continue;
            };
            farewell.push(Notice::Instance {
                instance: instance.model.clone(),
                state: VrrpState::Stop,
                priority: instance.priority(),
            });
            if release == Release::All {
                instance.become_idle(out);
            }
        }
        let groups = self.units.iter().filter_map(|u| u.group.clone());
        farewell.extend(groups.map(|group| Notice::Group {
            group,
            state: VrrpState::Stop,
        }));
        self.farewell = Some(farewell);
        self.say_farewell(out);
    }

    pub(super) fn say_farewell(&mut self, out: &mut Vec<Action>) {
        if let Some(farewell) = &mut self.farewell
            && self.instances.iter().all(|i| i.converging == 0)
        {
            out.extend(farewell.drain(..).map(Action::Notice));
        }
    }
}
