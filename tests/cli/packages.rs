//! The packages that `config/package.sh` makes, and what completes a command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::install::PATIENCE;
use crate::lab::testing::has_tools;
use crate::place::{Said, say_within};

const TARGET: &str = "i586-unknown-linux-musl";
/// It packs; python3 writes the bill of materials.
const TOOLS: [&str; 2] = ["/usr/bin/dpkg-deb", "/usr/bin/python3"];

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn say(program: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.args(arguments);
    say_within(command, PATIENCE)
}

fn expect(program: &str, arguments: &[&str]) -> String {
    let said = say(program, arguments);
    assert_eq!(said.code, Some(0), "{program} {arguments:?}: {said:?}");
    said.out
}

/// What `Cargo.toml` names in its table of features, each with its parts.
fn features() -> Vec<(String, Vec<String>)> {
    let manifest = fs::read_to_string(config("../Cargo.toml")).expect("a manifest");
    let table =
        manifest.split("[features]\n").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a table");
    let lines = table.lines().filter_map(|line| line.split_once(" = "));
    let parts = |list: &str| list.split('"').skip(1).step_by(2).map(String::from).collect();
    lines
        .filter(|(name, _)| !name.starts_with('#'))
        .map(|(name, list)| (name.to_owned(), parts(list)))
        .collect()
}

/// Packages of something small in the binary's place: what is tried is the packing.
fn packages() -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    let binary = place.path().join("stand-in");
    fs::write(&binary, "#!/bin/sh\n").expect("written");
    // A time other than now, and before the files'.
    let mut command = Command::new(config("package.sh"));
    command.arg(TARGET).env("SOURCE_DATE_EPOCH", "1700000000").env("CARGO_NET_OFFLINE", "true");
    command.env("CROSSWIRE_BINARY", binary).env("CROSSWIRE_PACKAGES", place.path().join("out"));
    let said = say_within(command, PATIENCE);
    assert_eq!(said.code, Some(0), "{said:?}");
    place
}

fn named(place: &TempDir, end: &str) -> String {
    let entries = fs::read_dir(place.path().join("out")).expect("packages");
    let mut names = entries.map(|entry| entry.expect("an entry").path().display().to_string());
    names.find(|name| name.ends_with(end)).unwrap_or_else(|| panic!("no {end}"))
}

