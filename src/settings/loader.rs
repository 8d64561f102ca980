//! From the text of the file to [`Settings`], or to everything that is wrong with it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crosswire::config::{InJeopardy, Policy};
use crosswire::pair::Side;
use crosswire::time::Span;
use nix::fcntl::OFlag;

use super::error::{ConfigError, Report, quote};
use super::interfaces::{interface_count, interfaces_of, place_groups, place_interfaces};
use super::needs::{Need, Thing};
use super::nodes::{self, Node, Wanted};
use super::paths::{self, Link};
use super::table::{At, Table};
use super::times::{self, Pace};
use super::values::{MAX_NAME_BYTES, is_full_path, is_name};
use super::witness::{self, OwnAddress, Witness};
use super::{PathDevice, PathSettings, Settings, Watchdog, digest, document, fencing, groups, syntax};
use crate::gather::{Gather, sort_by_key};

/// Largest configuration file: forty times what the longest sensible one has.
const MAX_FILE_BYTES: u64 = 64 * 1024;
const DEFAULT_KEY_FILE: &str = "/etc/crosswire/key";
const DEFAULT_STATE: &str = "/var/lib/crosswire";
const KEYS: [&str; 16] = [
    "pair", "shadow", "key", "state", "journal", "notify", "speed", "node", "serial", "lan", "timing",
    "quorum", "watchdog", "fence", "group", "system",
];
/// What the id of a shadow pair ends in. No name that a file can give has this sign, so that no pair that
/// serves ever takes its frames, keys, lock or files for its own.
const SHADOW: &str = "+shadow";
const SYSTEM_KEYS: [&str; 3] = ["group", "realtime", "reset"];
const QUORUM_KEYS: [&str; 3] = ["in_jeopardy", "neighbours", "witness"];
pub(super) const JEOPARDY: [(&str, InJeopardy); 4] = [
    ("hold", InJeopardy::Hold),
    ("witness", InJeopardy::Witness),
    ("neighbours", InJeopardy::Neighbours),
    ("takeover", InJeopardy::Takeover),
];

/// Reads a whole file that must be text.
pub(super) fn read_text(file: &Path) -> Result<String, ConfigError> {
    let wrong = |what: String, remedy: &str| ConfigError::new(file, None, what, remedy);
    let mut opened = open(file).map_err(|error| {
        wrong(
            format!("cannot be read ({error})"),
            "check the name and its permissions, or give another with --config",
        )
    })?;
    let metadata = opened.metadata().ok().filter(Metadata::is_file);
    let Some(metadata) = metadata else {
        return Err(wrong("is not a file".to_string(), "give the configuration file with --config"));
    };
    if metadata.mode() & 0o002 != 0 {
        return Err(wrong("anybody may write it, and root runs what it names".to_string(), "chmod go-w"));
    }
    let mut bytes = Vec::new();
    let read = opened.by_ref().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| wrong(format!("cannot be read ({error})"), "check the disk"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(
            format!("is longer than {MAX_FILE_BYTES} bytes"),
            "is this the configuration? shorten it",
        ));
    }
    text_of(file, bytes)
}

/// Opens without waiting, in case the file is a pipe.
fn open(file: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file)
}

/// The bytes of a file as text.
pub(super) fn text_of(file: &Path, bytes: Vec<u8>) -> Result<String, ConfigError> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).filter(|&&b| b == b'\n').count() + 1;
        ConfigError::new(
            file,
            Some(line),
            "is not UTF-8 text",
            "save the file as UTF-8, or remove the special characters of this line",
        )
    })
}

