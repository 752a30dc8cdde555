//! Netlink attributes: written one by one, read one by one. Source: linux/netlink.h.

use rtnetlink::packet_core::NlasIterator;

use super::GenlError;

const NLA_F_NESTED: u16 = libc::NLA_F_NESTED as u16;

/// Attributes under construction, each padded to four octets.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Attrs(pub(super) Vec<u8>);

impl Attrs {
    /// `value` is taken as it is: whoever calls decides on the order of its octets.
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(value.len() + 4).expect("attributes are built here, a few octets");
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn u8(self, kind: u16, value: u8) -> Self {
        self.bytes(kind, &[value])
    }

    pub(crate) fn u16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// In network order, as ports are.
    pub(crate) fn be16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// With the NUL that the kernel wants at the end.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Behind each other, padded.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn nest(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }
}

/// The attributes in `octets`: their numbers without flags, and their values.
pub(crate) fn attrs(octets: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), GenlError>> {
    NlasIterator::new(octets).map(|found| match found {
        Ok(attr) => {
            let (kind, len) = (attr.kind(), usize::from(attr.length()));
            let all = attr.into_inner();
            Ok((kind, all.get(4..len).unwrap_or_default()))
        }
        Err(_) => Err(GenlError::Malformed("attribute")),
    })
}
