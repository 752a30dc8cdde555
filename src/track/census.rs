//! How many processes of each kind run, and what that says. A pure core: it knows neither clock nor /proc.
//!
//! Source: keepalived.conf(5), `vrrp_track_process`; matching as measured with keepalived 2.2.7.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::daemon::bus::ProcessSnapshot;
use crate::model::track::{Arguments, TrackProcess};
use crate::time::Mono;

/// Longest name that the kernel keeps of a process (`TASK_COMM_LEN` without the zero).
const NAME_MAX: usize = 15;

/// What a process calls itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `comm`: the file name of its program, cut to 15 octets, unless it has renamed itself.
    pub(crate) name: Vec<u8>,
    /// `cmdline`, its words; empty for a kernel thread.
    pub(crate) words: Vec<Vec<u8>>,
}

/// Whether the command line matters, or the name alone.
pub(crate) fn needs_words(kind: &TrackProcess) -> bool {
    kind.full_command || kind.arguments != Arguments::Any
}

/// Whether a process is one of a kind.
pub(crate) fn matches(kind: &TrackProcess, identity: &Identity) -> bool {
    let Some((program, arguments)) = kind.process.split_first() else {
        return false;
    };
    if !needs_words(kind) {
        let name = program.as_bytes();
        return name.get(..NAME_MAX).unwrap_or(name) == identity.name;
    }
    let Some((first, words)) = identity.words.split_first() else {
        return false;
    };
    if first != program.as_bytes() {
        return false;
    }
    let equal = |(a, b): (&Arc<str>, &Vec<u8>)| a.as_bytes() == b;
    let first_ones = || arguments.len() <= words.len() && arguments.iter().zip(words).all(equal);
    match kind.arguments {
        Arguments::Any => true,
        Arguments::Exact => arguments.len() == words.len() && first_ones(),
        Arguments::Partial => first_ones(),
        Arguments::Initial => {
            let Some((last, before)) = arguments.split_last() else {
                return true;
            };
            let begins = |word: &Vec<u8>| word.starts_with(last.as_bytes());
            words.get(before.len()).is_some_and(begins) && before.iter().zip(words).all(equal)
        }
    }
}

/// A verdict that is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) name: Arc<str>,
    pub(crate) good: bool,
    /// There was none before.
    pub(crate) first: bool,
}

/// One kind of processes.
#[derive(Debug)]
struct Kind {
    cfg: Arc<TrackProcess>,
    pids: BTreeSet<i32>,
    /// What was said last, and how many there were then.
    told: Option<(bool, usize)>,
    /// When the contrary is to be said, unless it changes back.
    due_at: Option<Mono>,
}

impl Kind {
    fn is_good(&self) -> bool {
        let count = u32::try_from(self.pids.len()).unwrap_or(u32::MAX);
        count >= self.cfg.quorum && self.cfg.quorum_max.is_none_or(|max| count <= max)
    }

    /// Says what is due, or begins to wait.
    fn settle(&mut self, now: Mono) -> Option<News> {
        let good = self.is_good();
        let Some((said, before)) = self.told else {
            return Some(self.tell(good, true));
        };
        if said == good {
            self.due_at = None;
            return None;
        }
        // More of them: some were started; fewer: some have ended.
        let delay = if self.pids.len() > before {
            self.cfg.fork_delay
        } else {
            self.cfg.terminate_delay
        };
        let due_at = *self.due_at.get_or_insert(now + delay);
        (now >= due_at).then(|| self.tell(good, false))
    }

    fn tell(&mut self, good: bool, first: bool) -> News {
        self.due_at = None;
        self.told = Some((good, self.pids.len()));
        News {
            name: Arc::clone(&self.cfg.name),
            good,
            first,
        }
    }
}

/// All kinds.
#[derive(Debug, Default)]
pub(crate) struct Census {
    kinds: Vec<Kind>,
    /// Everybody was counted at least once; nothing is said before.
    counted: bool,
}

