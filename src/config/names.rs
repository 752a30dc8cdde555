//! Names of tables, scopes, protocols and the like, from the files of iproute2.
//!
//! Files of the administrator in `/etc/iproute2` come before those of the distribution in `/usr/share/iproute2`; what the
//! kernel headers name is known without any file. Source: ip-route(8), linux/rtnetlink.h.

use std::path::PathBuf;

use super::host::Host;
use super::value;

/// A family of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// `rt_tables`.
    Table,
    /// `rt_scopes`.
    Scope,
    /// `rt_protos`.
    Protocol,
    /// `rt_dsfield`.
    DsField,
    /// `rt_realms`.
    Realm,
    /// `group`: groups of interfaces.
    Group,
}

/// Where the files are, that of the administrator first.
#[derive(Clone, Debug)]
pub(crate) struct Folders(pub(crate) [PathBuf; 2]);

impl Default for Folders {
    fn default() -> Self {
        Self(["/etc/iproute2", "/usr/share/iproute2"].map(PathBuf::from))
    }
}

impl Names {
    fn file(self) -> &'static str {
        match self {
            Self::Table => "rt_tables",
            Self::Scope => "rt_scopes",
            Self::Protocol => "rt_protos",
            Self::DsField => "rt_dsfield",
            Self::Realm => "rt_realms",
            Self::Group => "group",
        }
    }

    /// What needs no file.
    fn known(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Table => &[("default", 253), ("main", 254), ("local", 255)],
            Self::Scope => &[
                ("global", 0),
                ("site", 200),
                ("link", 253),
                ("host", 254),
                ("nowhere", 255),
            ],
            Self::Protocol => &[
                ("redirect", 1),
                ("kernel", 2),
                ("boot", 3),
                ("static", 4),
                ("keepalived", 18),
            ],
            Self::DsField | Self::Realm => &[],
            Self::Group => &[("default", 0)],
        }
    }

    /// The number of a name, or a number as it is written (decimal, octal or hexadecimal).
    pub(crate) fn number(self, word: &str, folders: &Folders, host: &dyn Host) -> Option<u32> {
        if let Some(n) = value::any_radix(word) {
            return u32::try_from(n).ok();
        }
        let known = self.known().iter().find(|(name, _)| *name == word);
        known
            .map(|(_, n)| *n)
            .or_else(|| self.look_up(word, folders, host))
    }

    fn look_up(self, word: &str, folders: &Folders, host: &dyn Host) -> Option<u32> {
        folders.0.iter().find_map(|folder| {
            let folder = folder.display();
            let main = format!("{folder}/{}", self.file());
            let more = format!("{main}.d");
            let mut parts = host.list(more.as_ref());
            parts.retain(|p| p.ends_with(".conf"));
            parts.sort();
            let parts = parts.into_iter().map(|p| format!("{more}/{p}"));
            std::iter::once(main).chain(parts).find_map(|path| {
                let text = host.read(path.as_ref()).ok()?;
                String::from_utf8_lossy(&text)
                    .lines()
                    .find_map(|line| entry(line).filter(|(name, _)| *name == word))
                    .map(|(_, n)| n)
            })
        })
    }
}

/// `NUMBER NAME`, with a comment behind.
fn entry(line: &str) -> Option<(&str, u32)> {
    let mut words = line.split('#').next()?.split_ascii_whitespace();
    let n = value::any_radix(words.next()?)?;
    Some((words.next()?, u32::try_from(n).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn names_come_from_the_files_of_iproute2() {
        let mut host = Fake::default();
        let mut file = |path: &str, text: &str| {
            host.files.insert(path.into(), text.as_bytes().to_vec());
        };
        file(
            "/etc/iproute2/rt_tables",
            "# reserved\n254 main\n 100\tblue # ours\n0x65 red\nx y\n",
        );
        file("/etc/iproute2/rt_tables.d/b.conf", "102 green\n");
        file("/etc/iproute2/rt_tables.d/b.bak", "103 brown\n");
        file("/usr/share/iproute2/rt_tables", "1 blue\n2 white\n");
        let folders = Folders::default();
        let table = |word| Names::Table.number(word, &folders, &host);
        assert_eq!(table("blue"), Some(100));
        assert_eq!(table("red"), Some(101));
        assert_eq!(table("green"), Some(102));
        assert_eq!(table("white"), Some(2));
        assert_eq!(table("brown"), None);
        assert_eq!(table("default"), Some(253));
        assert_eq!(table("0x10"), Some(16));
        assert_eq!(table("-1"), None);
        assert_eq!(Names::Scope.number("link", &folders, &host), Some(253));
    }
}
