//! Random choices that a seed fixes. Source: SplitMix64, Steele, Lea and Flood, 2014.

use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// 0..n.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn up_to(&mut self, span: Duration) -> Duration {
        let micros = u64::try_from(span.as_micros()).expect("a short span");
        Duration::from_micros(self.below(micros + 1))
    }
}
