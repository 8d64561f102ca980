//! Writes the configuration that the draft asks for.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use super::draft::{Draft, Group, Script};
use super::settle::{Settled, USUAL_BAUD};
use crate::settings::exact;

/// A string of TOML; control characters were refused before.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn list(texts: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = texts.map(|text| quoted(&text)).collect();
    format!("[{}]", all.join(", "))
}

/// The text of the file.
pub fn compose(draft: &Draft, settled: &Settled, key: &Path) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write_all(draft, settled, key, &mut out);
    out
}

fn write_all(draft: &Draft, settled: &Settled, key: &Path, out: &mut String) -> std::fmt::Result {
    let Settled { times, addresses, witnesses, .. } = settled;
    let directory = &draft.directory;
    let pair = draft.pair.clone().unwrap_or_else(|| draft.nodes.join("-"));
    writeln!(
        out,
        "# Written by `crosswire import {}`, which says what became of each line.",
        directory.display()
    )?;
    writeln!(out, "pair = {}\nkey = {}", quoted(&pair), quoted(&key.to_string_lossy()))?;
    for (index, node) in draft.nodes.iter().enumerate() {
        let own = addresses.iter().filter_map(|lan| lan.get(index)).map(|(ip, _)| ip.to_string());
        writeln!(out, "\n[node.{}]", quoted(node))?;
        if !addresses.is_empty() {
            writeln!(out, "lan = {}", list(own))?;
        }
    }
    for serial in &draft.serials {
        writeln!(
            out,
            "\n[[serial]]\ndevice = {}\nbaud = {}",
            quoted(serial),
            draft.baud.map_or(USUAL_BAUD, |(baud, _)| baud)
        )?;
    }
    for lan in &draft.lans {
        writeln!(out, "\n[[lan]]\ninterface = {}", quoted(&lan.interface))?;
        if let Some((port, _)) = lan.port {
            writeln!(out, "port = {port}")?;
        }
    }
    writeln!(out, "\n[timing]")?;
    for (name, span) in ["interval", "late_after", "dead_after", "cold_start"].into_iter().zip(times.all) {
        writeln!(out, "{name} = \"{}\"", exact(span))?;
    }
    writeln!(out, "lease = \"{}\"", exact(times.lease))?;
    if !witnesses.is_empty() {
        writeln!(out, "\n[quorum]\nwitness = {}", list(witnesses.iter().map(IpAddr::to_string)))?;
    }
    write_last_resorts(draft, out)?;
    write_groups(draft, out)
}

fn write_last_resorts(draft: &Draft, out: &mut String) -> std::fmt::Result {
    if let Some(device) = &draft.watchdog {
        writeln!(out, "\n[watchdog]\ndevice = {}", quoted(device))?;
    }
    for fence in &draft.fences {
        writeln!(out, "\n# {}", fence.remark)?;
        if let Some((method, program)) = &fence.known {
            writeln!(out, "[[fence]]\nmethod = \"{method}\"\nprogram = {}", quoted(program))?;
            writeln!(out, "options = {}", list(fence.options.iter().cloned()))?;
        }
    }
    Ok(())
}

fn write_groups(draft: &Draft, out: &mut String) -> std::fmt::Result {
    for group in &draft.groups {
        writeln!(out, "\n[group.{}]\nprefer = {}", quoted(&group.name), quoted(&group.prefer))?;
        writeln!(out, "failback = \"{}\"", draft.failback)?;
        if !group.addresses.is_empty() {
            writeln!(out, "addresses = {}", list(group.addresses.iter().map(|(_, text)| text.clone())))?;
        }
        if !group.scripts.is_empty() {
            let scripts: Vec<String> =
                group.scripts.iter().map(|script| element(draft, group, script)).collect();
            writeln!(out, "scripts = [{}]", scripts.join(", "))?;
        }
        // As Heartbeat did. A group that mounts a disk keeps the default, which waits until the peer's
        // scripts must have stopped.
        if !group.scripts.is_empty() && !group.is_mounting() {
            writeln!(out, "safety = \"probe\"")?;
        }
    }
    Ok(())
}

fn element(draft: &Draft, group: &Group, script: &Script) -> String {
    let text = quoted(&script.text);
    let is_shared = draft.groups.iter().any(|other| other.name != group.name && other.has(script));
    if is_shared { format!("{{ run = {text}, shared = true }}") } else { text }
}
