//! Definitions and sequences: what they hold, and how a line changes by them.

use std::rc::Rc;

use super::super::lex::{self, Reference};
use super::super::source::{Code, Diag, Diags, Span};
use super::Expander;
use super::feed::{MAX_LINE, Sequence, Stored, Values};

/// Replacements in one line; only a definition that refers to itself needs more.
const MAX_REPLACEMENTS: usize = 1024;

/// What a `$NAME` stands for.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    lines: Rc<[String]>,
    /// Of several lines: the reference must be the last thing on its line.
    several: bool,
}

impl Definition {
    pub(super) fn single(value: String) -> Self {
        Self {
            lines: Rc::from([value]),
            several: false,
        }
    }

    pub(super) fn multi(lines: Vec<String>) -> Self {
        Self {
            lines: lines.into(),
            several: true,
        }
    }
}

/// Adds a line to a value; true when it goes on in the next line.
pub(super) fn collect(lines: &mut Vec<String>, text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let (text, goes_on) = text
        .strip_suffix('\\')
        .map_or((text, false), |t| (t.trim_end_matches([' ', '\t']), true));
    if !text.is_empty() {
        lines.push(text.to_owned());
    }
    goes_on
}

/// The numbers of `${_RANDOM}`: seeded once per load, so that nothing else depends on them.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `min..=max`.
    fn within(&mut self, min: u64, max: u64) -> u64 {
        // Knuth's MMIX constants; the upper bits are the random ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        min + (self.0 >> 33) % (max - min).saturating_add(1)
    }
}

/// A line after its references were replaced.
pub(super) struct Expanded {
    pub(super) text: String,
    /// Further lines, the ones to be read last first.
    pub(super) more: Vec<Stored>,
}

