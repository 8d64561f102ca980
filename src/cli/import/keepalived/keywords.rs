//! Every keyword of keepalived 2.2 that is not read, by its block, and what becomes of it.

use crate::cli::import::report::Fate;

/// What is done about a keyword.
#[derive(Clone, Copy)]
pub enum Treatment {
    /// The daemon does it without being told.
    Replaced(&'static str),
    /// It has no meaning here.
    Meaningless(&'static str),
    /// Nothing here does it; what else there is.
    Lost(&'static str),
}

use Treatment::{Lost, Meaningless, Replaced};

impl Treatment {
    /// What became of a line that says it.
    pub fn fate(self) -> Fate {
        match self {
            Replaced(by) => Fate::Replaced(by.to_string()),
            Meaningless(why) => Fate::Meaningless(why.to_string()),
            Lost(why) => Fate::Lost(why.to_string()),
        }
    }
}

type Keywords = &'static [(&'static str, Treatment)];

const ANNOUNCES: Treatment =
    Replaced("addresses are announced three times at once, after 2 s and 10 s, then every minute");
const KEY: Treatment = Replaced("a fresh random key: every frame of the pair is authenticated");
const MAIL: Treatment =
    Lost("no mail is sent: let the program of `notify` send it, see firmware-notes/scripts.md");
const LVS: Treatment = Lost(
    "virtual servers are another trade: let ldirectord, HAProxy or nginx balance, started by \"scripts\"",
);
const RANK: Treatment =
    Replaced("both processes run before everything else, unless [system] says realtime = false");
const PROCESS: Treatment = Meaningless("it is about keepalived's own processes");
/// What is said of a packet.
pub const WIRE: Treatment = Meaningless("it is about VRRP's packets: beats are frames of our own");
const SNMP: Treatment = Replaced("`crosswire status --json`, for whatever program asks SNMP or D-Bus today");
const FILTER: Treatment =
    Meaningless("the address that nobody serves is not on the box: no filter is needed");
const SPLIT: Treatment = Replaced(
    "after a split one of the two gives up by itself, and the other one announces its addresses anew",
);
const VMAC_NAME: Treatment =
    Lost("no name of your choice: the interface of a vmac is called cw and 8 digits, see `crosswire status`");
const FIFO: Treatment =
    Lost("events are told to a program, not through a pipe: notify = \"/PATH\" in crosswire.toml");
const BOX: Treatment =
    Lost("what stays on the box is the box's own: put it into /etc/network/interfaces or its like");
const CARRIER: Treatment = Lost(
    "carriers are heard of from the kernel: a driver that reports none needs a witness, `[quorum] witness`",
);
const BEATS: Treatment = Replaced("beats on every path, every 20 ms or more: see [timing]");
const WEIGHT: Treatment =
    Lost("there is no arithmetic of priorities: a node that is worse off hands over, whatever it preferred");

/// At the top of a file.
pub const TOP: Keywords = &[
    ("bfd_instance", BEATS),
    ("child_wait_time", PROCESS),
    ("garp_group", ANNOUNCES),
    ("include_check", PROCESS),
    ("instance", Meaningless("one daemon serves all groups")),
    ("interface_up_down_delays", Lost("a carrier that is lost moves its group at once: there is no delay")),
    ("linkbeat_interfaces", CARRIER),
    ("linkbeat_use_polling", CARRIER),
    ("namespace_with_ipsets", FILTER),
    (
        "net_namespace",
        Lost("let init start the daemon in that namespace: `ip netns exec NAME crosswire run`"),
    ),
    ("net_namespace_ipvs", LVS),
    ("static_ipaddress", BOX),
    ("static_routes", BOX),
    ("static_rules", BOX),
    ("track_group", BOX),
    ("SSL", LVS),
    ("use_pid_dir", PROCESS),
    ("virtual_server", LVS),
    ("virtual_server_group", LVS),
];

/// In `global_defs`.
pub const GLOBAL: Keywords = &[
    ("config_save_dir", PROCESS),
    ("data_use_instance", PROCESS),
    ("dbus_no_interface_name", SNMP),
    ("dbus_service_name", SNMP),
    ("default_interface", BOX),
    ("disable_local_igmp", WIRE),
    ("dynamic_interfaces", Replaced("an interface that comes late is used when it is there")),
    ("enable_dbus", SNMP),
    (
        "enable_script_security",
        Replaced(
            "a crosswire.toml that anybody may write is refused; who may write the programs is up to you",
        ),
    ),
    ("fifo_write_vrrp_states_on_reload", FIFO),
    ("if_check_interval", PROCESS),
    ("iproute_etc_dir", PROCESS),
    ("iproute_usr_dir", PROCESS),
    ("json_version", SNMP),
    ("log_unknown_vrids", Replaced("frames of other pairs are refused and counted")),
    ("max_auto_priority", RANK),
    ("min_auto_priority_delay", RANK),
    ("network_timestamp", PROCESS),
    ("nftables", FILTER),
    ("nftables_counters", FILTER),
    ("nftables_ifindex", FILTER),
    ("nftables_priority", FILTER),
    ("no_checker_emails", MAIL),
    ("no_email_faults", MAIL),
    ("notification_email", MAIL),
    ("notification_email_from", MAIL),
    ("notify_fifo", FIFO),
    ("notify_fifo_script", FIFO),
    ("notify_priority_changes", WEIGHT),
    ("nftables_ipvs", LVS),
    ("nftables_ipvs_priority", LVS),
    ("nftables_ipvs_start_fwmark", LVS),
    ("process_monitor_rcv_bufs", PROCESS),
    ("process_monitor_rcv_bufs_force", PROCESS),
    ("process_names", PROCESS),
    ("process_name", PROCESS),
    ("random_seed", PROCESS),
    ("reload_file", PROCESS),
    ("rs_init_notifies", LVS),
    ("reload_repeat", PROCESS),
    ("reload_time_file", PROCESS),
    ("reload_check_config", Replaced("`crosswire reload` refuses a file that is wrong")),
    ("script_user", Lost("scripts run as root: one that shall not uses runuser")),
    ("shutdown_script", Lost("let init run it when the daemon has ended")),
    ("shutdown_script_timeout", Lost("let init run it when the daemon has ended")),
    ("startup_script", Lost("let init run it before the daemon is started")),
    ("startup_script_timeout", Lost("let init run it before the daemon is started")),
    ("smtp_alert", MAIL),
    ("smtp_alert_checker", MAIL),
    ("smtp_alert_vrrp", MAIL),
    ("smtp_connect_timeout", MAIL),
    ("smtp_helo_name", MAIL),
    ("smtp_server", MAIL),
    ("snmp_socket", SNMP),
    ("tmp_config_directory", PROCESS),
    ("umask", PROCESS),
    ("use_symlink_paths", PROCESS),
    ("version_2_compat", WIRE),
    ("vrrp_check_unicast_src", WIRE),
    ("vrrp_cpu_affinity", RANK),
    ("vrrp_garp_extra_if", ANNOUNCES),
    ("vrrp_gna_interval", ANNOUNCES),
    ("vrrp_higher_prio_send_advert", SPLIT),
    ("vrrp_ipsets", FILTER),
    ("vrrp_iptables", FILTER),
    ("vrrp_lower_prio_no_advert", SPLIT),
    ("vrrp_mcast_group4", WIRE),
    ("vrrp_mcast_group6", WIRE),
    ("vrrp_min_garp", ANNOUNCES),
    ("vrrp_no_swap", Replaced("both processes are locked in memory")),
    ("vrrp_notify_fifo", FIFO),
    ("vrrp_notify_fifo_script", FIFO),
    ("vrrp_notify_priority_changes", WEIGHT),
    ("vrrp_owner_ignore_adverts", WIRE),
    ("vrrp_priority", RANK),
    ("vrrp_process_name", PROCESS),
    ("vrrp_rlimit_rtime", RANK),
    ("vrrp_rlimit_rttime", RANK),
    ("vrrp_rt_priority", RANK),
    ("vrrp_rx_bufs_multiplier", WIRE),
    ("vrrp_rx_bufs_policy", WIRE),
    ("vrrp_skip_check_adv_addr", WIRE),
    ("vrrp_startup_delay", Replaced("cold_start: how long a box that never heard its peer listens first")),
    ("vrrp_strict", WIRE),
    ("vrrp_vmac_garp_intvl", ANNOUNCES),
    ("vmac_addr_prefix", VMAC_NAME),
    ("vmac_prefix", VMAC_NAME),
];

/// Keywords of `global_defs` that are told by how they begin.
pub const GLOBAL_BEGIN: Keywords = &[
    ("bfd_", PROCESS),
    ("checker_", LVS),
    ("dbus_", SNMP),
    ("enable_snmp_", SNMP),
    ("enable_traps", SNMP),
    ("lvs_", LVS),
    ("snmp_", SNMP),
    ("vrrp_garp_", ANNOUNCES),
    ("vrrp_netlink_", PROCESS),
];

/// In `vrrp_instance`.
pub const INSTANCE: Keywords = &[
    ("accept", Replaced("a service answers on every address that is served")),
    ("authentication", KEY),
    ("check_unicast_src", WIRE),
    ("debug", Replaced("`crosswire why` tells what was decided, and why")),
    ("garp_extra_if", ANNOUNCES),
    ("garp_lower_prio_delay", ANNOUNCES),
    ("garp_lower_prio_repeat", ANNOUNCES),
    ("garp_master_delay", ANNOUNCES),
    ("garp_master_refresh", ANNOUNCES),
    ("garp_master_refresh_repeat", ANNOUNCES),
    ("garp_master_repeat", ANNOUNCES),
    ("higher_prio_send_advert", SPLIT),
    ("kernel_rx_buf_size", WIRE),
    ("linkbeat_use_polling", CARRIER),
    ("lower_prio_no_advert", SPLIT),
    ("lvs_sync_daemon_interface", LVS),
    ("mcast_dst_ip", WIRE),
    ("native_ipv6", Replaced("each address says of which family it is")),
    (
        "no_accept",
        Lost(
            "a service answers on every address that is served: let the packet filter drop what it shall not",
        ),
    ),
    ("notify_priority_changes", WEIGHT),
    ("old_unicast_checksum", WIRE),
    ("promote_secondaries", Lost("set sysctl net.ipv4.conf.IFACE.promote_secondaries yourself")),
    ("skip_check_adv_addr", WIRE),
    ("smtp_alert", MAIL),
    ("strict_mode", WIRE),
    ("track_bfd", BEATS),
    ("track_src_ip", Replaced("a LAN path without its own address is blind, and it is said")),
    ("unicast_fault_no_peer", WIRE),
    ("unicast_ttl", WIRE),
    (
        "use_ipvlan",
        Lost(
            "addresses live on the interface itself: vmac = true gives them a hardware address of their own",
        ),
    ),
    ("virtual_router_id", Replaced("the pair's id and the group's name are in every frame")),
    ("vmac_garp_intvl", ANNOUNCES),
    ("vmac_xmit_base", Replaced("beats leave by the interface itself, also beside a vmac")),
    ("vrf", Lost("nothing is put into a VRF: do that where the box sets its interfaces up")),
];

/// In `vrrp_sync_group`.
pub const GROUP: Keywords = &[
    ("global_tracking", WEIGHT),
    ("notify_priority_changes", WEIGHT),
    ("smtp_alert", MAIL),
    ("sync_group_tracking_weight", WEIGHT),
    ("track_bfd", BEATS),
];

/// The treatment of the keyword of that name.
pub fn find(table: Keywords, word: &str) -> Option<Treatment> {
    table.iter().find(|(known, _)| *known == word).map(|(_, treatment)| *treatment)
}

/// The treatment of the keyword that begins the word.
pub fn find_begin(table: Keywords, word: &str) -> Option<Treatment> {
    table.iter().find(|(begin, _)| word.starts_with(begin)).map(|(_, treatment)| *treatment)
}

/// All names.
pub fn names(table: Keywords) -> impl Iterator<Item = &'static str> {
    table.iter().map(|(name, _)| *name)
}
