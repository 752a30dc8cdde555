//! What the tests of all notifications need.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::bus::{Notice, VrrpState};
use crate::model::global::Global;
use crate::model::net::IfName;
use crate::model::vrrp::{Instance, Notify, Vrid};

pub(crate) fn block_on<F: Future>(f: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(f)
}

pub(crate) fn instance(name: &str, vrid: u8, notify: Notify) -> Arc<Instance> {
    let interface = IfName::new("lo").expect("a name");
    let vrid = Vrid(std::num::NonZeroU8::new(vrid).expect("not 0"));
    let mut instance = Instance::new(name, interface, vrid, &Global::default());
    instance.notify = notify;
    Arc::new(instance)
}

pub(crate) fn entered(instance: &Arc<Instance>, state: VrrpState) -> Notice {
    Notice::Instance {
        instance: Arc::clone(instance),
        state,
        priority: 150,
    }
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(6)
}
