//! Snapshots → the text of the dump files. Reads nothing, writes nothing: it makes strings.
//!
//! Exporters and scripts parse these lines, so labels, order and indentation are keepalived's. What a model does not
//! know is left out, never guessed. Source: keepalived's `keepalived.data`, `keepalived.stats`, `keepalived.json`.

pub(crate) mod bfd;
pub(crate) mod check;
pub(crate) mod data;
mod global;
pub(crate) mod json;
mod lines;
pub(crate) mod stats;
pub(crate) mod status;
mod words;

use std::time::Duration;

use crate::model::Config;
use crate::time::Mono;

/// `keepalived_parent.data`.
pub(crate) fn parent(config: &Config) -> String {
    global::global(config, global::Part::Other)
}

/// How an instant is told to people, who live by the wall clock.
pub(crate) struct Times {
    /// What the wall clock showed at the origin of [`Mono`], since 1970.
    pub(crate) origin: Duration,
    /// `WWW MMM DD HH:MM:SS` and the year, in local time.
    pub(crate) local: fn(Duration) -> (String, i32),
}

impl Times {
    /// Since 1970.
    fn wall(&self, at: Mono) -> Duration {
        self.origin + Duration::from_micros(at.as_micros())
    }

    /// `SECONDS.MICROSECONDS (WWW MMM DD HH:MM:SS.MICROSECONDS YYYY)`
    fn full(&self, at: Duration) -> String {
        let ((local, year), micros) = ((self.local)(at), at.subsec_micros());
        format!("{} ({local}.{micros:06} {year})", words::Micros(at))
    }
}
