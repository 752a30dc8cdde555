//! Connections that live for moments, by the thousand: one epoll of their own inside the runtime's.
//!
//! A connection costs `socket`, `connect`, one `epoll_ctl` and `close`, and one `epoll_wait` serves all that have news.
//! The runtime's own sockets cost up to three calls more each: leaving the reactor, asking for the error of a connection
//! that has none, waking the reactor for those that have left. Never blocks. [`Swarm::turn`] must be waited for, or nobody
//! ever hears anything. Source: epoll(7), connect(2).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    MsgFlags, Shutdown, SockaddrStorage, connect, getsockopt, recv, send, shutdown, sockopt,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock;
use super::fd::WatchedFd;
use crate::time::Mono;

/// Events per call.
const EVENTS: usize = 128;
/// Since a look that is longer ago, this thread may have stood still.
const MOMENT: Duration = Duration::from_millis(5);

/// What became of a connection that somebody only wants to know of, by what it was called.
pub(crate) type Dialled = (u64, io::Result<()>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Swarm {
    epoll: Epoll,
    watched: WatchedFd,
    slots: RefCell<Slots>,
    dialled: RefCell<VecDeque<Dialled>>,
    looked_at: Cell<Mono>,
}

/// Places of connections; those that are free are used again.
#[derive(Debug, Default)]
struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
}

/// Place of a connection, and which of those that were there it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    place: u32,
    tenant: u32,
}

impl Seat {
    fn event(self) -> EpollEvent {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP;
        let data = u64::from(self.place) << 32 | u64::from(self.tenant);
        EpollEvent::new(flags | EpollFlags::EPOLLET, data)
    }

    fn of(event: &EpollEvent) -> Self {
        let [a, b, c, d, e, f, g, h] = event.data().to_be_bytes();
        Self {
            place: u32::from_be_bytes([a, b, c, d]),
            tenant: u32::from_be_bytes([e, f, g, h]),
        }
    }
}

/// One place.
#[derive(Debug)]
struct Slot {
    tenant: u32,
    /// Readable, writable, over: there is an end or an error behind what can be read.
    readable: bool,
    writable: bool,
    over: bool,
    who: Who,
}

#[derive(Debug)]
enum Who {
    /// Nobody, or somebody who does not wait.
    Rests,
    Waits(Waker),
    /// Only whether there is a connection matters: it is closed as soon as that is known.
    Dials {
        name: u64,
        fd: OwnedFd,
    },
}

impl Slots {
    fn take(&mut self) -> Seat {
        let place = self.free.pop().unwrap_or_else(|| {
            self.all.push(Slot {
                tenant: 0,
                readable: false,
                writable: false,
                over: false,
                who: Who::Rests,
            });
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        });
        let tenant = self.all.get(place as usize).map_or(0, |slot| slot.tenant);
        Seat { place, tenant }
    }

    fn at(&mut self, seat: Seat) -> Option<&mut Slot> {
        let slot = self.all.get_mut(seat.place as usize)?;
        (slot.tenant == seat.tenant).then_some(slot)
    }

    /// Events of whoever was here are not for the next one.
    fn leave(&mut self, seat: Seat) -> Who {
        let Some(slot) = self.at(seat) else {
            return Who::Rests;
        };
        slot.tenant = slot.tenant.wrapping_add(1);
        (slot.readable, slot.writable, slot.over) = (false, false, false);
        let who = std::mem::replace(&mut slot.who, Who::Rests);
        self.free.push(seat.place);
        who
    }
}

