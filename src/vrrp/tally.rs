//! The statistics of one instance, in few octets: what a healthy network counts, and all else once it happens.

use super::Counters;

/// See the module; the fields are those of [`Counters`].
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) advert_received: u64,
    pub(super) advert_sent: u64,
    pub(super) became_master: u32,
    pub(super) released_master: u32,
    rare: Option<Box<Counters>>,
}

impl Tally {
    /// Where everything else is counted.
    pub(super) fn rare(&mut self) -> &mut Counters {
        self.rare.get_or_insert_default()
    }

    /// All of them.
    pub(super) fn all(&self) -> Counters {
        Counters {
            advert_received: self.advert_received,
            advert_sent: self.advert_sent,
            became_master: self.became_master.into(),
            released_master: self.released_master.into(),
            ..self.rare.as_deref().copied().unwrap_or_default()
        }
    }
}
