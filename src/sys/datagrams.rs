//! Datagrams, many with one system call: received with the address that each was sent to, and answered from
//! that address, so that a box with several is never heard from another one than was asked.
//!
//! recvmmsg(2) is there from Linux 2.6.33 on, sendmmsg(2) from 3.0 on. Nothing is allocated after
//! [`Batch::new`], and nothing waits.

use std::mem::zeroed;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

/// How many datagrams at a time.
pub const BATCH: usize = 64;
/// Room for one; what is longer is cut.
pub const ROOM_BYTES: usize = 128;
/// Room for the address that a datagram was sent to: of either protocol.
const CONTROL_BYTES: usize = 64;

/// As aligned as a `cmsghdr` has to be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// One datagram, with where it came from and what it was sent to.
#[derive(Clone, Copy)]
struct Letter {
    bytes: [u8; ROOM_BYTES],
    length: usize,
    from: libc::sockaddr_storage,
    from_bytes: libc::socklen_t,
    control: Control,
    control_bytes: usize,
    is_answered: bool,
}

/// Room for [`BATCH`] datagrams.
pub struct Batch {
    letters: Box<[Letter]>,
    parts: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    count: usize,
}

impl Batch {
    /// Empty.
    pub fn new() -> Self {
        // SAFETY: these are plain numbers and pointers, for which all zeroes is a value.
        let (from, part, header): (libc::sockaddr_storage, libc::iovec, libc::mmsghdr) =
            unsafe { (zeroed(), zeroed(), zeroed()) };
        let control = Control([0; CONTROL_BYTES]);
        let letter = Letter {
            bytes: [0; ROOM_BYTES],
            length: 0,
            from,
            from_bytes: 0,
            control,
            control_bytes: 0,
            is_answered: false,
        };
        Self {
            letters: vec![letter; BATCH].into_boxed_slice(),
            parts: vec![part; BATCH].into_boxed_slice(),
            headers: vec![header; BATCH].into_boxed_slice(),
            count: 0,
        }
    }

    /// Receives what waits at the socket, in the place of what was here; returns how many.
    ///
    /// # Errors
    /// `EAGAIN` if nothing waits, and what else the kernel says.
    pub fn receive(&mut self, socket: &impl AsFd) -> nix::Result<usize> {
        self.count = 0;
        for index in 0..BATCH {
            let letter = &mut self.letters[index];
            letter.length = ROOM_BYTES;
            letter.from_bytes = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            letter.control_bytes = CONTROL_BYTES;
            letter.is_answered = false;
            self.point(index, index);
        }
        let (headers, length) = (self.headers.as_mut_ptr(), BATCH as libc::c_uint);
        let socket = socket.as_fd().as_raw_fd();
        // SAFETY: every header points to a letter and a part of ours, which nobody else uses until the call
        // returns; the kernel writes no more than the lengths beside the pointers say.
        let got =
            unsafe { libc::recvmmsg(socket, headers, length, libc::MSG_DONTWAIT as _, ptr::null_mut()) };
        self.count = usize::try_from(Errno::result(got)?).unwrap_or(0).min(BATCH);
        for (letter, header) in self.letters.iter_mut().zip(&self.headers).take(self.count) {
            letter.length = usize::try_from(header.msg_len).unwrap_or(0).min(ROOM_BYTES);
            letter.from_bytes = header.msg_hdr.msg_namelen;
            #[expect(clippy::useless_conversion, reason = "another C library counts them in 32 bits")]
            let control_bytes = usize::try_from(header.msg_hdr.msg_controllen).unwrap_or(0);
            letter.control_bytes = control_bytes.min(CONTROL_BYTES);
        }
        Ok(self.count)
    }

    /// The bytes of a datagram; none if there is no such.
    pub fn bytes(&self, index: usize) -> &[u8] {
        self.received(index).map_or(&[], |letter| &letter.bytes[..letter.length])
    }

    /// Where it came from.
    pub fn sender(&self, index: usize) -> Option<SocketAddr> {
        let letter = self.received(index)?;
        // SAFETY: the kernel has written an address of that many bytes there, and the room has more.
        let from =
            unsafe { SockaddrStorage::from_raw((&raw const letter.from).cast(), Some(letter.from_bytes)) }?;
        let v4 = from.as_sockaddr_in().map(|from| SocketAddr::V4((*from).into()));
        v4.or_else(|| from.as_sockaddr_in6().map(|from| SocketAddr::V6((*from).into())))
    }

