//! The sockets of a witness: opened while there is still a terminal to complain to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use crosswire::vote::PORT;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

/// Room for questions that come at once, so that none is lost of those that a few thousand pairs ask in the
/// same instant. The kernel charges about a kilobyte for each.
const RECEIVE_BYTES: usize = 16 * 1024 * 1024;
/// Room for answers.
const SEND_BYTES: usize = 4 * 1024 * 1024;
/// A worker whose keeper was killed may have the port for an instant more.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// What `--listen` says: an address, a port behind it or not.
///
/// # Errors
/// What is wrong with it, in a line.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, PORT));
    let found = text.parse::<SocketAddr>().ok().or_else(alone);
    found.filter(|address| address.port() != 0).ok_or_else(|| {
        let examples = format!("`10.0.0.254`, `10.0.0.254:{PORT}` or `[fd00::254]:{PORT}`");
        format!("--listen: `{text}` is no address: write {examples}")
    })
}

/// Opens what is to be listened to: the address, or all addresses of the box, of either protocol.
///
/// # Errors
/// What is wrong, in a line.
pub fn open_all(address: Option<SocketAddr>) -> Result<Vec<OwnedFd>, String> {
    if let Some(address) = address {
        return Ok(vec![open(address).map_err(|errno| explain(address, errno))?]);
    }
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
    let mut opened = vec![open(v4).map_err(|errno| explain(v4, errno))?];
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT);
    match open(v6) {
        Ok(socket) => opened.push(socket),
        // A box without IPv6.
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {}
        Err(errno) => return Err(explain(v6, errno)),
    }
    Ok(opened)
}

fn explain(address: SocketAddr, errno: Errno) -> String {
    match errno {
        Errno::EADDRINUSE => {
            let port = address.port();
            format!("{address}: UDP port {port} is taken, by another witness or program: stop that one first")
        }
        Errno::EADDRNOTAVAIL => {
            format!("{address}: this box has no such address: correct --listen, or leave it out")
        }
        errno => format!("{address}: cannot be listened to: {}", errno.desc()),
    }
}

fn open(address: SocketAddr) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, SockType::Datagram, flags, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BYTES).is_err() {
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BYTES);
    }
    if setsockopt(&socket, sockopt::SndBufForce, &SEND_BYTES).is_err() {
        let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BYTES);
    }
    let local = SockaddrStorage::from(address);
    for _ in 1..TRIES {
        match bind(socket.as_raw_fd(), &local) {
            Err(Errno::EADDRINUSE) => std::thread::sleep(BETWEEN_TRIES),
            done => return done.map(|()| socket),
        }
    }
    bind(socket.as_raw_fd(), &local).map(|()| socket)
}
