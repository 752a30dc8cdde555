//! Our end of the thread that makes interfaces: a request may have to wait for a lock of the kernel for seconds, and an
//! advertisement must not.
//!
//! One order at a time: all that is asked for meanwhile becomes one order for the latest state.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::links::{self, Links, Order};
use crate::sys::netlink::{self, RouteSocket};
use crate::sys::nft::Family;
use crate::sys::nftwatch::{NftWatch, TableGone};
use crate::sys::view::View;
use crate::vrrp::links::Wanted;

/// One order is on its way at most.
const ORDERS: usize = 1;

/// What the thread is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// Remove what is wanted no more.
    RemoveOthers,
    /// Make what is missing.
    Make,
}

/// What the thread says of an order that is carried out.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// The tables of the firewall were made anew.
    anew: bool,
    /// Sender of its changes of the firewall.
    port: Option<u32>,
}

/// What there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// An order is carried out. `anew`: the tables of the firewall were made anew.
    Done { anew: bool },
    /// Tables were deleted: [`Station::restore`] looks whether they are ours.
    TablesGone,
}

#[derive(Debug)]
pub(super) struct Station {
    orders: Sender<(Task, Order)>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<(Links, RouteSocket)>>,
    wanted: Arc<Wanted>,
    /// On its way.
    running: Option<Task>,
    /// Asked for meanwhile, in the order in which it will be done.
    waiting: BTreeSet<Task>,
    /// Everything is to go.
    leaving: bool,
    /// The thread may hold something.
    used: bool,
    /// While there are tables of ours.
    watch: Option<NftWatch>,
    /// Sender of our own changes of the firewall.
    port: Option<u32>,
    /// Tables of anybody's that were deleted.
    gone: Vec<TableGone>,
    /// Tables of ours that somebody else has deleted.
    lost: BTreeSet<Family>,
}

impl Station {
    /// Starts the thread, in the network namespace of the caller. `left`: the file that tells a successor what it has
    /// changed.
    ///
    /// # Errors
    /// The kernel denies netlink, or a thread.
    pub(super) fn start(left: Option<PathBuf>) -> io::Result<Self> {
        let used = left.as_ref().is_some_and(|path| path.exists());
        let mut route = RouteSocket::open()?;
        let (orders, mut inbox) = channel::<(Task, Order)>(ORDERS);
        let (outbox, answers) = channel(ORDERS);
        let thread = thread::Builder::new()
            .name("vrrp links".to_owned())
            .spawn(move || {
                let mut links = Links::new(left);
                while let Some((task, order)) = inbox.blocking_recv() {
                    let anew = match task {
                        Task::Make => links.make(&order, &mut route),
                        Task::RemoveOthers => links.remove_others(&order, &mut route),
                    };
                    // Who asked may have gone away.
                    let port = links.firewall_port();
                    let _ = outbox.blocking_send(Answer { anew, port });
                }
                (links, route)
            })?;
        Ok(Self {
            orders,
            answers,
            thread: Some(thread),
            wanted: Arc::default(),
            running: None,
            waiting: BTreeSet::new(),
            leaving: false,
            used,
            watch: None,
            port: None,
            gone: Vec::new(),
            lost: BTreeSet::new(),
        })
    }

    /// From now on `wanted`. True: [`Station::done`] will say when it is there.
    pub(super) fn want(&mut self, wanted: Wanted, view: &View) -> bool {
        let idle = !self.used && wanted.is_nothing();
        let tables = !wanted.links.is_empty() || !wanted.guarded.is_empty();
        if tables && self.watch.is_none() {
            // Without nftables there are no tables to lose.
            self.watch = NftWatch::open().ok();
        } else if !tables {
            self.watch = None;
        }
        self.wanted = Arc::new(wanted);
        self.used |= !idle;
        !idle && self.ask(Task::Make, view)
    }

    /// Removes what is no longer wanted; nobody uses it any more.
    pub(super) fn tidy(&mut self, view: &View) {
        if self.used {
            self.ask(Task::RemoveOthers, view);
        }
    }

    /// Something happened to the interface `name`, or (`None`) one is gone.
    pub(super) fn look(&mut self, name: Option<&str>, view: &View) {
        // One of its kind whose name nobody wants may have been one of ours a moment ago.
        let settled = match name.filter(|name| !links::stray(&self.wanted, name, view)) {
            Some(name) => links::settled(&self.wanted, name, view),
            None => {
                let mut all = self.wanted.links.iter();
                all.all(|w| links::settled(&self.wanted, w.link.name.as_str(), view))
            }
        };
        if !settled {
            self.ask(Task::Make, view);
        }
    }

    fn ask(&mut self, task: Task, view: &View) -> bool {
        if self.running.is_some() {
            self.waiting.insert(task);
            return true;
        }
        let lost = std::mem::take(&mut self.lost);
        let order = Order::new(Wanted::clone(&self.wanted), lost, view);
        if self.orders.try_send((task, order)).is_err() {
            return false; // The thread is dead; its panic was logged.
        }
        self.running = Some(task);
        true
    }

    /// Waits for ever where there is no order, and no table to lose. Cancel safe.
    pub(super) async fn heard(&mut self) -> Word {
        let Self { answers, watch, .. } = self;
        let deletions = async {
            match watch {
                Some(watch) => watch.readable().await.is_ok().then(|| watch.turn()),
                None => None,
            }
        };
        tokio::select! {
            answer = answers.recv() => match answer {
                Some(answer) => {
                    self.port = answer.port.or(self.port);
                    Word::Done { anew: answer.anew }
                }
                // A thread that is dead must not be waited for.
                None if self.running.is_some() => Word::Done { anew: false },
                None => std::future::pending().await,
            },
            Some(gone) = deletions => {
                self.gone.extend(gone);
                Word::TablesGone
            }
        }
    }

    /// Has those tables made again that are ours and that somebody else has deleted. While an order is carried out nobody
    /// knows: it may be the order.
    pub(super) fn restore(&mut self, view: &View) {
        if self.running.is_some() || self.leaving {
            return;
        }
        let table = self.wanted.firewall.nftables.table.clone();
        for gone in std::mem::take(&mut self.gone) {
            if gone.table == *table && Some(gone.by) != self.port && self.lost.insert(gone.family) {
                let by = netlink::who(gone.by);
                tracing::warn!(
                    table = %table, by,
                    "a table of ours was deleted by somebody else, making it again"
                );
            }
        }
        if !self.lost.is_empty() {
            self.ask(Task::Make, view);
        }
    }

    /// Takes note of an answer, and asks for what was wanted meanwhile. True: there was nothing.
    pub(super) fn settle(&mut self, view: &View) -> bool {
        self.running = None;
        match self.waiting.pop_first() {
            Some(task) => !self.ask(task, view),
            None => {
                self.restore(view);
                true
            }
        }
    }

    /// Removes everything; to be called again after each answer until it says that nothing is left.
    pub(super) fn leave(&mut self, view: &View) -> bool {
        if !std::mem::replace(&mut self.leaving, true) {
            self.wanted = Arc::default();
            self.waiting.clear();
            self.tidy(view);
        }
        self.running.is_none()
    }

    /// Removes everything, at once: for an edge that ends before its time. May have to wait.
    pub(super) fn withdraw(&mut self) {
        let (closed, _) = channel(ORDERS);
        self.orders = closed;
        self.answers.close();
        if let Some(Ok((mut links, mut route))) = self.thread.take().map(JoinHandle::join) {
            links.withdraw(&mut route);
        }
    }
}