/// Checks everything and keeps what `wanted` needs.
pub(super) fn parse(file: &Path, text: &str, wanted: &Wanted) -> Result<Settings, Vec<ConfigError>> {
    let (map, errors) = document::parse(text);
    let mut report = Report::new(file, text);
    if !syntax::is_readable(text, &errors, &mut report) {
        return Err(report.finish());
    }
    let root = Table::root(&map);
    let draft = Draft::read(&root, &mut report);
    let me = draft
        .nodes
        .as_ref()
        .and_then(|nodes| nodes::choose(nodes, wanted, root.place_of("node"), &mut report));
    match me.filter(|_| report.is_clean()).and_then(|me| draft.settle(file, me, &report)) {
        // It is kept for an upgrade alone.
        Some(settings) if cfg!(feature = "upgrade") => Ok(Settings { text: text.to_owned(), ..settings }),
        Some(settings) => Ok(settings),
        None => Err(report.finish()),
    }
}

/// What the file says of both nodes; complete only if nothing was reported.
struct Draft<'t> {
    pair: Option<&'t str>,
    is_shadow: bool,
    key_file: PathBuf,
    state: PathBuf,
    journal: Option<At<PathBuf>>,
    notify: Option<At<PathBuf>>,
    nodes: Option<[Node<'t>; 2]>,
    links: Vec<Link<'t>>,
    groups: Vec<groups::Plan<'t>>,
    witnesses: Vec<At<Witness>>,
    vote: Option<At<SocketAddr>>,
    has_neighbours: bool,
    system: System<'t>,
    watchdog: Option<At<Watchdog>>,
    fences: Vec<fencing::Draft<'t>>,
    policy: Policy,
}

impl<'t> Draft<'t> {
    fn read(root: &Table<'t>, report: &mut Report<'_>) -> Self {
        root.refuse_unknown(&KEYS, report);
        let pair = read_pair(root, report);
        let is_shadow = root.flag("shadow", false, report);
        if is_shadow && !cfg!(feature = "shadow") {
            let what = "shadow = true, but this build always acts";
            report.add(
                root.place_of("shadow"),
                what,
                "use a build with the feature \"shadow\"; the router build has none",
            );
        }
        let is_shadow = cfg!(feature = "shadow") && is_shadow;
        let secret = "name the key file, as in";
        let key_file = read_place(
            root,
            ["key", "file"],
            (DEFAULT_KEY_FILE, secret, "; the key itself does not belong here"),
            report,
        );
        let journal = fencing::read_device(root, "journal", report);
        let notify = fencing::read_device(root, "notify", report);
        let state =
            read_place(root, ["state", "directory"], (DEFAULT_STATE, "name a directory, as in", ""), report);
        let pace = times::read(root, report);
        let Quorum { witnesses, vote, in_jeopardy, has_neighbours } = Quorum::read(root, report);
        let system = read_system(root, report);
        let nodes = nodes::read(root, report);
        let watchdog = fencing::read_watchdog(root, report);
        let fences = fencing::read_fences(root, report);
        let links = paths::read(root, nodes.as_ref(), (pace.times, is_shadow), report);
        let lans = nodes.as_ref().map(|_| links.iter().filter(|link| link.is_lan()).count());
        let groups = groups::read(root, nodes.as_ref(), lans, report);
        let own = nodes.as_ref().map(|nodes| own_addresses(nodes, &links, report)).unwrap_or_default();
        let own = groups::check_repeats(&groups, own, report);
        witness::check(&witnesses, vote.as_ref(), &own, report);
        groups::check_tags(&groups, report);
        if let Some(nodes) = &nodes {
            groups::check_links(&groups, &links, nodes, report);
        }
        groups::check_self_fences(&groups, watchdog.is_some() || system.reset.is_some(), report);
        let policy = Policy {
            paths: links.iter().map(Link::policy).take(crosswire::config::MAX_PATHS).collect(),
            groups: groups.iter().map(groups::Plan::policy).take(crosswire::config::MAX_GROUPS).collect(),
            lease: pace.lease.value,
            cold_start: pace.cold_start.value,
            carrier_delay: pace.carrier_delay.value,
            in_jeopardy,
            witnesses: u8::try_from(witnesses.len()).unwrap_or(0),
            has_vote: vote.is_some() && !is_shadow,
            digest: [0; 4],
        };
        let interfaces = nodes.as_ref().map_or(0, |nodes| interface_count(&groups, &links, nodes));
        check_times(&pace, &links, (&policy, interfaces), report);
        if let Some(watchdog) = &watchdog {
            fencing::check_watchdog(watchdog, &groups, &policy, report);
        }
        let devices =
            |side| links.iter().filter_map(move |link| link.device(side)).map(|device| device.value);
        let ports: Vec<&str> = devices(Side::A).chain(devices(Side::B)).gather();
        fencing::check_fences(&fences, &groups, &ports, report);
        Self {
            pair,
            is_shadow,
            key_file,
            state,
            journal,
            notify,
            nodes,
            links,
            groups,
            witnesses,
            vote,
            has_neighbours,
            system,
            watchdog,
            fences,
            policy,
        }
    }

