//! What the world is told: scripts, FIFOs and mail of ours beside those of stock keepalived, and under a storm.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../lab/routers.rs"]
mod routers;

mod incidents;
mod mailbox;
mod planted;
mod storm;
mod story;
mod trackers;
