//! Which address is whose when Heartbeat's directory is imported: by what this box has, or by what the names
//! in it stand for.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::import::{HA_CF, HARESOURCES, Imported, import_by};
use crate::place::{crosswire, say, workstation_file};

/// A box of its own: name, addresses on eth0, and a hosts file.
fn on_a_box(name: &str, address: &str, hosts: &str, files: &[(&str, &[u8])]) -> Imported {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("hosts");
    fs::write(&file, hosts).expect("written");
    let script = format!(
        "set -e; hostname {name}; mount --bind {} /etc/hosts; ip link set lo up; \
         ip link add eth0 type veth peer name far; ip link set eth0 up; ip addr add {address} dev eth0; \
         exec \"$0\" \"$@\"",
        file.display()
    );
    import_by(&["unshare", "--net", "--uts", "--mount", "sh", "-c", &script], files, &[])
}

fn assert_addresses(imported: &Imported, node1: &str, node2: &str) {
    let written = imported.written();
    let lan = |node: &str| {
        let table = written.split(&format!("[node.\"{node}\"]\n")).nth(1).expect("a node");
        table.lines().next().expect("its address").to_string()
    };
    assert_eq!(
        (lan("node1"), lan("node2")),
        (format!("lan = [\"{node1}\"]"), format!("lan = [\"{node2}\"]"))
    );
}

/// What the box has decides which address is whose; what nothing decides is asked for.
#[test]
fn addresses_are_those_that_the_box_has() {
    let hosts = "127.0.0.1 localhost\n127.0.1.1 node1\n";
    let swapped = HA_CF
        .replace("10.1.0.1\n", "10.1.0.9\n")
        .replace("10.1.0.2\n", "10.1.0.1\n")
        .replace("0.9\n", "0.2\n");
    let files = [("ha.cf", swapped.as_bytes()), ("haresources", HARESOURCES.as_bytes())];
    let imported = on_a_box("node1", "10.1.0.1/16", hosts, &files);
    assert_addresses(&imported, "10.1.0.1", "10.1.0.2");
    assert!(imported.account("ha.cf:4").contains("node2"), "{:?}", imported.said);
    let imported = on_a_box("NODE2", "10.1.0.2/16", hosts, &files);
    assert_addresses(&imported, "10.1.0.1", "10.1.0.2");
    // Neither node's box, and a box with another address: nothing decides.
    for (name, address) in [("desk", "10.1.0.77/16"), ("node1", "10.1.0.77/16")] {
        let imported = on_a_box(name, address, hosts, &files);
        assert_eq!(imported.said.code, Some(78), "{:?}", imported.said);
        assert!(imported.said.out.contains("--addresses"), "{:?}", imported.said);
    }
    // The hosts file knows both, and the box is neither.
    let imported = on_a_box("desk", "10.1.0.77/16", "10.1.0.1 node1\n10.1.0.2 Node2\n", &files);
    assert_addresses(&imported, "10.1.0.1", "10.1.0.2");
    // The usual file names only the peer.
    let usual = HA_CF.replace("ucast eth0 10.1.0.1\n", "");
    let files = [("ha.cf", usual.as_bytes()), ("haresources", HARESOURCES.as_bytes())];
    assert_addresses(&on_a_box("node1", "10.1.0.1/16", hosts, &files), "10.1.0.1", "10.1.0.2");
}

#[test]
fn names_of_other_boxes_are_resolved_now_and_the_figures_are_said() {
    let hosts = "10.1.0.1 node1\n10.1.0.2 node2 standby\n10.1.0.254 gw.example.org router\n";
    let text = HA_CF.replace("ucast eth0 10.1.0.2", "ucast eth0 standby")
        + "ping Router\nping_group up gw.example.org\n";
    let files = [("ha.cf", text.as_bytes()), ("haresources", HARESOURCES.as_bytes())];
    let imported = on_a_box("node1", "10.1.0.1/16", hosts, &files);
    assert_addresses(&imported, "10.1.0.1", "10.1.0.2");
    assert!(imported.written().contains("witness = [\"10.1.0.254\"]"), "{}", imported.written());
    for (place, figure) in [("ha.cf:5", "10.1.0.2"), ("ha.cf:8", "10.1.0.254"), ("ha.cf:9", "10.1.0.254")] {
        let account = imported.account(place);
        assert!(account.split_once('\n').expect("an account").1.contains(figure), "{account}");
    }
    let text = format!("{HA_CF}ping nobody.invalid\n");
    let imported = on_a_box("node1", "10.1.0.1/16", hosts, &[("ha.cf", text.as_bytes()), files[1]]);
    assert_eq!(imported.said.code, Some(78));
    assert!(
        imported.said.out.contains("ha.cf:8: ") && imported.said.out.contains("nobody.invalid"),
        "{:?}",
        imported.said
    );
}

/// `check` and `run` on a box whose interface has another address than the file says.
#[test]
fn an_address_that_this_box_does_not_have_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let key = home.path().join("key");
    assert_eq!(say(crosswire(&["keygen", key.to_str().expect("text")])).code, Some(0));
    let config = home.path().join("c.toml");
    let text = format!(
        "pair = \"swapped\"\nkey = \"{}\"\n[node.node1]\nlan = \"10.1.0.1\"\n[node.node2]\nlan \
            = \"10.1.0.2\"\n\
         [lan]\ninterface = \"eth0\"\n[group.g]\naddresses = [\"10.1.0.100/16\"]\n",
        key.display()
    );
    fs::write(&config, text).expect("written");
    let on_box = |addresses: &str, words: &[&str]| {
        let script = format!(
            "set -e; ip link set lo up; ip link add eth0 type veth peer name far; ip link set eth0 up; \
                {addresses} exec \"$0\" \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", &script, "timeout", "3"]).arg(workstation_file()).args(words);
        command.args(["--node", "node1", "--config"]).arg(&config);
        say(command)
    };
    let run_dir = home.path().join("run").display().to_string();
    let run = ["run", "--foreground", "--run-dir", &run_dir];
    let other = "ip addr add 10.1.0.2/16 dev eth0;";
    let checked = on_box(other, &["check"]);
    assert_eq!(checked.code, Some(78), "{checked:?}");
    let line = checked.err.lines().last().expect("an error");
    assert!(line.contains("c.toml:4:7: ") && line.contains("10.1.0.1") && line.contains("node2"), "{line}");
    let refused = on_box(other, &run);
    assert_eq!((refused.code, refused.err.trim_end()), (Some(78), line));
    assert!(!Path::new(&run_dir).exists(), "nothing was started");
    // An interface that has no address yet may get it later: `run` waits.
    assert_eq!(on_box("", &["check"]).code, Some(78));
    assert_ne!(on_box("", &run).code, Some(78));
    let own = "ip addr add 10.1.0.1/16 dev eth0;";
    assert_eq!(on_box(own, &["check"]).code, Some(0));
}
