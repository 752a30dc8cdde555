//! What a run that is killed leaves to the next one: for which instances it was master, and when it was alive last.
//!
//! Who comes back before the others can have noticed goes on as the master it was, and nobody sees a change. The
//! files stand beside [`super::kernel`]'s record, in the run directory, and go with an orderly end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::kernel::record;
use crate::daemon::bus::VrrpState;
use crate::model::Config;
use crate::model::diff::Keyed as _;
use crate::model::vrrp::{Instance, InstanceKey};
use crate::sys::heartbeat::{self, Heartbeat};
use crate::time::Mono;
use crate::vrrp::router::Inheritance;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heritage {
    /// Of the list of masters, and of the instant; `None`: nothing is left to anybody.
    paths: Option<(PathBuf, PathBuf)>,
    heart: Option<Heartbeat>,
    /// With how long others wait at least, counted from an instant at which we were alive.
    masters: BTreeMap<InstanceKey, Duration>,
}

/// Others wait `down_timer_adverts` intervals after the last advertisement, which may have left one interval before the
/// process was alive last.
fn patience(instance: &Instance) -> Duration {
    let intervals = instance.down_timer_adverts.saturating_sub(1);
    instance.advert_int.saturating_mul(intervals)
}

/// A key as it stands in the list. It is compared and never read.
fn name_of(key: &InstanceKey) -> String {
    format!("{key:?}")
}

/// Leaves word, beside `held`, that `masters` were masters until now: for who ends another daemon himself.
///
/// # Errors
/// As of files.
pub(crate) fn bequeath(held: &Path, masters: &[Arc<Instance>]) -> io::Result<()> {
    let mut heritage = Heritage::new(Some(held));
    let last = masters
        .iter()
        .filter_map(|i| heritage.note(i, VrrpState::Master))
        .last();
    let (Some((path, text)), Some((_, alive))) = (last, &heritage.paths) else {
        return Ok(());
    };
    record::write(&path, &text)?;
    Heartbeat::open(alive)?.beat();
    Ok(())
}

impl Heritage {
    /// `held`: the path of the kernel's record.
    pub(super) fn new(held: Option<&Path>) -> Self {
        let paths = held.map(|held| (held.with_extension("masters"), held.with_extension("alive")));
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
        let text = fs::read_to_string(masters).unwrap_or_default(); // without a list there is no heir
        self.heart = Heartbeat::open(alive)
            .inspect_err(|e| tracing::warn!(path = %alive.display(), err = %e, "a successor will not know when this run was alive last"))
            .ok();
        let Some(age) = age else {
            return Inheritance::default();
        };
        let alive_at = now - age;
        let was = |line: &str| {
            let (micros, key) = line.split_once(' ')?;
            Some((key.to_owned(), Duration::from_micros(micros.parse().ok()?)))
        };
        let was: BTreeMap<String, Duration> = text.lines().filter_map(was).collect();
        let until = |i: &Instance| Some(alive_at + patience(i).min(*was.get(&name_of(&i.key()))?));
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

    /// An instance has changed state. What is to be written where, if that is news.
    pub(super) fn note(
        &mut self,
        instance: &Instance,
        state: VrrpState,
    ) -> Option<(PathBuf, String)> {
        let patience = patience(instance);
        let news = match state {
            VrrpState::Master => self.masters.insert(instance.key(), patience) != Some(patience),
            VrrpState::Backup | VrrpState::Fault | VrrpState::Stop | VrrpState::Deleted => {
                self.masters.remove(&instance.key()).is_some()
            }
        };
        news.then(|| self.text()).flatten()
    }

    /// A new configuration is in force: intervals may have changed. What is to be written where, if that is news.
    pub(super) fn renew(&mut self, config: &Config) -> Option<(PathBuf, String)> {
        if self.masters.is_empty() {
            return None;
        }
        let before = self.masters.clone();
        let now: BTreeMap<_, _> = config
            .instances
            .iter()
            .map(|i| (i.key(), patience(i)))
            .collect();
        self.masters.retain(|key, patience| {
            let new = now.get(key);
            *patience = new.copied().unwrap_or_default();
            new.is_some()
        });
        (before != self.masters).then(|| self.text()).flatten()
    }

    fn text(&self) -> Option<(PathBuf, String)> {
        let (path, _) = self.paths.as_ref()?;
        let line = |(key, patience): (&InstanceKey, &Duration)| {
            format!("{} {}\n", patience.as_micros(), name_of(key))
        };
        Some((path.clone(), self.masters.iter().map(line).collect()))
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