    /// The settings of node `me`; `None` if the draft lacks something.
    fn settle(&self, file: &Path, me: Side, report: &Report<'_>) -> Option<Settings> {
        let nodes = self.nodes.as_ref()?;
        let names = nodes.each_ref().map(|node| node.name.value.to_string());
        let path =
            |link: &Link<'_>| Some(PathSettings { name: link.name.clone(), device: link.open_by(me)? });
        let mut lans = self.links.iter().filter(|link| link.is_lan());
        let lan = lans.next().and_then(|link| link.device(me)).map(|interface| interface.value);
        let (pair, node) = (self.name_of_pair()?, &nodes[me.index()]);
        let groups: Vec<_> = self.groups.iter().map(|group| group.settings(&pair, lan, node)).gather_all()?;
        let paths: Vec<_> = self.links.iter().map(path).gather_all()?;
        let interfaces = interfaces_of(&groups, &paths);
        let mut settings = Settings {
            file: file.to_path_buf(),
            text: String::new(),
            pair,
            is_shadow: self.is_shadow,
            me,
            names,
            key_file: self.key_file.clone(),
            state: self.state.clone(),
            journal: self.journal.clone().map(|found| found.value),
            notify: self.notify.clone().map(|found| found.value),
            paths,
            groups,
            watchdog: self.watchdog.clone().map(|found| found.value),
            fences: self.fences.iter().map(|fence| fence.against(me.peer(), nodes)).gather(),
            witnesses: self.witnesses.iter().map(|found| found.value.clone()).gather(),
            // It has a key of the live pair alone.
            vote: self.vote.filter(|_| !self.is_shadow).map(|found| found.value),
            is_realtime: self.system.is_realtime,
            group: self.system.group.map(|found| found.value.to_owned()),
            reset: self.system.reset.clone().map(|found| found.value),
            interfaces,
            has_neighbours: self.has_neighbours,
            policy: self.policy.clone(),
            needs: self.needs(me, report),
        };
        place_groups(&mut settings);
        if self.has_neighbours {
            place_interfaces(&mut settings);
        }
        settings.policy.digest = digest::of(&settings);
        Some(settings)
    }

    /// The id of the pair. That of a shadow is another one.
    fn name_of_pair(&self) -> Option<String> {
        let mut pair = self.pair?.to_owned();
        if cfg!(feature = "shadow") && self.is_shadow {
            pair.push_str(SHADOW);
        }
        Some(pair)
    }

