//! What a run that is killed leaves to the next one: for which instances it was master, and when it was alive last.
//!
//! Who comes back before the others can have noticed goes on as the master it was, and nobody sees a change. The
//! files stand beside [`super::kernel`]'s record, in the run directory, or in memory should that be on a disk, and go with an
//! orderly end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::model::Config;
use crate::model::diff::Keyed as _;
use crate::model::twins;
use crate::model::vrrp::Instance;
use crate::sys::heartbeat::{self, Heartbeat};
use crate::sys::record;
use crate::time::Mono;
use crate::vrrp::router::Inheritance;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heritage {
    /// Of the list of masters, and of the instant; `None`: nothing is left to anybody.
    paths: Option<(PathBuf, PathBuf)>,
    heart: Option<Heartbeat>,
    /// What is on file is not what is true.
    stale: bool,
    saved_at: Option<Mono>,
}

/// The list is written at most this often: thousands become master at once, and each would write all of them. What is on
/// file meanwhile does no harm, since it only counts for as long as others wait after our last advertisement.
const SPACING: Duration = Duration::from_millis(100);

/// Others wait `down_timer_adverts` intervals after the last advertisement, which may have left one interval before the
/// process was alive last.
fn patience(instance: &Instance) -> Duration {
    let intervals = instance.down_timer_adverts.saturating_sub(1);
    instance.advert_int.saturating_mul(intervals)
}

/// An instance as it stands in the list. It is compared and never read. Twins may change their places in a file while
/// nobody runs: only the peers tell which is which.
fn name_of(instance: &Instance) -> String {
    let peers: Vec<_> = twins::peers(instance).collect();
    format!("{:?} {peers:?}", twins::kin(instance))
}

/// Who is master now, to be put on file: to word thousands takes longer than an advertisement may wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    path: PathBuf,
    masters: Vec<Arc<Instance>>,
}

impl News {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// As of files.
    pub(super) fn write(&self) -> io::Result<()> {
        record::write(&self.path, &text(&self.masters))
    }
}

fn text<'a>(masters: impl IntoIterator<Item = &'a Arc<Instance>>) -> String {
    masters.into_iter().map(|master| line(master)).collect()
}

/// What the list says of an instance: how long others wait at least, counted from an instant at which we were alive, and
/// the key.
fn line(instance: &Instance) -> String {
    format!("{} {}\n", patience(instance).as_micros(), name_of(instance))
}

/// Leaves word, beside `held`, that `masters` were masters until now: for who ends another daemon himself.
///
/// # Errors
/// As of files.
pub(crate) fn bequeath(held: &Path, masters: &[Arc<Instance>]) -> io::Result<()> {
    if let Some((list, alive)) = &Heritage::new(Some(held)).paths {
        record::write(list, &text(masters))?;
        Heartbeat::open(alive)?.beat();
    }
    Ok(())
}

impl Heritage {
    /// `held`: the path of the kernel's record.
    pub(super) fn new(held: Option<&Path>) -> Self {
        let path = |held: &Path, kind| heartbeat::in_memory(&held.with_extension(kind));
        let paths = held.map(|held| (path(held, "masters"), path(held, "alive")));
        Self {
            paths,
            ..Self::default()
        }
    }

    /// What an earlier run has left that is good for something at `now`. To be called once, before the first instance
    /// of ours speaks.
    pub(super) fn earlier(&mut self, config: &Config, now: Mono) -> Inheritance {
        let Some((masters, alive)) = &self.paths else {
            return Inheritance::default();
        };
        let age = heartbeat::age(alive);
        self.heart = Heartbeat::open(alive)
            .inspect_err(|e| tracing::warn!(path = %alive.display(), err = %e, "a successor will not know when this run was alive last"))
            .ok();
        let Some(age) = age else {
            return Inheritance::default();
        };
        // Read only beside a sign of life that is ours: where everybody may make files, another's could be anything.
        let text = fs::read_to_string(masters).unwrap_or_default(); // without a list there is no heir
        let alive_at = now - age;
        let was = |line: &str| {
            let (micros, key) = line.split_once(' ')?;
            Some((key.to_owned(), Duration::from_micros(micros.parse().ok()?)))
        };
        let was: BTreeMap<String, Duration> = text.lines().filter_map(was).collect();
        let until = |i: &Instance| Some(alive_at + patience(i).min(*was.get(&name_of(i))?));
        let all = config.instances.iter();
        let all = all.filter_map(|i| Some((i.key(), until(i).filter(|until| *until > now)?)));
        let inheritance = Inheritance(all.collect());
        if !inheritance.0.is_empty() {
            let ago = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(
                instances = inheritance.0.len(),
                ms = ago,
                "an earlier run was master a moment ago: nobody else can be yet"
            );
        }
        inheritance
    }

    /// An instance became master or ceased to be one, or intervals may have changed.
    pub(super) fn doubt(&mut self) {
        self.stale = true;
    }

    /// What is to be written, if there is news and it is time. `masters`: those of now.
    pub(super) fn due<'a>(
        &mut self,
        now: Mono,
        masters: impl IntoIterator<Item = &'a Arc<Instance>>,
    ) -> Option<News> {
        let waits = |at: Mono| now.since(at) < SPACING;
        if !self.stale || self.saved_at.is_some_and(waits) {
            return None;
        }
        (self.stale, self.saved_at) = (false, Some(now));
        let (list, _) = self.paths.as_ref()?;
        Some(News {
            path: list.clone(),
            masters: masters.into_iter().cloned().collect(),
        })
    }

    /// Advertisements have left.
    pub(super) fn beat(&self) {
        if let Some(heart) = &self.heart {
            heart.beat();
        }
    }

    /// An orderly end: everybody knows.
    pub(super) fn remove(&self) {
        if let Some((masters, alive)) = &self.paths {
            for path in [masters, alive] {
                let _ = fs::remove_file(path); // there may have been nothing to write
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::global::Global;
    use crate::model::net::IfName;
    use crate::model::vrrp::Vrid;

    fn instance(vrid: u8) -> Arc<Instance> {
        let eth0 = IfName::new("eth0").expect("a name");
        let vrid = Vrid(vrid.try_into().expect("not zero"));
        Arc::new(Instance::new("V", eth0, vrid, &Global::default()))
    }

    #[test]
    fn many_that_change_at_once_are_written_together() {
        let mut heritage = Heritage::new(Some(Path::new("/dev/shm/vrrp.held")));
        let all: Vec<_> = (1..=255).map(instance).collect();
        let now = Mono::from_micros(1_000_000);
        assert_eq!(heritage.due(now, &all), None);
        heritage.doubt();
        let news = heritage
            .due(now, &all[..1])
            .expect("the first is written at once");
        assert_eq!(news.path(), "/dev/shm/vrrp.masters");
        assert_eq!(text(&news.masters).lines().count(), 1);
        all[1..].iter().for_each(|_| heritage.doubt());
        assert_eq!(heritage.due(now, &all), None);
        let news = heritage.due(now + SPACING, &all).expect("the rest");
        assert_eq!(text(&news.masters).lines().count(), 255);
        assert_eq!(heritage.due(now + SPACING * 2, &all), None, "no news");
    }

    #[test]
    fn a_line_says_how_long_others_wait() {
        let mut slower = Instance::clone(&instance(1));
        slower.advert_int *= 5;
        let line = text(&[Arc::new(slower)]);
        assert!(line.starts_with("10000000 ") && line.lines().count() == 1);
    }
}
