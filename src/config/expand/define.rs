//! Definitions and sequences: what they hold, and what they make of a line.

use std::rc::Rc;
use std::sync::Arc;

use super::super::lex::{self, Reference};
use super::super::source::{Code, Diag, Diags, Expansion, Span};
use super::feed::{MAX_LINE, Sequence, Stored, Values};
use super::{Expander, Text};

/// Replacements in one line; only a definition that refers to itself needs more.
const MAX_REPLACEMENTS: usize = 1024;

/// What a `$NAME` stands for.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    lines: Rc<[String]>,
    /// Where each line was defined.
    from: Rc<[Span]>,
    /// Of several lines: the reference must be the last thing on its line.
    several: bool,
}

impl Definition {
    /// `from`: one place.
    pub(super) fn single(value: String, from: Rc<[Span]>) -> Self {
        Self {
            lines: Rc::from([value]),
            from,
            several: false,
        }
    }

    /// Lines and where each was defined.
    pub(super) fn multi(lines: Vec<(String, Span)>) -> Self {
        let (lines, from): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
        Self {
            lines: lines.into(),
            from: from.into(),
            several: true,
        }
    }
}

/// Adds a line to a value; true when it goes on in the next line.
pub(super) fn collect(lines: &mut Vec<(String, Span)>, text: &str, span: Span) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let (text, goes_on) = text
        .strip_suffix('\\')
        .map_or((text, false), |t| (t.trim_end_matches([' ', '\t']), true));
    if !text.is_empty() {
        lines.push((text.to_owned(), span));
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
    /// The place of the text, made by this expansion.
    pub(super) span: Span,
    /// Further lines, the ones to be read last first.
    pub(super) more: Vec<Stored>,
}

/// What a reference stands for.
struct Value {
    lines: Rc<[String]>,
    /// Where each line was defined; empty for a predefined name.
    from: Rc<[Span]>,
}

/// The place of a text that an expansion made; it is used where the reference stands.
fn made_at(at: Span, via: Option<u32>) -> Span {
    Span {
        col: u32::from(via.is_some()),
        len: 0,
        via: via.unwrap_or(0),
        ..at
    }
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
        let (mut first, mut made) = (span, span);
        let mut names = Vec::new();
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
            if replaced == 0 {
                first = super::within(span, at, len);
                made = self.known(first, Span::NOWHERE);
            }
            // What made a line is looked up once, however often the line is used.
            if made.via == 0
                && let Some(from) = value.from.first()
            {
                names.push((reference.name.into(), *from));
            }
            let name: Option<Arc<str>> = (value.lines.len() > 1).then(|| reference.name.into());
            let text = value.lines.first().map_or("", String::as_str);
            if line.len() - len + text.len() > MAX_LINE
                || replaced == MAX_REPLACEMENTS
                || self.replaced_left == 0
            {
                self.endless(span, diags);
                break;
            }
            line.replace_range(at..at + len, text);
            replaced += 1;
            self.replaced_left -= 1;
            if let Some(name) = name {
                more.push(Stored {
                    name,
                    lines: value.lines,
                    from: value.from,
                    next: 1,
                    span: first,
                });
            }
        }
        if replaced == 0 {
            return None;
        }
        if made.via == 0 {
            made = self.made(first, Span::NOWHERE, names);
        }
        Some(Expanded {
            text: line,
            span: made,
            more,
        })
    }

    /// The place of the text that the reference `at` made; `via` 0: it was not seen before.
    /// `from`: which line of a definition; nowhere: the first.
    fn known(&self, at: Span, from: Span) -> Span {
        let via = self.expansions.get(&(at, from)).copied();
        made_at(at, via)
    }

    /// Notes what the reference `at` makes of names and the places that define them.
    fn made(&mut self, at: Span, from: Span, names: Vec<(Arc<str>, Span)>) -> Span {
        // A number in the parentheses of a sequence has no place of its own.
        let via = (at.line > 0).then(|| self.files.expand(Expansion { at, names }));
        let via = via.flatten();
        if let Some(via) = via {
            self.expansions.insert((at, from), via);
        }
        made_at(at, via)
    }

    /// The place of a line of a definition of several lines, used by the reference `at`.
    pub(super) fn stored(&mut self, at: Span, from: Span, name: &Arc<str>) -> Span {
        let known = self.known(at, from);
        match known.via {
            0 => self.made(at, from, vec![(Arc::clone(name), from)]),
            _ => known,
        }
    }

    /// What a reference stands for; `None` leaves it as it is.
    fn value(
        &mut self,
        r: &Reference<'_>,
        is_last: bool,
        span: Span,
        diags: &mut Diags,
    ) -> Option<Value> {
        if let Some(definition) = self.definitions.get(r.name) {
            let usable = r.arguments.is_empty() && (is_last || !definition.several);
            return usable.then(|| Value {
                lines: Rc::clone(&definition.lines),
                from: Rc::clone(&definition.from),
            });
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
        Some(Value {
            lines: Rc::from([value]),
            from: Rc::from([]),
        })
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

    /// Reads the parentheses of `~SEQ`, `~SEQx` and `~LST`. `span`: of `text`; `from`: of the whole.
    pub(super) fn sequence(
        &mut self,
        word: &str,
        inside: Option<&str>,
        text: &str,
        span: Span,
        from: Span,
    ) -> Result<Sequence, String> {
        let inside = inside.ok_or("missing ')'")?;
        let text = Text::from(text.to_owned());
        if word == "~LST" {
            return list(inside, text, span, from);
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
            from: Rc::from([from]),
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

fn list(inside: &str, text: Text, span: Span, from: Span) -> Result<Sequence, String> {
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
        from: Rc::from([from]),
    })
}
