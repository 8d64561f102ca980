//! Bad files and the exact errors that they get; good files and the settings that they become.

mod any_file;
mod schema;
mod shadow;

use std::path::Path;

use super::difference::differences;
use super::loader;
use super::nodes::Wanted;
use super::*;

/// The shortest useful file.
const GOOD: &str = r#"pair = "gateway"
[node.gw1]
lan = "10.0.0.1"
[node.gw2]
lan = "10.0.0.2"
[serial]
device = "/dev/ttyS0"
[lan]
interface = "eth0"
[group.gateway]
addresses = ["10.0.0.100/24"]
"#;

/// See its first lines.
const BAD: &str = include_str!("../../../tests/fixtures/config/bad.txt");

fn load_as(text: &str, wanted: &Wanted) -> Result<Settings, Vec<String>> {
    let lines = |errors: Vec<ConfigError>| errors.iter().map(ToString::to_string).collect();
    loader::parse(Path::new("f"), text, wanted).map_err(lines)
}

fn asked(name: &str) -> Wanted {
    Wanted::Asked(name.to_string())
}

fn good_as(text: &str, name: &str) -> Settings {
    load_as(text, &asked(name)).unwrap_or_else(|lines| panic!("{}\n--- of\n{text}", lines.join("\n")))
}

/// The lines of a case that begin with `mark`, without it.
fn marked(case: &str, mark: &str) -> Vec<String> {
    let lines = case.lines().filter_map(|line| line.strip_prefix(mark));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_string()).collect()
}

#[test]
fn bad_files_are_told_what_is_wrong_where_and_what_to_do() {
    let cases: Vec<&str> = BAD.split("\n\n").skip(1).collect();
    assert!(cases.len() > 70, "{} cases", cases.len());
    for case in cases {
        let block = |mark| marked(case, mark).iter().map(|line| format!("{line}\n")).collect::<String>();
        let (from, to, said) = (block("-"), block("+"), marked(case, "="));
        assert!(GOOD.contains(&from) && !said.is_empty(), "not a case:\n{case}");
        let errors = load_as(&GOOD.replacen(&from, &to, 1), &asked("gw1")).expect_err(case);
        assert_eq!(errors, said, "\n{case}");
    }
}

#[test]
fn an_unknown_host_is_told_the_names_that_are_known() {
    let said = load_as(GOOD, &Wanted::Host("gw7".to_string())).unwrap_err();
    let line = "f:2:2: this box is called \"gw7\" (`uname -n`); \
                the file knows \"gw1\" and \"gw2\": correct the name, or give --node";
    assert_eq!(said, [line]);
}

