//! `crosswire import` of Heartbeat's directory by the shipped binary: what is said is what is written, and no
//! line is lost.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::lab::testing::has_tools;
use crate::place::{Said, say, workstation_file};

/// Two nodes, a cable and a LAN.
pub const HA_CF: &str = "keepalive 1\ndeadtime 10\nserial /dev/ttyS0\nucast eth0 10.1.0.1\n\
                         ucast eth0 10.1.0.2\nnode node1\nnode node2\n";
pub const HARESOURCES: &str = "node1 10.1.0.100/16/eth0\n";
const ADDRESSES: &str = "node1=10.1.0.1,node2=10.1.0.2";

/// What became of a directory.
pub struct Imported {
    pub said: Said,
    /// The configuration, if one was written.
    text: Option<String>,
    /// What is in the directory of the import.
    _home: tempfile::TempDir,
}

impl Imported {
    pub fn written(&self) -> &str {
        self.text.as_deref().unwrap_or_else(|| panic!("nothing was written: {:?}", self.said))
    }

    /// What was said of a line: everything below `FILE:LINE: ...`, up to the next one.
    pub fn account(&self, place: &str) -> String {
        let mut lines = self.said.out.lines().skip_while(|line| !line.starts_with(&format!("{place}: ")));
        let first = lines.next().unwrap_or_else(|| panic!("{place} has no account:\n{}", self.said.out));
        lines
            .take_while(|line| line.starts_with("    "))
            .fold(first.to_string(), |all, line| all + "\n" + line)
    }
}

/// Writes the files and has them imported with `arguments`, by `program` where that is not the binary itself.
pub fn import_by(program: &[&str], files: &[(&str, &[u8])], arguments: &[&str]) -> Imported {
    let home = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        fs::write(home.path().join(name), bytes).expect("written");
    }
    let to = home.path().join("out");
    let mut words: Vec<&str> = program.to_vec();
    let binary = workstation_file();
    words.push(binary.to_str().expect("text"));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("import").arg(home.path()).arg("--to").arg(&to).args(arguments);
    let said = say(command);
    Imported { said, text: fs::read_to_string(to.join("crosswire.toml")).ok(), _home: home }
}

/// The pair of the head of this file with other or more files.
fn import(files: &[(&str, &[u8])]) -> Imported {
    let mut all: Vec<(&str, &[u8])> =
        vec![("ha.cf", HA_CF.as_bytes()), ("haresources", HARESOURCES.as_bytes())];
    all.retain(|(name, _)| files.iter().all(|(other, _)| other != name));
    all.extend(files);
    import_by(&[], &all, &["--addresses", ADDRESSES])
}

/// More lines behind those of ha.cf.
fn with_lines(lines: &str) -> Imported {
    import(&[("ha.cf", format!("{HA_CF}{lines}").as_bytes())])
}

fn with_resources(text: &str) -> Imported {
    import(&[("haresources", text.as_bytes())])
}

/// Heartbeat's sed takes comments off before it joins lines.
#[test]
fn a_comment_that_ends_in_a_backslash_swallows_nothing() {
    for text in [
        "# our services \\\nnode1 10.1.0.100/16/eth0 named\n",
        "node2 10.1.0.101/16/eth0 # the other one \\\nnode1 10.1.0.100/16/eth0 named\n",
    ] {
        let imported = with_resources(text);
        assert!(imported.written().contains("10.1.0.100/16@eth0"), "{text}: {:?}", imported.said);
        assert!(imported.written().contains("lsb:named"), "{text}");
        imported.account("haresources:2");
    }
    // What goes on does go on, also where a line ends as on Windows.
    let imported = with_resources("node1 10.1.0.100/16/eth0 \\\r\n  named \\\r\n  httpd\r\n");
    assert!(imported.written().contains("[\"lsb:named\", \"lsb:httpd\"]"), "{}", imported.written());
}

