//! What makes certain that a node holds nothing: the watchdog of this box, and the fences of the peer's.

use std::path::PathBuf;

use crosswire::time::Span;

/// The hardware that resets this box when nobody pets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watchdog {
    /// `/dev/watchdog`
    pub device: PathBuf,
    /// What the driver is asked for, in whole seconds; it may set another timeout.
    pub timeout: Span,
}

/// A way of making certain that the peer holds nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fence {
    /// What is done.
    pub method: FenceMethod,
    /// Longest that it may take.
    pub timeout: Span,
}

/// How a fence works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FenceMethod {
    /// A program that knows a power switch.
    Program {
        /// `/usr/sbin/fence_apc`
        program: PathBuf,
        /// How it is called.
        convention: Convention,
        /// What to do to the peer.
        action: FenceAction,
        /// `KEY=VALUE`, those of the peer included.
        options: Vec<String>,
    },
    /// BREAK and `b` on a serial port on which the peer's console listens
    /// (Documentation/admin-guide/sysrq.rst).
    SysRq {
        /// The port.
        port: PathBuf,
        /// Its speed.
        baud: u32,
    },
    /// A pulse on an output line of a serial port that is wired to the peer's reset.
    ResetCable {
        /// The port.
        port: PathBuf,
        /// Which output is dropped, while the other one stays up.
        pulse: ModemLine,
        /// Which input falls when the peer resets.
        sense: ModemLine,
    },
}

/// How a fencing program is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Convention {
    /// fence-agents: `KEY=VALUE` lines on the standard input (FenceAgentAPI.md of ClusterLabs).
    FenceAgent,
    /// cluster-glue, `external/*`: the action and the node as arguments, options in the environment.
    ClusterGlue,
}

/// What a fencing program does to the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FenceAction {
    /// Off and on again.
    Reboot,
    /// Off, until somebody switches it on.
    Off,
}

/// A modem line of a serial port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModemLine {
    /// Request to send (out).
    Rts,
    /// Data terminal ready (out).
    Dtr,
    /// Data set ready (in).
    Dsr,
    /// Carrier detect (in).
    Dcd,
    /// Clear to send (in).
    Cts,
}
