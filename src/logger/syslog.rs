//! A socket to syslogd, which may come and go: datagrams, or a stream where it wants one (some set-ups of
//! syslog-ng and s6).

use std::fs::metadata;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;

use log::Level;
use nix::errno::Errno;
use nix::sys::socket::sockopt::SockType as TypeOfSocket;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect, getpeername, getsockopt, recv,
    send, shutdown, socket,
};

use super::line::{Line, MAX_LINE_BYTES};
use super::{Write, severity};

/// RFC 3164: facility daemon.
const FACILITY_DAEMON: u8 = 3;

/// The socket.
pub struct Syslog {
    socket: OwnedFd,
    /// Where syslogd listens; `None` if this process cannot see it, and cannot connect again.
    path: Option<&'static str>,
    /// The listener that a stream is connected to; `None` for datagrams.
    stream: Option<Listener>,
}

/// A socket in the file system: its device and inode.
type Listener = (u64, u64);

impl Syslog {
    /// A socket that is not connected yet; `None` if the kernel gives none.
    pub fn at(path: &'static str) -> Option<Self> {
        Some(Self { socket: open(SockType::Datagram)?, path: Some(path), stream: None })
    }

    /// A socket that somebody else connects.
    pub fn of_others(socket: OwnedFd) -> Self {
        let is_stream = getsockopt(&socket, TypeOfSocket) == Ok(SockType::Stream);
        Self { socket, path: None, stream: is_stream.then_some((0, 0)) }
    }

    /// From now on somebody else connects it.
    pub fn into_shared(self) -> Self {
        Self { path: None, ..self }
    }

    /// Another descriptor of it.
    pub fn share(&self) -> Option<OwnedFd> {
        self.socket.try_clone().ok()
    }

    /// Connects to whoever listens now. True if that took another socket: then whoever shares the old one
    /// needs the new one. A datagram socket is connected over and over: that is one system call, and changes
    /// nothing if the listener is still there.
    pub fn connect(&mut self) -> bool {
        let Some(path) = self.path else { return false };
        let was_stream = self.stream.is_some();
        if was_stream {
            let Some(socket) = open(SockType::Datagram).filter(|_| !self.is_stream_well(path)) else {
                return false;
            };
            (self.socket, self.stream) = (socket, None);
        }
        let is_stream = connect_to(&self.socket, path) == Err(Errno::EPROTOTYPE) && self.become_stream(path);
        is_stream || was_stream
    }

    fn become_stream(&mut self, path: &str) -> bool {
        let connected = open(SockType::Stream).filter(|socket| connect_to(socket, path).is_ok());
        let is_connected = connected.is_some();
        if let Some(socket) = connected {
            (self.socket, self.stream) = (socket, Some(listener(path).unwrap_or_default()));
        }
        is_connected
    }

    /// Whether its other end is open, and nobody else listens instead.
    fn is_stream_well(&self, path: &str) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let is_closed =
            matches!(recv(self.socket.as_raw_fd(), &mut [0], flags), Ok(0) | Err(Errno::ECONNRESET));
        !is_closed && listener(path).is_none_or(|found| Some(found) == self.stream)
    }

    fn send(&mut self, bytes: &[u8]) -> nix::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if send(self.socket.as_raw_fd(), bytes, flags)? < bytes.len() {
            // The next line would continue this half. Whoever shares the socket sees the shutdown.
            let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }
}

impl Write for Syslog {
    fn is_there(&mut self) -> bool {
        let is_connected = |syslog: &Self| getpeername::<UnixAddr>(syslog.socket.as_raw_fd()).is_ok();
        if !is_connected(self) {
            self.connect();
        }
        is_connected(self)
    }

    /// syslogd stamps the line itself: the clock of an old box may be wrong by decades.
    fn write(&mut self, level: Level, text: &str) -> bool {
        let priority = FACILITY_DAEMON * 8 + severity(level);
        let line = Line::of(format_args!("<{priority}>crosswire[{}]: {text}", std::process::id()));
        let mut bytes: heapless::Vec<u8, { MAX_LINE_BYTES + 1 }> = line.as_str().bytes().collect();
        // A line is shorter than its room. A datagram needs no line end.
        let _ = bytes.push(b'\n');
        let end_of = |syslog: &Self| if syslog.stream.is_some() { bytes.len() } else { bytes.len() - 1 };
        match self.send(bytes.get(..end_of(self)).unwrap_or_default()) {
            Ok(()) => true,
            Err(Errno::EAGAIN | Errno::ENOBUFS) => false,
            // The listener has gone, and perhaps another one has come.
            Err(_) => {
                self.connect();
                self.path.is_some() && self.send(bytes.get(..end_of(self)).unwrap_or_default()).is_ok()
            }
        }
    }
}

impl AsRawFd for Syslog {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn open(kind: SockType) -> Option<OwnedFd> {
    socket(AddressFamily::Unix, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None).ok()
}

fn connect_to(socket: &OwnedFd, path: &str) -> nix::Result<()> {
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
}

fn listener(path: &str) -> Option<Listener> {
    metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
