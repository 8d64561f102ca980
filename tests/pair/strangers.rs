//! Rows 11, 12 and 14: what arrives is not what the peer says now.

use std::thread;

use crosswire::frame::delimit::wrap;
use crosswire::frame::message::{Beat, Incarnation, Message, SessionValue};
use crosswire::frame::seal::{Header, pair_id, seal};
use crosswire::frame::{Key, Keyring, Version};
use crosswire::pair::{PathId, Side};

use crate::lab::address_log::Wanted;
use crate::lab::clock::{now, span};
use crate::lab::dice::Dice;
use crate::lab::setup::{GROUP, Setup};
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms, unwrapped};

const BOTH: [Side; 2] = [Side::A, Side::B];
const CABLE: usize = 0;
/// What a kernel and a getty say to a serial console.
const CONSOLE: &[u8] =
    b"\r\n[   12.345678] e1000: eth0: link is down\r\nDebian GNU/Linux 12 gw1 ttyS0\r\n\r\ngw1 login: ";
/// Another secret than that of [`Setup::default`].
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100";

/// Lets a byte stream in on both ends of the cable for a while.
fn flood(scene: &Scene, for_ms: u64, mut bytes: impl FnMut() -> Vec<u8>) {
    let until = now() + span(ms(for_ms));
    while now() < until {
        for side in BOTH {
            scene.cable().inject(side, &bytes()).expect("the port takes bytes");
        }
        thread::sleep(ms(4));
    }
}

fn refused(scene: &Scene, side: Side, kind: &str) -> u64 {
    let status = scene.try_status(side);
    status
        .map_or(0, |status| status["paths"][CABLE]["refused"][kind].as_u64().expect("a counter of that name"))
}

/// Fault: noise, console text and NULs on the cable, 1 s each, twice as fast as the line could carry beats
/// between them. Required: no move, no crash; counted; the path is back two intervals after it ends.
#[test]
fn row_11_noise_on_the_cable() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        let mut dice = Dice::new(11);
        let noise = move || [dice.roll(), dice.roll()].iter().flat_map(|roll| roll.to_le_bytes()).collect();
        flood(&scene, 1_000, noise);
        flood(&scene, 1_000, || CONSOLE.to_vec());
        flood(&scene, 1_000, || vec![0; 64]);
        let ended = now();
        for side in BOTH {
            let back =
                scene.expect_soon("the cable", PATIENCE, |scene| scene.path_state(side, CABLE) == "on time");
            println!("row 11: {side:?} hears its peer {} after the noise", back.since(ended));
            assert!(back.since(ended) <= at_most(200), "the cable took {}", back.since(ended));
            assert!(refused(&scene, side, "noise") + refused(&scene, side, "bad_CRC") > 0, "counted");
        }
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Fault: the cable is pulled from the peer and plugged into somebody's console. Required: its silence proves
/// nothing: noisy, jeopardy, no move. When the peer then loses its power, `hold` holds.
#[test]
fn row_11_console_instead_of_the_peer() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        scene.cable().cut();
        flood(&scene, 1_000, || CONSOLE.to_vec());
        assert_eq!(scene.path_state(Side::B, CABLE), "noisy");
        assert!(scene.is_in_jeopardy(Side::B));
        scene.power_cut(Side::A).expect("its processes die");
        flood(&scene, 1_500, || CONSOLE.to_vec());
        let status = scene.status(Side::B);
        assert_eq!(
            (&status["verdict"], &status["groups"][0]["role"]),
            (&"doubtful".into(), &"backup".into())
        );
        scene.assert_never_both();
    });
}

/// Fault: a loopback plug: everything that the active node sends comes back to it.
/// Required: no move; said as what it is, neither noise nor a stranger.
#[test]
fn row_11_own_echo() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let start = now();
        scene.cable().cut();
        let mut returned = scene.cable().recorded(Side::A).len();
        let until = start + span(ms(1_500));
        while now() < until {
            let sent = scene.cable().recorded(Side::A);
            scene.cable().inject(Side::A, &sent[returned.min(sent.len())..]).expect("the port takes bytes");
            returned = sent.len();
            thread::sleep(ms(2));
        }
        let status = scene.status(Side::A);
        assert_eq!(status["paths"][CABLE]["looped"], true, "{status}");
        assert_eq!(status["paths"][CABLE]["state"], "broken", "neither noisy nor refused: {status}");
        assert!(refused(&scene, Side::A, "own_echo") > 5);
        assert!(scene.say(Side::A, &["status"]).text.contains("our own frames come back: a loopback plug"));
        scene.heal().expect("mended");
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Both nodes say on their own what keeps them apart, to who reads the log and to who asks for the status.
fn assert_both_say(scene: &Scene, what: &str, counter: &str) {
    for side in BOTH {
        scene.expect_soon("the counter", PATIENCE, |scene| refused(scene, side, counter) > 0);
        let advice = |text: &str| text.contains(what);
        scene.expect_soon("a line in the log", PATIENCE, |scene| advice(&scene.log_of(side)));
        // Once the peer of before is heard no more.
        scene.expect_soon("the same in the status", PATIENCE, |scene| {
            advice(&unwrapped(&scene.say(side, &["status"]).text))
        });
    }
}

