//! The whole process as `global_defs` and the top level of the file arrange it: names, scheduling, files, buffers.
//! Source: keepalived.conf(5).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What concerns the process and not what it does on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// `net_namespace_ipvs`.
    pub(crate) ipvs_namespace: IpvsNamespace,
    /// `namespace_with_ipsets`: sets of addresses are used inside a namespace, too. True of those
    /// of nftables anyway.
    pub(crate) namespace_with_ipsets: bool,
    /// `use_pid_dir`: pid files go to a directory of their own; `net_namespace` and `instance` imply it.
    pub(crate) pid_dir: bool,
    /// `instance`: part of the names of pid files and of the log's identity.
    pub(crate) instance: Option<Arc<str>>,
    /// `child_wait_time`: how long a stop may take, default 5 s.
    pub(crate) child_wait_time: Duration,
    /// `linkbeat_use_polling`: the links of all interfaces that are used are polled.
    pub(crate) linkbeat_polling: bool,
    pub(crate) names: Names,
    /// `vrrp_priority` and so on.
    pub(crate) vrrp: Scheduling,
    /// `checker_priority` and so on.
    pub(crate) checker: Scheduling,
    /// `bfd_priority` and so on.
    pub(crate) bfd: Scheduling,
    /// `max_auto_priority`, default off.
    pub(crate) auto_priority: AutoPriority,
    /// `min_auto_priority_delay`: how late a timer is served before the priority is raised, 1..=10000000 µs, default 1 s.
    pub(crate) auto_priority_delay: Duration,
    pub(crate) buffers: Buffers,
    pub(crate) files: Files,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            ipvs_namespace: IpvsNamespace::Own,
            namespace_with_ipsets: false,
            pid_dir: false,
            instance: None,
            child_wait_time: Duration::from_secs(5),
            linkbeat_polling: false,
            names: Names::default(),
            vrrp: Scheduling::default(),
            checker: Scheduling::default(),
            bfd: Scheduling::default(),
            auto_priority: AutoPriority::Off,
            auto_priority_delay: Duration::from_secs(1),
            buffers: Buffers::default(),
            files: Files::default(),
        }
    }
}

/// `net_namespace_ipvs`: where the IPVS tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IpvsNamespace {
    /// In the namespace of the daemon.
    Own,
    /// In the namespace that the daemon was started in.
    Default,
    Named(Arc<str>),
}

/// Names of processes, 1..=15 octets (`TASK_COMM_LEN` - 1); `None`: that of the program. `process_names` is resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// `process_name`.
    pub(crate) main: Option<Arc<str>>,
    /// `vrrp_process_name`.
    pub(crate) vrrp: Option<Arc<str>>,
    /// `checker_process_name`.
    pub(crate) checker: Option<Arc<str>>,
    /// `bfd_process_name`.
    pub(crate) bfd: Option<Arc<str>>,
}

/// How the kernel schedules one part of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scheduling {
    /// `*_priority`: nice value, -20..=19, default 0.
    pub(crate) nice: i8,
    /// `*_no_swap`: locked into memory (`mlockall(2)`).
    pub(crate) no_swap: bool,
    /// `*_rt_priority`: `SCHED_RR` at 1..=99; default not real-time.
    pub(crate) rt_priority: Option<u8>,
    /// `*_cpu_affinity`: processors that may be used; empty: all.
    pub(crate) cpus: BTreeSet<u32>,
    /// `*_rlimit_rttime`: `RLIMIT_RTTIME` while real-time, ≥ 2 µs, default 10 ms.
    pub(crate) rlimit_rttime: Duration,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self {
            nice: 0,
            no_swap: false,
            rt_priority: None,
            cpus: BTreeSet::new(),
            rlimit_rttime: Duration::from_millis(10),
        }
    }
}

/// `max_auto_priority`: whether the daemon becomes real-time by itself when its timers are served late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AutoPriority {
    /// 0: not at all; a notice at start recommends it.
    Off,
    /// -1: not at all, and nothing is said.
    Silent,
    /// From 1 up to this priority, 1..=99.
    UpTo(u8),
}