/// A comment within a line that goes on ends it; nothing behind it is taken for a service or lost.
#[test]
fn what_stands_behind_an_ended_line_is_an_error_with_its_number() {
    let imported = with_resources("node1 10.1.0.100/16/eth0 \\\n# the web\nhttpd\n");
    assert_eq!(imported.said.code, Some(78), "{:?}", imported.said);
    assert!(
        imported.said.out.contains("haresources:3: \"httpd\" is no node of ha.cf"),
        "{:?}",
        imported.said
    );
}

#[test]
fn more_lines_than_groups_are_joined_as_little_as_can_be_and_it_is_said() {
    let mut text = String::new();
    for number in 1..=10 {
        let disk = if number == 3 { " Filesystem::/dev/sdc1::/srv::ext3" } else { " named" };
        let node = if number % 2 == 1 { "node1" } else { "node2" };
        text.push_str(&format!(
            "{node} 10.1.0.{}/16/eth0{}\n",
            100 + number,
            disk.replace("named", &format!("s{number}"))
        ));
    }
    let imported = with_resources(&text);
    let written = imported.written();
    let names: Vec<&str> =
        written.lines().filter_map(|line| line.strip_prefix("[group.\"")?.strip_suffix("\"]")).collect();
    assert_eq!(names.len(), 8, "{written}");
    let mut named = Vec::new();
    for number in 1..=10 {
        let account = imported.account(&format!("haresources:{number}"));
        let name =
            account.split("[group.\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a group");
        assert!(names.contains(&name), "line {number} is said to be in {name}: {written}");
        let body =
            written.split(&format!("[group.\"{name}\"]")).nth(1).and_then(|rest| rest.split("\n[").next());
        assert!(
            body.expect("its table").contains(&format!("10.1.0.{}/", 100 + number)),
            "{account}\n{written}"
        );
        named.push(name.to_string());
    }
    let with_disk = &named[2];
    assert_eq!(
        named.iter().filter(|name| *name == with_disk).count(),
        1,
        "the disk has a group of its own: {named:?}"
    );
    // What waits for the disk is only what has one, and the price is said there.
    assert_eq!(written.matches("safety = \"probe\"").count(), 7, "{written}");
    assert!(imported.account("haresources:3").contains("waits"), "{}", imported.account("haresources:3"));
}

/// The name of the script says whether it mounts a disk, not what it is told.
#[test]
fn an_argument_is_no_disk() {
    for resource in ["MailTo::drbd-team@example.org", "notify::lvm::filesystem"] {
        let imported = with_resources(&format!("node1 10.1.0.100/16/eth0 {resource}\n"));
        assert!(imported.written().contains("safety = \"probe\""), "{resource}: {}", imported.written());
    }
    for resource in
        ["drbddisk::r0", "Filesystem::/dev/sdc1::/srv::ext3", "LVM::vg0", "Raid1::/etc/raidtab::/dev/md0"]
    {
        let imported = with_resources(&format!("node1 10.1.0.100/16/eth0 {resource}\n"));
        assert!(!imported.written().contains("safety = \"probe\""), "{resource}: {}", imported.written());
    }
}

#[test]
fn bytes_in_comments_do_not_matter_and_elsewhere_have_a_line() {
    let latin =
        |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect::<Vec<u8>>();
    let imported = import(&[
        ("ha.cf", &latin(&format!("# für die Büros\n{HA_CF}keepalive 2 # häufig\n"))),
        ("haresources", &latin(&format!("# Müller\n{HARESOURCES}"))),
        ("authkeys", &latin("# Schlüssel\nauth 1\n1 sha1 geheimnüs\n")),
    ]);
    assert_eq!(imported.said.code, Some(0), "{:?}", imported.said);
    let imported = import(&[("ha.cf", &latin(&format!("# für\n{HA_CF}cluster büro\n")))]);
    assert_eq!(imported.said.code, Some(78));
    assert!(
        imported.said.out.contains("ha.cf:9: ") && imported.said.out.lines().count() == 1,
        "{:?}",
        imported.said
    );
}

