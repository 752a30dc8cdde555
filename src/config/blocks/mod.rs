//! The tables: every keyword, block by block, and what is collected before [`super::link`] makes the model of it.

pub(crate) mod auth_hmac;
mod bfd;
pub(crate) mod checkers;
pub(crate) mod checks;
pub(crate) mod command;
mod firewall;
pub(crate) mod global;
mod global_mail;
pub(crate) mod global_net;
mod global_process;
pub(crate) mod inert;
mod instance_more;
pub(crate) mod ip_line;
mod links;
pub(crate) mod listeners;
mod lvs_words;
pub(crate) mod other;
pub(crate) mod real_server;
pub(crate) mod root;
pub(crate) mod route_line;
pub(crate) mod route_words;
pub(crate) mod rule_line;
mod scheduling;
pub(crate) mod script;
pub(crate) mod server_group;
pub(crate) mod statics;
pub(crate) mod sub_links;
pub(crate) mod sync_group;
mod tracked_things;
pub(crate) mod tracking;
pub(crate) mod virtual_server;
pub(crate) mod vrrp_instance;

pub(crate) use self::root::{Draft, ROOT};