impl Census {
    /// Start or reload. A kind that looks for the same keeps what is known; true: another one came, so that everybody must
    /// be counted anew.
    pub(crate) fn apply(&mut self, kinds: &[Arc<TrackProcess>]) -> bool {
        let mut old: BTreeMap<Arc<str>, Kind> = std::mem::take(&mut self.kinds)
            .into_iter()
            .map(|k| (Arc::clone(&k.cfg.name), k))
            .collect();
        let mut anew = false;
        for cfg in kinds {
            let same = |k: &Kind| {
                (&k.cfg.process, k.cfg.arguments, k.cfg.full_command)
                    == (&cfg.process, cfg.arguments, cfg.full_command)
            };
            let known = old.remove(&cfg.name).filter(same);
            anew |= known.is_none();
            let mut kind = known.unwrap_or_else(|| Kind {
                cfg: Arc::clone(cfg),
                pids: BTreeSet::new(),
                told: None,
                due_at: None,
            });
            kind.cfg = Arc::clone(cfg);
            self.kinds.push(kind);
        }
        self.counted &= !anew;
        anew
    }

    /// What is looked for, in the order in which [`Census::count`] wants its answers.
    pub(crate) fn kinds(&self) -> Vec<Arc<TrackProcess>> {
        self.kinds.iter().map(|k| Arc::clone(&k.cfg)).collect()
    }

    /// The verdicts in force.
    pub(crate) fn verdicts(&self) -> Vec<(Arc<str>, bool)> {
        let told = self.kinds.iter();
        told.filter_map(|k| Some((Arc::clone(&k.cfg.name), k.told?.0)))
            .collect()
    }

