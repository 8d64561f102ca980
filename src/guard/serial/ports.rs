//! Opening paths: a serial port that nobody else uses, a UDP socket that hears only the peer.
//!
//! If something is not there yet, its path is blind and is tried again. If something must not be used, it is
//! refused with a line that says how to free it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crosswire::pair::PathId;
use log::{info, warn};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::stat::major;
use nix::sys::termios::{ControlFlags, FlushArg, InputFlags, SetArg, tcflush, tcgetattr, tcsetattr};
use serialport::{DataBits, ErrorKind, FlowControl, Parity, StopBits};
use thiserror::Error;

use crate::settings::{PathDevice, PathSettings};
use crate::sys;
use crate::tty::{fit, speed};

/// `TC_PRIO_INTERACTIVE` of linux/pkt_sched.h: beats leave before bulk traffic.
const PRIORITY_INTERACTIVE: i32 = 6;
/// `IPTOS_LOWDELAY` (RFC 1349), which every queue on an old router knows.
const LOW_DELAY: i32 = 0x10;

/// A speed that every port can run at. The wanted speed is set afterwards, whether it has a `B` constant or
/// not.
const ANY_BAUD: u32 = 9_600;

/// Why a path could not be opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// It is not there, or not yet: the path starts blind and is tried again.
    #[error("{what}: {}", errno.desc())]
    Absent {
        /// The device or interface.
        what: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// It must not, or may not, be used: one line that names the remedy.
    #[error("{reason}")]
    Refused {
        /// The whole line.
        reason: String,
        /// `EBUSY`, `EACCES` ...
        errno: Errno,
    },
}

impl OpenError {
    /// The kernel's error for it.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Absent { errno, .. } | Self::Refused { errno, .. } => *errno,
        }
    }

    fn absent(what: impl Into<String>, errno: Errno) -> Self {
        Self::Absent { what: what.into(), errno }
    }

    fn refused(reason: impl Into<String>, errno: Errno) -> Self {
        Self::Refused { reason: reason.into(), errno }
    }
}

/// Why each path could not be opened when it was last tried, so that it is said once.
pub struct Unopened(Vec<Option<OpenError>>);

impl Unopened {
    /// For so many paths, of which nothing was said yet.
    pub fn of(paths: usize) -> Self {
        Self(vec![None; paths])
    }

    /// Whether the path could not be opened.
    pub fn has(&self, path: PathId) -> bool {
        self.0.get(path.index()).is_some_and(Option::is_some)
    }

    /// A path was tried again: says what is new.
    pub fn note(&mut self, path: PathId, name: &str, fault: Option<&OpenError>) {
        let Some(before) = self.0.get_mut(path.index()).filter(|before| before.as_ref() != fault) else {
            return;
        };
        match fault {
            Some(error) => warn!("path {name}: {error}; tried again from time to time"),
            None => info!("path {name}: open again"),
        }
        *before = fault.cloned();
    }
}

/// Opens a path; the descriptor is non-blocking and closes on exec.
pub fn open_path(path: &PathSettings) -> Result<OwnedFd, OpenError> {
    match &path.device {
        PathDevice::Serial { device, baud } => open_serial(device, *baud),
        PathDevice::Lan { interface, local, peer, port, .. } => open_lan(interface, *local, *peer, *port),
    }
}

/// Opens a tty for ourselves alone: raw, 8N1, no flow control, deaf to BREAK and to the carrier line.
///
/// # Errors
/// As [`open_path`].
pub fn open_serial(device: &Path, baud: u32) -> Result<OwnedFd, OpenError> {
    let name = device.display().to_string();
    let found = std::fs::metadata(device).map_err(|e| OpenError::absent(&name, errno_of(&e)))?;
    if let Some((reason, errno)) = fit::refusal(device, &found, baud) {
        return Err(OpenError::refused(reason, errno));
    }
    let opened = serialport::new(name.clone(), ANY_BAUD)
        .data_bits(DataBits::Eight)
        .parity(Parity::None)
        .stop_bits(StopBits::One)
        .flow_control(FlowControl::None)
        .open_native();
    let port = opened.map_err(|error| serial_error(&name, &error))?;
    let fd = sys::tty::descriptor_of(port);
    if is_pty(found.rdev()) {
        // A pseudo-terminal outlives its last user, and would stay closed to the next run if root is not root
        // of the whole box. The lock stays. If this fails, only the next run is hindered.
        let _ = sys::tty::share(&fd);
    }
    make_quiet(&fd).map_err(|errno| {
        OpenError::refused(format!("{name} is not a serial port: {}", errno.desc()), errno)
    })?;
    set_speed(&fd, &name, baud)?;
    Ok(fd)
}

