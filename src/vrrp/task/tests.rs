use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::*;
use crate::daemon::bus::VrrpState;
use crate::model::Config;
use crate::model::global::{Global, IpvsSettings};
use crate::model::net::{Family, IfName, VirtualAddress};
use crate::model::vrrp::{InitialState, Instance, Priority, Version, Vrid};
use crate::sys::monitor::Monitor;
use crate::sys::raw::{Device, Ear, Ears, Heard};
use crate::sys::testnet::{in_namespace_async, index, ip, veth};
use crate::sys::view::Change;
use crate::vrrp::Protocol;

/// RFC 9568 §5.1.2.2.
const GROUP: &str = "ff02::12";
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
        held: None,
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
        self.apply_with(instances, IpvsSettings::default()).await;
    }

    async fn apply_with(&self, instances: Vec<Instance>, ipvs: IpvsSettings) {
        let config = Arc::new(Config {
            instances: instances.into_iter().map(Arc::new).collect(),
            global: Arc::new(Global {
                ipvs,
                ..Global::default()
            }),
            ..Config::default()
        });
        let (done, wait) = oneshot::channel();
        let command = VrrpCommand::Apply { config, done };
        self.commands.send(command).await.expect("the task runs");
        wait.await.expect("the configuration is in force");
    }

    pub(super) async fn stop(self, release: Release) {
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

fn vip(addr: &str, dev: &IfName) -> Arc<VirtualAddress> {
    let addr: IpAddr = addr.parse().expect("an address");
    let prefix_len = if addr.is_ipv4() { 24 } else { 64 };
    VirtualAddress::new(addr, prefix_len, dev.clone()).into()
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

#[test]
fn addresses_of_an_earlier_run_are_removed_and_those_of_others_stay() {
    with_task(|mut d| async move {
        for addr in ["10.0.0.100/24", "10.0.0.200/24", "fd00::100/64"] {
            ip(&format!("addr add {addr} dev a"));
        }
        let mut slow = instance("VI", "a", 51, &["10.0.0.100", "10.0.0.101"]);
        slow.advert_int = Duration::from_secs(10);
        slow.excluded = vec![vip("fd00::100", &dev("a"))];
        d.apply(vec![slow]).await;
        d.enters("VI", VrrpState::Backup).await;
        let now = shown("a");
        assert!(!now.contains("10.0.0.100") && !now.contains("fd00::100"));
        assert!(now.contains("10.0.0.200") && now.contains("10.0.0.1/24"));
        d.stop(Release::All).await;
        assert!(shown("a").contains("10.0.0.200"));
    });
}

#[test]
fn an_owner_takes_its_addresses_over_without_a_gap() {
    with_task(|mut d| async move {
        ip("addr add 10.0.0.100/24 dev a");
        let mut watch = Monitor::open().expect("a monitor");
        watch.drain();
        let mut owner = instance("VI", "a", 51, &["10.0.0.100"]);
        owner.priority = Priority::OWNER;
        owner.initial_state = InitialState::Master;
        d.apply(vec![owner]).await;
        d.enters("VI", VrrpState::Master).await;
        assert_eq!(watch.drain(), []);
        d.stop(Release::All).await;
        assert!(!shown("a").contains("10.0.0.100"));
    });
}

#[test]
fn with_nothing_to_release_everything_stays() {
    with_task(|mut d| async move {
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.100"])])
            .await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the address is set", || shown("a").contains("10.0.0.100")).await;
        d.stop(Release::Nothing).await;
        assert!(shown("a").contains("10.0.0.100"));
    });
}

#[test]
fn an_address_deleted_by_somebody_else_makes_the_master_give_way_and_return() {
    with_task(|mut d| async move {
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.100", "10.0.0.101"])])
            .await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the address is set", || shown("a").contains("10.0.0.100")).await;
        ip("addr del 10.0.0.100/24 dev a");
        d.enters("VI", VrrpState::Backup).await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the address is set again", || {
            shown("a").contains("10.0.0.100")
        })
        .await;
        d.stop(Release::All).await;
    });
}

