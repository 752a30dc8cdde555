//! The machine that the configuration is read on: [`Host`] over the standard library and `nix`. It changes nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::net::if_::InterfaceFlags;
use nix::unistd;

use crate::config::host::{
    FileFacts, FileKind, Host, Interface, MAX_FILE, ReadError, SubLinkFacts, SubLinkSort, User,
};
use crate::sys::link::{self, Kind};

/// A snapshot of the interfaces of the current network namespace; everything else is looked up when asked.
#[derive(Debug)]
pub(crate) struct Machine {
    interfaces: RefCell<HashMap<String, Interface>>,
    sub_links: RefCell<Vec<SubLinkFacts>>,
}

/// Where `ip netns` keeps namespaces.
const NETNS: &str = "/var/run/netns";

/// The interfaces of the network namespace this thread is in.
fn interfaces() -> io::Result<HashMap<String, Interface>> {
    let all = nix::ifaddrs::getifaddrs()?;
    let links = link::list()?;
    let links: HashMap<&str, u32> = links.iter().map(|l| (l.name.as_str(), l.mtu)).collect();
    Ok(all
        .map(|i| {
            let loopback = i.flags.contains(InterfaceFlags::IFF_LOOPBACK);
            let name = i.interface_name.split(':').next().unwrap_or_default();
            // One that came in between: bounded by the count alone.
            let mtu = links.get(name).copied().unwrap_or(u32::MAX);
            (i.interface_name, Interface { loopback, mtu })
        })
        .collect())
}

/// The macvlans and ipvlans of the network namespace this thread is in.
fn sub_links() -> io::Result<Vec<SubLinkFacts>> {
    let all = link::list()?;
    let name_of = |index| {
        let base = all.iter().find(|l| l.index == index);
        base.map_or_else(String::new, |l| l.name.clone())
    };
    let facts = |l: &link::LinkTold| {
        let sort = match l.kind {
            Kind::Macvlan { mode } if mode == link::PRIVATE => SubLinkSort::PrivateMacvlan,
            Kind::Macvlan { .. } => SubLinkSort::OtherMacvlan,
            Kind::Ipvlan { .. } => SubLinkSort::Ipvlan,
            Kind::Other => return None,
        };
        Some(SubLinkFacts {
            name: l.name.clone(),
            base: name_of(l.base),
            mac: l.mac,
            sort,
        })
    };
    Ok(all.iter().filter_map(facts).collect())
}

impl Machine {
    /// Reads the interfaces of the network namespace this thread is in; make a new one for every load.
    ///
    /// # Errors
    /// When the kernel does not list them (`getifaddrs(3)`).
    pub(crate) fn snapshot() -> io::Result<Self> {
        Ok(Self {
            interfaces: RefCell::new(interfaces()?),
            sub_links: RefCell::new(sub_links()?),
        })
    }
}

