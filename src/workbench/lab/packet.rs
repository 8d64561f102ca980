//! The switch's hold on an interface: a packet socket at one end, no offloads at the other.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};

use super::stamp::stamp;

/// All protocols (linux/if_ether.h).
const ETH_P_ALL: u16 = 3;
/// Do not hear what we send ourselves (linux/if_packet.h, since Linux 4.20).
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
/// Offloads that let a kernel hand out frames with empty checksums or beyond the MTU (linux/ethtool.h):
/// transmit checksums, TCP segmentation, generic segmentation.
const ETHTOOL_OFFLOADS: [u32; 3] = [0x17, 0x1f, 0x24];
/// linux/sockios.h
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Room for bursts: thousands of frames, should the switch be kept waiting.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A socket that hears and sends whole frames on an interface of the calling thread's namespace.
///
/// # Errors
/// The kernel's: EPERM without CAP_NET_RAW, ENODEV without such an interface.
pub fn open_packet_socket(index: u32) -> io::Result<OwnedFd> {
    // Protocol 0 hears nothing until it is bound, so no frame of another interface slips in.
    let fd =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    let yes: libc::c_int = 1;
    // SAFETY: setsockopt(2) reads one int that lives until it returns.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_IGNORE_OUTGOING,
            (&raw const yes).cast(),
            size_of_val(&yes) as _,
        )
    };
    Errno::result(done)?;
    stamp(&fd)?;
    // Beyond the system's limit only if we may.
    let _ = setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)
        .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES));
    // SAFETY: sockaddr_ll is plain integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as _;
    address.sll_protocol = ETH_P_ALL.to_be();
    address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    // SAFETY: bind(2) reads one sockaddr_ll that lives until it returns.
    let done = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as _) };
    Errno::result(done)?;
    Ok(fd)
}

/// Makes the kernel finish frames itself before they leave interface `name` of the calling thread's
/// namespace.
///
/// # Errors
/// The kernel's: ENODEV without such an interface, EINVAL for a name that is too long.
pub fn without_offloads(name: &str) -> io::Result<()> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    for command in ETHTOOL_OFFLOADS {
        let mut value = EthtoolValue { command, data: 0 };
        // SAFETY: ifreq is plain integers and a union of such, for which zero is a value.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        // One byte stays zero: the name ends there.
        if name.len() >= request.ifr_name.len() {
            return Err(Errno::EINVAL.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: SIOCETHTOOL reads an ifreq and, behind its data pointer, an ethtool_value for these
        // commands; both live until it returns.
        let done = unsafe { libc::ioctl(fd.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
        Errno::result(done)?;
    }
    Ok(())
}
