//! Network namespaces by name, as ip-netns(8) keeps them. Before threads exist: a namespace belongs to a thread.
//! Source: setns(2), mount_namespaces(7), keepalived(8) `-s`.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// A network namespace that something is to be opened in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// That of this thread.
    Here,
    /// That of process 1.
    First,
    /// By its name.
    Named(Arc<str>),
}

impl Place {
    /// Runs `open` there, on a thread of its own where that is somewhere else.
    ///
    /// # Errors
    /// No such namespace, not allowed, no thread.
    pub(crate) fn run<T: Send>(&self, open: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        let path = match self {
            Self::Here => return Ok(open()),
            Self::First => PathBuf::from("/proc/1/ns/net"),
            Self::Named(name) => Path::new(NAMES).join(&**name),
        };
        let ns = File::open(&path).map_err(|source| NetnsError::Open {
            path: path.clone(),
            source,
        })?;
        let refused = |source: io::Error| NetnsError::Enter {
            path: path.clone(),
            source,
        };
        std::thread::scope(|scope| {
            let there = || {
                setns(&ns, CloneFlags::CLONE_NEWNET)?;
                io::Result::Ok(open())
            };
            let thread = std::thread::Builder::new().spawn_scoped(scope, there);
            match thread.map_err(&refused)?.join() {
                Ok(done) => done.map_err(refused),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
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