#[test]
fn packages_are_the_same_each_time_and_hold_what_a_box_needs() {
    if !TOOLS.iter().all(|tool| has_tools(&[tool])) {
        return;
    }
    let [first, second] = [packages(), packages()];
    let sums = |place: &TempDir| fs::read_to_string(named(place, "SHA256SUMS")).expect("sums");
    assert_eq!(sums(&first), sums(&second), "two runs, the same bytes");
    assert_eq!(sums(&first).lines().count(), 3, "{}", sums(&first));
    let deb = named(&first, ".deb");
    let fields = expect("dpkg-deb", &["--field", &deb, "Version", "Architecture", "Depends"]);
    assert_eq!(
        fields,
        format!(
            "Version: {}\nArchitecture: i386\nDepends: \
        adduser\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    assert_eq!(
        expect("dpkg-deb", &["--info", &deb, "conffiles"]),
        "/etc/default/crosswire\n/etc/init.d/crosswire\n/etc/init.d/crosswire-witness\n",
        "a configuration of the operator's is no file of the package"
    );
    let contents = expect("dpkg-deb", &["--contents", &deb]);
    let holds = |mode: &str, file: &str| {
        let ends = format!(" ./{file}");
        assert!(
            contents.lines().any(|line| line.starts_with(mode) && line.ends_with(&ends)),
            "{file}: {contents}"
        );
    };
    for file in ["usr/sbin/crosswire", "etc/init.d/crosswire", "etc/init.d/crosswire-witness"] {
        holds("-rwxr-xr-x root/root", file);
    }
    holds("drwxr-xr-x root/root", "etc/crosswire/witness-keys/");
    for file in [
        "usr/lib/systemd/system/crosswire.service",
        "usr/lib/systemd/system/crosswire-witness.service",
        "usr/lib/tmpfiles.d/crosswire.conf",
        "usr/share/bash-completion/completions/crosswire",
        "usr/share/zsh/vendor-completions/_crosswire",
        "usr/share/fish/vendor_completions.d/crosswire.fish",
        "usr/share/man/man5/crosswire.toml.5.gz",
        "usr/share/man/man8/crosswire.8.gz",
        "usr/share/doc/crosswire/copyright",
        "usr/share/doc/crosswire/crosswire.schema.json",
        "usr/share/doc/crosswire/firmware-notes/status.schema.json",
        "usr/share/doc/crosswire/third-party-licences.txt.gz",
        "usr/share/doc/crosswire/crosswire.cdx.json.gz",
    ] {
        holds("-rw-r--r-- root/root", file);
    }
    assert!(!contents.contains("usr/local"), "{contents}");
    for script in ["etc/init.d/crosswire", "usr/lib/systemd/system/crosswire.service"] {
        let root = first.path().join("root");
        expect("dpkg-deb", &["--extract", &deb, &root.display().to_string()]);
        let text = fs::read_to_string(root.join(script)).expect("there");
        assert!(
            text.contains("/usr/sbin/crosswire") && !text.contains("/usr/local/sbin/crosswire"),
            "{script}"
        );
    }
}

/// A box with room gets all that a box can use, and its package says so; a feature that comes later too.
#[test]
fn the_package_for_debian_has_every_feature_but_the_workbench() {
    if !TOOLS.iter().all(|tool| has_tools(&[tool])) {
        return;
    }
    let all = features();
    let parts = |wanted: &str| {
        let found = all.iter().find(|(name, _)| name == wanted).map(|(_, parts)| parts.clone());
        found.unwrap_or_else(|| panic!("no feature {wanted}"))
    };
    let sets = ["default", "router", "full", "workbench"];
    let single = all.iter().map(|(name, _)| name.clone()).filter(|name| !sets.contains(&name.as_str()));
    let mut single: Vec<_> = single.collect();
    single.sort();
    assert_eq!(parts("full"), single);
    assert_eq!(parts("default"), ["full", "workbench"]);
    let place = packages();
    let said = expect("dpkg-deb", &["--field", &named(&place, ".deb"), "Description"]);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.ends_with(&format!("Built with the features {}.", single.join(" "))), "{said}");
    let unpacked = |end: &str, file: &str| {
        let root = place.path().join(end);
        let inside = root.display().to_string();
        fs::create_dir(&root).expect("a directory");
        let package = named(&place, end);
        if end == ".deb" {
            expect("dpkg-deb", &["--extract", &package, &inside]);
        } else {
            expect("tar", &["-xzf", &package, "-C", &inside]);
            expect("tar", &["-xzf", &root.join("data.tar.gz").display().to_string(), "-C", &inside]);
        }
        expect("gzip", &["-cd", &root.join(file).display().to_string()])
    };
    let property = |bill: String| {
        let bill: serde_json::Value = serde_json::from_str(&bill).expect("JSON");
        bill["metadata"]["component"]["properties"][1]["value"].as_str().map(String::from)
    };
    let deb = unpacked(".deb", "usr/share/doc/crosswire/crosswire.cdx.json.gz");
    let ipk = unpacked(".ipk", "usr/share/licenses/crosswire/crosswire.cdx.json.gz");
    assert_eq!([property(deb), property(ipk)].map(Option::unwrap_or_default), ["full", "router"]);
}

#[test]
fn the_package_of_openwrt_keeps_what_is_yours_and_starts_nothing() {
    if !TOOLS.iter().all(|tool| has_tools(&[tool])) {
        return;
    }
    let place = packages();
    let root = place.path().join("root");
    fs::create_dir(&root).expect("a directory");
    let inside = root.display().to_string();
    expect("tar", &["-xzf", &named(&place, ".ipk"), "-C", &inside]);
    assert_eq!(fs::read_to_string(root.join("debian-binary")).expect("there"), "2.0\n");
    for part in ["data", "control"] {
        expect("tar", &["-xzf", &root.join(format!("{part}.tar.gz")).display().to_string(), "-C", &inside]);
    }
    let kept = fs::read_to_string(root.join("lib/upgrade/keep.d/crosswire")).expect("a list");
    assert_eq!(kept, "/etc/crosswire/\n/var/lib/crosswire/\n");
    let script = fs::read_to_string(root.join("etc/init.d/crosswire")).expect("a script");
    assert!(script.contains("command /usr/sbin/crosswire run") && !script.contains("/usr/local"), "{script}");
    let mode = |file: &str| fs::metadata(root.join(file)).expect("there").permissions().mode() & 0o777;
    assert_eq!([mode("usr/sbin/crosswire"), mode("postinst"), mode("prerm")], [0o755; 3]);
    assert!(!fs::exists(root.join("etc/crosswire/crosswire.toml")).expect("known"), "it would be served");
}

/// Where the shell is there; bash is everywhere where these tests are.
#[test]
fn completions_are_read_by_their_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let is_there = Command::new(shell).arg("--version").output().is_ok();
        if is_there || shell == "bash" {
            expect(shell, &["-n", &config(&format!("man/crosswire.{shell}")).display().to_string()]);
        }
    }
}
