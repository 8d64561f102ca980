use std::net::IpAddr;
use std::path::Path;

use crosswire::time::Span;
use proptest::prelude::*;

use super::*;
use crate::cli::check::{self, CheckOptions};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/heartbeat");
/// Where a wrong line of a file of the classic pair is put, and what is said then.
const BAD: &str = include_str!("../../../tests/fixtures/heartbeat/bad.txt");

/// A box that is neither node, and asks nobody.
fn around<'a>(hosts: &'a Path, routes: &'a Path) -> Surroundings<'a> {
    Surroundings { hosts, routes, own: OwnBox::default(), resolve: |_| Vec::new() }
}

fn options(to: PathBuf, addresses: Option<String>, from: PathBuf) -> ImportOptions {
    #[cfg(feature = "keepalived")]
    return ImportOptions { to, addresses, peer: None, from };
    #[cfg(not(feature = "keepalived"))]
    return ImportOptions { to, addresses, from };
}

/// The output for a directory, with its own name as `IN` and the other's as `OUT`, and the file that was
/// written.
fn import_from(directory: &Path, addresses: &[&str]) -> (Exit, String, Option<String>) {
    let to = tempfile::tempdir().expect("a directory");
    let options = options(to.path().join("crosswire"), Some(addresses.join(",")), directory.to_path_buf());
    let (hosts, routes) = (Path::new(FIXTURES).join("hosts"), Path::new(FIXTURES).join("route"));
    let mut said = Vec::new();
    let here = around(&hosts, &routes);
    let exit = import(&options, &here, &mut said).expect("memory");
    let plain = |text: String| {
        let text = text.replace(&options.to.display().to_string(), "OUT");
        text.replace(&directory.display().to_string(), "IN")
    };
    let written = fs::read_to_string(options.to.join("crosswire.toml")).ok().map(plain);
    for node in written.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("[node.\""))
    {
        assert_passes_check(&options.to.join("crosswire.toml"), node.trim_end_matches("\"]"));
    }
    assert_eq!(written.is_some(), options.to.join("key").exists(), "both or none");
    (exit, plain(String::from_utf8(said).expect("text")), written)
}

/// `check` finds nothing wrong for this node; the box of the test lacks the devices and programs of the pair.
fn assert_passes_check(config: &Path, node: &str) {
    let mut said = Vec::new();
    let words = ["--offline", "--config", config.to_str().expect("text"), "--node", node];
    let options = crate::cli::parse::options::<CheckOptions>(&words).expect("options");
    assert_eq!(check::run(&options, &mut said), Exit::Done, "{node}");
}

