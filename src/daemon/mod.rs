//! Start, reload and stop: one path.

pub(crate) mod bus;
pub(crate) mod host;