/// A comment of authkeys is a line that begins with #: a secret may hold one.
#[test]
fn a_secret_may_hold_what_begins_a_comment_elsewhere() {
    let imported = import(&[("authkeys", b"auth 2\n2 sha1 Hi#there! # the old one\n")]);
    assert_eq!(imported.said.code, Some(0), "{:?}", imported.said);
    let imported = import(&[("authkeys", b"auth 2\n2 sha1 #there\n")]);
    assert_eq!(imported.said.code, Some(0), "{:?}", imported.said);
    assert!(!imported.said.out.contains("there\n"), "{:?}", imported.said);
}

/// Heartbeat gives a medium the port, and a cable the speed, that was said before it.
#[test]
fn what_is_said_of_a_port_is_what_is_written() {
    let head = "keepalive 1\ndeadtime 10\nnode node1 node2\n";
    for (lines, ports, bauds, meaningless) in [
        ("bcast eth0\nudpport 696\n", &[][..], &[][..], &["ha.cf:5"][..]),
        ("udpport 695\nbcast eth0\nudpport 696\n", &["port = 695"], &[], &["ha.cf:6"]),
        ("udpport 695\nudpport 696\nbcast eth0\n", &["port = 696"], &[], &[]),
        (
            "udpport 695\nbcast eth0\nudpport 696\nbcast eth1\n",
            &["port = 695", "port = 695"],
            &[],
            &["ha.cf:6"],
        ),
        (
            "udpport 695\nbcast eth0\nudpport 696\nmcast eth1 225.0.0.1 697 1 0\n",
            &["port = 695", "port = 697"],
            &[],
            &["ha.cf:6"],
        ),
        ("udpport 696\nmcast eth1 225.0.0.1 697 1 0\n", &["port = 697"], &[], &["ha.cf:4"]),
        ("serial /dev/ttyS0\nbaud 38400\n", &[], &["baud = 19200"], &["ha.cf:5"]),
        ("baud 9600\nserial /dev/ttyS0\n", &[], &["baud = 9600"], &[]),
    ] {
        let text = format!("{head}{lines}");
        let lans = ["eth0", "eth1"].iter().filter(|lan| text.contains(**lan)).count();
        let addresses: Vec<String> =
            (1..=lans).map(|lan| format!("node1=10.{lan}.0.1,node2=10.{lan}.0.2")).collect();
        let files = [("ha.cf", text.as_bytes()), ("haresources", HARESOURCES.as_bytes())];
        let imported = import_by(&[], &files, &["--addresses", &addresses.join(",")]);
        let found =
            |mark: &str| imported.written().lines().filter(|line| line.starts_with(mark)).collect::<Vec<_>>();
        assert_eq!(
            (found("port"), found("baud")),
            (ports.to_vec(), bauds.to_vec()),
            "{lines}: {:?}",
            imported.said
        );
        for place in meaningless {
            let account = imported.account(place);
            assert!(!account.contains("taken over"), "{lines}: {account}");
        }
        let taken = imported.said.out.lines().filter(|line| line.contains("taken over: port = ")).count();
        let said = text.lines().filter(|line| line.starts_with("udpport")).count();
        assert!(taken + meaningless.len() >= said.min(1), "{lines}: {:?}", imported.said);
    }
}

