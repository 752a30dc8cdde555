//! One word → one value: whole numbers, decimals, booleans, addresses, prefixes, link-layer addresses.
//!
//! Decimals become [`Duration`]s digit by digit, never through a float. Nothing here knows a keyword or a range.
//! Source: keepalived's behaviour.

use std::net::IpAddr;
use std::time::Duration;

use nom::bytes::complete::{tag, take_while, take_while_m_n, take_while1};
use nom::character::complete::{char, one_of};
use nom::combinator::{map_res, opt, recognize};
use nom::multi::separated_list1;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// A whole number, and whether something that is no number follows it (`10x`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) value: i128,
    pub(crate) junk: bool,
}

/// Decimal only; blanks before it and a sign are fine. `None`: no digit at the start.
pub(crate) fn whole(text: &str) -> Option<Whole> {
    let (rest, (minus, digits)) = signed(text).ok()?;
    // More digits than any range has are as good as the largest number.
    let value = digits.parse::<i128>().unwrap_or(i128::MAX);
    let value = if minus == Some('-') { -value } else { value };
    Some(Whole {
        value,
        junk: !rest.is_empty(),
    })
}

fn signed(i: &str) -> IResult<&str, (Option<char>, &str)> {
    let blanks = take_while(|c: char| c.is_ascii_whitespace());
    preceded(blanks, (opt(one_of("+-")), digits)).parse(i)
}

fn digits(i: &str) -> IResult<&str, &str> {
    take_while1(|c: char| c.is_ascii_digit()).parse(i)
}

/// A decimal that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) value: Duration,
    /// More decimal places than the unit has: the value is rounded.
    pub(crate) rounded: bool,
}

/// Seconds with one optional point, `.5` and `1.` included. `places`: how many decimals count (6: microseconds, 3:
/// milliseconds). `None`: negative, an exponent, anything else that is no decimal.
pub(crate) fn decimal(text: &str, places: u32) -> Option<Decimal> {
    let number = (
        opt(char('+')),
        take_while(|c: char| c.is_ascii_digit()),
        opt(preceded(
            char('.'),
            take_while(|c: char| c.is_ascii_digit()),
        )),
    );
    let blanks = take_while::<_, _, nom::error::Error<&str>>(|c: char| c.is_ascii_whitespace());
    let (rest, (_, seconds, fraction)) = preceded(blanks, number).parse(text).ok()?;
    let fraction = fraction.unwrap_or("");
    if !rest.is_empty() || (seconds.is_empty() && fraction.is_empty()) {
        return None;
    }
    let seconds: u64 = if seconds.is_empty() {
        0
    } else {
        seconds.parse().unwrap_or(u64::MAX)
    };
    let kept: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(places as usize)
        .collect();
    let units: u64 = kept.parse().unwrap_or(0);
    let up = fraction
        .as_bytes()
        .get(places as usize)
        .is_some_and(|d| *d >= b'5');
    let unit = 10_u64.pow(9_u32.saturating_sub(places));
    let fraction_value = Duration::from_nanos((units + u64::from(up)) * unit);
    let value = Duration::from_secs(seconds).saturating_add(fraction_value);
    Some(Decimal {
        value,
        rounded: fraction.len() > places as usize,
    })
}

/// Exactly `on off true false yes no`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// An address in full form: four decimal numbers without leading zeros, or any form of IPv6 without a scope.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// An address with what follows its first `/`.
pub(crate) fn with_suffix(text: &str) -> Option<(IpAddr, Option<&str>)> {
    match text.split_once('/') {
        Some((addr, suffix)) => Some((address(addr)?, Some(suffix))),
        None => Some((address(text)?, None)),
    }
}

/// An address whose `/n` or `-n` is cut off, as keepalived does for servers and peers; the second says that it was.
pub(crate) fn address_of(text: &str) -> Option<(IpAddr, bool)> {
    let end = text.find(['/', '-']).unwrap_or(text.len());
    Some((address(&text[..end])?, end < text.len()))
}

