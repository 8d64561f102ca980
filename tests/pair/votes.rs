//! A voting witness on a third box, here the client's: one node of two is granted the right to serve alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use crosswire::time::Span;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::setup::{CLIENT, Setup};
use crate::lab::switch::PortRules;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, run};

const BINARY: &str = env!("CARGO_BIN_EXE_crosswire");
/// A witness that was just started grants nothing for 32.8 s.
const GRANTS_WITHIN: Duration = Duration::from_secs(60);

/// A pair that is served by gw1, and a witness on which both nodes count.
pub struct Voted {
    /// The pair.
    pub scene: Scene,
    witness: Child,
}

impl Voted {
    /// Serving, and counting on the witness.
    pub fn new(setup: Setup) -> Self {
        let quorum = format!("{}witness = [\"vote:{CLIENT}\"]\n", setup.quorum);
        let scene = Scene::new(Setup { quorum, ..setup });
        let witness = start_witness(&scene);
        let mut voted = Self { scene, witness };
        voted.scene.begin(Side::A);
        voted.scene.begin(Side::B);
        voted.scene.settle(Side::A);
        voted.wait_until_it_counts();
        voted
    }

    fn wait_until_it_counts(&self) {
        for side in [Side::A, Side::B] {
            self.scene.expect_soon("a witness that counts", GRANTS_WITHIN, |scene| {
                scene.say(side, &["status"]).text.contains("both nodes count on it")
            });
        }
    }

    /// The witness dies, if it has not.
    pub fn end_witness(&mut self) {
        let _ = self.witness.kill();
        let _ = self.witness.wait();
    }

    /// All is well again.
    pub fn mend(&self) {
        self.scene.heal().expect("healed");
    }
}

impl Drop for Voted {
    fn drop(&mut self) {
        self.end_witness();
    }
}

/// Starts the witness in the client's namespace, with a key that is made on gw1.
fn start_witness(scene: &Scene) -> Child {
    let directory = scene.directory(Side::A).with_file_name("witness");
    let keys = directory.join("keys");
    fs::create_dir_all(&keys).expect("a directory");
    fs::set_permissions(&keys, Permissions::from_mode(0o700)).expect("its mode");
    let file = keys.join("lab");
    if !file.exists() {
        let mut keygen = Command::new(BINARY);
        let config = scene.directory(Side::A).join("crosswire.toml");
        keygen.arg("keygen").arg("--witness").arg(&file).arg("--config").arg(config);
        let said = run(keygen);
        assert_eq!(said.code, Some(0), "{}", said.text);
    }
    let mut command = Command::new(BINARY);
    command.arg("witness").arg("--foreground").arg("--keys").arg(&keys);
    command.arg("--run-dir").arg(directory.join("run"));
    scene.client().command_in(&mut command).expect("in the client's namespace");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    scene.spawn(command).expect("it starts")
}

/// Fault: both paths cut, both sides have neighbours, both reach the voting witness.
/// Required: exactly the active node serves on; overlap 0; the other one names the witness as its reason.
#[test]
fn row_29_both_paths_cut_and_both_reach_the_voting_witness() {
    testing::in_fair_lab(|| {
        let voted = Voted::new(Setup::default());
        let scene = &voted.scene;
        let since = voted.scene.part();
        thread::sleep(Duration::from_secs(5));
        scene.assert_nothing_moved(Side::A, since);
        let why = scene.say(Side::B, &["why"]).text;
        assert!(why.contains("the voting witness keeps it for gw1"), "{why}");
        let status = scene.say(Side::A, &["status"]).text;
        assert!(status.contains("gateway granted to this node"), "{status}");
        voted.mend();
        scene.settle(Side::A);
        scene.assert_never_both();
        voted.wait_until_it_counts();
    });
}

/// Fault: both paths cut, and the active node does not reach the witness either. Its own half of the LAN has
/// neighbours no more than the witness has: the node is alone.
/// Required: the other node serves; overlap 0; the first one lets go by its deadline and says why.
#[test]
fn row_29_both_paths_cut_and_only_the_backup_reaches_the_voting_witness() {
    testing::in_fair_lab(|| {
        let quorum = "neighbours = false\n".to_owned();
        let voted = Voted::new(Setup { quorum, ..Setup::default() });
        let scene = &voted.scene;
        let since = now();
        scene.set_lan(Side::A, PortRules::silent());
        scene.cable().cut();
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 serves");
        let outage = scene.assert_outage_below(at_most(700), since);
        println!("row 29: outage {outage}");
        thread::sleep(Duration::from_secs(3));
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).expect("gw2 goes on");
        scene.assert_never_both();
        assert!(
            scene.log_of(Side::A).contains("the voting witness does not grant it"),
            "{}",
            scene.log_of(Side::A)
        );
        voted.mend();
        scene.settle(Side::B);
        scene.assert_never_both();
    });
}

/// Fault: both paths cut, and only the active node reaches the witness.
/// Required: nothing moves.
#[test]
fn row_29_both_paths_cut_and_only_the_active_reaches_the_voting_witness() {
    testing::in_fair_lab(|| {
        let quorum = "neighbours = false\n".to_owned();
        let voted = Voted::new(Setup { quorum, ..Setup::default() });
        let scene = &voted.scene;
        let since = now();
        scene.set_lan(Side::B, PortRules::silent());
        scene.cable().cut();
        thread::sleep(Duration::from_secs(5));
        scene.assert_nothing_moved(Side::A, since);
        let why = scene.say(Side::B, &["why"]).text;
        assert!(why.contains("the voting witness has not granted it"), "{why}");
        scene.assert_never_both();
    });
}

