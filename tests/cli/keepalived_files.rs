//! The keepalived.conf of the fixtures, and what stands on a box for the programs that they name.

use std::fs;
use std::path::{Path, PathBuf};

pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keepalived");
/// Programs that the fixtures name.
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

/// The directory of each pair.
pub fn all_pairs() -> Vec<PathBuf> {
    let entries = fs::read_dir(FIXTURES).expect("fixtures").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.join("keepalived.conf").exists()).collect()
}

/// The interfaces of the box, which the first line of a file names.
pub fn interfaces_of(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("text");
    let named = text.lines().find_map(|line| line.strip_prefix("! interfaces: "));
    named.expect("its interfaces").to_owned()
}

/// The lines of a shell that put programs there which do nothing and end well. In a mount namespace of its
/// own a tmpfs hides what this machine has in their places.
pub fn stand_ins() -> String {
    format!(
        r#"for program in {}; do
    place=${{program%/*}}
    case " $seen " in
        *" $place "*) ;;
        *) mkdir -p "$place"; mount -t tmpfs none "$place"; seen="$seen $place" ;;
    esac
    cp /bin/true "$program"
done
"#,
        PROGRAMS.join(" ")
    )
}