/// Starts `first`, lets it serve alone, then starts the other one, which it does not understand. The first
/// serves on undisturbed, and both say why they do not understand each other.
fn runs_on_beside_a_stranger(first: Side, mut scene: Scene, what: &str, counter: &str) {
    scene.begin(first);
    let (_, served) = scene.wait_for_service_by(first);
    scene.begin(first.peer());
    assert_both_say(&scene, what, counter);
    thread::sleep(ms(2_000));
    scene.assert_nothing_moved(first, served);
    let said = scene.say(first.peer(), &["status"]).text;
    assert!(said.contains("not taking it: somebody on the cable is not understood"), "{said}");
}

fn quick_with_keys(keys: [&str; 2]) -> Setup {
    Setup { cold_start_ms: Some(1_000), keys: keys.map(Into::into), ..Setup::default() }
}

fn with_other_keys() -> Scene {
    let ours = &Setup::default().keys[0];
    Scene::new(quick_with_keys([ours, OTHER_KEY]))
}

const KEYS_DIFFER: &str = "another key: the two nodes' keys differ; copy ";

/// Fault: the two nodes have different keys; gw1 serves when gw2 starts.
/// Required: never both; gw1 keeps serving; plain words on both.
#[test]
fn row_12_other_key_joins_gw1() {
    testing::in_fair_lab(|| runs_on_beside_a_stranger(Side::A, with_other_keys(), KEYS_DIFFER, "wrong_key"));
}

/// Fault: the two nodes have different keys; gw2 serves when gw1 starts.
/// Required: never both; gw2 keeps serving; plain words on both.
#[test]
fn row_12_other_key_joins_gw2() {
    testing::in_fair_lab(|| runs_on_beside_a_stranger(Side::B, with_other_keys(), KEYS_DIFFER, "wrong_key"));
}

/// Fault: the two nodes have different keys and start at once. Required: never both: neither starts to serve,
/// and both say why; when one of them is stopped, the other one serves.
#[test]
fn row_12_other_keys_start_at_once() {
    testing::in_fair_lab(|| {
        let mut scene = with_other_keys();
        scene.begin(Side::A);
        scene.begin(Side::B);
        assert_both_say(&scene, KEYS_DIFFER, "wrong_key");
        thread::sleep(ms(2_000));
        scene.wait_for(Wanted::Nobody, ms(10)).expect("neither serves");
        assert_eq!(scene.stop(Side::A, PATIENCE).expect("it ends").code(), Some(0));
        scene.wait_for_service_by(Side::B);
        assert_eq!(scene.holds().len(), 1, "{:?}", scene.holds());
    });
}

/// Fault: the key of the standby is exchanged while the pair runs, and its daemon restarted.
/// Required: the active node keeps serving; plain words on both.
#[test]
fn row_12_key_exchanged_on_the_standby_only() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let start = now();
        scene.kill(Side::B).expect("both die");
        scene.reconfigure(Side::B, |setup| setup.keys[1] = OTHER_KEY.into()).expect("written");
        scene.begin(Side::B);
        assert_both_say(&scene, KEYS_DIFFER, "wrong_key");
        thread::sleep(ms(2_000));
        scene.assert_nothing_moved(Side::A, start);
    });
}

/// Fault: the two nodes belong to different pairs.
/// Required: never both; the running one keeps serving; plain words on both.
#[test]
fn row_12_other_pair() {
    testing::in_fair_lab(|| {
        let key = &Setup::default().keys[0];
        let scene = Scene::new(quick_with_keys([key, key]));
        scene.rewrite(Side::B, "pair = \"lab\"", "pair = \"barn\"");
        let what = "a frame of another pair: check where the cable goes, and `pair` in both configurations";
        runs_on_beside_a_stranger(Side::A, scene, what, "other_pair");
    });
}

