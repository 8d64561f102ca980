//! Records of the decision as log lines.

use crosswire::health::{LineReading, PathState};
use crosswire::pair::{Inability, Trouble};
use crosswire::quorum::record::{Incident, Record};
use crosswire::reasons::{Block, Verdict};
use crosswire::resource::Condition;
use log::Level;

use super::{
    Names, ScriptEnd, block, condition, fault, line_reading, mac, path_state, refusal_advice, release_reason,
    role, script, take_reason, trouble, verdict,
};

/// A record as a log line; `end` is how the script that it names failed.
pub fn sentence(record: &Record, end: ScriptEnd, names: &Names) -> (Level, String) {
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
            "jeopardy: a path is down, and silence on the rest proves nothing; `crosswire status` says what \
                one more fault would do"
                .to_string(),
        ),
        Record::Jeopardy(false) => (Level::Info, "jeopardy is over: every path testifies".to_string()),
        Record::PeerStarted => (Level::Info, format!("{peer}: a new run of its agent is heard")),
        Record::DigestDiffers(true) => {
            let how = if cfg!(feature = "compare") {
                "`crosswire check --peer` names the keys"
            } else {
                "`crosswire check` on both"
            };
            let advice =
                format!("compare the two files ({how}); until then nothing is handed over on request");
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
            format!(
                "group {}: {} it as term {term}: {}",
                names.group(group),
                names.done("taking", "would take"),
                take_reason(reason, peer)
            ),
        ),
        Record::Releasing { group, reason, .. } => (
            Level::Warn,
            format!(
                "group {}: {} it: {}",
                names.group(group),
                names.done("releasing", "would release"),
                release_reason(reason, peer)
            ),
        ),
        Record::Role { group, from, to } => (
            Level::Info,
            format!(
                "group {}: {}{} (was {})",
                names.group(group),
                names.done("", "would be "),
                role(to),
                role(from)
            ),
        ),
        Record::Blocked { group, block: reason, wait, .. } => {
            let is_alarm = matches!(reason, Block::VipAnswers | Block::FenceFailed | Block::ProbeImpossible);
            let level = if is_alarm { Level::Warn } else { Level::Info };
            let more = wait.map_or_else(String::new, |wait| format!(", {wait} more"));
            (level, format!("group {}: not taking it: {}{more}", names.group(group), block(reason, peer)))
        }
        Record::Fault { group, fault: cause } => (
            Level::Error,
            format!("group {}: {}", names.group(group), fault(cause, names.scripts(group), end)),
        ),
        Record::Scripts { group, condition: how } => {
            let level = if how == Condition::Well { Level::Info } else { Level::Error };
            (
                level,
                format!("group {}: {}", names.group(group), condition(how, peer, names.scripts(group), end)),
            )
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
        Record::CutOff { interface, is_cut_off: true } => {
            let name = names.interface(interface);
            (Level::Warn, format!("{name} is cut off: no neighbour answers there any more"))
        }
        Record::CutOff { interface, is_cut_off: false } => {
            (Level::Info, format!("{} is not cut off any more", names.interface(interface)))
        }
        Record::Vote { does_count: true } => {
            (Level::Info, "both nodes count on the voting witness".to_string())
        }
        Record::Vote { does_count: false } => {
            (Level::Warn, "the voting witness does not answer both nodes any more".to_string())
        }
        Record::VipAnswered { group, mac: m } => {
            (Level::Info, format!("group {}: {} answers for an address of it", names.group(group), mac(m)))
        }
        Record::VipContested { group, mac: m } => {
            let what = names.done(
                "claims an address of it, which is served here: announcing ours again",
                "has an address of it, which this node would serve",
            );
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
        Record::Upgraded(from, to) => {
            let [from, to] = [from, to].map(super::version);
            (Level::Info, format!("upgraded in place, from version {from} to {to}: another agent goes on"))
        }
        Record::Script { group, script, is_start } => {
            let what = if is_start {
                names.done("starts", "would start")
            } else {
                names.done("stops", "would stop")
            };
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
        Record::PeerTrouble(why) => (Level::Warn, format!("{peer} cannot serve: {}", trouble(why))),
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
        Record::PeerUnable { group, inability } => {
            let (level, could, cause) = match inability {
                Inability::None => (Level::Info, "could", ""),
                Inability::Unsaid => (Level::Warn, "could not", ""),
                Inability::Failed => (Level::Warn, "could not", ": it failed there"),
                Inability::Unready => (Level::Warn, "could not", ": a check of it fails there"),
                Inability::NoCarrier => (Level::Warn, "could not", ": an interface there has no carrier"),
            };
            (level, format!("group {}: {peer} {could} take it over{cause}", names.group(group)))
        }
        Record::Leaving => (Level::Info, "everything is released: saying goodbye".to_string()),
    }
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
    let served = names.done("served", "would have served");
    format!(
        "group {group}: INCIDENT: both nodes {served} it, for {began} at most; {cause}; {end} {settled_in} \
            after the first frame"
    )
}
