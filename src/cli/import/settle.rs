//! What shows only when all lines are read: which of them become one group, whose an address is, who can be a
//! witness. Then says what became of each line, by what is written.

use std::net::IpAddr;

use crosswire::config::{MAX_GROUPS, MAX_WITNESSES};

use super::draft::{Draft, Group, Script, Times};
use super::places::Found;
use super::report::{Account, Fate, Named, Place, Reading};
use crate::cli::check::{is_mounting, waits};
use crate::settings::{
    EVERY_LINK, MAX_ADDRESSES, MAX_SCRIPTS, OwnAddress, Settings, exact, is_on_every_link, why_no_witness,
};

/// Heartbeat's speed, if ha.cf names none.
pub const USUAL_BAUD: u32 = 19_200;

/// Scripts that keep nothing running: two groups may call them.
const HARMLESS: [&str; 4] = ["AudibleAlarm", "Delay", "MailTo", "WinPopup"];

/// What is written beside the draft.
pub struct Settled {
    /// The times that fit.
    pub times: Times,
    /// The nodes' addresses, for each LAN those of both.
    pub addresses: Vec<Vec<Found>>,
    /// The boxes that are pinged and can be a witness.
    pub witnesses: Vec<IpAddr>,
    /// Why the others cannot.
    left_out: Vec<(IpAddr, String)>,
}

/// Decides all that; whatever nothing decides is an error of the draft.
pub fn settle(draft: &mut Draft) -> Settled {
    let times = draft.times();
    join_groups(&mut draft.groups);
    check_repeats(draft);
    let addresses = addresses(draft);
    let (witnesses, left_out) = witnesses(draft, &addresses);
    Settled { times, addresses, witnesses, left_out }
}

/// Joins groups of the same preferred node while there are too many: those that cost least become one, and
/// groups that mount a disk stay apart from those that need not wait for it.
fn join_groups(groups: &mut Vec<Group>) {
    while groups.len() > MAX_GROUPS
        && let Some((first, second)) = pair_to_join(groups)
    {
        let Group { lines, addresses, scripts, .. } = groups.remove(second);
        let group = &mut groups[first];
        group.lines.extend(lines);
        group.addresses.extend(addresses);
        let new = scripts.into_iter().filter(|script| !group.has(script)).collect::<Vec<_>>();
        group.scripts.extend(new);
    }
}

fn pair_to_join(groups: &[Group]) -> Option<(usize, usize)> {
    let size = |group: &Group| group.addresses.len() + group.scripts.len();
    let fits = |(first, second): &(usize, usize)| {
        let (a, b) = (&groups[*first], &groups[*second]);
        a.prefer == b.prefer
            && a.is_mounting() == b.is_mounting()
            && a.addresses.len() + b.addresses.len() <= MAX_ADDRESSES
            && a.scripts.len() + b.scripts.len() <= MAX_SCRIPTS
    };
    let pairs =
        (0..groups.len()).flat_map(|first| (first + 1..groups.len()).map(move |second| (first, second)));
    pairs.filter(fits).min_by_key(|(first, second)| {
        (groups[*first].is_mounting(), size(&groups[*first]) + size(&groups[*second]))
    })
}

impl Group {
    /// Whether it starts that script.
    pub fn has(&self, script: &Script) -> bool {
        self.scripts.iter().any(|known| known.text == script.text)
    }

    /// Whether one of its scripts mounts a disk.
    pub fn is_mounting(&self) -> bool {
        self.scripts.iter().any(|script| is_mounting(&script.name))
    }
}

/// Refuses a service in two groups: one would stop it while the other needs it.
fn check_repeats(draft: &mut Draft) {
    let mut found = Vec::new();
    for (index, group) in draft.groups.iter().enumerate() {
        for script in group.scripts.iter().filter(|script| !HARMLESS.contains(&script.name.as_str())) {
            let earlier = draft.groups[..index].iter().flat_map(|other| &other.scripts);
            if let Some(first) =
                earlier.filter(|other| other.text == script.text).map(|other| other.line).next()
            {
                found.push((script.line, format!("{} stands in line {first} too", script.name)));
            }
        }
    }
    for (line, what) in found {
        let remedy = "whichever is stopped first stops it for both: put what needs it onto one line, or keep \
            it out of one";
        draft.fail(Place { file: "haresources", line }, (what, remedy));
    }
}

