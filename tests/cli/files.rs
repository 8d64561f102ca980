//! What is wrong with a configuration or a key file. (Every single finding has a case in
//! tests/fixtures/config/bad.txt; here is what the operator gets from the commands.)

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::place::{Place, SECRET, crosswire, say};

/// `check` and `run` say the same about a bad file and end with 78; neither starts anything.
fn assert_refused(place: &Place, expected: &str) {
    let checked = place.say(place.check());
    assert_eq!((checked.code, checked.out.as_str(), checked.err.as_str()), (Some(78), "", expected), "check");
    let run = place.say(place.run());
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(78), "", expected), "run");
    assert!(!place.path("run").exists(), "nothing was started");
}

#[test]
fn unknown_key() {
    let place = Place::new().with("interface = \"lo\"", "interfaces = \"lo\"");
    assert_refused(
        &place,
        "DIR/c.toml:10:1: unknown key \"interfaces\" in [lan]; did you mean \"interface\"?\n",
    );
}

#[test]
fn unknown_node() {
    let place = Place::new().with("[node.gw1]", "[node.gw3]");
    assert_refused(
        &place,
        "DIR/c.toml:3:2: --node \"gw1\" is not in this file; the file knows \"gw2\" and \"gw3\": correct \
            --node\n",
    );
}

/// Without `--node` the box's own name counts; the file of this test does not know it.
#[test]
fn unknown_box() {
    let place = Place::new();
    let config = place.path("c.toml");
    let said = place.say(crosswire(&["check", "--config", &config.display().to_string()]));
    assert_eq!(said.code, Some(78), "{said:?}");
    assert!(said.err.contains("the file knows \"gw1\" and \"gw2\""), "{said:?}");
}

#[test]
fn duplicate_address() {
    let place = Place::new().with("[\"10.0.0.100/24\"]", "[\"10.0.0.100/24\", \"10.0.0.100/32\"]");
    assert_refused(
        &place,
        "DIR/c.toml:12:31: 10.0.0.100 is already an address of group \"gateway\"; give each service an \
            address of its own\n",
    );
    let place = Place::new().with("127.0.0.2", "127.0.0.1");
    assert_refused(
        &place,
        "DIR/c.toml:6:7: 127.0.0.1 is already the address of node \"gw1\"; give each node an address of its \
            own on each LAN\n",
    );
}

#[test]
fn a_witness_that_is_none() {
    for (ip, why) in [
        ("127.0.0.2", "127.0.0.2 is answered by whichever box asks it"),
        ("10.0.0.100", "10.0.0.100 is an address of group \"gateway\": it says nothing of who is cut off"),
        ("0.0.0.0", "0.0.0.0 is not an IP address of one box"),
        ("255.255.255.255", "255.255.255.255 is not an IP address of one box"),
        ("10.0.0.255", "10.0.0.255 is every box in the network of 10.0.0.100, not one"),
    ] {
        let place = Place::new().with("[lan]", &format!("[quorum]\nwitness = \"{ip}\"\n[lan]"));
        let remedy = "write the address of a box that both nodes can ping, such as the upstream router";
        assert_refused(&place, &format!("DIR/c.toml:10:11: {why}; {remedy}\n"));
    }
}

#[test]
fn two_groups_that_the_wire_cannot_tell_apart() {
    let group =
        "[group.files]\naddresses = [\"10.0.0.100/24\"]\n[group.vpn]\naddresses = [\"10.0.0.101/24\"]\n";
    let place = Place::new().with("[group.gateway]\naddresses = [\"10.0.0.100/24\"]\n", group);
    assert_refused(
        &place,
        "DIR/c.toml:13:8: groups \"files\" and \"vpn\" cannot be told apart on the wire; \
         rename one of them on both nodes, as in [group.vpn2]: their checksums are too much alike\n",
    );
}

#[test]
fn two_nodes_of_one_name() {
    let place = Place::new().with("[node.gw2]", "[node.gw1]");
    assert_refused(
        &place,
        "DIR/c.toml:5:7: two nodes are called \"gw1\"; give each box a name of its own, its `uname -n`\n",
    );
}

