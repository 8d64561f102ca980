//! The configuration, and which statement asks for each of its lines.

use std::path::Path;

use super::groups::Group;
use super::ledger::Key;
use super::settle::Plan;
use crate::cli::import::compose::quoted;
use crate::settings::exact;

/// A text that is written line by line.
#[derive(Default)]
pub struct Page {
    /// What is written.
    pub text: String,
    asked_by: Vec<Option<Key>>,
}

impl Page {
    fn line(&mut self, text: &str, by: Option<Key>) {
        self.text.push_str(text);
        self.text.push('\n');
        self.asked_by.extend(text.split('\n').map(|_| by));
    }

    /// The statement that asks for a line, counted from 1.
    pub fn asked_by(&self, line: usize) -> Option<Key> {
        self.asked_by.get(line.checked_sub(1)?).copied().flatten()
    }
}

/// The text of the file.
pub fn compose(plan: &Plan, from: &Path, key: &Path) -> Page {
    let mut page = Page::default();
    page.line(
        &format!("# Written by `crosswire import {}`, which says what became of each line.", from.display()),
        None,
    );
    page.line(
        &format!("pair = {}\nkey = {}", quoted(&plan.names.join("-")), quoted(&key.to_string_lossy())),
        None,
    );
    for (side, name) in plan.names.iter().enumerate() {
        let own: Vec<String> = plan.lans.iter().map(|lan| quoted(&lan.ips[side].to_string())).collect();
        page.line(&format!("\n[node.{}]\nlan = [{}]", quoted(name), own.join(", ")), None);
        if plan.lans.iter().any(|lan| lan.interfaces[0] != lan.interfaces[1]) {
            let all: Vec<String> = plan.lans.iter().map(|lan| quoted(&lan.interfaces[side])).collect();
            page.line(&format!("interface = [{}]", all.join(", ")), None);
        }
        let renamed = plan.groups.iter().flat_map(|group| &group.renamed).filter(|_| side == 1);
        let mut all: Vec<String> = renamed.map(|[a, b]| format!("{} = {}", quoted(a), quoted(b))).collect();
        all.sort();
        all.dedup();
        if !all.is_empty() {
            page.line(&format!("interface_names = {{ {} }}", all.join(", ")), None);
        }
    }
    page.line(
        "\n# A null-modem cable, which keepalived does not have: it is what tells a dead peer from a cut \
            LAN.",
        None,
    );
    page.line("#[serial]\n#device = \"/dev/ttyS0\"\n#baud = 115200", None);
    for lan in &plan.lans {
        page.line(&format!("\n[[lan]]\ninterface = {}", quoted(&lan.interfaces[0])), None);
    }
    page.line("\n[timing]", None);
    for (name, span) in ["interval", "late_after", "dead_after", "cold_start"].into_iter().zip(plan.times.all)
    {
        page.line(&format!("{name} = \"{}\"", exact(span)), None);
    }
    page.line(&format!("lease = \"{}\"", exact(plan.times.lease)), None);
    if !plan.witnesses.is_empty() {
        let all: Vec<String> = plan.witnesses.iter().map(|ip| quoted(&ip.to_string())).collect();
        page.line(&format!("\n[quorum]\nwitness = [{}]", all.join(", ")), None);
    }
    for group in &plan.groups {
        write_group(group, &plan.names, &mut page);
    }
    page
}

fn write_group(group: &Group, names: &[String; 2], page: &mut Page) {
    let at = Some(group.at);
    page.line(&format!("\n[group.{}]", quoted(&group.name)), at);
    if let Some(side) = group.prefer {
        page.line(&format!("prefer = {}", quoted(&names[side])), at);
    }
    page.line(&format!("failback = {}", quoted(&group.failback)), at);
    write_list("addresses", group.addresses.iter().map(|vip| (vip.at, vip.text())), page);
    write_list("track", group.tracked.iter().map(|(at, name)| (*at, quoted(name))), page);
    for (key, all) in [("routes", &group.routes), ("rules", &group.rules)] {
        // Both files may ask for the same one.
        let is_first = |(index, (_, text)): &(usize, &(Key, String))| {
            all[..*index].iter().all(|(_, known)| known != text)
        };
        let firsts = all.iter().enumerate().filter(is_first).map(|(_, one)| one.clone());
        write_list(key, firsts.map(|(at, text)| (at, quoted(&text))), page);
    }
    write_list("scripts", group.scripts.iter().map(|(at, text)| (*at, quoted(text))), page);
    if !group.scripts.is_empty() && !group.is_mounting {
        page.line(
            "# As keepalived did: it does not wait until the peer's scripts must have stopped.\nsafety \
                = \"probe\"",
            at,
        );
    }
}

fn write_list(name: &str, elements: impl Iterator<Item = (Key, String)>, page: &mut Page) {
    let all: Vec<(Key, String)> = elements.collect();
    let Some((first, _)) = all.first() else { return };
    page.line(&format!("{name} = ["), Some(*first));
    for (at, text) in all {
        page.line(&format!("    {text},"), Some(at));
    }
    page.line("]", None);
}