    /// How they are, by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<Arc<str>, ProcessSnapshot> {
        let one = |k: &Kind| ProcessSnapshot {
            count: k.pids.len(),
            good: k.told.map(|(good, _)| good),
            delayed: k.due_at.is_some(),
        };
        let kinds = self.kinds.iter();
        kinds.map(|k| (Arc::clone(&k.cfg.name), one(k))).collect()
    }

    /// When [`Census::settle`] is due; [`Mono::NEVER`] if nothing is.
    pub(crate) fn deadline(&self) -> Mono {
        let due = self.kinds.iter().filter_map(|k| k.due_at);
        due.min().unwrap_or(Mono::NEVER)
    }

    /// Everybody was counted: the processes of each kind, in the order of [`Census::kinds`].
    pub(crate) fn count(&mut self, all: Vec<BTreeSet<i32>>) {
        self.counted = true;
        for (kind, pids) in self.kinds.iter_mut().zip(all) {
            kind.pids = pids;
        }
    }

    /// A process begins as a copy of its parent.
    pub(crate) fn forked(&mut self, parent: i32, child: i32) {
        for kind in &mut self.kinds {
            if kind.pids.contains(&parent) {
                kind.pids.insert(child);
            }
        }
    }

    /// A process has become, or says that it is, somebody else.
    pub(crate) fn changed(&mut self, pid: i32, identity: &Identity) {
        for kind in &mut self.kinds {
            if matches(&kind.cfg, identity) {
                kind.pids.insert(pid);
            } else {
                kind.pids.remove(&pid);
            }
        }
    }

    /// A process has ended.
    pub(crate) fn ended(&mut self, pid: i32) {
        for kind in &mut self.kinds {
            kind.pids.remove(&pid);
        }
    }

    /// What is to be said now. `now` never goes back.
    pub(crate) fn settle(&mut self, now: Mono) -> Vec<News> {
        if !self.counted {
            return Vec::new();
        }
        self.kinds
            .iter_mut()
            .filter_map(|k| k.settle(now))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::track::Weight;

    fn kind(process: &[&str], arguments: Arguments) -> TrackProcess {
        TrackProcess {
            name: "p".into(),
            process: process.iter().map(|w| Arc::from(*w)).collect(),
            arguments,
            full_command: false,
            weight: Weight::Fault,
            reverse: false,
            quorum: 1,
            quorum_max: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
        }
    }

    /// As keepalived 2.2.7 answered for a process `/p/trk 50 60 70`.
    #[test]
    fn arguments_are_compared_as_keepalived_does() {
        use Arguments::{Any, Exact, Initial, Partial};
        let words = ["/p/trk", "50", "60", "70"];
        let identity = Identity {
            name: b"trk".to_vec(),
            words: words.map(|w| w.as_bytes().to_vec()).into(),
        };
        let fits = |process: &[&str], arguments| matches(&kind(process, arguments), &identity);
        assert!(fits(&["trk"], Any));
        assert!(!fits(&["/p/trk"], Any));
        assert!(!fits(&["trk", "50", "60", "70"], Exact));
        assert!(fits(&["/p/trk", "50", "60", "70"], Exact));
        assert!(!fits(&["/p/trk"], Exact));
        assert!(!fits(&["trk"], Initial));
        assert!(fits(&["/p/trk"], Initial));
        assert!(fits(&["/p/trk", "50"], Initial));
        assert!(fits(&["/p/trk", "50", "6"], Initial));
        assert!(!fits(&["/p/trk", "60"], Initial));
        assert!(fits(&["/p/trk", "50", "60"], Partial));
        assert!(!fits(&["/p/trk", "50", "6"], Partial));
        assert!(!fits(&["/p/trk", "5"], Partial));
        let mut full = kind(&["/p/trk"], Any);
        full.full_command = true;
        assert!(matches(&full, &identity));
        full.process = vec!["trk".into()];
        assert!(!matches(&full, &identity));
    }

    #[test]
    fn a_long_name_is_cut_as_the_kernel_cuts_it() {
        let identity = Identity {
            name: b"abcdefghijklmno".to_vec(),
            words: Vec::new(),
        };
        let kind = kind(&["abcdefghijklmnopqrst"], Arguments::Any);
        assert!(matches(&kind, &identity));
    }

    const S: Duration = Duration::from_secs(1);

    fn census(cfg: TrackProcess) -> Census {
        let mut census = Census::default();
        assert!(census.apply(&[Arc::new(cfg)]));
        assert_eq!(census.settle(Mono::ZERO), []);
        census.count(vec![BTreeSet::new()]);
        census
    }

    fn news(good: bool, first: bool) -> [News; 1] {
        let name = "p".into();
        [News { name, good, first }]
    }

    #[test]
    fn a_quorum_has_a_bottom_a_top_and_delays_on_both_ways() {
        let mut cfg = kind(&["p"], Arguments::Any);
        (cfg.quorum, cfg.quorum_max) = (2, Some(3));
        (cfg.fork_delay, cfg.terminate_delay) = (S, 2 * S);
        let mut c = census(cfg);
        let me = Identity {
            name: b"p".to_vec(),
            words: Vec::new(),
        };
        let mut t = Mono::ZERO;
        assert_eq!(c.settle(t), news(false, true));
        c.changed(1, &me);
        c.forked(1, 2);
        assert_eq!(c.settle(t), []);
        assert_eq!(c.deadline(), t + S);
        t += S;
        assert_eq!(c.settle(t), news(true, false));
        c.ended(2);
        assert_eq!(c.settle(t), []);
        c.forked(1, 3); // in time
        assert_eq!(c.settle(t + S), []);
        assert_eq!(c.deadline(), Mono::NEVER);
        c.forked(3, 4);
        c.forked(3, 5); // too many
        assert_eq!(c.settle(t + S), []);
        assert_eq!(c.settle(t + 2 * S), news(false, false));
        c.changed(5, &Identity::default());
        assert_eq!(c.settle(t + 2 * S), []);
        assert_eq!(c.settle(t + 4 * S), news(true, false));
    }

    #[test]
    fn a_reload_keeps_what_is_known_of_the_same_kind() {
        let mut c = census(kind(&["p"], Arguments::Any));
        c.settle(Mono::ZERO);
        let mut same = kind(&["p"], Arguments::Any);
        same.quorum_max = Some(0);
        same.quorum = 0;
        assert!(!c.apply(&[Arc::new(same)]));
        assert_eq!(c.settle(Mono::ZERO), news(true, false));
        assert!(c.apply(&[Arc::new(kind(&["q"], Arguments::Any))]));
        assert_eq!((c.settle(Mono::ZERO), c.verdicts()), (vec![], vec![]));
    }
}
