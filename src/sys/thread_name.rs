//! Names a thread in the static build. musl's own `pthread_setname_np` can name other threads too, through a
//! file whose name it makes with `snprintf`: that alone would bring 7 KB of printf, with floats, into the
//! router's binary.

use std::ffi::{c_char, c_int};

use nix::libc;

/// Names the calling thread, as the standard library and ctrlc do, and as pthread_setname_np(3) says.
///
/// # Safety
/// `name` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setname_np(_calling: libc::pthread_t, name: *const c_char) -> c_int {
    // SAFETY: the kernel reads at most 16 bytes of a string, which the caller gives.
    unsafe { libc::prctl(libc::PR_SET_NAME, name) }
}