/// The resource script itself splits so: see `IPaddr` of Debian's heartbeat.
#[test]
fn the_parts_of_an_address_are_those_of_its_script() {
    for (resource, expected, note) in [
        ("IPaddr::10.1.0.100//8/eth0:10", "10.1.0.100/8@eth0", "eth0:10"),
        ("IPaddr2::10.1.0.100/24/eth1/10.1.0.255", "10.1.0.100/24@eth1", "10.1.0.255"),
        ("IPaddr::10.1.0.100/255.255.0.0/eth0", "10.1.0.100/16@eth0", ""),
        ("10.1.0.100/16/eth0:web", "10.1.0.100/16@eth0", "eth0:web"),
    ] {
        let imported = with_resources(&format!("node1 {resource}\n"));
        assert!(imported.written().contains(&format!("\"{expected}\"")), "{resource}: {:?}", imported.said);
        let account = imported.account("haresources:1");
        let below = account.split_once('\n').expect("an account").1;
        assert!(below.contains(note), "{resource}: {account}");
    }
    for resource in ["10.1.0.100/eth0", "10.1.0.100/24/25/eth0", "10.1.0.100/24/eth0/eth1", "IPaddr"] {
        let imported = with_resources(&format!("node1 {resource}\n"));
        assert!(imported.said.out.contains("haresources:1: "), "{resource}: {:?}", imported.said);
    }
}

#[test]
fn of_a_directive_that_stands_twice_only_one_counts_and_it_is_said_which() {
    for (lines, written) in [
        ("auto_failback on\nauto_failback off\n", "failback = \"manual\""),
        ("auto_failback off\nauto_failback on\n", "failback = \"immediate\""),
        ("warntime 2\nwarntime 3\n", "late_after = \"3 s\""),
        ("initdead 20\ninitdead 30\n", "cold_start = \"30 s\""),
        ("cluster one\ncluster two\n", "pair = \"two\""),
        ("watchdog /dev/watchdog0\nwatchdog /dev/watchdog1\n", "device = \"/dev/watchdog1\""),
    ] {
        let imported = with_lines(lines);
        assert!(imported.written().contains(written), "{lines}: {}", imported.written());
        let account = imported.account("ha.cf:8");
        assert!(account.contains("replaced by line 9"), "{account}");
        assert!(imported.account("ha.cf:9").contains("taken over"), "{lines}");
    }
    let imported = with_lines("keepalive 2\n");
    assert!(imported.account("ha.cf:1").contains("replaced by line 8"), "{:?}", imported.said);
    // Of several values of one line Heartbeat heeds the last.
    assert!(with_lines("auto_failback on off\n").written().contains("failback = \"manual\""));
    let imported = import(&[("authkeys", b"auth 1\nauth 2\n1 crc\n2 sha1 x\n2 md5 y\n")]);
    assert!(imported.account("authkeys:1").contains("replaced by line 2"), "{:?}", imported.said);
    assert!(imported.account("authkeys:4").contains("replaced by line 5"), "{:?}", imported.said);
}

#[test]
fn a_witness_is_neither_a_node_nor_an_address_of_the_pair() {
    for (line, is_lost) in [
        ("ping 10.1.0.2", true),
        ("ping 10.1.0.1", true),
        ("ping 10.1.0.100", true),
        ("ping 127.0.0.1", true),
        ("ping 10.1.0.254", false),
    ] {
        let imported = with_lines(&format!("{line}\n"));
        assert_eq!(imported.written().contains("witness"), !is_lost, "{line}: {}", imported.written());
        let account = imported.account("ha.cf:8");
        assert_eq!(account.contains("cannot be had"), is_lost, "{account}");
    }
    let imported = with_lines("ping_group all 10.1.0.2 10.1.0.254 10.1.0.100\n");
    assert!(imported.written().contains("witness = [\"10.1.0.254\"]"), "{}", imported.written());
    let account = imported.account("ha.cf:8");
    assert!(account.contains("10.1.0.2 ") && account.contains("10.1.0.100 "), "{account}");
}

