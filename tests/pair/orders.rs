//! Commands that tell the guard something and wait for its answer, two at a time, or killed in the middle.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use crosswire::pair::Side;
use nix::sys::signal::{Signal, kill};

use crate::builds::{Place, bytes};
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Said, Scene, ms, run, shipped};

const BUSY: &str = "another reload or upgrade is not over yet: nothing is changed";

/// A pair whose first node is told to go on as a program that hangs in its rehearsal, for more than a second.
struct Trial {
    place: Place,
    scene: Scene,
    /// All of these are there before.
    files: BTreeMap<OsString, Vec<u8>>,
    hangs: PathBuf,
}

impl Trial {
    fn new() -> Self {
        let place = Place::new();
        let scene = place.scene(Setup { lease_ms: 4_000, ..Setup::default() });
        let hangs = place.pretender("hangs", "for (;;) pause();");
        place.pretender("mute", "return 1;");
        let files = place.files();
        Self { place, scene, files, hangs }
    }

    /// The command, after it has put the program in the daemon's place, and told the daemon.
    fn begin(&self) -> Child {
        let words = ["upgrade", self.hangs.to_str().expect("text")];
        let command = self.scene.command(Side::A, &words).expect("a command");
        let command = self.scene.spawn(command).expect("it can be run");
        self.scene.expect_soon("a program in its place", PATIENCE, |_| {
            bytes(&self.place.program()) == bytes(&self.hangs)
        });
        self.scene.expect_soon("a rehearsal", PATIENCE, |scene| scene.log_of(Side::A).contains("rehearses"));
        command
    }

    /// What a command says that is another file than what stands in the daemon's place.
    fn say(&self, words: &[&str]) -> Said {
        let mut command = Command::new(shipped());
        command.args(words).arg("--run-dir").arg(self.scene.directory(Side::A).join("run"));
        self.scene.namespace(Side::A).command_in(&mut command).expect("the node's namespace");
        run(command)
    }

    fn upgrade(&self, file: &Path) -> Said {
        self.say(&["upgrade", file.to_str().expect("text")])
    }

    fn assert_untouched(&self) {
        let now = self.place.files();
        assert!(now == self.files, "{:?} instead of {:?}", now.keys(), self.files.keys());
        self.scene.settle(Side::A);
    }
}

/// Operator: a second `upgrade`, and a `reload`, while the first is on its way, which will be refused.
/// Required: who comes second is told so, and changes nothing; every file is as it was.
#[test]
fn two_commands_at_once_exclude_each_other() {
    testing::in_fair_lab(|| {
        for words in [&["upgrade", "mute"][..], &["upgrade"], &["reload"]] {
            let trial = Trial::new();
            let mut first = trial.begin();
            let file = trial.place.file("mute");
            let words =
                words.iter().map(|word| if *word == "mute" { file.to_str().expect("text") } else { word });
            let said = trial.say(&words.collect::<Vec<_>>());
            assert_eq!((said.code, said.text.trim()), (Some(1), BUSY));
            assert_eq!(first.wait().expect("it ends").code(), Some(1), "it is refused");
            trial.assert_untouched();
            let said = trial.say(&["reload"]);
            assert_eq!((said.code, said.text.as_str()), (Some(0), "nothing has changed\ndone\n"));
        }
    });
}

/// Operator: SIGHUP by hand while an `upgrade` is on its way, which will be refused.
/// Required: what becomes of the reload is not taken for the answer.
#[test]
fn a_reload_by_hand_is_no_answer_to_an_upgrade() {
    testing::in_fair_lab(|| {
        let mut trial = Trial::new();
        let mut first = trial.begin();
        let guard = trial.scene.guard(Side::A).expect("a guard");
        kill(guard, Signal::SIGHUP).expect("told");
        assert_eq!(first.wait().expect("it ends").code(), Some(1), "it is refused");
        trial.assert_untouched();
    });
}

/// Fault: the command is killed when its program stands in the daemon's place, before the daemon answers.
/// Required: the next one waits for that answer, and puts everything right before it begins.
#[test]
fn what_a_killed_upgrade_has_left_is_put_right_by_the_next_one() {
    testing::in_fair_lab(|| {
        for is_good in [false, true] {
            let trial = Trial::new();
            let mut first = trial.begin();
            first.kill().expect("killed");
            let _ = first.wait();
            if is_good {
                // A busy machine has no time for a rehearsal; that touches nothing.
                trial.scene.expect_soon("an upgrade", PATIENCE, |_| {
                    trial.upgrade(&trial.place.file("other")).code == Some(0)
                });
                let [program, kept] =
                    ["crosswire", "crosswire.old"].map(|name| bytes(&trial.place.file(name)));
                assert!(program == bytes(&trial.place.file("other")) && kept == bytes(&shipped()));
                assert_eq!(trial.place.files().len(), trial.files.len() + 1, "and nothing else");
                trial.scene.settle(Side::A);
            } else {
                let said = trial.upgrade(&trial.place.file("mute"));
                assert!(said.code == Some(1) && said.text.contains("the rehearsal failed"), "{said:?}");
                trial.assert_untouched();
            }
            let note = trial.scene.directory(Side::A).join("run/placed");
            assert!(!fs::exists(note).expect("known"), "all is settled");
        }
    });
}

/// Fault: the same, and the daemon has taken the program, which was a good one.
/// Required: the next command keeps the program before, and goes on from there.
#[test]
fn what_a_killed_upgrade_has_done_is_kept_by_the_next_one() {
    testing::in_fair_lab(|| {
        let trial = Trial::new();
        let other = trial.place.file("other");
        let words = ["upgrade", other.to_str().expect("text")];
        let command = trial.scene.command(Side::A, &words).expect("a command");
        let mut first = trial.scene.spawn(command).expect("it can be run");
        trial.scene.expect_soon("a rehearsal", PATIENCE, |scene| scene.log_of(Side::A).contains("rehearses"));
        first.kill().expect("killed");
        let _ = first.wait();
        let is_taken = |scene: &Scene| scene.log_of(Side::A).contains("goes on in the place of");
        if comes_to_be(&trial.scene, is_taken) {
            let said = trial.say(&["upgrade"]);
            assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
            let [program, kept] = ["crosswire", "crosswire.old"].map(|name| bytes(&trial.place.file(name)));
            assert!(program == bytes(&other) && kept == bytes(&shipped()), "both are kept");
            assert_eq!(trial.place.files().len(), trial.files.len() + 1, "and nothing else");
        }
        trial.scene.settle(Side::A);
    });
}

/// Whether it comes to be within the time that an upgrade may take; a busy machine refuses the rehearsal.
fn comes_to_be(scene: &Scene, is_so: impl Fn(&Scene) -> bool) -> bool {
    (0..600).any(|_| {
        thread::sleep(ms(20));
        is_so(scene)
    })
}
