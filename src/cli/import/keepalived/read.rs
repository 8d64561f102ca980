//! Turns statements into what a node asks for. A fate that no other statement can change is noted at once.

use super::keywords::{self, GLOBAL, GLOBAL_BEGIN, GROUP, INSTANCE, TOP, Treatment};
use super::ledger::{Key, Ledger};
use super::lists;
use super::model::{Address, At, Check, Instance, Node, Notify, SyncGroup, When};
use super::source::Sources;
use super::tree::{Statement, each};
use super::values::{address, interface, number, seconds, wrong};
use crate::cli::import::report::Wrong;
use crate::settings::{nearest, shorten};

const NOT_KNOWN: &str = "correct it, or take the line out for the import";
const ADVERTS: &str = "write a number from 1 to 100";
const READ_AT_TOP: [&str; 8] = [
    "global_defs",
    "track_file",
    "track_process",
    "vrrp_instance",
    "vrrp_script",
    "vrrp_sync_group",
    "vrrp_track_file",
    "vrrp_track_process",
];
const READ_IN_INSTANCE: [&str; 32] = [
    "advert_int",
    "dont_track_primary",
    "down_timer_adverts",
    "interface",
    "mcast_src_ip",
    "nopreempt",
    "notify",
    "notify_backup",
    "notify_deleted",
    "notify_fault",
    "notify_master",
    "notify_master_rx_lower_pri",
    "notify_stop",
    "preempt",
    "preempt_delay",
    "priority",
    "state",
    "track_file",
    "track_interface",
    "track_process",
    "track_script",
    "unicast_peer",
    "unicast_src_ip",
    "virtual_ipaddress",
    "virtual_ipaddress_excluded",
    "virtual_router_id",
    "use_vmac",
    "use_vmac_addr",
    "version",
    "virtual_routes",
    "virtual_rules",
    "vrrp_track_process",
];

/// Reads all statements of a node.
pub fn read(statements: &[Statement], sources: &mut Sources) -> Node {
    let mut node = Node::default();
    for statement in statements {
        statement.open(&mut sources.ledger);
        if let Err(wrong) = top(statement, &mut node, sources) {
            sources.fail(statement.at, wrong);
        }
    }
    node
}

/// Notes one fate for a whole block.
fn whole(statement: &Statement, treatment: Treatment, sources: &mut Sources) {
    sources.ledger.extend(statement.at, statement.end);
    sources.ledger.say(statement.at, treatment.fate());
}

/// A keyword that nobody knows.
fn unknown(word: &str, known: impl Iterator<Item = &'static str>) -> Wrong {
    let known: Vec<&str> = known.collect();
    let near = nearest(word, &known).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    (format!("\"{}\" is no keyword of keepalived 2.2 here{near}", shorten(word)), NOT_KNOWN)
}

fn top(statement: &Statement, node: &mut Node, sources: &mut Sources) -> Result<(), Wrong> {
    match statement.words[0].as_str() {
        "global_defs" => {
            sources.ledger.taken(statement.at, "see each of its lines");
            each(statement, sources, |inner, sources| global(inner, node, sources))
        }
        "vrrp_instance" => instance(statement, node, sources),
        "vrrp_sync_group" => sync_group(statement, node, sources),
        "vrrp_script" => check(statement, node, sources),
        word @ ("track_file" | "vrrp_track_file" | "track_process" | "vrrp_track_process") => {
            let name = name_of(statement)?;
            sources.ledger.extend(statement.at, statement.end);
            node.tracked.push((name, statement.at));
            sources.ledger.lost(
                statement.at,
                if word.ends_with("file") { lists::TRACK_FILE } else { lists::TRACK_PROCESS },
            );
            Ok(())
        }
        word => {
            let treatment = keywords::find(TOP, word);
            let all = keywords::names(TOP).chain(READ_AT_TOP);
            whole(statement, treatment.ok_or_else(|| unknown(word, all))?, sources);
            Ok(())
        }
    }
}

