//! Time as the protocol counts it: the only place where units are converted.
//!
//! Nothing here reads a clock; `sys::clock` does, and hands instants to the cores.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// The resolution of [`Mono`]; the smallest step a simulated clock can take.
#[cfg(test)]
pub(crate) const MICROSECOND: Duration = Duration::from_micros(1);

/// An instant of `CLOCK_MONOTONIC`, in microseconds. It never goes back and does not move with clock steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mono(u64);

impl Mono {
    /// The start of a story.
    #[cfg(test)]
    pub(crate) const ZERO: Self = Self(0);
    /// Later than any deadline: "never".
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// `us`: microseconds since the origin.
    pub(crate) const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the origin.
    pub(crate) const fn as_micros(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to `self`; zero if `earlier` is later.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Mono::NEVER`]; parts of a microsecond are cut off.
impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
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
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
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
