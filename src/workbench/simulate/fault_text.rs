//! A fault as its one line of text in scripts and traces.

use std::fmt;
use std::str::FromStr;

use crosswire::pair::{GroupId, PathId, Side};
use crosswire::time::Span;

use super::fault::{Fault, LineFault, Noise, Way, WitnessId};

/// The names that text uses for sides, paths and groups.
#[derive(Clone, Debug)]
pub struct Names {
    /// By [`Side::index`].
    pub nodes: [String; 2],
    /// By [`PathId::index`].
    pub paths: Vec<String>,
    /// By [`GroupId::index`].
    pub groups: Vec<String>,
    /// By [`WitnessId::index`].
    pub witnesses: Vec<String>,
}

/// One word of a fault's text.
enum Word {
    Node(Side),
    Path(PathId),
    Group(GroupId),
    Way(Way),
    Witness(WitnessId),
    Lines(LineFault),
    Noise(Noise),
    Time(Span),
    Number(u64),
}

impl Fault {
    /// The line that [`Fault::parse`] reads back.
    pub fn text(&self, names: &Names) -> String {
        let (verb, words) = self.words();
        let said = |word: &Word| match word {
            Word::Node(side) => names.nodes[side.index()].clone(),
            Word::Path(path) => names.paths[path.index()].clone(),
            Word::Group(group) => names.groups[group.index()].clone(),
            Word::Witness(witness) => names.witnesses[witness.index()].clone(),
            Word::Lines(fault) => fault.to_string(),
            Word::Way(Way::Both) => "both".to_string(),
            Word::Way(Way::From(side)) => format!("from-{}", names.nodes[side.index()]),
            Word::Noise(noise) => noise.to_string(),
            Word::Time(span) => Time(*span).to_string(),
            Word::Number(number) => number.to_string(),
        };
        std::iter::once(verb.to_string()).chain(words.iter().map(said)).collect::<Vec<_>>().join(" ")
    }

