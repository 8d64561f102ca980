//! The laboratory: a whole pair on this machine, out of real processes on real kernel interfaces.
//!
//! Two network namespaces are the nodes, a third is the client. A switch ([`switch`]) and a null-modem cable
//! ([`cable`]) join them, both of which can fail in every way that the design names. An observer
//! ([`address_log`]) hears from both kernels who holds the service address; the client ([`ping`]) measures
//! how long it was gone. The shipped binary runs in each node ([`process`]). Without root the same happens
//! inside a user namespace ([`entry`]).
//!
//! No other program is needed, and nothing is left behind: namespaces have no names, devices die with them,
//! daemons are killed by the kernel when the laboratory dies, and files lie in one directory that goes last.
//! (Only a laboratory that is itself killed, or panics in a build that aborts, leaves that directory.)
//!
//! `crosswire demo` and the tests use this folder alike, so it names nothing of the rest of the binary.

pub mod address_log;
pub mod cable;
pub mod clock;
pub mod dice;
pub mod entry;
#[cfg(test)]
pub mod executable;
#[cfg(test)]
pub mod fair;
pub mod frames;
pub mod gap;
pub mod ledger;
pub mod modem;
pub mod namespace;
mod node;
pub mod packet;
pub mod ping;
pub mod process;
pub mod rtnl;
pub mod setup;
pub mod stamp;
pub mod switch;
#[cfg(test)]
pub mod testing;
pub mod worker;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use address_log::{AddressLog, Wanted};
use cable::Cable;
use modem::Modem;
use namespace::Namespace;
use node::{Node, plug_all};
use ping::Ping;
use process::{NodeProcess, Nursery, ProcessInfo, kill_all_in, processes_in};
use rtnl::LinkState;
use setup::{NODE_NAMES, Scratch, Setup, VIP, client_address, write_key};
use switch::{PortId, PortRules, Switch};

/// A whole pair with all that is needed to try it. Dropping it ends everything, daemons first.
pub struct Lab {
    // Dropped from top to bottom.
    nodes: [Node; 2],
    ping: Ping,
    log: AddressLog,
    modem: Option<Modem>,
    cable: Cable,
    switch: Switch,
    client: Client,
    nursery: Nursery,
    setup: Setup,
    /// What each node runs.
    binaries: [PathBuf; 2],
    scratch: Scratch,
}

struct Client {
    namespace: Namespace,
    ports: Vec<PortId>,
}

