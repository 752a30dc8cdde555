//! Octets and values: the packets that leave and enter this machine, byte for byte.
//!
//! Every `parse` takes any octets whatever and never panics; every `emit` writes what stock keepalived writes. Nothing
//! here knows who sends, when, or what a packet means. Sources: the RFC named in each module, frames captured from
//! keepalived (`tests/packets`).

pub(crate) mod ah;
pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod ip;
pub(crate) mod ndisc;
pub(crate) mod trailer;
pub(crate) mod vrrp;

#[cfg(test)]
pub(crate) mod packets;
