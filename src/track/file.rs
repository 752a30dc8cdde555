//! `track_file`: the number in a file, and every change of it.
//!
//! A file is looked at when its directory says that something has happened (inotify), and every [`POLL`] where the
//! directory cannot say so: it does not exist, or the file system is one that others change, or the file is a link to
//! another place. Looking happens on threads of its own, since a dead file server makes it wait for ever; a file that is
//! being looked at is not looked at again until then. Source: keepalived.conf(5), `track_file`; inotify(7).
// keepalived: refuses files where inotify does not work, and does not notice what happens to a link's target.

mod look;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{debug, warn};

use self::look::Look;
use crate::model::track::{InitFile, TrackFile};

/// How often is looked where nobody says that something has happened.
const POLL: Duration = Duration::from_secs(1);
/// Octets of events read at once; some dozens of them.
const EVENTS: usize = 4096;
/// What the directory is asked to say. Its own end is said unasked or with the last two.
const CHANGES: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF);

/// One file.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// Told last; `None` before the first look.
    value: Option<i32>,
    /// That of its directory, while inotify watches that.
    watch: Option<WatchDescriptor>,
    polled: bool,
    looking: bool,
    /// Something happened while it was being looked at.
    again: bool,
    /// The last look found it empty, which may be in the middle of a write.
    doubtful: bool,
    /// To be made before the first look.
    init: Option<InitFile>,
    /// A number for each path that ever was watched: what an old look says must not be taken for a new one.
    generation: u64,
}

type Looking = JoinHandle<(Arc<str>, u64, Look)>;

/// All files.
pub(crate) struct Files {
    files: BTreeMap<Arc<str>, Watched>,
    events: Option<EventStream<Vec<u8>>>,
    looks: FuturesUnordered<Looking>,
    poll: Interval,
    generations: u64,
    started: bool,
}

