//! The thread's place among others: `vrrp_rt_priority` and its like, and `max_auto_priority` when it is served late.

use std::sync::Arc;
use std::time::Duration;

use super::spare::{Spares, Ward};
use crate::model::process::{AutoPriority, Process, Scheduling};
use crate::sys::schedule::{self, Plan};

/// See the module.
#[derive(Debug)]
pub(super) struct Tuning {
    /// The thread that does the kernel work.
    worker: libc::pid_t,
    /// What is in force.
    plan: Plan,
    /// How far lateness may raise the priority; 0: not at all.
    highest: u8,
    delay: Duration,
    /// `vrrp_process_name`.
    name: Option<Arc<str>>,
    /// While it is real-time.
    spares: Spares,
    /// Of the intervals of all instances.
    shortest: Option<Duration>,
}

impl Tuning {
    /// An ordinary thread, and its `worker`; both of them as they are watched over.
    pub(super) fn new(worker: libc::pid_t, wards: [Arc<Ward>; 2]) -> Self {
        Self {
            worker,
            plan: Plan::default(),
            highest: 0,
            delay: Duration::ZERO,
            name: None,
            spares: Spares::new(wards),
            shortest: None,
        }
    }

    /// Takes a configuration. A priority that lateness has raised goes back. `shortest`: of the intervals of all instances.
    pub(super) fn apply(&mut self, process: &Process, shortest: Option<Duration>) {
        self.shortest = shortest;
        self.highest = match process.auto_priority {
            AutoPriority::Off | AutoPriority::Silent => 0,
            AutoPriority::UpTo(highest) => highest,
        };
        self.delay = process.auto_priority_delay;
        if process.names.vrrp != self.name {
            let name = process.names.vrrp.as_deref().unwrap_or("keepalived_vrrp");
            if let Err(e) = std::fs::write("/proc/thread-self/comm", name) {
                tracing::warn!(err = %e, "cannot change the name of the VRRP thread");
            }
            self.name.clone_from(&process.names.vrrp);
        }
        self.change(plan(&process.vrrp));
    }

    /// A deadline was served `by` late. keepalived: that is told whether or not the priority may be raised.
    pub(super) fn late(&mut self, by: Duration) {
        if by < self.delay {
            return;
        }
        let (secs, micros) = (by.as_secs(), by.subsec_micros());
        tracing::warn!("A thread timer expired {secs}.{micros:06} seconds ago");
        let now = self.plan.real_time.unwrap_or(0);
        if now >= self.highest {
            return;
        }
        tracing::info!("Set realtime priority {}", now + 1);
        self.change(Plan {
            real_time: Some(now + 1),
            ..self.plan.clone()
        });
    }

    /// To be called once a turn.
    pub(super) fn turn(&self) {
        if self.plan.real_time.is_some() && schedule::restore() {
            tracing::warn!("one turn took longer than vrrp_rlimit_rttime allows");
        }
    }

    fn change(&mut self, plan: Plan) {
        for (what, err) in schedule::apply(&self.plan, &plan) {
            tracing::warn!(%err, "cannot set the {what} of the VRRP thread");
        }
        if plan.real_time != self.plan.real_time
            && let Err(err) = schedule::follow(self.worker, plan.real_time)
        {
            tracing::warn!(%err, "cannot set the real-time priority of the thread for kernel work");
        }
        self.plan = plan;
        // Where that was refused, spare threads would be refused, too.
        let priority = self.plan.real_time.filter(|_| schedule::is_real_time());
        self.spares.arrange(priority, self.shortest);
    }
}

fn plan(s: &Scheduling) -> Plan {
    Plan {
        nice: s.nice,
        real_time: s.rt_priority,
        cpus: s
            .cpus
            .iter()
            .filter_map(|cpu| usize::try_from(*cpu).ok())
            .collect(),
        limit: s.rlimit_rttime,
        locked: s.no_swap,
    }
}