impl Swarm {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub(crate) fn new() -> io::Result<Rc<Self>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let watched = WatchedFd::readable_only(epoll.0.try_clone()?)?;
        Ok(Rc::new(Self {
            epoll,
            watched,
            slots: RefCell::default(),
            dialled: RefCell::default(),
            looked_at: Cell::default(),
        }))
    }

    /// Waits for news, and passes them on. Cancel safe.
    pub(crate) async fn turn(&self) {
        // An error: the reactor is gone, the runtime ends.
        if self.watched.readable().await.is_ok() {
            self.look();
        }
    }

    /// Passes on all news, unless it did so a moment ago: for whoever is about to find that somebody's time is up. After a
    /// pause of this thread an answer that came in time may lie beside the end of that time, and the answer counts.
    /// True: it has looked.
    pub(crate) fn catch_up(&self) -> bool {
        let stale = clock::now().since(self.looked_at.get()) > MOMENT;
        while stale && self.look() {}
        stale
    }

    /// Passes on some news; true: there may be more.
    pub(crate) fn look(&self) -> bool {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO);
        let count = count.unwrap_or(0);
        if count < EVENTS {
            self.watched.exhausted();
        }
        for event in events.iter().take(count) {
            if let Some(waker) = self.note(event) {
                waker.wake();
            }
        }
        self.looked_at.set(clock::now());
        count == EVENTS
    }

    /// Runs `work` where nobody else waits for news.
    pub(crate) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.turn() => {}
            }
        }
    }

    fn note(&self, event: &EpollEvent) -> Option<Waker> {
        let mut slots = self.slots.borrow_mut();
        let seat = Seat::of(event);
        let slot = slots.at(seat)?;
        let flags = event.events();
        let failed = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        slot.over |= flags.intersects(failed | EpollFlags::EPOLLRDHUP);
        slot.readable |= slot.over || flags.contains(EpollFlags::EPOLLIN);
        slot.writable |= flags.intersects(failed | EpollFlags::EPOLLOUT);
        match std::mem::replace(&mut slot.who, Who::Rests) {
            Who::Rests => None,
            Who::Waits(waker) => Some(waker),
            Who::Dials { name, fd } => {
                let result = if slot.over { outcome(&fd) } else { Ok(()) };
                slots.leave(seat);
                self.dialled.borrow_mut().push_back((name, result));
                None
            }
        }
    }

    /// Connects a non-blocking socket, only to close it again; [`Swarm::dialled`] says what came of it, unless
    /// [`Swarm::hang_up`] was called before.
    ///
    /// # Errors
    /// Those of connect(2) that are known at once.
    pub(crate) fn dial(&self, name: u64, socket: OwnedFd, to: SocketAddr) -> io::Result<Seat> {
        begin(&socket, to)?;
        let mut slots = self.slots.borrow_mut();
        let seat = slots.take();
        if let Err(errno) = self.epoll.add(&socket, seat.event()) {
            slots.leave(seat);
            return Err(errno.into());
        }
        if let Some(slot) = slots.at(seat) {
            slot.who = Who::Dials { name, fd: socket };
        }
        Ok(seat)
    }

    /// Whether [`Swarm::dialled`] knows one.
    pub(crate) fn has_dialled(&self) -> bool {
        !self.dialled.borrow().is_empty()
    }

    /// One that is known.
    pub(crate) fn dialled(&self) -> Option<Dialled> {
        self.dialled.borrow_mut().pop_front()
    }

    /// Gives an attempt up; without effect when it is over.
    pub(crate) fn hang_up(&self, seat: Seat) {
        drop(self.slots.borrow_mut().leave(seat));
    }

    /// Connects a non-blocking socket.
    ///
    /// # Errors
    /// Those of connect(2), at once or later.
    pub(crate) async fn connect(
        self: &Rc<Self>,
        socket: OwnedFd,
        to: SocketAddr,
    ) -> io::Result<Link> {
        begin(&socket, to)?;
        let seat = self.slots.borrow_mut().take();
        let link = Link {
            swarm: Rc::clone(self),
            fd: socket,
            seat,
        };
        self.epoll.add(&link.fd, seat.event())?;
        poll_fn(|cx| link.ready(cx, Way::Out)).await;
        if link.with(|slot| slot.over) {
            outcome(&link.fd)?;
        }
        Ok(link)
    }
}