/// Sets any speed that the driver can make, and no other: if the clock does not divide to it, the port would
/// silently run at another speed.
///
/// # Errors
/// Refused, with the speed that the port would run at.
pub fn set_speed(fd: &OwnedFd, name: &str, baud: u32) -> Result<(), OpenError> {
    let failed = |errno: Errno| {
        OpenError::refused(format!("{name} cannot run at {baud} baud: {}", errno.desc()), errno)
    };
    speed::set(fd, baud).map_err(failed)?;
    match speed::get(fd).map_err(failed)? {
        found if speed::is_near(baud, found) => Ok(()),
        found => Err(OpenError::refused(fit::wrong_speed(name, found, baud), Errno::EINVAL)),
    }
}

/// Does what serialport leaves to us. It clears `O_NONBLOCK`; a BREAK would read as a NUL, and a dead agent
/// would leave the modem lines up.
fn make_quiet(fd: &OwnedFd) -> nix::Result<()> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut mode = tcgetattr(fd)?;
    mode.input_flags |= InputFlags::IGNBRK;
    mode.control_flags |= ControlFlags::CLOCAL | ControlFlags::HUPCL | ControlFlags::CREAD;
    mode.control_flags -= ControlFlags::CRTSCTS;
    tcsetattr(fd, SetArg::TCSANOW, &mode)?;
    // What came in before the speed was set is garbage.
    tcflush(fd, FlushArg::TCIFLUSH)
}

/// Unix98 pseudo-terminals have the majors 136 to 143 (Linux's devices.txt).
fn is_pty(rdev: u64) -> bool {
    (136..=143).contains(&major(rdev))
}

fn serial_error(device: &str, error: &serialport::Error) -> OpenError {
    use std::io::ErrorKind as Io;
    match error.kind {
        ErrorKind::NoDevice => OpenError::refused(
            format!("{device} is in use by another program: stop it (`fuser -v {device}` names it)"),
            Errno::EBUSY,
        ),
        ErrorKind::Io(Io::PermissionDenied) => {
            OpenError::refused(format!("{device}: permission denied: start crosswire as root"), Errno::EACCES)
        }
        ErrorKind::Io(Io::NotFound) => OpenError::absent(device, Errno::ENOENT),
        // A port whose adapter was unplugged, or that the driver knows but the board does not have.
        ErrorKind::Unknown if is_gone(&error.description) => OpenError::absent(device, Errno::ENXIO),
        ErrorKind::Unknown if error.description == Errno::ENOTTY.desc() => {
            OpenError::refused(format!("{device} is no serial port: check `device`"), Errno::ENOTTY)
        }
        ErrorKind::Unknown | ErrorKind::InvalidInput | ErrorKind::Io(_) => OpenError::refused(
            format!(
                "{device} cannot be set up as a serial port: {}: check `device` and `baud`",
                error.description
            ),
            Errno::EINVAL,
        ),
    }
}

/// serialport passes most errnos on as text only.
fn is_gone(description: &str) -> bool {
    [Errno::ENXIO, Errno::ENODEV, Errno::EIO].iter().any(|errno| errno.desc() == description)
}

/// Opens a UDP socket on one interface that hears only the peer.
///
/// It is connected, so that the kernel drops the datagrams of strangers before anybody wakes up, and so that
/// the agent, which lives in an empty root, needs no address to send to. The price: if the peer's daemon is
/// down, an ICMP error comes back as `ECONNREFUSED` of the next call. That means nothing and asks for one
/// more try.
fn open_lan(interface: &str, local: IpAddr, peer: IpAddr, port: u16) -> Result<OwnedFd, OpenError> {
    let index = if_nametoindex(interface).map_err(|errno| OpenError::absent(interface, errno))?;
    let opened = connect_lan(interface, endpoint(local, port, index), endpoint(peer, port, index));
    opened.map_err(|errno| match errno {
        Errno::EADDRINUSE => OpenError::refused(
            format!(
                "UDP port {port} of {local} is in use by another program (`ss -ulpn` names it): stop it, \
                or set another `port` on both nodes"
            ),
            errno,
        ),
        Errno::EPERM | Errno::EACCES => OpenError::refused(
            format!("{interface}: binding UDP port {port} to it is not permitted: start crosswire as root"),
            errno,
        ),
        // No address yet, no route yet, the interface went away meanwhile.
        errno => OpenError::absent(format!("{local} on {interface}"), errno),
    })
}