    fn words(&self) -> (&'static str, Vec<Word>) {
        use Word::{Group, Lines, Node, Number, Path, Witness};
        match *self {
            Self::PowerCut(s) => ("power-cut", vec![Node(s)]),
            Self::PowerOn(s) => ("power-on", vec![Node(s)]),
            Self::Freeze(s) => ("freeze", vec![Node(s)]),
            Self::Thaw(s) => ("thaw", vec![Node(s)]),
            Self::Start(s) => ("start", vec![Node(s)]),
            Self::KillAgent(s) => ("kill-agent", vec![Node(s)]),
            Self::KillGuard(s) => ("kill-guard", vec![Node(s)]),
            Self::Kill(s) => ("kill", vec![Node(s)]),
            Self::Respawn(s) => ("respawn", vec![Node(s)]),
            Self::Reload(s) => ("reload", vec![Node(s)]),
            Self::Upgrade(s) => ("upgrade", vec![Node(s)]),
            Self::HangAgent(s) => ("hang-agent", vec![Node(s)]),
            Self::HangGuard(s) => ("hang-guard", vec![Node(s)]),
            Self::Hang(s) => ("hang", vec![Node(s)]),
            Self::Continue(s) => ("continue", vec![Node(s)]),
            Self::Stall(s, span) => ("stall", vec![Node(s), Word::Time(span)]),
            Self::HoldUp(s, n, span) => ("hold-up", vec![Node(s), Number(n), Word::Time(span)]),
            Self::Cut(p, way) => ("cut", vec![Path(p), Word::Way(way)]),
            Self::Mend(p) => ("mend", vec![Path(p)]),
            Self::Loss(p, n) => ("loss", vec![Path(p), Number(n)]),
            Self::Delay(p, span) => ("delay", vec![Path(p), Word::Time(span)]),
            Self::Duplicate(p, n) => ("duplicate", vec![Path(p), Number(n)]),
            Self::BitErrors(p, n) => ("bit-errors", vec![Path(p), Number(n)]),
            Self::Noise(p, s, noise, span) => {
                ("noise", vec![Path(p), Node(s), Word::Noise(noise), Word::Time(span)])
            }
            Self::Loop(p, s) => ("loop", vec![Path(p), Node(s)]),
            Self::Replay(p, s) => ("replay", vec![Path(p), Node(s)]),
            Self::LinkDown(p, s) => ("link-down", vec![Path(p), Node(s)]),
            Self::LinkUp(p, s) => ("link-up", vec![Path(p), Node(s)]),
            Self::SwitchOff(p) => ("switch-off", vec![Path(p)]),
            Self::SwitchOn(p) => ("switch-on", vec![Path(p)]),
            Self::PortLost(p, s) => ("port-lost", vec![Path(p), Node(s)]),
            Self::PortBack(p, s) => ("port-back", vec![Path(p), Node(s)]),
            Self::Isolate(p, s) => ("isolate", vec![Path(p), Node(s)]),
            Self::Lines(p, s, fault) => ("lines", vec![Path(p), Node(s), Lines(fault)]),
            Self::Flap(p, s, span) => ("flap", vec![Path(p), Node(s), Word::Time(span)]),
            Self::FilterOn(p, s) => ("filter-on", vec![Path(p), Node(s)]),
            Self::FilterOff(p, s) => ("filter-off", vec![Path(p), Node(s)]),
            Self::AddressGone(s, g) => ("address-gone", vec![Node(s), Group(g)]),
            Self::Unready(s, g) => ("unready", vec![Node(s), Group(g)]),
            Self::Ready(s, g) => ("ready", vec![Node(s), Group(g)]),
            Self::CarrierDown(s, g) => ("carrier-down", vec![Node(s), Group(g)]),
            Self::CarrierUp(s, g) => ("carrier-up", vec![Node(s), Group(g)]),
            Self::StrangerComes(g) => ("stranger-comes", vec![Group(g)]),
            Self::StrangerGoes(g) => ("stranger-goes", vec![Group(g)]),
            Self::NeighboursGo(s) => ("neighbours-go", vec![Node(s)]),
            Self::NeighboursCome(s) => ("neighbours-come", vec![Node(s)]),
            Self::WitnessDown(w) => ("witness-down", vec![Witness(w)]),
            Self::WitnessUp(w) => ("witness-up", vec![Witness(w)]),
            Self::WitnessCut(w, s) => ("witness-cut", vec![Witness(w), Node(s)]),
            Self::WitnessMend(w) => ("witness-mend", vec![Witness(w)]),
            Self::WitnessLoss(w, n) => ("witness-loss", vec![Witness(w), Number(n)]),
            Self::WitnessDelay(w, span) => ("witness-delay", vec![Witness(w), Word::Time(span)]),
            Self::BadFence(s) => ("bad-fence", vec![Node(s)]),
            Self::GoodFence(s) => ("good-fence", vec![Node(s)]),
            Self::Key(s, n) => ("key", vec![Node(s), Number(u64::from(n))]),
            Self::Pair(s, n) => ("pair", vec![Node(s), Number(u64::from(n))]),
            Self::ReloadTo(s, n) => ("reload-to", vec![Node(s), Number(u64::from(n))]),
            Self::UpgradeTo(s, n) => ("upgrade-to", vec![Node(s), Number(u64::from(n))]),
            Self::Digest(s, n) => ("digest", vec![Node(s), Number(u64::from(n))]),
            Self::SlowScripts(s, span) => ("slow-scripts", vec![Node(s), Word::Time(span)]),
            Self::BadStarts(s) => ("bad-starts", vec![Node(s)]),
            Self::BadStops(s) => ("bad-stops", vec![Node(s)]),
            Self::GoodScripts(s) => ("good-scripts", vec![Node(s)]),
            Self::BadKernel(s) => ("bad-kernel", vec![Node(s)]),
            Self::BadRoutes(s) => ("bad-routes", vec![Node(s)]),
            Self::GoodKernel(s) => ("good-kernel", vec![Node(s)]),
            Self::Handover(s, g) => ("handover", vec![Node(s), Group(g)]),
            Self::Takeover(s, g) => ("takeover", vec![Node(s), Group(g)]),
            Self::PeerIsOff(s, g) => ("peer-is-off", vec![Node(s), Group(g)]),
            Self::Standby(s) => ("standby", vec![Node(s)]),
            Self::ForceStandby(s) => ("force-standby", vec![Node(s)]),
            Self::Online(s) => ("online", vec![Node(s)]),
            Self::Maintenance(s, span) => ("maintenance", vec![Node(s), Word::Time(span)]),
            Self::Stop(s) => ("stop", vec![Node(s)]),
        }
    }

    /// Reads one fault. A path's way may be left out: both.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        let mut read = Reader { names, words: text.split_whitespace() };
        let verb = read.words.next().ok_or("a fault is missing")?;
        let fault = read.fault(verb)?;
        match read.words.next() {
            Some(more) => Err(format!("`{more}` is one word too many")),
            None => Ok(fault),
        }
    }
}

struct Reader<'a> {
    names: &'a Names,
    words: std::str::SplitWhitespace<'a>,
}

