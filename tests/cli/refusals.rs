//! `check`, `run` and `run --check` (which the init scripts ask) refuse the same files on the same box with
//! the same words; and what `check` says to a program.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::lab::testing::in_lab;
use crate::place::{Place, Said, binary_file};

/// A box with `lo` and `eth0`, and what a line of a shell makes of it.
fn on_box(place: &Place, line: &str, words: &[&str]) -> Said {
    let script = format!(
        "set -e; ip link set lo up; ip link add eth0 type veth peer name far; ip link set eth0 up; ip link \
            set far up; {line}; \
         exec \"$0\" \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script, "timeout", "30"]).arg(binary_file()).args(words);
    command.args(["--node", "gw1", "--config"]).arg(place.path("c.toml"));
    place.say(command)
}

fn with_witness(ip: &str) -> Place {
    Place::new().with("[lan]", &format!("[quorum]\nwitness = \"{ip}\"\n[lan]"))
}

fn on_eth0() -> Place {
    let place = Place::new().with("interface = \"lo\"", "interface = \"eth0\"");
    place.with("\"127.0.0.1\"", "\"10.0.0.1\"").with("\"127.0.0.2\"", "\"10.0.0.2\"")
}

/// What is refused, on what box, and the line.
fn refusals() -> Vec<(Place, &'static str, String)> {
    const ANOTHER_BOX: &str =
        "write the address of a box that both nodes can ping, such as the upstream router";
    const A_TTY: &str = "not a serial port; set `device` to a tty";
    let witness = |why: &str| format!("DIR/c.toml:10:11: {why}; {ANOTHER_BOX}\n");
    let none_of = |ip: &str| witness(&format!("{ip}: it says nothing of who is cut off"));
    let key = Place::new();
    let key_file = key.path("key").display().to_string();
    vec![
        // Witnesses that are none.
        (with_witness("127.0.0.9"), "true", witness("127.0.0.9 is answered by whichever box asks it")),
        (with_witness("::1"), "true", witness("::1 is answered by whichever box asks it")),
        (with_witness("10.0.0.100"), "true", none_of("10.0.0.100 is an address of group \"gateway\"")),
        (
            with_witness("10.0.0.255"),
            "true",
            witness(
                "10.0.0.255 is every box in the network of 10.0.0.100, \
            not one",
            ),
        ),
        (with_witness("224.0.0.1"), "true", witness("224.0.0.1 is not an IP address of one box")),
        (
            with_witness("10.9.0.1"),
            "ip addr add 10.9.0.1/24 dev eth0",
            witness("10.9.0.1 is an address of this box: as a witness it says nothing of who is cut off"),
        ),
        // An address of this node that this box does not have, and another one instead.
        (
            on_eth0(),
            "ip addr add 10.0.0.7/24 dev eth0",
            "DIR/c.toml:4:7: there is no address 10.0.0.1 on this box; see `ip address`, and correct lan of \
                this node, or give \
             the address to its interface\n"
                .to_owned(),
        ),
        (
            on_eth0(),
            "ip addr add 10.0.0.2/24 dev eth0",
            "DIR/c.toml:4:7: there is no address 10.0.0.1 on this box, but 10.0.0.2, which is said to be \
                gw2's; are the two \
             swapped? correct lan of both nodes\n"
                .to_owned(),
        ),
        // What is no cable.
        (Place::new().on("/dev/null"), "true", format!("DIR/c.toml:8:10: /dev/null is {A_TTY}\n")),
        (Place::new().on("/dev/tty"), "true", format!("DIR/c.toml:8:10: /dev/tty is a console, {A_TTY}\n")),
        (key.on(&key_file), "true", format!("DIR/c.toml:8:10: DIR/key is {A_TTY}\n")),
        // What the file itself shows.
        (
            Place::new().with("[lan]\n", "[lan]\nport = 0\n"),
            "true",
            "DIR/c.toml:10:8: \"port\" in [lan] is 0; write a number from 1 to 65535\n".to_owned(),
        ),
    ]
}

#[test]
fn check_and_run_refuse_the_same() {
    in_lab(|| {
        for (place, line, expected) in refusals() {
            let run_dir = place.path("run").display().to_string();
            let run = ["run", "--foreground", "--run-dir", &run_dir];
            for words in [&["check"][..], &run, &["run", "--check"]] {
                let said = on_box(&place, line, words);
                assert_eq!(
                    (said.code, said.out.as_str(), said.err.as_str()),
                    (Some(78), "", expected.as_str()),
                    "{words:?}"
                );
            }
            assert!(!place.path("run").exists(), "nothing was started");
            let said = on_box(&place, line, &["check", "--json"]);
            let told: Value = serde_json::from_str(&said.out).expect("JSON");
            assert_eq!((said.code, &told["code"], said.err.as_str()), (Some(78), &78.into(), ""));
            let finding = &told["findings"][0];
            let parts = ["place", "text", "remedy"].map(|part| finding[part].as_str().expect("a text"));
            let [at, what, remedy] = parts;
            let told =
                format!("{at}: {what}; {remedy}\n").replace(&place.path("").display().to_string(), "DIR/");
            assert_eq!((told.as_str(), &finding["severity"]), (expected.as_str(), &"error".into()));
        }
    });
}

/// The codes of what `check --json` finds, in their order.
fn codes(said: &Said) -> Vec<String> {
    let told: Value = serde_json::from_str(&said.out).expect("JSON");
    let findings = told["findings"].as_array().expect("a list");
    assert_eq!(said.code.map(Value::from), Some(told["code"].clone()), "{said:?}");
    findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

/// What may be right all the same is said, and refuses nothing.
#[test]
fn check_warns_of_an_address_outside_and_of_a_witness_that_is_silent() {
    in_lab(|| {
        let own = "ip addr add 10.9.0.1/24 dev eth0";
        let place = |vip: &str, witness: &str| {
            let address = format!("\"{vip}@eth0\"");
            with_witness(witness).with("\"10.0.0.100/24\"", &address)
        };
        let outside = "WARNING [outside]: 10.0.0.100 is in no network of eth0\n";
        let silent = "WARNING [witness]: 10.9.0.254 does not answer this box, ";
        let all = "ip addr add 10.9.0.1/24 dev eth0; ip route add local 10.9.0.254 dev lo";
        for (vip, line, warned) in [
            ("10.0.0.100/24", own, &["outside", "witness"][..]),
            ("10.9.0.100/24", own, &["witness"]),
            // Somebody answers; an interface without an address of its own says nothing.
            ("10.9.0.100/24", all, &[]),
            ("10.0.0.100/24", "ip route add local 10.9.0.254 dev lo", &[]),
        ] {
            let place = place(vip, "10.9.0.254");
            let said = on_box(&place, line, &["check"]);
            assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{vip}, {line}");
            for (text, code) in [(outside, "outside"), (silent, "witness")] {
                assert_eq!(said.out.contains(text), warned.contains(&code), "{vip}, {line}: {}", said.out);
            }
            assert_eq!(codes(&on_box(&place, line, &["check", "--json"])), warned, "{vip}, {line}");
        }
    });
}

/// What this box lacks has a kind of its own for a program; a file alone lacks nothing.
#[test]
fn what_this_box_lacks_has_its_kind() {
    in_lab(|| {
        let place = Place::new().with("interface = \"lo\"", "interface = \"eth9\"").on("/dev/ttyS99");
        fs::remove_file(place.path("key")).expect("it was there");
        let kinds = codes(&on_box(&place, "true", &["check", "--json"]));
        assert_eq!(kinds, ["device", "interface", "key"]);
        assert_eq!(codes(&on_box(&place, "true", &["check", "--json", "--offline"])), Vec::<String>::new());
    });
}
