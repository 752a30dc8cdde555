//! Network namespaces by name, as ip-netns(8) keeps them. Before threads exist: a namespace belongs to a thread.
//! Source: setns(2), mount_namespaces(7), keepalived(8) `-s`.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// Where ip-netns(8) keeps its namespaces.
const NAMES: &str = "/run/netns";
/// Where pid files live in a namespace; the outside sees them one level deeper.
pub(crate) const RUN_DIR: &str = "/run/keepalived";

/// Why a namespace could not be entered.
#[derive(Debug)]
pub(crate) enum NetnsError {
    Open { path: PathBuf, source: io::Error },
    Enter { path: PathBuf, source: io::Error },
    RunDir { path: PathBuf, source: io::Error },
}

impl fmt::Display for NetnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, source: _ } => write!(f, "Failed to open {}", path.display()),
            Self::Enter { path, source: _ } => write!(f, "Failed to enter {}", path.display()),
            Self::RunDir { path, source: _ } => {
                write!(f, "Failed to put {} over {RUN_DIR}", path.display())
            }
        }
    }
}

impl std::error::Error for NetnsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { path: _, source }
            | Self::Enter { path: _, source }
            | Self::RunDir { path: _, source } => Some(source),
        }
    }
}

/// Enters the network namespace `name`. Then /run/keepalived is /run/keepalived/NAME in a mount namespace of our own,
/// so that daemons in several namespaces do not meet.
///
/// # Errors
/// No such namespace, or not allowed; the process is unchanged after [`NetnsError::Open`].
pub(crate) fn enter(name: &str) -> Result<(), NetnsError> {
    let path = Path::new(NAMES).join(name);
    let ns = File::open(&path).map_err(|source| NetnsError::Open {
        path: path.clone(),
        source,
    })?;
    let entered = setns(&ns, CloneFlags::CLONE_NEWNET);
    entered.map_err(|e| NetnsError::Enter {
        path,
        source: e.into(),
    })?;
    let path = Path::new(RUN_DIR).join(name);
    bind(&path).map_err(|source| NetnsError::RunDir { path, source })
}

fn bind(dir: &Path) -> io::Result<()> {
    // 0755 whatever the umask, which is 0177 in a daemon.
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let made = DirBuilder::new().recursive(true).mode(0o755).create(dir);
    nix::sys::stat::umask(old);
    made?;
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
    mount(Some(dir), RUN_DIR, none, MsFlags::MS_BIND, none)?;
    Ok(())
}
