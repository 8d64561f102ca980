use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::cli::check::{self, CheckOptions};
use crate::cli::import::places::OwnBox;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keepalived");
/// Wrong files, and the errors of each.
const BAD: &str = include_str!("../../../../tests/fixtures/keepalived/bad.txt");

/// What became of a file, with its own directory as `IN` and the other one as `OUT`.
struct Imported {
    exit: Exit,
    said: String,
    written: Option<String>,
}

/// Imports a directory's keepalived.conf, with peer.conf and addresses where they are there, on a box that is
/// neither node.
fn import_from(directory: &Path, addresses: Option<&str>) -> Imported {
    let home = tempfile::tempdir().expect("a directory");
    let to = home.path().join("crosswire");
    let peer = Some(directory.join("peer.conf")).filter(|peer| peer.exists());
    let from = directory.join("keepalived.conf");
    let options = ImportOptions { to: to.clone(), addresses: None, peer, from: from.clone() };
    let told = fs::read_to_string(directory.join("addresses")).unwrap_or_default();
    let told = addresses.unwrap_or(told.trim());
    let names =
        Names::load(told, Path::new("/nonexistent"), OwnBox::default(), |_| Vec::new()).expect("addresses");
    let mut out = Vec::new();
    let exit = import(&from, &options, &names, &mut out).expect("memory");
    let plain = |text: String| {
        text.replace(&to.display().to_string(), "OUT").replace(&directory.display().to_string(), "IN")
    };
    let config = to.join("crosswire.toml");
    let written = fs::read_to_string(&config).ok();
    for node in written.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("[node.\""))
    {
        let mut said = Vec::new();
        let words =
            ["--offline", "--config", config.to_str().expect("text"), "--node", node.trim_end_matches("\"]")];
        let options = crate::cli::parse::options::<CheckOptions>(&words).expect("options");
        assert_eq!(check::run(&options, &mut said), Exit::Done, "{node}: {}", String::from_utf8_lossy(&said));
    }
    assert_eq!(written.is_some(), to.join("key").exists(), "both or none");
    Imported { exit, said: plain(String::from_utf8(out).expect("text")), written: written.map(plain) }
}

fn is_expected(file: &Path, said: &str) {
    if std::env::var_os("CROSSWIRE_BLESS").is_some() {
        fs::write(file, said).expect("written");
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(said, expected, "{} (CROSSWIRE_BLESS=1 writes it anew)", file.display());
}

/// Every directory of a pair.
fn all_pairs() -> Vec<PathBuf> {
    let entries = fs::read_dir(FIXTURES).expect("fixtures").map(|entry| entry.expect("an entry").path());
    let all: Vec<PathBuf> = entries.filter(|path| path.join("keepalived.conf").exists()).collect();
    assert!(all.len() >= 20, "{} pairs", all.len());
    all
}

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files {
        let file = home.path().join(name);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(file, bytes).expect("written");
    }
    home
}

#[test]
fn usual_files_become_what_is_on_record() {
    for pair in all_pairs() {
        let Imported { exit, said, written } = import_from(&pair, None);
        assert_eq!(exit, Exit::Done, "{}: {said}", pair.display());
        let written = written.expect("a configuration");
        assert!(
            !said.contains("notareal") && !written.contains("notareal"),
            "{} shows a secret",
            pair.display()
        );
        is_expected(&pair.join("expected.txt"), &said);
        is_expected(&pair.join("expected.toml"), &written);
    }
}

/// The lines of a file that say something, by its own count.
fn lines_that_say_something(file: &Path) -> Vec<usize> {
    let text = fs::read_to_string(file).expect("text");
    let says = |line: &str| {
        let line = line.split(['#', '!']).next().unwrap_or_default();
        line.contains(|c: char| !c.is_whitespace() && !"{}".contains(c))
    };
    (1..).zip(text.lines()).filter(|(_, line)| says(line)).map(|(number, _)| number).collect()
}

