//! Regular expressions of PCRE2: compiled patterns, and matching of a text that comes in parts.
//!
//! The work of one match is limited, whatever the pattern. Source: pcre2api(3), pcre2partial(3).

use std::fmt;
use std::ptr::{NonNull, null_mut};

use pcre2_sys as ffi;

/// Steps of one match at most: a pattern that explodes must not stop everything else.
const MATCH_LIMIT: u32 = 1_000_000;

/// Why a pattern is none, in the library's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PatternError {
    pub(crate) text: String,
    /// Octets before the mistake.
    pub(crate) offset: usize,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.text, self.offset)
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A match that begins here.
    At(usize),
    /// A match that begins here is possible if more text follows.
    Maybe(usize),
    /// The work was too much, or the text is not valid UTF-8 and the pattern wants that.
    Failed,
}

/// Whether more text may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    MayFollow,
    Ended,
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    code: NonNull<ffi::pcre2_code_8>,
    data: NonNull<ffi::pcre2_match_data_8>,
    context: NonNull<ffi::pcre2_match_context_8>,
    stack: Option<NonNull<ffi::pcre2_jit_stack_8>>,
}

impl Pattern {
    /// `options`: bits of `pcre2_compile`. `stack`: first and largest size of a stack for compiled code, octets; none:
    /// the pattern is interpreted.
    ///
    /// # Errors
    /// [`PatternError`].
    pub(crate) fn compile(
        pattern: &str,
        options: u32,
        stack: Option<(u32, u32)>,
    ) -> Result<Self, PatternError> {
        let (mut error, mut offset) = (0, 0);
        // SAFETY: pattern and length belong together; the other pointers are to locals or null as the API allows.
        let code = unsafe {
            ffi::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                options,
                &raw mut error,
                &raw mut offset,
                null_mut(),
            )
        };
        let refused = |text: String| PatternError { text, offset };
        let code = NonNull::new(code).ok_or_else(|| refused(message(error)))?;
        // SAFETY: `code` is a compiled pattern; null asks for the default memory functions.
        let (data, context) = unsafe {
            (
                NonNull::new(ffi::pcre2_match_data_create_from_pattern_8(
                    code.as_ptr(),
                    null_mut(),
                )),
                NonNull::new(ffi::pcre2_match_context_create_8(null_mut())),
            )
        };
        let (Some(data), Some(context)) = (data, context) else {
            // SAFETY: each was made above or is null, which these functions take.
            unsafe {
                ffi::pcre2_match_data_free_8(data.map_or(null_mut(), NonNull::as_ptr));
                ffi::pcre2_match_context_free_8(context.map_or(null_mut(), NonNull::as_ptr));
                ffi::pcre2_code_free_8(code.as_ptr());
            }
            return Err(refused("no memory".to_owned()));
        };
        // SAFETY: all are valid; a stack that cannot be had is null, and then the pattern is interpreted.
        let stack = unsafe {
            ffi::pcre2_set_match_limit_8(context.as_ptr(), MATCH_LIMIT);
            stack.and_then(|(start, max)| {
                let modes = ffi::PCRE2_JIT_COMPLETE | ffi::PCRE2_JIT_PARTIAL_HARD;
                if ffi::pcre2_jit_compile_8(code.as_ptr(), modes) != 0 {
                    return None;
                }
                let (start, max) = (start as usize, max as usize);
                let stack = NonNull::new(ffi::pcre2_jit_stack_create_8(start, max, null_mut()))?;
                ffi::pcre2_jit_stack_assign_8(context.as_ptr(), None, stack.as_ptr().cast());
                Some(stack)
            })
        };
        Ok(Self {
            code,
            data,
            context,
            stack,
        })
    }

    /// How many characters before a match it may look at.
    pub(crate) fn lookbehind(&self) -> usize {
        let mut characters: u32 = 0;
        // SAFETY: this question is answered with a number of 32 bits.
        unsafe {
            ffi::pcre2_pattern_info_8(
                self.code.as_ptr(),
                ffi::PCRE2_INFO_MAXLOOKBEHIND,
                (&raw mut characters).cast(),
            );
        }
        characters as usize
    }

    /// Searches `text` from `from` on. `begun`: `text` is not the beginning of a line.
    pub(crate) fn find(&mut self, text: &[u8], from: usize, begun: bool, rest: Rest) -> Found {
        let begun = if begun { ffi::PCRE2_NOTBOL } else { 0 };
        let partial = match rest {
            Rest::MayFollow => ffi::PCRE2_PARTIAL_HARD,
            Rest::Ended => 0,
        };
        // SAFETY: text and length belong together; code, data and context are valid until `self` is dropped.
        let outcome = unsafe {
            ffi::pcre2_match_8(
                self.code.as_ptr(),
                text.as_ptr(),
                text.len(),
                from.min(text.len()),
                begun | partial,
                self.data.as_ptr(),
                self.context.as_ptr(),
            )
        };
        match outcome {
            ffi::PCRE2_ERROR_NOMATCH => Found::Nothing,
            ffi::PCRE2_ERROR_PARTIAL => Found::Maybe(self.start()),
            n if n < 0 => Found::Failed,
            _ => Found::At(self.start()),
        }
    }

    fn start(&self) -> usize {
        // SAFETY: after a match there is at least one pair of offsets.
        unsafe { *ffi::pcre2_get_ovector_pointer_8(self.data.as_ptr()) }
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: all were made by `compile` and are freed once; the code last, which the data refers to.
        unsafe {
            ffi::pcre2_match_data_free_8(self.data.as_ptr());
            ffi::pcre2_match_context_free_8(self.context.as_ptr());
            if let Some(stack) = self.stack {
                ffi::pcre2_jit_stack_free_8(stack.as_ptr());
            }
            ffi::pcre2_code_free_8(self.code.as_ptr());
        }
    }
}

