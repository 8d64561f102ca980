//! Modem lines for the laboratory's cable: a pseudo-terminal has none, so this answers the system calls that
//! ask for them.
//!
//! Each process of a node runs under a filter that hands `ioctl(2)` for lines, UART, counters and what waits
//! to be sent to this thread (seccomp_unotify(2), Linux 5.5) and lets everything else through. So the shipped
//! program raises and reads its lines by the calls that it makes on a real port; only the driver is ours.
//! Lines drop when the last process that set them is gone, as under HUPCL; only a real driver can show that
//! drivers do so.

use std::fs::{self, File};
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crosswire::pair::Side;
use nix::errno::Errno;
use nix::libc::{self, c_int, c_void};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::cable::{Cable, Queues};
use super::worker::{Bell, Worker};

const DTR: c_int = libc::TIOCM_DTR;
const RTS: c_int = libc::TIOCM_RTS;
/// `serial_struct`: `type`, and where `baud_base` is.
const UART_16550A: c_int = 4;
const BAUD_BASE_AT: u64 = 28;
/// `serial_icounter_struct`: where the count of framing errors is.
const FRAME_AT: u64 = 24;
/// The requests that are answered here.
const REQUESTS: [u32; 7] = [
    libc::TIOCOUTQ as u32,
    libc::TIOCMGET as u32,
    libc::TIOCMSET as u32,
    libc::TIOCMBIS as u32,
    libc::TIOCMBIC as u32,
    libc::TIOCGSERIAL as u32,
    libc::TIOCGICOUNT as u32,
];

/// How the line pins of the two plugs are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wiring {
    /// Three wires: every line input reads off.
    Three,
    /// A full null modem: DTR to DSR and DCD, RTS to CTS, both ways.
    #[default]
    Full,
    /// Full, but the lines of one side only reach the other.
    Only(Side),
    /// Full, but RTS reaches nobody's CTS.
    WithoutCts,
    /// Three wires; each plug leads its own outputs back.
    Bridged,
}

#[derive(Default)]
struct State {
    wiring: Wiring,
    is_unplugged: bool,
    /// By side: what it drives.
    outputs: [c_int; 2],
    /// By side: who set its outputs last.
    owners: [Option<u32>; 2],
    framing_errors: u32,
}

impl State {
    fn drives(&self, side: Side) -> c_int {
        self.outputs[side.index()]
    }

    /// What the port of `side` shows.
    fn shown_at(&self, side: Side) -> c_int {
        let own = self.drives(side);
        let source = match self.wiring {
            Wiring::Bridged => own,
            _ if self.is_unplugged => 0,
            Wiring::Three => 0,
            Wiring::Full => self.drives(side.peer()),
            Wiring::WithoutCts => self.drives(side.peer()) & DTR,
            Wiring::Only(from) => {
                if from == side {
                    0
                } else {
                    self.drives(from)
                }
            }
        };
        let dtr = if source & DTR == 0 { 0 } else { libc::TIOCM_DSR | libc::TIOCM_CAR };
        let rts = if source & RTS == 0 { 0 } else { libc::TIOCM_CTS };
        own | dtr | rts
    }
}

/// The line wires of a cable.
pub struct Modem {
    state: Arc<Mutex<State>>,
    /// Device numbers of the two ports.
    devices: [u64; 2],
    queues: Queues,
    workers: Mutex<Vec<Worker>>,
}

impl Modem {
    /// Line wires of this cable.
    ///
    /// # Errors
    /// If a port is not there.
    pub fn new(cable: &Cable, wiring: Wiring) -> io::Result<Self> {
        let [a, b] =
            [Side::A, Side::B].map(|side| fs::metadata(cable.device(side)).map(|found| found.rdev()));
        let devices = [a?, b?];
        let state = Arc::new(Mutex::new(State { wiring, ..State::default() }));
        Ok(Self { state, devices, queues: cable.queues(), workers: Mutex::new(Vec::new()) })
    }

    /// Rewires the lines.
    pub fn rewire(&self, wiring: Wiring) {
        lock(&self.state).wiring = wiring;
    }

    /// Pulls or plugs a plug: the far end's lines are gone or back.
    pub fn set_plugged(&self, is_plugged: bool) {
        lock(&self.state).is_unplugged = !is_plugged;
    }

    /// A box without power drives nothing.
    pub fn drop_outputs(&self, side: Side) {
        let mut state = lock(&self.state);
        (state.outputs[side.index()], state.owners[side.index()]) = (0, None);
    }

    /// Another program opens the port: the kernel raises both outputs, whoever has it open already.
    pub fn open_beside(&self, side: Side) {
        lock(&self.state).outputs[side.index()] |= DTR | RTS;
    }

