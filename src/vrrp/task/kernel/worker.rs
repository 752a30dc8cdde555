//! The thread that asks the kernel to change something, and its end of the queue.
//!
//! A request may have to wait for a lock that somebody else holds for seconds (the kernel has one for the whole of its
//! network configuration); an advertisement must not. So requests and the frames that announce their outcome stand in
//! one line here, in the order in which they were asked for, and the answers come back through a channel. The thread
//! knows nothing but octets; it never decides. Source: rtnetlink(7).

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::guard::Addresses;
use crate::model::net::IfName;
use crate::sys::netlink::{self, BATCH, Refusal, Request, RouteSocket};
use crate::sys::nft::{Batch, NftError, NftSocket};
use crate::sys::raw::FrameSocket;
use crate::sys::{record, schedule};
use crate::vrrp::task::heritage::News;
use crate::vrrp::task::outbox::{Outbox, Supersedes};
use crate::vrrp::task::report;
use crate::vrrp::task::spare::Ward;

/// Jobs on their way to the thread: a few takeovers of a large configuration. What does not fit waits on our side.
const JOBS: usize = 4096;
/// Answers on their way back. The thread waits when they are not taken.
const ANSWERS: usize = 256;
/// Jobs that the thread takes out of the channel beforehand, to see which of them have become pointless.
const SEEN: usize = 65_536;
/// Frames that leave before the answers to the requests in front of them.
const AT_ONCE: usize = 8;
/// Frames that have left and are not told of, at most.
const TELL: usize = 256;
/// Frames that wait to be sent, at most: some 30 MB. A kernel that takes no orders for minutes must not fill our memory with
/// announcements.
const WAITING: usize = 1 << 18;
/// How long the thread works without a pause when it is real-time, and how long it pauses: whoever never waits starves others,
/// and is not real-time for long (`vrrp_rlimit_rttime`).
const SPELL: Duration = Duration::from_millis(2);
const PAUSE: Duration = Duration::from_micros(50);
/// How long a frame may wait for room in the queue of its interface until it is given up: later work must not starve.
const FRAME_PATIENCE: Duration = Duration::from_secs(1);

/// What each request met with.
pub(in crate::vrrp::task) type Answers = Vec<Result<(), Refusal>>;

/// One thing to do.
#[derive(Debug)]
enum Job {
    Requests {
        requests: Vec<Request>,
        /// Addresses that are given up by these requests: announcements of them that still wait must not leave.
        given_up: Vec<IpAddr>,
    },
    Frames(VecDeque<Frame>),
    Save(PathBuf, String),
    Block(Addresses),
    Free(Addresses),
    SaveMasters(News),
}

/// An Ethernet frame that announces an address.
#[derive(Debug)]
pub(super) struct Frame {
    /// Index of the interface.
    pub(super) interface: u32,
    /// Its name, for the log.
    pub(super) iface: Option<IfName>,
    pub(super) octets: Vec<u8>,
}

impl Frame {
    fn name(&self) -> &str {
        self.iface.as_ref().map_or("", IfName::as_str)
    }
}

/// How many frames wait, and what has become of those that found no room.
#[derive(Clone, Debug, Default)]
struct Waiting {
    count: Arc<AtomicUsize>,
    /// That some are lost was told.
    told: bool,
}

impl Waiting {
    /// Takes away what has no room.
    fn admit(&mut self, frames: &mut VecDeque<Frame>) {
        let waiting = self.count.load(Ordering::Relaxed);
        let room = WAITING.saturating_sub(waiting);
        if frames.len() > room {
            frames.truncate(room);
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    waiting,
                    "the kernel takes so long that announcements of addresses are lost"
                );
            }
        } else if waiting < WAITING / 2 {
            self.told = false;
        }
        self.count.fetch_add(frames.len(), Ordering::Relaxed);
    }

    /// So many have left, or have become pointless.
    fn gone(&self, frames: usize) {
        self.count.fetch_sub(frames, Ordering::Relaxed);
    }
}

