//! keepalived-rs: VRRP failover, tracking and LVS health checking; a drop-in replacement for keepalived.
#![allow(dead_code, reason = "the parts are being put together")]

mod config;
mod daemon;
mod lvs;
mod model;
mod notify;
mod reconcile;
mod sys;
mod time;
mod track;
mod vrrp;
mod wire;

fn main() {}