fn begin(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// What has become of a connection.
fn outcome(fd: &OwnedFd) -> io::Result<()> {
    match getsockopt(fd, sockopt::SocketError)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// One connection of a swarm. One task at a time waits for it.
#[derive(Debug)]
pub(crate) struct Link {
    swarm: Rc<Swarm>,
    fd: OwnedFd,
    seat: Seat,
}

impl Link {
    fn ready(&self, cx: &Context<'_>, way: Way) -> Poll<()> {
        self.with(|slot| {
            let ready = match way {
                Way::In => slot.readable,
                Way::Out => slot.writable,
            };
            if ready {
                return Poll::Ready(());
            }
            match &mut slot.who {
                Who::Waits(waker) => waker.clone_from(cx.waker()),
                who @ (Who::Rests | Who::Dials { .. }) => *who = Who::Waits(cx.waker().clone()),
            }
            Poll::Pending
        })
    }

    fn with<T>(&self, what: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slots = self.swarm.slots.borrow_mut();
        what(
            slots
                .at(self.seat)
                .expect("it is left when this is dropped"),
        )
    }
}

/// Closing takes it out of the epoll: nobody else has this descriptor.
impl Drop for Link {
    fn drop(&mut self) {
        self.swarm.slots.borrow_mut().leave(self.seat);
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.ready(cx, Way::In));
            let room = buf.initialize_unfilled();
            let most = room.len();
            match recv(self.fd.as_raw_fd(), room, MsgFlags::empty()) {
                Ok(n) => {
                    buf.advance(n);
                    // There was no more; what comes later is told anew. An end behind it was told already.
                    self.with(|slot| slot.readable = n == most || slot.over);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::EAGAIN) => self.with(|slot| slot.readable = false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.ready(cx, Way::Out));
            match send(self.fd.as_raw_fd(), octets, MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => return Poll::Ready(Ok(n)),
                Err(Errno::EAGAIN) => self.with(|slot| slot.writable = false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = shutdown(self.fd.as_raw_fd(), Shutdown::Write);
        Poll::Ready(done.map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn socket() -> OwnedFd {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::IPV4, kind, None);
        socket.expect("a socket").into()
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let addr = listener.local_addr().expect("it is bound");
        (listener, addr)
    }

    fn run<T>(test: impl AsyncFnOnce(&Rc<Swarm>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let swarm = Swarm::new().expect("an epoll");
            let test = tokio::time::timeout(Duration::from_secs(30), test(&swarm));
            swarm.drive(test).await.expect("in time")
        })
    }

    async fn news(swarm: &Rc<Swarm>, count: usize) -> Vec<(u64, bool)> {
        let mut heard = Vec::new();
        while heard.len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
            heard.extend(std::iter::from_fn(|| swarm.dialled()).map(|(name, r)| (name, r.is_ok())));
        }
        heard.sort_unstable();
        heard
    }

    #[test]
    fn octets_come_and_go_and_the_end_is_heard_behind_them() {
        run(async |swarm| {
            let (listener, addr) = listener();
            let peer = std::thread::spawn(move || {
                let (mut peer, _) = listener.accept().expect("somebody comes");
                let mut came = [0; 4];
                peer.read_exact(&mut came).expect("four octets");
                peer.write_all(&vec![7; 300_000]).expect("a reader");
                came
            });
            let mut link = swarm.connect(socket(), addr).await.expect("accepted");
            link.write_all(b"ping").await.expect("room");
            let mut all = Vec::new();
            link.read_to_end(&mut all).await.expect("an end");
            assert_eq!(all, vec![7; 300_000]);
            assert_eq!(&peer.join().expect("no panic"), b"ping");
        });
    }

    #[test]
    fn whether_there_is_a_connection_is_told_by_name_and_once() {
        run(async |swarm| {
            let (listener, open) = listener();
            let (gone, closed) = self::listener();
            drop(gone);
            let mut wanted = Vec::new();
            for name in 0..90 {
                let to = if name % 3 == 0 { closed } else { open };
                if swarm.dial(name, socket(), to).is_ok() {
                    wanted.push((name, name % 3 != 0));
                }
            }
            assert_eq!(news(swarm, wanted.len()).await, wanted);
            assert_eq!(swarm.dialled().map(|d| d.0), None);
            assert_eq!(
                swarm.slots.borrow().free.len(),
                swarm.slots.borrow().all.len()
            );
            drop(listener);
        });
    }

    #[test]
    fn who_has_hung_up_hears_nothing_and_who_takes_the_seat_hears_his_own() {
        run(async |swarm| {
            let (_listener, addr) = listener();
            let seat = swarm.dial(1, socket(), addr).expect("it begins");
            swarm.hang_up(seat);
            swarm.hang_up(seat);
            let again = swarm.dial(2, socket(), addr).expect("it begins");
            assert_eq!((again.place, again.tenant), (seat.place, seat.tenant + 1));
            assert_eq!(news(swarm, 1).await, [(2, true)]);
        });
    }
}
