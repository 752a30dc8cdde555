//! Numbers among the arguments: ranges, and what junk behind a number means.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::source::Code;
use super::super::value;
use super::args::{Args, Fault};

impl Args<'_, '_> {
    /// A whole number in a range. Junk behind it is complained about, and the digits are used.
    pub(crate) fn int<N>(&mut self, range: RangeInclusive<N>) -> Result<N, Fault>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        let word = self.word()?;
        self.int_of(word, range, Junk::Warned)
    }

    /// A whole number in a range, without anything behind it.
    pub(crate) fn strict<N>(&mut self, range: RangeInclusive<N>) -> Result<N, Fault>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        let word = self.word()?;
        self.int_of(word, range, Junk::Refused)
    }

    fn int_of<N>(&mut self, word: &str, range: RangeInclusive<N>, junk: Junk) -> Result<N, Fault>
    where
        N: Copy + Into<i128> + TryFrom<i128>,
    {
        let (min, max): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
        let invalid = |a: &Self| a.fault(Code::InvalidNumber, format!("invalid number '{word}'"));
        let whole = value::whole(word).ok_or_else(|| invalid(self))?;
        let n = Some(whole.value)
            .filter(|n| (min..=max).contains(n))
            .and_then(|n| N::try_from(n).ok());
        let n = n.ok_or_else(|| {
            self.fault(
                Code::OutOfRange,
                format!("{} is not in {min}..={max}", whole.value),
            )
        })?;
        match (whole.junk, junk) {
            (false, _) => Ok(n),
            (true, Junk::Refused) => Err(invalid(self)),
            (true, Junk::Warned) => {
                let text = format!("WARNING - invalid number '{word}' - using {}", whole.value);
                self.warn(Code::InvalidNumber, text);
                Ok(n)
            }
        }
    }

    /// Seconds with decimals, to a microsecond.
    pub(crate) fn secs(&mut self, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        self.decimal(6, range)
    }

    /// Seconds with decimals, to a millisecond.
    pub(crate) fn millis(&mut self, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        self.decimal(3, range)
    }

    fn decimal(&mut self, places: u32, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
        let word = self.word()?;
        let found = value::decimal(word, places);
        let found = found
            .ok_or_else(|| self.fault(Code::InvalidNumber, format!("invalid number '{word}'")))?;
        if found.rounded {
            self.warn(
                Code::Rounded,
                format!("number '{word}' has too many decimal places"),
            );
        }
        if !range.contains(&found.value) {
            let (min, max) = range.into_inner();
            let text = format!(
                "{word} is not in {}..={}",
                min.as_secs_f64(),
                max.as_secs_f64()
            );
            return Err(self.fault(Code::OutOfRange, text));
        }
        Ok(found.value)
    }
}

/// What junk behind a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Junk {
    Warned,
    Refused,
}
