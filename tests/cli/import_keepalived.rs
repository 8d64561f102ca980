//! `crosswire import` of a keepalived.conf by the shipped binary, and Debian's keepalived as a judge of the
//! fixtures.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::keepalived_files::{FIXTURES, all_pairs, interfaces_of, stand_ins};
use crate::lab::testing::has_tools;
use crate::place::{crosswire, say, workstation_file};

const KEEPALIVED: &str = "/usr/sbin/keepalived";
/// What is said where a file names scripts and does not ask for `enable_script_security`, as most do; the
/// exit code is 6.
const NO_SCRIPT_SECURITY: &str = "SECURITY VIOLATION";

/// Whether keepalived takes the file on a box with the interfaces that its first line names: its exit code
/// and words.
fn judged(file: &Path, id: &str) -> (Option<i32>, String) {
    let script = format!(
        "set -e; n=0; for i in {}; do n=$((n+1)); ip link add name $i type veth peer name far$n; \
         ip link set $i up; ip link set far$n up; done; ip link set lo up\n{}\
         exec {KEEPALIVED} --config-test --config-id {id} --use-file {}",
        interfaces_of(file),
        stand_ins(),
        file.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &script]);
    let said = say(command);
    (said.code, said.out + &said.err)
}

/// What is imported are files that keepalived itself takes. What it says of a file that it reads otherwise
/// than one might think stands beside it, a part of each line, in `judged`.
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
                let parts = fs::read_to_string(pair.join("judged")).unwrap_or_default();
                let is_known = |line: &str| parts.lines().any(|part| line.contains(part));
                let is_usual =
                    said.lines().all(|line| line.starts_with(NO_SCRIPT_SECURITY) || is_known(line));
                let is_taken = code == Some(0)
                    || code == Some(6) && !said.is_empty()
                    || code == Some(5) && !parts.is_empty();
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
