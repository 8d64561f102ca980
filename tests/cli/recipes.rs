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
