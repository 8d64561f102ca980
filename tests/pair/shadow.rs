//! A shadow pair: it decides beside a cluster that serves, says what it would do, and touches nothing.
//!
//! Debian's keepalived is needed; `.ci/run machine` installs it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use crosswire::pair::Side;
use crosswire::time::Span;

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::executable::write_executable;
use crate::lab::setup::{GROUP, PREFIX, Setup, VIP};
use crate::lab::testing::{self, has_tools};
use crate::scene::{PATIENCE, Scene, at_most, unwrapped};

pub const KEEPALIVED: &str = "/usr/sbin/keepalived";
/// In the group of the shadow alone: whoever sees it on a box has caught the shadow acting.
const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 101));
const BOTH: [Side; 2] = [Side::A, Side::B];

/// A pair whose script and notified program write to `acted`, should anybody ever run them.
fn setup(directory: &Path) -> Setup {
    let acts = directory.join("acts");
    write_executable(&acts, &format!("#!/bin/sh\necho \"$@\" >>{}\n", directory.join("acted").display()));
    Setup {
        prefer: Some(Side::A),
        addresses: [VIP, OWN].map(|ip| format!("{ip}/{PREFIX}@eth0")).into(),
        scripts: vec![format!("exec:{}", acts.display())],
        more: "safety = \"probe\"".to_owned(),
        top: format!("shadow = true\nnotify = \"{}\"\n", acts.display()),
        ..Setup::default()
    }
}

/// Starts keepalived on a node, with adverts so often in seconds, to serve the address if its priority is the
/// highest that is heard.
pub fn start_keepalived(scene: &Scene, side: Side, advert_int: &str) {
    let directory = scene.directory(side);
    let priority = if side == Side::A { 150 } else { 100 };
    let text = format!(
        "global_defs {{\n vrrp_version 3\n}}\nvrrp_instance lab {{\n state BACKUP\n interface eth0\n \
         virtual_router_id 77\n priority {priority}\n advert_int {advert_int}\n \
         virtual_ipaddress {{\n {VIP}/{PREFIX} dev eth0\n }}\n}}\n"
    );
    let file = directory.join("keepalived.conf");
    fs::write(&file, text).expect("a configuration");
    let mut command = Command::new(KEEPALIVED);
    command.args(["--dont-fork", "--vrrp", "--no-syslog", "--use-file"]).arg(&file);
    command.arg("--pid").arg(directory.join("keepalived.pid"));
    command.arg("--vrrp_pid").arg(directory.join("vrrp.pid"));
    scene.namespace(side).command_in(&mut command).expect("the node's namespace");
    // The kernel kills it with the laboratory.
    drop(scene.spawn(command).expect("keepalived starts"));
}

/// Whether secondary addresses outlive the first one of their network.
fn promotes(scene: &Scene, side: Side) -> String {
    let file = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
    let read = || fs::read_to_string(file).expect("the kernel's setting");
    scene.namespace(side).run_in(read).expect("the node's namespace")
}

/// The first line of a screen, whole.
fn first(scene: &Scene, side: Side, command: &str) -> (Option<i32>, String) {
    let said = scene.say(side, &[command]);
    let first = said.text.split("\npair lab").next().unwrap_or_default().split("\n\n").next();
    (said.code, unwrapped(first.unwrap_or_default()))
}

fn expect_line(scene: &Scene, side: Side, line: &str) {
    let wanted = (Some(4), line.to_owned());
    let shown = || first(scene, side, "status");
    let is_shown = |_: &Scene| shown() == wanted;
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        scene.expect_soon(line, PATIENCE, is_shown);
    }));
    assert!(told.is_ok(), "{:?} instead of {wanted:?}", shown());
}

/// Fault: keepalived serves on both boxes, and the box of its master loses power.
/// Required: keepalived moves the address; the shadow says when it would have taken over and why, ends
/// `status` with 4, and has touched nothing: no address, no script, no program, no setting of the kernel.
#[test]
fn a_shadow_beside_keepalived_says_what_it_would_do_and_does_nothing() {
    if !has_tools(&[KEEPALIVED]) {
        return;
    }
    testing::in_fair_lab(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let mut scene = Scene::new(setup(directory.path())).may_split();
        // So that an announcement of anybody's is seen.
        let listen = || fs::write("/proc/sys/net/ipv4/conf/eth0/arp_accept", "1");
        scene.client().run_in(listen).expect("the client's namespace").expect("it takes announcements");
        BOTH.into_iter().for_each(|side| start_keepalived(&scene, side, "0.2"));
        scene.wait_for(Wanted::Only(Side::A), PATIENCE).expect("its master serves");
        let before = BOTH.map(|side| promotes(&scene, side));
        // What a run left that served before keepalived came.
        let marker = scene.directory(Side::A).join("run/started");
        fs::write(&marker, "of a run before\n").expect("a marker");
        BOTH.into_iter().for_each(|side| scene.begin(side));
        let well = "SHADOW: decides and does nothing; gw1 would serve gateway; gw2 could take over";
        BOTH.into_iter().for_each(|side| expect_line(&scene, side, well));
        let cut_at = scene.power_cut(Side::A).expect("its processes die");
        let (_, served_at) = scene.wait_for_service_by(Side::B);
        let line = "SHADOW: decides and does nothing; gw2 would serve gateway; gw1 is off, hangs or is cut \
            off: nobody could take over";
        expect_line(&scene, Side::B, line);
        let (_, why) = first(&scene, Side::B, "why");
        let took = "SHADOW, nothing of it was done: gw2 would have taken gateway: gw1 is off or hangs: every \
            path that testifies is silent (";
        assert!(why.starts_with(took), "{why}");
        let screen = unwrapped(&scene.say(Side::B, &["why"]).text);
        for step in
            ["group gateway: would take it as term 2", "/acts would start", "would be active (was acquiring)"]
        {
            assert!(screen.contains(step), "{step}: {screen}");
        }
        assert_decided_in_time(&scene, cut_at);
        println!("keepalived served after {}", served_at.since(cut_at));
        assert_untouched(&scene, directory.path(), &before);
        assert_eq!(fs::read_to_string(&marker).expect("it is still there"), "of a run before\n");
        // An address that leaves the file would leave the kernel of a node that serves.
        scene.rewrite(Side::B, &format!("\"{VIP}/{PREFIX}@eth0\", "), "");
        let reload = scene.say(Side::B, &["reload"]);
        assert!(reload.code == Some(0) && reload.text.contains(&VIP.to_string()), "{reload:?}");
        scene.stop(Side::B, PATIENCE).expect("it ends");
        assert_untouched(&scene, directory.path(), &before);
    });
}

