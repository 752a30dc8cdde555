//! `BFD_CHECK`: a BFD session that is up is health. Its input comes by channel.

use std::sync::Arc;

use crate::config::blocks::checkers::{CheckerDraft, Common, Draft, Kind, Own, Timed as _};
use crate::config::source::Code;
use crate::config::table::{Args, Block, Fault, key};

/// Options of `BFD_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bfd {
    /// `name`: names an existing `bfd_instance`.
    pub(crate) name: Arc<str>,
}

/// What a `BFD_CHECK` block adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct BfdDraft {
    name: Option<Arc<str>>,
}

pub(crate) static BFD_CHECK: Block<Draft<BfdDraft>> = Block {
    name: "virtual_server/real_server/BFD_CHECK",
    rows: &[
        key("name", "<NAME>", |v, a| {
            let name = a.only()?;
            if !v.common.known.bfds.knows(name, a) {
                return Err(a.fault(
                    Code::NotFound,
                    format!("BFD instance {name} not found - ignored"),
                ));
            }
            if let Some(first) = &v.own.name {
                let text = format!("BFD {name} already specified as {first}");
                return Err(a.fault(Code::Repeated, text));
            }
            v.own.name = Some(name.into());
            Ok(())
        }),
        key("alpha", "[<bool>]", |v, a| {
            a.bool().map(|on| v.timing().alpha = Some(on))
        }),
    ],
    more: &[],
};

impl Own for BfdDraft {
    fn finish(self, common: Common, a: &mut Args<'_, '_>) -> Result<Vec<CheckerDraft>, Fault> {
        let Some(name) = self.name else {
            let text = format!("{} needs name - removing", a.keyword());
            return Err(a.whole_fault(Code::NoValue, text));
        };
        Ok(vec![common.with(Kind::Bfd(Bfd { name }))])
    }
}
