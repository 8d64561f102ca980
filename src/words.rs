//! What happened, in words: one line an event, for the log and for people.

use crosswire::frame::Refusal;
use crosswire::health::{LineReading, PathState, WitnessView};
use crosswire::pair::{GroupId, PathId, Role, Trouble, Word};
use crosswire::quorum::facts::Claim;
use crosswire::quorum::probe::Finding;
use crosswire::quorum::record::{Evidence, Incident, Record};
use crosswire::reasons::{Block, Denial, ReleaseReason, TakeReason, Verdict};
use crosswire::resource::{Condition, Fault};
use log::Level;

/// The names that a record's ids stand for.
pub struct Names {
    pub peer: String,
    pub paths: Vec<String>,
    pub groups: Vec<String>,
    /// By group, those of its scripts, one a line.
    pub scripts: Vec<String>,
    pub key_file: String,
}

impl Names {
    pub fn path(&self, path: PathId) -> &str {
        self.paths.get(path.index()).map_or("?", String::as_str)
    }

    /// Those of a group's scripts, one a line.
    fn scripts(&self, group: GroupId) -> &str {
        self.scripts.get(group.index()).map_or("", String::as_str)
    }

    pub fn group(&self, group: GroupId) -> &str {
        self.groups.get(group.index()).map_or("?", String::as_str)
    }
}