impl Lab {
    /// Builds everything but the daemons; `binary` is what [`Lab::start`] will run. Call it only where
    /// [`entry::standing`] says root.
    ///
    /// # Errors
    /// The kernel's, with what was being done.
    pub fn new(binary: &Path, setup: Setup) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        let switch = Switch::new(setup.seed)?;
        let lans = 0..=u8::from(setup.second_lan);
        let [name_a, name_b] = NODE_NAMES;
        let node_a = Node::new(name_a, Side::A, &switch, lans.clone(), scratch.path())?;
        let node_b = Node::new(name_b, Side::B, &switch, lans.clone(), scratch.path())?;
        let log = AddressLog::start([&node_a.namespace, &node_b.namespace])?;
        let namespace = Namespace::new("client")?;
        let ports = plug_all(&switch, &namespace, lans, client_address)?;
        let cable = Cable::new(setup.seed)?;
        cable.set_baud(setup.emulate_baud.then_some(setup.baud));
        let modem = setup.lines.map(|wiring| Modem::new(&cable, wiring)).transpose()?;
        let ping = Ping::start(&namespace, VIP, setup.ping_step)?;
        let nursery = Nursery::new()?;
        let client = Client { namespace, ports };
        let (nodes, binaries) = ([node_a, node_b], [binary.to_owned(), binary.to_owned()]);
        let lab = Self { nodes, ping, log, modem, cable, switch, client, nursery, setup, binaries, scratch };
        lab.write_files(Side::A)?;
        lab.write_files(Side::B)?;
        Ok(lab)
    }

    /// What a node runs from now on: daemon and commands.
    pub fn set_binary(&mut self, side: Side, binary: &Path) {
        self.binaries[side.index()] = binary.to_owned();
    }

    /// The cable.
    pub fn cable(&self) -> &Cable {
        &self.cable
    }

    /// The cable's line wires.
    ///
    /// # Panics
    /// If the setup gave it none.
    pub fn modem(&self) -> &Modem {
        self.modem.as_ref().expect("a cable with line wires")
    }

    /// Pulls the cable: bytes and lines.
    pub fn unplug(&self) {
        self.cable.cut();
        self.modem().set_plugged(false);
    }

    /// The switch.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The observer.
    pub fn log(&self) -> &AddressLog {
        &self.log
    }

    /// The client's view of [`VIP`].
    pub fn ping(&self) -> &Ping {
        &self.ping
    }

    /// The setup of the pair.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// A node's namespace.
    pub fn namespace(&self, side: Side) -> &Namespace {
        &self.nodes[side.index()].namespace
    }

    /// The client's namespace.
    pub fn client(&self) -> &Namespace {
        &self.client.namespace
    }

    /// The switch port of a node's interface (0 is eth0).
    ///
    /// # Panics
    /// If the node has no such interface.
    pub fn port(&self, side: Side, lan: usize) -> PortId {
        self.nodes[side.index()].ports[lan]
    }

    /// The switch port of the client's interface.
    ///
    /// # Panics
    /// If the client has no such interface.
    pub fn client_port(&self, lan: usize) -> PortId {
        self.client.ports[lan]
    }

    /// A node's own directory: `crosswire.toml`, `key`, `run/`, `log`.
    pub fn directory(&self, side: Side) -> &Path {
        &self.nodes[side.index()].directory
    }

    /// What is wrong with a node's eth0 at the switch, from now on.
    pub fn set_lan(&self, side: Side, rules: PortRules) {
        self.switch.set(self.port(side, 0), rules);
    }

    /// Gives or takes the carrier of a node's eth0.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_carrier(&self, side: Side, present: bool) -> io::Result<()> {
        self.switch.set_carrier(self.port(side, 0), present)
    }

    /// The same for its `eth1`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_second_carrier(&self, side: Side, present: bool) -> io::Result<()> {
        self.switch.set_carrier(self.port(side, 1), present)
    }

    /// Removes all faults of cable and LAN, but not those of a node without power, whose kernel would answer
    /// for its addresses.
    ///
    /// # Errors
    /// The kernel's.
    pub fn heal(&self) -> io::Result<()> {
        self.switch.part(None);
        let with_power = self.nodes.iter().filter(|node| node.has_power);
        for port in with_power.flat_map(|node| &node.ports).chain(&self.client.ports) {
            self.switch.set(*port, PortRules::default());
            self.switch.set_carrier(*port, true)?;
        }
        if self.nodes.iter().all(|node| node.has_power) {
            self.cable.heal();
            if let Some(modem) = &self.modem {
                modem.set_plugged(true);
            }
        }
        Ok(())
    }

    /// What a node's kernel says of its eth0.
    ///
    /// # Errors
    /// The kernel's.
    pub fn link_state(&self, side: Side) -> io::Result<LinkState> {
        self.namespace(side).rtnl().link_state(self.interface(side))
    }

    /// Interface index of a node's eth0.
    pub fn interface(&self, side: Side) -> u32 {
        self.switch.node_interface(self.port(side, 0))
    }

    /// Writes the files of a node anew, after `change`, so that the two nodes may differ.
    ///
    /// # Errors
    /// The kernel's.
    pub fn reconfigure(&mut self, side: Side, change: impl FnOnce(&mut Setup)) -> io::Result<()> {
        let mut setup = self.setup.clone();
        change(&mut setup);
        self.write_files_of(side, &setup)
    }

    /// A command of the shipped binary about a node: `run`, `status`, `handover gateway`, … with the node's
    /// run directory. It is not started.
    ///
    /// # Errors
    /// If the namespace's descriptor cannot be duplicated.
    pub fn command(&self, side: Side, arguments: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(&self.binaries[side.index()]);
        command.args(arguments).arg("--run-dir").arg(self.directory(side).join("run"));
        self.namespace(side).command_in(&mut command)?;
        self.give_lines(&mut command)?;
        Ok(command)
    }

    /// Starts what [`Lab::command`] gave, in a session of its own, so that a terminal's Ctrl-C does not reach
    /// it; the kernel kills it with the laboratory.
    ///
    /// # Errors
    /// What fork or exec says.
    pub fn spawn(&self, command: Command) -> io::Result<Child> {
        self.nursery.spawn(command)
    }

    /// Starts the daemon of a node.
    ///
    /// # Errors
    /// If it runs already; the kernel's.
    pub fn start(&mut self, side: Side) -> io::Result<()> {
        let node = &mut self.nodes[side.index()];
        let is_running = node
            .process
            .as_mut()
            .map_or(Ok(false), |process| process.ended().map(|ended| ended.is_none()))?;
        if is_running {
            return Err(io::Error::other(format!("{} runs already", NODE_NAMES[side.index()])));
        }
        let mut command = Command::new(&self.binaries[side.index()]);
        command.args(["run", "--foreground", "--node", NODE_NAMES[side.index()]]);
        command.arg("--config").arg(node.directory.join("crosswire.toml"));
        command.arg("--run-dir").arg(node.directory.join("run"));
        if let Some(modem) = &self.modem {
            modem.attach(&mut command)?;
        }
        let process =
            NodeProcess::start(&self.nursery, &node.namespace, command, &node.directory.join("log"))?;
        self.nodes[side.index()].process = Some(process);
        Ok(())
    }

    /// The daemon of a node; `None` before [`Lab::start`] and after a power cut or a stop.
    pub fn process(&mut self, side: Side) -> Option<&mut NodeProcess> {
        self.nodes[side.index()].process.as_mut()
    }

    /// Sends a daemon SIGTERM and waits for its end; returns how it ended.
    ///
    /// # Errors
    /// If it does not run, or not end in time.
    pub fn stop(&mut self, side: Side, timeout: Duration) -> io::Result<std::process::ExitStatus> {
        let process = self.running(side)?;
        process.signal(Signal::SIGTERM)?;
        let status = process.wait_for_end(timeout)?;
        self.nodes[side.index()].process = None;
        Ok(status)
    }

    /// Process id of a node's guard.
    ///
    /// # Errors
    /// If the daemon does not run.
    pub fn guard(&mut self, side: Side) -> io::Result<Pid> {
        Ok(self.running(side)?.pid())
    }

    /// Process id of a node's agent: the guard's oldest child that does not write the journal.
    ///
    /// # Errors
    /// If there is none.
    pub fn agent(&mut self, side: Side) -> io::Result<Pid> {
        let child = self.running(side)?.first_child()?;
        child.ok_or_else(|| {
            io::Error::other(format!("the guard of {} has no child", NODE_NAMES[side.index()]))
        })
    }

    /// Every process of a node.
    ///
    /// # Errors
    /// What reading /proc says.
    pub fn processes(&self, side: Side) -> io::Result<Vec<ProcessInfo>> {
        processes_in(self.namespace(side))
    }

    /// Sends every process of a node a signal: SIGSTOP and SIGCONT freeze and thaw the daemons, but not the
    /// node's kernel.
    ///
    /// # Errors
    /// What reading /proc says.
    pub fn signal_all(&self, side: Side, signal: Signal) -> io::Result<()> {
        for process in self.processes(side)? {
            // ESRCH: it has just ended.
            let _ = kill(process.pid, signal);
        }
        Ok(())
    }

    /// Kills every process of a node; links and cable stay.
    ///
    /// # Errors
    /// If one survives.
    pub fn kill(&mut self, side: Side) -> io::Result<()> {
        kill_all_in(self.namespace(side))?;
        self.nodes[side.index()].process = None;
        Ok(())
    }

    /// Cuts a node's power: first LAN and cable go silent, then its processes die. Returns the instant from
    /// which it is silent and counts as holding nothing.
    ///
    /// # Errors
    /// If a process survives.
    pub fn power_cut(&mut self, side: Side) -> io::Result<Instant> {
        self.nodes[side.index()].has_power = false;
        for port in &self.nodes[side.index()].ports {
            self.switch.set(*port, PortRules::silent());
        }
        self.cable.cut();
        if let Some(modem) = &self.modem {
            modem.drop_outputs(side);
            modem.set_plugged(false);
        }
        self.log.note_power_cut(side);
        let at = clock::now();
        self.kill(side)?;
        Ok(at)
    }

    /// Gives a node its power back: no addresses but its own, an empty serial port, no daemon yet. Links and
    /// cable are whole, unless the other node is without power.
    ///
    /// # Errors
    /// The kernel's.
    pub fn power_on(&mut self, side: Side) -> io::Result<()> {
        let node = &mut self.nodes[side.index()];
        node.forget_addresses(side)?;
        node.has_power = true;
        self.cable.flush(side)?;
        self.log.note_power_on(side);
        self.heal()
    }

    /// Waits until [`VIP`] is held as wanted; returns since when it is.
    ///
    /// # Errors
    /// `TimedOut`, with what both daemons have written.
    pub fn wait_for(&self, wanted: Wanted, timeout: Duration) -> io::Result<Instant> {
        self.log
            .wait_for(VIP, wanted, timeout)
            .map_err(|e| io::Error::new(e.kind(), format!("{e}\n{}", self.story())))
    }

    /// Who holds [`VIP`] alone; `None` if nobody or both do.
    ///
    /// # Errors
    /// If the observer lost track.
    pub fn holder(&self) -> io::Result<Option<Side>> {
        Ok(match self.log.holders(VIP)? {
            [true, false] => Some(Side::A),
            [false, true] => Some(Side::B),
            _ => None,
        })
    }

    /// How long both nodes held [`VIP`] at once, in all; zero only if they never did.
    ///
    /// # Errors
    /// If the observer lost track.
    pub fn overlap(&self) -> io::Result<Span> {
        self.log.overlap(VIP)
    }

    /// What both daemons have written, for a test's failure message.
    pub fn story(&self) -> String {
        let told = |side: Side| {
            let log =
                fs::read_to_string(self.directory(side).join("log")).unwrap_or_else(|_| "(nothing)\n".into());
            format!("--- {} ---\n{log}", NODE_NAMES[side.index()])
        };
        told(Side::A) + &told(Side::B)
    }

    fn running(&mut self, side: Side) -> io::Result<&mut NodeProcess> {
        let missing = || io::Error::other(format!("{} does not run", NODE_NAMES[side.index()]));
        self.nodes[side.index()].process.as_mut().ok_or_else(missing)
    }

    fn give_lines(&self, command: &mut Command) -> io::Result<()> {
        self.modem.as_ref().map_or(Ok(()), |modem| modem.attach(command))
    }

    fn write_files(&self, side: Side) -> io::Result<()> {
        self.write_files_of(side, &self.setup)
    }

    fn write_files_of(&self, side: Side, setup: &Setup) -> io::Result<()> {
        let directory = self.directory(side);
        let key = directory.join("key");
        let devices = [self.cable.device(Side::A), self.cable.device(Side::B)];
        fs::write(directory.join("crosswire.toml"), setup.configuration(&key, devices))?;
        write_key(&key, &setup.keys[side.index()])
    }
}

/// Prefixes an error with what was being done.
fn doing(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |e| io::Error::new(e.kind(), format!("{what}: {e}"))
}