#[test]
fn interval_that_the_line_cannot_carry() {
    let timing = "baud = 9600\ninterval = \"100ms\"\nlate_after = \"300ms\"\ndead_after = \"500ms\"\n[lan]";
    let place = Place::new().with("[lan]", timing);
    let said = place.say(place.check());
    assert_eq!(said.code, Some(78));
    assert!(said.err.starts_with("DIR/c.toml:9:8: a beat of "), "{said:?}");
    assert!(
        said.err.contains("more than half of the interval of 100 ms; set baud to 19200 or more, or set"),
        "{said:?}"
    );
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert_refused(&place, &said.err);
}

#[test]
fn negative_margin() {
    let place = Place::new().with("[lan]", "[timing]\nlate_after = \"1s\"\ndead_after = \"1.2s\"\n[lan]");
    let said = place.say(place.check());
    assert_eq!(said.code, Some(78));
    assert!(
        said.err.starts_with("DIR/c.toml:11:14: dead_after 1200 ms leaves a negative margin: "),
        "{said:?}"
    );
    assert_refused(&place, &said.err);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let place =
        Place::new().with("device", "devise").with("\"10.0.0.100/24\"", "\"10.0.0.100\"").with("lo", "a/b");
    let said = place.say(place.check());
    assert_eq!((said.code, said.err.lines().count()), (Some(78), 3), "{said:?}");
    assert!(said.err.lines().all(|line| line.starts_with("DIR/c.toml:")), "{said:?}");
}

#[test]
fn no_file() {
    let place = Place::new();
    fs::remove_file(place.path("c.toml")).expect("it was there");
    let said = place.say(place.run());
    assert_eq!(said.code, Some(78));
    assert!(said.err.starts_with("DIR/c.toml: ") && said.err.lines().count() == 1, "{said:?}");
}

/// `check` and `run` say what is wrong with the key, and nothing else.
fn assert_key_refused(place: &Place, expected: &str) {
    let checked = place.say(place.check());
    assert_eq!((checked.code, checked.out.as_str(), checked.err.as_str()), (Some(78), "", expected), "check");
    let run = place.say(place.run());
    assert_eq!((run.code, run.err.as_str()), (Some(78), expected), "run");
    assert!(!(checked.err + &run.err).contains(&SECRET[4..]), "no part of a key is shown");
}

#[test]
fn key_file_missing() {
    let place = Place::new();
    fs::remove_file(place.path("key")).expect("it was there");
    assert_key_refused(
        &place,
        "DIR/key: the key file cannot be read (No such file or directory (os error 2)); make one on one node \
            with \
         `crosswire keygen`, and copy it to the other\n",
    );
}

#[test]
fn key_file_that_others_may_read() {
    let place = Place::new();
    place.write_key(&format!("1 {SECRET}\n"), 0o640);
    assert_key_refused(
        &place,
        "DIR/key: the key file has mode 0640: others may get at the key; chmod 600 DIR/key\n",
    );
}

#[test]
fn key_that_is_too_short() {
    let place = Place::new();
    place.write_key(&format!("1 {}\n", &SECRET[..30]), 0o600);
    assert_key_refused(
        &place,
        "DIR/key:1: key 1 has 30 hexadecimal digits; write 32 to 128 of them, or make a key with `crosswire \
            keygen`\n",
    );
    place.write_key("", 0o600);
    assert_key_refused(
        &place,
        "DIR/key: holds no key; make one on one node with `crosswire keygen`, and copy it to the other\n",
    );
}

#[test]
fn keygen_makes_what_check_takes_and_replaces_nothing() {
    let place = Place::new();
    let key = place.path("key");
    let arguments = ["keygen", &key.display().to_string()];
    let before = fs::read_to_string(&key).expect("a key");
    let said = say(crosswire(&arguments));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(fs::read_to_string(&key).expect("a key"), before);
    fs::remove_file(&key).expect("it was there");
    assert_eq!(say(crosswire(&arguments)).code, Some(0));
    let checked = place.say(place.check());
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.out.ends_with("gw1 has what it takes.\n"), "{checked:?}");
}

