//! `FILE_CHECK`: a number in a file is the server's health, or part of its weight. Its input comes by channel.

use std::sync::Arc;

use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own};
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key};

/// Options of `FILE_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// `track_file`: names an existing one.
    pub(crate) file: Arc<str>,
    /// `weight`: what the number is multiplied with, -2147483647..=2147483647, default that of the `track_file`. 0: any
    /// number but 0 is a failure.
    pub(crate) weight: i32,
    /// The number's sign is changed; with weight 0: the number 0 is a failure.
    pub(crate) reverse: bool,
}

/// What a `FILE_CHECK` block adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileDraft {
    pub(crate) file: Option<Arc<str>>,
    /// With its `reverse`.
    pub(crate) weight: Option<(i32, Option<bool>)>,
}

pub(crate) static FILE_CHECK: Block<Draft<FileDraft>> = Block {
    name: "virtual_server/real_server/FILE_CHECK",
    rows: &[
        key("track_file", "<NAME>", |v, a| {
            let name = a.word()?;
            if !v.common.known.files.knows(name, a) {
                return Err(a.fault(
                    Code::NotFound,
                    format!("track_file {name} not found - ignored"),
                ));
            }
            v.own.file = Some(name.into());
            Ok(())
        }),
        key("weight", "<int> [reverse|noreverse]", |v, a| {
            a.present()?;
            let weight = a.int(-2_147_483_647..=2_147_483_647_i32)?;
            let reverse = match a.opt() {
                None => None,
                Some("reverse") => Some(true),
                Some("noreverse") => Some(false),
                Some(word) => {
                    return Err(a.fault(
                        Code::UnknownWord,
                        format!("unknown word '{word}' - ignored"),
                    ));
                }
            };
            v.own.weight = Some((weight, reverse));
            Ok(())
        }),
    ],
    more: &[Draft::<FileDraft>::TIMING_ROWS],
};

impl Own for FileDraft {
    fn finish(self, common: Common, a: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        if self.file.is_none() {
            let text = format!("{} needs track_file - removing", a.keyword());
            return Err(a.whole_fault(Code::NoValue, text));
        }
        Ok(vec![common.with(Kind::File(self))])
    }
}
