//! The installer, by real shells: below another root, and on a box of its own whose /etc and /usr/local are
//! copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::install::{BUSYBOX, PATIENCE, Shell};
use crate::lab::testing::has_tools;
use crate::place::{Said, binary, binary_file, say_within};

/// Everything below a directory with its mode, but the directories.
fn files_below(root: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in
            fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                directories.push(entry);
            } else {
                let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
                found.push((entry.strip_prefix(root).expect("below it").display().to_string(), mode));
            }
        }
    }
    found.sort();
    found
}

fn install(shell: &Shell, root: &Path, arguments: &[&str]) -> Said {
    let mut command = shell.command("install.sh", arguments);
    command.env("DESTDIR", root);
    say_within(command, PATIENCE)
}

const CONFIGURATION: &str = "etc/crosswire/crosswire.toml";
const KEY: &str = "etc/crosswire/key";

fn installs_and_uninstalls(shell: Shell) {
    let file = binary_file().display().to_string();
    let binary = ["--binary", file.as_str()];
    for (init, file, mode) in [
        ("sysv", "etc/init.d/crosswire", 0o755),
        ("openwrt", "etc/init.d/crosswire", 0o755),
        ("systemd", "etc/systemd/system/crosswire.service", 0o644),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        let said = install(&shell, root.path(), &[&binary[..], &["--init", init]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        let inittab = (init == "sysv").then_some(("etc/crosswire/inittab.example", 0o644));
        let mut expected: Vec<(String, u32)> = [
            (CONFIGURATION, 0o644),
            ("etc/crosswire/crosswire.toml.example", 0o644),
            (file, mode),
            ("usr/local/sbin/crosswire", 0o755),
            ("usr/local/share/bash-completion/completions/crosswire", 0o644),
            ("usr/local/share/fish/vendor_completions.d/crosswire.fish", 0o644),
            ("usr/local/share/zsh/site-functions/_crosswire", 0o644),
            ("usr/local/share/man/man5/crosswire.toml.5", 0o644),
            ("usr/local/share/man/man8/crosswire.8", 0o644),
        ]
        .into_iter()
        .chain(inittab)
        .map(|(name, mode)| (name.to_owned(), mode))
        .collect();
        expected.sort();
        assert_eq!(files_below(root.path()), expected, "{said:?}");

        fs::write(root.path().join(CONFIGURATION), "mine\n").expect("written");
        // It makes no key: each box would have another one. Whoever has one keeps it.
        let said_once =
            |said: &Said| said.out.matches("keygen").count() == 1 && said.out.contains("ONE of the two");
        assert!(said_once(&said), "{said:?}");
        fs::write(root.path().join(KEY), "1 mine\n").expect("written");
        fs::set_permissions(root.path().join(KEY), fs::Permissions::from_mode(0o600)).expect("its mode");
        let said = install(&shell, root.path(), &[&binary[..], &["--init", init]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!said.out.contains("keygen"), "there is a key: {said:?}");
        assert_eq!(fs::read_to_string(root.path().join(CONFIGURATION)).expect("there"), "mine\n");
        assert_eq!(fs::read_to_string(root.path().join(KEY)).expect("a key"), "1 mine\n");

        let said = install(&shell, root.path(), &["--uninstall"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let kept = [(CONFIGURATION.to_owned(), 0o644), (KEY.to_owned(), 0o600)];
        assert_eq!(files_below(root.path()), kept, "what is the owner's stays: {said:?}");
    }
}

#[test]
fn what_is_installed_is_uninstalled_but_for_what_is_yours_in_dash() {
    installs_and_uninstalls(Shell::dash());
}

#[test]
fn what_is_installed_is_uninstalled_but_for_what_is_yours_in_busybox() {
    if has_tools(&[BUSYBOX]) {
        installs_and_uninstalls(Shell::busybox());
    }
}

#[test]
fn the_init_system_of_another_root_is_known_by_its_init() {
    for (init, file) in [
        ("/lib/systemd/systemd", "etc/systemd/system/crosswire.service"),
        ("/usr/lib/systemd/systemd", "etc/systemd/system/crosswire.service"),
        ("/bin/busybox", "etc/init.d/crosswire"),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("sbin")).expect("a directory");
        std::os::unix::fs::symlink(init, root.path().join("sbin/init")).expect("a link");
        let binary = binary_file().display().to_string();
        let said = install(&Shell::dash(), root.path(), &["--binary", &binary]);
        assert!(said.code == Some(0) && root.path().join(file).exists(), "{init}: {said:?}");
    }
}

#[test]
fn an_installation_that_cannot_be_done_does_nothing() {
    for arguments in [&["--binary", "/nonexistent"][..], &["--init", "upstart"], &["--nonsense"], &["--init"]]
    {
        let root = tempfile::tempdir().expect("a directory");
        let said = install(&Shell::dash(), root.path(), arguments);
        assert_eq!((said.code, files_below(root.path())), (Some(1), Vec::new()), "{said:?}");
        assert!(said.err.starts_with("install: "), "{said:?}");
    }
}

/// Another box's root with its people; the last line has no end, and the highest number of a system user is
/// somebody's.
fn root_with_people() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("etc")).expect("a directory");
    for (name, text) in [
        ("passwd", "root:x:0:0:root:/root:/bin/sh\nntp:x:999:998::/:/bin/false"),
        ("group", "root:x:0:\nntp:x:998:\n"),
        ("shadow", "root:*:1::::::\n"),
    ] {
        fs::write(root.path().join("etc").join(name), text).expect("written");
    }
    root
}

fn makes_a_user_below_another_root(shell: &Shell) {
    let root = root_with_people();
    let file = binary_file().display().to_string();
    // The second time there is nothing to do.
    for _ in 0..2 {
        let said = install(shell, root.path(), &["--binary", &file, "--init", "sysv"]);
        assert!(said.code == Some(0) && said.out.contains("install: user and group crosswire\n"), "{said:?}");
        let text = |name: &str| fs::read_to_string(root.path().join("etc").join(name)).expect("there");
        let user = "\ncrosswire:x:998:999:crosswire:/nonexistent:/bin/false\n";
        assert_eq!(
            text("passwd"),
            format!("root:x:0:0:root:/root:/bin/sh\nntp:x:999:998::/:/bin/false{user}")
        );
        assert_eq!(text("group"), "root:x:0:\nntp:x:998:\ncrosswire:x:999:\n");
        assert_eq!(text("shadow"), "root:*:1::::::\ncrosswire:!:1::::::\n");
    }
    let bare = tempfile::tempdir().expect("a directory");
    let said = install(shell, bare.path(), &["--binary", &file, "--init", "sysv"]);
    assert!(said.code == Some(0) && said.out.contains("could NOT be made"), "{said:?}");
}

#[test]
fn a_user_is_made_below_another_root_in_dash() {
    makes_a_user_below_another_root(&Shell::dash());
}

#[test]
fn a_user_is_made_below_another_root_in_busybox() {
    if has_tools(&[BUSYBOX]) {
        makes_a_user_below_another_root(&Shell::busybox());
    }
}

/// As BusyBox has them: short options only.
const BUSYBOX_ADDUSER: &str = r#"#!/bin/sh
name=${0##*/}
for last; do :; done
case "$name $*" in
"addgroup -S crosswire") echo "crosswire:x:500:" >>/etc/group ;;
"adduser -S -D -H -h /nonexistent -s /bin/false -G crosswire crosswire")
    echo "crosswire:x:500:500::/nonexistent:/bin/false" >>/etc/passwd ;;
*) exit 1 ;;
esac
"#;