/// The name of a block.
fn name_of(statement: &Statement) -> Result<String, Wrong> {
    let name = statement.words.get(1).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| (format!("{} has no name", statement.words[0]), "write one behind it"))?;
    one(statement)?;
    Ok(name.clone())
}

/// The one value of a keyword: keepalived takes no second keyword from a line.
pub fn one(statement: &Statement) -> Result<&str, Wrong> {
    match &statement.words[..] {
        [word] => Err((format!("{word} has no value"), "add it, or remove the line")),
        [_, value] => Ok(value),
        [word, _, more, ..] => {
            let what = format!(
                "behind the value of {word} stands \"{}\", which keepalived does not read",
                shorten(more)
            );
            Err((what, "write each keyword on a line of its own"))
        }
        [] => Err((String::new(), "")),
    }
}

/// A later one counts.
fn set<T>(slot: &mut At<T>, value: T, at: Key, ledger: &mut Ledger) {
    if let Some((_, earlier)) = slot.replace((value, at))
        && earlier != at
    {
        ledger.overridden(earlier, at);
    }
}

fn global(statement: &Statement, node: &mut Node, sources: &mut Sources) -> Result<(), Wrong> {
    let at = statement.at;
    match statement.words[0].as_str() {
        "router_id" => {
            let name = one(statement)?.to_string();
            set(&mut node.router_id, name, at, &mut sources.ledger);
        }
        "vrrp_version" => {
            node.version = one(statement)?.parse().ok();
            sources.ledger.say(at, keywords::WIRE.fate());
        }
        "vrrp_down_timer_adverts" => {
            let count = number(one(statement)?, 1, ADVERTS)?;
            set(&mut node.adverts, count, at, &mut sources.ledger);
        }
        // Which is what scripts run as here.
        "script_user" if statement.words.get(1).is_some_and(|user| user == "root") => {
            sources.ledger.taken(at, "scripts run as root");
        }
        word => {
            let treatment = keywords::find(GLOBAL, word).or_else(|| keywords::find_begin(GLOBAL_BEGIN, word));
            let all = keywords::names(GLOBAL).chain(["router_id", "vrrp_down_timer_adverts", "vrrp_version"]);
            whole(statement, treatment.ok_or_else(|| unknown(word, all))?, sources);
        }
    }
    Ok(())
}

fn instance(statement: &Statement, node: &mut Node, sources: &mut Sources) -> Result<(), Wrong> {
    let name = name_of(statement)?;
    if node.instances.iter().any(|known| known.name == name) {
        return wrong("there are two instances called", &name, "give each a name of its own");
    }
    let mut instance = Instance::new(statement.at, name);
    let read = each(statement, sources, |inner, sources| in_instance(inner, &mut instance, sources));
    let is_v4 = instance.is_v4();
    let is_left_out = |one: &mut Address| !one.is_excluded && one.ip.is_ipv4() != is_v4;
    for address in instance.addresses.extract_if(.., is_left_out) {
        let why = "keepalived leaves it out, as its instance is of the other family: if it shall be served, \
                   write it into virtual_ipaddress_excluded";
        sources.ledger.lost(address.at, why);
    }
    node.instances.push(instance);
    read
}