/// No line is dropped: each is in an account, and each account says something.
#[test]
fn every_line_is_accounted_for() {
    for pair in all_pairs() {
        let said = fs::read_to_string(pair.join("expected.txt")).expect("on record");
        let accounts: Vec<&str> = said.split("\n\n").next().expect("accounts").lines().collect();
        let is_place = |line: &str| !line.starts_with("    ");
        for (index, _) in accounts.iter().enumerate().filter(|(_, line)| is_place(line)) {
            assert!(
                accounts.get(index + 1).is_some_and(|line| line.starts_with("    ")),
                "{}",
                accounts[index]
            );
        }
        let mut files = vec![pair.join("keepalived.conf"), pair.join("peer.conf"), pair.join("common.conf")];
        files.extend(
            fs::read_dir(pair.join("conf.d"))
                .into_iter()
                .flatten()
                .map(|entry| entry.expect("an entry").path()),
        );
        for file in files.into_iter().filter(|file| file.exists()) {
            let name = file.file_name().expect("a name").to_str().expect("text");
            let places = accounts
                .iter()
                .filter(|line| is_place(line))
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let ranges: Vec<(usize, usize)> = places
                .map(|rest| {
                    let numbers = rest.split(": ").next().expect("a place");
                    let (from, to) = numbers.split_once('-').unwrap_or((numbers, numbers));
                    (from.parse().expect("a number"), to.parse().expect("a number"))
                })
                .collect();
            for line in lines_that_say_something(&file) {
                assert!(
                    ranges.iter().any(|(from, to)| (*from..=*to).contains(&line)),
                    "{}:{line}",
                    file.display()
                );
            }
        }
    }
}

/// A case is lines that are the file (`> `) or a replacement of the office pair (`- ` is taken out, `+ `
/// comes behind it), with what is said (`= `).
#[test]
fn bad_files_are_told_what_is_wrong_where_and_what_to_do() {
    let office = fs::read_to_string(Path::new(FIXTURES).join("office/keepalived.conf")).expect("a fixture");
    let (head, cases) = BAD.split_once("\n\n").expect("a head and cases");
    let cases: Vec<&str> = cases.split("\n\n").collect();
    let mut blessed = format!("{head}\n");
    assert!(cases.len() >= 25, "{} cases", cases.len());
    for case in cases {
        let marked = |mark: &str| case.lines().filter_map(|line| line.strip_prefix(mark)).collect::<Vec<_>>();
        let whole = marked("> ");
        let mut text = if whole.is_empty() { office.clone() } else { whole.join("\n") + "\n" };
        for (out, into) in marked("- ").into_iter().zip(marked("+ ")) {
            assert!(text.contains(out), "{out}");
            text = text.replacen(out, &into.replace("\\n", "\n").replace("\\e", "\u{1b}"), 1);
        }
        let home = directory(&[("keepalived.conf", text.as_bytes())]);
        let addresses = marked("& ");
        let Imported { exit, said, written } = import_from(
            home.path(),
            Some(addresses.first().copied().unwrap_or("fw1=192.168.10.2,fw2=192.168.10.3")),
        );
        assert_eq!((exit, written), (Exit::Configuration, None), "{case}\n{said}");
        let kept = case.lines().filter(|line| !line.starts_with('='));
        blessed.push_str(&kept.fold("\n".to_string(), |all, line| all + line + "\n"));
        blessed.extend(said.lines().map(|line| format!("= {line}\n")));
    }
    is_expected(&Path::new(FIXTURES).join("bad.txt"), &blessed);
}

/// An include that goes in circles, or on without end, ends with its line.
#[test]
fn includes_are_bounded() {
    let says = |files: &[(&str, &[u8])], expected: &str| {
        let home = directory(files);
        let Imported { exit, said, .. } = import_from(home.path(), Some("a=10.0.0.1,b=10.0.0.2"));
        assert_eq!(exit, Exit::Configuration, "{said}");
        assert!(said.contains(expected), "{said}");
    };
    says(&[("keepalived.conf", b"include keepalived.conf\n")], "keepalived.conf:1: includes itself");
    says(
        &[("keepalived.conf", b"\ninclude x/*\n"), ("x/a.conf", b"include ../keepalived.conf\n")],
        "a.conf:1: includes itself",
    );
    says(&[("keepalived.conf", b"include /etc/nowhere/conf.d/*.conf\n")], "there is no directory");
    says(&[("keepalived.conf", b"include nowhere.conf\n")], "\"nowhere.conf\" is not there");
    says(&[("keepalived.conf", b"@a include x.conf\n"), ("x.conf", b"")], "behind a condition");
    let many: Vec<(String, &[u8])> =
        (0..70).map(|number| (format!("d/{number}.conf"), &b"# none\n"[..])).collect();
    let mut files: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    files.push(("keepalived.conf", b"include d/*.conf\n"));
    says(&files, "keepalived.conf:1: more than 64 files");
    let bomb = (0..20).fold("$A0=xxxxxxxxxxxxxxxx\n".to_string(), |all, n| {
        all + &format!("$A{}=${{A{n}}}${{A{n}}}${{A{n}}}${{A{n}}}\n", n + 1)
    });
    says(&[("keepalived.conf", bomb.as_bytes())], "longer than 4096 bytes");
    let long = vec![b'#'; 70_000];
    says(&[("keepalived.conf", &long)], "too long");
}

