//! Asks an interface itself whether its link is there, for drivers that do not tell the kernel.
//!
//! Such a question may have to wait for the kernel's lock on its network configuration. Source: netdevice(7),
//! linux/mii.h, linux/ethtool.h, linux/sockios.h.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const SIOCGIFFLAGS: u32 = 0x8913;
const SIOCETHTOOL: u32 = 0x8946;
const SIOCGMIIPHY: u32 = 0x8947;
const SIOCGMIIREG: u32 = 0x8948;
const ETHTOOL_GLINK: u32 = 0x0a;
/// Basic mode status register and its link bit.
const MII_BMSR: u16 = 1;
const BMSR_LSTATUS: u16 = 4;
/// `IFF_UP` and `IFF_RUNNING`.
const UP_AND_RUNNING: u16 = 0x41;

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Mii,
    Ethtool,
    /// The flags of the interface.
    Ioctl,
}

impl Way {
    /// Best first.
    pub(crate) const ALL: [Self; 3] = [Self::Mii, Self::Ethtool, Self::Ioctl];
}

/// As `linkbeat_interfaces` names it.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mii => "MII",
            Self::Ethtool => "ETHTOOL",
            Self::Ioctl => "IOCTL",
        })
    }
}

/// `struct ifreq` for questions whose answer stands in it: flags, or `struct mii_ioctl_data`.
#[repr(C)]
struct Inline {
    name: [u8; 16],
    data: [u16; 12],
}

/// `struct ifreq` for questions that point to their answer.
#[repr(C)]
struct Pointing {
    name: [u8; 16],
    data: *mut EthtoolValue,
    rest: [usize; 2],
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// A socket to ask by.
#[derive(Debug)]
pub(crate) struct LinkProbe(OwnedFd);

impl LinkProbe {
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(Self(socket(
            AddressFamily::Inet,
            SockType::Datagram,
            flags,
            None,
        )?))
    }

    /// Whether the link is there.
    ///
    /// # Errors
    /// No such interface; it does not know this way.
    pub(crate) fn ask(&self, interface: &str, way: Way) -> io::Result<bool> {
        match way {
            Way::Mii => {
                let mut request = inline(interface);
                self.ioctl(SIOCGMIIPHY, &raw mut request)?;
                request.data[1] = MII_BMSR;
                // What went down and came back shows as down once: the second look is the present.
                self.ioctl(SIOCGMIIREG, &raw mut request)?;
                self.ioctl(SIOCGMIIREG, &raw mut request)?;
                Ok(request.data[3] & BMSR_LSTATUS != 0)
            }
            Way::Ethtool => {
                let mut value = EthtoolValue {
                    cmd: ETHTOOL_GLINK,
                    data: 0,
                };
                let mut request = Pointing {
                    name: name(interface),
                    data: &raw mut value,
                    rest: [0; 2],
                };
                self.ioctl(SIOCETHTOOL, &raw mut request)?;
                Ok(value.data != 0)
            }
            Way::Ioctl => {
                let mut request = inline(interface);
                self.ioctl(SIOCGIFFLAGS, &raw mut request)?;
                Ok(request.data[0] & UP_AND_RUNNING == UP_AND_RUNNING)
            }
        }
    }

    fn ioctl<T>(&self, number: u32, request: *mut T) -> io::Result<()> {
        // SAFETY: `request` points to a whole `struct ifreq` of one of the two kinds above, and what that points to, if
        // anything, is alive as well; the kernel writes nowhere else.
        let rc = unsafe { libc::ioctl(self.0.as_raw_fd(), number as _, request) };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

fn inline(interface: &str) -> Inline {
    Inline {
        name: name(interface),
        data: [0; 12],
    }
}

/// Cut to what fits, with the NUL that the kernel wants at the end.
fn name(interface: &str) -> [u8; 16] {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(interface.bytes()) {
        *to = from;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testnet::{in_namespace, ip, veth};

    #[test]
    fn a_link_is_there_while_its_other_end_is_up() {
        in_namespace(|| {
            veth("a", "b");
            let probe = LinkProbe::open().expect("a socket");
            for way in [Way::Ethtool, Way::Ioctl] {
                assert!(probe.ask("a", way).expect("an answer"), "{way:?}");
            }
            assert!(probe.ask("a", Way::Mii).is_err());
            assert!(probe.ask("nosuch", Way::Ioctl).is_err());
            ip("link set dev b down");
            for way in [Way::Ethtool, Way::Ioctl] {
                assert!(!probe.ask("a", way).expect("an answer"), "{way:?}");
            }
        });
    }
}