impl Expander<'_> {
    /// Replaces the references in a line; what was inserted is looked at again. `None`: nothing was replaced.
    pub(super) fn replace(
        &mut self,
        text: &str,
        span: Span,
        diags: &mut Diags,
    ) -> Option<Expanded> {
        let mut line = text.to_owned();
        let mut more = Vec::new();
        let (mut at, mut replaced) = (0, 0);
        while let Some(found) = line[at..].find('$') {
            at += found;
            let Some(reference) = lex::reference(&line[at..]) else {
                at += 1;
                continue;
            };
            let len = reference.len;
            let is_last = at + len == line.len();
            let Some(value) = self.value(&reference, is_last, span, diags) else {
                at += 1;
                continue;
            };
            let first = value.first().map_or("", String::as_str);
            if line.len() - len + first.len() > MAX_LINE || replaced == MAX_REPLACEMENTS {
                self.endless(span, diags);
                break;
            }
            line.replace_range(at..at + len, first);
            replaced += 1;
            if value.len() > 1 {
                more.push(Stored {
                    lines: value,
                    next: 1,
                    span: Span {
                        col: 0,
                        len: 0,
                        ..span
                    },
                });
            }
        }
        (replaced > 0).then_some(Expanded { text: line, more })
    }

    /// What a reference stands for; `None` leaves it as it is.
    fn value(
        &mut self,
        r: &Reference<'_>,
        is_last: bool,
        span: Span,
        diags: &mut Diags,
    ) -> Option<Rc<[String]>> {
        if let Some(definition) = self.definitions.get(r.name) {
            let usable = r.arguments.is_empty() && (is_last || !definition.several);
            return usable.then(|| Rc::clone(&definition.lines));
        }
        let value = match (r.name, r.arguments.as_slice()) {
            ("_PWD", []) => self.dir().to_string_lossy().into_owned(),
            ("_INSTANCE", []) => self.config_id.clone(),
            ("_HASH", []) => "#".into(),
            ("_BANG", []) => "!".into(),
            ("_ENV", [name]) => self.host.env(name).unwrap_or_default(),
            ("_ENV", _) => {
                diags.push(Diag::at(
                    span,
                    Code::BadDefinition,
                    "_ENV needs the name of one environment variable",
                ));
                return None;
            }
            ("_RANDOM", arguments) => self.random(arguments, span, diags)?,
            _ => return None,
        };
        Some(Rc::from([value]))
    }

    fn random(&mut self, arguments: &[&str], span: Span, diags: &mut Diags) -> Option<String> {
        let number = |n: &&str| n.parse::<u32>().ok().map(u64::from);
        let bounds: Option<Vec<u64>> = arguments.iter().map(number).collect();
        let (min, max) = match bounds.as_deref() {
            Some([]) => (0, 32767),
            Some([min]) => (*min, 32767),
            Some([min, max]) => (*min, *max),
            Some(_) | None => {
                let text = format!("invalid arguments of _RANDOM '{}'", arguments.join(" "));
                diags.push(Diag::at(span, Code::BadDefinition, text));
                return None;
            }
        };
        if max < min {
            diags.push(Diag::at(
                span,
                Code::BadDefinition,
                format!("_RANDOM: {max} is below {min} - using {min}"),
            ));
            return Some(min.to_string());
        }
        Some(self.random.within(min, max).to_string())
    }

    /// Understands what stands in the parentheses of `~SEQ`, `~SEQx` and `~LST`.
    pub(super) fn sequence(
        &mut self,
        word: &str,
        inside: Option<&str>,
        text: &str,
        span: Span,
    ) -> Result<Sequence, String> {
        let inside = inside.ok_or("missing ')'")?;
        let span = Span {
            col: 0,
            len: 0,
            ..span
        };
        let text = text.trim_matches([' ', '\t']).to_owned();
        if word == "~LST" {
            return list(inside, text, span);
        }
        let parts: Vec<&str> = inside
            .split(',')
            .map(|p| p.trim_matches([' ', '\t']))
            .collect();
        let (variable, numbers) = parts.split_first().ok_or("no variable")?;
        if !is_name(variable) {
            return Err(format!("'{variable}' is not a name"));
        }
        let numbers: Vec<i64> = numbers
            .iter()
            .map(|n| self.number(n))
            .collect::<Result<_, _>>()?;
        let towards = |from: i64, to: i64| if to >= from { 1 } else { -1 };
        let (start, step, end) = match numbers[..] {
            [end] => {
                let start = if end < 0 { -1 } else { 1 };
                (start, towards(start, end), end)
            }
            [start, end] => (start, towards(start, end), end),
            [start, step, end] => (start, step, end),
            _ => return Err("one to three numbers are needed".into()),
        };
        if step == 0 || (start != end && (step > 0) != (end > start)) {
            return Err(format!("step {step} does not lead from {start} to {end}"));
        }
        let hex = word == "~SEQx";
        if hex && (start < 0 || end < 0) {
            return Err("hexadecimal sequences cannot be negative".into());
        }
        let values = Values::Range {
            next: Some(start),
            step,
            end,
            hex,
        };
        Ok(Sequence {
            names: vec![(*variable).to_owned()],
            values,
            text,
            span,
        })
    }

    /// A number of a sequence, which may be a definition: decimal, `0x…` or octal with a leading zero.
    fn number(&mut self, text: &str) -> Result<i64, String> {
        let expanded = self.replace(text, Span::NOWHERE, &mut Diags::default());
        let text = expanded.as_ref().map_or(text, |e| e.text.trim());
        if expanded.as_ref().is_some_and(|e| !e.more.is_empty()) {
            return Err("a definition of several lines is not a number".into());
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (radix, digits) = match digits {
            "0" => (10, digits),
            d => match (
                d.strip_prefix("0x").or_else(|| d.strip_prefix("0X")),
                d.strip_prefix('0'),
            ) {
                (Some(hex), _) => (16, hex),
                (None, Some(octal)) => (8, octal),
                (None, None) => (10, d),
            },
        };
        let plain = digits.starts_with(|c: char| c.is_digit(radix));
        let n = i64::from_str_radix(digits, radix).ok().filter(|_| plain);
        let n = n.ok_or_else(|| format!("'{text}' is not a number"))?;
        Ok(if negative { -n } else { n })
    }
}

fn is_name(text: &str) -> bool {
    lex::name(text).is_ok_and(|(rest, _)| rest.is_empty())
}

fn list(inside: &str, text: String, span: Span) -> Result<Sequence, String> {
    let members =
        lex::list(inside).ok_or("a word of the list holds a blank or a brace is missing")?;
    let (names, sets) = members.split_first().ok_or("no variable")?;
    if let Some(bad) = names.iter().find(|n| !is_name(n)) {
        return Err(format!("'{bad}' is not a name"));
    }
    if sets.is_empty() {
        return Err("no values".into());
    }
    if let Some(set) = sets.iter().find(|s| s.len() > names.len()) {
        return Err(format!(
            "{} values for {} variables",
            set.len(),
            names.len()
        ));
    }
    let owned = |words: &Vec<&str>| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    // The sets are used from the end.
    let values = Values::List(sets.iter().rev().map(owned).collect());
    Ok(Sequence {
        names: owned(names),
        values,
        text,
        span,
    })
}
