//! `linkbeat_interfaces`, `linkbeat_use_polling`: links that are asked for once a second, because their drivers do not
//! tell. A thread of its own asks, since the answer may have to wait for the kernel's lock.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::model::Config;
use crate::model::links::LinkbeatKind;
use crate::model::net::IfName;
use crate::sys::linkprobe::{LinkProbe, Way};

const INTERVAL: Duration = Duration::from_secs(1);
/// Answers under way. The thread waits when they are not taken.
const BEATS: usize = 64;

/// Interfaces to ask, and how; `None`: the best way that works.
pub(super) type Asked = BTreeMap<IfName, Option<LinkbeatKind>>;

/// Our end of the thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Beats {
    asked: Asked,
    from_thread: Receiver<(IfName, bool)>,
    /// Only held: that it is gone is what the thread hears.
    _end: SyncSender<()>,
}

/// What `config` wants asked.
pub(super) fn asked(config: &Config) -> Asked {
    let mut asked = Asked::new();
    if config.global.process.linkbeat_polling {
        for instance in &config.instances {
            let tracked = instance.track_interfaces.iter().map(|t| &t.interface);
            asked.extend(
                tracked
                    .chain(&instance.interface)
                    .map(|i| (i.clone(), None)),
            );
        }
    }
    let named = config.linkbeat.iter();
    asked.extend(named.map(|l| (l.interface.clone(), l.kind)));
    asked
}

impl Beats {
    /// # Errors
    /// Out of descriptors or threads.
    pub(super) fn start(asked: Asked) -> io::Result<Self> {
        let (to_us, from_thread) = channel(BEATS);
        let (end, ended) = sync_channel(0);
        let probe = LinkProbe::open()?;
        let interfaces = asked.clone();
        thread::Builder::new()
            .name("vrrp linkbeat".to_owned())
            .spawn(move || {
                let mut last = BTreeMap::new();
                while look(&probe, &interfaces, &mut last, &to_us)
                    && ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout)
                {
                }
            })?;
        Ok(Self {
            asked,
            from_thread,
            _end: end,
        })
    }

    /// Whether this is what is asked already.
    pub(super) fn is(&self, asked: &Asked) -> bool {
        self.asked == *asked
    }

    /// Waits for a link that has changed, or is known at last. Cancel safe.
    pub(super) async fn next(&mut self) -> (IfName, bool) {
        match self.from_thread.recv().await {
            Some(beat) => beat,
            None => std::future::pending().await, // the thread is dead: the kernel's word counts
        }
    }
}

/// Asks all once. False: nobody listens any more.
fn look(
    probe: &LinkProbe,
    interfaces: &Asked,
    last: &mut BTreeMap<IfName, bool>,
    to_us: &Sender<(IfName, bool)>,
) -> bool {
    for (interface, kind) in interfaces {
        let Some(up) = beat(probe, interface, *kind) else {
            continue; // It does not exist, and netlink tells when it does.
        };
        let known = last.insert(interface.clone(), up) == Some(up);
        if !known && to_us.blocking_send((interface.clone(), up)).is_err() {
            return false;
        }
    }
    !to_us.is_closed()
}

fn beat(probe: &LinkProbe, interface: &IfName, kind: Option<LinkbeatKind>) -> Option<bool> {
    let chosen = match kind {
        Some(LinkbeatKind::Mii) => Some(Way::Mii),
        Some(LinkbeatKind::Ethtool) => Some(Way::Ethtool),
        Some(LinkbeatKind::Ioctl) => Some(Way::Ioctl),
        None => None,
    };
    // The chosen way first, then the best that works.
    let ways = chosen.into_iter().chain(Way::ALL);
    ways.filter_map(|way| probe.ask(interface.as_str(), way).ok())
        .next()
}
