//! `crosswire import` of a keepalived.conf by the shipped binary, and Debian's keepalived as a judge of the
//! fixtures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::testing::has_tools;
use crate::place::{crosswire, say, workstation_file};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keepalived");
const KEEPALIVED: &str = "/usr/sbin/keepalived";
/// Programs that the fixtures name: without them keepalived leaves out what names them.
const PROGRAMS: [&str; 9] = [
    "/etc/conntrackd/primary-backup.sh",
    "/etc/keepalived/backup.sh",
    "/etc/keepalived/down-new-box.sh",
    "/etc/keepalived/down-old-box.sh",
    "/etc/keepalived/master.sh",
    "/etc/keepalived/notify.sh",
    "/etc/keepalived/stop.sh",
    "/etc/keepalived/up.sh",
    "/usr/local/bin/check-route",
];
/// What is said where a file names scripts and does not ask for `enable_script_security`, as most do; the
/// exit code is 6.
const NO_SCRIPT_SECURITY: &str = "SECURITY VIOLATION";

fn all_pairs() -> Vec<PathBuf> {
    let entries = fs::read_dir(FIXTURES).expect("fixtures").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.join("keepalived.conf").exists()).collect()
}

/// Whether keepalived takes the file on a box with the interfaces that its first line names: its exit code
/// and words.
fn judged(file: &Path, id: &str) -> (Option<i32>, String) {
    let text = fs::read_to_string(file).expect("text");
    let interfaces =
        text.lines().find_map(|line| line.strip_prefix("! interfaces: ")).expect("its interfaces");
    // A tmpfs in the test's own mount namespace hides what this machine has there.
    let script = format!(
        "set -e; n=0; for i in {interfaces}; do n=$((n+1)); ip link add name $i type veth peer name far$n; \
         ip link set $i up; ip link set far$n up; done; ip link set lo up; \
         for p in {}; do d=${{p%/*}}; case $seen in *$d*) ;; *) mkdir -p $d; mount -t tmpfs none $d; \
         seen=$seen$d ;; esac; \
         cp /bin/true $p; done; exec {KEEPALIVED} --config-test --config-id {id} --use-file {}",
        PROGRAMS.join(" "),
        file.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &script]);
    let said = say(command);
    (said.code, said.out + &said.err)
}

/// What is imported are files that keepalived itself takes.
#[test]
fn keepalived_takes_every_fixture() {
    if !has_tools(&[KEEPALIVED]) {
        return;
    }
    let mut count = 0;
    for pair in all_pairs() {
        for name in ["keepalived.conf", "peer.conf"] {
            let file = pair.join(name);
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let ids: &[&str] = if text.contains("\n@alpha") { &["alpha", "beta"] } else { &["none"] };
            for id in ids {
                let (code, said) = judged(&file, id);
                let is_usual = said.lines().all(|line| line.starts_with(NO_SCRIPT_SECURITY));
                let is_taken = code == Some(0) || code == Some(6) && !said.is_empty();
                assert!(is_usual && is_taken, "{} for {id}: {code:?}\n{said}", file.display());
                count += 1;
            }
        }
    }
    assert!(count >= 30, "{count} files were judged");
}

/// A keyword that is refused here is none of keepalived's either.
#[test]
fn keepalived_does_not_know_a_keyword_that_is_refused() {
    if !has_tools(&[KEEPALIVED]) {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("keepalived.conf");
    let text = fs::read_to_string(Path::new(FIXTURES).join("office/keepalived.conf")).expect("a fixture");
    fs::write(&file, text.replace("priority 150", "priorty 150")).expect("written");
    let (code, said) = judged(&file, "none");
    assert!(code != Some(0) && said.contains("Line 11) Unknown keyword 'priorty'"), "{code:?} {said}");
}

/// The file itself, its directory, and both nodes' files at once; what is written passes `check` for either
/// node.
#[test]
fn a_file_or_its_directory_is_imported_and_both_nodes_pass_check() {
    let pair = Path::new(FIXTURES).join("office");
    let (file, peer) = (pair.join("keepalived.conf"), pair.join("peer.conf"));
    for from in [&file, &pair] {
        let home = tempfile::tempdir().expect("a directory");
        let to = home.path().join("out");
        let words = [from, &to, &peer].map(|path| path.to_str().expect("text"));
        let mut import = Command::new(workstation_file());
        import.args(["import", words[0], "--to", words[1], "--peer", words[2]]);
        let said = say(import);
        assert_eq!(said.code, Some(0), "{said:?}");
        let config = to.join("crosswire.toml");
        for node in ["fw1", "fw2"] {
            let config = config.to_str().expect("text");
            let checked = say(crosswire(&["check", "--offline", "--config", config, "--node", node]));
            assert_eq!(checked.code, Some(0), "{checked:?}");
        }
    }
}
