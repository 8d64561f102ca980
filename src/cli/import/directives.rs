//! Every directive that ha.cf of Heartbeat 3.0.6 may hold, those of its media plugins included, and what
//! becomes of it.

use super::draft::Draft;
use super::readers as read;
use super::report::{Reading, Wrong};

/// Reads the words after a directive into the draft, and says what became of them.
pub type Reader = fn(&mut Draft, &[&str]) -> Result<Reading, Wrong>;

/// What is done about a directive.
#[derive(Clone, Copy)]
pub enum Treatment {
    /// It is read.
    Read(Reader),
    /// The daemon does it without being told.
    Replaced(&'static str),
    /// It has no meaning here.
    Meaningless(&'static str),
    /// It is not offered.
    Lost(&'static str),
}

use Treatment::{Lost, Meaningless, Read, Replaced};

const LOG: Treatment = Replaced("syslog, facility daemon; in the foreground also stderr");
const LOGD: Treatment = Replaced("a log that never blocks the daemon, without a logging daemon");
const CRM: Treatment = Meaningless("there is no Pacemaker");
const OLD_API: Treatment = Meaningless("other programs ask with `crosswire status --json`, as root");
const COMPRESSION: Treatment = Meaningless("a heartbeat is some 70 bytes and never compressed");
const CORES: Treatment = Meaningless("set the core limit where the daemon is started");
const MEDIA: Treatment = Lost("paths are serial cables and UDP over Ethernet");

/// Directives whose words are separated by blanks alone: in all others a comma separates words too.
pub const WHOLE_LINE: [&str; 11] = [
    "apiauth",
    "failfast",
    "mcast",
    "mcast6",
    "ping_group",
    "rds",
    "respawn",
    "stonith",
    "stonith_host",
    "ucast",
    "ucast6",
];

/// In alphabetical order.
pub const DIRECTIVES: [(&str, Treatment); 63] = [
    ("apiauth", OLD_API),
    ("auto_failback", Read(read::auto_failback)),
    ("autojoin", Read(read::autojoin)),
    ("baud", Read(read::baud)),
    ("bcast", Read(read::bcast)),
    ("cluster", Read(read::cluster)),
    ("compression", COMPRESSION),
    ("compression_threshold", COMPRESSION),
    ("conn_logd_time", LOGD),
    ("coredumps", CORES),
    ("coreroot", CORES),
    ("crm", Read(read::pacemaker)),
    ("crm_daemon_dir", CRM),
    ("crmd_spawns_pengine", CRM),
    ("deadping", Replaced("a witness is asked whenever it matters, and has one dead_after to answer")),
    ("deadtime", Read(read::deadtime)),
    ("debug", LOG),
    ("debugfile", LOG),
    ("enable_config_writes", CRM),
    ("env", Lost("scripts see a fixed environment; set variables in a script of your own")),
    ("failfast", Read(read::respawn)),
    ("hbaping", Lost("a witness is an IP address")),
    ("hbgenmethod", Replaced("a random number for each run, which needs no disk")),
    ("hopfudge", Meaningless("two nodes need no hops")),
    ("initdead", Read(read::initdead)),
    ("keepalive", Read(read::keepalive)),
    ("log_badpack", Replaced("a counter for each reason to refuse a frame, in `crosswire status`")),
    ("logfacility", LOG),
    ("logfile", LOG),
    ("max_rexmit_delay", Meaningless("nothing is sent twice: the next heartbeat says it all")),
    ("mcast", Read(read::mcast)),
    ("mcast6", Read(read::mcast)),
    ("memreserve", Replaced("a daemon that allocates nothing after its start")),
    ("msgfmt", Meaningless("there is one format; firmware-notes/protocol.md has it")),
    ("nice_failback", Read(read::nice_failback)),
    ("node", Read(read::node)),
    ("openais", MEDIA),
    ("pacemaker", Read(read::pacemaker)),
    ("ping", Read(read::ping)),
    ("ping6", Read(read::ping)),
    ("ping_group", Read(read::ping_group)),
    ("quorum_server", Replaced("witnesses: name a box that both nodes can ping")),
    ("rds", MEDIA),
    ("realtime", Replaced("what the scheduler gives; a late loop is noticed and takes nothing over")),
    ("record_config_changes", CRM),
    ("record_pengine_inputs", CRM),
    ("respawn", Read(read::respawn)),
    ("rtprio", Replaced("what the scheduler gives; a late loop is noticed and takes nothing over")),
    ("serial", Read(read::serial)),
    ("stonith", Read(read::stonith)),
    ("stonith_host", Read(read::stonith_host)),
    ("syslogmsgfmt", LOG),
    ("tipc", MEDIA),
    ("traditional_compression", COMPRESSION),
    ("ucast", Read(read::ucast)),
    ("ucast6", Read(read::ucast)),
    ("udp", Read(read::bcast)),
    ("udpport", Read(read::udpport)),
    ("use_apphbd", Replaced("two processes that watch each other, and the watchdog")),
    ("use_logd", LOGD),
    ("uuidfrom", Meaningless("a node is known by its name")),
    ("warntime", Read(read::warntime)),
    ("watchdog", Read(read::watchdog)),
];