fn addresses(draft: &mut Draft) -> Vec<Vec<Found>> {
    let served: Vec<IpAddr> =
        draft.groups.iter().flat_map(|group| &group.addresses).map(|(ip, _)| *ip).collect();
    refuse_strangers(draft);
    let mut all = Vec::new();
    for (number, lan) in draft.lans.clone().iter().enumerate() {
        let found = draft.names.on_lan(lan, number, &draft.nodes, &served);
        for (node, _) in draft.nodes.clone().iter().zip(&found).filter(|(_, found)| found.is_none()) {
            let what = format!("nothing says which address {node} has on {}", lan.interface);
            let remedy = "give --addresses NODE=IP,NODE=IP with these names, once for each LAN in this \
                order, or import on a node";
            draft.fail(lan.place, (what, remedy));
        }
        all.push(found.into_iter().flatten().collect());
    }
    all
}

/// `--addresses` names nodes alone.
fn refuse_strangers(draft: &mut Draft) {
    let Some(place) = draft.lans.first().map(|lan| lan.place) else { return };
    let nodes = draft.nodes.join(" and ");
    let is_node = |name: &&str| draft.nodes.iter().any(|node| node.eq_ignore_ascii_case(name));
    let strangers = draft.names.told_names().into_iter().filter(|name| !is_node(name));
    let said = |name| format!("--addresses names {name}, which is no node: they are {nodes}");
    let said: Vec<String> = strangers.map(said).collect();
    for what in said {
        draft.fail(place, (what, "write the names as ha.cf has them"));
    }
}

fn witnesses(draft: &Draft, addresses: &[Vec<Found>]) -> (Vec<IpAddr>, Vec<(IpAddr, String)>) {
    let node = |(node, (ip, _)): (&String, &Found)| OwnAddress {
        ip: *ip,
        prefix: None,
        what: format!("{node}'s own"),
    };
    let mut own: Vec<OwnAddress> =
        addresses.iter().flat_map(|lan| draft.nodes.iter().zip(lan)).map(node).collect();
    own.extend(draft.groups.iter().flat_map(|group| &group.addresses).map(|(ip, text)| OwnAddress {
        ip: *ip,
        prefix: text.split(['/', '@']).nth(1).and_then(|prefix| prefix.parse().ok()),
        what: "what the pair serves".to_string(),
    }));
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for Named { ip, .. } in &draft.witnesses {
        match why_no_witness(*ip, &own) {
            Some(why) => left_out.push((*ip, why)),
            None if is_on_every_link(*ip) => left_out.push((*ip, EVERY_LINK.to_string())),
            None if draft.names.is_own(*ip) => left_out.push((*ip, "is this box itself".to_string())),
            None if kept.len() == MAX_WITNESSES => {
                left_out.push((*ip, format!("is one too many: {MAX_WITNESSES} are the most")));
            }
            None => kept.push(*ip),
        }
    }
    (kept, left_out)
}

/// What became of every line, in their order; `settings` are those that are written.
pub fn fates(draft: &Draft, settled: &Settled, settings: &Settings) -> Vec<Fate> {
    let teller = Teller { draft, settled, settings };
    draft.accounts.iter().map(|account| teller.fate(account)).collect()
}

struct Teller<'a> {
    draft: &'a Draft,
    settled: &'a Settled,
    settings: &'a Settings,
}