impl Reader<'_> {
    fn fault(&mut self, verb: &str) -> Result<Fault, String> {
        Ok(match verb {
            "power-cut" => Fault::PowerCut(self.node()?),
            "power-on" => Fault::PowerOn(self.node()?),
            "freeze" => Fault::Freeze(self.node()?),
            "thaw" => Fault::Thaw(self.node()?),
            "start" => Fault::Start(self.node()?),
            "kill-agent" => Fault::KillAgent(self.node()?),
            "kill-guard" => Fault::KillGuard(self.node()?),
            "kill" => Fault::Kill(self.node()?),
            "respawn" => Fault::Respawn(self.node()?),
            "reload" => Fault::Reload(self.node()?),
            "upgrade" => Fault::Upgrade(self.node()?),
            "hang-agent" => Fault::HangAgent(self.node()?),
            "hang-guard" => Fault::HangGuard(self.node()?),
            "hang" => Fault::Hang(self.node()?),
            "continue" => Fault::Continue(self.node()?),
            "stall" => Fault::Stall(self.node()?, self.time()?),
            "hold-up" => Fault::HoldUp(self.node()?, self.number()?, self.time()?),
            "cut" => Fault::Cut(self.path()?, self.way()?),
            "mend" => Fault::Mend(self.path()?),
            "loss" => Fault::Loss(self.path()?, self.number()?),
            "delay" => Fault::Delay(self.path()?, self.time()?),
            "duplicate" => Fault::Duplicate(self.path()?, self.number()?),
            "bit-errors" => Fault::BitErrors(self.path()?, self.number()?),
            "noise" => Fault::Noise(self.path()?, self.node()?, self.parsed()?, self.time()?),
            "loop" => Fault::Loop(self.path()?, self.node()?),
            "replay" => Fault::Replay(self.path()?, self.node()?),
            "link-down" => Fault::LinkDown(self.path()?, self.node()?),
            "link-up" => Fault::LinkUp(self.path()?, self.node()?),
            "switch-off" => Fault::SwitchOff(self.path()?),
            "switch-on" => Fault::SwitchOn(self.path()?),
            "port-lost" => Fault::PortLost(self.path()?, self.node()?),
            "port-back" => Fault::PortBack(self.path()?, self.node()?),
            "isolate" => Fault::Isolate(self.path()?, self.node()?),
            "lines" => Fault::Lines(self.path()?, self.node()?, self.parsed()?),
            "flap" => Fault::Flap(self.path()?, self.node()?, self.time()?),
            "filter-on" => Fault::FilterOn(self.path()?, self.node()?),
            "filter-off" => Fault::FilterOff(self.path()?, self.node()?),
            "address-gone" => Fault::AddressGone(self.node()?, self.group()?),
            "unready" => Fault::Unready(self.node()?, self.group()?),
            "ready" => Fault::Ready(self.node()?, self.group()?),
            "carrier-down" => Fault::CarrierDown(self.node()?, self.group()?),
            "carrier-up" => Fault::CarrierUp(self.node()?, self.group()?),
            "stranger-comes" => Fault::StrangerComes(self.group()?),
            "stranger-goes" => Fault::StrangerGoes(self.group()?),
            "neighbours-go" => Fault::NeighboursGo(self.node()?),
            "neighbours-come" => Fault::NeighboursCome(self.node()?),
            "witness-down" => Fault::WitnessDown(self.witness()?),
            "witness-up" => Fault::WitnessUp(self.witness()?),
            "witness-cut" => Fault::WitnessCut(self.witness()?, self.node()?),
            "witness-mend" => Fault::WitnessMend(self.witness()?),
            "witness-loss" => Fault::WitnessLoss(self.witness()?, self.number()?),
            "witness-delay" => Fault::WitnessDelay(self.witness()?, self.time()?),
            "bad-fence" => Fault::BadFence(self.node()?),
            "good-fence" => Fault::GoodFence(self.node()?),
            "key" => Fault::Key(self.node()?, self.parsed()?),
            "pair" => Fault::Pair(self.node()?, self.parsed()?),
            "reload-to" => Fault::ReloadTo(self.node()?, self.parsed()?),
            "upgrade-to" => Fault::UpgradeTo(self.node()?, self.parsed()?),
            "digest" => Fault::Digest(self.node()?, self.parsed()?),
            "slow-scripts" => Fault::SlowScripts(self.node()?, self.time()?),
            "bad-starts" => Fault::BadStarts(self.node()?),
            "bad-stops" => Fault::BadStops(self.node()?),
            "good-scripts" => Fault::GoodScripts(self.node()?),
            "bad-kernel" => Fault::BadKernel(self.node()?),
            "bad-routes" => Fault::BadRoutes(self.node()?),
            "good-kernel" => Fault::GoodKernel(self.node()?),
            "handover" => Fault::Handover(self.node()?, self.group()?),
            "takeover" => Fault::Takeover(self.node()?, self.group()?),
            "peer-is-off" => Fault::PeerIsOff(self.node()?, self.group()?),
            "standby" => Fault::Standby(self.node()?),
            "force-standby" => Fault::ForceStandby(self.node()?),
            "online" => Fault::Online(self.node()?),
            "maintenance" => Fault::Maintenance(self.node()?, self.time()?),
            "stop" => Fault::Stop(self.node()?),
            _ => return Err(format!("there is no fault called `{verb}`")),
        })
    }

    fn word(&mut self, what: &str) -> Result<&str, String> {
        self.words.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn node(&mut self) -> Result<Side, String> {
        let [a, b] = self.names.nodes.clone();
        let word = self.word("a node")?;
        match word {
            _ if word == a => Ok(Side::A),
            _ if word == b => Ok(Side::B),
            _ => Err(format!("`{word}` is no node: they are {a} and {b}")),
        }
    }

    fn path(&mut self) -> Result<PathId, String> {
        self.one_of("path", &self.names.paths).map(PathId)
    }

    fn group(&mut self) -> Result<GroupId, String> {
        self.one_of("group", &self.names.groups).map(GroupId)
    }

    fn witness(&mut self) -> Result<WitnessId, String> {
        self.one_of("witness", &self.names.witnesses).map(WitnessId)
    }

    fn one_of(&mut self, what: &str, names: &[String]) -> Result<u8, String> {
        let word = self.words.next().ok_or_else(|| format!("a {what} is missing"))?;
        let index = names.iter().position(|name| name == word);
        let known = || match names {
            [] => format!("`{word}` is no {what}: there is none"),
            names => format!("`{word}` is no {what}: they are {}", names.join(", ")),
        };
        index.and_then(|index| u8::try_from(index).ok()).ok_or_else(known)
    }

    fn way(&mut self) -> Result<Way, String> {
        let [a, b] = &self.names.nodes;
        match self.words.next() {
            None | Some("both") => Ok(Way::Both),
            Some(word) if word.strip_prefix("from-") == Some(a) => Ok(Way::From(Side::A)),
            Some(word) if word.strip_prefix("from-") == Some(b) => Ok(Way::From(Side::B)),
            Some(word) => Err(format!("`{word}` is no way: say both, from-{a} or from-{b}")),
        }
    }

    fn time(&mut self) -> Result<Span, String> {
        parse_time(self.word("a time")?)
    }

    fn number(&mut self) -> Result<u64, String> {
        self.parsed()
    }

    fn parsed<T: FromStr>(&mut self) -> Result<T, String> {
        let word = self.word("a value")?;
        word.parse().map_err(|_| format!("`{word}` is not understood here"))
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::Text => "text",
            Self::Zeros => "zeros",
        })
    }
}