    /// Everything that node `me` must have, each thing once.
    fn needs(&self, me: Side, report: &Report<'_>) -> Vec<Need> {
        let device = |link: &Link<'_>| {
            let thing = |name: &str| match link.open_by(me)? {
                PathDevice::Lan { .. } => Some(Thing::Interface(name.to_string())),
                PathDevice::Serial { baud, .. } => Some(Thing::Device(name.into(), baud)),
            };
            let At { at, value } = link.device(me)?;
            Some(At { at, value: thing(value)? })
        };
        let mut all: Vec<At<Thing>> = self.links.iter().filter_map(device).gather();
        all.extend(self.links.iter().filter_map(|link| self.own_address(link, me)));
        for group in &self.groups {
            let Some(node) = self.nodes.as_ref().map(|nodes| &nodes[me.index()]) else { continue };
            all.extend(
                group.interfaces(node).map(|found| found.map(|name| Thing::Interface(name.to_string()))),
            );
            let lan = self.links.iter().find(|link| link.is_lan()).and_then(|link| link.device(me));
            let (lan, pair) = (lan.map(|lan| lan.value), self.pair.unwrap_or_default());
            all.extend(group.places(pair, lan, node));
            all.extend(group.programs().map(|found| found.map(Thing::Program)));
        }
        all.extend(self.notify.iter().map(|found| found.clone().map(|path| Thing::Program(vec![path]))));
        all.extend(self.system.group.map(|found| found.map(|name| Thing::Group(name.to_owned()))));
        all.extend(self.system.reset.iter().map(|found| found.clone().map(Thing::Reset)));
        all.extend(self.watchdog.iter().map(|found| found.clone().map(|dog| Thing::Watchdog(dog.device))));
        all.extend(self.fences.iter().map(|fence| fence.needs.clone().map(Thing::Fence)));
        for At { at, value: Witness { ip, interface } } in &self.witnesses {
            all.push(At { at: *at, value: Thing::Witness(*ip) });
            all.extend(interface.iter().map(|name| At { at: *at, value: Thing::Interface(name.clone()) }));
        }
        all.extend(self.vote.iter().map(|found| found.map(|to| Thing::Witness(to.ip()))));
        let mut needs: Vec<Need> = Vec::new();
        for thing in all {
            if needs.iter().all(|need| need.what != thing.value) {
                needs.push(Need { place: report.place(thing.at), what: thing.value });
            }
        }
        needs
    }
}

impl Draft<'_> {
    /// The address that node `me` must have on a LAN.
    fn own_address(&self, link: &Link<'_>, me: Side) -> Option<At<Thing>> {
        let (_, At { at, .. }) = link.addresses().find(|(side, _)| *side == me)?;
        let PathDevice::Lan { interface, local, peer, .. } = link.open_by(me)? else { return None };
        let name = self.nodes.as_ref()?[me.peer().index()].name.value.to_string();
        let served = self.groups.iter().flat_map(groups::Plan::served).gather();
        Some(At { at, value: Thing::Address { interface, own: local, peer: (peer, name), served } })
    }
}

fn read_pair<'t>(root: &Table<'t>, report: &mut Report<'_>) -> Option<&'t str> {
    if !root.has("pair") {
        report.add(
            0,
            "the pair has no id",
            "add pair = \"NAME\" at the top: any name that no other pair on this LAN has",
        );
    }
    let pair = root.text("pair", report)?;
    if !is_name(pair.value) {
        let remedy = format!("use letters, digits, dot, dash, at most {MAX_NAME_BYTES} characters");
        report.add(pair.at, format!("{} cannot be the id of a pair", quote(pair.value)), remedy);
    }
    Some(pair.value)
}

/// Reads the full path of a file or directory, or its default, which is also the example between the two
/// halves of the remedy.
fn read_place(
    root: &Table<'_>,
    [name, noun]: [&str; 2],
    usual: (&str, &str, &str),
    report: &mut Report<'_>,
) -> PathBuf {
    let (default, before, after) = usual;
    let Some(place) = root.text(name, report) else { return PathBuf::from(default) };
    if !is_full_path(place.value) {
        let what = format!("{} is not the full path of a {noun}", quote(place.value));
        report.add(place.at, what, format_args!("{before} \"{default}\"{after}"));
    }
    PathBuf::from(place.value)
}

/// What `[system]` says of the daemon on its box.
struct System<'t> {
    /// It runs before everything else.
    is_realtime: bool,
    /// The group whose members may ask.
    group: Option<At<&'t str>>,
    /// The file in which a `b` resets the box.
    reset: Option<At<PathBuf>>,
}

