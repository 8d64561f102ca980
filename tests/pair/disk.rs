//! The shared disk of the recipes: one block device on both boxes, a real file system on it, Debian's
//! Filesystem agent, and a fence that goes before every mount.
//!
//! Debian's resource-agents and e2fsprogs are needed, and root's right to loop devices; `.ci/run machine`
//! sees to that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crosswire::pair::Side;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::lab::executable::write_executable;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::last_resorts::{fence_script, with_fence};
use crate::scene::{PATIENCE, Scene};

/// Gives a node's daemon a box of its own, with mounts of its own.
const BOX: &str = include_str!("../fixtures/services/box");
const NEEDED: [&str; 3] =
    ["/usr/lib/ocf/resource.d/heartbeat/Filesystem", "/sbin/losetup", "/sbin/mkfs.ext4"];
const TEXT: &str = "written by gw1\n";
/// Long enough that a mount which nobody has allowed would be there.
const WATCHED: Duration = Duration::from_secs(4);

/// The disk that both boxes are wired to, the directory at which it is mounted, and the power switch.
struct Disk {
    directory: TempDir,
    device: String,
}

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let image = directory.path().join("image");
        File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("room for an image");
        said(Command::new("/sbin/mkfs.ext4").args(["-q", "-F"]).arg(&image));
        let device =
            said(Command::new("/sbin/losetup").args(["--find", "--show"]).arg(&image)).trim().to_owned();
        let disk = Self { directory, device };
        fs::create_dir(disk.at("files")).expect("a directory");
        write_executable(&disk.at("box"), &BOX.replace("REAL", env!("CARGO_BIN_EXE_crosswire")));
        disk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The recipe, with a power switch that does what `switch` says.
    fn setup(&self, switch: &str) -> Setup {
        let fenced = with_fence(&fence_script(self.directory.path(), switch));
        let files = self.at("files").display().to_string();
        Setup {
            prefer: Some(Side::A),
            scripts: vec![format!(
                "ocf:heartbeat:Filesystem device={} directory={files} fstype=ext4",
                self.device
            )],
            more: format!("exclusive = true\n{}", fenced.more),
            ..fenced
        }
    }

    /// Both nodes up; gw1 has the disk and has written to it. Then every process of gw1 stops.
    fn hung_holder(&self, switch: &str) -> Scene {
        let mut scene = Scene::with_binary(&self.at("box"), self.setup(switch));
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        self.assert_only_holder_has_it(&mut scene);
        fs::write(self.seen_by(&mut scene, Side::A).join("note"), TEXT).expect("the disk can be written to");
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("they stop");
        scene
    }

    fn assert_only_holder_has_it(&self, scene: &mut Scene) {
        assert!(self.is_mounted(scene, Side::A), "gw1 has no disk");
        assert!(!self.is_mounted(scene, Side::B), "gw2 has mounted it too");
    }

    /// The directory as the daemon of a node sees it.
    fn seen_by(&self, scene: &mut Scene, side: Side) -> PathBuf {
        let guard = scene.guard(side).expect("a guard");
        let files = self.at("files");
        Path::new(&format!("/proc/{guard}/root")).join(files.strip_prefix("/").expect("an absolute path"))
    }

    fn is_mounted(&self, scene: &mut Scene, side: Side) -> bool {
        let guard = scene.guard(side).expect("a guard");
        let mounts = fs::read_to_string(format!("/proc/{guard}/mountinfo")).expect("its mounts");
        mounts.lines().any(|line| line.contains(&format!(" {} ", self.device)))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Busy as long as anybody has it mounted: it goes with the last mount.
        let _ = Command::new("/sbin/losetup").arg("--detach").arg(&self.device).status();
    }
}

/// What a program of the machine says, which has to succeed.
fn said(command: &mut Command) -> String {
    let output = command.output().expect("it is there");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether this is a machine on which a disk can be made.
fn can_have_a_disk() -> bool {
    testing::has_tools(&NEEDED) && testing::is_allowed("/dev/loop-control")
}

/// Fault: every process of the node with the disk stops, its mount stays; later the power switch is through
/// with it. Required: the address is gone with its lifetime, and nobody mounts; after the switch has
/// confirmed, the peer has disk, file and address.
#[test]
fn a_shared_disk_is_mounted_only_after_the_fence() {
    if !can_have_a_disk() {
        return;
    }
    testing::in_fair_lab(|| {
        let disk = Disk::new();
        let mut scene = disk.hung_holder("touch asked; while [ ! -e done ]; do sleep 0.05; done");
        scene.expect_soon("the fence", PATIENCE, |_| disk.at("asked").exists());
        thread::sleep(WATCHED);
        disk.assert_only_holder_has_it(&mut scene);
        scene.power_cut(Side::A).expect("the switch cuts its power");
        fs::write(disk.at("done"), "").expect("and says so");
        scene.wait_for_service_by(Side::B);
        scene.expect_service_by(Side::B);
        let note = disk.seen_by(&mut scene, Side::B).join("note");
        assert!(disk.is_mounted(&mut scene, Side::B));
        assert_eq!(fs::read_to_string(note).expect("the file is there"), TEXT);
        scene.assert_never_both();
    });
}

/// Fault: as above, and the power switch refuses.
/// Required: the peer does not mount, and serves nothing.
#[test]
fn a_shared_disk_is_never_mounted_after_a_fence_that_refuses() {
    if !can_have_a_disk() {
        return;
    }
    testing::in_fair_lab(|| {
        let disk = Disk::new();
        let mut scene = disk.hung_holder("exit 1");
        let refused = "the fence of gw1 could not be confirmed";
        scene.expect_soon("the refusal", PATIENCE, |scene| scene.log_of(Side::B).contains(refused));
        thread::sleep(WATCHED);
        disk.assert_only_holder_has_it(&mut scene);
        assert_eq!(scene.role(Side::B), "backup");
        scene.assert_never_both();
    });
}
