//! Real files.

use std::fs;

use super::*;
use crate::model::track::Weight;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ka-files-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn file(&self, name: &str) -> TrackFile {
        TrackFile {
            name: "f".into(),
            path: self.0.join(name),
            weight: Weight::Adjust(1),
            reverse: false,
            init: None,
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn block_on<F: Future>(f: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(f)
}

async fn next(files: &mut Files) -> i32 {
    let next = tokio::time::timeout(Duration::from_secs(20), files.next()).await;
    next.expect("a change").1
}

/// Until inotify watches: what happens from then on is noticed at once.
async fn watched(files: &mut Files) {
    while files.files.values().any(|w| w.polled || w.looking) {
        let pause = Duration::from_millis(5);
        let news = tokio::time::timeout(pause, files.next()).await;
        assert!(news.is_err(), "{news:?}");
    }
}

#[test]
fn every_way_to_change_a_file_is_noticed() {
    let dir = Dir::new("ways");
    let file = dir.file("f");
    let (path, other) = (file.path.clone(), dir.0.join("other"));
    block_on(async {
        let mut files = Files::new();
        assert_eq!(files.apply(&[Arc::new(file.clone())]), []);
        assert_eq!(next(&mut files).await, 0);
        watched(&mut files).await;
        fs::write(&path, "7\n").expect("a file");
        assert_eq!(next(&mut files).await, 7);
        fs::write(&other, "-8").expect("a file");
        fs::rename(&other, &path).expect("the same directory");
        assert_eq!(next(&mut files).await, -8);
        assert_eq!(files.apply(&[Arc::new(file)]), [("f".into(), -8)]);
        fs::rename(&path, &other).expect("the same directory");
        assert_eq!(next(&mut files).await, 0);
        fs::rename(&other, &path).expect("the same directory");
        assert_eq!(next(&mut files).await, -8);
        fs::remove_file(&path).expect("our file");
        assert_eq!(next(&mut files).await, 0);
        files.apply(&[]);
        assert!(files.files.is_empty());
    });
}

#[test]
fn a_directory_may_go_and_come_back() {
    let dir = Dir::new("directory");
    let file = dir.file("sub/f");
    let (path, sub) = (file.path.clone(), dir.0.join("sub"));
    block_on(async {
        let mut files = Files::new();
        files.apply(&[Arc::new(file)]);
        assert_eq!(next(&mut files).await, 0);
        fs::create_dir(&sub).expect("a directory");
        fs::write(&path, "1").expect("a file");
        assert_eq!(next(&mut files).await, 1);
        watched(&mut files).await;
        fs::remove_dir_all(&sub).expect("our directory");
        assert_eq!(next(&mut files).await, 0);
        fs::create_dir(&sub).expect("a directory");
        fs::write(&path, "2").expect("a file");
        assert_eq!(next(&mut files).await, 2);
        watched(&mut files).await;
        fs::write(&path, "3").expect("a file");
        assert_eq!(next(&mut files).await, 3);
    });
}

#[test]
fn what_a_link_leads_to_is_noticed_too() {
    let dir = Dir::new("link");
    let file = dir.file("f");
    let target = dir.0.join("elsewhere");
    fs::create_dir(&target).expect("a directory");
    fs::write(target.join("t"), "1").expect("a file");
    std::os::unix::fs::symlink("elsewhere/t", &file.path).expect("a link");
    block_on(async {
        let mut files = Files::new();
        files.apply(&[Arc::new(file)]);
        assert_eq!(next(&mut files).await, 1);
        fs::write(target.join("t"), "2").expect("a file");
        assert_eq!(next(&mut files).await, 2);
    });
}

#[test]
fn a_file_is_made_at_start_and_not_through_a_link() {
    let dir = Dir::new("init");
    let mut file = dir.file("f");
    let init = |value, overwrite| Some(InitFile { value, overwrite });
    let first = |file: &TrackFile| {
        block_on(async {
            let mut files = Files::new();
            files.apply(&[Arc::new(file.clone())]);
            next(&mut files).await
        })
    };
    file.init = init(5, false);
    assert_eq!(first(&file), 5);
    file.init = init(6, false);
    assert_eq!(first(&file), 5);
    file.init = init(6, true);
    assert_eq!(first(&file), 6);
    fs::remove_file(&file.path).expect("our file");
    fs::write(dir.0.join("precious"), "1").expect("a file");
    std::os::unix::fs::symlink("precious", &file.path).expect("a link");
    assert_eq!(first(&file), 1);
}

/// Needs root, and a thread that nobody else uses.
#[test]
fn a_file_system_that_becomes_read_only_changes_nothing() {
    use nix::mount::{MsFlags, mount};
    if !nix::unistd::geteuid().is_root() {
        let mut err = std::io::stderr();
        let _ = std::io::Write::write_all(&mut err, b"skipped: needs root\n");
        return;
    }
    let dir = Dir::new("readonly");
    let place = dir.0.clone();
    let none: Option<&str> = None;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("root may");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root may");
    mount(none, &place, Some("tmpfs"), MsFlags::empty(), none).expect("root may");
    let mut file = dir.file("f");
    fs::write(&file.path, "4").expect("a file");
    let again = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(none, &place, none, again, none).expect("root may");
    file.init = Some(InitFile {
        value: 9,
        overwrite: true,
    });
    block_on(async {
        let mut files = Files::new();
        files.apply(&[Arc::new(file.clone())]);
        assert_eq!(next(&mut files).await, 4);
        mount(none, &place, none, MsFlags::MS_REMOUNT, none).expect("root may");
        fs::write(&file.path, "5").expect("a file");
        assert_eq!(next(&mut files).await, 5);
    });
    nix::mount::umount(&place).expect("our mount");
}
