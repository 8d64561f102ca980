//! Turns the programs that keepalived tells of a change into one script of their group, and checks into
//! witnesses.

use std::net::IpAddr;

use crosswire::config::MAX_WITNESSES;

use super::groups::Together;
use super::ledger::{Key, Ledger};
use super::model::{Check, Instance, Node, Notify, Tracked, When};
use crate::cli::check::is_mounting;
use crate::cli::import::report::Fate;
use crate::settings::{EVERY_LINK, OwnAddress, exact, is_on_every_link, shorten, why_no_witness};

/// Programs that ask for an answer of another box.
const PINGS: [&str; 4] = ["ping", "ping6", "fping", "fping6"];
/// Programs that look for a process.
const PROCESS_LOOKS: [&str; 4] = ["killall", "pidof", "pgrep", "pkill"];
/// What is said of a weight that does not count.
pub const NO_WEIGHTS: &str = "keepalived leaves it out: it has a weight, and priorities do not change in a \
    sync group without sync_group_tracking_weight, nor at the owner of the addresses";
const WRAP: &str = "write a program that understands start and stop as its last argument, and name it in \
    scripts = [\"exec:/PATH\"]";

/// Whose programs they are.
struct Owner<'n> {
    kind: &'static str,
    name: &'n str,
    /// What `notify` is told last. keepalived says 0 for a group.
    rank: u8,
    /// Those that are written, and the number of their file.
    notify: Vec<&'n Notify>,
    side: usize,
    /// When one of that file is told that cannot be written.
    refused: Vec<When>,
    /// Those of the other file, if it has the same one.
    others: Option<Vec<&'n Notify>>,
}

/// The scripts of a group, and whether one of them mounts something as far as its name says.
pub fn scripts(
    together: &Together<'_>,
    names: &[String; 2],
    ledger: &mut Ledger,
) -> (Vec<(Key, String)>, bool) {
    let mut owners = Vec::new();
    for router in &together.routers {
        let one: &Instance = router.any();
        owners.push(Owner {
            kind: "INSTANCE",
            name: &one.name,
            rank: one.rank(),
            notify: one.notify.iter().collect(),
            side: usize::from(router.by[0].is_none()),
            refused: Vec::new(),
            others: router.by[1]
                .filter(|_| router.by[0].is_some())
                .map(|other| other.notify.iter().collect()),
        });
    }
    if let Some((side, group)) = together.groups.first() {
        let of = |is_first: bool| {
            let groups = together.groups.iter().filter(move |(other, _)| (other == side) == is_first);
            groups.flat_map(|(_, group)| &group.notify).collect()
        };
        let has_other = together.groups.iter().any(|(other, _)| other != side);
        let others = has_other.then(|| of(false));
        owners.push(Owner {
            kind: "GROUP",
            name: &group.name,
            rank: 0,
            notify: of(true),
            side: *side,
            refused: Vec::new(),
            others,
        });
    }
    let (mut all, mut is_disk) = (Vec::new(), false);
    for mut owner in owners {
        if let Some(others) = owner.others.as_mut().filter(|_| owner.notify.is_empty()) {
            std::mem::swap(&mut owner.notify, others);
            owner.side = 1 - owner.side;
        }
        let (plain, refused) = owner.notify.into_iter().partition::<Vec<_>, _>(|one| is_plain(one, ledger));
        owner.notify = plain;
        owner.refused = refused.iter().map(|one| one.when).collect();
        owner.others.iter_mut().for_each(|others| others.retain(|one| is_plain(one, ledger)));
        is_disk |= owner
            .notify
            .iter()
            .flat_map(|one| &one.words)
            .any(|word| is_mounting(word.rsplit('/').next().unwrap_or(word)));
        all.extend(owner.script(ledger));
        owner.compare(names, ledger);
    }
    (all, is_disk)
}

/// Whether its words need no quotes in a shell.
fn is_plain(notify: &Notify, ledger: &mut Ledger) -> bool {
    let is_safe = |word: &String| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:=,@%+".contains(c))
    };
    let is_path = notify.words.first().is_some_and(|word| word.starts_with('/'));
    let is_good = is_path && notify.words.iter().all(is_safe);
    if !is_good {
        let why = if is_path {
            "has letters that a shell would take for its own"
        } else {
            "is not the full path of a program"
        };
        ledger.lost(notify.at, format!("\"{}\" {why}: {WRAP}", shorten(&notify.words.join(" "))));
    }
    is_good
}

