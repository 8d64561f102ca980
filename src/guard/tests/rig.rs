//! A guard as a process of its own, and its agent's place, taken by the test.

use std::collections::VecDeque;
use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crosswire::frame::Key;
use crosswire::pair::GroupId;
use crosswire::resource::{Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::{Instant, Span};
use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, send, sendmsg, socketpair,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, getpid, pause};

use crate::clock::now;
use crate::guard::scheduling::{Process, become_realtime};
use crate::guard::testing::executable::write_executable;
use crate::guard::testing::{address, settings};
use crate::guard::{Inheritance, Recipe, block_child_signal, open, run_to_end};
use crate::ipc::{FromGuard, MAX_MESSAGE_BYTES, OpaqueDeposit, ToGuard};
use crate::settings::{Script, Settings};
use crate::sys::process::{fork, leave};
use crate::sys::sockets::receive_with_descriptor;

pub const GROUP: GroupId = GroupId(0);
pub const VIP: &str = "10.9.0.100/24@near";

/// A guard at work, and the agent's place, taken by the test.
pub struct Rig {
    pub guard: Pid,
    pub agent: Pid,
    pub socket: Option<OwnedFd>,
    pub stop: EventFd,
    pub dir: tempfile::TempDir,
    /// Whether the agent deposits something again and again, as every agent does.
    pulse: Arc<Mutex<Option<OwnedFd>>>,
    passed: OwnedFd,
    heard: VecDeque<(FromGuard, Option<OwnedFd>)>,
    /// Where renewals are confirmed.
    confirmations: Option<OwnedFd>,
    tokens: u32,
}

/// What is said of an inheritance without a deposit.
pub const NOTHING: &str = "nothing";

/// What is deposited.
const DEPOSIT: &[u8] = b"all that I knew";

impl Rig {
    /// Starts a guard; its agents are processes that only wait to be killed, and pass their end of the socket
    /// pair on.
    pub fn start(settings: &Settings) -> Self {
        Self::begin(settings, false)
    }

    /// The same before everything else on the box, and ended by the kernel if it never waits.
    pub fn start_as_in_use(settings: &Settings) -> Self {
        Self::begin(settings, true)
    }

