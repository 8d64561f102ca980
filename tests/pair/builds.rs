//! Builds of the daemon in a directory, one of which both nodes run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crosswire::pair::Side;
use tempfile::TempDir;

use crate::lab::executable::copy_executable;
use crate::lab::setup::Setup;
use crate::scene::{Scene, run, shipped};

/// A directory of root's alone with the program that both nodes run.
pub struct Place {
    pub directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().expect("a directory") };
        copy_executable(&shipped(), &place.program());
        let other = place.directory.path().join("other.build");
        // What follows the sections is read by nobody.
        fs::write(&other, [bytes(&shipped()), b"another build".to_vec()].concat()).expect("written");
        copy_executable(&other, &place.file("other"));
        fs::remove_file(other).expect("removed");
        place
    }

    pub fn program(&self) -> PathBuf {
        self.file("crosswire")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Everything that is there.
    pub fn files(&self) -> BTreeMap<OsString, Vec<u8>> {
        let all = fs::read_dir(self.directory.path()).expect("a directory");
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.expect("an entry");
            (entry.file_name(), bytes(&entry.path()))
        };
        all.map(entry).collect()
    }

    /// A program of this machine that looks like ours, and does something else when it is to run.
    pub fn pretender(&self, name: &str, does: &str) -> PathBuf {
        let (source, program) = (self.file("pretender.c"), self.file(name));
        let text = format!(
            "#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
             int main(int count, char **word) {{\n  if (count > 99)\n    puts(\"this version cannot read \
             the state of the running daemon\");\n  {does}\n  return 0;\n}}\n"
        );
        fs::write(&source, text).expect("written");
        let mut compiler = Command::new("cc");
        compiler.arg("-o").arg(&program).arg(&source);
        let said = run(compiler);
        assert_eq!(said.code, Some(0), "{said:?}");
        program
    }

    pub fn scene(&self, setup: Setup) -> Scene {
        let mut scene = Scene::with_binary(&self.program(), setup);
        scene.begin(Side::A);
        scene.begin(Side::B);
        scene.settle(Side::A);
        scene
    }
}

/// What a file holds.
pub fn bytes(file: &Path) -> Vec<u8> {
    fs::read(file).expect("it is there")
}
