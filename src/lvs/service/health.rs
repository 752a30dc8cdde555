//! What is believed about the checkers of a virtual server, one after the other: there may be tens of thousands.

use crate::lvs::CheckId;
use crate::lvs::checker::Local;
use crate::lvs::checker::http::Lengths;
use crate::lvs::verdict::Verdict;

/// A checker at run time.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) id: CheckId,
    pub(super) verdict: Verdict,
    /// What most checkers never need.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    share: Share,
    /// What was last reported about this machine, so that it is reported once.
    trouble: Option<Local>,
    /// By page, the wrong lengths that were reported last.
    lengths: Vec<(usize, Lengths)>,
}

/// What a checker does to the weight of its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Share {
    #[default]
    None,
    /// It adds that much.
    Adds(i64),
    /// Alone, it makes it that much.
    Sets(u32),
}

impl Share {
    /// What it adds to the weight of the configuration.
    pub(super) fn of(self, configured: u32) -> i64 {
        match self {
            Self::None => 0,
            Self::Adds(n) => n,
            Self::Sets(n) => i64::from(n) - i64::from(configured),
        }
    }
}

impl Health {
    pub(super) fn new(verdict: Verdict, id: CheckId) -> Self {
        Self {
            id,
            verdict,
            rare: None,
        }
    }

    pub(super) fn share(&self) -> Share {
        self.rare.as_ref().map_or(Share::None, |r| r.share)
    }

    pub(super) fn set_share(&mut self, share: Share) {
        self.change(|rare| rare.share = share);
    }

    /// Notes what this machine could not do. True: it has not been reported yet.
    pub(super) fn is_news(&mut self, trouble: Local) -> bool {
        let before = self.rare.as_ref().and_then(|r| r.trouble);
        self.change(|rare| rare.trouble = Some(trouble));
        before != Some(trouble)
    }

    /// This machine could do its part again.
    pub(super) fn is_well(&mut self) {
        self.change(|rare| rare.trouble = None);
    }

    /// A page was good; `lengths`: its `Content-Length` was wrong. Returns them if they have not been reported yet.
    pub(super) fn length_is_news(
        &mut self,
        page: usize,
        lengths: Option<Lengths>,
    ) -> Option<Lengths> {
        let rare = self.rare.as_ref();
        let mut known = rare.into_iter().flat_map(|r| &r.lengths);
        let before = known.find(|(of, _)| *of == page).map(|(_, l)| *l);
        if before == lengths {
            return None;
        }
        self.change(|rare| {
            rare.lengths.retain(|(of, _)| *of != page);
            rare.lengths.extend(lengths.map(|l| (page, l)));
        });
        lengths
    }

    fn change(&mut self, how: impl FnOnce(&mut Rare)) {
        let mut rare = match self.rare.take() {
            Some(rare) => rare,
            None => {
                let mut rare = Rare::default();
                how(&mut rare);
                self.rare = (rare != Rare::default()).then(|| Box::new(rare));
                return;
            }
        };
        how(&mut rare);
        self.rare = (*rare != Rare::default()).then_some(rare);
    }
}

/// See the module; those of each real server together, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Healths {
    all: Vec<Health>,
    /// For each real server where its own end.
    ends: Vec<u32>,
}

impl Healths {
    /// Those of the next real server.
    pub(super) fn push(&mut self, of_one: impl IntoIterator<Item = Health>) {
        self.all.extend(of_one);
        self.ends
            .push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
    }

    /// All are there.
    pub(super) fn complete(&mut self) {
        self.all.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn range(&self, server: usize) -> Option<std::ops::Range<usize>> {
        let end = *self.ends.get(server)? as usize;
        let before = server.checked_sub(1).and_then(|s| self.ends.get(s));
        Some(before.map_or(0, |at| *at as usize)..end)
    }

    /// How many real servers there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Those of one real server.
    pub(super) fn get(&self, server: usize) -> Option<&[Health]> {
        self.all.get(self.range(server)?)
    }

    pub(super) fn at_mut(&mut self, server: usize, check: usize) -> Option<&mut Health> {
        let range = self.range(server)?;
        self.all.get_mut(range)?.get_mut(check)
    }

    /// Those of one real server after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[Health]> {
        (0..self.ends.len()).map(|server| self.get(server).unwrap_or_default())
    }

    /// The same, taken apart.
    pub(super) fn into_lists(self) -> impl Iterator<Item = Vec<Health>> {
        let mut all = self.all.into_iter();
        let mut at = 0;
        self.ends.into_iter().map(move |end| {
            let count = end - std::mem::replace(&mut at, end);
            all.by_ref().take(count as usize).collect()
        })
    }
}