/// A record as a log line.
pub fn sentence(record: &Record, names: &Names) -> (Level, String) {
    let peer = names.peer.as_str();
    match *record {
        Record::Path { path, from: PathState::Blind, to: PathState::Unproven } => {
            (Level::Info, format!("path {}: open, {peer} not heard yet", names.path(path)))
        }
        Record::Path { path, from, to } => {
            let level =
                if to == PathState::OnTime || from == PathState::Blind { Level::Info } else { Level::Warn };
            (level, format!("path {}: {} (was {})", names.path(path), path_state(to), path_state(from)))
        }
        Record::Refused { path, refusal } => (
            Level::Warn,
            format!("path {}: {}", names.path(path), refusal_advice(refusal, names.path(path), names)),
        ),
        Record::Verdict { from, to } => {
            let level = if to == Verdict::Present { Level::Info } else { Level::Warn };
            (level, format!("{peer} is {} (was {})", verdict(to), verdict(from)))
        }
        Record::Jeopardy(true) => (
            Level::Warn,
            "jeopardy: a path is down; one more fault, and nobody may take over by itself".to_string(),
        ),
        Record::Jeopardy(false) => (Level::Info, "jeopardy is over: every path testifies".to_string()),
        Record::PeerStarted => (Level::Info, format!("{peer}: a new run of its agent is heard")),
        Record::DigestDiffers(true) => {
            let advice = "compare the two files (`crosswire check` on both); until then nothing is handed \
                over on request";
            (Level::Error, format!("{peer} runs with another configuration: {advice}"))
        }
        Record::TermsUsedUp(group) => (
            Level::Warn,
            format!(
                "group {}: its term is the highest that there is: of two nodes that serve it, the preferred \
                    one stays, else the \
                 lower name. Stop crosswire on both nodes at once, then start it: terms begin anew",
                names.group(group)
            ),
        ),
        Record::DigestDiffers(false) => {
            (Level::Info, format!("{peer} runs with the same configuration again"))
        }
        Record::Taking { group, term, reason, .. } => (
            Level::Warn,
            format!("group {}: taking it as term {term}: {}", names.group(group), take_reason(reason, peer)),
        ),
        Record::Releasing { group, reason, .. } => (
            Level::Warn,
            format!("group {}: releasing it: {}", names.group(group), release_reason(reason, peer)),
        ),
        Record::Role { group, from, to } => {
            (Level::Info, format!("group {}: {} (was {})", names.group(group), role(to), role(from)))
        }
        Record::Blocked { group, block: reason, wait, .. } => {
            let is_alarm = matches!(reason, Block::VipAnswers | Block::FenceFailed | Block::ProbeImpossible);
            let level = if is_alarm { Level::Warn } else { Level::Info };
            let more = wait.map_or_else(String::new, |wait| format!(", {wait} more"));
            (level, format!("group {}: not taking it: {}{more}", names.group(group), block(reason, peer)))
        }
        Record::Fault { group, fault: cause } => {
            (Level::Error, format!("group {}: {}", names.group(group), fault(cause, names.scripts(group))))
        }
        Record::Scripts { group, condition: how } => {
            let level = if how == Condition::Well { Level::Info } else { Level::Error };
            (level, format!("group {}: {}", names.group(group), condition(how, peer, names.scripts(group))))
        }
        Record::Deaf { path, is_deaf: true } => (
            Level::Warn,
            format!(
                "path {}: probe impossible: {peer} is heard here but answers no ARP or neighbour discovery; \
                    look for a filter, arp_ignore or NOARP on both boxes",
                names.path(path)
            ),
        ),
        Record::Deaf { path, is_deaf: false } => {
            (Level::Info, format!("path {}: {peer} answers again: probes are believed", names.path(path)))
        }
        Record::VipAnswered { group, mac: m } => {
            (Level::Info, format!("group {}: {} answers for an address of it", names.group(group), mac(m)))
        }
        Record::VipContested { group, mac: m } => {
            let what = "claims an address of it, which is served here: announcing ours again";
            (Level::Warn, format!("group {}: {} {what}", names.group(group), mac(m)))
        }
        Record::Fence { group, confirmed } => match confirmed {
            None => (Level::Warn, format!("group {}: fencing {peer}", names.group(group))),
            Some(true) => (
                Level::Warn,
                format!("group {}: the fence is confirmed: {peer} holds nothing", names.group(group)),
            ),
            Some(false) => {
                (Level::Error, format!("group {}: the fence could not be confirmed", names.group(group)))
            }
        },
        Record::Lines { path, reading } => {
            let level = if reading == LineReading::Dropped { Level::Warn } else { Level::Info };
            (level, format!("path {}: {}", names.path(path), line_reading(reading, peer)))
        }
        Record::Reloaded => {
            (Level::Info, "the configuration was read anew: another agent goes on with it".to_string())
        }
        Record::Script { group, script, is_start } => {
            let what = if is_start { "starts" } else { "stops" };
            (
                Level::Info,
                format!(
                    "group {}: {} {what}",
                    names.group(group),
                    self::script(names.scripts(group), script)
                ),
            )
        }
        Record::Succeeded => {
            (Level::Warn, "the agent died or hung: another one goes on in its place".to_string())
        }
        Record::Stall(gap) => {
            (Level::Warn, format!("paused {gap} (load, or stopped): silence is judged afresh"))
        }
        Record::GuardLost => {
            (Level::Error, "the guard is gone: this node cannot serve until it is restarted".to_string())
        }
        Record::GuardSilent(true) => (
            Level::Error,
            "the guard gives no sign of life: this node cannot serve until it does".to_string(),
        ),
        Record::GuardSilent(false) => (Level::Info, "the guard answers again".to_string()),
        Record::PeerTrouble(Trouble::None) => (Level::Info, format!("{peer} can serve again")),
        Record::PeerTrouble(why) => {
            (Level::Warn, format!("{peer} cannot serve: {}; nobody takes over from this node", trouble(why)))
        }
        Record::Standby(true) => {
            (Level::Warn, "standby: this node holds nothing until it is told `online`".to_string())
        }
        Record::Standby(false) => (Level::Info, "online: this node may serve again".to_string()),
        Record::StandbyYielded => (
            Level::Warn,
            format!("{peer} is in standby too: this node is back online, so that somebody serves"),
        ),
        Record::Maintenance(Some(lasts)) => {
            (Level::Warn, format!("maintenance: nothing is moved for {lasts}"))
        }
        Record::Maintenance(None) => (Level::Info, "maintenance is over".to_string()),
        Record::BothServe(group) => {
            let what = format!("BOTH NODES SERVE IT, and {peer} does not let it go: stop {peer}");
            (Level::Error, format!("group {}: {what}", names.group(group)))
        }
        Record::Incident(incident) => (Level::Error, incident_words(&incident, names)),
        Record::PeerUnable { group, is_unable } => {
            let (level, could) = if is_unable { (Level::Warn, "could not") } else { (Level::Info, "could") };
            (level, format!("group {}: {peer} {could} take it over", names.group(group)))
        }
        Record::Leaving => (Level::Info, "everything is released: saying goodbye".to_string()),
    }
}

/// An interface has the hardware address of another box's, which is taken to be the peer.
pub fn twin(interface: &str, hardware: [u8; 6], peer: &str) -> String {
    format!(
        "{interface}: another box on it (is it {peer}?) has its hardware address, {}: switches send what is \
            for one of them to \
         the other; give each its own",
        mac(hardware)
    )
}

