//! Real FIFOs, real readers.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::model::track::{Command, NotifyScript};
use crate::notify::tests::{block_on, entered, instance, soon};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ka-fifos-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn fifo(&self, name: &str) -> Config {
        Config {
            path: self.0.join(name),
            owner: None,
            script: None,
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What is in a FIFO now.
fn read(path: &Path) -> String {
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut file = options.open(path).expect("the FIFO");
    let (mut all, mut some) = (Vec::new(), [0; 65536]);
    while let Ok(n @ 1..) = file.read(&mut some) {
        all.extend_from_slice(&some[..n]);
    }
    String::from_utf8(all).expect("text")
}

#[test]
fn each_fifo_is_told_what_concerns_it_in_keepalived_s_words() {
    let dir = Dir::new("words");
    let notify = GlobalNotify {
        fifo: Some(dir.fifo("all")),
        vrrp_fifo: Some(dir.fifo("vrrp")),
        lvs_fifo: Some(dir.fifo("lvs")),
        ..GlobalNotify::default()
    };
    let v1 = instance("V1", 1, Default::default());
    let (vs, rs) = ("[10.0.0.100]:tcp:80", "[10.0.0.2]:tcp:80");
    let notices = [
        entered(&v1, VrrpState::Master),
        Notice::LowerPriorityHeard {
            instance: Arc::clone(&v1),
            priority: 150,
        },
        Notice::RealServer {
            vs: vs.into(),
            rs: rs.into(),
            up: false,
            script: None,
        },
        Notice::VirtualServer {
            vs: vs.into(),
            up: true,
            script: None,
        },
    ];
    let vrrp = "INSTANCE \"V1\" MASTER 150\nINSTANCE \"V1\" MASTER_RX_LOWER_PRI 150\n";
    let lvs = format!("RS {rs} {vs} DOWN\nVS {vs} UP\n");
    block_on(async {
        let mut fifos = Fifos::default();
        fifos.apply(&notify);
        notices.iter().for_each(|n| fifos.accept(n));
        assert_eq!(read(&dir.0.join("all")), format!("{vrrp}{lvs}"));
        assert_eq!(read(&dir.0.join("vrrp")), vrrp);
        assert_eq!(read(&dir.0.join("lvs")), lvs);
        fifos.apply(&notify);
        fifos.accept(&notices[0]);
        assert!(
            !read(&dir.0.join("all")).is_empty(),
            "a reload has exchanged it"
        );
        fifos.drain(soon()).await;
    });
    assert_eq!(fs::read_dir(&dir.0).expect("a directory").count(), 0);
}

#[test]
fn a_reader_that_comes_late_gets_all_in_order_and_the_last_state_last() {
    let dir = Dir::new("late");
    let notify = GlobalNotify {
        fifo: Some(dir.fifo("all")),
        ..GlobalNotify::default()
    };
    let v1 = instance("V1", 1, Default::default());
    let states = [VrrpState::Backup, VrrpState::Master];
    block_on(async {
        let mut fifos = Fifos::default();
        fifos.apply(&notify);
        for n in 0..10_000 {
            fifos.accept(&entered(&v1, states[n % 2]));
        }
        let (path, mut text) = (dir.0.join("all"), String::new());
        while !fifos.pipes[0].backlog.is_empty() {
            text += &read(&path);
            fifos.progress().await;
        }
        text += &read(&path);
        assert!(text.lines().count() > 4096);
        assert_eq!(text.lines().last(), Some("INSTANCE \"V1\" MASTER 150"));
        fifos.drain(soon()).await;
    });
}

#[test]
fn a_script_reads_all_including_the_stop_and_ends_with_the_fifo() {
    let dir = Dir::new("script");
    let out = dir.0.join("out");
    let text = format!(
        "cat \"$2\" > {}; echo $1 end >> {}",
        out.display(),
        out.display()
    );
    let mut config = dir.fifo("all");
    config.script = Some(Arc::new(NotifyScript {
        command: Command {
            path: "/bin/sh".into(),
            argv: ["sh", "-c", &text, "sh", "own"].map(String::from).into(),
            user: None,
        },
    }));
    let notify = GlobalNotify {
        fifo: Some(config),
        ..GlobalNotify::default()
    };
    let v1 = instance("V1", 1, Default::default());
    block_on(async {
        let mut fifos = Fifos::default();
        fifos.apply(&notify);
        fifos.accept(&entered(&v1, VrrpState::Stop));
        let began = Instant::now();
        fifos.drain(began + Duration::from_secs(10)).await;
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "it was not the end of the file"
        );
    });
    let said = fs::read_to_string(&out).expect("the output");
    assert_eq!(said, "INSTANCE \"V1\" STOP 150\nown end\n");
}