fn message(error: i32) -> String {
    let mut text = [0; 256];
    // SAFETY: buffer and size belong together.
    let length = unsafe { ffi::pcre2_get_error_message_8(error, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).unwrap_or(0);
    String::from_utf8_lossy(text.get(..length).unwrap_or(&[])).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::compile(text, 0, None).expect("a good pattern")
    }

    #[test]
    fn a_match_may_begin_in_one_part_and_end_in_the_next() {
        let mut p = pattern("good news");
        assert_eq!(
            p.find(b"no goo", 0, false, Rest::MayFollow),
            Found::Maybe(3)
        );
        assert_eq!(p.find(b"good news", 0, true, Rest::MayFollow), Found::At(0));
        assert_eq!(p.find(b"bad", 0, false, Rest::MayFollow), Found::Nothing);
        assert_eq!(p.find(b"goo", 0, false, Rest::Ended), Found::Nothing);
        assert_eq!(pattern("(?<=ab)c").lookbehind(), 2);
    }

    #[test]
    fn a_bad_pattern_is_refused_with_a_reason() {
        let refused = Pattern::compile("a(", 0, None).expect_err("a bad pattern");
        assert_eq!(refused.offset, 2);
        assert!(refused.text.contains("parenthesis"), "{refused}");
    }

    #[test]
    fn a_pattern_that_explodes_ends_soon() {
        let text = [b'a'; 40];
        let found = pattern("(a+)+b").find(&text, 0, false, Rest::Ended);
        assert!(matches!(found, Found::Failed | Found::Nothing), "{found:?}");
    }

    #[test]
    fn a_stack_for_compiled_code_changes_no_result() {
        let compiled = Pattern::compile("b+", 0, Some((1024, 65536)));
        let mut compiled = compiled.expect("a good pattern");
        assert_eq!(compiled.find(b"aabb", 0, false, Rest::Ended), Found::At(2));
    }
}
