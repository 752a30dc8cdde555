//! What the linker is told about the program; see `steady.ld`.

use std::env;
use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let mut cargo = io::stdout();
    let script = "packaging/link/steady.ld";
    writeln!(cargo, "cargo::rerun-if-changed={script}")?;
    writeln!(cargo, "cargo::rerun-if-changed=packaging/link/build.rs")?;
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // mold orders functions by itself.
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && !flags.contains("mold") {
        let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        writeln!(cargo, "cargo::rustc-link-arg-bins=-Wl,-T,{root}/{script}")?;
    }
    Ok(())
}
