//! What both nodes must agree on, as keys of the configuration file, read from the lines of the digest
//! (section 7 of `firmware-notes/protocol.md`), and the difference between two of them. One of them comes
//! from the peer: any text gives some keys.

use crosswire::config::CARRIER_DELAY;
use crosswire::frame::aside::MAX_TEXT_BYTES;
use crosswire::time::Span;

use crate::gather::Gather;
use crate::plain;
use crate::settings::{Settings, exact};

/// What a node goes by.
pub struct Agreed {
    digest: String,
    /// The name of the form that the lines have.
    form: String,
    /// Not all of it was told.
    is_cut: bool,
    keys: Vec<Key>,
}

/// One key of the file. A table is a key too, without a value.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Key {
    /// The table that it stands in, as its place among the keys; none at the top.
    table: Option<usize>,
    name: String,
    value: Value,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Value {
    Table,
    /// A table too, for what is told of a script.
    Script,
    One(String),
    List(Vec<String>),
    /// Its checksum.
    Secret(String),
}

/// One key that differs. What is on one node only has one value; a table has none to show, and neither has
/// what may hold a password.
#[derive(PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its full name.
    pub key: String,
    /// Whether it is in the file here, and there.
    pub is_in: [bool; 2],
    /// What it is here, and there.
    pub values: [Option<String>; 2],
}

impl Agreed {
    /// What a file says.
    pub fn of(settings: &Settings) -> Option<Self> {
        Self::read(&settings.agreed(), false)
    }

    /// What a peer tells; none if that is something else. A text that is as long as one may be was cut.
    pub fn told(text: &str) -> Option<Self> {
        Self::read(text, text.len() >= MAX_TEXT_BYTES || !text.ends_with('\n'))
    }

    /// Both texts go through the filter: what comes from the peer must do no harm, and ours has to look the
    /// same.
    fn read(text: &str, is_cut: bool) -> Option<Self> {
        let text = plain::lines(text);
        let (digest, rest) = plain::cut(text.strip_prefix("digest ")?, "\n")?;
        let (form, rest) = plain::cut(rest, "\n")?;
        let mut reader = Reader::default();
        rest.lines().for_each(|line| reader.line(line));
        let keys = if is_cut { reader.up_to_the_cut() } else { reader.keys };
        Some(Self { digest: digest.to_owned(), form: form.to_owned(), is_cut, keys })
    }

    /// Whether both have lines of one form, so that they can be compared.
    pub fn is_like(&self, other: &Self) -> bool {
        self.form == other.form
    }

    /// Whether all of it was told.
    pub fn is_whole(&self) -> bool {
        !self.is_cut
    }

    /// Whether both are the same, by the checksum that covers all of it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The keys that differ. Of what was cut, only those that are there count.
    pub fn differences(&self, there: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        // The list of scripts says which one is missing, and a table says it for all that is in it.
        let is_inside = |known: &Self, of: &Self, key: &Key| {
            key.value == Value::Script || key.table.is_some_and(|table| known.place_of(of, table).is_none())
        };
        for (at, key) in self.keys.iter().enumerate() {
            match there.place_of(self, at).and_then(|place| there.keys.get(place)) {
                Some(other) if other.value == key.value => {}
                Some(other) => found.push(self.difference(at, [Some(&key.value), Some(&other.value)])),
                None if there.is_cut => {}
                None if is_inside(there, self, key) => {}
                None => found.push(self.difference(at, [Some(&key.value), None])),
            }
        }
        for (at, key) in there.keys.iter().enumerate() {
            if self.place_of(there, at).is_none() && !is_inside(self, there, key) {
                found.push(there.difference(at, [None, Some(&key.value)]));
            }
        }
        found
    }

    fn difference(&self, at: usize, values: [Option<&Value>; 2]) -> Difference {
        Difference {
            key: self.full_name(at),
            is_in: values.map(|value| value.is_some()),
            values: values.map(|value| value.and_then(Value::shown)),
        }
    }

    /// Where a key of another node stands here.
    fn place_of(&self, other: &Self, at: usize) -> Option<usize> {
        let key = other.keys.get(at)?;
        let table = match key.table {
            Some(table) => Some(self.place_of(other, table)?),
            None => None,
        };
        place(&self.keys, table, &key.name)
    }

    fn full_name(&self, at: usize) -> String {
        match self.keys.get(at) {
            Some(Key { table: Some(table), name, .. }) => format!("{}.{name}", self.full_name(*table)),
            Some(Key { table: None, name, .. }) => name.clone(),
            None => String::new(),
        }
    }
}

impl Value {
    fn shown(&self) -> Option<String> {
        match self {
            Self::One(value) => Some(value.clone()),
            Self::List(items) => Some(format!("[{}]", items.join(", "))),
            Self::Table | Self::Script | Self::Secret(_) => None,
        }
    }
}

