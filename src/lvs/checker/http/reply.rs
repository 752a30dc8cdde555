//! A reply as it comes in: status, digest and text, with bounded memory. Pure.
//!
//! The header ends with an empty line, and with what came along in the same reads it has at most 4095 octets. The body is
//! everything behind it, chunk lines included. Source: keepalived's behaviour, RFC 9112 §2.1, §4.

use md5::{Digest as _, Md5};

use super::{Bad, Judged, Lengths, Regex, Url};
use crate::sys::regex::{Found, Pattern, Rest};

/// The most that is read until the header is over.
pub(super) const MAX_HEADER: usize = 4095;
/// The most of a body that is kept, octets, while a match may still go on.
const MAX_KEPT: usize = 1 << 20;

/// See the module.
pub(super) struct Reply<'a> {
    url: &'a Url,
    /// Until its end is found.
    header: Vec<u8>,
    body: Option<Body>,
    search: Option<Search<'a>>,
}

/// What the header says, and what came of the body.
struct Body {
    status: Option<u16>,
    /// `Content-Length`.
    length: Option<u64>,
    received: u64,
    digest: Option<Md5>,
}

impl<'a> Reply<'a> {
    pub(super) fn new(url: &'a Url) -> Self {
        Self {
            url,
            header: Vec::new(),
            body: None,
            search: url.regex.as_ref().map(Search::new),
        }
    }

    /// How much may be read next; 0: the header is too long.
    pub(super) fn room(&self, most: usize) -> usize {
        match self.body {
            Some(_) => most,
            None => most.min(MAX_HEADER - self.header.len()),
        }
    }

    /// Takes in what was read.
    pub(super) fn take(&mut self, octets: &[u8]) {
        if self.body.is_some() {
            return self.take_body(octets);
        }
        let before = self.header.len().saturating_sub(3);
        self.header.extend(octets);
        let new = self.header.get(before..).unwrap_or(&[]);
        let Some(end) = header_end(new) else {
            return;
        };
        let rest = self.header.split_off(before + end);
        self.body = Some(Body {
            status: status(&self.header),
            length: length_of(&self.header),
            received: 0,
            digest: (!self.url.digests.is_empty()).then(Md5::new),
        });
        self.take_body(&rest);
    }

    fn take_body(&mut self, octets: &[u8]) {
        let Some(body) = &mut self.body else {
            return;
        };
        let left = body
            .length
            .map_or(u64::MAX, |l| l.saturating_sub(body.received));
        let counted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(octets.len());
        body.received += octets.len() as u64;
        if let (Some(digest), Some(part)) = (&mut body.digest, octets.get(..counted)) {
            digest.update(part);
        }
        if let Some(search) = &mut self.search {
            search.take(octets);
        }
    }

    /// The connection is over. A good page comes with its `Content-Length` if that was wrong.
    pub(super) fn judge(self) -> Result<(Judged, Option<Lengths>), Bad> {
        let body = self.body.ok_or(Bad::NoData)?;
        let status = body.status.ok_or(Bad::NoData)?;
        if !self.url.status.iter().any(|range| range.contains(&status)) {
            return Err(Bad::Status(status));
        }
        let mut judged = Judged::Status;
        if let Some(digest) = body.digest {
            let sum: [u8; 16] = digest.finalize().into();
            if !self.url.digests.contains(&sum) {
                return Err(Bad::Digest);
            }
            judged = Judged::Digest;
        }
        if let (Some(search), Some(regex)) = (self.search, &self.url.regex) {
            if search.finish() == regex.no_match {
                return Err(Bad::Regex);
            }
            judged = Judged::Regex;
        }
        let came = body.received;
        let differs = body.length.filter(|told| *told != came);
        Ok((judged, differs.map(|told| Lengths { told, came })))
    }
}

/// Three digits behind the first blank, and a blank behind them.
fn status(header: &[u8]) -> Option<u16> {
    let at = header.iter().position(|&o| o == b' ')?;
    let &[a, b, c, b' ', ..] = header.get(at + 1..)? else {
        return None;
    };
    let digit = |o: u8| {
        char::from(o)
            .to_digit(10)
            .and_then(|d| u16::try_from(d).ok())
    };
    let code = digit(a)? * 100 + digit(b)? * 10 + digit(c)?;
    (100..600).contains(&code).then_some(code)
}

/// Where the body begins, if the header is over.
pub(in crate::lvs::checker) fn header_end(octets: &[u8]) -> Option<usize> {
    octets
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// `Content-Length`, only in this spelling, as keepalived has it.
pub(in crate::lvs::checker) fn length_of(header: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"Content-Length:";
    let at = header.windows(NAME.len()).position(|w| w == NAME)?;
    let rest = header.get(at + NAME.len()..)?;
    let digits = rest.iter().skip_while(|o| **o == b' ');
    let digits = digits.take_while(|o| o.is_ascii_digit());
    let text: String = digits.map(|o| char::from(*o)).collect();
    text.parse().ok()
}

/// A search through a text that comes in parts.
struct Search<'a> {
    regex: &'a Regex,
    /// `None`: the pattern cannot be used, and matches nothing.
    pattern: Option<Pattern>,
    /// What a match may still need.
    kept: Vec<u8>,
    /// Octets of the text before `kept`.
    before: usize,
    /// Where in `kept` a match may begin.
    from: usize,
    lookbehind: usize,
    /// The answer, once it is known.
    matched: Option<bool>,
}

/// The most octets of a character (RFC 3629).
const CHARACTER: usize = 4;

impl<'a> Search<'a> {
    fn new(regex: &'a Regex) -> Self {
        let pattern = Pattern::compile(&regex.pattern, regex.options.0, regex.stack).ok();
        let lookbehind = pattern.as_ref().map_or(0, Pattern::lookbehind) * CHARACTER;
        Self {
            matched: pattern.is_none().then_some(false),
            regex,
            pattern,
            kept: Vec::new(),
            before: 0,
            from: regex.min_offset,
            lookbehind,
        }
    }

    fn take(&mut self, octets: &[u8]) {
        if self.matched.is_some() {
            return;
        }
        self.kept.extend(octets);
        if self.kept.len() < self.from {
            // Not yet where a match may begin: only what is looked back at.
            let excess = self.kept.len().saturating_sub(self.lookbehind);
            return self.forget(excess);
        }
        self.search(Rest::MayFollow);
    }

    fn finish(mut self) -> bool {
        if self.matched.is_none() && self.kept.len() >= self.from {
            self.search(Rest::Ended);
        }
        self.matched.unwrap_or(false)
    }

    fn search(&mut self, rest: Rest) {
        let Some(pattern) = &mut self.pattern else {
            return;
        };
        let too_late = |at: usize| self.regex.max_offset.is_some_and(|max| at > max);
        let next = match pattern.find(&self.kept, self.from, self.before > 0, rest) {
            Found::At(at) => {
                self.matched = Some(!too_late(self.before + at));
                return;
            }
            Found::Nothing => self.kept.len(),
            Found::Maybe(at) => at,
            // A character may have been cut.
            Found::Failed if rest == Rest::MayFollow => self.from,
            Found::Failed => {
                self.matched = Some(false);
                return;
            }
        };
        if too_late(self.before + next) || self.kept.len() - next.min(self.kept.len()) > MAX_KEPT {
            self.matched = Some(false);
            return;
        }
        self.from = next;
        self.forget(next.saturating_sub(self.lookbehind));
    }

    fn forget(&mut self, octets: usize) {
        self.kept.drain(..octets.min(self.kept.len()));
        self.before += octets;
        self.from = self.from.saturating_sub(octets);
    }
}
