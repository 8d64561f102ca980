//! `crosswire upgrade`: has the running daemon executed anew in its place, from a new file or from the one
//! that is there, and shows what became of it.
//!
//! The file comes to where the daemon was started from, which it looks at itself: the daemon is told nothing
//! but a signal. `placed.rs` puts it there, and takes it back if the daemon refuses it.
//!
//! Of all commands that tell the daemon such a thing one runs at a time: it has a lock from before it puts
//! anything anywhere until everything is settled. Before that it settles what a command has left that was
//! killed, as soon as the daemon has answered that one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use nix::unistd::Uid;

use super::option::{operand, option, options};
use super::placed::Placed;
use super::reload::{Asked, Order, asked_for};
use crate::guard::UPGRADE;
use crate::guard::carried::UNREADABLE;
use crate::guard::program::{open_program, program_of};
use crate::operator::control::DEFAULT_RUN_DIR;
use crate::operator::exit::{Exit, complain};

options! {
    /// Go on in place with a new binary, or with the configuration read afresh; nothing moves
    pub struct UpgradeOptions("upgrade") {
        /// Where the daemon's control socket is
        run_dir: PathBuf = option("--run-dir", "DIR").or(DEFAULT_RUN_DIR),
        /// The new binary; without it what stands where the daemon was started from
        file: Option<PathBuf> = operand("FILE").optional(),
    }
}

const ORDER: Order = Order {
    signal: UPGRADE,
    name: "upgrade",
    // The rehearsal, the wait for rest, and the start of another agent take less.
    patience: Duration::from_secs(60),
    is_seen_in: runs_what_stands_there,
};
/// In the run directory: what was put in the daemon's place, until that is settled.
const NOTE: &str = "placed";
/// The next agent answers within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So far into a program its machine is named (elf(5)).
const HEAD_BYTES: u64 = 20;

/// Puts the file in its place, asks, waits, and shows.
pub fn run(options: &UpgradeOptions, out: &mut impl Write) -> Exit {
    if !Uid::effective().is_root() {
        return complain(Exit::NotAllowed, false, &"only root upgrades the daemon");
    }
    let daemon = match asked_for(&options.run_dir, &ORDER) {
        Ok(daemon) => daemon,
        Err(exit) => return exit,
    };
    let refused = |why: &str| complain(Exit::Refused, false, &format_args!("{why}: nothing is changed"));
    if !knows_upgrades(daemon.pid) {
        return refused("the daemon that runs cannot be upgraded in place: stop and start it");
    }
    let note = options.run_dir.join(NOTE);
    if let Err(why) = Placed::settle_left(&note, || runs_what_stands_there(daemon.pid)) {
        let _ = complain(Exit::Refused, false, &format_args!("an upgrade that was cut short: {why}"));
    }
    let placed = match options.file.as_deref().map(|file| place(file, daemon.pid, &note)).transpose() {
        Ok(placed) => placed.flatten(),
        Err(why) => return refused(&why),
    };
    let exit = daemon.ask(&ORDER, out);
    let has_begun = exit != Exit::Done || has_begun(&daemon);
    let settled = placed.map_or(Ok(()), |placed| placed.settle(exit == Exit::Done));
    match settled {
        Err(why) => complain(exit, false, &why),
        Ok(()) if !has_begun => {
            complain(Exit::Hangs, false, &"its agent does not answer yet: see status and the log")
        }
        Ok(()) => exit,
    }
}

fn has_begun(daemon: &Asked) -> bool {
    let start = Instant::now();
    while !daemon.is_replaced() {
        if start.elapsed() > ANSWERS_WITHIN {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

/// Whether a process executes what stands by now where it was started from.
fn runs_what_stands_there(pid: i32) -> bool {
    let exe = exe_of(pid);
    let there = program_of(&exe).and_then(fs::read);
    there.is_ok_and(|there| fs::read(&exe).is_ok_and(|own| own == there))
}

fn exe_of(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}

/// Whether a daemon waits for that signal; any other one would ignore it.
fn knows_upgrades(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    blocked.is_some_and(|bits| bits >> (UPGRADE as i32 - 1) & 1 == 1)
}

/// Puts the file where the daemon was started from, if it is one of ours for this machine. None if it stands
/// there already.
fn place(file: &Path, pid: i32, note: &Path) -> Result<Option<Placed>, String> {
    let of = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let read = |opened: File, most: u64| {
        let mut bytes = Vec::new();
        opened.take(most).read_to_end(&mut bytes).map(|_| bytes)
    };
    let exe = exe_of(pid);
    let path = program_of(&exe).map_err(|error| of(&exe, error))?;
    let own = File::open(&exe).and_then(|exe| read(exe, HEAD_BYTES)).map_err(|error| of(&exe, error))?;
    let new = open_program(file).and_then(|file| read(file, u64::MAX)).map_err(|error| of(file, error))?;
    // Magic, class and byte order, and the machine.
    let is_for_machine = own.get(..6) == new.get(..6) && own.get(18..20) == new.get(18..20);
    let mut texts = new.windows(UNREADABLE.len());
    if !is_for_machine || !texts.any(|text| text == UNREADABLE.as_bytes()) {
        return Err(format!("{} is no crosswire for this machine that can go on in place", file.display()));
    }
    // What was kept before that program stays kept.
    if fs::read(&path).is_ok_and(|now| now == new) {
        return Ok(None);
    }
    // From here on nobody interrupts: what was put in its place may have to be taken back.
    let _ = SigSet::all().thread_block();
    Placed::put(&path, &new, note).map(Some).map_err(|error| of(&path, error))
}