/// A file that is not there or is no file, and one without anything that moves.
#[test]
fn what_is_no_keepalived_conf_is_said() {
    for (files, expected) in [
        (&[("other", &b""[..])][..], "cannot be read"),
        (&[("keepalived.conf", b"")], "has no vrrp_instance"),
        (&[("keepalived.conf", b"virtual_server 10.0.0.1 80 {\n delay_loop 5\n}\n")], "has no vrrp_instance"),
    ] {
        let home = directory(files);
        let Imported { exit, said, .. } = import_from(home.path(), Some("a=10.0.0.1,b=10.0.0.2"));
        assert_eq!(exit, Exit::Configuration);
        assert!(said.contains(expected), "{said}");
    }
}

/// Bytes of any kind in comments, a byte order mark and ends of lines as on Windows do not matter.
#[test]
fn bytes_around_what_is_said_do_not_matter() {
    let office = fs::read_to_string(Path::new(FIXTURES).join("office/keepalived.conf")).expect("a fixture");
    let mut bytes = b"\xEF\xBB\xBF# B\xFCro\r\n".to_vec();
    bytes.extend(office.replace('\n', "\r\n").bytes());
    let home = directory(&[("keepalived.conf", &bytes)]);
    let Imported { exit, said, written } =
        import_from(home.path(), Some("fw1=192.168.10.2,fw2=192.168.10.3"));
    assert_eq!(exit, Exit::Done, "{said}");
    assert!(written.expect("a configuration").contains("\"192.168.10.1/24@eth0\""));
}

/// With one file, or none that says who is who, nothing is guessed.
#[test]
fn what_one_file_cannot_know_is_said() {
    let home = directory(&[(
        "keepalived.conf",
        &fs::read(Path::new(FIXTURES).join("office/keepalived.conf")).expect("a fixture"),
    )]);
    let Imported { exit, said, .. } = import_from(home.path(), Some(""));
    assert_eq!(exit, Exit::Configuration);
    assert!(said.contains("--addresses NODE=IP,NODE=IP"), "{said}");
    let Imported { said, written, .. } = import_from(home.path(), Some("fw1=192.168.10.2,fw2=192.168.10.3"));
    assert!(said.contains("--peer") && !written.expect("a configuration").contains("prefer"), "{said}");
    // The second name is this file's node, since its address is this file's.
    let Imported { said, written, .. } = import_from(home.path(), Some("fw2=192.168.10.3,fw1=192.168.10.2"));
    let written = written.expect("a configuration");
    assert!(written.contains("[node.\"fw1\"]\nlan = [\"192.168.10.2\"]"), "{written}\n{said}");
}

/// The script does what was asked for, and nothing else.
#[test]
fn scripts_of_a_change_run_as_they_did() {
    let home = tempfile::tempdir().expect("a directory");
    let log = home.path().join("log");
    let program = home.path().join("tell.sh");
    fs::write(&program, format!("#!/bin/sh\necho \"$@\" >>{}\nexit 3\n", log.display())).expect("written");
    let chmod = std::process::Command::new("chmod").arg("755").arg(&program).status();
    assert!(chmod.expect("chmod").success());
    let office = fs::read_to_string(Path::new(FIXTURES).join("office/keepalived.conf")).expect("a fixture");
    let notify = "    notify \"/etc/keepalived/notify.sh\"\n";
    let path = program.display();
    let more =
        format!("    notify {path}\n    notify_master \"{path} up now\"\n    notify_fault '{path} fault'\n");
    let conf = directory(&[("keepalived.conf", office.replace(notify, &more).as_bytes())]);
    let Imported { written, .. } = import_from(conf.path(), Some("fw1=192.168.10.2,fw2=192.168.10.3"));
    let text = written.expect("a configuration");
    let code = text.split("-c '").nth(1).and_then(|rest| rest.split('\'').next()).expect("a script");
    for action in ["start", "stop", "monitor"] {
        let status = std::process::Command::new("/bin/sh").args(["-c", code, "notify", action]).status();
        assert!(status.expect("a shell").success(), "{action}");
    }
    let told = fs::read_to_string(log).expect("told");
    assert_eq!(told, "up now\nINSTANCE OFFICE MASTER 150\nfault\nINSTANCE OFFICE BACKUP 150\n");
}