impl Teller<'_> {
    fn fate(&self, account: &Account) -> Fate {
        let line = account.place.line;
        match &account.reading {
            Reading::Known(fate) => fate.clone(),
            Reading::Time(which) => self.draft.fate_of_time(*which, self.settled.times),
            Reading::Port(port) => self.port(*port, line),
            Reading::Baud(baud) => self.baud(*baud, line),
            Reading::Media(lans, why) => self.media(lans, why, line),
            Reading::Unicast(number, named) => self.unicast(*number, named),
            Reading::Witnesses(named, is_group) => self.witnesses(named, *is_group),
            Reading::Group(notes) => self.group(notes, line),
        }
    }

    fn port(&self, port: u16, line: usize) -> Fate {
        let is_written = self.draft.lans.iter().any(|lan| lan.port.is_some_and(|(_, by)| by == line));
        let is_port =
            |account: &&Account| matches!(account.reading, Reading::Port(_)) && account.place.line > line;
        match self.draft.accounts.iter().find(is_port) {
            _ if is_written => Fate::Taken(format!("port = {port}")),
            Some(later) => Fate::Overridden(later.place.line),
            None => Fate::Meaningless(
                "a LAN has the port that stands above the first medium of its kind".to_string(),
            ),
        }
    }

    fn baud(&self, baud: u32, line: usize) -> Fate {
        let (speed, by) = self.draft.baud.unwrap_or((USUAL_BAUD, 0));
        if self.draft.serials.is_empty() {
            Fate::Meaningless("no serial port is named".to_string())
        } else if by > line {
            Fate::Overridden(by)
        } else if speed == baud {
            Fate::Taken(format!("baud = {baud}"))
        } else {
            Fate::Meaningless(format!("below serial Heartbeat does not heed it: the cable has {speed} baud"))
        }
    }

    /// The nodes' addresses on a LAN, and who says so.
    fn nodes_on(&self, number: usize) -> String {
        let found = self.settled.addresses.get(number).into_iter().flatten();
        let nodes = self.draft.nodes.iter().zip(found);
        let each: Vec<String> =
            nodes.map(|(node, (ip, source))| format!("{node} {ip}, {}", source.words())).collect();
        each.join("; ")
    }

    fn media(&self, lans: &[usize], why: &str, line: usize) -> Fate {
        let one = |number: &usize| {
            let lan = self.draft.lans.get(*number)?;
            let interface = &lan.interface;
            Some(if lan.place.line == line {
                format!("[lan] on {interface}, from node to node ({})", self.nodes_on(*number))
            } else {
                format!("[lan] on {interface}, as line {} says", lan.place.line)
            })
        };
        let all: Vec<String> = lans.iter().filter_map(one).collect();
        Fate::Replaced(format!("{}: {why}", all.join("; ")))
    }

    fn unicast(&self, number: usize, named: &Named) -> Fate {
        let interface = self.draft.lans.get(number).map_or("?", |lan| lan.interface.as_str());
        let found = self.settled.addresses.get(number).into_iter().flatten();
        match self.draft.nodes.iter().zip(found).find(|(_, (ip, _))| *ip == named.ip) {
            Some((node, (_, source))) => {
                Fate::Taken(format!("[lan] on {interface}; {named} is {node}'s: {}", source.words()))
            }
            None => {
                Fate::Replaced(format!("[lan] on {interface} without {named} ({})", self.nodes_on(number)))
            }
        }
    }

    fn witnesses(&self, named: &[Named], is_group: bool) -> Fate {
        let (kept, others): (Vec<_>, Vec<_>) =
            named.iter().partition(|one| self.settled.witnesses.contains(&one.ip));
        let why = |one: &&Named| {
            let (_, why) = self.settled.left_out.iter().find(|(ip, _)| *ip == one.ip)?;
            Some(format!("{one} {why}"))
        };
        let left_out = others.iter().filter_map(why).collect::<Vec<_>>().join("; ");
        let kept = kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let rest = if left_out.is_empty() { String::new() } else { format!("; left out: {left_out}") };
        match (kept.as_str(), is_group) {
            ("", _) => Fate::Lost(format!("no witness: {left_out}")),
            (kept, true) => {
                Fate::Replaced(format!("witness {kept}: the node that sees more of them is better off{rest}"))
            }
            (kept, false) => Fate::Taken(format!(
                "witness {kept}; from now on it also decides when silence proves nothing{rest}"
            )),
        }
    }

    fn group(&self, notes: &[String], line: usize) -> Fate {
        let Some(group) = self.draft.groups.iter().find(|group| group.lines.contains(&line)) else {
            return Fate::Lost("no group has room for it".to_string());
        };
        let mut said = vec![format!("[group.\"{}\"]", group.name)];
        let others: Vec<String> =
            group.lines.iter().filter(|other| **other != line).map(ToString::to_string).collect();
        if !others.is_empty() {
            said.push(format!("together with line {}: {MAX_GROUPS} groups are the most", others.join(", ")));
        }
        said.extend_from_slice(notes);
        said.extend(self.price(group, line));
        Fate::Taken(said.join("; "))
    }

    /// What a disk costs, at the line that has it and at those that are joined to it.
    fn price(&self, group: &Group, line: usize) -> Option<String> {
        let disk = group.scripts.iter().find(|script| is_mounting(&script.name))?;
        let after = exact(waits(self.settings, &group.name)?);
        let whose = if disk.line == line { String::new() } else { format!(" of line {}", disk.line) };
        Some(format!("for {}{whose} it waits {after} after a silent node's last beat", disk.name))
    }
}
