//! Blocks of the top level whose feature is not built yet: they are read and checked.

use super::super::table::{Args, Block, Fault, key};
use super::global_process::once;

/// The `SSL` block.
#[derive(Debug, Default)]
pub(crate) struct SslDraft {
    password: bool,
    ca: bool,
    certificate: bool,
    key: bool,
}

fn ssl(seen: &mut bool, a: &mut Args<'_, '_>) -> Result<(), Fault> {
    a.present()?;
    once(seen, a)
}

pub(crate) static SSL: Block<SslDraft> = Block {
    name: "SSL",
    rows: &[
        key("password", "<STRING>", |v, a| ssl(&mut v.password, a)),
        key("ca", "<PATH>", |v, a| ssl(&mut v.ca, a)),
        key("certificate", "<PATH>", |v, a| ssl(&mut v.certificate, a)),
        key("key", "<PATH>", |v, a| ssl(&mut v.key, a)),
    ],
    more: &[],
};