fn read_system<'t>(root: &Table<'t>, report: &mut Report<'_>) -> System<'t> {
    let Some(table) = root.table("system", report) else {
        return System { is_realtime: true, group: None, reset: None };
    };
    table.refuse_unknown(&SYSTEM_KEYS, report);
    let is_realtime = table.flag("realtime", true, report);
    let group = table.text("group", report);
    System { is_realtime, group, reset: fencing::read_device(&table, "reset", report) }
}

/// What `[quorum]` says.
struct Quorum {
    witnesses: Vec<At<Witness>>,
    /// The witness that votes.
    vote: Option<At<SocketAddr>>,
    in_jeopardy: InJeopardy,
    /// The neighbours on the LANs are witnesses.
    has_neighbours: bool,
}

impl Quorum {
    /// Reads it. By default a witness is asked, and without one nothing moves.
    fn read(root: &Table<'_>, report: &mut Report<'_>) -> Self {
        let Some(table) = root.table("quorum", report) else {
            let in_jeopardy = InJeopardy::Hold;
            return Self { witnesses: Vec::new(), vote: None, in_jeopardy, has_neighbours: true };
        };
        table.refuse_unknown(&QUORUM_KEYS, report);
        let (witnesses, vote) = witness::read(&table, report);
        let usual = if witnesses.is_empty() { InJeopardy::Hold } else { InJeopardy::Witness };
        let in_jeopardy = table.choice("in_jeopardy", &JEOPARDY, report).map_or(usual, |choice| choice.value);
        if in_jeopardy == InJeopardy::Witness
            && witnesses.is_empty()
            && (vote.is_some() || !table.has("witness"))
        {
            let what = "in_jeopardy = \"witness\", but there is no witness to ping";
            let remedy = "name one with witness = [\"IP\"], or use \"hold\"";
            report.add(table.place_of("in_jeopardy"), what, remedy);
        }
        let has_neighbours = table.flag("neighbours", true, report);
        if in_jeopardy == InJeopardy::Neighbours && !has_neighbours {
            let what = "in_jeopardy = \"neighbours\", but neighbours = false";
            report.add(table.place_of("in_jeopardy"), what, "say neighbours = true, or use \"hold\"");
        }
        Self { witnesses, vote, in_jeopardy, has_neighbours }
    }
}

/// The nodes' own addresses, each with its owner; reports the second use of one.
fn own_addresses(nodes: &[Node<'_>; 2], links: &[Link<'_>], report: &mut Report<'_>) -> Vec<OwnAddress> {
    let mut own: Vec<OwnAddress> = Vec::new();
    let mut all: Vec<(Side, At<IpAddr>)> = links.iter().flat_map(Link::addresses).gather();
    sort_by_key(&mut all, |(_, address)| address.at);
    for (side, At { at, value: ip }) in all {
        if let Some(OwnAddress { what, .. }) = own.iter().find(|other| other.ip == ip) {
            report.add(
                at,
                format!("{ip} is already {what}"),
                "give each node an address of its own on each LAN",
            );
        }
        let what = format!("the address of node {}", quote(nodes[side.index()].name.value));
        own.push(OwnAddress { ip, prefix: None, what });
    }
    own
}

fn check_times(
    pace: &Pace,
    links: &[Link<'_>],
    (policy, interfaces): (&Policy, usize),
    report: &mut Report<'_>,
) {
    let bytes = crosswire::frame::heartbeat_bytes(links.len(), policy.groups.len(), interfaces);
    let sound = links.iter().filter(|link| link.check_times(bytes, report)).count();
    let slowest = links.iter().map(|link| link.times).max_by_key(|times| times.dead_after.value);
    if let Some(slowest) = slowest.filter(|_| sound == links.len()) {
        let beats: Vec<Span> = links.iter().map(|link| link.beat(bytes)).gather();
        pace.check(policy, &beats, slowest, report);
    }
}
