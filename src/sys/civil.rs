//! Dates and times of day, as people and files write them. Source: localtime_r(3), mktime(3), timegm(3).

use std::fmt;

/// Which clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Of `TZ` or /etc/localtime.
    Local,
    Utc,
}

/// `YYYY-MM-DD HH:MM:SS`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i32,
    /// 1..=12.
    pub(crate) month: i32,
    /// 1..=31.
    pub(crate) day: i32,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    /// 0..=60.
    pub(crate) second: i32,
}

impl Civil {
    /// `unix`: seconds since 1970.
    pub(crate) fn of(unix: u64, zone: Zone) -> Self {
        let secs = libc::time_t::try_from(unix).unwrap_or(libc::time_t::MAX);
        let mut tm = empty();
        // SAFETY: both pointers are valid for the call, which keeps neither.
        unsafe {
            match zone {
                Zone::Local => libc::localtime_r(&raw const secs, &raw mut tm),
                Zone::Utc => libc::gmtime_r(&raw const secs, &raw mut tm),
            };
        }
        Self {
            year: tm.tm_year + 1900,
            month: tm.tm_mon + 1,
            day: tm.tm_mday,
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
        }
    }

    /// Seconds since 1970; `None`: before, or not to be told.
    pub(crate) fn to_unix(self, zone: Zone) -> Option<u64> {
        let mut tm = empty();
        tm.tm_year = self.year - 1900;
        tm.tm_mon = self.month - 1;
        tm.tm_mday = self.day;
        tm.tm_hour = self.hour;
        tm.tm_min = self.minute;
        tm.tm_sec = self.second;
        tm.tm_isdst = -1;
        // SAFETY: the pointer is valid for the call, which does not keep it.
        let secs = unsafe {
            match zone {
                Zone::Local => libc::mktime(&raw mut tm),
                Zone::Utc => libc::timegm(&raw mut tm),
            }
        };
        u64::try_from(secs).ok()
    }
}

fn empty() -> libc::tm {
    // SAFETY: all zero is a valid `tm`: numbers and a null pointer.
    unsafe { std::mem::zeroed() }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_moment() {
        for zone in [Zone::Local, Zone::Utc] {
            for unix in [0, 951_782_400, 1_795_264_464] {
                let civil = Civil::of(unix, zone);
                assert_eq!(civil.to_unix(zone), Some(unix), "{civil}");
            }
        }
        assert_eq!(
            Civil::of(1_795_264_464, Zone::Utc).to_string(),
            "2026-11-21 12:34:24"
        );
    }
}
