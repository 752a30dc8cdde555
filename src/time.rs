//! Time as the protocol counts it: the only place where units are converted.
//!
//! Nothing here reads a clock; `sys::clock` does, and hands instants to the cores.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// The resolution of [`Mono`]; the smallest step a simulated clock can take.
#[cfg(test)]
pub(crate) const MICROSECOND: Duration = Duration::from_micros(1);

/// An instant of `CLOCK_MONOTONIC`, in microseconds. It never goes back and does not move with clock steps.
///
/// In one word, "none" included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mono(
    /// One more than the microseconds.
    NonZeroU64,
);

impl Mono {
    /// The start of a story.
    #[cfg(test)]
    pub(crate) const ZERO: Self = Self::from_micros(0);
    /// Later than any deadline: "never".
    pub(crate) const NEVER: Self = Self(NonZeroU64::MAX);

    /// `us`: microseconds since the origin.
    pub(crate) const fn from_micros(us: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(us))
    }

    /// Microseconds since the origin.
    pub(crate) const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// The span from `earlier` to `self`; zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.as_micros().saturating_sub(earlier.as_micros()))
    }
}

/// The origin.
impl Default for Mono {
    fn default() -> Self {
        Self::from_micros(0)
    }
}

impl fmt::Debug for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mono").field(&self.as_micros()).finish()
    }
}

/// Saturates at [`Mono::NEVER`]; parts of a microsecond are cut off.
impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(span))
    }
}

impl AddAssign<Duration> for Mono {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

/// Saturates at [`Mono::ZERO`].
impl Sub<Duration> for Mono {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self::from_micros(self.as_micros().saturating_sub(span))
    }
}

/// A span in hundredths of a second: the unit of VRRPv3's Max Advertise Interval, 12 bits on the wire
/// (RFC 9568 §5.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Centis(pub(crate) u16);

impl Centis {
    /// Parts of a centisecond are cut off; `None` above 655.35 s.
    pub(crate) fn of(span: Duration) -> Option<Self> {
        u16::try_from(span.as_millis() / 10).ok().map(Self)
    }
}

impl From<Centis> for Duration {
    fn from(c: Centis) -> Self {
        Self::from_millis(u64::from(c.0) * 10)
    }
}

impl fmt::Display for Centis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} s", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        assert_eq!(Mono::NEVER + MICROSECOND, Mono::NEVER);
        assert_eq!(Mono::from_micros(u64::MAX), Mono::NEVER);
        assert_eq!(Mono::ZERO - MICROSECOND, Mono::ZERO);
        assert_eq!(Mono::ZERO.since(Mono::NEVER), Duration::ZERO);
    }

    #[test]
    fn centis_convert_both_ways() {
        assert_eq!(
            Centis::of(Duration::from_millis(40_950)),
            Some(Centis(4095))
        );
        assert_eq!(Duration::from(Centis(1)), Duration::from_millis(10));
        assert_eq!(Centis::of(Duration::from_secs(700)), None);
        assert_eq!(Centis(136).to_string(), "1.36 s");
    }
}
