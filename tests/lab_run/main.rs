//! The daemon as those see it who never read its configuration: supervisors, scripts, exporters, whoever pulls the plug.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../lab/routers.rs"]
mod routers;

mod consumers;
mod crash;
mod dumps;
mod machine;
mod process;
mod reload;
mod storm;
mod supervised;
