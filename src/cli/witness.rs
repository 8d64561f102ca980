//! `crosswire witness`: the daemon of the voting witness.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use crosswire::vote::grants::Office;
use log::{error, info, warn};
use nix::sys::prctl::set_dumpable;
use nix::unistd::chdir;

use super::entropy::draw_entropy;
use super::option::{flag, option, options};
use super::run::{forget_the_caller, go_into_background};
use crate::guard::run_dir::lock::{Lock, PidRoom};
use crate::operator::exit::{Exit, complain, complain_of};
use crate::settings::ConfigError;
use crate::witness::keeper::{self, Keeper};
use crate::witness::key_files::KeySet;
use crate::witness::socket;
use crate::{logger, private};

options! {
    /// Run the voting witness of other pairs, on a third box
    pub struct WitnessOptions("witness") {
        /// Directory of the pairs' witness keys, a file each: see keygen --witness
        keys: PathBuf = option("--keys", "DIR").or("/etc/crosswire/witness-keys"),
        /// Address to be asked at (default: all addresses of the box, UDP port 1694)
        listen: Option<String> = option("--listen", "ADDR:PORT"),
        /// Where the pid file goes
        run_dir: PathBuf = option("--run-dir", "DIR").or("/run/crosswire-witness"),
        /// Stay in the foreground and log to stderr too (under systemd to stderr alone)
        foreground: bool = flag("--foreground"),
        /// Only say how many pairs have keys, or what is wrong with them
        check: bool = flag("--check"),
    }
}

/// What was opened while there was still a terminal to complain to.
struct Started {
    lock: Lock,
    pid_room: PidRoom,
    sockets: Vec<OwnedFd>,
}

/// Runs until it is told to stop. What is wrong with a key file is said before it goes into the background;
/// the other pairs are served all the same.
pub fn run(options: &WitnessOptions) -> ExitCode {
    forget_the_caller(&mut []);
    let options = &options.made_absolute();
    let address = match options.listen.as_deref().map(socket::parse).transpose() {
        Ok(address) => address,
        Err(line) => return complain(Exit::Usage, false, &format_args!("crosswire: {line}")).into(),
    };
    let (keys, findings) = KeySet::read(&options.keys);
    if keys.pairs.is_empty() || options.check {
        if findings.is_empty() {
            // A reader that has gone away cannot be told.
            let _ = writeln!(std::io::stdout(), "OK: keys of {} pairs.", keys.pairs.len());
            return Exit::Done.into();
        }
        return complain_of(&findings).into();
    }
    match start(options, address) {
        Ok(started) => live(options, keys, &findings, started),
        Err(line) => complain(Exit::Refused, false, &format_args!("crosswire: {line}")).into(),
    }
}

impl WitnessOptions {
    /// The options with full paths, since the daemon goes to the root directory.
    fn made_absolute(&self) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let there = Self { keys: absolute(&self.keys), run_dir: absolute(&self.run_dir), ..self.clone() };
        let _ = chdir(c"/");
        there
    }
}

fn start(options: &WitnessOptions, address: Option<SocketAddr>) -> Result<Started, String> {
    let run_dir = &options.run_dir;
    private::directory(run_dir).map_err(|error| format!("the run directory: {error}"))?;
    let lock = Lock::of_run_dir(run_dir, "witness").map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            format!("a witness runs already with {}: stop that one first", run_dir.display())
        }
        _ => format!("the run directory: {error}"),
    })?;
    let sockets = socket::open_all(address)?;
    let no_room = |error| format!("the pid file in {} cannot be written: {error}", run_dir.display());
    let pid_room = PidRoom::take(run_dir).map_err(no_room)?;
    Ok(Started { lock, pid_room, sockets })
}

fn live(options: &WitnessOptions, keys: KeySet, findings: &[ConfigError], started: Started) -> ExitCode {
    if !options.foreground {
        let _ = complain_of(findings);
        if let Err(end) = go_into_background() {
            return end.into();
        }
    }
    logger::start(options.foreground);
    keeper::tell_findings(findings);
    // The keys are in our memory, and must not get onto a disk.
    if let Err(errno) = set_dumpable(false) {
        warn!("a crash of the witness may leave its memory on a disk: {}", errno.desc());
    }
    let Started { lock, pid_room, sockets } = started;
    let _pid_file = pid_room.fill();
    let draw = |keys: &KeySet| draw_office(keys);
    let (run_dir, keys_dir) = (options.run_dir.clone(), options.keys.clone());
    let ended = keeper::run(Keeper { run_dir, keys_dir, keys, sockets, draw: &draw });
    lock.give_back();
    let exit = match ended {
        Ok(true) => {
            info!("the witness has ended");
            Exit::Done
        }
        Ok(false) => Exit::Refused,
        Err(errno) => {
            error!("the witness cannot run: {}", errno.desc());
            Exit::Refused
        }
    };
    log::logger().flush();
    exit.into()
}

/// What this run of the witness is to its pairs.
fn draw_office(keys: &KeySet) -> Option<Office> {
    match draw_entropy(&keys.any_key()) {
        Ok(entropy) => Some(Office { run: entropy.incarnation, secret: entropy.secret }),
        Err(error) => {
            error!("the kernel gives no random numbers: {error}");
            None
        }
    }
}