#[test]
fn without_a_name_the_host_name_counts() {
    let host = host_name();
    let text = GOOD.replace("[node.gw2]", &format!("[node.\"{host}\"]"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crosswire.toml");
    std::fs::write(&file, text).unwrap();
    assert_eq!(Settings::load(&file, None).unwrap().my_name(), host);
    assert_eq!(Settings::load(&file, Some("gw1")).unwrap().peer_name(), host);
}

#[test]
fn files_that_cannot_be_read_are_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let name = |file: &Path| file.display().to_string();
    let said = |file: &Path| match Settings::load(file, Some("gw1")) {
        Ok(_) => panic!("{} is fine", file.display()),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    let missing = directory.path().join("missing");
    let remedy = "check the name and its permissions, or give another with --config";
    let expected =
        format!("{}: cannot be read (No such file or directory (os error 2)); {remedy}", name(&missing));
    assert_eq!(said(&missing), expected);

    let expected =
        format!("{}: is not a file; give the configuration file with --config", name(directory.path()));
    assert_eq!(said(directory.path()), expected);

    let file = directory.path().join("f");
    std::fs::write(&file, b"pair = 'x'\n# caf\xe9\n").unwrap();
    let remedy = "save the file as UTF-8, or remove the special characters of this line";
    assert_eq!(said(&file), format!("{}:2: is not UTF-8 text; {remedy}", name(&file)));

    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let expected = "anybody may write it, and root runs what it names; chmod go-w";
    assert_eq!(said(&file), format!("{}: {expected}", name(&file)));

    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&file, vec![b'#'; 64 * 1024 + 1]).unwrap();
    let remedy = "is this the configuration? shorten it";
    assert_eq!(said(&file), format!("{}: is longer than 65536 bytes; {remedy}", name(&file)));

    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let expected = format!("{}: is not a file; give the configuration file with --config", name(&pipe));
    assert_eq!(said(&pipe), expected, "and without waiting for a writer");
}

#[test]
fn the_shortest_useful_file_has_good_defaults() {
    let settings = good_as(GOOD, "gw1");
    assert_eq!((settings.me, settings.my_name(), settings.peer_name()), (Side::A, "gw1", "gw2"));
    assert_eq!(settings.key_file, Path::new("/etc/crosswire/key"));
    assert_eq!(settings.interfaces, ["eth0"]);
    let names: Vec<&str> = settings.paths.iter().map(|path| path.name.as_str()).collect();
    assert_eq!(names, ["serial", "lan"]);
    assert_eq!(settings.paths[0].device, PathDevice::Serial { device: "/dev/ttyS0".into(), baud: 19_200 });
    let (local, peer) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    assert_eq!(
        settings.paths[1].device,
        PathDevice::Lan { interface: "eth0".to_string(), local, peer, port: 694, is_crossover: false }
    );
    let policy = &settings.policy;
    assert_eq!(
        policy.paths.iter().map(|path| path.kind).collect::<Vec<_>>(),
        [crosswire::pair::PathKind::Serial, crosswire::pair::PathKind::Lan]
    );
    assert!(policy.paths.iter().all(|path| path.timing == crosswire::config::Speed::Normal.timing()));
    assert_eq!((policy.lease, policy.cold_start), (Span::from_s(3), Span::from_s(60)));
    assert_eq!(policy.in_jeopardy, crosswire::config::InJeopardy::Hold);
    assert_eq!(policy.groups[0].safety, crosswire::config::SafetyRule::Probe);
    assert_eq!((policy.groups[0].prefer, policy.groups[0].stop_timeout), (None, Span::ZERO));
}

#[test]
fn nodes_override_what_differs_on_their_box() {
    let text =
        GOOD.replace("lan = \"10.0.0.2\"", "lan = '10.0.0.2'\nserial = '/dev/ttyS1'\ninterface = 'eno1'");
    let settings = good_as(&text, "gw2");
    assert_eq!(settings.me, Side::B);
    assert_eq!(settings.paths[0].device, PathDevice::Serial { device: "/dev/ttyS1".into(), baud: 19_200 });
    let (local, peer) = ("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap());
    assert_eq!(
        settings.paths[1].device,
        PathDevice::Lan { interface: "eno1".to_string(), local, peer, port: 694, is_crossover: false }
    );
    assert_eq!(settings.interfaces, ["eno1"], "an address without an interface lives on the LAN of this box");
    assert_eq!(good_as(&text, "gw1").interfaces, ["eth0"]);
}

#[test]
fn nodes_can_speak_for_all_of_a_path() {
    let text = GOOD
        .replace("[serial]\ndevice = \"/dev/ttyS0\"\n[lan]\ninterface = \"eth0\"\n", "")
        .replace(
            "lan = \"10.0.0.1\"",
            "lan = '10.0.0.1'\ninterface = 'lan0'\nserial = ['/dev/ttyS0', '/dev/ttyS2']",
        )
        .replace(
            "lan = \"10.0.0.2\"",
            "lan = '10.0.0.2'\ninterface = 'lan1'\nserial = ['/dev/ttyS1', '/dev/ttyS3']",
        );
    let settings = good_as(&text, "gw2");
    let names: Vec<&str> = settings.paths.iter().map(|path| path.name.as_str()).collect();
    assert_eq!(names, ["serial", "serial2", "lan"]);
    assert_eq!(settings.paths[1].device, PathDevice::Serial { device: "/dev/ttyS3".into(), baud: 19_200 });
}

#[test]
fn paths_override_times_and_groups_come_in_the_order_of_their_names() {
    let text = GOOD.replace(
        "[group.gateway]",
        "interval = '100ms'\nlate_after = '300ms'\n[timing]\nlease = '5s'\n[quorum]\nin_jeopardy = \
            'takeover'\n\
         [group.z]\nprefer = 'gw2'\naddresses = ['fd00::1/64@eth1']\nscripts = ['lsb:b', \
         { run = 'ha:a::x', stop_timeout = '4s' }]\nstop_timeout = '1.5s'\n\
         [group.gateway]",
    );
    let settings = good_as(&text, "gw1");
    let ms = |span: Span| span.as_ms();
    let timing = settings.policy.paths[1].timing;
    assert_eq!([timing.interval, timing.late_after, timing.dead_after].map(ms), [100, 300, 1_500]);
    assert_eq!(ms(settings.policy.paths[0].timing.interval), 250);
    assert_eq!(settings.policy.lease, Span::from_s(5));
    assert_eq!(settings.policy.in_jeopardy, crosswire::config::InJeopardy::Takeover);
    let names: Vec<&str> = settings.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["gateway", "z"]);
    let z = settings.policy.groups[1];
    assert_eq!((z.prefer, z.safety), (Some(Side::B), crosswire::config::SafetyRule::Lease));
    assert_eq!(ms(z.stop_timeout), 1_500 + 4_000 + ms(INTERRUPT_GRACE), "a start is cut short first");
    let scripts = &settings.groups[1].scripts;
    let programs: Vec<_> = scripts.iter().flat_map(|script| &script.programs).collect();
    assert_eq!(programs, ["/etc/init.d/b", "/etc/ha.d/resource.d/a", "/etc/init.d/a"].map(Path::new));
    assert_eq!(scripts.iter().map(|script| ms(script.start_timeout)).collect::<Vec<_>>(), [60_000, 60_000]);
    assert_eq!(scripts[1].arguments, ["x"]);
    let each = 60_000 + 60_000 + 1_500 + 4_000 + 4 * ms(INTERRUPT_GRACE);
    assert_eq!(ms(settings.groups[1].longest_move()), 2 * each, "there and back again");
    assert_eq!(settings.groups[0].longest_move(), Span::ZERO);
    assert_eq!(settings.interfaces, ["eth0", "eth1"]);
}

#[test]
fn neighbours_are_witnesses_behind_a_switch_and_where_carrier_counts() {
    let counted = |text: &str| {
        let settings = good_as(text, "gw1");
        let paths: Vec<_> = settings.policy.paths.iter().map(|path| path.interface).collect();
        let groups: Vec<_> = settings.policy.groups.iter().map(|group| group.interfaces).collect();
        (settings.interfaces, paths, groups)
    };
    let eth0 = vec!["eth0".to_owned()];
    assert_eq!(counted(GOOD), (eth0.clone(), vec![None, Some(0)], vec![1]));
    let off = GOOD.replace("[group.gateway]", "[quorum]\nneighbours = false\n[group.gateway]");
    assert_eq!(counted(&off), (eth0, vec![None, None], vec![0]));
    let crossover = GOOD.replace("interface = \"eth0\"", "interface = \"eth0\"\nlink = 'crossover'").replace(
        "addresses = [",
        "addresses = [\"10.9.0.100/24@eth1\", { address = \"10.8.0.100/24@eth2\", carrier = 'ignore' }]\n#[",
    );
    let (interfaces, paths, groups) = counted(&crossover);
    assert_eq!(interfaces, ["eth1", "eth2", "eth0"]);
    assert_eq!((paths, groups), (vec![None, None], vec![1]));
    let digests = [GOOD, &off].map(|text| good_as(text, "gw1").policy.digest);
    assert_ne!(digests[0], digests[1], "both nodes have to agree");
}

#[test]
fn each_box_may_call_its_interfaces_as_it_likes() {
    let text = GOOD
        .replace(
            "lan = \"10.0.0.2\"",
            "lan = '10.0.0.2'\ninterface_names = { eth1 = 'enp2s0', eth2 = 'enp3s0' }",
        )
        .replace(
            "\"10.0.0.100/24\"",
            "\"10.0.0.100/24\", \
             { address = \"192.0.2.10/29@eth1\", carrier = \"ignore\", label = \"eth1:0\" }, \
             { address = \"10.8.0.1/32@tun0\", peer = \"10.8.0.2\" }",
        )
        .replace("[group.gateway]", "[group.gateway]\ntrack = ['eth2']\nroutes = ['default via 192.0.2.9']");
    for (node, own, tracked) in [("gw1", "eth1", "eth2"), ("gw2", "enp2s0", "enp3s0")] {
        let settings = good_as(&text, node);
        let group = &settings.groups[0];
        let [lan, dsl, tunnel] = &group.addresses[..] else { panic!("three addresses") };
        assert_eq!((lan.interface.as_str(), dsl.interface.as_str(), dsl.needs_carrier), ("eth0", own, false));
        assert_eq!(dsl.label, Some(format!("{own}:0")));
        assert_eq!(tunnel.peer, Some("10.8.0.2".parse().unwrap()));
        assert_eq!(group.watched().collect::<Vec<_>>(), ["eth0", "tun0", tracked]);
        assert_eq!(group.routes[0].interface, own);
        assert_eq!(settings.interfaces, ["eth0", own, "tun0", tracked]);
        let is_needed =
            |name: &str| settings.needs.iter().any(|need| need.what == needs::Thing::Interface(name.into()));
        assert!(is_needed(own) && is_needed(tracked) && (node == "gw1" || !is_needed("eth1")));
    }
    assert_eq!(good_as(&text, "gw1").policy.digest, good_as(&text, "gw2").policy.digest);
    let other = text.replace("carrier = \"ignore\", ", "");
    assert_ne!(good_as(&text, "gw1").policy.digest, good_as(&other, "gw1").policy.digest);
    let changes = differences(&good_as(&text, "gw1"), &good_as(&other, "gw1"));
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn what_an_address_cannot_have_is_refused() {
    for (more, said) in [
        ("label = 'eth0'", "cannot be the label of 10.0.0.100"),
        ("label = 'eth1:1'", "cannot be the label of 10.0.0.100"),
        ("label = 'eth0:a-long-label'", "cannot be the label of 10.0.0.100"),
        ("peer = 'fd00::2'", "cannot be the other end of 10.0.0.100"),
        ("peer = '10.0.0.100'", "cannot be the other end of 10.0.0.100"),
        ("carrier = 'no'", "use \"ignore\" or \"need\""),
        ("lable = 'eth0:1'", "did you mean \"label\"?"),
    ] {
        let text =
            GOOD.replace("\"10.0.0.100/24\"", &format!("{{ address = '10.0.0.100/24@eth0', {more} }}"));
        let lines = load_as(&text, &asked("gw1")).unwrap_err();
        assert!(lines.len() == 1 && lines[0].contains(said), "{more}: {lines:?}");
    }
    let twice =
        GOOD.replace("lan = \"10.0.0.2\"", "lan = '10.0.0.2'\ninterface_names = { eth1 = 'a', eth2 = 'a' }");
    assert!(load_as(&twice, &asked("gw1")).unwrap_err()[0].contains("two interfaces are \"a\" here"));
    let many: Vec<_> = (1..=65).map(|n| format!("'10.0.0.{n}/16@eth0'")).collect();
    let many = |count: usize| {
        GOOD.replace("\"10.0.0.100/24\"", &many[..count].join(", ")).replace("10.0.0", "10.0.1")
    };
    assert!(
        load_as(&many(65), &asked("gw1")).unwrap_err().iter().any(|line| line.contains("has 65 addresses"))
    );
}

#[test]
fn what_comes_before_the_addresses_stands_first_in_the_list_of_scripts() {
    let with = |keys: &str| GOOD.replace("[group.gateway]", &format!("[group.gateway]\n{keys}"));
    let settings =
        good_as(&with("before = ['lsb:a', 'exec:/b']\nscripts = ['lsb:c']\nstart_timeout = '3s'"), "gw1");
    let (before, scripts) = settings.groups[0].phases();
    let texts = |scripts: &[Script]| scripts.iter().map(|script| script.text.clone()).collect::<Vec<_>>();
    assert_eq!(
        (texts(before), texts(scripts)),
        (vec!["lsb:a".into(), "exec:/b".into()], vec!["lsb:c".into()])
    );
    let policy = settings.policy.groups[0];
    assert_eq!(
        (policy.before, policy.safety),
        (Span::from_s(10), SafetyRule::Lease),
        "two, each with its grace"
    );
    let same = good_as(&with("scripts = ['lsb:a', 'exec:/b', 'lsb:c']\nstart_timeout = '3s'"), "gw1");
    assert_ne!(same.policy.digest, settings.policy.digest, "both must agree on what comes first");
    let changes: Vec<_> = differences(&same, &settings).into_iter().map(|change| change.text).collect();
    assert!(
        changes.contains(&"group gateway: script lsb:a before any address is added".to_string()),
        "{changes:?}"
    );
    let twice = load_as(&with("before = ['lsb:a']\nscripts = ['lsb:a']"), &asked("gw1")).unwrap_err();
    assert!(twice.iter().any(|error| error.contains("already a script of group")), "{twice:?}");
    let many = with(&format!("before = [{}]\nscripts = ['lsb:z']", "'exec:/x', ".repeat(16)));
    assert!(load_as(&many, &asked("gw1")).unwrap_err().iter().any(|error| error.contains("17 scripts")));
}

#[test]
fn scripts_are_watched_as_their_group_says_or_as_they_say() {
    let text = GOOD.replace(
        "[group.gateway]",
        "[group.gateway]\nscripts = ['lsb:a', { run = 'lsb:b', monitor = '5s', failures = 1, restarts = 0 }, \
         { run = 'lsb:c', monitor = 'never' }]\nmonitor = '30s'\nmonitor_timeout = '2s'",
    );
    let settings = good_as(&text, "gw1");
    let plan = |s, failures, restarts| {
        let (every, timeout) = (Span::from_s(s), Span::from_s(2));
        Some(crate::settings::Monitor { every, timeout, failures, restarts })
    };
    let monitors: Vec<_> = settings.groups[0].scripts.iter().map(|script| script.monitor).collect();
    assert_eq!(monitors, [plan(30, 2, 3), plan(5, 1, 0), None]);
    assert_ne!(settings.policy.digest, good_as(&text.replace("'5s'", "'6s'"), "gw1").policy.digest);
    let unwatched = good_as(&text.replace("monitor = '30s'", ""), "gw1");
    assert_eq!(unwatched.groups[0].scripts[0].monitor, None);
}

#[test]
fn the_digest_is_over_what_both_must_agree_on() {
    let digest = |text: &str, node: &str| good_as(text, node).policy.digest;
    let base = digest(GOOD, "gw1");
    assert_eq!(base, digest(GOOD, "gw2"), "both nodes compute the same");
    // Made from the notes of the wire. Another value would keep two builds of a rolling upgrade from a
    // handover.
    assert_eq!(base, [0x7d, 0xcf, 0x84, 0x2f], "a file keeps its digest");
    let own = [
        ("device = \"/dev/ttyS0\"", "device = '/dev/ttyS9'"),
        ("pair", "key = '/k'\npair"),
        ("lan = \"10.0.0.2\"", "lan = '10.0.0.2'\nserial = '/dev/ttyS1'\ninterface = 'eno1'"),
        ("10.0.0.100/24", "10.0.0.100/24@eth7"),
        ("pair", "# a remark\npair"),
        ("[lan]", "[lan]\nlink = 'switched'"),
    ];
    for (from, to) in own {
        assert_eq!(digest(&GOOD.replacen(from, to, 1), "gw1"), base, "{to}");
    }
    let shared = [
        ("gateway", "other"),
        ("10.0.0.2", "10.0.0.3"),
        ("gw2", "gw3"),
        ("pair", "speed = 'gentle'\npair"),
        ("[lan]", "baud = 38400\n[lan]"),
        ("[lan]", "[lan]\nport = 695"),
        ("[lan]", "[lan]\nlink = 'crossover'"),
        ("[lan]", "[lan]\ndead_after = '2s'"),
        ("[lan]", "[timing]\nlease = '4s'\n[lan]"),
        ("[lan]", "[timing]\ncold_start = '61s'\n[lan]"),
        ("[lan]", "[quorum]\nin_jeopardy = 'takeover'\n[lan]"),
        ("[group.gateway]", "[group.x]"),
        ("[group.gateway]", "[group.gateway]\nprefer = 'gw2'"),
        ("[group.gateway]", "[group.gateway]\nsafety = 'lease'"),
        ("[group.gateway]", "[group.gateway]\nprefer = 'gw2'\nfailback = '10m'"),
        ("[group.gateway]", "[group.gateway]\nscripts = ['lsb:x']\nsafety = 'probe'"),
        ("10.0.0.100/24", "10.0.0.101/24"),
        ("10.0.0.100/24", "10.0.0.100/25"),
    ];
    for (from, to) in shared {
        let text = GOOD.replacen("10.0.0.100/24", "10.0.0.100/24@eth1", 1).replacen(from, to, 1);
        assert_ne!(digest(&text, "gw1"), base, "{to}");
    }
}

#[test]
fn following_a_remedy_mends_the_file() {
    let margin = |dead| {
        GOOD.replace("[serial]", &format!("[timing]\nlate_after = '1s'\ndead_after = '{dead}'\n[serial]"))
    };
    assert!(load_as(&margin("1308ms"), &asked("gw1")).is_err());
    good_as(&margin("1309 ms"), "gw1");
    let line = |rate| GOOD.replace("[lan]", &format!("late_after = '300ms'\n{rate}\n[lan]"));
    assert!(load_as(&line("baud = 9600\ninterval = '130ms'"), &asked("gw1")).is_err());
    good_as(&line("baud = 9600\ninterval = '140 ms'"), "gw1");
    good_as(&line("baud = 19200\ninterval = '130ms'"), "gw1");
}

#[test]
fn what_this_box_lacks_is_said_but_is_no_error() {
    let pty = nix::pty::openpty(None, None).expect("a pty");
    let tty = nix::unistd::ttyname(&pty.slave).expect("its name");
    let text = GOOD
        .replace("/dev/ttyS0", &tty.display().to_string())
        .replace("\"eth0\"", "\"lo\"")
        .replace("\"10.0.0.1\"", "\"192.0.2.1\"")
        .replace("10.0.0.100/24\"]", "10.0.0.100/24@no-such-if0\"]\nscripts = ['lsb:no-such-script']");
    let settings = good_as(&text, "gw1");
    let lacks: Vec<String> = settings.absent().iter().map(ToString::to_string).collect();
    let expected = [
        "f:3:7: there is no address 192.0.2.1 on this box; \
         see `ip address`, and correct lan of this node, or give the address to its interface",
        "f:11:14: there is no interface \"no-such-if0\" on this box; \
         see `ip link` for those that there are, and correct the name",
        "f:12:12: there is no script \"/etc/init.d/no-such-script\" on this box (No such file or directory \
            (os error 2)); \
         install the service, or correct the name",
    ];
    assert_eq!(lacks, expected);

    let lacks = |device: &str| {
        let text = GOOD.replace("/dev/ttyS0", device).replace("\"eth0\"", "\"lo\"");
        let settings = good_as(&text.replace("10.0.0.1\"", "127.0.0.1\""), "gw1");
        settings.absent().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(lacks("/dev"), ["f:7:10: /dev is not a serial port; set `device` to a tty"]);
    let line = "f:7:10: there is no serial port \"/dev/no-such-tty\" on this box (No such file or directory \
        (os error 2)); \
                plug it in, or set serial in the node's table if it differs here";
    assert_eq!(lacks("/dev/no-such-tty"), [line]);
}
