//! Everything that can befall a pair.

use crosswire::pair::{GroupId, PathId, Side};
use crosswire::time::Span;

/// Which directions of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Both.
    Both,
    /// Only what this side sends.
    From(Side),
}

/// What comes out of a cable that carries no frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noise {
    /// Any bytes.
    Random,
    /// Console text.
    Text,
    /// A line held low: BREAK, or a powered-off transmitter.
    Zeros,
}

/// Index of a witness in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WitnessId(pub u8);

impl WitnessId {
    /// As an index into the list of witnesses.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What is wrong with the modem lines that one side sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineFault {
    /// Nothing.
    Good,
    /// They read as on: DSR, DCD and CTS.
    StuckOn,
    /// They read as off, as where that wire is broken.
    StuckOff,
    /// CTS alone reads as on: the peer seems to hold services.
    HoldsOn,
}

/// One thing that happens to the world, or that an operator does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The mains fail.
    PowerCut(Side),
    /// The box boots and starts the daemon.
    PowerOn(Side),
    /// The whole box stands still: a hypervisor's pause.
    Freeze(Side),
    /// It goes on.
    Thaw(Side),
    /// The init script starts the daemon, if none runs.
    Start(Side),
    /// `kill -9` of the agent.
    KillAgent(Side),
    /// `kill -9` of the guard.
    KillGuard(Side),
    /// `kill -9` of both.
    Kill(Side),
    /// `kill -9` of both, and whatever watches over them starts the daemon again at once.
    Respawn(Side),
    /// SIGHUP: the configuration is read anew, and another agent goes on with it.
    Reload(Side),
    /// The file is replaced by the one of this checksum, and read anew.
    ReloadTo(Side, u8),
    /// The program is executed anew in the daemon's place, if that is at rest.
    Upgrade(Side),
    /// The same with the file of this checksum.
    UpgradeTo(Side, u8),
    /// SIGSTOP of the agent.
    HangAgent(Side),
    /// SIGSTOP of the guard.
    HangGuard(Side),
    /// SIGSTOP of both.
    Hang(Side),
    /// SIGCONT of both.
    Continue(Side),
    /// The agent does not run for this long.
    Stall(Side, Span),
    /// The agent is held up for this long after this many more steps of its turns; the first step is the
    /// kernel's answer to its poll.
    HoldUp(Side, u64, Span),
    /// Nothing gets through.
    Cut(PathId, Way),
    /// The path is as good as new.
    Mend(PathId),
    /// Frames lost, in permille.
    Loss(PathId, u64),
    /// Each frame takes up to this much longer, so that they overtake each other (LAN).
    Delay(PathId, Span),
    /// Frames that arrive twice, in permille (LAN).
    Duplicate(PathId, u64),
    /// Wrong bits, per million (serial).
    BitErrors(PathId, u64),
    /// Bytes that are no frames come in at this side (serial).
    Noise(PathId, Side, Noise, Span),
    /// What this side sends comes back to it, and nothing else does (serial).
    Loop(PathId, Side),
    /// Everything that was recorded on its way to this side comes once more.
    Replay(PathId, Side),
    /// This side's link light goes out (LAN).
    LinkDown(PathId, Side),
    /// It comes back.
    LinkUp(PathId, Side),
    /// The switch dies: nothing gets through, all link lights go out (LAN).
    SwitchOff(PathId),
    /// It is replaced.
    SwitchOn(PathId),
    /// This side's port goes away (serial).
    PortLost(PathId, Side),
    /// It comes back.
    PortBack(PathId, Side),
    /// What this side's switch port carries is lost both ways, that of witnesses on the LAN too; link lights
    /// stay on (LAN).
    Isolate(PathId, Side),
    /// What this side sees of the modem lines is wrong (serial).
    Lines(PathId, Side, LineFault),
    /// The lines that this side sees come and go for this long (serial).
    Flap(PathId, Side, Span),
    /// A filter on this side's box swallows ARP and neighbour discovery: probes hear nobody (LAN).
    FilterOn(PathId, Side),
    /// It lets them through again.
    FilterOff(PathId, Side),
    /// Somebody takes the addresses of a group away from the kernel of this side, by hand.
    AddressGone(Side, GroupId),
    /// A check of whether this side is ready for a group fails from now on.
    Unready(Side, GroupId),
    /// It succeeds.
    Ready(Side, GroupId),
    /// The interface that a group has besides the LAN loses carrier on this side.
    CarrierDown(Side, GroupId),
    /// It has carrier again.
    CarrierUp(Side, GroupId),
    /// Somebody on the groups' LAN has the addresses of a group: a printer, another pair.
    StrangerComes(GroupId),
    /// It is gone.
    StrangerGoes(GroupId),
    /// The third parties on this side's half of the groups' LAN are switched off.
    NeighboursGo(Side),
    /// They are there again.
    NeighboursCome(Side),
    /// A witness answers nobody.
    WitnessDown(WitnessId),
    /// It answers again.
    WitnessUp(WitnessId),
    /// It is out of this side's sight.
    WitnessCut(WitnessId, Side),
    /// Everybody sees it, every time and at once.
    WitnessMend(WitnessId),
    /// It leaves questions unanswered, in permille.
    WitnessLoss(WitnessId, u64),
    /// Its answers take up to this much longer.
    WitnessDelay(WitnessId, Span),
    /// This side's fence cannot be confirmed.
    BadFence(Side),
    /// It works.
    GoodFence(Side),
    /// From its next start on the node has this key.
    Key(Side, u8),
    /// From its next start on the node believes to be of this pair.
    Pair(Side, u8),
    /// From its next start on the node's configuration has this checksum.
    Digest(Side, u8),
    /// Its scripts take this long.
    SlowScripts(Side, Span),
    /// Its scripts fail to start.
    BadStarts(Side),
    /// Its scripts fail to stop.
    BadStops(Side),
    /// Its scripts do what they should.
    GoodScripts(Side),
    /// Its kernel refuses addresses.
    BadKernel(Side),
    /// It takes them, and refuses the routes that need them.
    BadRoutes(Side),
    /// It refuses nothing any more.
    GoodKernel(Side),
    /// `crosswire handover` on this side.
    Handover(Side, GroupId),
    /// `crosswire takeover` on this side.
    Takeover(Side, GroupId),
    /// `crosswire takeover --peer-is-off` on this side; not said while the peer has power.
    PeerIsOff(Side, GroupId),
    /// `crosswire standby` on this side.
    Standby(Side),
    /// `crosswire standby --force` on this side.
    ForceStandby(Side),
    /// `crosswire online` on this side.
    Online(Side),
    /// `crosswire maintenance on` for so long on this side; zero ends it.
    Maintenance(Side, Span),
    /// SIGTERM.
    Stop(Side),
}