fn is_expected(file: &str, said: &str) {
    let file = Path::new(FIXTURES).join(file);
    if std::env::var_os("CROSSWIRE_BLESS").is_some() {
        fs::write(&file, said).expect("written");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(said, expected, "{} (CROSSWIRE_BLESS=1 writes it anew)", file.display());
}

/// Every directory of a pair.
fn all_pairs() -> Vec<String> {
    let entries = fs::read_dir(FIXTURES).expect("fixtures").map(|entry| entry.expect("an entry"));
    let directories = entries.filter(|entry| entry.path().join("ha.cf").exists());
    let names: Vec<String> =
        directories.map(|entry| entry.file_name().into_string().expect("text")).collect();
    assert!(names.len() >= 16, "{names:?}");
    names
}

#[test]
fn typical_pairs_become_what_is_on_record() {
    let everything: &[&str] = &["anna=192.168.85.1", "berta=192.168.85.2", "anna=10.9.0.1", "berta=10.9.0.2"];
    let ipfail: &[&str] = &["alpha=10.1.0.1", "alpha=10.2.0.1", "beta=10.1.0.2", "beta=10.2.0.2"];
    let disk: &[&str] = &["alpha=10.1.0.1", "alpha=203.0.113.1", "beta=10.1.0.2", "beta=203.0.113.2"];
    let second: &[&str] = &["gw-a=10.1.0.1", "gw-a=203.0.113.2", "gw-b=10.1.0.2", "gw-b=203.0.113.3"];
    for name in all_pairs() {
        let addresses = match name.as_str() {
            "ipfail" => ipfail,
            "disk" => disk,
            "everything" => everything,
            "dual" | "windows" => second,
            _ => &[],
        };
        let name = &name;
        let (exit, said, written) = import_from(&Path::new(FIXTURES).join(name), addresses);
        assert_eq!(exit, Exit::Done, "{name}: {said}");
        let written = written.expect("a configuration");
        assert!(!said.contains("not-a-real") && !written.contains("not-a-real"), "{name} shows a secret");
        is_expected(&format!("{name}/expected.txt"), &said);
        is_expected(&format!("{name}/expected.toml"), &written);
    }
}

/// The files' own count of lines that say something is what is accounted for.
#[test]
fn every_line_is_accounted_for_once() {
    for name in all_pairs() {
        let directory = Path::new(FIXTURES).join(&name);
        let expected = fs::read_to_string(directory.join("expected.txt")).expect("on record");
        let layouts =
            [("ha.cf", Layout::Plain), ("haresources", Layout::Joined), ("authkeys", Layout::Secret)];
        for (file, layout) in layouts {
            let Ok(bytes) = fs::read(directory.join(file)) else { continue };
            for (line, words) in lines::split(&bytes, layout) {
                let is_empty = words.trim_ascii().is_empty();
                let count = expected.matches(&format!("\n{file}:{line}: ")).count()
                    + usize::from(expected.starts_with(&format!("{file}:{line}: ")));
                assert_eq!(count, usize::from(!is_empty), "{name}/{file}:{line}");
            }
        }
    }
}

#[test]
fn every_directive_is_tried_and_they_stand_in_order() {
    let text = fs::read_to_string(Path::new(FIXTURES).join("everything/ha.cf")).expect("a fixture");
    let tried: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let names: Vec<&str> = DIRECTIVES.iter().map(|(name, _)| *name).collect();
    assert!(names.is_sorted());
    for name in names.iter().filter(|name| !["respawn"].contains(name)) {
        assert!(tried.contains(name), "{name} is not in everything/ha.cf");
    }
}

#[test]
fn bad_lines_are_told_what_is_wrong_where_and_what_to_do() {
    let (head, cases) = BAD.split_once("\n\n").expect("a head and cases");
    let cases: Vec<&str> = cases.split("\n\n").collect();
    let mut blessed = format!("{head}\n");
    assert!(cases.len() > 20, "{} cases", cases.len());
    for case in cases {
        let directory = tempfile::tempdir().expect("a directory");
        for file in ["ha.cf", "haresources", "authkeys"] {
            fs::copy(Path::new(FIXTURES).join("classic").join(file), directory.path().join(file))
                .expect("copied");
        }
        let marked = |mark: &str| case.lines().filter_map(|line| line.strip_prefix(mark)).collect::<Vec<_>>();
        for file in marked("! ") {
            fs::write(directory.path().join(file), "").expect("emptied");
        }
        for line in marked("+ ") {
            let (file, line) = line.split_once(' ').expect("file and line");
            let file = directory.path().join(file);
            let text = fs::read_to_string(&file).expect("text");
            fs::write(&file, format!("{text}{}\n", line.replace("\\t", "\t").replace("\\e", "\u{1b}")))
                .expect("written");
        }
        for file in marked("- ") {
            fs::remove_file(directory.path().join(file)).expect("removed");
        }
        let (exit, said, written) = import_from(directory.path(), &[]);
        assert_eq!((exit, written), (Exit::Configuration, None), "{case}");
        blessed.push_str(
            &case
                .lines()
                .filter(|line| !line.starts_with('='))
                .fold("\n".to_string(), |all, line| all + line + "\n"),
        );
        blessed.extend(said.lines().map(|line| format!("= {line}\n")));
    }
    is_expected("bad.txt", &blessed);
}

#[test]
fn nothing_is_overwritten() {
    let directory = tempfile::tempdir().expect("a directory");
    let names = ["crosswire.toml", "key"];
    let (hosts, routes) = (Path::new(FIXTURES).join("hosts"), Path::new(FIXTURES).join("route"));
    let here = around(&hosts, &routes);
    for name in names {
        let options = options(directory.path().to_path_buf(), None, Path::new(FIXTURES).join("classic"));
        let file = directory.path().join(name);
        fs::write(&file, "mine").expect("written");
        let mut said = Vec::new();
        assert_eq!(import(&options, &here, &mut said).expect("memory"), Exit::Refused);
        let said = String::from_utf8(said).expect("text");
        assert!(said.contains(&format!("{}: is there already and stays as it is", file.display())), "{said}");
        assert_eq!(fs::read_to_string(&file).expect("still there"), "mine");
        assert_eq!(
            fs::read_dir(directory.path()).expect("a directory").count(),
            1,
            "nothing else is left behind"
        );
        fs::remove_file(&file).expect("removed");
    }
}

/// The daemon starts elsewhere.
#[test]
fn the_key_is_named_with_its_full_path_wherever_the_directory_is_seen_from() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = std::env::current_dir().expect("a directory");
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let to = up.join(directory.path().strip_prefix("/").expect("from the root")).join("b");
    assert!(to.is_relative());
    let from = Path::new(FIXTURES).join("classic");
    let options = options(to.clone(), None, from);
    let (hosts, routes) = (Path::new(FIXTURES).join("hosts"), Path::new(FIXTURES).join("route"));
    let here = around(&hosts, &routes);
    let mut said = Vec::new();
    let exit = import(&options, &here, &mut said).expect("memory");
    assert_eq!(exit, Exit::Done, "{}", String::from_utf8_lossy(&said));
    let config = directory.path().join("b/crosswire.toml");
    for node in ["node1", "node2"] {
        assert_passes_check(&config, node);
    }
    let settings = Settings::load(&config, Some("node1")).expect("a configuration");
    assert!(settings.key_file.is_absolute() && settings.key_file.exists(), "{}", settings.key_file.display());
}

