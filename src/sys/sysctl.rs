//! Kernel settings of the network namespace that this thread is in. Source: sysctl(8), the kernel's ip-sysctl.rst.

use std::fs;
use std::io;

const ROOT: &str = "/proc/sys/net";

/// The value of `key`, a path below /proc/sys/net, without white space around it.
///
/// # Errors
/// There is no such setting (its interface is gone, or the kernel lacks a part), or it may not be read.
pub(crate) fn read(key: &str) -> io::Result<String> {
    let text = fs::read_to_string(format!("{ROOT}/{key}"))?;
    Ok(text.trim().to_owned())
}

/// Writes `value` to `key` and reads it back.
///
/// # Errors
/// As for [`read`]; `InvalidData` when the kernel kept another value.
pub(crate) fn write(key: &str, value: &str) -> io::Result<()> {
    fs::write(format!("{ROOT}/{key}"), value)?;
    match read(key)? == value {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The names under `key`: for `ipv4/conf` the interfaces, `all` and `default`. Empty where there are none.
pub(crate) fn names(key: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("{ROOT}/{key}"));
    let entries = entries.into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testnet::{in_namespace, veth};
    use super::*;

    #[test]
    fn a_setting_is_written_and_read_back() {
        in_namespace(|| {
            veth("a.1", "b");
            assert!(names("ipv4/conf").iter().any(|name| name == "a.1"));
            let key = "ipv4/conf/a.1/arp_ignore";
            assert_eq!(read(key).expect("a setting"), "0");
            write(key, "1").expect("it may be written");
            assert_eq!(read(key).expect("a setting"), "1");
            assert!(write("ipv4/conf/no/arp_ignore", "1").is_err());
        });
    }
}