/// So many of them: `1 frame`, `2 frames`.
pub fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A hardware address.
pub fn mac(m: [u8; 6]) -> String {
    format!("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
}

/// Two nodes that served at once: start, end, cause.
fn incident_words(incident: &Incident, names: &Names) -> String {
    let Incident { group, is_kept, began, settled_in, unheard } = *incident;
    let (group, peer) = (names.group(group), names.peer.as_str());
    let cause = match unheard {
        Some(lasted) => format!("no path had heard {peer} for {lasted}"),
        None => format!("{peer} was heard all the while"),
    };
    let end = if is_kept { format!("{peer} let it go") } else { "this node let it go".to_string() };
    format!(
        "group {group}: INCIDENT: both nodes served it, for {began} at most; {cause}; {end} {settled_in} \
            after the first frame"
    )
}

/// A path's state.
pub const fn path_state(state: PathState) -> &'static str {
    match state {
        PathState::Unproven => "unproven",
        PathState::OnTime => "on time",
        PathState::Late => "late",
        PathState::Silent => "silent",
        PathState::Broken => "broken",
        PathState::Noisy => "noisy",
        PathState::Refused => "refused",
        PathState::Blind => "blind",
    }
}

/// What a path's modem lines say.
pub fn line_reading(reading: LineReading, peer: &str) -> String {
    match reading {
        LineReading::Unknown => format!(
            "its modem lines are not believed: not on for dead_after while {peer} was heard, or off while it \
                was"
        ),
        LineReading::Running { holds: true } => {
            format!("lines on: {peer}'s agent, or a login on its port, runs and holds services")
        }
        LineReading::Running { holds: false } => {
            format!("lines on: {peer}'s agent, or a login on its port, runs and holds nothing")
        }
        LineReading::Dropped => {
            format!("lines dropped: {peer}'s port is closed, its box is off, or the cable is pulled")
        }
    }
}

/// A verdict.
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Present | Verdict::Unintelligible => "present",
        Verdict::Departed => "departed",
        Verdict::Dead => "dead",
        Verdict::Doubtful => "doubtful",
    }
}

/// What a node says to its peer about a group.
pub const fn word(word: Word) -> &'static str {
    match word {
        Word::None => "none",
        Word::Offered => "offered",
        Word::Wanted => "wanted",
        Word::Yielded => "yielded",
        Word::Unable => "unable",
        Word::Unready => "unready",
    }
}

/// What the peer says that it is for a group.
pub fn claim(claim: Claim, peer: &str) -> String {
    match claim {
        Claim::Unknown => format!("{peer} says nothing of the group"),
        Claim::Serves => format!("{peer} says that it serves"),
        Claim::Releases => format!("{peer} says that it is releasing"),
        Claim::Offers => format!("{peer} says that it let go for us"),
        Claim::Free => format!("{peer} says that it holds nothing"),
    }
}

/// What the wire says of a group's addresses.
pub fn finding(finding: Finding, peer: &str) -> String {
    match finding {
        Finding::Unknown => "no probe has run".to_string(),
        Finding::Impossible => "the wire cannot be probed".to_string(),
        Finding::VipAnswers => "somebody answers for the address".to_string(),
        Finding::VipLetGo => format!("{peer}'s box answers, and has let the address go"),
        Finding::PeerAnswers => {
            format!("{peer}'s box answers or did so lately; nobody answers for the address")
        }
        Finding::Clear => "nobody answers the probe".to_string(),
    }
}

/// What the witnesses say. Only an answer to a question that left after the peer's last frame counts: while
/// the peer is heard none can, and right after that none has come yet.
pub fn witness(s: &Evidence, peer: &str) -> String {
    match s.witness {
        WitnessView::None => "no witness".to_owned(),
        WitnessView::Seen => "a witness answers".to_owned(),
        WitnessView::Unseen if s.verdict == Verdict::Present => {
            format!("witness: not asked, {peer} is heard")
        }
        WitnessView::Unseen if !s.has_drift_passed => "witness: asked, no answer yet".to_owned(),
        WitnessView::Unseen => "no witness answers".to_owned(),
    }
}