/// Turns lines into keys.
#[derive(Default)]
struct Reader {
    keys: Vec<Key>,
    paths: [usize; 2],
    nodes: Vec<String>,
    group: Option<usize>,
    /// How many of the next scripts start before the addresses.
    before: usize,
    is_exclusive: bool,
    monitor: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let (word, rest) = plain::cut(line, " ").unwrap_or((line, ""));
        let words: Vec<&str> = rest.split(' ').gather();
        match (word, words.as_slice()) {
            ("pair", [name]) => self.set(None, "pair", (*name).to_owned()),
            ("nodes", [a, b]) => self.name_nodes([a, b]),
            ("serial", [baud, times @ ..]) => {
                let path = self.path("serial", 0);
                self.set(path, "baud", (*baud).to_owned());
                self.times(path, times);
            }
            ("lan", [a, b, port, rest @ ..]) => self.lan([a, b], port, rest),
            ("lease", [lease, "cold_start", cold_start, "in_jeopardy", rule]) => {
                let timing = self.table(None, "timing");
                self.set(timing, "lease", time(lease));
                self.set(timing, "cold_start", time(cold_start));
                self.set(timing, "carrier_delay", exact(CARRIER_DELAY));
                let quorum = self.table(None, "quorum");
                self.set(quorum, "in_jeopardy", (*rule).to_owned());
                self.set(quorum, "neighbours", "true".to_owned());
                self.add(quorum, "witness", None);
            }
            ("carrier_delay", [delay]) => {
                let timing = self.table(None, "timing");
                self.set(timing, "carrier_delay", time(delay));
            }
            ("neighbours", ["off"]) => {
                let quorum = self.table(None, "quorum");
                self.set(quorum, "neighbours", "false".to_owned());
            }
            ("watchdog", [timeout]) => {
                let watchdog = self.table(None, "watchdog");
                self.set(watchdog, "timeout", time(timeout));
            }
            ("witness", _) => self.witness(rest.to_owned()),
            ("vote", _) => self.witness(format!("vote:{rest}")),
            _ => self.line_of_group(word, rest, &words),
        }
    }

    fn line_of_group(&mut self, word: &str, rest: &str, words: &[&str]) {
        match (word, words) {
            ("exclusive", [""]) => self.is_exclusive = true,
            ("group", [name, "prefer", prefer, "failback", failback, "safety", safety]) => {
                self.begin_group(name, [prefer, failback, safety]);
            }
            ("self-fence", [""]) => self.set(self.group, "on_stop_failure", "self-fence".to_owned()),
            ("address", _) => self.add(self.group, "addresses", Some(rest.to_owned())),
            ("route", _) => self.add(self.group, "routes", Some(rest.to_owned())),
            ("rule", _) => self.add(self.group, "rules", Some(rest.to_owned())),
            ("track", [count]) => {
                let noun = if *count == "1" { "interface" } else { "interfaces" };
                self.set(self.group, "track", format!("{count} {noun}"));
            }
            ("before", [count]) => self.before = count.parse().unwrap_or(0),
            ("monitor", _) => self.monitor = Some(rest.to_owned()),
            ("script", [start, stop, label, parameters @ ..]) => {
                self.script([start, stop], label, parameters.first().copied().unwrap_or_default());
            }
            ("ready", [every, timeout, failures, label, parameters @ ..]) => {
                let parameters = parameters.first().copied().unwrap_or_default();
                self.check([every, timeout, failures], label, parameters);
            }
            // A later build knows more.
            _ => self.add(self.group, word, Some(rest.to_owned())),
        }
    }

    fn name_nodes(&mut self, names: [&&str; 2]) {
        self.nodes = names.iter().map(|name| (**name).to_owned()).collect();
        for name in names {
            self.add(None, "nodes", Some((*name).to_owned()));
        }
    }

    /// A new path: `serial`, then `serial2`.
    fn path(&mut self, kind: &str, index: usize) -> Option<usize> {
        let count = self.paths.get_mut(index)?;
        *count += 1;
        let name = if *count == 1 { kind.to_owned() } else { format!("{kind}{count}") };
        self.table(None, &name)
    }

    fn lan(&mut self, addresses: [&&str; 2], port: &str, rest: &[&str]) {
        let path = self.path("lan", 1);
        let nodes = self.table(None, "node");
        for (node, address) in self.nodes.clone().iter().zip(addresses) {
            let node = self.table(nodes, node);
            self.add(node, "lan", Some((*address).to_owned()));
        }
        self.set(path, "port", port.to_owned());
        let (link, times) = match rest {
            ["crossover", times @ ..] => ("crossover", times),
            times => ("switched", times),
        };
        self.set(path, "link", link.to_owned());
        self.times(path, times);
    }

    fn times(&mut self, path: Option<usize>, times: &[&str]) {
        for (name, value) in ["interval", "late_after", "dead_after"].iter().zip(times) {
            self.set(path, name, time(value));
        }
    }

    fn witness(&mut self, witness: String) {
        let quorum = self.table(None, "quorum");
        self.add(quorum, "witness", Some(witness));
    }

    fn begin_group(&mut self, name: &str, [prefer, failback, safety]: [&&str; 3]) {
        let groups = self.table(None, "group");
        self.group = self.table(groups, name);
        self.before = 0;
        let failback = if *failback == "manual" { "manual".to_owned() } else { time(failback) };
        let is_exclusive = std::mem::take(&mut self.is_exclusive);
        for (name, value) in [
            ("prefer", (*prefer).to_owned()),
            ("failback", failback),
            ("safety", (*safety).to_owned()),
            ("exclusive", is_exclusive.to_string()),
            ("on_stop_failure", "hold".to_owned()),
            ("track", "0 interfaces".to_owned()),
        ] {
            self.set(self.group, name, value);
        }
        for list in ["addresses", "routes", "rules", "before", "scripts", "ready"] {
            self.add(self.group, list, None);
        }
    }

    fn script(&mut self, [start, stop]: [&&str; 2], label: &str, parameters: &str) {
        let list = if self.before > 0 { "before" } else { "scripts" };
        self.before = self.before.saturating_sub(1);
        self.add(self.group, list, Some(label.to_owned()));
        let script = Some(self.place_for(label));
        self.set(script, "start_timeout", time(start));
        self.set(script, "stop_timeout", time(stop));
        let monitor = self.monitor.take();
        let monitor: Vec<&str> = monitor.as_deref().unwrap_or_default().split(' ').gather();
        if let [every, timeout, failures, restarts] = monitor.as_slice() {
            self.set(script, "monitor", time(every));
            self.set(script, "monitor_timeout", time(timeout));
            self.set(script, "failures", (*failures).to_owned());
            self.set(script, "restarts", (*restarts).to_owned());
        } else {
            self.set(script, "monitor", "never".to_owned());
        }
        self.put(script, "parameters", Value::Secret(parameters.to_owned()));
    }

    /// A check of whether this node is ready.
    fn check(&mut self, values: [&&str; 3], label: &str, parameters: &str) {
        self.add(self.group, "ready", Some(label.to_owned()));
        let check = Some(self.place_for(label));
        let [every, timeout, failures] = values;
        self.set(check, "monitor", time(every));
        self.set(check, "monitor_timeout", time(timeout));
        self.set(check, "failures", (*failures).to_owned());
        self.put(check, "parameters", Value::Secret(parameters.to_owned()));
    }

    /// A new table for a script of the group. The second of a name has a number.
    fn place_for(&mut self, label: &str) -> usize {
        let is_taken = |name: &str| place(&self.keys, self.group, name).is_some();
        let names = (2..).map(|number| format!("{label}#{number}"));
        let name = std::iter::once(label.to_owned()).chain(names).find(|name| !is_taken(name));
        self.put(self.group, &name.unwrap_or_default(), Value::Script)
    }

    /// The place of a table, which is made if it is not there yet.
    fn table(&mut self, table: Option<usize>, name: &str) -> Option<usize> {
        let known = place(&self.keys, table, name);
        Some(known.unwrap_or_else(|| self.put(table, name, Value::Table)))
    }

    fn set(&mut self, table: Option<usize>, name: &str, value: String) {
        self.put(table, name, Value::One(value));
    }

    /// Adds an item to a list, which begins as an empty one.
    fn add(&mut self, table: Option<usize>, name: &str, item: Option<String>) {
        let known = place(&self.keys, table, name).and_then(|at| self.keys.get_mut(at));
        match known.map(|key| &mut key.value) {
            Some(Value::List(items)) => items.extend(item),
            _ => drop(self.put(table, name, Value::List(item.into_iter().collect()))),
        }
    }

    /// Sets a key to a value, and returns its place.
    fn put(&mut self, table: Option<usize>, name: &str, value: Value) -> usize {
        let known = place(&self.keys, table, name);
        match known.and_then(|at| self.keys.get_mut(at)) {
            Some(known) => known.value = value,
            None => self.keys.push(Key { table, name: name.to_owned(), value }),
        }
        known.unwrap_or(self.keys.len() - 1)
    }

    /// All but what the cut went through: lists of a group may lack their ends.
    fn up_to_the_cut(mut self) -> Vec<Key> {
        self.keys.truncate(self.group.unwrap_or(self.keys.len().saturating_sub(1)));
        self.keys
    }
}

/// Where a key stands.
fn place(keys: &[Key], table: Option<usize>, name: &str) -> Option<usize> {
    keys.iter().position(|key| key.table == table && key.name == name)
}

/// Microseconds as one would write them; what is no number stays as it is.
fn time(us: &str) -> String {
    us.parse().map_or_else(|_| us.to_owned(), |us| exact(Span::from_us(us)))
}