/// Receive buffers of sockets. `vrrp_rx_bufs_*` are those of the VRRP sockets, the others of sockets to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buffers {
    /// `vrrp_netlink_cmd_rcv_bufs`.
    pub(crate) vrrp_command: Buffer,
    /// `vrrp_netlink_monitor_rcv_bufs`.
    pub(crate) vrrp_monitor: Buffer,
    /// `lvs_netlink_cmd_rcv_bufs`.
    pub(crate) lvs_command: Buffer,
    /// `lvs_netlink_monitor_rcv_bufs`.
    pub(crate) lvs_monitor: Buffer,
    /// `process_monitor_rcv_bufs`.
    pub(crate) process_monitor: Buffer,
    /// `vrrp_rx_bufs_policy`.
    pub(crate) vrrp_packets: PacketBuffer,
    /// `vrrp_rx_bufs_multiplier`: how many packets fit, ≥ 1, default 3; of no use with a size in octets.
    pub(crate) vrrp_packets_multiplier: u32,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            vrrp_command: Buffer::default(),
            vrrp_monitor: Buffer::default(),
            lvs_command: Buffer::default(),
            lvs_monitor: Buffer::default(),
            process_monitor: Buffer::default(),
            vrrp_packets: PacketBuffer::System,
            vrrp_packets_multiplier: 3,
        }
    }
}

/// `SO_RCVBUF` of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// Octets; `None`: the kernel's default.
    pub(crate) octets: Option<u32>,
    /// `*_force`: beyond the limit of the system (`SO_RCVBUFFORCE`).
    pub(crate) force: bool,
}

impl Buffer {
    /// What serves two purposes at once: the larger one, by force if one of them wants that.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            octets: self.octets.max(other.octets),
            force: self.force || other.force,
        }
    }
}

/// `vrrp_rx_bufs_policy`: how large the receive buffer of a VRRP socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketBuffer {
    /// As the kernel makes it.
    System,
    /// A multiple of the interface's MTU.
    Mtu,
    /// A multiple of the instance's advertisement.
    Advert,
    /// Octets.
    Octets(u32),
}

/// Files that are read or written besides the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// `umask`: permissions that files do not get, 0..=0o777, default 0o177.
    pub(crate) umask: u32,
    /// `state_dump_file`; a relative path is below the temporary directory, a final `/` names a directory.
    pub(crate) state_dump: Option<PathBuf>,
    /// `stats_dump_file`, likewise.
    pub(crate) stats_dump: Option<PathBuf>,
    /// `json_dump_file`, likewise.
    pub(crate) json_dump: Option<PathBuf>,
    /// `data_use_instance`: names of dump files contain those of instance and namespace.
    pub(crate) data_use_instance: bool,
    /// `json_version`: layout of the JSON dump, 1..=2, default 1.
    pub(crate) json_version: u8,
    /// `reload_time_file`: says when to reload.
    pub(crate) reload_time: Option<PathBuf>,
    /// `reload_repeat`: the file stays, and the reload is repeated daily.
    pub(crate) reload_repeat: bool,
    /// `reload_file`: exists while the configuration is read.
    pub(crate) reload_marker: ReloadMarker,
    /// `config_save_dir`: each configuration that is loaded is copied there.
    pub(crate) config_save: Option<PathBuf>,
    /// `tmp_config_directory`: where a copy of the configuration is kept while it is read; default in memory.
    pub(crate) tmp_config: Option<PathBuf>,
    /// `iproute_usr_dir`: names of routing tables and so on; default as the system has it.
    pub(crate) iproute_usr: Option<PathBuf>,
    /// `iproute_etc_dir`: overrides of them, default /etc/iproute2.
    pub(crate) iproute_etc: Option<PathBuf>,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            umask: 0o177,
            state_dump: None,
            stats_dump: None,
            json_dump: None,
            data_use_instance: false,
            json_version: 1,
            reload_time: None,
            reload_repeat: false,
            reload_marker: ReloadMarker::None,
            config_save: None,
            tmp_config: None,
            iproute_usr: None,
            iproute_etc: None,
        }
    }
}

/// `reload_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReloadMarker {
    None,
    /// `keepalived.reload` beside the pid file.
    BesidePidFile,
    At(PathBuf),
}