impl Supersedes for Job {
    fn supersedes(&self, _: &Self) -> bool {
        false
    }
}

/// Our end.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Outbox<Job>,
    waiting: Waiting,
    answers: Receiver<Answers>,
    thread: Option<JoinHandle<RouteSocket>>,
    /// Of the thread.
    number: libc::pid_t,
    ward: Arc<Ward>,
    port: u32,
    /// Of the socket for requests.
    handle: OwnedFd,
}

impl Worker {
    /// Starts the thread, in the network namespace of the caller.
    ///
    /// # Errors
    /// The kernel denies netlink or packet sockets, or a thread.
    pub(super) fn start() -> io::Result<Self> {
        let route = RouteSocket::open()?;
        let frames = FrameSocket::open()?;
        let (port, handle) = (route.port(), route.handle()?);
        let (to_thread, jobs) = channel(JOBS);
        let (to_us, answers) = channel(ANSWERS);
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let waiting = Waiting::default();
        let counted = waiting.clone();
        let ward = Arc::new(Ward::new());
        let own = Arc::clone(&ward);
        let thread = thread::Builder::new()
            .name("vrrp kernel".to_owned())
            .spawn(move || {
                let _ = tell.send(schedule::own_thread()); // who asks waits
                own.is_here();
                Line::new(jobs, counted, to_us, route, frames, own).run()
            })?;
        let number = told.recv().map_err(io::Error::other)?;
        Ok(Self {
            jobs: Outbox::new(to_thread),
            waiting,
            answers,
            thread: Some(thread),
            number,
            ward,
            port,
            handle,
        })
    }

    /// The thread, as the kernel numbers it.
    pub(super) fn thread_number(&self) -> libc::pid_t {
        self.number
    }

    /// The same, as spare threads see it.
    pub(super) fn ward(&self) -> &Arc<Ward> {
        &self.ward
    }

    /// Sender of our requests, as it stands in the notifications they cause.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// The receive buffer of the socket for requests: see [`netlink::resize`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn resize(&self, octets: usize, force: bool) -> io::Result<()> {
        netlink::resize(self.handle.as_fd(), octets, force)
    }

    /// Hands over requests; [`Worker::done`] will answer them, in order, also where there are none.
    pub(super) fn request(&mut self, requests: Vec<Request>, given_up: Vec<IpAddr>) {
        self.put(Job::Requests { requests, given_up });
    }

    /// Hands over frames, to be sent after everything asked for before.
    pub(super) fn frames(&mut self, mut frames: VecDeque<Frame>) {
        self.waiting.admit(&mut frames);
        self.put(Job::Frames(frames));
    }

    /// Has a file written before anything that is asked for later.
    pub(super) fn save(&mut self, path: PathBuf, text: String) {
        self.put(Job::Save(path, text));
    }

    /// As [`Worker::save`], for the list of masters.
    pub(super) fn save_masters(&mut self, news: News) {
        self.put(Job::SaveMasters(news));
    }

    /// Has the firewall drop the packets of these. There is no answer.
    pub(super) fn block(&mut self, addresses: Addresses) {
        if !addresses.is_empty() {
            self.put(Job::Block(addresses));
        }
    }

    /// Has the firewall let the packets of these pass again. There is no answer.
    pub(super) fn free(&mut self, addresses: Addresses) {
        if !addresses.is_empty() {
            self.put(Job::Free(addresses));
        }
    }

    fn put(&mut self, job: Job) {
        self.jobs.put(job);
        self.ward.is_wanted();
        self.jobs.flush(); // the thread should begin while we go on
    }

    /// The next answer; `None`: the thread is dead. Fills the channel meanwhile as room comes. Cancel safe.
    pub(super) async fn done(&mut self) -> Option<Answers> {
        loop {
            tokio::select! {
                answers = self.answers.recv() => return answers,
                () = self.jobs.progress(), if self.jobs.is_full() => {}
            }
        }
    }

    /// Ends the thread after what it has been given, and takes over its socket. May have to wait.
    ///
    /// # Errors
    /// The thread has panicked, and there is no new socket to be had.
    pub(super) fn end(&mut self) -> io::Result<RouteSocket> {
        let (closed, _) = channel(1);
        self.jobs = Outbox::new(closed);
        // Or the thread would wait for room for its answers.
        self.answers.close();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(route)) => Ok(route),
            Some(Err(_)) | None => RouteSocket::open(),
        }
    }
}