impl Files {
    /// Must be called inside a runtime. Without inotify everything is polled.
    pub(crate) fn new() -> Self {
        let events = Inotify::init().and_then(|i| i.into_event_stream(vec![0; EVENTS]));
        if let Err(e) = &events {
            warn!(err = %e, "no inotify: files are looked at every second");
        }
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            files: BTreeMap::new(),
            events: events.ok(),
            looks: FuturesUnordered::new(),
            poll,
            generations: 0,
            started: false,
        }
    }

    /// Start or reload. `init_file` takes effect at the start only. Returns the known numbers, which are in force.
    pub(crate) fn apply(&mut self, files: &[Arc<TrackFile>]) -> Vec<(Arc<str>, i32)> {
        let start = !std::mem::replace(&mut self.started, true);
        let mut old = std::mem::take(&mut self.files);
        for file in files {
            let same = old.remove(&file.name).filter(|w| w.path == file.path);
            let watched = same.unwrap_or_else(|| {
                self.generations += 1;
                Watched {
                    path: file.path.clone(),
                    value: None,
                    watch: None,
                    polled: true,
                    looking: false,
                    again: false,
                    doubtful: false,
                    init: file.init.filter(|_| start),
                    generation: self.generations,
                }
            });
            self.files.insert(Arc::clone(&file.name), watched);
        }
        for gone in old.into_values() {
            self.unwatch(gone.watch);
        }
        let unseen = self.files.iter().filter(|(_, w)| w.value.is_none());
        let unseen: Vec<Arc<str>> = unseen.map(|(name, _)| Arc::clone(name)).collect();
        unseen.iter().for_each(|name| self.look(name));
        self.snapshot().into_iter().collect()
    }

    /// The known numbers, by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<Arc<str>, i32> {
        let known = self.files.iter();
        known
            .filter_map(|(name, w)| Some((Arc::clone(name), w.value?)))
            .collect()
    }

    /// The next change of a number. Waits for ever when there is no file. Cancel safe.
    pub(crate) async fn next(&mut self) -> (Arc<str>, i32) {
        loop {
            let polls = self.files.values().any(|w| w.polled);
            tokio::select! {
                Some(look) = self.looks.next() => {
                    // An error: the look panicked, or the runtime ends.
                    if let Ok((name, generation, look)) = look
                        && let Some(value) = self.seen(&name, generation, &look)
                    {
                        return (name, value);
                    }
                }
                event = next_event(&mut self.events) => self.on_event(event),
                _ = self.poll.tick(), if polls => {
                    let due = self.files.iter().filter(|(_, w)| w.polled);
                    let due: Vec<Arc<str>> = due.map(|(name, _)| Arc::clone(name)).collect();
                    due.iter().for_each(|name| self.look(name));
                }
            }
        }
    }

    /// Begins to look at a file, unless that is going on already.
    fn look(&mut self, name: &Arc<str>) {
        let Some(watched) = self.files.get_mut(name) else {
            return;
        };
        if std::mem::replace(&mut watched.looking, true) {
            watched.again = true;
            return;
        }
        let (name, generation) = (Arc::clone(name), watched.generation);
        let (path, init) = (watched.path.clone(), watched.init.take());
        self.looks.push(tokio::task::spawn_blocking(move || {
            if let Some(init) = init
                && let Err(e) = look::init(&path, init)
            {
                warn!(file = %path.display(), err = %e, "cannot make a track_file");
            }
            let look = look::at(&path);
            (name, generation, look)
        }));
    }

    /// What a look has shown. Returns the number if it is news.
    fn seen(&mut self, name: &Arc<str>, generation: u64, look: &Look) -> Option<i32> {
        let watched = self.files.get_mut(name)?;
        if watched.generation != generation {
            return None;
        }
        watched.looking = false;
        let mut again = std::mem::take(&mut watched.again);
        if look.directory && !look.remote && watched.watch.is_none() {
            let folder = folder(&watched.path);
            let events = self.events.as_mut();
            watched.watch = events.and_then(|e| e.watches().add(folder, CHANGES).ok());
            // Between the look and the watch something may have happened.
            again |= watched.watch.is_some();
        }
        let polled = look.remote || look.link || watched.watch.is_none();
        if polled != watched.polled {
            debug!(file = %watched.path.display(), polled, "how a track_file is watched has changed");
        }
        watched.polled = polled;
        // Whoever is told of the end of a write sees it whole; who only looks must look twice.
        let doubtful = look.empty && polled && watched.value.is_some() && !watched.doubtful;
        watched.doubtful = doubtful;
        let news = !doubtful && watched.value != Some(look.value);
        if news {
            watched.value = Some(look.value);
        }
        if again {
            self.look(name);
        }
        news.then_some(look.value)
    }

    fn on_event(&mut self, event: Option<Happened>) {
        let Some(Happened { watch, mask, name }) = event else {
            warn!("inotify has failed: files are looked at every second");
            self.events = None;
            for watched in self.files.values_mut() {
                (watched.watch, watched.polled) = (None, true);
            }
            return;
        };
        let lost = mask.intersects(EventMask::Q_OVERFLOW);
        let over = mask.intersects(
            EventMask::IGNORED | EventMask::UNMOUNT | EventMask::DELETE_SELF | EventMask::MOVE_SELF,
        );
        let mut affected = Vec::new();
        for (own, watched) in &mut self.files {
            if lost {
                affected.push(Arc::clone(own));
            } else if watched.watch.as_ref() == Some(&watch) {
                if over {
                    (watched.watch, watched.polled) = (None, true);
                }
                let named = watched.path.file_name() == name.as_deref();
                if over || named {
                    affected.push(Arc::clone(own));
                }
            }
        }
        if over && !mask.contains(EventMask::IGNORED) {
            self.remove(watch);
        }
        affected.iter().for_each(|name| self.look(name));
    }

    /// Several files may share a directory.
    fn unwatch(&mut self, watch: Option<WatchDescriptor>) {
        if let Some(watch) = watch
            && !self
                .files
                .values()
                .any(|w| w.watch.as_ref() == Some(&watch))
        {
            self.remove(watch);
        }
    }

    fn remove(&mut self, watch: WatchDescriptor) {
        if let Some(events) = &mut self.events {
            let _ = events.watches().remove(watch); // it may be gone already
        }
    }
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// One event of inotify, owned.
struct Happened {
    watch: WatchDescriptor,
    mask: EventMask,
    name: Option<std::ffi::OsString>,
}

/// `None`: inotify is over.
async fn next_event(events: &mut Option<EventStream<Vec<u8>>>) -> Option<Happened> {
    let Some(events) = events else {
        return pending().await;
    };
    let event = events.next().await?.ok()?;
    Some(Happened {
        watch: event.wd,
        mask: event.mask,
        name: event.name,
    })
}

#[cfg(test)]
mod tests;