    fn begin(settings: &Settings, is_in_use: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (passed, passes) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a pair");
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).expect("an eventfd");
        let guard = match fork().expect("a guard") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(passed);
                if is_in_use {
                    become_realtime(Process::Guard, true);
                }
                let code = Self::be_guard(settings, dir.path(), &stop, &passes);
                leave(code)
            }
        };
        drop(passes);
        let pulse = Arc::new(Mutex::new(None));
        beat(&pulse);
        let agent = guard;
        let mut rig = Self {
            guard,
            agent,
            socket: None,
            stop,
            dir,
            pulse,
            passed,
            heard: VecDeque::new(),
            confirmations: None,
            tokens: 0,
        };
        assert_eq!(rig.next_agent(), "", "the first one succeeds nobody");
        rig
    }

    fn be_guard(settings: &Settings, run_dir: &Path, stop: &EventFd, passes: &OwnedFd) -> i32 {
        close_all_but(&[stop.as_fd().as_raw_fd(), passes.as_raw_fd()]);
        let opened = open(settings, run_dir, None).expect("opened");
        block_child_signal().expect("blocked");
        let become_agent = |_: &Settings, _: &[Key], link: OwnedFd, inheritance: Option<Inheritance>| {
            set_pdeathsig(Signal::SIGKILL).expect("a signal");
            let text =
                inheritance.map_or_else(String::new, |i| match i.deposit == OpaqueDeposit::default() {
                    true => NOTHING.to_owned(),
                    false => format!("({:?}, {:?}, {:?})", i.deposit, i.holdings, i.last_token),
                });
            let pid = getpid().as_raw().to_ne_bytes();
            let rights = [ControlMessage::ScmRights(&[link.as_raw_fd()])];
            let parts = [IoSlice::new(&pid), IoSlice::new(text.as_bytes())];
            sendmsg::<()>(passes.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None).expect("passed on");
            drop(link);
            loop {
                pause();
            }
        };
        let keeps = [passes.as_raw_fd()];
        let recipe = Recipe { become_agent: &become_agent, keys: Vec::new(), keeps: &keeps, command: &[] };
        let stop = stop.as_fd().try_clone_to_owned().expect("a copy");
        i32::from(run_to_end(settings, run_dir, recipe, stop, opened))
    }

    /// Becomes the agent that the guard has just started, and says what that one inherited.
    pub fn next_agent(&mut self) -> String {
        let wait = PollTimeout::try_from(Duration::from_secs(8)).expect("short");
        assert_eq!(
            poll(&mut [PollFd::new(self.passed.as_fd(), PollFlags::POLLIN)], wait),
            Ok(1),
            "no agent is started"
        );
        let mut bytes = [0; 1_024];
        let (length, link) = receive(&self.passed, &mut bytes).expect("an agent");
        let (pid, text) = bytes[..length].split_first_chunk().expect("a process id");
        self.agent = Pid::from_raw(i32::from_ne_bytes(*pid));
        self.socket = link;
        self.heard.clear();
        self.live();
        String::from_utf8_lossy(text).into_owned()
    }

    /// Gives signs of life from now on.
    pub fn live(&self) {
        let copy = self.socket.as_ref().map(|socket| socket.try_clone().expect("a copy"));
        *self.pulse.lock().expect("no panic") = copy;
    }

    /// Gives none.
    pub fn fall_silent(&self) {
        *self.pulse.lock().expect("no panic") = None;
    }

    /// Closes the agent's end.
    pub fn close(&mut self) {
        self.fall_silent();
        self.socket = None;
    }

    /// The agent's process dies.
    pub fn die(&mut self) {
        // In this order: a guard whose agent has closed its end kills and reaps it itself.
        kill(self.agent, Signal::SIGKILL).expect("killed");
        self.close();
    }

    /// The guard is told to stop, and the agent says farewell.
    pub fn say_farewell(&mut self) {
        self.stop.write(1).expect("told to stop");
        self.find(|message| (*message == FromGuard::Stop).then_some(()));
        self.say(&ToGuard::Farewell);
    }

    /// The guard is told twice to stop, and ends.
    pub fn stop_at_once(&mut self) -> i32 {
        self.stop.write(1).expect("told to stop");
        std::thread::sleep(Duration::from_millis(50));
        self.stop.write(1).expect("told again");
        self.exit_code()
    }

    pub fn say(&self, message: &ToGuard) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = postcard::to_slice(message, &mut buffer).expect("short");
        self.say_bytes(bytes);
    }

    pub fn say_bytes(&self, bytes: &[u8]) {
        let socket = self.socket.as_ref().expect("not closed");
        send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).expect("sent");
    }

    pub fn order_until(&mut self, order: Order, valid_until: Instant) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.say(&ToGuard::Order(Ticket { token, valid_until, order }));
        token
    }

    /// With time enough, however busy the machine is.
    pub fn order(&mut self, order: Order) -> Token {
        self.order_until(order, now() + Span::from_s(30))
    }

    pub fn acquire(&mut self) -> Token {
        self.order(Order::Acquire { group: GROUP, term: 7 })
    }

    pub fn renew(&mut self) -> Token {
        self.order(Order::Renew { group: GROUP, puts_back: true })
    }

    pub fn release(&mut self, first: ReleaseOrder) -> Token {
        self.order(Order::Release { group: GROUP, first })
    }

    /// The next message, on either socket; none after `wait`.
    fn hear(&mut self, wait: Duration) -> Option<(FromGuard, Option<OwnedFd>)> {
        let socket = self.socket.as_ref().expect("not closed");
        let timeout = PollTimeout::try_from(wait).expect("a short time");
        let sockets: Vec<_> = [Some(socket), self.confirmations.as_ref()].into_iter().flatten().collect();
        let mut fds: Vec<_> =
            sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut fds, timeout).expect("polled");
        let index = fds.iter().position(|fd| fd.any().unwrap_or(true))?;
        let mut bytes = [0; MAX_MESSAGE_BYTES];
        let (length, descriptor) = receive(sockets[index], &mut bytes)?;
        if length == 0 {
            return None;
        }
        let message = postcard::from_bytes(&bytes[..length]).expect("a message");
        if message == FromGuard::Confirmations {
            self.confirmations = descriptor;
            return self.hear(wait);
        }
        Some((message, descriptor))
    }

    /// Reads until the other end is closed; false if it stays open for some seconds.
    pub fn hears_the_end(&mut self) -> bool {
        let give_up = now() + Span::from_s(8);
        let socket = self.socket.as_ref().expect("not closed");
        while now() < give_up {
            match nix::sys::socket::recv(
                socket.as_raw_fd(),
                &mut [0; MAX_MESSAGE_BYTES],
                MsgFlags::MSG_DONTWAIT,
            ) {
                Ok(0) | Err(nix::errno::Errno::ECONNRESET) => return true,
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        false
    }

    /// Waits for a message, keeping the others.
    pub fn find<T>(&mut self, what: impl Fn(&FromGuard) -> Option<T>) -> (T, Option<OwnedFd>) {
        let give_up = now() + Span::from_s(60);
        loop {
            if let Some(index) = self.heard.iter().position(|(message, _)| what(message).is_some()) {
                let (message, descriptor) = self.heard.remove(index).expect("it is there");
                return (what(&message).expect("the same"), descriptor);
            }
            assert!(now() < give_up, "only heard {:?}", self.heard);
            let next = self.hear(Duration::from_millis(100));
            self.heard.extend(next);
        }
    }

    /// Reads what comes for a moment, which nobody looks at.
    pub fn hear_all(&mut self) {
        let end = now() + Span::from_ms(10);
        while now() < end {
            self.hear(Duration::from_millis(1));
        }
    }

    /// Whether the guard still listens to this agent.
    pub fn is_heard(&self) -> bool {
        let socket = self.socket.as_ref().expect("not closed");
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        !matches!(
            nix::sys::socket::recv(socket.as_raw_fd(), &mut [0], flags),
            Ok(0) | Err(nix::errno::Errno::ECONNRESET)
        )
    }

    /// Whether anything was said of an order.
    pub fn has_heard_of(&self, of: Token) -> bool {
        self.heard.iter().any(|(message, _)| matches!(message, FromGuard::Done { token, .. } if *token == of))
    }

    /// What was heard so far counts no more.
    pub fn forget(&mut self) {
        self.heard.clear();
    }

    pub fn outcome(&mut self, of: Token) -> Outcome {
        let done = |message: &FromGuard| match *message {
            FromGuard::Done { token, outcome } if token == of => Some(outcome),
            _ => None,
        };
        self.find(done).0
    }

    /// Seconds left of the VIP's life.
    pub fn vip_s(&mut self) -> Option<u32> {
        let vip = address(VIP).ip;
        crate::guard::testing::seen().iter().find(|seen| seen.place.ip == vip).map(|seen| seen.valid_s)
    }

    /// Renews every 100 ms for a time, and insists that it works.
    pub fn renew_for(&mut self, span: Span) {
        let end = now() + span;
        while now() < end {
            let token = self.renew();
            assert_eq!(self.outcome(token), Outcome::Renewed);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether the guard has ended; it is not reaped.
    pub fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(self.guard), flags) != Ok(WaitStatus::StillAlive)
    }

    /// Waits for the guard's end.
    pub fn exit_code(&mut self) -> i32 {
        let give_up = now() + Span::from_s(60);
        loop {
            match waitpid(self.guard, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => break code,
                Ok(WaitStatus::StillAlive) => assert!(now() < give_up, "the guard does not end"),
                other => panic!("{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a script has written something.
    pub fn wait_for_story(&self, scripts: &tempfile::TempDir) {
        let give_up = now() + Span::from_s(60);
        while self.story(scripts).is_empty() {
            assert!(now() < give_up, "no script has begun");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that the scripts wrote into the log file of the test.
    pub fn story(&self, scripts: &tempfile::TempDir) -> Vec<String> {
        let text = fs::read_to_string(scripts.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Whatever the test came to: the guard ends its agent when it is told a second time.
        self.close();
        for _ in 0..1_000 {
            let _ = self.stop.write(1);
            if waitpid(self.guard, Some(WaitPidFlag::WNOHANG)) != Ok(WaitStatus::StillAlive) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Its agent dies with it.
        let _ = kill(self.guard, Signal::SIGKILL);
        let _ = waitpid(self.guard, None);
    }
}

/// Deposits something every 50 ms on whatever socket is there, for as long as the rig is.
fn beat(pulse: &Arc<Mutex<Option<OwnedFd>>>) {
    let pulse = Arc::downgrade(pulse);
    let mut bytes = postcard::to_slice(&ToGuard::Deposit, &mut [0; 8]).expect("short").to_vec();
    bytes.extend_from_slice(DEPOSIT);
    std::thread::spawn(move || {
        while let Some(pulse) = pulse.upgrade() {
            if let Some(socket) = &*pulse.lock().expect("no panic") {
                let _ = send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
            }
            drop(pulse);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> Option<(usize, Option<OwnedFd>)> {
    let mut control = cmsg_space!([std::os::fd::RawFd; 1]);
    receive_with_descriptor(socket, bytes, &mut control, MsgFlags::empty()).ok()
}

/// Closes what a fork has brought along from tests that run beside this one: their sockets would never see an
/// end.
fn close_all_but(wanted: &[i32]) {
    let open = fs::read_dir("/proc/self/fd").expect("proc is mounted").flatten();
    let open: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && !wanted.contains(fd)) {
        let _ = nix::unistd::close(fd);
    }
}

pub fn vip_alone() -> Settings {
    settings("near", &[VIP, "fd00::100/64@near"])
}

/// As [`vip_alone`], with a lease of 1 s.
pub fn short_lease() -> Settings {
    let mut settings = vip_alone();
    settings.policy.lease = Span::from_s(1);
    settings
}

/// A group with scripts: each is a line of shell that knows `$name`, `$1` and its environment.
pub fn with_scripts(bodies: &[&str]) -> (tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = vip_alone();
    for (name, body) in ["a", "b", "c"].into_iter().zip(bodies) {
        let program = dir.path().join(name);
        let text = format!(
            "#!/bin/sh\ncd {}\nname={name}\nsay() {{ echo \"$@\" >> log; }}\n{body}\n",
            dir.path().display()
        );
        write_executable(&program, &text);
        settings.groups[0].scripts.push(Script::lsb(name, program, Span::from_s(30)));
    }
    (dir, settings)
}

pub const PLAIN: &str = "say $name $1 $CROSSWIRE_REASON";
