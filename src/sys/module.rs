//! Kernel modules, loaded by the program that the kernel itself would call. Source: modprobe(8), proc(5)
//! `/proc/sys/kernel/modprobe`.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::process::{Ended, ProcessError, Program};

/// What to call where the kernel does not say.
const MODPROBE: &str = "/sbin/modprobe";
/// A module that takes longer than this is given up; loading one takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a module could not be loaded.
#[derive(Debug)]
pub(crate) enum ModuleError {
    Start(ProcessError),
    /// The program ended otherwise than well.
    Failed(Ended),
    Timeout,
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(e) => write!(f, "modprobe: {e}"),
            Self::Failed(Ended::Status(n)) => write!(f, "modprobe exited with status {n}"),
            Self::Failed(Ended::Signal(n)) => write!(f, "modprobe was ended by signal {n}"),
            Self::Failed(Ended::NotRun { step, source }) => {
                write!(f, "modprobe: {}: {source}", step.word())
            }
            Self::Failed(Ended::Unknown(e)) => write!(f, "modprobe: {e}"),
            Self::Timeout => f.write_str("modprobe does not end"),
        }
    }
}

impl std::error::Error for ModuleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(e) => Some(e),
            Self::Failed(Ended::NotRun { source, .. } | Ended::Unknown(source)) => Some(source),
            Self::Failed(Ended::Status(_) | Ended::Signal(_)) | Self::Timeout => None,
        }
    }
}

/// Loads `name`, with what it needs. That it is there already is a success. Not cancel safe: a run that is given up is
/// killed.
///
/// # Errors
/// See [`ModuleError`]; a kernel without the module among them.
pub(crate) async fn load(name: &str) -> Result<(), ModuleError> {
    let told = std::fs::read_to_string("/proc/sys/kernel/modprobe").unwrap_or_default();
    let path = match told.trim() {
        "" => MODPROBE,
        path => path,
    };
    let argv = [path, "-s", "--", name].map(OsStr::new);
    let program = Program::new(Path::new(path), argv, None).map_err(ModuleError::Start)?;
    let child = program.start().map_err(ModuleError::Start)?;
    match tokio::time::timeout(PATIENCE, child.ended()).await {
        Ok(Ended::Status(0)) => Ok(()),
        Ok(ended) => Err(ModuleError::Failed(ended)),
        Err(_) => Err(ModuleError::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_module_that_nobody_has_is_an_error_that_names_the_program() {
        let err = load("ka_no_such_module").await.err();
        let text = err.map(|e| e.to_string()).unwrap_or_default();
        assert!(text.starts_with("modprobe"), "{text:?}");
    }
}