/// The installer without DESTDIR, on a box of its own: `prepare` changes what programs it has; then what is
/// printed by `ask`.
fn on_a_box(prepare: &str, arguments: &str, ask: &str) -> Said {
    let scratch = tempfile::tempdir().expect("a directory");
    let adduser = scratch.path().join("adduser");
    fs::write(&adduser, BUSYBOX_ADDUSER).expect("written");
    fs::set_permissions(&adduser, fs::Permissions::from_mode(0o755)).expect("its mode");
    let script = format!(
        "set -e; scratch={}; cp -a /etc $scratch/etc; mount --bind $scratch/etc /etc
         sed -i /^crosswire:/d /etc/passwd /etc/group
         mount -t tmpfs none /usr/local; rm -rf /etc/crosswire /etc/init.d/crosswire
         hide() {{ for file; do if [ -e $file ]; then mount --bind /dev/null $file; fi; done; }}
         {prepare}
         dash {}/config/install.sh {arguments}; {ask}",
        scratch.path().display(),
        env!("CARGO_MANIFEST_DIR"),
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    say_within(command, PATIENCE)
}

/// useradd, else adduser as BusyBox has it, else it is said.
#[test]
fn a_user_is_made_by_whatever_the_box_has() {
    let arguments = format!("--binary {} --init sysv", binary_file().display());
    let ask = "echo ASKED; grep -c ^crosswire: /etc/passwd /etc/group || :; id -gn crosswire || :";
    let hide_useradd = "hide /usr/sbin/useradd /usr/sbin/groupadd;";
    let busybox = "for name in adduser addgroup; do touch /usr/local/$name; done; mkdir /usr/local/sbin
                   cp $scratch/adduser /usr/local/sbin/adduser; cp $scratch/adduser /usr/local/sbin/addgroup
                   hide /usr/sbin/adduser /usr/sbin/addgroup";
    let none = "hide /usr/sbin/adduser /usr/sbin/addgroup";
    for (prepare, is_made) in [
        (String::new(), true),
        (format!("{hide_useradd} {busybox}"), true),
        (format!("{hide_useradd} {none}"), false),
    ] {
        let said = on_a_box(&prepare, &arguments, ask);
        assert_eq!(said.code, Some(0), "{prepare}: {said:?}");
        assert_eq!(said.out.contains("could NOT be made"), !is_made, "{prepare}: {said:?}");
        let asked = said.out.split("ASKED\n").nth(1).expect("the answer");
        let expected = if is_made {
            "/etc/passwd:1\n/etc/group:1\ncrosswire\n"
        } else {
            "/etc/passwd:0\n/etc/group:0\n"
        };
        assert_eq!(asked, expected, "{prepare}: {said:?}");
    }
}

/// What is said to be typed is found on a box that looks nowhere below /usr/local.
#[test]
fn the_next_steps_have_full_names() {
    let root = tempfile::tempdir().expect("a directory");
    let said = install(
        &Shell::dash(),
        root.path(),
        &["--binary", &binary_file().display().to_string(), "--init", "sysv"],
    );
    let steps = said.out.split("next:\n").nth(1).expect("steps");
    for verb in ["keygen", "check"] {
        assert!(steps.contains(&format!("/usr/local/sbin/crosswire {verb}")), "{steps}");
    }
}

/// The shipped binary with the machine of its ELF header changed to one that nobody here has.
fn binary_of_another_machine(scratch: &Path) -> PathBuf {
    let mut bytes = fs::read(binary_file()).expect("the binary");
    bytes[18] = 0x53; // AVR (elf.h)
    let file = scratch.join("other-machine");
    fs::write(&file, bytes).expect("written");
    file
}

#[test]
fn what_is_no_crosswire_for_this_machine_is_refused_and_changes_nothing() {
    let scratch = tempfile::tempdir().expect("a directory");
    let text = scratch.path().join("text");
    fs::write(&text, "<html>404 crosswire not found. Usage: crosswire </html>\n").expect("written");
    let other = binary_of_another_machine(scratch.path());
    for file in [text.as_path(), Path::new("/bin/true"), Path::new("/bin/sh")] {
        let root = tempfile::tempdir().expect("a directory");
        let said = install(
            &Shell::dash(),
            root.path(),
            &["--binary", file.to_str().expect("text"), "--init", "sysv"],
        );
        assert_eq!((said.code, files_below(root.path())), (Some(1), Vec::new()), "{said:?}");
        assert!(said.err.contains("is no crosswire for this machine"), "{said:?}");
    }
    let said = on_a_box(
        "",
        &format!("--binary {} --init sysv || echo REFUSED", other.display()),
        "ls -R /usr/local",
    );
    assert!(said.out.contains("REFUSED") && !said.out.contains("crosswire\n"), "{said:?}");
    // Another root may be another machine's.
    let root = tempfile::tempdir().expect("a directory");
    let said =
        install(&Shell::dash(), root.path(), &["--binary", other.to_str().expect("text"), "--init", "sysv"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    // Whatever fetched it may have left it without its mode.
    let plain = scratch.path().join("plain");
    fs::copy(binary_file(), &plain).expect("copied");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).expect("its mode");
    let root = tempfile::tempdir().expect("a directory");
    let said =
        install(&Shell::dash(), root.path(), &["--binary", plain.to_str().expect("text"), "--init", "sysv"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn the_binary_before_stays_beside_the_new_one() {
    let root = tempfile::tempdir().expect("a directory");
    let sbin = root.path().join("usr/local/sbin");
    fs::create_dir_all(&sbin).expect("a directory");
    fs::write(sbin.join("crosswire"), "the one before\n").expect("written");
    let file = binary_file().display().to_string();
    for _ in 0..2 {
        let said = install(&Shell::dash(), root.path(), &["--binary", &file, "--init", "sysv"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        // Installing the same once more is no reason to forget it.
        assert_eq!(fs::read_to_string(sbin.join("crosswire.old")).expect("kept"), "the one before\n");
        assert!(fs::read(sbin.join("crosswire")).expect("new") == fs::read(&file).expect("the binary"));
    }
}

/// Every file that is shipped is sound to the shipped binary, on either node; this machine has none of the
/// ports.
#[test]
fn the_shipped_configurations_are_sound() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files: Vec<PathBuf> =
        fs::read_dir(config.join("examples")).expect("examples").map(|f| f.expect("a file").path()).collect();
    files.push(config.join("crosswire.toml"));
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        let mut nodes: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("[node.")?.split(']').next()).collect();
        assert_eq!(nodes.len(), 2, "{}", file.display());
        for node in &nodes {
            let mut command = binary();
            command.args(["check", "-v", "--offline", "--node", *node]).arg("--config").arg(&file);
            let said = say_within(command, PATIENCE);
            assert!(said.code == Some(0) && said.out.contains("\nIf "), "{}: {said:?}", file.display());
            let end =
                format!("the file is sound for {node}. The file alone was read: no box was looked at.\n");
            assert!(said.out.ends_with(&end), "{said:?}");
        }
        let mut command = binary();
        command.args(["check", "-v", "--offline", "--config"]).arg(&file);
        let said = say_within(command, PATIENCE);
        nodes.sort_unstable();
        let begin = format!("nodes {} and {}; the figures are those of {0}.\n", nodes[0], nodes[1]);
        assert!(said.code == Some(0) && said.out.contains(&begin), "{said:?}");
        assert!(said.out.contains("the file is sound for both nodes. "), "{said:?}");
    }
}
