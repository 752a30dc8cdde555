//! A private view of the file system: the host's, but with /etc/keepalived and /run of our own.
//!
//! Everything below the root directory is the host's, bound into a root on a tmpfs that only this thread and what it
//! starts can see. It belongs to whoever is root here, so that keepalived's checks of script paths are met also in a
//! user namespace, where the host's own root directory belongs to nobody. Nothing is written to the host.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chroot;

/// Gives the calling thread, and the threads and processes that it starts from now on, the private view.
///
/// # Errors
/// Of mount(2) and its kin; `PermissionDenied` where a user namespace comes without its powers.
pub(crate) fn enter() -> io::Result<()> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let root = Path::new("/run");
    mount(
        Some("tmpfs"),
        root,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )?;
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        let (host, ours) = (entry.path(), root.join(entry.file_name()));
        if entry.file_name() == "run" || entry.file_name() == "etc" {
            fs::create_dir(ours)?;
        } else if entry.file_type()?.is_symlink() {
            symlink(fs::read_link(host)?, ours)?;
        } else if entry.file_type()?.is_dir() {
            bind(&host, &ours)?;
        }
    }
    bind(Path::new("/etc"), &root.join(".host-etc"))?;
    for entry in fs::read_dir("/etc")? {
        let name = entry?.file_name();
        if name != "keepalived" {
            symlink(
                Path::new("/.host-etc").join(&name),
                root.join("etc").join(&name),
            )?;
        }
    }
    fs::create_dir(root.join("etc/keepalived"))?;
    chroot(root)?;
    std::env::set_current_dir("/")
}

fn bind(host: &Path, ours: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    fs::create_dir(ours)?;
    Ok(mount(
        Some(host),
        ours,
        none,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        none,
    )?)
}