fn in_instance(statement: &Statement, instance: &mut Instance, sources: &mut Sources) -> Result<(), Wrong> {
    let at = statement.at;
    let ledger = &mut sources.ledger;
    match statement.words[0].as_str() {
        "state" => {
            let is_master = match one(statement)? {
                "MASTER" => true,
                "BACKUP" => false,
                other => return wrong("not a state to begin with:", other, "write MASTER or BACKUP"),
            };
            match instance.is_master {
                Some((true, earlier)) if !is_master => {
                    let why = "is read first: keepalived ignores BACKUP behind MASTER";
                    ledger.meaningless(at, format!("{} {why}", ledger.place(earlier, earlier.line)));
                }
                _ => set(&mut instance.is_master, is_master, at, ledger),
            }
        }
        "interface" => set(&mut instance.interface, interface(one(statement)?)?, at, ledger),
        "virtual_router_id" => {
            let number = number(one(statement)?, 1, "write a number from 1 to 255")?;
            set(&mut instance.router, number, at, ledger);
            ledger.replaced(at, "the pair's id and the group's name, which are in every frame");
        }
        "priority" => {
            let priority = number(one(statement)?, 1, "write a number from 1 to 255")?;
            set(&mut instance.priority, priority, at, ledger);
        }
        "advert_int" => {
            let span = seconds(one(statement)?)?;
            set(&mut instance.advert, span, at, ledger);
        }
        "dont_track_primary" => {
            instance.is_untracked = true;
            ledger.taken(at, "carrier = \"ignore\" of its addresses on its interface");
        }
        "nopreempt" => set(&mut instance.nopreempt, (), at, ledger),
        "preempt" => {
            if let Some((_, earlier)) = instance.nopreempt.take() {
                ledger.overridden(earlier, at);
            }
            ledger.taken(at, "failback is not manual, see priority");
        }
        "preempt_delay" => {
            let delay = seconds(one(statement)?)?;
            set(&mut instance.preempt_delay, delay, at, ledger);
        }
        "use_vmac" => {
            let mac = statement.words.iter().find(|word| word.contains(':')).cloned();
            let name = statement.words.iter().skip(1).find(|word| !word.contains(':'));
            set(&mut instance.vmac, mac, at, ledger);
            ledger.taken(at, "vmac of its addresses on its interface");
            if let Some(name) = name {
                let name = shorten(name);
                ledger.lost(at, format!("the name {name} is left out: see `crosswire status` for its own"));
            }
        }
        "use_vmac_addr" => {
            instance.has_vmac_addr = true;
            ledger.taken(at, "vmac of its addresses on other interfaces");
        }
        "down_timer_adverts" => {
            let count = number(one(statement)?, 1, ADVERTS)?;
            set(&mut instance.adverts, count, at, ledger);
        }
        "version" => {
            instance.version = one(statement)?.parse().ok();
            ledger.say(at, keywords::WIRE.fate());
        }
        "unicast_src_ip" | "mcast_src_ip" => {
            let ip = address(one(statement)?)?;
            set(&mut instance.source, ip, at, ledger);
        }
        "unicast_peer" => {
            ledger.replaced(at, "[lan]: beats go from node to node");
            return each(statement, sources, |inner, sources| {
                for words in inner.words[1..].chunks(2) {
                    let [word @ ("min_ttl" | "max_ttl"), _] =
                        words.iter().map(String::as_str).collect::<Vec<_>>()[..]
                    else {
                        let what = "behind the address of a peer stands";
                        return wrong(what, &words[0], "write each peer on a line of its own");
                    };
                    sources.ledger.meaningless(inner.at, format!("{word} is about VRRP's packets"));
                }
                instance.peers.push((address(&inner.words[0])?, inner.at));
                Ok(())
            });
        }
        word if word.starts_with("notify") && word != "notify_priority_changes" => {
            instance.notify.extend(notify(statement, ledger)?);
        }
        word if lists::is_list(word) => {
            return lists::read(statement, sources, &mut lists::Into::Instance(instance));
        }
        word => {
            let all = keywords::names(INSTANCE).chain(READ_IN_INSTANCE);
            whole(statement, keywords::find(INSTANCE, word).ok_or_else(|| unknown(word, all))?, sources);
        }
    }
    Ok(())
}

fn sync_group(statement: &Statement, node: &mut Node, sources: &mut Sources) -> Result<(), Wrong> {
    let name = name_of(statement)?;
    if node.groups.iter().any(|known| known.name == name) {
        return wrong("there are two sync groups called", &name, "give each a name of its own");
    }
    let (members, tracks, checks, notify) = Default::default();
    let (at, has_weights) = (statement.at, false);
    let mut group = SyncGroup { at, name, members, has_weights, tracks, checks, notify };
    let read = each(statement, sources, |inner, sources| in_group(inner, &mut group, sources));
    node.groups.push(group);
    read
}

