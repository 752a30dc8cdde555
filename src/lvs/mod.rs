//! LVS: decides which real servers serve, and keeps the kernel's IPVS table equal to that.

pub(crate) mod checker;
pub(crate) mod task;