/// Heartbeat folds names of nodes, and a box has one name however it is spelled.
#[test]
fn names_of_nodes_are_folded_and_a_box_is_found_by_its_name_in_any_case() {
    let text = HA_CF.replace("node node1", "node Node1");
    let imported = import_by(
        &["unshare", "--uts", "sh", "-c", "hostname NODE1; exec \"$0\" \"$@\""],
        &[("ha.cf", text.as_bytes()), ("haresources", b"nODE1 10.1.0.100/16/eth0\n")],
        &["--addresses", ADDRESSES],
    );
    assert!(imported.written().contains("[node.\"node1\"]"), "{:?}", imported.said);
    assert!(imported.account("ha.cf:6").contains("node1\"]"), "{:?}", imported.said);
    let config = imported._home.path().join("out/crosswire.toml");
    let mut command = Command::new("unshare");
    command.args(["--uts", "sh", "-c", "hostname NODE1; exec \"$0\" \"$@\""]).arg(workstation_file());
    command.args(["check", "--config"]).arg(config);
    let said = say(command);
    // This machine has not the address of node1, for which it was taken.
    assert!(said.err.contains("there is no address 10.1.0.1 on this box"), "{said:?}");
}

#[test]
fn resources_of_pacemaker_are_said_to_be_elsewhere() {
    for value in ["on", "yes", "respawn", "manual"] {
        let text = format!("{HA_CF}crm {value}\n");
        let imported = import_by(&[], &[("ha.cf", text.as_bytes())], &["--addresses", ADDRESSES]);
        assert_eq!(imported.said.code, Some(78), "{:?}", imported.said);
        assert!(
            imported.said.out.contains("ha.cf:8: ") && imported.said.out.contains("Pacemaker"),
            "{:?}",
            imported.said
        );
        assert!(!imported.said.out.contains("give Heartbeat's directory"), "{:?}", imported.said);
    }
}

#[test]
fn a_harmless_script_may_stand_in_two_lines() {
    let imported = with_resources(
        "node1 10.1.0.100/16/eth0 MailTo::root@example.org\nnode2 10.1.0.101/16/eth0 \
            MailTo::root@example.org\n",
    );
    assert_eq!(
        imported.written().matches("ha:MailTo::root@example.org").count(),
        2,
        "{}",
        imported.written()
    );
    // What runs would be stopped under the other's feet: the remedy is one that haresources has.
    let imported = with_resources("node1 10.1.0.100/16/eth0 httpd\nnode2 10.1.0.101/16/eth0 httpd\n");
    assert_eq!(imported.said.code, Some(78));
    assert!(
        imported.said.out.contains("haresources:2: ") && imported.said.out.contains("one line"),
        "{:?}",
        imported.said
    );
}

/// Heartbeat's own ResourceManager, where it is installed, finds the same lines and resources in every
/// fixture.
#[test]
fn lines_of_haresources_are_those_that_heartbeat_finds() {
    const MANAGER: &str = "/usr/share/heartbeat/ResourceManager";
    if !has_tools(&[MANAGER]) {
        return;
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/heartbeat");
    for entry in fs::read_dir(fixtures).expect("fixtures").map(|entry| entry.expect("an entry").path()) {
        let (file, expected) = (entry.join("haresources"), entry.join("expected.txt"));
        // With the ends of lines that Windows has Heartbeat finds no script at all.
        if !file.exists() || fs::read(&file).expect("bytes").contains(&b'\r') {
            continue;
        }
        let scratch = tempfile::tempdir().expect("a directory");
        let script = format!(
            "set -e; cp -a /etc/ha.d {0}/ha.d; cp {1} {0}/ha.d/haresources; mount --bind {0}/ha.d /etc/ha.d
             HA_CURHOST=- {MANAGER} otherkeys",
            scratch.path().display(),
            file.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let said = say(command);
        let theirs: Vec<String> = said.out.lines().map(|line| line.trim().to_string()).collect();
        let text = fs::read_to_string(expected).expect("on record");
        let ours = text.lines().filter(|line| line.starts_with("haresources:"));
        let ours: Vec<&str> = ours.map(|line| line.splitn(3, ' ').nth(2).expect("resources")).collect();
        let is_same = |(ours, theirs): (&&str, &String)| theirs.starts_with(ours.trim_end_matches("..."));
        assert_eq!(ours.len(), theirs.len(), "{}: {said:?}", file.display());
        assert!(ours.iter().zip(&theirs).all(is_same), "{}: {ours:?} {theirs:?}", file.display());
    }
}
