//! Scripts that firmware-notes/recipes.md prints, as they stand there, in the shells that a gateway has.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::lab::executable::write_executable;
use crate::lab::testing::has_tools;
use crate::place::say_within;

const BUSYBOX: &str = "/bin/busybox";

/// The script that the recipes want at that place.
fn script(place: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware-notes/recipes.md");
    let text = fs::read_to_string(file).expect("the recipes");
    let mut blocks = text.split("```\n").filter(|block| block.starts_with("#!/bin/sh\n"));
    let found =
        blocks.find(|block| block.lines().nth(1).is_some_and(|line| line.starts_with(&format!("# {place}"))));
    found.unwrap_or_else(|| panic!("no script for {place}")).to_owned()
}

/// A box on which a modem dials: the third look finds an address, if the provider gives one.
struct Uplink(TempDir);

impl Uplink {
    fn new(has_provider: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let state = directory.path().display();
        write_executable(&at("uplink"), &script("/usr/local/sbin/uplink"));
        let dials = if has_provider { format!("echo >{state}/dialled") } else { "exit 0".to_owned() };
        write_executable(&at("pon"), &format!("#!/bin/sh\n{dials}\n"));
        write_executable(&at("poff"), &format!("#!/bin/sh\nrm -f {state}/dialled {state}/looks\n"));
        // The link is there at once, and its address later: only that is a way out.
        let ip = format!(
            "#!/bin/sh\n[ -e {state}/dialled ] || exit 1\necho >>{state}/looks\n\
             [ $(wc -l <{state}/looks) -lt 3 ] || echo '7: ppp0    inet 192.0.2.77 peer 192.0.2.1/32 scope \
             global ppp0'\n"
        );
        write_executable(&at("ip"), &ip);
        write_executable(&at("sleep"), "#!/bin/sh\n");
        Self(directory)
    }

    fn code(&self, shell: &[&str], action: &str) -> Option<i32> {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(self.0.path().join("uplink")).arg(action);
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.0.path().display()));
        say_within(command, Duration::from_secs(60)).code
    }
}

/// Required: it is started when the address is there, and not before; it fails where none comes; monitor
/// tells the two apart.
#[test]
fn the_uplink_of_the_recipes_is_up_when_it_has_an_address() {
    let uplink = Uplink::new(true);
    let steps = [("monitor", 1), ("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 1), ("status", 3)];
    for (action, code) in steps {
        assert_eq!(uplink.code(&["dash"], action), Some(code), "{action}");
    }
    assert_eq!(Uplink::new(false).code(&["dash"], "start"), Some(1), "no provider");
}

/// busybox takes its own ip and sleep whatever the path says: on a machine without a modem little can be
/// asked there.
#[test]
fn the_uplink_of_the_recipes_can_be_read_by_busybox() {
    if has_tools(&[BUSYBOX]) {
        let uplink = Uplink::new(true);
        assert_eq!(uplink.code(&[BUSYBOX, "ash"], "monitor"), Some(1), "there is no ppp0");
        assert_eq!(uplink.code(&[BUSYBOX, "ash"], "status"), Some(3), "not asked for");
    }
}

/// Runs an example of a program that is told, in BusyBox's shell; returns what the program behind it was
/// given.
fn told(example: &str, variable: &str, word: &str, facts: &[(&str, &str)]) -> String {
    let place = tempfile::tempdir().expect("a directory");
    let at = |name: &str| place.path().join(name);
    let body = format!("#!{BUSYBOX} sh\nexec {BUSYBOX} cat >{}\n", at("given").display());
    write_executable(&at("taker"), &body);
    let sentence = "gw2 serves gateway; gw1 is \"off\"";
    write_executable(&at("crosswire"), &format!("#!{BUSYBOX} sh\necho '{sentence}'\nexit 4\n"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/notify").join(example);
    let mut command = Command::new(BUSYBOX);
    command.arg("sh").arg(script).arg(word).env_clear().env("PATH", "/usr/bin:/bin");
    command.env(variable, at("taker")).env("CROSSWIRE", at("crosswire"));
    command.envs([("CROSSWIRE_PAIR", "lab"), ("CROSSWIRE_NODE", "gw1"), ("CROSSWIRE_PEER", "gw2")]);
    command.env("CROSSWIRE_DROPPED", "2").envs(facts.iter().copied());
    let said = say_within(command, Duration::from_secs(10));
    assert_eq!(said.code, Some(0), "{said:?}");
    fs::read_to_string(at("given")).unwrap_or_default()
}

#[test]
fn the_examples_of_programs_that_are_told_tell() {
    if !has_tools(&[BUSYBOX]) {
        return;
    }
    let witness = [("CROSSWIRE_WAS", "seen"), ("CROSSWIRE_NOW", "unseen"), ("CROSSWIRE_WITNESS", "10.0.0.9")];
    let mail = told("notify-mail", "SENDMAIL", "witness", &witness);
    let expected = "To: root\nSubject: crosswire lab: gw1: witness 10.0.0.9: unseen\n\n\
        was: seen\nnow: unseen\n2 notices before this one were dropped\n\n\
        gw2 serves gateway; gw1 is \"off\"\n";
    assert_eq!(mail, expected);
    let step = [("CROSSWIRE_WAS", "backup"), ("CROSSWIRE_NOW", "acquiring"), ("CROSSWIRE_GROUP", "gateway")];
    assert_eq!(told("notify-mail", "SENDMAIL", "role", &step), "", "no mail for a step on the way");
    assert_eq!(told("notify-mail", "SENDMAIL", "of a version to come", &step), "");
    let fault = [("CROSSWIRE_WAS", ""), ("CROSSWIRE_NOW", "a \\ and\n\"b\""), ("CROSSWIRE_GROUP", "gateway")];
    let posted = told("notify-webhook", "CURL", "fault", &fault);
    let posted: serde_json::Value = serde_json::from_str(&posted).expect("JSON");
    let expected = serde_json::json!({
        "event": "fault", "pair": "lab", "node": "gw1", "was": "", "now": "a \\ and\"b\"", "dropped": 2,
        "group": "gateway", "path": "", "witness": "", "status": "gw2 serves gateway; gw1 is \"off\""
    });
    assert_eq!(posted, expected);
}