    /// What the port of `side` shows: outputs and inputs.
    pub fn shown_at(&self, side: Side) -> c_int {
        lock(&self.state).shown_at(side)
    }

    /// Bytes with a broken stop bit that both ports claim to have counted.
    pub fn set_framing_errors(&self, count: u32) {
        lock(&self.state).framing_errors = count;
    }

    /// Gives lines to the ports that `command`, and whatever it starts, will open.
    ///
    /// # Errors
    /// The kernel's.
    pub fn attach(&self, command: &mut Command) -> io::Result<()> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: the closure makes two system calls on memory of its own and allocates nothing, as is
        // allowed between fork and exec.
        unsafe { command.pre_exec(move || send_descriptor(theirs.as_raw_fd(), install_filter()?)) };
        let driver =
            Driver { state: Arc::clone(&self.state), devices: self.devices, queues: self.queues.clone() };
        let worker = Worker::start("modem", move |bell| driver.serve(&ours, bell))?;
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
        Ok(())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The filter: is it ioctl, and one of [`REQUESTS`]? Returns the listener.
fn install_filter() -> io::Result<RawFd> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // struct seccomp_data: nr at 0; the low half of args[1] at 24 (little-endian).
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let [queue, get, put, raise, drop, uart, counts] = REQUESTS;
    let mut program = [
        op(LOAD, 0, 0, 0),
        op(EQUAL, 0, 8, libc::SYS_ioctl as u32),
        op(LOAD, 0, 0, 24),
        op(EQUAL, 7, 0, queue),
        op(EQUAL, 6, 0, get),
        op(EQUAL, 5, 0, put),
        op(EQUAL, 4, 0, raise),
        op(EQUAL, 3, 0, drop),
        op(EQUAL, 2, 0, uart),
        op(EQUAL, 1, 0, counts),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        op(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: seccomp(2) reads the program, which outlives the call.
    let listener = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    if listener < 0 { Err(io::Error::last_os_error()) } else { Ok(listener as RawFd) }
}

/// sendmsg(2) with `SCM_RIGHTS`, without allocating.
fn send_descriptor(socket: RawFd, descriptor: RawFd) -> io::Result<()> {
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // Room for one header and one descriptor, aligned as a header.
    let mut control = [0u64; 4];
    // SAFETY: msghdr is numbers and pointers, for which zeroes are a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: only arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
    // SAFETY: the control buffer has room for the header.
    let header = unsafe { &mut *libc::CMSG_FIRSTHDR(&raw const message) };
    (header.cmsg_level, header.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    // SAFETY: only arithmetic.
    header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as u32) } as _;
    // SAFETY: the data follows the header inside the control buffer, which has room for it.
    unsafe { libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor) };
    // SAFETY: the message and all that it points to are alive.
    if unsafe { libc::sendmsg(socket, &raw const message, 0) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Waits for the listener of the process that was started; `None` if it never was.
fn receive_listener(socket: &OwnedFd, bell: &Bell) -> Option<OwnedFd> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut polled =
        [PollFd::new(bell.as_fd(), PollFlags::POLLIN), PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    while poll(&mut polled, PollTimeout::NONE) == Err(Errno::EINTR) {}
    let mut byte = [0];
    let mut parts = [io::IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
    let descriptor = message.cmsgs().ok()?.find_map(|part| match part {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    })?;
    // SAFETY: the kernel made this descriptor for us with this message, and nobody else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The driver of both ports, as far as it is asked.
struct Driver {
    state: Arc<Mutex<State>>,
    devices: [u64; 2],
    queues: Queues,
}

/// How often the thread checks whether the process that set a line still lives, if nothing else happens.
const REAPS_EVERY_MS: u8 = 2;

impl Driver {
    /// The thread: answers until the last process under the filter is gone.
    fn serve(&self, socket: &OwnedFd, bell: &Bell) {
        let Some(listener) = receive_listener(socket, bell) else { return };
        super::clock::go_first();
        loop {
            let mut polled = [
                PollFd::new(bell.as_fd(), PollFlags::POLLIN),
                PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            ];
            let ready = poll(&mut polled, PollTimeout::from(REAPS_EVERY_MS));
            let seen = |index: usize| polled[index].revents().unwrap_or(PollFlags::empty());
            if seen(0).contains(PollFlags::POLLIN) && bell.answered() {
                return;
            }
            if ready == Ok(0) || seen(1).contains(PollFlags::POLLHUP) {
                self.drop_lines_of_the_dead();
            }
            if seen(1).contains(PollFlags::POLLIN) {
                self.answer(&listener);
            } else if seen(1).contains(PollFlags::POLLHUP) {
                return;
            }
        }
    }

    /// What HUPCL does: a port that nobody has open any more drops its lines.
    fn drop_lines_of_the_dead(&self) {
        let (state, devices) = (&self.state, &self.devices);
        for side in [Side::A, Side::B] {
            let owner = lock(state).owners[side.index()];
            let Some(owner) = owner.filter(|pid| !is_open_in(*pid, devices, side)) else { continue };
            let others = super::process::all_processes().unwrap_or_default();
            let own = nix::unistd::getpid();
            let mut others = others
                .iter()
                .filter(|process| process.pid != own)
                .map(|process| process.pid.as_raw().cast_unsigned());
            if let Some(heir) = others.find(|pid| is_open_in(*pid, devices, side)) {
                lock(state).owners[side.index()] = Some(heir);
                continue;
            }
            let mut state = lock(state);
            if state.owners[side.index()] == Some(owner) {
                (state.outputs[side.index()], state.owners[side.index()]) = (0, None);
            }
        }
    }

    /// Takes one call and answers it.
    fn answer(&self, listener: &OwnedFd) {
        let mut asked = MaybeUninit::<libc::seccomp_notif>::zeroed();
        // SAFETY: SECCOMP_IOCTL_NOTIF_RECV writes one seccomp_notif, to which the pointer is; it is zeroed,
        // as it must be.
        if unsafe {
            libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, asked.as_mut_ptr())
        } < 0
        {
            return;
        }
        // SAFETY: plain numbers, for which zeroes are a value, and the kernel has filled them in.
        let asked = unsafe { asked.assume_init() };
        let error = self.carry_out(listener, &asked).err().map_or(0, |errno| -(errno as c_int));
        let reply = libc::seccomp_notif_resp { id: asked.id, val: 0, error, flags: 0 };
        // SAFETY: SECCOMP_IOCTL_NOTIF_SEND reads one seccomp_notif_resp. It fails only if the caller is dead.
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const reply) };
    }

    fn carry_out(&self, listener: &OwnedFd, asked: &libc::seccomp_notif) -> Result<(), Errno> {
        let [fd, request, argument, ..] = asked.data.args;
        let port = fs::metadata(format!("/proc/{}/fd/{fd}", asked.pid)).map_err(|_| Errno::EBADF)?.rdev();
        let side = [Side::A, Side::B]
            .into_iter()
            .find(|side| self.devices[side.index()] == port)
            .ok_or(Errno::ENOTTY)?;
        let memory = File::options().read(true).write(true).open(format!("/proc/{}/mem", asked.pid));
        let memory = memory.map_err(|_| Errno::EFAULT)?;
        is_alive(listener, asked.id)?;
        let read_bits = || {
            let mut bytes = [0; 4];
            memory.read_exact_at(&mut bytes, argument).map_err(|_| Errno::EFAULT)?;
            Ok(c_int::from_ne_bytes(bytes) & (DTR | RTS))
        };
        let write =
            |at: u64, value: c_int| memory.write_all_at(&value.to_ne_bytes(), at).map_err(|_| Errno::EFAULT);
        if request as u32 as libc::Ioctl == libc::TIOCOUTQ {
            return write(argument, self.queues.of(side));
        }
        let mut state = lock(&self.state);
        let set = |state: &mut State, bits| {
            state.outputs[side.index()] = bits;
            state.owners[side.index()] = Some(asked.pid);
        };
        let driven = state.drives(side);
        match request as u32 as libc::Ioctl {
            libc::TIOCMGET => write(argument, state.shown_at(side))?,
            libc::TIOCMSET => set(&mut state, read_bits()?),
            libc::TIOCMBIS => set(&mut state, driven | read_bits()?),
            libc::TIOCMBIC => set(&mut state, driven & !read_bits()?),
            libc::TIOCGSERIAL => {
                write(argument, UART_16550A)?;
                write(argument + BAUD_BASE_AT, 115_200)?;
            }
            libc::TIOCGICOUNT => write(argument + FRAME_AT, state.framing_errors.cast_signed())?,
            _ => return Err(Errno::ENOTTY),
        }
        Ok(())
    }
}

fn is_open_in(pid: u32, devices: &[u64; 2], side: Side) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten()
        .any(|entry| fs::metadata(entry.path()).is_ok_and(|found| found.rdev() == devices[side.index()]))
}

/// Fails if the call waits no more: its process number may be another's by then.
fn is_alive(listener: &OwnedFd, id: u64) -> Result<(), Errno> {
    let id: *const u64 = &raw const id;
    // SAFETY: SECCOMP_IOCTL_NOTIF_ID_VALID reads one u64.
    let valid = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _, id.cast::<c_void>())
    };
    if valid < 0 { Err(Errno::ENOENT) } else { Ok(()) }
}