impl FromStr for Noise {
    type Err = ();
    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Random, Self::Text, Self::Zeros].into_iter().find(|noise| noise.to_string() == word).ok_or(())
    }
}

/// What the text says of each.
const LINE_FAULTS: [(LineFault, &str); 4] = [
    (LineFault::Good, "good"),
    (LineFault::StuckOn, "stuck-on"),
    (LineFault::StuckOff, "stuck-off"),
    (LineFault::HoldsOn, "holds-on"),
];

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, word) = LINE_FAULTS.iter().find(|(fault, _)| fault == self).ok_or(fmt::Error)?;
        f.write_str(word)
    }
}

impl FromStr for LineFault {
    type Err = ();
    fn from_str(word: &str) -> Result<Self, ()> {
        LINE_FAULTS.into_iter().find(|(_, name)| *name == word).map(|(fault, _)| fault).ok_or(())
    }
}

/// A span as scripts and traces write it: exact, in the largest unit that needs no fraction.
pub struct Time(pub Span);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_us() {
            us if us % 1_000_000 == 0 => write!(f, "{}s", us / 1_000_000),
            us if us % 1_000 == 0 => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}

/// Reads `10s`, `1.5s`, `250ms`, `90us`, `3m` or `2h`.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_time(word: &str) -> Result<Span, String> {
    let units = [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
    let wrong = || format!("`{word}` is no time: write it as 10s, 1.5s, 250ms, 90us, 3m or 2h");
    let split = word.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = word.split_at(split);
    let (_, unit_us) = units.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 6 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part_millionths: u64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    let us = whole.saturating_mul(unit_us).saturating_add(part_millionths * unit_us / 1_000_000);
    Ok(Span::from_us(us))
}
