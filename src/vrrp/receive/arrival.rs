//! A packet that came in, taken apart as far as any instance needs it. Judges nothing. Source: RFC 791, RFC 4302, RFC 9568 §5.

use std::net::IpAddr;

use crate::vrrp::Packet;
use crate::wire::ah::AuthHeader;
use crate::wire::ip::{self, Ipv4Header};
use crate::wire::vrrp::Header;

/// A packet that is long enough to say for whom it is.
#[derive(Clone, Copy, Debug)]
pub(in crate::vrrp) struct Arrival<'a> {
    pub(in crate::vrrp) src: IpAddr,
    pub(in crate::vrrp) dst: IpAddr,
    pub(in crate::vrrp) header: Header,
    /// TTL or hop limit.
    pub(super) ttl: u8,
    /// Octets before the VRRP header: IP header and authentication header; 0 over IPv6.
    pub(super) ip_header: usize,
    /// What the IP header says; over IPv6 the kernel has compared it already.
    pub(super) total_length: usize,
    /// From the VRRP header to the end, padding and trailer included.
    pub(in crate::vrrp) pdu: &'a [u8],
    pub(super) envelope: Option<Envelope<'a>>,
}

/// An authentication header, and what it covers.
#[derive(Clone, Copy, Debug)]
pub(in crate::vrrp) struct Envelope<'a> {
    /// The IP header without its options.
    pub(in crate::vrrp) ip: &'a [u8; ip::HEADER],
    pub(in crate::vrrp) header: AuthHeader,
    /// From the authentication header to the end, padding included.
    pub(in crate::vrrp) payload: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// `None` for a runt: no whole IP header, or fewer than 8 octets after it; or another protocol.
    pub(in crate::vrrp) fn of(packet: &'a Packet) -> Option<Self> {
        match packet {
            Packet::V4(octets) => {
                let (ip, payload) = Ipv4Header::parse(octets).ok()?;
                let (envelope, pdu) = match ip.protocol {
                    ip::VRRP => (None, payload),
                    ip::AH => {
                        let (header, pdu) = AuthHeader::parse(payload)?;
                        let ip = octets.first_chunk()?;
                        let envelope = Envelope {
                            ip,
                            header,
                            payload,
                        };
                        (Some(envelope).filter(|e| e.header.next == ip::VRRP), pdu)
                    }
                    _ => return None,
                };
                let (header, _) = Header::parse(pdu)?;
                (ip.protocol == ip::VRRP || envelope.is_some()).then_some(Self {
                    src: ip.src.into(),
                    dst: ip.dst.into(),
                    header,
                    ttl: ip.ttl,
                    ip_header: octets.len() - pdu.len(),
                    total_length: ip.total_length.into(),
                    pdu,
                    envelope,
                })
            }
            Packet::V6 {
                src,
                dst,
                hop_limit,
                payload,
            } => {
                let (header, _) = Header::parse(payload)?;
                Some(Self {
                    src: (*src).into(),
                    dst: (*dst).into(),
                    header,
                    ttl: *hop_limit,
                    ip_header: 0,
                    total_length: payload.len(),
                    pdu: payload,
                    envelope: None,
                })
            }
        }
    }
}
