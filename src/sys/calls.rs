//! Which system calls the agent may still make (seccomp(2), filters since Linux 3.5): those that it makes.
//! Whoever takes it over by what it parses reaches no other part of the kernel.
//!
//! A call that is not allowed fails with `EPERM`, and the agent goes on without it. Where assertions are
//! compiled in it ends the process instead: the tests of real processes show which call is missing here.

use core::ffi::c_long;

use nix::errno::Errno;
use nix::libc;

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
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_statx,
    // glibc binds the socket on which it asks for addresses.
    #[cfg(not(target_env = "musl"))]
    libc::SYS_bind,
    #[cfg(not(target_env = "musl"))]
    libc::SYS_getsockname,
    #[cfg(target_pointer_width = "64")]
    libc::SYS_fstat,
    #[cfg(target_pointer_width = "64")]
    libc::SYS_newfstatat,
    #[cfg(target_pointer_width = "32")]
    libc::SYS_fstat64,
    // Waiting, and what time it is.
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
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
    // Who we are, the end, and how a panic gets there.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    #[cfg(debug_assertions)]
    libc::SYS_sigaltstack,
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
    #[cfg(target_arch = "x86")]
    libc::SYS_socketcall,
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

/// The right kind of process, then one comparison for each call. Of sockets only those are made that ask a
/// voting witness, or the kernel for addresses; and none is connected.
const FILTER: [libc::sock_filter; ALLOWED.len() + 11] = {
    let calls = ALLOWED.len();
    let mut filter = [op(RETURN, REFUSED); ALLOWED.len() + 11];
    filter[0] = op(LOAD, MACHINE_AT);
    filter[1] = jump(MACHINE, 1, 0);
    filter[3] = op(LOAD, NUMBER_AT);
    let mut at = 0;
    while at < calls {
        filter[4 + at] = jump(ALLOWED[at] as u32, calls + 5 - at, 0);
        at += 1;
    }
    filter[calls + 4] = jump(libc::SYS_socket as u32, 0, 4);
    filter[calls + 5] = op(LOAD, FIRST_ARGUMENT_AT);
    filter[calls + 6] = jump(libc::AF_INET as u32, 3, 0);
    filter[calls + 7] = jump(libc::AF_INET6 as u32, 2, 0);
    filter[calls + 8] = jump(libc::AF_NETLINK as u32, 1, 0);
    filter[calls + 10] = op(RETURN, libc::SECCOMP_RET_ALLOW);
    filter
};

const fn op(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Skips so many operations if what was loaded equals `k`, and so many if not.
const fn jump(k: u32, if_equal: usize, if_not: u8) -> libc::sock_filter {
    assert!(if_equal <= 255, "a jump reaches no further");
    libc::sock_filter { code: EQUALS as u16, jt: if_equal as u8, jf: if_not, k }
}

/// Allows this process nothing but what the agent calls, for good. It needs `no_new_privs`.
///
/// # Errors
/// `EINVAL` where the kernel has no filters.
pub fn restrict() -> nix::Result<()> {
    let mut filter = FILTER;
    #[cfg(target_arch = "x86")]
    if has_calls_for_sockets() {
        let is_socketcall =
            |op: &&mut libc::sock_filter| op.code == EQUALS as u16 && op.k == libc::SYS_socketcall as u32;
        filter.iter_mut().find(is_socketcall).into_iter().for_each(|op| op.k = libc::SYS_exit as u32);
    }
    let program = libc::sock_fprog { len: FILTER.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, and all that it points to outlives the call.
    let done =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
    Errno::result(done).map(drop)
}

/// Before Linux 4.3 all calls of sockets are one here, which is then allowed whole.
#[cfg(target_arch = "x86")]
fn has_calls_for_sockets() -> bool {
    // SAFETY: no socket has the domain -1; the call touches no memory.
    let made = unsafe { libc::syscall(libc::SYS_socket, -1, 0, 0) };
    made >= 0 || Errno::last() != Errno::ENOSYS
}
