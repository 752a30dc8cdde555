//! The threads and tasks of the process, made in one place, and the news of their end.
//!
//! A task that panics ends alone; whoever watches it hears of it and stops the rest. Its panic never reaches the
//! daemon's own loop.

use std::io;
use std::panic::AssertUnwindSafe;
use std::thread::JoinHandle;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

/// How a task ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It had done what it had to.
    Finished,
    /// The kernel denies it what it cannot work without.
    Failed(io::Error),
    /// Its panic hook has said why.
    Panicked,
}

/// A task that was started.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) name: &'static str,
    end: oneshot::Receiver<End>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Waits for the end; asking again after it waits for ever. Cancel safe.
    pub(crate) async fn ended(&mut self) -> End {
        if self.end.is_terminated() {
            return std::future::pending().await;
        }
        let end = (&mut self.end).await;
        if let Some(thread) = self.thread.take() {
            _ = thread.join(); // its last act was to say how it ended
        }
        end.unwrap_or(End::Panicked) // dropped unsaid: only by unwinding
    }
}

impl Running {
    /// Whether its end was told.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_terminated()
    }

    /// Nobody waits for it any more, not even the end of the process.
    pub(crate) fn abandon(&mut self) {
        self.thread = None;
    }
}

/// A thread that has lost its commander withdraws what it owns; the process must not end before.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            _ = thread.join(); // its end is of no interest any more
        }
    }
}

/// Starts `task` on a thread with a current-thread runtime of its own.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub(crate) fn on_thread<F>(
    name: &'static str,
    task: impl FnOnce() -> F + Send + 'static,
) -> io::Result<Running>
where
    F: Future<Output = io::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (done, end) = oneshot::channel();
    let body = move || {
        let run = AssertUnwindSafe(|| runtime.block_on(async { task().await }));
        let result = std::panic::catch_unwind(run);
        // Nobody listens any more: the daemon's loop is gone.
        _ = done.send(match result {
            Ok(Ok(())) => End::Finished,
            Ok(Err(e)) => End::Failed(e),
            Err(_) => End::Panicked,
        });
    };
    let thread = std::thread::Builder::new().name(name.into()).spawn(body)?;
    Ok(Running {
        name,
        end,
        thread: Some(thread),
    })
}

/// Starts `task` on the [`tokio::task::LocalSet`] this is called in.
pub(crate) fn locally(name: &'static str, task: impl Future<Output = ()> + 'static) -> Running {
    let (done, end) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let result = AssertUnwindSafe(task).catch_unwind().await;
        // Nobody listens any more: the daemon's loop is gone.
        _ = done.send(match result {
            Ok(()) => End::Finished,
            Err(_) => End::Panicked,
        });
    });
    Running {
        name,
        end,
        thread: None,
    }
}

/// Makes every panic an error line with its place; keeps silent on standard error, which may be somebody's script.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
        let thread = std::thread::current();
        tracing::error!(
            thread = thread.name().unwrap_or("?"),
            place = info.location().map(tracing::field::display),
            reason = text.unwrap_or("?"),
            "Internal error, please report"
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(f: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let set = tokio::task::LocalSet::new();
        set.block_on(&runtime.expect("a runtime"), f)
    }

    #[test]
    fn a_thread_that_panics_is_noticed() {
        block_on(async {
            let mut bad = on_thread("bad", || async { panic!("on purpose") }).expect("a thread");
            assert!(matches!(bad.ended().await, End::Panicked));
        });
    }

    #[test]
    fn a_thread_that_fails_says_why() {
        block_on(async {
            let deny = || async { Err(io::Error::from(io::ErrorKind::PermissionDenied)) };
            let mut denied = on_thread("denied", deny).expect("a thread");
            assert!(matches!(denied.ended().await, End::Failed(_)));
        });
    }

    #[test]
    fn a_local_task_that_panics_leaves_the_others_alone() {
        block_on(async {
            let (go, gone) = oneshot::channel::<()>();
            let mut good = locally("good", async { _ = gone.await });
            let mut bad = locally("bad", async { panic!("on purpose") });
            assert!(matches!(bad.ended().await, End::Panicked));
            assert!(go.send(()).is_ok(), "the good task still waits");
            assert!(matches!(good.ended().await, End::Finished));
        });
    }
}
