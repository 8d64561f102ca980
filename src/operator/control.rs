//! What the commands and the running agent say to each other over the control socket: one postcard message a
//! packet.

use crosswire::decode::from_bytes;
use crosswire::encode::to_slice;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crosswire::frame::aside::Subject;
use crosswire::frame::message::GroupReport;
use crosswire::pair::{Role, Side, Trouble};
use crosswire::quorum::event::Demand;
use crosswire::quorum::forecast::Forecast;
use crosswire::reasons::Denial;
use crosswire::status::NodeStatus;
use crosswire::time::Span;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, listen, recv, send,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Gid;
use serde::{Deserialize, Serialize};

pub use super::history::{History, LostKind};
use super::words::ScriptEnd;
use crate::private;
use crate::tty::uart::{Counts, Uart};

/// Longest message either way.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// A fault counts only once it has lasted this long: a loop may be held up, or an agent be replaced.
pub const LASTS: Span = Span::from_s(1);
/// Longest piece of a recording.
pub const MAX_PIECE_BYTES: usize = 8 * 1024;
/// How long a command waits for the agent's answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where pid file and control socket are, unless told otherwise.
pub const DEFAULT_RUN_DIR: &str = "/run/crosswire";
/// Whose members may ask, unless the configuration names another group.
pub const DEFAULT_GROUP: &str = "crosswire";

/// What a command asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Question {
    /// Everything that `status` shows.
    Status,
    /// The last things that happened or were decided, this many at most.
    Why(u16),
    /// What the agent has recorded, from this byte on.
    Recording {
        /// Which recording, as the first piece says; 0 when asking for the first piece.
        number: u32,
        /// Where the piece begins.
        from: u32,
    },
    /// What the peer says of this, asked over the pair's own paths; over cables alone, if the second field is
    /// true.
    Peer(Subject, bool),
    /// A move, or a ban on moves.
    Demand {
        /// The move or the ban.
        what: Demand<String>,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
}

impl Question {
    /// Whether members of the group may ask it: it moves nothing, and its answer holds no secret.
    pub const fn is_for_members(&self) -> bool {
        match self {
            Self::Status | Self::Why(_) | Self::Peer(..) => true,
            Self::Recording { .. } | Self::Demand { .. } => false,
        }
    }
}

/// The demand as it would be typed.
pub fn typed(demand: &Demand<String>) -> String {
    match demand {
        Demand::Handover(group) => format!("handover {group}"),
        Demand::Takeover(group) => format!("takeover {group}"),
        Demand::TakeoverPeerIsOff(group) => format!("takeover {group} --peer-is-off"),
        Demand::Standby { force: false } => "standby".to_owned(),
        Demand::Standby { force: true } => "standby --force".to_owned(),
        Demand::Online => "online".to_owned(),
        Demand::Maintenance(Span::ZERO) => "maintenance off".to_owned(),
        Demand::Maintenance(lasts) => format!("maintenance on for {lasts}"),
    }
}

/// What the agent answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Status`].
    Status(Box<Report>),
    /// To [`Question::Why`].
    History(Box<History>),
    /// It is being done; how it ends shows in the status.
    Accepted,
    /// It is not done, and why.
    Denied(Denial),
    /// To [`Question::Recording`]: a piece; the last one is shorter than [`MAX_PIECE_BYTES`].
    Recording {
        /// Which recording the piece is of. It is another one than was asked for if somebody else has asked
        /// meanwhile.
        number: u32,
        /// The piece.
        bytes: Vec<u8>,
    },
    /// To [`Question::Peer`]: its text, or why there is none.
    PeerSays(Result<String, Unheard>),
}

impl Answer {
    /// The answer to [`Question::Status`]; `None` if this answers something else.
    pub fn status(self) -> Option<Box<Report>> {
        match self {
            Self::Status(report) => Some(report),
            Self::History(_)
            | Self::Accepted
            | Self::Denied(_)
            | Self::Recording { .. }
            | Self::PeerSays(_) => None,
        }
    }

    /// The answer to [`Question::Why`]; `None` if this answers something else.
    pub fn history(self) -> Option<Box<History>> {
        match self {
            Self::History(history) => Some(history),
            Self::Status(_)
            | Self::Accepted
            | Self::Denied(_)
            | Self::Recording { .. }
            | Self::PeerSays(_) => None,
        }
    }
}

/// Why the peer says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Unheard {
    /// It is heard on no path that may be asked.
    Nowhere,
    /// Another operator is asking.
    Busy,
    /// Not all of its answer came in time.
    TooSlow,
}