/// Whether a path's own address is there; a path that has none needs none.
pub fn has_own_address(path: &PathSettings) -> bool {
    let PathDevice::Lan { interface, local, peer, .. } = &path.device else { return true };
    let connect = |index| connect_lan(interface, endpoint(*local, 0, index), endpoint(*peer, 1, index));
    if_nametoindex(interface.as_str()).and_then(connect).is_ok()
}

fn connect_lan(interface: &str, local: SocketAddr, peer: SocketAddr) -> nix::Result<OwnedFd> {
    let family = if local.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Datagram, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::BindToDevice, &interface.into())?;
    // Both are only wishes: a kernel that does not grant them still carries beats.
    if local.is_ipv4() {
        let _ = setsockopt(&fd, sockopt::Ipv4Tos, &LOW_DELAY);
    } else {
        let _ = setsockopt(&fd, sockopt::Ipv6TClass, &LOW_DELAY);
    }
    let _ = setsockopt(&fd, sockopt::Priority, &PRIORITY_INTERACTIVE);
    bind(fd.as_raw_fd(), &SockaddrStorage::from(local))?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(peer))?;
    Ok(fd)
}

/// A link-local IPv6 address means nothing without its interface.
pub fn endpoint(ip: IpAddr, port: u16, interface_index: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            SocketAddr::V6(std::net::SocketAddrV6::new(ip, port, 0, interface_index))
        }
        ip => SocketAddr::new(ip, port),
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
    use nix::sys::socket::{MsgFlags, getsockopt, recv, send};
    use nix::unistd::{read, write};

    use super::*;
    use crate::clock::now;
    use crate::guard::kernel::addresses::Addresses;
    use crate::guard::testing::{Stranger, address, in_namespace};
    use crosswire::time::Span;

    fn pty() -> (PtyMaster, PathBuf) {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).expect("a pty");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let slave = ptsname_r(&master).expect("a name");
        (master, slave.into())
    }

    fn serial(device: &Path) -> Result<OwnedFd, OpenError> {
        let device = PathDevice::Serial { device: device.to_owned(), baud: 19_200 };
        open_path(&PathSettings { name: "serial".to_owned(), device })
    }

    fn lan(local: &str, peer: &str) -> Result<OwnedFd, OpenError> {
        let (local, peer) = (local.parse().expect("an address"), peer.parse().expect("an address"));
        let device =
            PathDevice::Lan { interface: "near".to_owned(), local, peer, port: 694, is_crossover: false };
        open_path(&PathSettings { name: "lan".to_owned(), device })
    }

    #[test]
    fn a_port_is_raw_deaf_to_breaks_and_never_blocks() {
        let (master, slave) = pty();
        let port = serial(&slave).expect("a pty is as good as a port");
        assert_eq!(read(&port, &mut [0; 8]), Err(Errno::EAGAIN));
        let bytes = [0, 3, 13, 10, 17, 19, 26, 127, 255];
        write(&master, &bytes).expect("written");
        let mut got = [0; 16];
        assert_eq!(read(&port, &mut got), Ok(bytes.len()));
        assert_eq!(got[..bytes.len()], bytes);
        let mode = tcgetattr(&port).expect("a tty");
        assert!(mode.input_flags.contains(InputFlags::IGNBRK));
        assert!(mode.control_flags.contains(ControlFlags::CLOCAL | ControlFlags::HUPCL | ControlFlags::CS8));
        assert!(
            !mode
                .control_flags
                .intersects(ControlFlags::CRTSCTS | ControlFlags::PARENB | ControlFlags::CSTOPB)
        );
        assert_eq!(speed::get(&port), Ok(19_200));
        assert_ne!(fcntl(&port, FcntlArg::F_GETFD).expect("flags") & libc::FD_CLOEXEC, 0);
    }

    #[test]
    fn a_port_in_use_is_refused_with_a_remedy_until_it_is_free() {
        let (_master, slave) = pty();
        let first = serial(&slave).expect("opened");
        let error = serial(&slave).expect_err("it is in use");
        assert_eq!(error.errno(), Errno::EBUSY);
        assert!(error.to_string().contains("in use by another program: stop it"), "{error}");
        drop(first);
        // A test that forks beside this one has a copy of the lock until it executes something.
        let give_up = now() + Span::from_s(30);
        while let Err(error) = serial(&slave) {
            assert!(now() < give_up, "{error}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    #[test]
    fn a_port_with_a_login_is_refused_by_name() {
        let (_master, slave) = pty();
        // setsid --ctty makes the pty the controlling terminal, as a getty does.
        let mut getty = Command::new("setsid")
            .args(["--ctty", "sh", "-c", "exec sleep 1000"])
            .stdin(std::fs::File::options().read(true).write(true).open(&slave).expect("opened"))
            .stdout(Stdio::null())
            .spawn()
            .expect("setsid of util-linux");
        let mut refused = None;
        for _ in 0..3_000 {
            refused = serial(&slave).err();
            if refused.is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        getty.kill().expect("killed");
        getty.wait().expect("reaped");
        let error = refused.expect("refused").to_string();
        assert!(error.contains("is the terminal of") && error.contains("/etc/inittab"), "{error}");
    }

    #[test]
    fn what_is_absent_is_told_from_what_is_no_port() {
        let absent = serial(Path::new("/dev/ttyUSB99")).expect_err("absent");
        assert!(matches!(absent, OpenError::Absent { errno: Errno::ENOENT, .. }), "{absent}");
        let file = serial(Path::new("/etc/passwd")).expect_err("a file");
        assert!(matches!(file, OpenError::Refused { .. }), "{file}");
        let null = serial(Path::new("/dev/null")).expect_err("no tty");
        assert!(matches!(null, OpenError::Refused { .. }), "{null}");
    }

    #[test]
    fn a_lan_path_hears_the_peer_and_nobody_else() {
        in_namespace(|| {
            let stranger = Stranger::behind("near");
            assert!(matches!(lan("10.9.0.1", "10.9.0.2"), Err(OpenError::Absent { .. })), "no address yet");
            let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
            let own = ["10.9.0.1/24@near", "fd00::1/64@near"].map(address);
            addresses.add(&own, now() + Span::from_s(1)).expect("added");
            for (local, peer, other) in
                [("10.9.0.1", "10.9.0.2", "10.9.0.3"), ("fd00::1", "fd00::2", "fd00::3")]
            {
                let path = lan(local, peer).expect("a path");
                assert!(matches!(lan(local, peer), Err(OpenError::Refused { errno: Errno::EADDRINUSE, .. })));
                let to = SocketAddr::new(local.parse().expect("an address"), 694);
                let (peer, other): (IpAddr, IpAddr) = (peer.parse().expect("ip"), other.parse().expect("ip"));
                stranger.run(move || {
                    let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
                    let prefix = if other.is_ipv4() { 24 } else { 64 };
                    addresses
                        .add(&[address(&format!("{other}/{prefix}@far"))], now() + Span::from_s(1))
                        .expect("added");
                    for (from, bytes) in [(other, b"stranger"), (peer, b"the peer")] {
                        let socket = std::net::UdpSocket::bind((from, 694)).expect("bound");
                        socket.send_to(bytes, to).expect("sent");
                    }
                });
                assert_eq!(receive(&path), b"the peer");
                let tos = if peer.is_ipv4() {
                    getsockopt(&path, sockopt::Ipv4Tos)
                } else {
                    getsockopt(&path, sockopt::Ipv6TClass)
                };
                assert_eq!(tos, Ok(LOW_DELAY));
                assert_eq!(getsockopt(&path, sockopt::Priority), Ok(PRIORITY_INTERACTIVE));
            }
        });
    }

    #[test]
    fn a_peer_whose_daemon_is_down_is_a_harmless_errno() {
        in_namespace(|| {
            let _stranger = Stranger::behind("near");
            let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
            addresses.add(&[address("10.9.0.1/24@near")], now() + Span::from_s(1)).expect("added");
            let path = lan("10.9.0.1", "10.9.0.2").expect("a path");
            assert_eq!(send(path.as_raw_fd(), b"beat", MsgFlags::empty()), Ok(4));
            wait_for(&path);
            assert_eq!(send(path.as_raw_fd(), b"beat", MsgFlags::empty()), Err(Errno::ECONNREFUSED));
            assert_eq!(send(path.as_raw_fd(), b"beat", MsgFlags::empty()), Ok(4), "the second try leaves");
        });
    }

    fn wait_for(path: &OwnedFd) {
        use nix::poll::{PollFd, PollFlags, poll};
        assert_eq!(poll(&mut [PollFd::new(path.as_fd(), PollFlags::POLLIN)], 30_000u16), Ok(1));
    }

    fn receive(path: &OwnedFd) -> Vec<u8> {
        wait_for(path);
        let mut bytes = [0; 64];
        let length = recv(path.as_raw_fd(), &mut bytes, MsgFlags::empty()).expect("a datagram");
        bytes[..length].to_vec()
    }
}
