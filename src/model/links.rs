//! What concerns interfaces and not instances: `garp_group`, `linkbeat_interfaces`, `interface_up_down_delays`.
//! Source: keepalived.conf(5).

use std::time::Duration;

use super::net::IfName;

/// One `garp_group`: interfaces that share limits, because one switch hears them all. At least one limit is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GarpGroup {
    /// Each is in one group at most.
    pub(crate) interfaces: Vec<IfName>,
    /// `garp_interval`: least time between two gratuitous ARPs, 0..=4294.967295 s.
    pub(crate) garp_interval: Option<Duration>,
    /// `gna_interval`: least time between two unsolicited neighbour advertisements, 0..=4294.967295 s.
    pub(crate) gna_interval: Option<Duration>,
}

/// How the state of a link is asked for where the kernel does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LinkbeatKind {
    Mii,
    Ethtool,
    Ioctl,
}

/// One line of `linkbeat_interfaces`: an interface whose link is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linkbeat {
    pub(crate) interface: IfName,
    /// Default the best that the interface can do.
    pub(crate) kind: Option<LinkbeatKind>,
}

/// One line of `interface_up_down_delays`: how long a link must have changed to count, 0..=255 s each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpDownDelay {
    pub(crate) interface: IfName,
    pub(crate) down: Duration,
    // keepalived: 0 when it is left out, although the manual says that it is then `down`.
    pub(crate) up: Duration,
}