/// The daemon decided as a pair that serves would have.
fn assert_decided_in_time(scene: &Scene, cut_at: crosswire::time::Instant) {
    let said = scene.say(Side::B, &["why", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&said.text).expect("JSON");
    let entries = told["entries"].as_array().or(told["records"].as_array()).expect("entries");
    let taken = entries
        .iter()
        .rev()
        .find(|entry| entry["text"].as_str().is_some_and(|text| text.contains("would take")));
    let age_ms = taken.and_then(|entry| entry["age_ms"].as_u64()).expect("its age");
    let after = now().since(cut_at).as_ms().saturating_sub(age_ms);
    println!("the shadow would have taken over after {after} ms");
    assert!(Span::from_ms(after) <= at_most(550), "decided after {after} ms");
}

fn assert_untouched(scene: &Scene, directory: &Path, before: &[String; 2]) {
    let own = scene.log().holds(OWN).expect("the observer lost nothing");
    assert!(own.is_empty(), "the shadow has added {OWN}: {own:?}");
    let sides: Vec<Side> = scene.holds().iter().map(|hold| hold.side).collect();
    assert_eq!(sides, BOTH, "keepalived's own moves and no other: {:?}", scene.holds());
    let neighbours = scene.client().run_in(|| fs::read_to_string("/proc/thread-self/net/arp"));
    let neighbours = neighbours.expect("the client's namespace").expect("what it has heard");
    assert!(neighbours.contains(&VIP.to_string()), "keepalived announces: {neighbours}");
    assert!(!neighbours.contains(&OWN.to_string()), "the shadow has announced: {neighbours}");
    assert!(!directory.join("acted").exists(), "a script or a program was run");
    assert_eq!(&BOTH.map(|side| promotes(scene, side)), before);
    for side in BOTH {
        let text = scene.log_of(side);
        let touched = ["addresses gone", "left over from", "held by nobody", "promote_secondaries", "armed"];
        assert!(touched.iter().all(|what| !text.contains(what)), "{text}");
    }
}

/// Fault: one file says shadow, the other does not; then neither does.
/// Required: the node that serves neither hears nor misses the shadow; the shadow sees that somebody has the
/// address. Live, they are a pair.
#[test]
fn a_node_that_serves_knows_nothing_of_a_shadow() {
    testing::in_fair_lab(|| {
        let top = "shadow = true\n".to_owned();
        let mut scene = Scene::new(Setup { cold_start_ms: Some(1_500), top, ..Setup::default() });
        scene.rewrite(Side::B, "shadow = true\n", "");
        scene.begin(Side::B);
        scene.expect_service_by(Side::B);
        scene.begin(Side::A);
        let told = |side| unwrapped(&scene.say(side, &["status", "-v"]).text);
        scene.expect_soon("a shadow that has looked", PATIENCE, |_| {
            told(Side::A).contains("answers for an address")
        });
        assert!(told(Side::B).contains("gw1 has not been heard since the start"), "{}", told(Side::B));
        assert!(!told(Side::B).contains("refused"), "not one frame: {}", told(Side::B));
        assert_eq!(scene.status(Side::A)["shadow"], true);
        assert_eq!(scene.status(Side::A)["paths"].as_array().map(Vec::len), Some(1), "the LAN alone");
        let refused = scene.say(Side::A, &["drill", GROUP, "--yes"]);
        assert!(refused.code == Some(1) && refused.text.contains("SHADOW"), "{refused:?}");
        scene.rewrite(Side::A, "shadow = true\n", "");
        let reload = scene.say(Side::A, &["reload"]);
        assert!(reload.text.contains("shadow was true, is false: this needs a restart"), "{reload:?}");
        scene.stop(Side::A, PATIENCE).expect("it ends");
        scene.begin(Side::A);
        scene.settle(Side::B);
        scene.assert_never_both();
        assert!(scene.holds().iter().all(|hold| hold.side == Side::B), "{:?}", scene.holds());
    });
}
