//! The lines of a dump file as they are written one after another.

use std::fmt::{Display, Write as _};

/// The text of a file, or of a section of it, that grows.
pub(super) trait Lines {
    /// Before each line.
    const MARGIN: &'static str = "";
    /// Before the label of a pair.
    const INDENT: &'static str = "   ";

    fn text(&mut self) -> &mut String;

    fn line(&mut self, line: impl Display) {
        let margin = Self::MARGIN;
        _ = writeln!(self.text(), "{margin}{line}"); // writing to a String cannot fail
    }

    /// `Label = value`
    fn pair(&mut self, label: &str, value: impl Display) {
        let indent = Self::INDENT;
        self.line(format_args!("{indent}{label} = {value}"));
    }
}