    /// What is sent back to where the datagram came from, from where it was sent to.
    pub fn answer(&mut self, index: usize, bytes: &[u8]) {
        let is_there = index < self.count && bytes.len() <= ROOM_BYTES;
        debug_assert!(is_there, "an answer has a question, and room");
        if let Some(letter) = self.letters.get_mut(index).filter(|_| is_there) {
            letter.bytes[..bytes.len()].copy_from_slice(bytes);
            letter.length = bytes.len();
            letter.is_answered = true;
        }
    }

    /// Sends the answers, as far as the kernel takes them at once; returns how many it did not take.
    pub fn send(&mut self, socket: &impl AsFd) -> usize {
        let mut ready = 0;
        for index in 0..self.count {
            if self.letters[index].is_answered {
                self.letters[index].turn_round();
                self.point(ready, index);
                ready += 1;
            }
        }
        self.count = 0;
        let (mut sent, mut lost) = (0, 0);
        while sent < ready {
            match self.send_some(socket, sent, ready) {
                Ok(0) | Err(Errno::EAGAIN | Errno::ENOBUFS) => return lost + ready - sent,
                Ok(count) => sent += count,
                Err(Errno::EINTR) => {}
                // That one cannot be sent: no route, or an address that is gone.
                Err(_) => (sent, lost) = (sent + 1, lost + 1),
            }
        }
        lost
    }

    /// Sends from one header on to another; returns how many the kernel took.
    fn send_some(&mut self, socket: &impl AsFd, from: usize, to: usize) -> nix::Result<usize> {
        let headers = &mut self.headers[from..to];
        let length = libc::c_uint::try_from(headers.len()).map_err(|_| Errno::EINVAL)?;
        let (headers, socket) = (headers.as_mut_ptr(), socket.as_fd().as_raw_fd());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: every header points to a letter and a part of ours, which nobody else uses until the call
        // returns; the kernel reads no more than the lengths beside the pointers say.
        let sent = unsafe { libc::sendmmsg(socket, headers, length, flags as _) };
        Errno::result(sent).map(|sent| usize::try_from(sent).unwrap_or(0))
    }

    /// Has a header say where a letter is, and how long each part of it.
    fn point(&mut self, header: usize, letter: usize) {
        let (letter, part) = (&mut self.letters[letter], &mut self.parts[letter]);
        part.iov_base = letter.bytes.as_mut_ptr().cast();
        part.iov_len = letter.length;
        let header = &mut self.headers[header];
        header.msg_len = 0;
        header.msg_hdr.msg_name = (&raw mut letter.from).cast();
        header.msg_hdr.msg_namelen = letter.from_bytes;
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = letter.control.0.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = letter.control_bytes as _;
        header.msg_hdr.msg_flags = 0;
    }

    fn received(&self, index: usize) -> Option<&Letter> {
        self.letters.get(index).filter(|_| index < self.count)
    }
}

impl Letter {
    /// Makes what the datagram was sent to what its answer is sent from (ip(7) and ipv6(7), `IP_PKTINFO`).
    /// Out of which interface is left to the routes: they need not lead back the same way. A link-local
    /// address means nothing without its interface.
    fn turn_round(&mut self) {
        let Some((level, kind, data)) = self.control_message() else {
            self.control_bytes = 0;
            return;
        };
        let bytes = &mut self.control.0;
        let interface = match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(data),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if is_link_local(&bytes[data..]) => None,
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => Some(data + size_of::<libc::in6_addr>()),
            _ => None,
        };
        if let Some(index) = interface.and_then(|at| bytes.get_mut(at..at + size_of::<libc::c_int>())) {
            index.fill(0);
        }
    }

    /// Level and kind of the one message beside the datagram, and where its data begins.
    fn control_message(&self) -> Option<(libc::c_int, libc::c_int, usize)> {
        // SAFETY: reckons with numbers alone.
        let data = usize::try_from(unsafe { libc::CMSG_LEN(0) }).ok()?;
        if self.control_bytes < data + size_of::<libc::in_pktinfo>() {
            return None;
        }
        // SAFETY: the room is aligned for a cmsghdr and longer, and any bytes are one.
        let header = unsafe { ptr::read(self.control.0.as_ptr().cast::<libc::cmsghdr>()) };
        Some((header.cmsg_level, header.cmsg_type, data))
    }
}

/// fe80::/10 (RFC 4291, 2.5.6).
fn is_link_local(address: &[u8]) -> bool {
    matches!(address, [0xfe, second, ..] if second & 0xc0 == 0x80)
}