/// keepalived leaves a sync group without virtual routers out: each of its lines is said to mean nothing.
#[test]
fn a_sync_group_without_virtual_routers_is_accounted_for() {
    for group in ["", "group {\n}\n", "group {\nGONE\n}\n"] {
        let text = format!(
            "vrrp_sync_group BOTH {{\n{group}track_interface {{\neth1\n}}\nnotify_master /bin/true\n}}\n\
             vrrp_instance L {{\ninterface eth0\nvirtual_router_id 3\npriority 150\n\
             virtual_ipaddress {{\n10.44.0.1/24\n}}\n}}\n"
        );
        let home = directory(&[("keepalived.conf", text.as_bytes())]);
        let Imported { exit, said, .. } = import_from(home.path(), Some("gw1=10.250.0.1,gw2=10.250.0.2"));
        assert_eq!(exit, Exit::Done, "{said}");
        assert_eq!(said.matches("the group has no vrrp_instance").count(), 3, "{said}");
    }
}

/// Every keyword stands in one table, in one order that a reader can search.
#[test]
fn keywords_stand_once() {
    for table in
        [keywords::TOP, keywords::GLOBAL, keywords::GLOBAL_BEGIN, keywords::INSTANCE, keywords::GROUP]
    {
        let mut names: Vec<&str> = keywords::names(table).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

/// The files of all fixtures, to be spoilt.
static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    all_pairs().iter().map(|pair| fs::read(pair.join("keepalived.conf")).expect("a fixture")).collect()
});

/// One change of a file.
#[derive(Clone, Debug)]
enum Spoil {
    Drop(usize),
    Double(usize),
    Swap(usize, usize),
    Cut(usize),
    Insert(usize, String),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let word = "[a-z_]{1,12}|[0-9./:]{1,12}|[{}\"'!#@$\\\\~]|@gw1 |\\$\\{A\\}|include \\*|\u{e9}";
    prop_oneof![
        any::<usize>().prop_map(Spoil::Drop),
        any::<usize>().prop_map(Spoil::Double),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Spoil::Swap(a, b)),
        any::<usize>().prop_map(Spoil::Cut),
        (any::<usize>(), word).prop_map(|(at, word)| Spoil::Insert(at, word)),
    ]
}

/// The lines of a file, spoilt.
fn spoilt(bytes: &[u8], spoils: &[Spoil]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    for spoil in spoils {
        let count = lines.len();
        match spoil {
            Spoil::Drop(at) if count > 1 => drop(lines.remove(at % count)),
            Spoil::Drop(_) => {}
            Spoil::Double(at) => lines.insert(at % count, lines[at % count].clone()),
            Spoil::Swap(a, b) => lines.swap(a % count, b % count),
            Spoil::Cut(at) => {
                let line = &mut lines[at % count];
                line.truncate(at % (line.len() + 1));
            }
            Spoil::Insert(at, word) => {
                let line = &mut lines[at % count];
                let place = at / 7 % (line.len() + 1);
                line.splice(place..place, word.bytes());
            }
        }
    }
    lines.join(&b'\n')
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever is done to a file: it is taken, and the loader takes what is written, or it is said where it
    /// is wrong. Nothing is forgotten.
    #[test]
    fn spoilt_files_are_answered(
        which in any::<prop::sample::Index>(),
        spoils in prop::collection::vec(spoil(), 1..6),
    ) {
        let bytes: Vec<u8> = spoilt(which.get::<Vec<u8>>(&ALL), &spoils);
        let home = directory(&[("keepalived.conf", &bytes)]);
        let peers = Some("gw1=10.250.0.1,gw2=10.250.0.2");
        let Imported { exit, said, written } = import_from(home.path(), peers);
        prop_assert_eq!(exit == Exit::Done, written.is_some());
        let is_refused = exit == Exit::Configuration && said.contains("keepalived.conf");
        prop_assert!(exit == Exit::Done || is_refused, "{}", said);
        let accounts: Vec<&str> = said.split("\n\n").next().unwrap_or_default().lines().collect();
        for (index, line) in accounts.iter().enumerate().filter(|_| exit == Exit::Done) {
            let is_inner = |line: &&str| line.starts_with("    ");
            let is_said = is_inner(line) || accounts.get(index + 1).is_some_and(is_inner);
            prop_assert!(is_said, "{}", line);
        }
    }
}