/// Why a box was reset last, from the bits of `WDIOC_GETBOOTSTATUS` (linux/watchdog.h).
pub fn reset_cause(boot_status: u32) -> &'static str {
    let causes = [
        (0x20, "by the watchdog"),
        (0x01, "too hot"),
        (0x02, "a fan failed"),
        (0x10, "power bad"),
        (0x40, "power too high"),
        (0x04 | 0x08, "by an external relay"),
    ];
    causes.iter().find(|(bit, _)| boot_status & bit != 0).map_or("not by the watchdog", |(_, cause)| cause)
}

/// A role.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Backup => "backup",
        Role::Acquiring => "acquiring",
        Role::Active => "active",
        Role::Releasing => "releasing",
        Role::Faulty => "faulty",
    }
}

/// Why a node cannot serve; empty if it can.
pub const fn trouble(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::None => "",
        Trouble::GuardLost => "its guard is gone",
        Trouble::GuardSilent => "its guard does not answer",
        Trouble::Other => "for a reason that this version does not know",
    }
}

/// What was refused.
pub const fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Length => "noise",
        Refusal::Crc => "bad CRC",
        Refusal::Version => "other protocol version",
        Refusal::Pair => "other pair",
        Refusal::Looped => "own echo",
        Refusal::SameNode => "same node name",
        Refusal::Path => "wrong path",
        Refusal::TooOften => "came in a burst",
        Refusal::Session => "stale session",
        Refusal::UnknownKey => "unknown key id",
        Refusal::Authenticator => "wrong key",
        Refusal::Number => "repeated",
        Refusal::Decode => "undecodable",
    }
}

/// What programs are told of it, which stays.
pub fn refusal_code(kind: Refusal) -> String {
    match kind {
        Refusal::TooOften => "too_often".to_owned(),
        other => refusal(other).replace(' ', "_"),
    }
}

/// What was refused on that path, why it matters, and what to do.
pub fn refusal_advice(kind: Refusal, path: &str, names: &Names) -> String {
    if let Some(advice) = lan_advice(kind).filter(|_| path.starts_with("lan")) {
        return advice.to_string();
    }
    let key = &names.key_file;
    match kind {
        Refusal::Length | Refusal::Crc => {
            "bytes arrive that are no frames: somebody prints on the cable (a console, BIOS or login: turn \
                it off there), \
             another program reads our port (`fuser -v`), another baud rate, or a bad cable; while it lasts, \
             a box that is \
             off is taken over by `takeover GROUP --peer-is-off` alone"
                .to_string()
        }
        Refusal::Version => {
            "a frame of another protocol version: bring both nodes to the same one, unless cable-test runs \
                there"
                .to_string()
        }
        Refusal::Pair => "a frame of another pair: check where the cable goes, and `pair` in both \
                configurations"
            .to_string(),
        Refusal::Looped => {
            "our own frames come back: a loopback plug, a straight instead of a null-modem cable, or a login \
                there that \
             echoes"
                .to_string()
        }
        Refusal::SameNode => {
            "another box claims to be this node: give each box its own name (`uname -n`, or \
                --node)"
                .to_string()
        }
        Refusal::Path => "a frame that was sent on another path: two cables are swapped".to_string(),
        Refusal::UnknownKey => {
            format!(
                "frames with a key id that {key} does not have: copy the key file from one node to the \
                other"
            )
        }
        Refusal::Authenticator => {
            format!(
                "frames with a good CRC but another key: the two nodes' keys differ; copy {key} from one \
                    node to the other, \
                 unless another pair of the same name is at that end: check where the cable goes"
            )
        }
        Refusal::Decode => "an authentic frame that does not decode: bring both nodes to the same \
            version"
            .to_string(),
        Refusal::TooOften | Refusal::Session | Refusal::Number => "a stale frame".to_string(),
    }
}

/// Where a LAN has another cause than a cable.
const fn lan_advice(kind: Refusal) -> Option<&'static str> {
    match kind {
        Refusal::Length | Refusal::Crc => Some(
            "datagrams arrive that are no frames: look for another program on this port, or for what damages \
                them on the way",
        ),
        Refusal::Pair => {
            Some("a frame of another pair: check the nodes' addresses, and `pair` in both configurations")
        }
        Refusal::Looped => Some(
            "our own frames come back: something on this LAN sends them back, or the peer's address leads \
                here",
        ),
        Refusal::Path => {
            Some("a frame that was sent on another path: the LANs stand in another order in one of the files")
        }
        Refusal::Version
        | Refusal::SameNode
        | Refusal::TooOften
        | Refusal::Session
        | Refusal::UnknownKey
        | Refusal::Authenticator
        | Refusal::Number
        | Refusal::Decode => None,
    }
}

