//! The names of this machine and of the daemon's user. Sources: gethostname(2), getpwuid(3).

use nix::unistd::{User, getuid};

/// The host's name; `localhost` where it has none.
pub(crate) fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    match name.to_string_lossy() {
        name if name.is_empty() => "localhost".to_owned(),
        name => name.into_owned(),
    }
}

/// The name of the daemon's user, or its number where it has none.
pub(crate) fn user_name() -> String {
    let uid = getuid();
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |u| u.name)
}
