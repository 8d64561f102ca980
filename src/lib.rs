//! crosswire keeps one gateway out of two alive: two boxes, a null-modem cable, an Ethernet between them, and
//! addresses that one of the boxes serves while the other stands by. This comment is the map of the whole
//! program.
//!
//! # Two halves, two processes
//!
//! | | the library (`src/lib.rs`) | the binary (`src/main.rs`) |
//! |---|---|---|
//! | does | decides | every system call, every word that a person reads |
//! | has | no `std`, no heap, no `unsafe`, no clock, no socket, no random source | all of them |
//! | is told by | [`Event`](quorum::Event)s and the instant of each | the kernel, the wire, the operator |
//! | answers with | [`Effect`](quorum::Effect)s, carried out in their order | packets, addresses, log lines |
//!
//! The library never asks the world anything. The same events at the same instants give the same effects,
//! which is why the decision can be tried in virtual time, thousands of runs a minute, with the code that
//! ships.
//!
//! `crosswire run` is two processes. The **guard** stays root and carries out orders; it parses nothing that
//! comes from outside, and runs [`Custody`](custody::Custody). The **agent** gives up root, hears the peer
//! and the wire, and runs a [`Station`](station::Station): a [`Receiver`](frame::Receiver) and a
//! [`Node`](quorum::Node). The guard starts the agent, and replaces it when it dies or hangs. Between them
//! lie two socket pairs: one for [`Ticket`](resource::Ticket)s, deposits and [`Outcome`](resource::Outcome)s,
//! and one on which renewals are confirmed, which wakes nobody. Where a journal is wanted, a third process
//! writes it: it waits for the disk so that nobody else does.
//!
//! # The folders, in the order in which data flows
//!
//! A folder uses those above it, never those below. The library:
//!
//! * [`time`], [`pair`], [`config`], [`reasons`], [`resource`]: plain types that the folders share. Instants
//!   and spans; sides, paths, groups and what nodes say of themselves; what both nodes agreed on; why
//!   something was or was not done; what the guard can be told to do and what came of it. [`limit`] turns a
//!   flood of events into one line and a count, [`encode`] turns values into bytes, and
//!   [`decode`] turns bytes into values.
//! * [`frame`]: bytes to messages, in either [`version`](frame::version) of the protocol.
//!   [`delimit`](frame::delimit) finds bodies among any bytes, [`seal`](frame::seal) wraps and unwraps them,
//!   [`session`](frame::session) decides whether one is fresh, [`message`](frame::message) holds the
//!   messages. A [`Receiver`](frame::Receiver) does all of it, and counts what it refuses.
//! * [`journal`]: decisions as checked lines of a file, which a power cut may end anywhere.
//! * [`health`]: messages and time to evidence. A [`Detector`](health::Detector) for each path,
//!   [`Peer`](health::Peer) for what all paths show together, [`ack`](health::ack) for what the peer has
//!   heard of us.
//! * [`status`]: what a node knows, for showing.
//! * [`turn`]: in which order an agent reads what has arrived, and when it judges. The agent and the
//!   simulator both follow it.
//! * [`quorum`]: evidence to decision. When does a backup take over, and if not, until when and why not?
//!   [`takeover`](quorum::takeover) answers that, read from its top. [`holding`](quorum::holding) says when a
//!   holder lets go, [`moves`](quorum::moves) which moves are planned, and [`facts`](quorum::facts) what
//!   these rules know. [`verdict`](quorum::verdict) is a table, [`timing`](quorum::timing) the arithmetic,
//!   [`probe`](quorum::probe) what the wire says of an address, [`succession`](quorum::succession) what an
//!   agent that died leaves to the next, [`forecast`](quorum::forecast) what one more fault would do,
//!   [`record`](quorum::record) why something was or was not done, and [`Node::step`](quorum::Node::step) the
//!   only way in.
//! * [`recorder`]: what a node was told last, and a state from which it can be replayed;
//!   [`repeat`](recorder::repeat) replays it.
//! * [`station`]: the receiver and the node together, for whoever has bytes and events.
//! * [`custody`]: decision to what is held. [`orders`](custody::orders) says which orders are accepted,
//!   [`HeldGroup`](custody::HeldGroup) is one group's addresses and scripts step by step,
//!   [`restart_policy`](custody::restart_policy) what is done when an agent is lost, and
//!   [`Custody::step`](custody::Custody::step) the only way in.
//! * [`vote`]: what a voting witness and those who ask it say to each other, and what each keeps of it.
//!
//! The binary:
//!
//! * `sys/`: fork, ioctls, filters of sockets: all `unsafe` of the daemon; names of users and groups.
//! * `gather.rs`, `clock.rs`, `logger/`, `plain.rs`, `private.rs`: lists from iterators, the monotonic clock,
//!   the log, text of others made harmless, and files that nobody else can change.
//! * `tty/`: what a serial port can do beyond bytes: modem lines, any speed, UART and error counters.
//! * `settings/`: the TOML file and the key file, to a [`Policy`](config::Policy) for the library and devices
//!   for the rest.
//! * `operator/`: what people and programs are told, and what they may ask: the control protocol, records and
//!   reasons in words, the status as text, JSON and metrics, its exit code, what `why` says, and what it
//!   remembers beyond the agent of now.
//! * `ipc.rs`: what agent and guard say to each other.
//! * `guard/`: carries out what [`Custody`](custody::Custody) asks for: `kernel/` (addresses with a lifetime,
//!   routes, interfaces, announcements, probes), `serial/`, `scripts/`, `fencing/`, `run_dir/`,
//!   `agent_process/`, `journal/` (a third process, which writes decisions to disk), and the `event_loop/`
//!   round them.
//! * `agent/`: the poll loop round the node, serial and UDP ports, answers to probes, the agent's end of the
//!   control socket, the journal of decisions, and what the peer has told of itself.
//! * `witness/` (feature `witness`, not in the router build): the daemon of a voting witness, which runs
//!   [`Grants`](vote::grants::Grants) for many pairs.
//! * `cli/`: the commands and their options.
//! * `workbench/` (feature `workbench`, not in the router build): the laboratory with real kernels in
//!   namespaces, the demo that runs in it, and the simulator in virtual time.
//!
//! # The way of one heartbeat, from the UART to a change of role
//!
//! 1. `agent/wait.rs` wakes from its poll, [`Turn`](turn::Turn) says in which order, `agent/hear.rs` has each
//!    source read, and `agent/ports.rs` reads what the serial port has: any bytes, in any pieces.
//! 2. [`Station::hear`](station::Station::hear) hands them to its receiver.
//!    [`delimit::Collector`](frame::delimit::Collector) finds a body between two zero bytes;
//!    [`Session::receive`](frame::session::Session::receive) checks length, CRC, version, pair, sender, path,
//!    session value, authenticator and number. On a LAN a wrong session value ends the checks; on a cable the
//!    authenticator is checked all the same, so that a wrong key is named. A frame that fails a check is
//!    counted under its [`Refusal`](frame::Refusal), and the node learns only that.
//! 3. Accepted and refused frames both become `Event::Heard`. Before [`Node::step`](quorum::Node::step) looks
//!    at the event, it lets go of what may not be held any longer: an old heartbeat cannot renew what has
//!    lapsed.
//! 4. The path's [`Detector`](health::Detector) notes the instant, and [`Peer`](health::Peer) what was said:
//!    which of our beats the peer has heard, what it holds under which term, how it stands.
//! 5. When everything that had arrived was handed in, the agent sends `Event::Tick`; before the deadline only
//!    if something [stirred](quorum::Node::is_stirred) the node. Only now silence is judged: path states,
//!    then the [`verdict`](quorum::verdict::verdict), then for each group a
//!    [`Situation`](quorum::facts::Situation).
//! 6. [`decide`](quorum::decide::decide) turns role and situation into a decision; for a backup by the rules
//!    of [`takeover`](quorum::takeover). Say the peer is dead: a probe has been asking the wire since every
//!    path was late, and nobody answered, so the decision is to take the group.
//! 7. That is `Effect::Order`: acquire, under the next term, valid until an instant. The agent passes it to
//!    the guard.
//! 8. `guard/event_loop/hear.rs` receives it and hands it to [`Custody`](custody::Custody), which accepts it
//!    or says why not; `guard/event_loop/effects.rs` carries out what follows: the addresses are added over
//!    rtnetlink (`guard/kernel/addresses.rs`) with the lease as their lifetime and read back, announced by
//!    `guard/kernel/announcements.rs`, then the scripts start one after the other (`guard/scripts/run.rs`).
//! 9. The guard reports `Outcome::Serving`; it comes in as `Event::Done`, and the role becomes active.
//! 10. The next beat, sent at once, says so on every path. From now on orders renew the lease, once in a few
//!     beats; without them the kernel removes the addresses, whatever has become of the two processes.
//!
//! # The way of one operator's command
//!
//! 1. `crosswire handover gateway`: `cli/handover.rs` sends one packet over the control socket in the run
//!    directory (`operator/control.rs`).
//! 2. `agent/control.rs` reads the question, `agent/operators.rs` turns the group's name into its id and
//!    hands in `Event::Operator`.
//! 3. [`Node`](quorum::Node) answers at once with `Effect::Reply`: accepted, or a
//!    [`Denial`](reasons::Denial) that `operator/words/denials.rs` turns into a reason and a remedy. If
//!    accepted, the wish stands for ten seconds.
//! 4. On the tick, the decision is to release: scripts first, then addresses. The guard stops the scripts,
//!    removes the addresses, sees that they are gone, and says so.
//! 5. The role becomes backup, and the next beat tells the peer: 'I have let this group go for you'. The peer
//!    acquires it with the next term, from step 7 above.
//! 6. Meanwhile `cli/handover.rs` asks for the status until the group has moved, and says how the move ended.
//!
//! # The way of one key of the configuration
//!
//! 1. `lease = "2s"` under `[timing]`: `settings/loader.rs` reads the file, `settings/table.rs` the key with
//!    its line, and `settings/times.rs` its value. A value that the kernel or the arithmetic refuses becomes
//!    an error there; all errors of a file are reported at once.
//! 2. It becomes a field of the [`Policy`](config::Policy). `settings/digest.rs` makes it part of the
//!    checksum that each beat carries; `cli/check/proof.rs` shows what follows from it.
//! 3. [`timing`](quorum::timing) is where it acts: how often a lease is renewed, how long a peer may still
//!    hold something, how long a node listens at its start. The guard reads it from its
//!    [`Plan`](custody::Plan), and gives it to the kernel with each address.
//! 4. At a reload `settings/difference.rs` says what has changed, and whether the change needs an upgrade in
//!    place or a restart. The agent announces the old lease until it is over.
//!
//! # The way of one script
//!
//! 1. `scripts = ["lsb:dnsmasq"]`: `settings/script.rs` reads it, and [`Plan`](custody::Plan) says how it is
//!    watched.
//! 2. The addresses and routes of its group are there. [`HeldGroup::next`](custody::HeldGroup::next) says
//!    that the script starts; a file marks it as one that may run (`guard/run_dir/marker.rs`), for the run
//!    after a crash.
//! 3. `Effect::Run`: `guard/event_loop/effects.rs` has `guard/scripts/spawn.rs` fork and execute it, and
//!    `guard/scripts/run.rs` reads its output and ends it when its time is over.
//! 4. `guard/event_loop/children.rs` reaps it: `Event::ScriptEnded`. If the start succeeded, the next script
//!    follows, or the agent is told that the group is served. If not, the scripts that were started are
//!    stopped, from right to left.
//! 5. [`monitors`](custody::monitors) says when its monitor runs, and what a failure leads to: the script is
//!    started again, or the group goes to the peer.
//! 6. When the group is let go, the scripts stop in reverse. A script that does not stop counts as stuck,
//!    here and for the peer, until it has stopped or the box was reset.
//!
//! # The calling contract, in small
//!
//! A node that hears nobody and wants to beat once a path is open:
//!
//! ```
//! use crosswire::config::{InJeopardy, PathPolicy, Policy, Speed};
//! use crosswire::frame::{Key, Keyring, session::Entropy};
//! use crosswire::quorum::{Effect, Effects, Event};
//! use crosswire::pair::{PathId, PathKind, Side};
//! use crosswire::reasons::Verdict;
//! use crosswire::station::Station;
//! use crosswire::time::{Instant, Span};
//!
//! let cable = PathPolicy::new(PathKind::Serial, Speed::Normal.timing());
//! let policy = Policy {
//!     paths: [cable].into_iter().collect(),
//!     groups: Default::default(),
//!     lease: Span::from_s(3),
//!     cold_start: Span::from_s(60),
//!     carrier_delay: Span::from_s(2),
//!     in_jeopardy: InJeopardy::Hold,
//!     witnesses: 0,
//!     has_vote: false,
//!     digest: [0; 4],
//! };
//! let keys = Keyring::new("gateway", &[Key { id: 0, bytes: [7; 32].into_iter().collect() }]);
//! let entropy = Entropy { incarnation: [1; 8], secret: [2; 16] };
//! let now = Instant::from_us(1_000_000);
//! let mut node = Station::new("gateway", policy, Side::A, keys, entropy, now);
//!
//! // Hand in what has happened, then the tick; carry out what comes back, in its order.
//! let mut effects = Effects::new();
//! node.step(now, Event::PathOpened(PathId(0)), &mut effects);
//! node.step(now, Event::Tick, &mut effects);
//! let sent = effects.iter().filter(|effect| matches!(effect, Effect::Send(PathId(0), _)));
//! assert_eq!(sent.count(), 1, "a hello: is anybody there?");
//! assert_eq!(node.status(now).verdict, Verdict::Doubtful, "silence proves nothing yet");
//!
//! // Wake at the latest when the next beat is due.
//! assert_eq!(node.next_deadline(now).0, now + Span::from_ms(250));
//! ```
#![no_std]
#![forbid(unsafe_code)]
// Nothing here may panic, lose a bit, or ignore a variant that is added to an enumeration later.
#![cfg_attr(
    not(test),
    deny(
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used,
        clippy::wildcard_enum_match_arm
    )
)]

#[cfg(test)]
extern crate std;

pub mod config;
pub mod custody;
pub mod decode;
pub mod encode;
pub mod frame;
pub mod health;
pub mod journal;
pub mod limit;
pub mod pair;
pub mod quorum;
pub mod reasons;
pub mod recorder;
pub mod resource;
pub mod station;
pub mod status;
pub mod time;
pub mod turn;
pub mod vote;
