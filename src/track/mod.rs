//! Tracking: runs the `vrrp_script`s that somebody tracks and tells the VRRP task what they say.
//!
//! [`verdict`], [`run`] and [`script`] decide and know neither clock nor process; [`task`] runs them. Nothing here ever waits
//! for a script, nor for the VRRP task to take a message. Source: keepalived.conf(5), `vrrp_script` and `track_script`.

pub(crate) mod command;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod task;
pub(crate) mod verdict;
