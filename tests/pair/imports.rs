//! Every keepalived.conf of the fixtures, imported and served: both nodes on real interfaces of the names
//! that the file has, with nothing changed in what was written.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::keepalived_files::{all_pairs, interfaces_of, stand_ins};
use crate::lab::testing;
use crate::scene::shipped;

/// So many pairs at once.
const AT_ONCE: usize = 4;

/// In a network and a mount namespace of its own: `$1` is the program, `$2` the directory of the
/// configuration, `$3` the interfaces, `$4` and `$5` the nodes with their addresses as
/// `name address@interface ..`. Starts both nodes, waits until all of `$6` is there, and prints what `status`
/// says on the first, then the addresses of both.
const SCRIPT: &str = r#"
set -e
crosswire=$1 directory=$2 interfaces=$3 first=$4 second=$5 served=$6
mount -t tmpfs none /run
mkdir -p /run/netns /run/a /run/b
STAND_INS
ip netns add b
ip link set lo up; ip -n b link set lo up
for name in $interfaces; do
    ip link add name "$name" type veth peer name "$name" netns b
    ip link set "$name" up; ip -n b link set "$name" up
done
own() { # own NODE.. : its addresses, by `ip` with the words before
    shift
    for one; do
        case $one in *:*) bits="64 nodad" ;; *) bits=24 ;; esac
        echo "addr add ${one%@*}/$bits dev ${one#*@}"
    done
}
own $first | ip -batch -
own $second | ip -n b -batch -
set -- run --foreground --config "$directory/crosswire.toml"
"$crosswire" "$@" --node "${first%% *}" --run-dir /run/a 2>/run/a.log &
a=$!
ip netns exec b "$crosswire" "$@" --node "${second%% *}" --run-dir /run/b 2>/run/b.log &
b=$!
tries=0
for ip in $served; do
    until { ip -o addr show; ip -n b -o addr show; } | grep -q " $ip[/ ]"; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ]; then cat /run/a.log /run/b.log; kill -9 $a $b; exit 1; fi
        sleep 0.1
    done
done
"$crosswire" status --run-dir /run/a | head -n 1
echo "first:"; ip -o addr show
echo "second:"; ip -n b -o addr show
kill $a $b
wait
"#;

/// A fixture, imported.
struct Imported {
    name: String,
    /// Where crosswire.toml is.
    directory: tempfile::TempDir,
    interfaces: String,
    written: Written,
}

/// What of it a written file says.
#[derive(Default)]
struct Written {
    /// By node: `name address@interface ..`.
    nodes: Vec<String>,
    /// What is to be served, without prefix lengths.
    served: Vec<String>,
}

/// Reads what an import writes: one thing a line.
fn written_in(text: &str) -> Written {
    let strings =
        |line: &str| -> Vec<String> { line.split('"').skip(1).step_by(2).map(str::to_owned).collect() };
    let lans = text.lines().filter(|line| line.starts_with("interface = ")).flat_map(strings);
    let lans: Vec<String> = lans.collect();
    let (mut written, mut is_in_addresses) = (Written::default(), false);
    for line in text.lines() {
        if line.starts_with("[node.") {
            written.nodes.extend(strings(line));
        } else if let (true, Some(node)) = (line.starts_with("lan = "), written.nodes.last_mut()) {
            let each = strings(line).into_iter().zip(&lans);
            each.for_each(|(address, lan)| node.push_str(&format!(" {address}@{lan}")));
        }
        is_in_addresses |= line.starts_with("addresses = [");
        if let (true, Some(address)) = (is_in_addresses, strings(line).first()) {
            written.served.push(address.split(['/', '@']).next().unwrap_or_default().to_owned());
        }
        is_in_addresses &= !line.contains(']');
    }
    written
}

fn import(fixture: &Path) -> Imported {
    let directory = tempfile::tempdir().expect("a directory");
    let mut import = Command::new(shipped());
    import.arg("import").arg(fixture.join("keepalived.conf")).arg("--to").arg(directory.path());
    if let Ok(addresses) = fs::read_to_string(fixture.join("addresses")) {
        import.arg("--addresses").arg(addresses.trim());
    }
    let peer = fixture.join("peer.conf");
    if peer.exists() {
        import.arg("--peer").arg(peer);
    }
    let said = import.output().expect("it runs");
    assert!(said.status.success(), "{}: {}", fixture.display(), String::from_utf8_lossy(&said.stderr));
    let interfaces = interfaces_of(&fixture.join("keepalived.conf"));
    let written = fs::read_to_string(directory.path().join("crosswire.toml")).expect("what was written");
    let written = written_in(&written);
    let name = fixture.file_name().expect("a name").to_string_lossy().into_owned();
    Imported { name, directory, interfaces, written }
}

/// What the pair has said, and what is wrong with it.
fn serve(imported: &Imported) -> Result<String, String> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &SCRIPT.replace("STAND_INS", &stand_ins()), "sh"]);
    command
        .arg(shipped())
        .arg(imported.directory.path())
        .arg(&imported.interfaces)
        .args(&imported.written.nodes);
    command.arg(imported.written.served.join(" "));
    let said = command.output().expect("unshare runs");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    let (status, addresses) = text.split_once("first:").ok_or_else(|| format!("{text}{words}"))?;
    let (here, there) = addresses.split_once("second:").unwrap_or_default();
    let has = |side: &str, ip: &str| ["/", " peer "].iter().any(|end| side.contains(&format!(" {ip}{end}")));
    for ip in &imported.written.served {
        if has(here, ip) == has(there, ip) {
            return Err(format!("{ip} is on both or on neither:\n{text}{words}"));
        }
    }
    Ok(status.trim().to_owned())
}

/// Operator: imports each keepalived.conf, and starts both nodes by what was written.
/// Required: each address is served, by one of them.
#[test]
fn every_keepalived_conf_that_is_imported_is_served() {
    if !testing::has_tools(&["/usr/bin/unshare"]) {
        return;
    }
    testing::in_lab(|| {
        let all = all_pairs();
        assert!(all.len() >= 20, "{}", all.len());
        let (left, failed) = (Mutex::new(all), Mutex::new(Vec::new()));
        let work = || {
            while let Some(fixture) = { left.lock().expect("nobody panics with it").pop() } {
                let imported = import(&fixture);
                match serve(&imported) {
                    Ok(status) => {
                        println!("{}: {} addresses: {status}", imported.name, imported.written.served.len())
                    }
                    Err(why) => failed.lock().expect("nor with it").push(format!("{}: {why}", imported.name)),
                }
            }
        };
        thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
        let failed = failed.into_inner().expect("nobody panicked");
        assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    });
}