/// A node's state with the names that people use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The pair's id.
    pub pair: String,
    /// It only says what it would do.
    pub is_shadow: bool,
    /// Names of the nodes, by side.
    pub nodes: [String; 2],
    /// Names of the paths.
    pub paths: Vec<String>,
    /// Frames per path that could not leave at once and were skipped.
    pub skipped: Vec<u32>,
    /// Why each path's port is closed, if it is.
    pub away: Vec<Option<Away>>,
    /// What each path's serial port says of itself; `None` on a LAN and while the port is closed.
    pub ports: Vec<Option<PortReport>>,
    /// Names of the groups, and what is in them.
    pub groups: Vec<(String, Vec<String>)>,
    /// By group, the names of its scripts, one a line.
    pub scripts: Vec<String>,
    /// By group, how the script that its fault or condition names failed ([`ScriptEnd`]).
    pub ends: Vec<u32>,
    /// Addresses of the witnesses that are pinged.
    pub witnesses: Vec<String>,
    /// Where the voting witness is asked.
    pub vote: Option<String>,
    /// The longest time that the scripts of a group may take for one move.
    pub longest_move: Span,
    /// By group, for how long nobody may serve it: while nothing is seen to move, and at most.
    pub bounds: Vec<[Span; 2]>,
    /// The configuration file.
    pub file: String,
    /// The key file.
    pub key_file: String,
    /// The interfaces of the configuration.
    pub interfaces: Vec<String>,
    /// Service addresses that this box has on an interface on which no group has them, as `IP@INTERFACE`.
    pub misplaced: Vec<String>,
    /// Interfaces on which a probe's silence proves nothing.
    pub deaf: Vec<String>,
    /// The reason that the operator gave for the last request.
    pub said_because: Option<String>,
    /// The watchdog, if it is armed.
    pub watchdog: Option<WatchdogReport>,
    /// The agent went on in the place of one that had died or hung.
    pub is_replaced: bool,
    /// What was dropped or cut short since this agent began, by [`LostKind`]: how much, and how long ago
    /// the newest of it.
    pub drops: Vec<(u32, Span)>,
    /// Where the journal is, and why it is not written (see [`words`](super::words::journal_trouble)); 0 if
    /// nothing is wrong.
    pub journal: Option<(String, u8)>,
    /// What one more fault would come to.
    pub forecasts: Vec<Forecast>,
    /// The state.
    pub node: NodeStatus,
}

impl Report {
    /// What this node and its peer are called.
    pub fn names(&self) -> [&str; 2] {
        [self.node.me, self.node.me.peer()].map(|side| self.nodes[side.index()].as_str())
    }

    /// What the peer says of a group, if it knows it.
    pub fn theirs(&self, index: usize) -> Option<GroupReport> {
        self.node.peer.as_ref()?.groups.get(index).copied().flatten()
    }

    /// For how long this node has held a group that it cannot serve: its lease runs out, or has run out. A
    /// trouble of the whole node counts at once, one of the group after [`LASTS`].
    pub fn failing(&self, index: usize) -> Option<Span> {
        let group = self.node.groups.get(index)?;
        let is_troubled = self.node.trouble != Trouble::None;
        group.unable.filter(|span| group.role.is_holding() && (is_troubled || *span >= LASTS))
    }

    /// Which of the two serves a group, as far as this node knows.
    pub fn server(&self, index: usize) -> Option<Side> {
        let me = self.node.me;
        let is_heard = self.node.paths.iter().any(|path| path.state.is_heard());
        let is_theirs = is_heard && self.theirs(index).is_some_and(|said| said.role == Role::Active);
        match self.node.groups.get(index)?.role {
            Role::Active if self.failing(index).is_none() => Some(me),
            Role::Active | Role::Backup | Role::Acquiring | Role::Releasing | Role::Faulty => {
                is_theirs.then_some(me.peer())
            }
        }
    }

    /// What a side is called.
    pub fn name(&self, side: Side) -> &str {
        self.nodes.get(side.index()).map_or("?", String::as_str)
    }

    /// What the interface of that place in the list is called.
    pub fn interface(&self, index: u8) -> &str {
        self.interfaces.get(usize::from(index)).map_or("?", String::as_str)
    }

    /// The names of a group's scripts, one a line.
    pub fn scripts(&self, index: usize) -> &str {
        self.scripts.get(index).map_or("", String::as_str)
    }

    /// How the script that a group's fault or condition names failed.
    pub fn end(&self, index: usize) -> ScriptEnd {
        self.ends.get(index).map_or(ScriptEnd::UNKNOWN, |end| ScriptEnd(*end))
    }

    /// Why the operator wants nothing held or moved, if he does.
    pub fn reason(&self) -> Option<&str> {
        let is_restrained = self.node.is_standby || self.node.maintenance.is_some();
        self.said_because.as_deref().filter(|_| is_restrained)
    }
}

/// An armed watchdog.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WatchdogReport {
    /// The timeout that its driver really set, in seconds.
    pub timeout_s: u8,
    /// Why the box was reset last (`WDIOC_GETBOOTSTATUS`).
    pub boot_status: u32,
}

