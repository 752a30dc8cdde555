//! Our end of the thread that makes interfaces: a request may have to wait for a lock of the kernel for seconds, and an
//! advertisement must not.
//!
//! One order at a time: whoever asks meanwhile asks for the latest state of things, once.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::links::{self, Links, Order};
use crate::sys::netlink::RouteSocket;
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

#[derive(Debug)]
pub(super) struct Station {
    orders: Sender<(Task, Order)>,
    answers: Receiver<bool>,
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
                    let _ = outbox.blocking_send(anew);
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
        })
    }

    /// From now on `wanted`. True: [`Station::done`] will say when it is there.
    pub(super) fn want(&mut self, wanted: Wanted, view: &View) -> bool {
        let idle = !self.used && wanted.is_nothing();
        self.wanted = Arc::new(wanted);
        self.used |= !idle;
        !idle && self.ask(Task::Make, view)
    }

    /// Lets go of what is wanted no more: nobody uses it any more.
    pub(super) fn tidy(&mut self, view: &View) {
        if self.used {
            self.ask(Task::RemoveOthers, view);
        }
    }

    /// Something happened to the interface `name`, or (`None`) one is gone.
    pub(super) fn look(&mut self, name: Option<&str>, view: &View) {
        let settled = match name {
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
        let order = Order::new(Wanted::clone(&self.wanted), view);
        if self.orders.try_send((task, order)).is_err() {
            return false; // The thread is dead; its panic was logged.
        }
        self.running = Some(task);
        true
    }

    /// An order is carried out; true: the tables of the firewall were made anew. Waits for ever where there is no order.
    /// Cancel safe.
    pub(super) async fn done(&mut self) -> bool {
        match self.answers.recv().await {
            Some(anew) => anew,
            // A thread that is dead must not be waited for.
            None if self.running.is_some() => false,
            None => std::future::pending().await,
        }
    }

    /// Takes note of an answer, and asks for what was wanted meanwhile. True: there was nothing.
    pub(super) fn settle(&mut self, view: &View) -> bool {
        self.running = None;
        match self.waiting.pop_first() {
            Some(task) => !self.ask(task, view),
            None => true,
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