/// Why a group is taken.
pub fn take_reason(reason: TakeReason, peer: &str) -> String {
    match reason {
        TakeReason::Offered => format!("{peer} let it go for us"),
        TakeReason::Departed => format!("{peer} said goodbye"),
        TakeReason::Dead => format!("{peer} is off or hangs: every path that testifies is silent"),
        TakeReason::Vacant => "nobody serves it and it is our turn".to_string(),
        TakeReason::ColdStart => format!("{peer} was not heard during cold start"),
        TakeReason::Jeopardy => format!("{peer} is doubtful, and in_jeopardy lets us take over"),
        TakeReason::PeerIsOff => format!("the operator says that {peer} is off"),
    }
}

/// Why a group is released.
pub fn release_reason(reason: ReleaseReason, peer: &str) -> String {
    match reason {
        ReleaseReason::Stopping => "we were told to stop".to_string(),
        ReleaseReason::Handover => "the operator asked for a handover".to_string(),
        ReleaseReason::PeerWants => format!("the operator of {peer} asked for it"),
        ReleaseReason::Standby => "the operator wants this node in standby".to_string(),
        ReleaseReason::WorseOff => format!("{peer} is better off: it has carrier, or sees more witnesses"),
        ReleaseReason::NoCarrier => {
            "an interface of it has no carrier, and nobody acknowledged us in time".to_string()
        }
        ReleaseReason::UnheardByPeer => format!("{peer} hears us on no path and will take over"),
        ReleaseReason::LeaseLapsed => "its lease was not renewed in time".to_string(),
        ReleaseReason::LostTie => format!("{peer} is active too, and wins"),
        ReleaseReason::ScriptFailed => "one of its scripts does not run here".to_string(),
        ReleaseReason::AddressRefused => "the kernel refuses an address of it here".to_string(),
        ReleaseReason::Overtaken => {
            "it may not be taken now that the scripts before its addresses ran".to_string()
        }
        ReleaseReason::WitnessUnseen => "no witness answers, and nobody acknowledged us in time".to_string(),
    }
}

/// How the scripts of a group are.
pub fn condition(condition: Condition, peer: &str, scripts: &str) -> String {
    let (index, how) = match condition {
        Condition::Well => return "its scripts are well".to_string(),
        Condition::Restarting(index) => (index, "has failed: it is started again here"),
        Condition::Unfit(index) => {
            return format!(
                "{} fails again and again: {peer} shall serve, if it can",
                script(scripts, index)
            );
        }
        Condition::Stuck(index) => (index, "has failed and does not stop"),
    };
    format!("{} {how}", script(scripts, index))
}

/// What a script is called; `scripts` are the names of its group's, one a line.
fn script(scripts: &str, index: u8) -> String {
    let named = scripts.lines().nth(usize::from(index)).map(str::to_owned);
    named.unwrap_or_else(|| format!("script {}", u32::from(index) + 1))
}