#[test]
fn an_address_that_our_own_deletion_takes_along_comes_back() {
    with_task(|mut d| async move {
        // Without promotion the first address of a subnet takes the others along.
        let _ = std::fs::write("/proc/sys/net/ipv4/conf/a/promote_secondaries", "0");
        let both = |vips: &[&str]| vec![instance("VI", "a", 51, vips)];
        d.apply(both(&["10.1.0.100", "10.1.0.101"])).await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the addresses are set", || {
            shown("a").contains("10.1.0.101")
        })
        .await;
        d.apply(both(&["10.1.0.101"])).await;
        eventually("the other one is there", || {
            let now = shown("a");
            !now.contains("10.1.0.100") && now.contains("10.1.0.101")
        })
        .await;
        // Nobody noticed: no transition.
        assert!(d.notices.try_recv().is_err());
        d.stop(Release::All).await;
    });
}

#[test]
fn a_reload_that_changes_a_label_replaces_that_address_only() {
    with_task(|mut d| async move {
        let labelled = |label: &str| {
            let mut i = instance("VI", "a", 51, &["10.0.0.100", "10.0.0.101"]);
            Arc::make_mut(&mut i.addresses[1]).label = Some(label.into());
            vec![i]
        };
        d.apply(labelled("a:1")).await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the addresses are set", || shown("a").contains("a:1")).await;
        let mut watch = Monitor::open().expect("a monitor");
        watch.drain();
        d.apply(labelled("a:2")).await;
        eventually("the label is new", || shown("a").contains("a:2")).await;
        let touched = watch.drain().into_iter().filter_map(|change| match change {
            Change::AddressGone { key, .. } => Some(key.local.to_string()),
            Change::Link(_)
            | Change::LinkGone(_)
            | Change::AddressNew(_)
            | Change::AddressChecked { .. } => None,
        });
        assert_eq!(touched.collect::<Vec<_>>(), ["10.0.0.101"]);
        d.stop(Release::All).await;
    });
}

#[test]
fn an_interface_that_comes_back_under_another_index_serves_again() {
    with_task(|mut d| async move {
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.100", "fd00::100"])])
            .await;
        d.enters("VI", VrrpState::Master).await;
        ip("link del dev a");
        d.enters("VI", VrrpState::Fault).await;
        ip("link add name x type veth peer name y");
        veth("a", "b");
        ip("addr add 10.0.0.1/24 dev a");
        d.enters("VI", VrrpState::Master).await;
        eventually("the addresses are set", || {
            let now = shown("a");
            now.contains("10.0.0.100") && now.contains("fd00::100")
        })
        .await;
        d.stop(Release::All).await;
        let now = shown("a");
        assert!(!now.contains("10.0.0.100") && !now.contains("fd00::100"));
    });
}

#[test]
fn an_address_on_an_interface_that_comes_later_is_set_when_it_comes() {
    with_task(|mut d| async move {
        let mut i = instance("VI", "a", 51, &["10.0.0.100"]);
        // A tracked one would be a fault until then.
        let mut late = VirtualAddress::clone(&vip("10.9.0.1", &dev("late")));
        late.track = false;
        i.excluded = vec![late.into()];
        d.apply(vec![i]).await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the first address is set", || {
            shown("a").contains("10.0.0.100")
        })
        .await;
        veth("late", "late2");
        eventually("the other one follows", || {
            shown("late").contains("10.9.0.1")
        })
        .await;
        d.stop(Release::All).await;
        assert!(!shown("late").contains("10.9.0.1"));
    });
}

#[test]
fn two_thousand_addresses_come_and_go_with_their_master() {
    with_task(|mut d| async move {
        let many: Vec<_> = (0..2000)
            .map(|n| format!("10.{}.{}.1", 1 + n / 250, n % 250))
            .collect();
        let mut heavy = instance("HEAVY", "a", 52, &[]);
        heavy.addresses = vec![vip("10.0.0.100", &dev("a"))];
        heavy.excluded = many.iter().map(|addr| vip(addr, &dev("a"))).collect();
        heavy.garp.master_repeat = 1;
        // A machine that is busy with other tests as well should not look like one that was asleep.
        heavy.advert_int = Duration::from_millis(200);
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.99"])]).await;
        d.enters("VI", VrrpState::Master).await;
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.99"]), heavy])
            .await;
        d.enters("HEAVY", VrrpState::Master).await;
        eventually("the last address is set", || {
            shown("a").contains(many[1999].as_str())
        })
        .await;
        d.stop(Release::All).await;
        assert!(!shown("a").contains("10.0.0.100"));
        assert_eq!(ip("-4 -o addr show dev a").lines().count(), 1);
    });
}

