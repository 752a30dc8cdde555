//! The daemon as those see it who never read its configuration: supervisors, scripts, exporters, whoever pulls the plug.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../lab/routers.rs"]
mod routers;

mod consumers;
mod crash;
mod dumps;
mod lines;
mod machine;
mod process;
mod reload;
mod storm;
mod supervised;

/// Held by tests that keep a machine busy, so that none of them makes another one late.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static BUSY: std::sync::Mutex<()> = std::sync::Mutex::new(());
    BUSY.lock().unwrap_or_else(|e| e.into_inner())
}
