//! One-line grammars: a line whose words are keywords with arguments, such as a route.

use super::super::source::Code;
use super::{Args, Block, Fault, Run, Setter};

impl Args<'_, '_> {
    /// Reads the words that are left by a table. A row takes the words it needs; a word that no row knows is handed to
    /// `other`, which finds it as [`Args::last`]. The first fault ends the line.
    pub(crate) fn inline<T>(
        &mut self,
        table: &Block<T>,
        v: &mut T,
        other: Setter<T>,
    ) -> Result<(), Fault> {
        while let Some(word) = self.opt() {
            let Some(mut row) = table.named(word) else {
                other(v, self)?;
                continue;
            };
            self.grammar = row.grammar(row.keyword);
            if let Run::Renamed(to) = row.run {
                let text = format!("\"{word}\" is deprecated. Please use \"{to}\"");
                self.warn(Code::Deprecated, text);
                match table.named(to) {
                    Some(new) => row = new,
                    None => continue,
                }
            }
            match row.run {
                Run::Set(set) => {
                    set(v, self)?;
                    self.reader.note_inert(table.name, row.keyword, self.here());
                }
                Run::Lines(_) | Run::Words(_) | Run::Renamed(_) | Run::Gone(_) => {}
            }
        }
        Ok(())
    }

    /// Passes over words until one that the table knows.
    pub(crate) fn skip_to_known<T>(&mut self, table: &Block<T>) {
        while let Some(word) = self.peek() {
            if table.named(word).is_some() {
                return;
            }
            self.opt();
        }
    }
}
