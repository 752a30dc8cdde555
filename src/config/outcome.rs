//! What findings lead to: their weights, the exit codes that follow from these, and how findings are collected.
//!
//! Source: the classes of complaints and the exit codes of keepalived(8), as measured.

use super::source::{Code, Diag, Span};

/// Most complaints that are kept; more are counted in the outcome, but not shown.
const MAX_DIAGS: usize = 20_000;

/// What a complaint leads to, lightest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Weight {
    /// A warning of `check` alone: made after loading, so it never changes what `-t` or a start does.
    Lint,
    /// Worth knowing; never changes an exit status.
    Note,
    /// Shown by `-t`, never changes an exit status: an include that could not be read and need not be.
    Printed,
    /// Logged by the daemon, not shown by `-t`, never changes an exit status.
    Log,
    /// The network namespace cannot be joined: both end with 0 at once.
    Namespace,
    /// The main file cannot be used: `-t` 0, the daemon 6.
    NoFile,
    /// `-t` 4, the daemon runs.
    Fatal,
    /// The statement, entry or block is lost or mended: `-t` 5, the daemon runs.
    Complaint,
    /// The configuration cannot be used: `-t` 5, the daemon 2.
    Unusable,
    /// Scripts without `enable_script_security`: `-t` 6, the daemon runs.
    Security,
    /// A keyword lacks its argument: 2 from both.
    Missing,
    /// An `include` that its checks refuse: 6 from both.
    Include,
}

/// Which part of the daemon a finding is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Concern {
    /// All of it.
    #[default]
    Daemon,
    /// Instances, and what only they use: nothing to a daemon that runs checkers alone.
    Vrrp,
    /// Virtual servers, and what only they use: nothing to a daemon that runs VRRP alone.
    Checkers,
}

/// Which weights occurred, and from that the exit codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome(u16);

impl Outcome {
    fn note(&mut self, weight: Weight) {
        self.0 |= 1 << weight as u16;
    }

    /// Whether a finding of that weight was made.
    pub(crate) fn has(self, weight: Weight) -> bool {
        self.0 & (1 << weight as u16) != 0
    }

    /// The exit code of `-t`: 0 fine, 2 a missing argument, 4 fatal, 5 anything else, 6 include or security.
    pub(crate) fn test_exit(self) -> u8 {
        let by_weight = [
            (Weight::Include, 6),
            (Weight::Missing, 2),
            (Weight::Namespace, 0),
            (Weight::Security, 6),
            (Weight::Unusable, 5),
            (Weight::Complaint, 5),
            (Weight::Fatal, 4),
        ];
        by_weight
            .into_iter()
            .find(|(w, _)| self.has(*w))
            .map_or(0, |(_, code)| code)
    }

    /// Why the daemon ends: 0 no network namespace, 6 no file or a refused include, 2 unusable, or with `strict` or
    /// `reload_check_config` any complaint. `None`: it runs.
    pub(crate) fn refusal(self, strict: bool) -> Option<u8> {
        let any = |ws: &[Weight]| ws.iter().any(|w| self.has(*w));
        if any(&[Weight::Include, Weight::NoFile]) {
            Some(6)
        } else if self.has(Weight::Missing) {
            Some(2)
        } else if self.has(Weight::Namespace) {
            Some(0)
        } else if self.has(Weight::Unusable)
            || strict && any(&[Weight::Fatal, Weight::Complaint, Weight::Security])
        {
            Some(2)
        } else {
            None
        }
    }
}

/// The outcomes by what the findings are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    daemon: Outcome,
    vrrp: Outcome,
    checkers: Outcome,
}

impl Outcomes {
    fn note(&mut self, concern: Concern, weight: Weight) {
        let outcome = match concern {
            Concern::Daemon => &mut self.daemon,
            Concern::Vrrp => &mut self.vrrp,
            Concern::Checkers => &mut self.checkers,
        };
        outcome.note(weight);
    }

    /// That of a daemon with all its parts, or with only some of them.
    pub(crate) fn of(self, runs: impl Fn(Concern) -> bool) -> Outcome {
        let by_concern = [
            (Concern::Daemon, self.daemon),
            (Concern::Vrrp, self.vrrp),
            (Concern::Checkers, self.checkers),
        ];
        let found = by_concern.into_iter().filter(|(concern, _)| runs(*concern));
        Outcome(found.fold(0, |all, (_, outcome)| all | outcome.0))
    }
}

/// Collects findings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diags {
    list: Vec<Diag>,
    outcomes: Outcomes,
    /// Which part the findings that come next are about.
    concern: Concern,
    left_out: usize,
}