/// The thread's end.
struct Line {
    jobs: Receiver<Job>,
    waiting: Waiting,
    answers: Sender<Answers>,
    route: RouteSocket,
    frames: FrameSocket,
    /// Opened when it is needed.
    nft: Option<NftSocket>,
    /// Taken out of the channel, in order.
    seen: VecDeque<Job>,
    /// Have left, and are told of when there is nothing to do: wording a line takes longer than sending a frame.
    sent: Vec<Frame>,
    ward: Arc<Ward>,
}

impl Line {
    fn new(
        jobs: Receiver<Job>,
        waiting: Waiting,
        answers: Sender<Answers>,
        route: RouteSocket,
        frames: FrameSocket,
        ward: Arc<Ward>,
    ) -> Self {
        Self {
            jobs,
            waiting,
            answers,
            route,
            frames,
            nft: None,
            seen: VecDeque::new(),
            sent: Vec::new(),
            ward,
        }
    }

    /// Until nobody can ask for anything any more.
    fn run(mut self) -> RouteSocket {
        let mut since = Instant::now();
        loop {
            if since.elapsed() >= SPELL {
                if schedule::is_real_time() {
                    thread::sleep(PAUSE);
                }
                since = Instant::now();
            }
            self.look();
            match self.seen.pop_front() {
                Some(Job::Requests { requests, .. }) => self.carry_out(requests),
                Some(Job::Frames(mut frames)) => {
                    if let Some(frame) = frames.pop_front() {
                        self.send(frame);
                        self.seen.push_front(Job::Frames(frames));
                    }
                }
                Some(Job::Save(path, text)) => on_file(&path, record::write(&path, &text)),
                Some(Job::SaveMasters(news)) => on_file(news.path(), news.write()),
                Some(Job::Block(addresses)) => self.block(&addresses),
                Some(Job::Free(addresses)) => self.free(&addresses),
                None => {
                    self.tell_sent();
                    self.seen = VecDeque::new(); // a takeover of thousands leaves nothing behind
                    self.ward.idles();
                    let job = self.jobs.blocking_recv();
                    self.ward.runs();
                    match job {
                        Some(job) => self.see(job),
                        None => return self.route,
                    }
                    since = Instant::now();
                }
            }
        }
    }

    fn block(&mut self, addresses: &Addresses) {
        if let Err(e) = self.commit(addresses.block()) {
            tracing::error!(%addresses, err = %e,
                "cannot have the firewall drop the packets of addresses: they are accepted in spite of no_accept");
        }
    }

