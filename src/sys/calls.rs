//! Which system calls the agent may still make (seccomp(2), filters since Linux 3.5): those that it makes.
//! Whoever takes it over by what it parses reaches no other part of the kernel.
//!
//! A call that is not allowed fails with `EPERM`, and the agent goes on without it. Where assertions are
//! compiled in it ends the process instead: the tests of real processes show which call is missing here.

use core::ffi::c_long;

use nix::errno::Errno;
use nix::libc;

use crate::gather::Gather;

/// What the agent calls, with glibc and with musl.
const ALLOWED: &[c_long] = &[
    // Bytes: paths, the guard, operators, the log, the kernel's tables.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_ioctl,
    #[cfg(not(target_arch = "mips"))]
    libc::SYS_pread64,
    #[cfg(target_arch = "mips")]
    4200,
    // Descriptors: what the guard or an operator hands over, and the addresses of this box.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // Waiting, and what time it is.
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_futex,
    #[cfg(not(target_arch = "aarch64"))]
    libc::SYS_poll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    #[cfg(target_pointer_width = "64")]
    libc::SYS_mmap,
    // The end, and how a panic gets there.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    // Where `long` has 32 bits: offsets of 64, and times of 64 (clock_gettime64, clock_nanosleep_time64,
    // ppoll_time64, futex_time64).
    #[cfg(target_pointer_width = "32")]
    libc::SYS_fcntl64,
    #[cfg(target_pointer_width = "32")]
    libc::SYS_mmap2,
    #[cfg(target_pointer_width = "32")]
    libc::SYS_sigreturn,
    #[cfg(target_pointer_width = "32")]
    wide(403),
    #[cfg(target_pointer_width = "32")]
    wide(407),
    #[cfg(target_pointer_width = "32")]
    wide(414),
    #[cfg(target_pointer_width = "32")]
    wide(422),
];

/// A call with times of 64 bits by its number, which is the same on all machines but for where they begin.
#[cfg(target_pointer_width = "32")]
const fn wide(number: c_long) -> c_long {
    if cfg!(target_arch = "mips") { 4000 + number } else { number }
}

/// `AUDIT_ARCH_..` of linux/audit.h: to a process of another kind the numbers mean other calls.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else if cfg!(target_arch = "x86") {
    0x4000_0003
} else if cfg!(target_arch = "arm") {
    0x4000_0028
} else if cfg!(all(target_arch = "mips", target_endian = "little")) {
    0x4000_0008
} else if cfg!(target_arch = "mips") {
    0x0000_0008
} else {
    panic!("this machine's AUDIT_ARCH is missing here")
};

/// Offsets in `struct seccomp_data`; of the first argument the low half.
const NUMBER_AT: u32 = 0;
const MACHINE_AT: u32 = 4;
const FIRST_ARGUMENT_AT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const EQUALS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const REFUSED: u32 = if cfg!(debug_assertions) {
    libc::SECCOMP_RET_KILL_PROCESS
} else {
    libc::SECCOMP_RET_ERRNO | libc::EPERM as u32
};

/// Allows this process nothing but what the agent calls, for good. It needs `no_new_privs`.
///
/// # Errors
/// `EINVAL` where the kernel has no filters.
pub fn restrict() -> nix::Result<()> {
    let mut filter = program().gather();
    let length = u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, and all that it points to outlives the call.
    let done =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
    Errno::result(done).map(drop)
}

/// The filter: the right kind of process, then one comparison for each call. Of sockets only those are made
/// that ask the kernel for addresses.
fn program() -> impl Iterator<Item = libc::sock_filter> {
    let allow = op(RETURN, libc::SECCOMP_RET_ALLOW);
    let refuse = op(RETURN, REFUSED);
    let begin = [op(LOAD, MACHINE_AT), skip_if(MACHINE), refuse, op(LOAD, NUMBER_AT)];
    let all = ALLOWED.iter().chain(calls_of_old_kernels());
    let calls = all.flat_map(move |call| [skip_unless(*call as u32), allow]);
    let socket = [
        skip_if(libc::SYS_socket as u32),
        refuse,
        op(LOAD, FIRST_ARGUMENT_AT),
        skip_unless(libc::AF_NETLINK as u32),
        allow,
        refuse,
    ];
    begin.into_iter().chain(calls).chain(socket)
}

/// On an x86 before Linux 4.3 all calls of sockets are one, which is allowed whole.
fn calls_of_old_kernels() -> &'static [c_long] {
    #[cfg(target_arch = "x86")]
    {
        // SAFETY: no socket has the domain -1; the call touches no memory.
        let is_one =
            unsafe { libc::syscall(libc::SYS_socket, -1, 0, 0) } < 0 && Errno::last() == Errno::ENOSYS;
        if is_one { &[libc::SYS_socketcall] } else { &[] }
    }
    #[cfg(not(target_arch = "x86"))]
    &[]
}

fn op(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips the next operation if what was loaded equals `k`.
fn skip_if(k: u32) -> libc::sock_filter {
    libc::sock_filter { jt: 1, ..op(EQUALS, k) }
}

/// Skips it if it does not.
fn skip_unless(k: u32) -> libc::sock_filter {
    libc::sock_filter { jf: 1, ..op(EQUALS, k) }
}
