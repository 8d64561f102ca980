//! The capabilities of this process (capabilities(7)).

use nix::errno::Errno;
use nix::libc;

/// The last capability that any kernel may have (two words of the set).
const MAX_CAPABILITY: libc::c_ulong = 63;
/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct` for this process.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`; the kernel takes two, low bits first.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Empties the bounding set: no program that is ever executed could get a capability back.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn clear_bounding_set() -> nix::Result<()> {
    for capability in 0..=MAX_CAPABILITY {
        // SAFETY: this prctl takes a number and touches no memory.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match Errno::result(done) {
            // Past the last one that this kernel knows.
            Err(Errno::EINVAL) => break,
            outcome => outcome.map(drop)?,
        }
    }
    Ok(())
}

/// Empties the effective, permitted and inheritable sets, and with them the ambient one.
///
/// # Errors
/// What the kernel says.
pub fn clear() -> nix::Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let none = [CapabilityWord::default(); 2];
    // SAFETY: header and data have the layout of capset(2), outlive the call, and are only read by it.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    Errno::result(done).map(drop)
}

/// Whatever capability we have in any set; all of them if the kernel does not say.
pub fn all() -> u64 {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut words = [CapabilityWord::default(); 2];
    // SAFETY: header and data have the layout of capget(2); the kernel writes at most two words of data.
    let done = unsafe { libc::syscall(libc::SYS_capget, &raw const header, words.as_mut_ptr()) };
    if done != 0 {
        return u64::MAX;
    }
    let [low, high] = words.map(|word| u64::from(word.effective | word.permitted | word.inheritable));
    low | high << 32
}