#[test]
fn a_task_that_is_dropped_resigns_and_takes_its_addresses_along() {
    with_task(|mut d| async move {
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.100"])])
            .await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the address is set", || shown("a").contains("10.0.0.100")).await;
        d.task.abort();
        assert!(d.task.await.is_err());
        assert!(!shown("a").contains("10.0.0.100"));
    });
}

#[test]
fn a_panic_takes_the_addresses_along_and_resigns() {
    with_task(|d| async move {
        let (mut ears, mut heard) = (ears_on("b"), VecDeque::new());
        d.task.abort();
        let (commands, for_commands) = mpsc::channel(16);
        let (_trackers, for_trackers) = mpsc::channel(16);
        let (for_updates, _updates) = mpsc::channel(4096);
        let (for_notices, notices) = mpsc::channel(4096);
        let running = run(Inbox {
            commands: for_commands,
            trackers: for_trackers,
            updates: for_updates,
            notices: for_notices,
            held: None,
        });
        let (break_it, broken) = oneshot::channel::<()>();
        let task = tokio::task::spawn_local(async move {
            tokio::select! {
                result = running => result,
                _ = broken => panic!("as if the core had a bug"),
            }
        });
        let (trackers, updates) = (d.trackers, d.updates);
        let mut d = Daemon {
            commands,
            trackers,
            updates,
            notices,
            task,
        };
        // IPv6, since the other end of the cable is in this namespace too: over IPv4 it would not believe us.
        let mut v6 = instance("VI", "a", 51, &["fd00::100"]);
        (v6.family, v6.mcast_group) = (Family::V6, GROUP.parse().expect("a group"));
        d.apply(vec![v6]).await;
        d.enters("VI", VrrpState::Master).await;
        eventually("the address is set", || shown("a").contains("fd00::100")).await;
        ears.turn(&mut heard);
        break_it.send(()).expect("the task runs");
        assert!(d.task.await.expect_err("a panic").is_panic());
        assert!(!shown("a").contains("fd00::100"));
        let resigned = |h: &Heard| matches!(h, Heard::V6 { payload, .. } if payload[2] == 0);
        eventually("an advertisement of priority 0", || {
            ears.turn(&mut heard);
            heard.iter().any(resigned)
        })
        .await;
    });
}

/// Hears advertisements on an interface.
fn ears_on(name: &str) -> Ears {
    let mut ears = Ears::open().expect("ears");
    let ear = Ear {
        index: Some(index(name)),
        proto: terms::proto(Protocol::Vrrp),
        local: GROUP.parse().expect("a group"),
    };
    let device = Device {
        index: index(name),
        name: name.to_owned(),
    };
    ears.add(ear, Some(&device)).expect("a socket");
    ears
}

#[test]
fn trackers_and_updates_for_others_pass_through() {
    with_task(|mut d| async move {
        d.apply(vec![instance("VI", "a", 51, &["10.0.0.100"])])
            .await;
        d.trackers
            .send(TrackerUpdate::Script {
                name: "unknown".into(),
                good: true,
            })
            .await
            .expect("the task runs");
        d.enters("VI", VrrpState::Master).await;
        assert!(d.updates.is_empty(), "nobody follows anything");
        let followed = IpvsSettings {
            flush: true,
            ..IpvsSettings::default()
        };
        d.apply_with(vec![instance("VI", "a", 51, &["10.0.0.100"])], followed)
            .await;
        let own: IpAddr = "10.0.0.1".parse().expect("an address");
        let wait = async {
            let (mut address, mut state) = (false, false);
            while !(address && state) {
                match d.updates.recv().await.expect("the task runs") {
                    VrrpUpdate::Address { addr, up } => address |= addr == own && up,
                    VrrpUpdate::Instance { state: s, .. } => state |= s == VrrpState::Master,
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("both");
        let (reply, answer) = oneshot::channel();
        d.commands
            .send(VrrpCommand::Snapshot(reply))
            .await
            .expect("the task runs");
        let snapshot = answer.await.expect("a snapshot");
        assert_eq!(snapshot[0].state, VrrpState::Master);
        d.stop(Release::All).await;
    });
}
