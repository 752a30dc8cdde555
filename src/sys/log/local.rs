//! Moments as people read them. Source: localtime_r(3), RFC 3164, RFC 5322.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in the local time zone. Prints like ctime(3).
pub(crate) struct Local(libc::tm);

impl Local {
    /// `at` in the zone of `TZ` or /etc/localtime.
    pub(crate) fn of(at: SystemTime) -> Self {
        let secs = at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let secs = libc::time_t::try_from(secs).unwrap_or(libc::time_t::MAX);
        // SAFETY: all zero is a valid `tm`: numbers and a null pointer.
        let mut tm: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are valid for the call; `localtime_r` keeps neither.
        unsafe { libc::localtime_r(&raw const secs, &raw mut tm) };
        Self(tm)
    }

    fn month(&self) -> &'static str {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let month = usize::try_from(self.0.tm_mon).ok();
        month.and_then(|m| MONTHS.get(m)).copied().unwrap_or("???")
    }

    fn weekday(&self) -> &'static str {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let day = usize::try_from(self.0.tm_wday).ok();
        day.and_then(|d| DAYS.get(d)).copied().unwrap_or("???")
    }

    /// `Sat, 21 Nov 2026 14:02:53 +0100`, the date of RFC 5322 §3.3.
    pub(crate) fn in_mail(&self) -> String {
        let (t, year) = (&self.0, self.0.tm_year + 1900);
        let (sign, offset) = match t.tm_gmtoff {
            west @ ..0 => ('-', -west / 60),
            east => ('+', east / 60),
        };
        format!(
            "{}, {:02} {} {year} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            self.weekday(),
            t.tm_mday,
            self.month(),
            t.tm_hour,
            t.tm_min,
            t.tm_sec,
            offset / 60,
            offset % 60
        )
    }

    /// `Sat Nov 21 14:02:53.670784790 2026`; `at`: the same moment.
    pub(super) fn with_nanos(&self, at: SystemTime) -> String {
        let (day, year) = self.with_year();
        let nanos = at
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.subsec_nanos());
        format!("{day}.{nanos:09} {year}")
    }

    /// `Nov 21 14:02:53`, the stamp of RFC 3164 §4.1.2.
    pub(crate) fn without_year(&self) -> String {
        let t = &self.0;
        let (month, day) = (self.month(), t.tm_mday);
        format!(
            "{month} {day:2} {:02}:{:02}:{:02}",
            t.tm_hour, t.tm_min, t.tm_sec
        )
    }

    /// `Sat Nov 21 14:02:53`, and the year.
    pub(crate) fn with_year(&self) -> (String, i32) {
        let day = format!("{} {}", self.weekday(), self.without_year());
        (day, self.0.tm_year + 1900)
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, year) = self.with_year();
        write!(f, "{day} {year}")
    }
}