fn in_group(statement: &Statement, group: &mut SyncGroup, sources: &mut Sources) -> Result<(), Wrong> {
    match statement.words[0].as_str() {
        "group" => {
            sources.ledger.taken(statement.at, "one group: what it names moves together");
            each(statement, sources, |inner, _| {
                // Several may stand in a line.
                group.members.extend(inner.words.iter().map(|word| (word.clone(), inner.at)));
                Ok(())
            })
        }
        word if word.starts_with("notify") && word != "notify_priority_changes" => {
            group.notify.extend(notify(statement, &mut sources.ledger)?);
            Ok(())
        }
        word if lists::is_list(word) => lists::read(statement, sources, &mut lists::Into::Group(group)),
        word => {
            group.has_weights |= matches!(word, "sync_group_tracking_weight" | "global_tracking");
            let known =
                ["group", "track_interface", "track_script", "notify", "notify_master", "notify_backup"];
            let all = keywords::names(GROUP).chain(known);
            whole(statement, keywords::find(GROUP, word).ok_or_else(|| unknown(word, all))?, sources);
            Ok(())
        }
    }
}

/// A program that is told, or what else became of the line.
fn notify(statement: &Statement, ledger: &mut Ledger) -> Result<Option<Notify>, Wrong> {
    let when = match statement.words[0].as_str() {
        "notify" => When::Any,
        "notify_master" => When::Master,
        "notify_backup" => When::Backup,
        "notify_fault" => When::Fault,
        "notify_stop" => When::Stop,
        "notify_deleted" => {
            ledger.lost(statement.at, "a group that a reload takes away is let go like any other");
            return Ok(None);
        }
        "notify_master_rx_lower_pri" => {
            ledger.lost(
                statement.at,
                "after a split one of the two gives up, and its scripts are stopped first",
            );
            return Ok(None);
        }
        other => return Err(unknown(other, READ_IN_INSTANCE.into_iter())),
    };
    let script = statement.words.get(1).filter(|script| !script.trim().is_empty());
    let script = script
        .ok_or_else(|| (format!("{} names no program", statement.words[0]), "add it, or remove the line"))?;
    let words = script.split_ascii_whitespace().map(str::to_string).collect();
    let user = statement.words.get(2).filter(|user| *user != "root").cloned();
    Ok(Some(Notify { at: statement.at, when, words, user }))
}

fn check(statement: &Statement, node: &mut Node, sources: &mut Sources) -> Result<(), Wrong> {
    let name = name_of(statement)?;
    let (at, details) = (statement.at, Vec::new());
    let (is_weighted, is_reverse) = (false, false);
    let mut check = Check { at, name, script: None, every: None, is_weighted, is_reverse, details };
    let read = each(statement, sources, |inner, sources| {
        match inner.words[0].as_str() {
            "script" => {
                let words = inner.words[1..].iter().flat_map(|word| word.split_ascii_whitespace());
                let words: Vec<String> = words.map(str::to_string).collect();
                if words.is_empty() {
                    return Err(("script names no program".to_string(), "add it, or remove the line"));
                }
                set(&mut check.script, words, inner.at, &mut sources.ledger);
            }
            word @ ("interval" | "timeout" | "weight" | "fall" | "rise" | "user" | "init_fail") => {
                if word == "interval" {
                    check.every = Some(seconds(one(inner)?)?);
                }
                if word == "weight" {
                    check.is_weighted = inner.words.get(1).is_some_and(|weight| weight != "0");
                    check.is_reverse = inner.words.get(2).is_some_and(|way| way == "reverse");
                }
                check.details.push(inner.at);
            }
            word => {
                let all = ["script", "interval", "timeout", "weight", "fall", "rise", "user", "init_fail"];
                return Err(unknown(word, all.into_iter()));
            }
        }
        Ok(())
    });
    node.checks.push(check);
    read
}