    /// Somebody may have emptied a set, or a table that is needed no more may be gone already; the rest has to go all the same.
    fn free(&mut self, addresses: &Addresses) {
        let gone =
            |e: &NftError| matches!(e, NftError::Refused { errno, .. } if *errno == Errno::ENOENT);
        let mut refused = self.commit(addresses.free()).err();
        if refused.as_ref().is_some_and(gone) {
            let each = addresses.free_each().map(|one| self.commit(one).err());
            refused = each.flatten().filter(|e| !gone(e)).last();
        }
        if let Some(e) = refused {
            tracing::error!(%addresses, err = %e,
                "cannot have the firewall let the packets of addresses pass: they may stay unreachable from here");
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<(), NftError> {
        let socket = match self.nft.take() {
            Some(socket) => Ok(socket),
            None => NftSocket::open(),
        };
        let mut socket = socket.map_err(NftError::Socket)?;
        let done = socket.commit(batch);
        self.nft = Some(socket);
        done
    }

    /// Takes what is there out of the channel.
    fn look(&mut self) {
        while self.seen.len() < SEEN {
            match self.jobs.try_recv() {
                Ok(job) => self.see(job),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn see(&mut self, job: Job) {
        if let Job::Requests { given_up, .. } = &job
            && !given_up.is_empty()
        {
            let given_up: HashSet<_> = given_up.iter().copied().collect();
            let of_use = |frame: &Frame| {
                report::announced(&frame.octets).is_none_or(|addr| !given_up.contains(&addr))
            };
            for earlier in &mut self.seen {
                if let Job::Frames(frames) = earlier {
                    let before = frames.len();
                    frames.retain(of_use);
                    self.waiting.gone(before - frames.len());
                }
            }
        }
        self.seen.push_back(job);
    }

    /// Many small orders that follow each other cost one call.
    fn carry_out(&mut self, mut requests: Vec<Request>) {
        let mut counts = vec![requests.len()];
        while requests.len() < BATCH
            && let Some(Job::Requests { .. }) = self.seen.front()
            && let Some(Job::Requests { requests: more, .. }) = self.seen.pop_front()
        {
            counts.push(more.len());
            requests.extend(more);
        }
        let mut answers = self.route.execute(requests).into_iter();
        // Neighbours are in more of a hurry than the task.
        self.look();
        if let Some(Job::Frames(frames)) = self.seen.front_mut() {
            let first: Vec<Frame> = frames.drain(..frames.len().min(AT_ONCE)).collect();
            first.into_iter().for_each(|frame| self.send(frame));
        }
        for count in counts {
            let part = answers.by_ref().take(count).collect();
            // Who asked may have gone away.
            let _ = self.answers.blocking_send(part);
        }
    }

    fn send(&mut self, frame: Frame) {
        self.waiting.gone(1);
        let end = Instant::now() + FRAME_PATIENCE;
        loop {
            match self.frames.send(frame.interface, &frame.octets) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                    self.frames.room(FRAME_PATIENCE);
                }
                Err(e) => {
                    return tracing::debug!(iface = frame.name(), err = %e, "cannot send a frame");
                }
            }
        }
        if tracing::enabled!(tracing::Level::DEBUG) {
            self.sent.push(frame);
            if self.sent.len() >= TELL {
                self.tell_sent();
            }
        }
    }

    fn tell_sent(&mut self) {
        for frame in self.sent.drain(..) {
            report::frame(&frame.octets, frame.name());
        }
    }
}

fn on_file(path: &Path, written: io::Result<()>) {
    if let Err(e) = written {
        tracing::warn!(path = %path.display(), err = %e, "cannot put on file what is ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: usize) -> VecDeque<Frame> {
        let frame = || Frame {
            interface: 1,
            iface: None,
            octets: Vec::new(),
        };
        std::iter::repeat_with(frame).take(count).collect()
    }

    #[test]
    fn only_so_many_frames_wait() {
        let mut waiting = Waiting::default();
        let thread = waiting.clone();
        let mut first = frames(WAITING - 1);
        waiting.admit(&mut first);
        assert_eq!((first.len(), waiting.told), (WAITING - 1, false));
        let mut second = frames(3);
        waiting.admit(&mut second);
        assert_eq!((second.len(), waiting.told), (1, true));
        thread.gone(1);
        let mut third = frames(1);
        waiting.admit(&mut third);
        assert_eq!((third.len(), waiting.told), (1, true), "told once");
        thread.gone(WAITING);
        let mut fourth = frames(2);
        waiting.admit(&mut fourth);
        assert_eq!((fourth.len(), waiting.told), (2, false));
    }
}
