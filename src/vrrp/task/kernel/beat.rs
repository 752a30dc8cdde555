//! `linkbeat_interfaces`, `linkbeat_use_polling`: links that are asked for once a second, because their drivers do not
//! tell. A thread of its own asks, since the answer may have to wait for the kernel's lock.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::warn;

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
                let ask = |name: &IfName, way| probe.ask(name.as_str(), way).ok();
                while look(&ask, &interfaces, &mut last, &to_us)
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

/// What is known of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beat {
    up: bool,
    way: Way,
}

/// Asks all once. False: nobody listens any more.
fn look(
    ask: &dyn Fn(&IfName, Way) -> Option<bool>,
    interfaces: &Asked,
    last: &mut BTreeMap<IfName, Beat>,
    to_us: &Sender<(IfName, bool)>,
) -> bool {
    for (interface, kind) in interfaces {
        let Some(beat) = beat(ask, interface, *kind) else {
            continue; // It does not exist, and netlink tells when it does.
        };
        let before = last.insert(interface.clone(), beat);
        let wanted = kind.map(way_of);
        if wanted.is_some_and(|w| w != beat.way) && before.map(|b| b.way) != Some(beat.way) {
            warn!(iface = %interface, way = %beat.way, "linkbeat: it does not answer in the configured way, so another one is taken");
        }
        let known = before.map(|b| b.up) == Some(beat.up);
        if !known && to_us.blocking_send((interface.clone(), beat.up)).is_err() {
            return false;
        }
    }
    !to_us.is_closed()
}

fn way_of(kind: LinkbeatKind) -> Way {
    match kind {
        LinkbeatKind::Mii => Way::Mii,
        LinkbeatKind::Ethtool => Way::Ethtool,
        LinkbeatKind::Ioctl => Way::Ioctl,
    }
}

/// The chosen way first, then the best that works.
fn beat(
    ask: &dyn Fn(&IfName, Way) -> Option<bool>,
    interface: &IfName,
    kind: Option<LinkbeatKind>,
) -> Option<Beat> {
    let mut ways = kind.map(way_of).into_iter().chain(Way::ALL);
    ways.find_map(|way| ask(interface, way).map(|up| Beat { up, way }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_way_is_asked_first_and_then_the_best_that_works() {
        let eth0 = IfName::new("eth0").expect("a name");
        let all = |_: &IfName, way: Way| Some(way == Way::Mii);
        let found = |kind| beat(&all, &eth0, kind);
        let by = |way, up| Some(Beat { up, way });
        assert_eq!(found(None), by(Way::Mii, true));
        assert_eq!(found(Some(LinkbeatKind::Ioctl)), by(Way::Ioctl, false));
        let no_mii = |_: &IfName, way: Way| (way != Way::Mii).then_some(true);
        let found = |kind| beat(&no_mii, &eth0, kind);
        assert_eq!(found(Some(LinkbeatKind::Mii)), by(Way::Ethtool, true));
        assert_eq!(found(Some(LinkbeatKind::Ethtool)), by(Way::Ethtool, true));
        assert_eq!(beat(&|_, _| None, &eth0, None), None, "it is not there");
    }
}