/// Node names are those of DNS, whose letter case means nothing.
#[test]
fn addresses_are_given_to_nodes_alone_in_any_letter_case() {
    let told = |told: &str| import_from(&Path::new(FIXTURES).join("classic"), &[told]);
    let (exit, said, _) = told("other=10.0.0.9");
    assert_eq!(exit, Exit::Configuration);
    assert!(said.contains("--addresses names other, which is no node: they are node1 and node2"), "{said}");
    let (exit, said, _) = told("NODE1=192.168.85.1,node2=192.168.85.2");
    assert_eq!(exit, Exit::Done, "{said}");
}

fn draft() -> Draft {
    let names = Names::load("", Path::new("/nonexistent"), OwnBox::default(), |_| Vec::new())
        .expect("nothing was told");
    Draft::new(Path::new("/x"), names)
}

#[test]
fn times_are_kept_where_they_fit_and_fit_where_they_are_not() {
    let mut draft = draft();
    let s = Span::from_s;
    draft.times = [Some(s(1)), Some(s(3)), Some(s(5)), Some(s(60))];
    assert_eq!(draft.times().all, [s(1), s(3), s(5), s(60)]);
    let ms = |ms| Some(Span::from_ms(ms));
    draft.times = [ms(1), ms(1_931), None, None];
    assert!(draft.times().all[1] < Span::from_ms(1_930), "time to let go is left");
    draft.times = [Some(s(10)), Some(s(60)), Some(s(60)), Some(s(1))];
    let times = draft.times().all;
    assert!(times[0] < times[1] && times[1] < times[2] && times[2] < times[3], "{times:?}");
}

proptest! {
    /// Whatever Heartbeat was told: what is written keeps the promises of `check`.
    #[test]
    fn any_times_make_a_sound_configuration(
        asked in proptest::array::uniform4(proptest::option::of(1..200_000u64)),
        slow in proptest::bool::ANY,
    ) {
        let mut draft = draft();
        draft.nodes = vec!["a".into(), "b".into()];
        draft.times = asked.map(|ms| ms.map(Span::from_ms));
        draft.serials = vec!["/dev/ttyS0".into()];
        draft.baud = Some((if slow { 9_600 } else { 115_200 }, 1));
        let addresses = vec![("10.0.0.9".parse::<IpAddr>().unwrap(), "10.0.0.9/24@eth0".to_string())];
        let (name, prefer) = ("g".into(), "a".into());
        draft.groups = vec![draft::Group { name, lines: vec![1], prefer, addresses, scripts: Vec::new() }];
        let settled = settle::settle(&mut draft);
        let text = compose::compose(&draft, &settled, Path::new("/k"));
        let said = Settings::parse(Path::new("f"), &text, Some("a"))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        // A beat that fills a slow line is the one thing that a change of times cannot mend without being
        // told.
        let is_load = said.as_ref().err().is_some_and(|error| error.contains("more than half of the \
            interval"));
        prop_assert!(said.is_ok() || is_load, "{}\n{}", said.err().unwrap_or_default(), text);
    }

    #[test]
    fn any_bytes_are_answered(text in "([a-z_]{1,12}[ \t,][ -~]{0,30}\n){0,8}") {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("ha.cf"), &text).expect("written");
        fs::write(directory.path().join("haresources"), &text).expect("written");
        fs::write(directory.path().join("authkeys"), &text).expect("written");
        let (exit, said, _) = import_from(directory.path(), &[]);
        prop_assert!(exit == Exit::Done || !said.is_empty());
    }
}

#[test]
fn the_box_is_asked_for_a_name() {
    assert!(places::resolve("localhost").iter().any(IpAddr::is_loopback));
    assert!(places::resolve("nobody.invalid").is_empty());
}
