//! Load beside a measurement.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What the disk hog writes at a time.
const CHUNK: usize = 64 << 20;

/// Takes the time of every processor and of the disk until dropped.
pub(crate) struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Hogs {
    /// One loop for each processor, and one writer into a file of `dir` that always syncs.
    pub(crate) fn start(dir: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = thread::available_parallelism().map_or(2, usize::from);
        let mut threads: Vec<_> = (0..count)
            .map(|_| {
                let stop = stop.clone();
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        let (path, stopped) = (dir.join("hog"), stop.clone());
        threads.push(thread::spawn(move || {
            let chunk = vec![0x5a; CHUNK];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(mut file) = fs::File::create(&path) {
                    let _ = file.write_all(&chunk).and_then(|()| file.sync_all());
                }
            }
        }));
        Self { stop, threads }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