impl Diags {
    /// Adds one; the outcome counts it even when there is no room to keep it.
    pub(crate) fn push(&mut self, mut diag: Diag) {
        // All parts of the daemon read all files.
        diag.concern = match diag.weight {
            Weight::Include => Concern::Daemon,
            Weight::Lint
            | Weight::Note
            | Weight::Printed
            | Weight::Log
            | Weight::Namespace
            | Weight::NoFile
            | Weight::Fatal
            | Weight::Complaint
            | Weight::Unusable
            | Weight::Security
            | Weight::Missing => self.concern,
        };
        self.outcomes.note(diag.concern, diag.weight);
        // Where reading ended, and that happens once, must be known.
        if !self.is_full() || diag.code == Code::TooLarge {
            self.list.push(diag);
        } else {
            self.left_out += 1;
        }
    }

    /// Whether findings are only counted from here on, so that their texts need not be made.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= MAX_DIAGS
    }

    /// Counts one that is not kept.
    pub(crate) fn count(&mut self, weight: Weight) {
        self.outcomes.note(self.concern, weight);
        self.left_out += 1;
    }

    /// Whether a finding of that kind was made (and kept) that makes the configuration unusable.
    pub(crate) fn unusable_by(&self, code: Code) -> bool {
        let mut all = self.list.iter();
        all.any(|d| d.code == code && d.weight == Weight::Unusable)
    }

    /// Whether a finding of that kind was made (and kept).
    pub(crate) fn has(&self, code: Code) -> bool {
        self.any(|d| d.code == code)
    }

    /// Whether there is such a finding among those that were kept.
    pub(crate) fn any(&self, like: impl Fn(&Diag) -> bool) -> bool {
        self.list.iter().any(like)
    }

    /// Sets which part the findings that come next are about; returns the one before.
    pub(crate) fn about(&mut self, concern: Concern) -> Concern {
        std::mem::replace(&mut self.concern, concern)
    }

    /// See [`Outcomes`].
    pub(crate) fn outcomes(&self) -> Outcomes {
        self.outcomes
    }

    /// All that were kept, by place; those without a place last.
    pub(crate) fn into_sorted(mut self) -> Vec<Diag> {
        self.list
            .sort_by_key(|d| (d.span.is_none(), d.span.map(Span::order)));
        if self.left_out > 0 {
            let text = format!("{} more complaints are not shown", self.left_out);
            self.list.push(Diag::bare(None, Code::TooMany, text));
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(weights: &[Weight]) -> Outcome {
        let mut o = Outcome::default();
        weights.iter().for_each(|w| o.note(*w));
        o
    }

    #[test]
    fn where_reading_ended_is_told_whatever_was_told_before() {
        let mut diags = Diags::default();
        for _ in 0..=MAX_DIAGS {
            diags.push(Diag::bare(None, Code::UnexpectedOpen, "again"));
        }
        diags.push(Diag::bare(None, Code::TooLarge, "reading ends"));
        let told = diags.into_sorted();
        assert!(told.iter().any(|d| d.text == "reading ends"));
        let last = told.last().map(|d| &*d.text);
        assert_eq!(last, Some("1 more complaints are not shown"));
    }

    #[test]
    fn the_exit_code_of_a_test_follows_the_classes() {
        assert_eq!(outcome(&[]).test_exit(), 0);
        assert_eq!(
            outcome(&[Weight::Note, Weight::Log, Weight::NoFile]).test_exit(),
            0
        );
        assert_eq!(outcome(&[Weight::Fatal]).test_exit(), 4);
        assert_eq!(outcome(&[Weight::Fatal, Weight::Complaint]).test_exit(), 5);
        assert_eq!(
            outcome(&[Weight::Security, Weight::Unusable]).test_exit(),
            6
        );
        assert_eq!(outcome(&[Weight::Security, Weight::Missing]).test_exit(), 2);
        assert_eq!(outcome(&[Weight::Include]).test_exit(), 6);
    }

    #[test]
    fn the_daemon_runs_with_whatever_could_be_understood() {
        assert_eq!(
            outcome(&[Weight::Complaint, Weight::Security]).refusal(false),
            None
        );
        assert_eq!(outcome(&[Weight::Complaint]).refusal(true), Some(2));
        assert_eq!(outcome(&[Weight::Unusable]).refusal(false), Some(2));
        assert_eq!(outcome(&[Weight::Missing]).refusal(false), Some(2));
        assert_eq!(outcome(&[Weight::NoFile]).refusal(false), Some(6));
    }

    #[test]
    fn a_flood_of_complaints_is_counted_not_kept() {
        let mut diags = Diags::default();
        for _ in 0..MAX_DIAGS {
            diags.push(Diag::bare(None, Code::TooMany, "x"));
        }
        diags.push(Diag::bare(None, Code::TooMany, "x").weighing(Weight::Missing));
        assert_eq!(diags.outcomes().of(|_| true).test_exit(), 2);
        assert_eq!(diags.into_sorted().len(), MAX_DIAGS + 1);
    }
}