/// Others could put a socket or a process id of theirs into it.
#[test]
fn run_directory_of_others() {
    let place = Place::new();
    fs::create_dir(place.path("run")).expect("a directory");
    fs::set_permissions(place.path("run"), fs::Permissions::from_mode(0o777)).expect("its mode");
    let said = place.say(place.run());
    assert_eq!(said.code, Some(1), "{said:?}");
    let expected = "the run directory: DIR/run is not a directory of root's alone: chown root, chmod 755\n";
    assert!(said.err.ends_with(expected), "{said:?}");
}

/// A fence's password, and a file that everybody may read.
#[test]
fn secrets_in_the_open() {
    let fence = "[[fence]]\nmethod = \"exec\"\nprogram = \"/bin/true\"\noptions = \
        [\"login=a\", \"passwd=b\"]\n[group.gateway]";
    let place = Place::new().with("[group.gateway]", fence);
    let warns = |place: &Place, mode| {
        fs::set_permissions(place.path("c.toml"), fs::Permissions::from_mode(mode)).expect("its mode");
        let said = place.say(place.check());
        assert!(!said.out.contains("=b"), "{said:?}");
        said.out.contains(
            "WARNING [secret]: DIR/c.toml holds a secret (passwd) and every user of this box \
            may read it: chmod 600 DIR/c.toml\n",
        )
    };
    assert!(warns(&place, 0o644));
    assert!(!warns(&place, 0o600));
}

/// What the daemon starts as root, and others may change: the program, or the directory where it is.
#[test]
fn programs_that_others_may_change() {
    let place = Place::new();
    let [program, link] = ["bin/program", "link"].map(|name| place.path(name));
    fs::create_dir(place.path("bin")).expect("a directory");
    fs::write(&program, "#!/bin/sh\n").expect("a program");
    std::os::unix::fs::symlink(&program, &link).expect("a link");
    let shown = link.display();
    let place = place
        .with("key = ", &format!("notify = \"{shown}\"\nkey = "))
        .with("[group.gateway]", &format!("[group.gateway]\nscripts = [\"exec:{shown}\"]"));
    let warnings = |modes: [u32; 2]| {
        for (path, mode) in [program.clone(), place.path("bin")].into_iter().zip(modes) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
        }
        let said = place.say(place.check());
        assert_eq!(said.code, Some(0), "{said:?}");
        let warning = "WARNING [program]: DIR/link is started as root, and it, or its directory, is not \
            root's alone: chown root, chmod go-w\n";
        said.out.matches(warning).count()
    };
    assert_eq!(warnings([0o755, 0o755]), 0);
    assert_eq!(warnings([0o775, 0o755]), 1, "told once");
    assert_eq!(warnings([0o755, 0o1777]), 1, "told once");
}

/// A request is refused before it is sent, by its name.
#[test]
fn arguments_that_are_too_long() {
    let place = Place::new();
    let run_dir = place.path("run").display().to_string();
    for (words, what) in [
        (["handover", &"x".repeat(65), "--reason", "a"], "GROUP has 65 characters, and 64 are the most"),
        (
            ["takeover", "gateway", "--reason", &"x".repeat(201)],
            "--reason has 201 characters, and 200 are the most",
        ),
    ] {
        let mut command = crosswire(&words);
        command.args(["--run-dir", &run_dir]);
        let said = place.say(command);
        assert_eq!((said.code, said.err), (Some(2), format!("crosswire: {what}\n")));
    }
}

/// Another box has other ports and keys.
#[test]
fn a_file_alone_is_checked_without_its_box() {
    let place = Place::new().with("interface = \"lo\"", "interface = \"eth9\"");
    fs::remove_file(place.path("key")).expect("it was there");
    assert_eq!(place.say(place.check()).code, Some(78));
    let mut command = place.check();
    command.arg("--offline");
    let said = place.say(command);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.out.contains("\nIf gw2 falls silent") && !said.out.contains("This box"), "{said:?}");
    // On a box that is neither node the file has to be sound for both.
    let config = place.path("c.toml").display().to_string();
    let said = place.say(crosswire(&["check", "--offline", "--config", &config]));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
}
