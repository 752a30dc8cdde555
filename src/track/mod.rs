//! Tracking: runs the `vrrp_script`s that somebody tracks, watches files, counts processes, and tells the VRRP task what
//! they say.
//!
//! [`verdict`], [`census`], [`run`] and [`script`] decide and know neither clock nor process; [`task`] runs them, [`file`]
//! and [`process`] ask the kernel. Nothing here ever waits for a script or a file system, nor for the VRRP task to take a
//! message. Source: keepalived.conf(5), `vrrp_script`, `track_file`, `vrrp_track_process`.

mod census;
pub(crate) mod command;
mod file;
mod process;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod task;
pub(crate) mod verdict;
