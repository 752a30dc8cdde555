//! Snapshots → the text of the dump files. Reads nothing, writes nothing: it makes strings.
//!
//! Exporters and scripts parse these lines, so labels, order and indentation are keepalived's. What a model does not
//! know is left out, never guessed. Source: keepalived's `keepalived.data`, `keepalived.stats`.

pub(crate) mod data;
pub(crate) mod stats;