/// Fault: the cable has been dead for a while, then the active loses power.
/// Required: taken over at dead_after and one round trip.
#[test]
fn row_30_dead_cable_then_power_cut_with_a_voting_witness() {
    testing::in_fair_lab(|| {
        let mut voted = Voted::new(Setup::default());
        voted.scene.cable().cut();
        thread::sleep(Duration::from_secs(3));
        let status = voted.scene.say(Side::B, &["status"]).text;
        assert!(status.contains("gw1       gw2 serves within"), "{status}");
        let cut = voted.scene.power_cut(Side::A).expect("its processes die");
        voted.scene.wait_for_service_by(Side::B);
        let outage = voted.scene.assert_outage_below(at_most(600), cut);
        println!("row 30: outage {outage}");
        voted.scene.assert_never_both();
    });
}

/// Fault: both paths cut, then the witness is killed and started anew, three times; then the agent of the
/// holder is killed. Or the agent first: the witness is away meanwhile, and comes back to another one.
/// Required: nothing moves, and no address is gone for an instant.
#[test]
fn a_holder_outlives_the_restarts_of_the_voting_witness_and_its_own_agent() {
    testing::in_fair_lab(|| {
        let mut voted = Voted::new(Setup::default());
        let since = voted.scene.part();
        thread::sleep(Duration::from_secs(2));
        for _ in 0..3 {
            voted.end_witness();
            voted.witness = start_witness(&voted.scene);
            thread::sleep(Duration::from_secs(3));
        }
        let agent = voted.scene.agent(Side::A).expect("an agent");
        kill(Pid::from_raw(agent.as_raw()), Signal::SIGKILL).expect("killed");
        thread::sleep(Duration::from_secs(4));
        voted.scene.assert_nothing_moved(Side::A, since);
        voted.scene.assert_never_both();
    });
    testing::in_fair_lab(|| {
        let mut voted = Voted::new(Setup::default());
        // The peer is quiet for so long that the grant stands: the holder serves on without the witness.
        voted.scene.power_cut(Side::B).expect("its processes die");
        let since = voted.scene.part();
        thread::sleep(Duration::from_secs(20));
        voted.end_witness();
        thread::sleep(Duration::from_secs(2));
        let agent = voted.scene.agent(Side::A).expect("an agent");
        kill(Pid::from_raw(agent.as_raw()), Signal::SIGKILL).expect("killed");
        thread::sleep(Duration::from_secs(2));
        voted.witness = start_witness(&voted.scene);
        thread::sleep(Duration::from_secs(4));
        voted.scene.assert_nothing_moved(Side::A, since);
        voted.scene.assert_never_both();
    });
}

/// Fault: both paths are cut, and the active node keeps two groups by its grants. Then it loses carrier where
/// one of them has its address. Required: the other node serves that one once the first must have let go, and
/// the first goes on with the other; overlap 0.
#[test]
fn a_group_that_its_holder_cannot_serve_moves_behind_a_cut() {
    testing::in_fair_lab(|| {
        let more = "[group.other]\nprefer = \"gw1\"\naddresses = [\"10.78.0.100/24@eth1\"]".to_owned();
        let setup = Setup { prefer: Some(Side::A), second_lan: true, more, ..Setup::default() };
        let voted = Voted::new(setup);
        let scene = &voted.scene;
        let does_serve_other = |side: Side| scene.status(side)["groups"][1]["role"] == "active";
        scene.expect_soon("gw1 serves both", PATIENCE, |_| does_serve_other(Side::A));
        let since = voted.scene.part();
        thread::sleep(Duration::from_secs(5));
        assert!(does_serve_other(Side::A), "by its grant");
        scene.set_second_carrier(Side::A, false).expect("no carrier");
        let lost_at = now();
        let served_at =
            scene.expect_soon("gw2 serves the other one", PATIENCE, |_| does_serve_other(Side::B));
        println!("moved behind a cut after {}", served_at.since(lost_at));
        thread::sleep(Duration::from_secs(3));
        assert!(does_serve_other(Side::B) && !does_serve_other(Side::A));
        scene.assert_nothing_moved(Side::A, since);
        scene.assert_never_both();
        voted.mend();
    });
}

/// Figures: the outage after a power cut behind a dead cable, as the median of ten.
#[test]
#[ignore = "prints figures; takes six minutes"]
fn medians_of_ten_with_a_voting_witness() {
    let outages = Mutex::new(Vec::new());
    for _ in 0..10 {
        testing::in_fair_lab(|| {
            let mut voted = Voted::new(Setup::default());
            voted.scene.cable().cut();
            thread::sleep(Duration::from_secs(3));
            let cut = voted.scene.power_cut(Side::A).expect("its processes die");
            voted.scene.wait_for_service_by(Side::B);
            let outage: Span = voted.scene.assert_outage_below(at_most(2_000), cut);
            outages.lock().expect("no panic").push(outage);
        });
    }
    let mut outages = outages.into_inner().expect("no panic");
    outages.sort_unstable();
    println!("dead cable, then power cut, voting witness: median {}", outages[outages.len() / 2]);
}
