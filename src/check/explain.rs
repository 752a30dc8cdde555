//! `check --explain CODE`.

use std::io::{self, Write as _};

use super::run::{NOTHING_CHECKED, complain};
use crate::config::source::Code;

/// Says on standard output why there is such a finding and what to do about it. Returns the exit status.
pub(super) fn run(slug: &str) -> u8 {
    let Some(code) = Code::named(slug) else {
        let all: Vec<&str> = Code::ALL.iter().map(|c| c.slug()).collect();
        complain(&format!(
            "There is no code '{slug}'. The codes: {}",
            all.join(" ")
        ));
        return NOTHING_CHECKED;
    };
    // Standard output may be closed; nothing depends on it.
    _ = write!(io::stdout(), "{slug}\n\n{}", text(code));
    0
}

/// The explanation as paragraphs.
fn text(code: Code) -> String {
    let lines = code.explanation().lines().map(str::trim_start);
    lines.map(|l| format!("{l}\n")).collect()
}
