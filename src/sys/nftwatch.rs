//! Hears of tables of nftables that go away: whoever loads a ruleset usually flushes all others first.
//!
//! Never waits. Source: linux/netfilter/nf_tables.h, netlink(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};

use super::fd::WatchedFd;
use super::genl::attrs;
use super::netlink::{self, DATAGRAM};
use super::nft::Family;

/// Bit n-1 for group n: `NFNLGRP_NFTABLES` 7.
const GROUP: u32 = 1 << 6;
/// `NFNL_SUBSYS_NFTABLES` and `NFT_MSG_DELTABLE`.
const DELTABLE: u16 = 10 << 8 | 2;
/// `NFTA_TABLE_NAME`.
const NAME: u16 = 1;
/// Octets of struct nfgenmsg, before the attributes.
const HEADER: usize = 4;
/// Datagrams per reading, so that a storm of changes does not delay a deadline.
const TURN: usize = 64;

/// A table that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableGone {
    pub(crate) family: Family,
    pub(crate) table: String,
    /// The port of the socket that asked for it.
    pub(crate) by: u32,
}

/// The subscription, in the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct NftWatch {
    fd: WatchedFd,
    buffer: Vec<u8>,
}

impl NftWatch {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// No netlink, no nftables, no descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUP))?;
        Ok(Self {
            fd: WatchedFd::readable_only(fd)?,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Waits until there is something to read. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.fd.readable().await
    }

    /// Reads what waits, up to a bounded number of datagrams. What the kernel had to drop is not known of: a table that
    /// was lost so comes back with the next change.
    pub(crate) fn turn(&mut self) -> Vec<TableGone> {
        let mut gone = Vec::new();
        for _ in 0..TURN {
            match netlink::receive(self.fd.as_fd(), &mut self.buffer) {
                Ok(got) => {
                    let messages = netlink::messages(&self.buffer[..got]);
                    let deletions = messages.filter(|(h, _)| h.message_type == DELTABLE);
                    gone.extend(deletions.filter_map(|(h, body)| parse(h.port_number, body)));
                }
                Err(Errno::EINTR | Errno::ENOBUFS) => {}
                Err(_) => {
                    // Nothing waits.
                    self.fd.exhausted();
                    break;
                }
            }
        }
        gone
    }
}

fn parse(by: u32, body: &[u8]) -> Option<TableGone> {
    let family = [Family::Ip, Family::Ip6]
        .into_iter()
        .find(|f| body.first() == Some(&(*f as u8)))?;
    let name = attrs(body.get(HEADER..)?)
        .filter_map(Result::ok)
        .find(|(kind, _)| *kind == NAME)?
        .1;
    let name = name.strip_suffix(&[0]).unwrap_or(name);
    Some(TableGone {
        family,
        table: String::from_utf8_lossy(name).into_owned(),
        by,
    })
}

#[cfg(test)]
mod tests {
    use super::super::nft::{Batch, NftSocket};
    use super::super::testnet::in_namespace;
    use super::*;

    #[test]
    fn a_deleted_table_is_told_with_who_asked_for_it() {
        in_namespace(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            let _inside = runtime.enter();
            let (Ok(mut watch), Ok(mut nft)) = (NftWatch::open(), NftSocket::open()) else {
                return; // This kernel has no nftables.
            };
            let mut batch = Batch::default();
            batch.fresh_table(Family::Ip6, "kept");
            batch.fresh_table(Family::Ip6, "gone");
            if nft.commit(batch).is_err() {
                return;
            }
            watch.turn();
            let mut batch = Batch::default();
            batch.del_table(Family::Ip6, "gone");
            nft.commit(batch).expect("it is there");
            let expected = TableGone {
                family: Family::Ip6,
                table: "gone".to_owned(),
                by: nft.port().expect("it is bound"),
            };
            assert_eq!(watch.turn(), [expected]);
            assert_eq!(watch.turn(), []);
        });
    }
}