/// Why a group is not taken.
pub fn block(block: Block, peer: &str) -> String {
    match block {
        Block::PeerServes => format!("{peer} serves it"),
        Block::PeerReleases => format!("{peer} is releasing it"),
        Block::NoReport => format!("{peer} is there but has not said what it holds"),
        Block::PeersTurn => format!("nobody serves it; {peer} goes first"),
        Block::JustOffered => format!("just handed to {peer}"),
        Block::Unsteady => format!("it was lost to {peer} again and again, and waits"),
        Block::Unheard => format!("{peer} hears us on no path and would not know that we serve"),
        Block::ColdStart => format!("cold start: listening for {peer}"),
        Block::Stopping => "this node is stopping".to_string(),
        Block::GuardLost => "the guard cannot act".to_string(),
        Block::NoCarrier => "an interface of it has no carrier here".to_string(),
        Block::Stalled => "it has just started, or was paused: two beats have to pass first".to_string(),
        Block::Refused => {
            format!(
                "somebody on the cable is not understood: the keys or configurations of the two nodes \
                    differ, {peer} is another version, or the cable leads to another pair (`status` says \
                    what is known)"
            )
        }
        Block::Jeopardy => {
            format!(
                "no path hears {peer}, and too few testify for that to prove anything (in_jeopardy \
                    = \"hold\")"
            )
        }
        Block::ProbePending => "the probe for its addresses is not done".to_string(),
        Block::VipAnswers => "somebody answers for an address of it".to_string(),
        Block::ProbeImpossible => {
            format!(
                "probe impossible: who holds its addresses cannot be asked; if you have seen that {peer} is \
                    off, say `takeover GROUP --peer-is-off`"
            )
        }
        Block::PeerAnswers => {
            format!("{peer}'s box has power and may be hung: waiting until it must have let go")
        }
        Block::Lease => {
            format!("{peer}'s box may be hung and hold it still: waiting until it must have let go")
        }
        Block::Drift => "dead_after has passed; allowing for clock drift".to_string(),
        Block::WitnessUnseen => "no witness answers: it may be this node that is cut off".to_string(),
        Block::FencePending => format!("waiting for the fence of {peer} to be confirmed"),
        Block::FenceFailed => format!("the fence of {peer} could not be confirmed"),
        Block::Exclusive => format!("it is exclusive, and {peer}'s scripts may still run"),
        Block::Faulty => "it failed here; trying again later".to_string(),
        Block::Standby => "this node is in standby; `crosswire online` ends that".to_string(),
        Block::Maintenance => {
            "maintenance: nothing is moved; `crosswire maintenance off` ends that".to_string()
        }
        Block::PeerMaintenance => {
            format!("{peer} was last heard in maintenance: nothing is moved until that is over")
        }
    }
}

/// Why an operator's request is refused, and what to do instead.
pub fn denial(denial: Denial, peer: &str) -> String {
    match denial {
        Denial::NoSuchGroup => "there is no such group; `crosswire status` lists them".to_string(),
        Denial::NotActive => {
            "this node does not serve it: ask on the node that does, or say `takeover` here".to_string()
        }
        Denial::AlreadyActive => "this node serves it already".to_string(),
        Denial::PeerNotHeard => {
            format!(
                "{peer} is not heard on time; if you have seen that it is off, say `takeover GROUP \
                    --peer-is-off`"
            )
        }
        Denial::PeerIsHeard => {
            format!("{peer} is heard, so it is not off: say `takeover` without --peer-is-off")
        }
        Denial::PeerUnable => format!("{peer} cannot serve it now; `crosswire status` says why"),
        Denial::ConfigurationsDiffer => {
            "the configurations of the two nodes differ: make them the same first".to_string()
        }
        Denial::Unable => "this node cannot serve it now; `crosswire status` says why".to_string(),
        Denial::Standby => "this node is in standby: say `crosswire online` first".to_string(),
        Denial::PeerStandby => {
            format!(
                "{peer} is in standby, so nobody would serve: say `crosswire online` there first, or --force \
                    here"
            )
        }
        Denial::Maintenance => {
            "this node is in maintenance: say `crosswire maintenance off` first".to_string()
        }
        Denial::PeerMaintenance => {
            format!("{peer} is in maintenance: say `crosswire maintenance off` there first")
        }
    }
}

/// Why an order failed.
pub fn fault(fault: Fault, scripts: &str) -> String {
    match fault {
        Fault::TooLate => "an order reached the guard too late and was not carried out".to_string(),
        Fault::OutOfOrder => "the guard does not hold what it was asked to renew".to_string(),
        Fault::NoInterface => "an interface of it does not exist here".to_string(),
        Fault::Kernel(errno) => format!("the kernel refused: {}", nix::errno::Errno::from_raw(errno).desc()),
        Fault::StillThere => "an address is still there after its removal; trying again".to_string(),
        Fault::ProbeUnanswered => {
            "probe impossible: not even a peer that is heard on the LAN answers ARP or neighbour discovery"
                .to_string()
        }
        Fault::NoWatchdog => "the watchdog cannot be armed, and nothing is held without it".to_string(),
        Fault::NoFence => "no fence could be confirmed".to_string(),
        Fault::ScriptStart(index) => {
            format!("{} did not start: it failed, or took too long", script(scripts, index))
        }
        Fault::ScriptStop(index) => {
            format!("{} did not stop; its addresses are gone", script(scripts, index))
        }
        Fault::Refused(index, errno) => {
            let word = nix::errno::Errno::from_raw(errno).desc();
            format!("the kernel refuses an address of it (number {}): {word}", u32::from(index) + 1)
        }
    }
}
