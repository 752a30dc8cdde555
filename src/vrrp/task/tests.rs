use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::daemon::bus::VrrpState;
use crate::model::Config;
use crate::model::global::Global;
use crate::model::net::{IfName, VirtualAddress};
use crate::model::vrrp::{Instance, Version, Vrid};
use crate::sys::testnet::{in_namespace_async, ip, veth};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

struct Daemon {
    commands: Sender<VrrpCommand>,
    trackers: Sender<TrackerUpdate>,
    updates: Receiver<VrrpUpdate>,
    notices: Receiver<Notice>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

/// Starts the task. To be called inside a [`LocalSet`].
fn start() -> Daemon {
    let (commands, for_commands) = mpsc::channel(16);
    let (trackers, for_trackers) = mpsc::channel(16);
    let (for_updates, updates) = mpsc::channel(4096);
    let (for_notices, notices) = mpsc::channel(4096);
    let task = tokio::task::spawn_local(run(Inbox {
        commands: for_commands,
        trackers: for_trackers,
        updates: for_updates,
        notices: for_notices,
    }));
    Daemon {
        commands,
        trackers,
        updates,
        notices,
        task,
    }
}

impl Daemon {
    async fn apply(&self, instances: Vec<Instance>) {
        let config = Arc::new(Config {
            instances: instances.into_iter().map(Arc::new).collect(),
            ..Config::default()
        });
        let (done, wait) = oneshot::channel();
        let command = VrrpCommand::Apply { config, done };
        self.commands.send(command).await.expect("the task runs");
        wait.await.expect("the configuration is in force");
    }

    async fn stop(self, release: Release) {
        let (done, wait) = oneshot::channel();
        let command = VrrpCommand::Stop { release, done };
        self.commands.send(command).await.expect("the task runs");
        wait.await.expect("the task has stopped");
        self.task.await.expect("no panic").expect("no error");
    }

    /// Waits for a transition.
    async fn enters(&mut self, name: &str, wanted: VrrpState) {
        let wait = async {
            while let Some(notice) = self.notices.recv().await {
                if let Notice::Instance {
                    instance, state, ..
                } = notice
                    && (&*instance.name, state) == (name, wanted)
                {
                    return;
                }
            }
            panic!("the task has ended");
        };
        let in_time = tokio::time::timeout(PATIENCE, wait).await;
        in_time.unwrap_or_else(|_| panic!("{name} never entered {}", wanted.word()));
    }
}

/// Looks again and again, while the task runs.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, wait).await;
    in_time.unwrap_or_else(|_| panic!("never: {what}"));
}

fn dev(name: &str) -> IfName {
    IfName::new(name).expect("a name")
}

fn vip(addr: &str, dev: &IfName) -> VirtualAddress {
    let addr: IpAddr = addr.parse().expect("an address");
    VirtualAddress::new(addr, if addr.is_ipv4() { 24 } else { 64 }, dev.clone())
}

/// Version 3, an advertisement every 10 ms: master after 40 ms at most.
fn instance(name: &str, interface: &str, vrid: u8, vips: &[&str]) -> Instance {
    let interface = dev(interface);
    let vrid = Vrid(NonZeroU8::new(vrid).expect("not zero"));
    let mut instance = Instance::new(name, interface.clone(), vrid, &Global::default());
    instance.version = Version::V3;
    instance.advert_int = Duration::from_millis(10);
    instance.addresses = vips.iter().map(|addr| vip(addr, &interface)).collect();
    instance.garp.master_delay = Duration::ZERO;
    instance
}

fn shown(interface: &str) -> String {
    ip(&format!("-o addr show dev {interface}"))
}

fn with_task<F: Future<Output = ()>>(test: impl FnOnce(Daemon) -> F + Send + 'static) {
    in_namespace_async(|| async {
        let set = LocalSet::new();
        set.run_until(async {
            veth("a", "b");
            ip("addr add 10.0.0.1/24 dev a");
            test(start()).await;
        })
        .await;
    });
}

#[test]
fn a_router_alone_becomes_master_and_leaves_nothing_behind() {
    with_task(|mut d| async move {
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.100", "10.0.0.101"])])
            .await;
        d.enters("VI", VrrpState::Backup).await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the addresses are set", || {
            shown("a").contains("10.0.0.101/24")
        })
        .await;
        assert!(shown("a").contains("10.0.0.100/24"));
        d.stop(Release::All).await;
        assert!(!shown("a").contains("10.0.0.10"));
        assert!(shown("a").contains("10.0.0.1/24"));
    });
}