impl Host for Machine {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        let of = |e: io::Error| match e.kind() == io::ErrorKind::NotFound {
            true => ReadError::Missing,
            false => ReadError::Denied,
        };
        // The kind is looked at before opening: opening a FIFO waits, opening a device may do anything.
        let about = fs::metadata(path).map_err(of)?;
        if !about.is_file() || about.mode() & 0o111 != 0 {
            return Err(ReadError::NotPlain);
        }
        let file: File = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
            .map_err(of)?;
        if about.len() > MAX_FILE {
            return Err(ReadError::TooLong);
        }
        // A file of /proc says that it is empty, and any file may grow meanwhile.
        let mut content = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
        file.take(MAX_FILE + 1)
            .read_to_end(&mut content)
            .map_err(of)?;
        match content.len() as u64 > MAX_FILE {
            true => Err(ReadError::TooLong),
            false => Ok(content),
        }
    }

    fn list(&self, dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect()
    }

    fn lstat(&self, path: &Path) -> Option<FileFacts> {
        let about = fs::symlink_metadata(path).ok()?;
        let t = about.file_type();
        let kind = match () {
            () if t.is_symlink() => FileKind::Symlink,
            () if t.is_dir() => FileKind::Directory,
            () if t.is_file() => FileKind::Regular,
            () => FileKind::Other,
        };
        Some(FileFacts {
            kind,
            mode: about.mode() & 0o7777,
            uid: about.uid(),
            gid: about.gid(),
        })
    }

    fn real_path(&self, path: &Path) -> Option<PathBuf> {
        fs::canonicalize(path).ok()
    }

    fn cwd(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
    }

    fn enter(&self, namespace: &str) -> bool {
        let Ok(file) = File::open(Path::new(NETNS).join(namespace)) else {
            return false;
        };
        // A thread of its own joins it, so that this one stays where it is.
        let there = std::thread::spawn(move || {
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)?;
            io::Result::Ok((interfaces()?, sub_links()?))
        });
        match there.join() {
            Ok(Ok(found)) => {
                let (interfaces, sub_links) = found;
                self.interfaces.replace(interfaces);
                self.sub_links.replace(sub_links);
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn resolve(&self, name: &str) -> Option<IpAddr> {
        let mut found = (name, 0).to_socket_addrs().ok()?;
        found.next().map(|a| a.ip())
    }

    fn interface(&self, name: &str) -> Option<Interface> {
        self.interfaces.borrow().get(name).copied()
    }

    fn sub_links(&self) -> Vec<SubLinkFacts> {
        self.sub_links.borrow().clone()
    }

    fn is_vrf(&self, name: &str) -> bool {
        let about = fs::read_to_string(Path::new("/sys/class/net").join(name).join("uevent"));
        about.is_ok_and(|a| a.lines().any(|l| l == "DEVTYPE=vrf"))
    }

    fn user(&self, name: &str) -> Option<User> {
        let u = unistd::User::from_name(name).ok()??;
        Some(User {
            uid: u.uid.as_raw(),
            gid: u.gid.as_raw(),
        })
    }

    fn group(&self, name: &str) -> Option<u32> {
        Some(unistd::Group::from_name(name).ok()??.gid.as_raw())
    }

    fn prefixes(&self, name: &str) -> Vec<(IpAddr, u8)> {
        let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let of = all.filter(|i| i.interface_name == name);
        let prefix = |i: nix::ifaddrs::InterfaceAddress| {
            let (addr, mask) = (i.address?, i.netmask?);
            if let (Some(addr), Some(mask)) = (addr.as_sockaddr_in(), mask.as_sockaddr_in()) {
                let len = u32::from(mask.ip()).count_ones();
                return Some((addr.ip().into(), u8::try_from(len).ok()?));
            }
            let (addr, mask) = (addr.as_sockaddr_in6()?, mask.as_sockaddr_in6()?);
            let len = u128::from(mask.ip()).count_ones();
            Some((addr.ip().into(), u8::try_from(len).ok()?))
        };
        of.filter_map(prefix).collect()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let of = |i: nix::ifaddrs::InterfaceAddress| {
            let addr = i.address?;
            let v4 = addr.as_sockaddr_in().map(|a| a.ip().into());
            v4.or_else(|| addr.as_sockaddr_in6().map(|a| a.ip().into()))
        };
        all.filter_map(of).collect()
    }

    fn bridge_of(&self, name: &str) -> Option<String> {
        let all = link::list().ok()?;
        let port = all.iter().find(|l| l.name == name && l.master > 0)?;
        let above = all.iter().find(|l| l.index == port.master)?;
        above.vrf_table.is_none().then(|| above.name.clone())
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        let found = unistd::User::from_uid(unistd::Uid::from_raw(uid));
        Some(found.ok()??.name)
    }

    fn group_name(&self, gid: u32) -> Option<String> {
        let found = unistd::Group::from_gid(unistd::Gid::from_raw(gid));
        Some(found.ok()??.name)
    }

    fn groups_of(&self, user: &str, gid: u32) -> Vec<u32> {
        let name = std::ffi::CString::new(user).unwrap_or_default();
        let groups = unistd::getgrouplist(&name, unistd::Gid::from_raw(gid)).unwrap_or_default();
        groups.into_iter().map(unistd::Gid::as_raw).collect()
    }

    fn groups_of_uid(&self, uid: u32, gid: u32) -> Vec<u32> {
        let user = unistd::User::from_uid(uid.into()).ok().flatten();
        user.map_or_else(|| vec![gid], |u| self.groups_of(&u.name, gid))
    }

    fn myself(&self) -> User {
        User {
            uid: unistd::geteuid().as_raw(),
            gid: unistd::getegid().as_raw(),
        }
    }

    fn node_name(&self) -> String {
        let name = unistd::gethostname().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn seconds(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| d.as_secs())
    }

    fn cpus(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