/// Octets in hexadecimal between colons, `min..=max` of them.
pub(crate) fn link_address(text: &str, min: usize, max: usize) -> Option<Vec<u8>> {
    let octet = map_res(take_while_m_n(1, 2, |c: char| c.is_ascii_hexdigit()), |d| {
        u8::from_str_radix(d, 16)
    });
    let parsed: IResult<&str, Vec<u8>> = separated_list1(char(':'), octet).parse(text);
    let (rest, octets) = parsed.ok()?;
    (rest.is_empty() && (min..=max).contains(&octets.len())).then_some(octets)
}

/// A number in decimal, octal (leading zero) or hexadecimal (`0x`).
pub(crate) fn any_radix(text: &str) -> Option<u64> {
    let hex = |i| {
        recognize(preceded(
            tag("0x"),
            take_while1(|c: char| c.is_ascii_hexdigit()),
        ))
        .parse(i)
    };
    let found: IResult<&str, &str> = hex(text);
    if let Ok(("", _)) = found {
        return u64::from_str_radix(&text[2..], 16).ok();
    }
    let (rest, all) = digits(text).ok()?;
    let radix = if all.len() > 1 && all.starts_with('0') {
        8
    } else {
        10
    };
    u64::from_str_radix(all, radix)
        .ok()
        .filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_are_decimal() {
        assert_eq!(
            whole("007"),
            Some(Whole {
                value: 7,
                junk: false
            })
        );
        assert_eq!(
            whole(" +5"),
            Some(Whole {
                value: 5,
                junk: false
            })
        );
        assert_eq!(
            whole("-5"),
            Some(Whole {
                value: -5,
                junk: false
            })
        );
        assert_eq!(
            whole("0x10"),
            Some(Whole {
                value: 0,
                junk: true
            })
        );
        assert_eq!(
            whole("100;"),
            Some(Whole {
                value: 100,
                junk: true
            })
        );
        assert_eq!(whole(""), None);
        assert_eq!(whole("x"), None);
    }

    #[test]
    fn decimals_are_exact_and_rounded_to_their_places() {
        let micros = |t| decimal(t, 6).map(|d| (d.value.as_micros(), d.rounded));
        assert_eq!(micros("1"), Some((1_000_000, false)));
        assert_eq!(micros(".5"), Some((500_000, false)));
        assert_eq!(micros("1."), Some((1_000_000, false)));
        assert_eq!(micros("0.0000015"), Some((2, true)));
        assert_eq!(micros("0.9999999"), Some((1_000_000, true)));
        assert_eq!(
            decimal("0.0014", 3).map(|d| d.value),
            Some(Duration::from_millis(1))
        );
        for bad in ["", ".", "-1", "1e3", "6s", "1.2.3"] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_need_their_full_form() {
        for bad in [
            "10.1",
            "010.0.0.1",
            "10.0.0.1 ",
            "fe80::1%eth0",
            "localhost",
            "",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
        assert!(address("::ffff:1.2.3.4").is_some());
        assert_eq!(address_of("10.0.0.1/24").map(|a| a.1), Some(true));
    }

    #[test]
    fn link_addresses_are_octets_between_colons() {
        assert_eq!(
            link_address("02:0:ff:10:20:30", 6, 6),
            Some(vec![2, 0, 255, 16, 32, 48])
        );
        assert_eq!(link_address("02:00", 6, 6), None);
        assert_eq!(any_radix("0177"), Some(0o177));
        assert_eq!(any_radix("0xff"), Some(255));
        assert_eq!(any_radix("8x"), None);
    }

    proptest! {
        #[test]
        fn decimals_say_what_was_written(s in 0_u64..1_000_000_000, us in 0_u64..1_000_000) {
            let d = decimal(&format!("{s}.{us:06}"), 6).map(|d| d.value.as_micros());
            prop_assert_eq!(d, Some(u128::from(s * 1_000_000 + us)));
        }

        #[test]
        fn no_word_upsets_the_parsers(word in "\\PC{0,40}|[-+0-9.:/xa-f]{0,40}") {
            let _ = (whole(&word), decimal(&word, 6), address_of(&word), with_suffix(&word));
            let _ = (link_address(&word, 1, 20), any_radix(&word), boolean(&word));
        }
    }
}
