//! `keepalived-rs check`: reads configurations as a start would, explains what it finds, and changes nothing.
//!
//! Where things join: a way of looking at files is an arm of `cli::check::Mode`, its options stand in `cli/check.rs` and its run
//! is called from `run.rs`; a rule beyond stock keepalived is a function in `lint.rs`, and what it finds has a `Code`
//! that weighs `Weight::Lint`. Whatever is found leaves as a `Finding` through `run::say`, as text or as JSON.
//! Source: the layout is that of compilers; the words of the first line are keepalived's.

mod braces;
mod cluster;
mod diff;
mod effective;
mod expected;
mod explain;
mod facts;
mod finding;
mod json;
mod lint;
mod locate;
mod migrate;
mod own;
mod places;
mod render;
mod run;
mod suggest;
pub(crate) mod terminal;

pub(crate) use self::run::{NOTHING_CHECKED, run};