impl<'n> Owner<'n> {
    /// The first one counts: keepalived ignores a second one.
    fn of(&self, when: When) -> Option<&'n Notify> {
        self.notify.iter().copied().find(|one| one.when == when)
    }

    /// `start` and `stop` of one script.
    fn script(&self, ledger: &mut Ledger) -> Option<(Key, String)> {
        let last = [When::Backup, When::Fault, When::Stop].into_iter().find_map(|when| self.of(when));
        let any = |state: &str| {
            let one = self.of(When::Any)?;
            Some(format!(
                "{} {} {} {state} {} || :",
                one.words.join(" "),
                self.kind,
                plain_name(self.name),
                self.rank
            ))
        };
        let plain = |one: Option<&Notify>| Some(format!("{} || :", one?.words.join(" ")));
        let both = |first: Option<String>, second: Option<String>| {
            let all: Vec<String> = first.into_iter().chain(second).collect();
            if all.is_empty() { ":".to_string() } else { all.join("; ") }
        };
        let at = self.notify.first()?.at;
        let start = both(plain(self.of(When::Master)), any("MASTER"));
        let stop = both(plain(last), any("BACKUP"));
        self.tell(last, ledger);
        Some((at, format!("exec:/bin/sh -c 'case $1 in start) {start};; stop) {stop};; esac' notify")))
    }

    fn tell(&self, last: Option<&Notify>, ledger: &mut Ledger) {
        for one in &self.notify {
            if self.of(one.when).is_some_and(|counts| counts.at != one.at) {
                let counts = self.of(one.when).map_or(one.at, |counts| counts.at);
                let why = "is read first: keepalived ignores a second one";
                ledger.meaningless(one.at, format!("{} {why}", ledger.place(counts, counts.line)));
                continue;
            }
            match one.when {
                When::Master => {
                    ledger.taken(one.at, "scripts: run when the group is taken, once its addresses are there")
                }
                When::Any => ledger.taken(
                    one.at,
                    format!(
                        "scripts: run with {} {} MASTER {} when the group is taken, with BACKUP for MASTER \
                         when it is let go, also by a fault or a stop; not when the daemon starts",
                        self.kind,
                        plain_name(self.name),
                        self.rank
                    ),
                ),
                When::Backup if last.is_some_and(|last| last.at == one.at) => {
                    ledger.taken(
                        one.at,
                        "scripts: run when the group is let go, before its addresses go; not when the daemon \
                            starts",
                    );
                }
                When::Fault | When::Stop if last.is_some_and(|last| last.at == one.at) => {
                    ledger.replaced(
                        one.at,
                        "scripts: run whenever the group is let go, also in a planned move, before its \
                         addresses go",
                    );
                }
                When::Backup | When::Fault | When::Stop => {
                    let program = last.map(|last| last.words.join(" ")).unwrap_or_default();
                    ledger.replaced(
                        one.at,
                        format!(
                            "\"{}\", which runs whenever the group is let go, also by a fault",
                            shorten(&program)
                        ),
                    );
                }
            }
            if let Some(user) = &one.user {
                ledger.lost(
                    one.at,
                    format!(
                        "it runs as root, not as {}: put runuser -u in front of the program",
                        shorten(user)
                    ),
                );
            }
        }
    }

    /// One file serves both nodes.
    fn compare(&self, names: &[String; 2], ledger: &mut Ledger) {
        let Some(others) = &self.others else { return };
        let [written, other_node] = [&names[self.side], &names[1 - self.side]];
        for other in others.iter().filter(|other| self.notify.iter().all(|one| one.at != other.at)) {
            let counts = others.iter().find(|one| one.when == other.when).map_or(other.at, |one| one.at);
            match self.of(other.when) {
                _ if counts != other.at => {
                    let why = "is read first: keepalived ignores a second one";
                    ledger.meaningless(other.at, format!("{} {why}", ledger.place(counts, counts.line)));
                }
                Some(one) if one.words == other.words => ledger.taken(other.at, "as in the other file"),
                Some(_) => ledger.lost(
                    other.at,
                    format!(
                        "{written} names something else, and one file serves both: let the program itself \
                         ask `uname -n`"
                    ),
                ),
                None if self.refused.contains(&other.when) => {
                    let why = format!("that of {written} cannot be had, and one file serves both");
                    ledger.lost(other.at, why);
                }
                None => ledger.lost(
                    other.at,
                    format!(
                        "{written} names none, and one file serves both: name it there too, and let the \
                         program itself ask `uname -n`"
                    ),
                ),
            }
        }
        for one in self.notify.iter().filter(|one| others.iter().all(|other| other.when != one.when)) {
            ledger.lost(
                one.at,
                format!(
                    "{other_node} names none, and will run it too: let the program itself ask `uname -n`"
                ),
            );
        }
    }
}

fn plain_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