/// Fault: the two nodes' configurations differ in what both must agree on. Required: the peer is heard, the
/// difference is named on both sides, and `handover` is refused with the reason; a takeover from a dead peer
/// is not.
#[test]
fn row_12_other_configuration() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving_with_two_files();
        let start = now();
        for side in BOTH {
            assert_eq!(scene.status(side)["configurations_differ"], true, "{side:?}");
            let said = unwrapped(&scene.say(side, &["status"]).text);
            assert!(said.contains("the CONFIGURATIONS DIFFER: compare "), "{side:?}: {said}");
            let log = scene.log_of(side);
            assert!(
                log.contains("runs with another configuration: compare the two files"),
                "{side:?}: {log}"
            );
        }
        let expected =
            "refused: group gateway: the configurations of the two nodes differ: make them the same first\n";
        for (side, command) in [(Side::A, "handover"), (Side::B, "takeover")] {
            let said = scene.say(side, &[command, GROUP]);
            assert_eq!((said.code, said.text.as_str()), (Some(1), expected), "{command}");
        }
        scene.assert_nothing_moved(Side::A, start);
        let cut = scene.power_cut(Side::A).expect("its processes die");
        scene.wait_for_service_by(Side::B);
        scene.assert_outage_below(at_most(550), cut);
        scene.assert_never_both();
    });
}

/// Fault: everything that the active node has sent over the cable is played to the standby again, while it
/// runs; then on and on after the active node lost its power, and after the standby was restarted. Required:
/// refused and counted; no move while it runs, takeover on time, and service after cold_start.
#[test]
fn row_14_recorded_frames_replayed() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving_with(Setup { cold_start_ms: Some(1_500), ..Setup::default() });
        let start = now();
        let recorded = scene.cable().recorded(Side::A);
        let replay = |scene: &Scene, for_ms: u64| {
            let until = now() + span(ms(for_ms));
            for part in recorded.chunks(256).cycle().take_while(|_| now() < until) {
                scene.cable().inject(Side::B, part).expect("the port takes bytes");
                thread::sleep(ms(10));
            }
        };
        replay(&scene, 1_000);
        assert!(refused(&scene, Side::B, "repeated") > 0, "counted: {}", scene.status(Side::B));
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, start);

        let cut = scene.power_cut(Side::A).expect("its processes die");
        replay(&scene, 1_000);
        scene.wait_for_service_by(Side::B);
        let outage = scene.assert_outage_below(at_most(550), cut);
        println!("row 14: outage under replay {outage}");

        scene.stop(Side::B, PATIENCE).expect("it ends");
        scene.begin(Side::B);
        replay(&scene, 2_500);
        scene.wait_for_service_by(Side::B);
        let status = scene.status(Side::B);
        assert!(status["peer"].is_null(), "a recording is no peer: {status}");
        assert!(refused(&scene, Side::B, "stale_session") > 0, "counted: {status}");
        scene.assert_never_both();
    });
}

/// Fault: the cable leads to a node of another pair, which has the same name and another key; the peer is
/// heard on the LAN. Required: `status` says that it is somebody else at the end of the cable, and does not
/// send for the key.
#[test]
fn row_12_the_cable_of_another_pair_is_known_by_the_peer_on_the_lan() {
    testing::in_lab(|| {
        let scene = Scene::serving();
        scene.cable().cut();
        let header = Header {
            version: Version::NEWEST,
            pair: pair_id("lab"),
            sender: Side::B,
            path: PathId(0),
            incarnation: Incarnation([7; 8]),
            echo: SessionValue::NONE,
            number: 1,
        };
        let keys = Keyring::new("lab", &[Key { id: 1, bytes: [0x77; 16].into_iter().collect() }]);
        let body = seal(&header, &Message::Beat(Beat::largest(1, 1, 1)), &keys);
        let frame = wrap(&body);
        scene.expect_soon("what is known", PATIENCE, |scene| {
            scene.cable().inject(Side::A, &frame).expect("the port takes bytes");
            thread::sleep(ms(50));
            let said = unwrapped(&scene.say(Side::A, &["status"]).text);
            said.contains("gw2 is heard elsewhere, so this is somebody else: check where the cable goes")
                && !said.contains("copy ")
        });
        let log = scene.log_of(Side::A);
        assert!(log.contains("unless another pair of the same name is at that end"), "{log}");
    });
}
