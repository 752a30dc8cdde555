//! The kernel, processes and the clock, in the kernel's own terms.
//!
//! The only home of `unsafe`; each block says why it is sound. Knows `wire` and `time`, never the model. Sources: the
//! manual pages in sections 2 and 7 and the kernel's uapi headers, named where they are used.
#![allow(
    unsafe_code,
    reason = "system calls that no safe wrapper covers; each block argues its case"
)]

pub(crate) mod addr;
pub(crate) mod arp;
pub(crate) mod arrivals;
pub(crate) mod civil;
pub(crate) mod clock;
pub(crate) mod connector;
pub(crate) mod fd;
pub(crate) mod fib;
pub(crate) mod fibwatch;
pub(crate) mod fifo;
pub(crate) mod genl;
pub(crate) mod heartbeat;
pub(crate) mod ipvs;
pub(crate) mod link;
pub(crate) mod linkprobe;
pub(crate) mod log;
pub(crate) mod module;
pub(crate) mod monitor;
pub(crate) mod netlink;
pub(crate) mod netns;
pub(crate) mod nft;
pub(crate) mod nftwatch;
pub(crate) mod privs;
pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod raw;
mod rawcall;
pub(crate) mod record;
pub(crate) mod regex;
pub(crate) mod resident;
pub(crate) mod schedule;
pub(crate) mod spare;
pub(crate) mod startup;
pub(crate) mod swarm;
pub(crate) mod sysctl;
#[cfg(test)]
pub(crate) mod testnet;
pub(crate) mod view;
pub(crate) mod whoami;
pub(crate) mod wipe;