/// The boxes that checks ping, as far as they can be witnesses; and what became of all checks.
pub fn witnesses(nodes: &[Option<Node>; 2], own: &[OwnAddress], ledger: &mut Ledger) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for node in nodes.iter().flatten() {
        let of_instances = node.instances.iter().flat_map(|one| {
            let is_level = one.is_owner() || node.group_of(one).is_some_and(|group| !group.has_weights);
            one.checks.iter().map(move |check| (is_level, check))
        });
        let of_groups = node.groups.iter().flat_map(|group| &group.checks).map(|check| (false, check));
        let tracked: Vec<(bool, &Tracked)> = of_instances.chain(of_groups).collect();
        let is_heeded = |(is_level, tracked): &(bool, &Tracked), check: &Check| {
            !is_level || !tracked.is_weighted.unwrap_or(check.is_weighted)
        };
        let mut known = Vec::new();
        for check in &node.checks {
            let by: Vec<_> = tracked.iter().filter(|(_, tracked)| tracked.name == check.name).collect();
            let is_tracked = by.iter().any(|by| is_heeded(by, check));
            let is_reverse = check.is_reverse || by.iter().any(|(_, tracked)| tracked.is_reverse);
            let (at, fate) = match &check.script {
                Some((_, at)) if is_tracked && is_reverse => {
                    let why = "nothing counts the other way round (reverse): let a script of yours say \
                               `crosswire standby` and `crosswire online`";
                    (*at, Fate::Lost(why.to_string()))
                }
                Some((words, at)) if is_tracked => (*at, witness(check, words, own, &mut all)),
                Some((_, at)) if by.is_empty() => (*at, Fate::Meaningless("nothing tracks it".to_string())),
                Some((_, at)) => (*at, Fate::Meaningless(NO_WEIGHTS.to_string())),
                None => (check.at, Fate::Meaningless("it names no script".to_string())),
            };
            for detail in check.details.iter().chain([&check.at]).filter(|detail| **detail != at) {
                ledger.say(*detail, alike(&fate, format!("see its script, {}", ledger.place(at, at.line))));
            }
            known.push((&check.name, alike(&fate, format!("see {}", ledger.place(at, at.line)))));
            ledger.say(at, fate);
        }
        for (_, Tracked { name, at, .. }) in tracked {
            let found = known.iter().find(|(known, _)| *known == name).map(|(_, fate)| fate.clone());
            let why = "there is no vrrp_script of that name: keepalived does not heed it either";
            ledger.say(*at, found.unwrap_or_else(|| Fate::Meaningless(why.to_string())));
        }
    }
    all
}

/// The fate of a line that is a part of another one.
fn alike(fate: &Fate, note: String) -> Fate {
    match fate {
        Fate::Taken(_) => Fate::Taken(note),
        Fate::Replaced(_) => Fate::Replaced(note),
        Fate::Lost(_) => Fate::Lost(note),
        Fate::Overridden(_) | Fate::Meaningless(_) => Fate::Meaningless(note),
    }
}

/// The addresses that a ping asks, without the one from which it asks.
fn targets(words: &[String]) -> Vec<IpAddr> {
    let is_source = |index: usize| {
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        before.is_some_and(|word| matches!(word.as_str(), "-I" | "-S"))
    };
    let all = words.iter().enumerate().filter(|(index, _)| !is_source(*index));
    all.filter_map(|(_, word)| word.parse().ok()).collect()
}

/// The fate of a check that counts.
fn witness(check: &Check, words: &[String], own: &[OwnAddress], all: &mut Vec<IpAddr>) -> Fate {
    let program = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    let targets = targets(words);
    if let [_, second, ..] = targets[..]
        && PINGS.contains(&program)
    {
        return Fate::Lost(format!(
            "it asks several boxes at once ({second} too): write those of them that are there without the \
             pair as [quorum] witness"
        ));
    }
    if let Some(ip) = targets.first().copied().filter(|_| PINGS.contains(&program)) {
        let is_new = !all.contains(&ip);
        let is_full = is_new && all.len() == MAX_WITNESSES;
        let why = why_no_witness(ip, own).or_else(|| is_on_every_link(ip).then(|| EVERY_LINK.to_string()));
        return match why {
            Some(why) => Fate::Lost(format!("no witness: {ip} {why}")),
            None if is_full => Fate::Lost(format!("{MAX_WITNESSES} witnesses are the most")),
            None => {
                all.extend(is_new.then_some(ip));
                let note = "the node that sees it is better off, and it decides where silence proves nothing";
                Fate::Replaced(format!("witness {ip}: {note}"))
            }
        };
    }
    if PROCESS_LOOKS.contains(&program) {
        let name = shorten(words.last().map_or("NAME", String::as_str));
        return Fate::Lost(format!(
            "no process is watched from outside: let the group start it, scripts = [\"lsb:{name}\"] with \
                monitor = \"10s\""
        ));
    }
    let every = check.every.map_or_else(|| "10s".to_string(), |every| exact(every).replace(' ', ""));
    Fate::Lost(format!(
        "only the scripts of a group are watched, on the node that serves: let one answer monitor, \
            {{ run = \"exec:/PATH\", \
         monitor = \"{every}\" }}; it is called with start, stop and monitor"
    ))
}
