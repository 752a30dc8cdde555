//! The block `SSL`.

use super::super::source::Code;
use super::super::table::{Args, Block, Fault, key};
use crate::model::global::Ssl;

/// The last one counts.
fn once<T: for<'a> From<&'a str>>(slot: &mut Option<T>, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    let word = a.word()?;
    if slot.replace(word.into()).is_some() {
        a.warn(Code::Repeated, "already specified - replacing");
    }
    Ok(())
}

pub(crate) static SSL: Block<Ssl> = Block {
    name: "SSL",
    rows: &[
        key("password", "<STRING>", |v, a| once(&mut v.password, a)),
        key("ca", "<PATH>", |v, a| once(&mut v.ca, a)),
        key("certificate", "<PATH>", |v, a| once(&mut v.certificate, a)),
        key("key", "<PATH>", |v, a| once(&mut v.key, a)),
    ],
    more: &[],
};