/// Why a port is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Away {
    /// The kernel's error.
    pub errno: i32,
    /// In how many seconds the port is tried again.
    pub wait_s: u64,
}

/// What a serial port says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortReport {
    /// Its modem lines (`TIOCM_*`), and those of them that follow our own outputs; `None` if it has none.
    pub lines: Option<(i32, i32)>,
    /// Its kind of UART.
    pub uart: Option<Uart>,
    /// The speed that it was opened with, in bits a second.
    pub baud: u32,
    /// The share of the line that the peer's bytes have filled since the port was opened.
    pub load_in_permille: u32,
    /// The share that ours have filled.
    pub load_out_permille: u32,
    /// What the driver has counted since the port was opened.
    pub counts: Option<Counts>,
}

/// The path of root's socket in a run directory.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control")
}

/// The path of the socket for members of the group.
pub fn members_path(run_dir: &Path) -> PathBuf {
    run_dir.join("query")
}

/// Makes the control socket, for root alone, in a directory in which nobody else can replace it. A socket
/// that an earlier run left behind is replaced: the caller holds the lock, so nobody listens on it.
///
/// # Errors
/// What the file system says.
pub fn listen_in(run_dir: &Path) -> io::Result<OwnedFd> {
    listen_at(run_dir, &socket_path(run_dir), None)
}

/// Makes the socket on which members of a group may ask, in the same way. Without a group what an earlier run
/// left behind is removed, and there is none.
///
/// # Errors
/// What the file system says.
pub fn listen_to_members(run_dir: &Path, group: Option<Gid>) -> io::Result<Option<OwnedFd>> {
    let path = members_path(run_dir);
    match group {
        None => private::remove(&path).map(|()| None),
        Some(_) => listen_at(run_dir, &path, group).map(Some),
    }
}

/// Nobody can connect before the socket has its owner and mode: the kernel refuses until it listens. No link
/// is followed: `bind` makes a new file or fails, and nobody else can replace it.
fn listen_at(run_dir: &Path, path: &Path, group: Option<Gid>) -> io::Result<OwnedFd> {
    private::directory(run_dir)?;
    private::remove(path)?;
    let listener = packet_socket(SockFlag::SOCK_NONBLOCK)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    if group.is_some() {
        lchown(path, None, group.map(Gid::as_raw))?;
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    listen(&listener, Backlog::new(4)?)?;
    Ok(listener)
}

/// Asks the agent of a run directory.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` if no daemon runs there, `PermissionDenied` if it may not be asked,
/// `ConnectionReset` if it ends the connection; a time-out if it does not answer.
pub fn ask(run_dir: &Path, question: &Question) -> io::Result<Answer> {
    ask_within(run_dir, question, PATIENCE)
}

/// As [`ask`], for a question that takes its time.
///
/// # Errors
/// As [`ask`].
pub fn ask_within(run_dir: &Path, question: &Question, patience: Duration) -> io::Result<Answer> {
    let connection = packet_socket(SockFlag::empty())?;
    let patience = TimeVal::milliseconds(i64::try_from(patience.as_millis()).unwrap_or(1_000));
    setsockopt(&connection, ReceiveTimeout, &patience)?;
    setsockopt(&connection, SendTimeout, &patience)?;
    connect_for(question, &connection, run_dir)?;
    let question = encode(question).ok_or(io::ErrorKind::InvalidInput)?;
    send(connection.as_raw_fd(), &question, MsgFlags::MSG_NOSIGNAL)?;
    let mut room = vec![0; MAX_MESSAGE_BYTES];
    let length = recv(connection.as_raw_fd(), &mut room, MsgFlags::empty())?;
    if length == 0 {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let answer = room.get(..length).and_then(decode);
    answer.ok_or_else(|| io::Error::other("it is of another version: restart it"))
}

/// Connects to root's socket. If that is denied, and members of the group may ask this, connects to theirs.
fn connect_for(question: &Question, connection: &OwnedFd, run_dir: &Path) -> nix::Result<()> {
    let to = |path: &Path| connect(connection.as_raw_fd(), &UnixAddr::new(path)?);
    match to(&socket_path(run_dir)) {
        Err(Errno::EACCES) if question.is_for_members() => match to(&members_path(run_dir)) {
            Err(Errno::ENOENT) => Err(Errno::EACCES),
            asked => asked,
        },
        asked => asked,
    }
}

fn packet_socket(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, flags | SockFlag::SOCK_CLOEXEC, None)
}

/// A message as a packet; `None` if it is too long for one.
pub fn encode<T: Serialize>(message: &T) -> Option<Vec<u8>> {
    let mut room = vec![0; MAX_MESSAGE_BYTES];
    to_slice(message, &mut room).map(|bytes| bytes.to_vec())
}

/// A packet as a message; `None` if it is none, or has bytes left over.
pub fn decode<'a, T: Deserialize<'a>>(packet: &'a [u8]) -> Option<T> {
    from_bytes(packet)
}
