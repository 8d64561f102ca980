//! Brings an integration test into the laboratory.

use std::any;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::entry::{Standing, again_as_root, enter, standing};
use super::fair::{Company, Dog, HANGS_AFTER, in_company_then_alone};

/// Laboratories that may run at once: mostly they wait. `.cargo/config.toml` has so many tests run at once.
const PLACES: usize = 4;

/// Who is in a laboratory.
static TURNS: Mutex<Turns> = Mutex::new(Turns { taken: 0, wanted_alone: 0 });
static FREED: Condvar = Condvar::new();

struct Turns {
    taken: usize,
    /// How many tests wait to run alone; they go before those that want one place.
    wanted_alone: usize,
}

fn turns() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A test with all its tries may take this many times the longest time of one.
const TRIES_IN_ALL: u32 = 5;

/// A test's turn, as long as it lives.
pub struct Turn {
    places: usize,
    _dog: Dog,
}

/// Waits until no other test of this program is in a laboratory or measures what one left behind.
pub fn take_turn() -> Turn {
    take_turn_of(HANGS_AFTER)
}

/// The same for a test that may take `hangs_after` for one try.
fn take_turn_of(hangs_after: Duration) -> Turn {
    let mut turns = turns();
    turns.wanted_alone += 1;
    turns = FREED.wait_while(turns, |turns| turns.taken > 0).unwrap_or_else(PoisonError::into_inner);
    turns.wanted_alone -= 1;
    turns.begin(PLACES, hangs_after)
}

/// Waits until there is a place beside others.
fn take_place(hangs_after: Duration) -> Turn {
    let is_full = |turns: &mut Turns| turns.taken == PLACES || turns.wanted_alone > 0;
    FREED.wait_while(turns(), is_full).unwrap_or_else(PoisonError::into_inner).begin(1, hangs_after)
}

impl Turns {
    fn begin(&mut self, places: usize, hangs_after: Duration) -> Turn {
        self.taken += places;
        Turn { places, _dog: Dog::watch(hangs_after * TRIES_IN_ALL) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        turns().taken -= self.places;
        FREED.notify_all();
    }
}

/// Whether all files are there that a test needs. `.ci/run` installs them and sets `CROSSWIRE_TOOLS`; then a
/// missing file is a failure. Elsewhere the test is left out, with a line that says why.
///
/// # Panics
/// If a file is missing that `.ci/run` has promised.
pub fn has_tools(files: &[&str]) -> bool {
    let missing: Vec<&str> =
        files.iter().copied().filter(|file| !std::path::Path::new(file).exists()).collect();
    if missing.is_empty() {
        return true;
    }
    let what = format!("{} is not there: `.ci/run machine` installs what all tests need", missing.join(", "));
    leave_out(&what, true);
    false
}

/// Whether this process may open a device that a test needs. If not, it is as with [`has_tools`]; but a
/// kernel without the device is never a failure.
///
/// # Panics
/// If it is there, and `.ci/run` has promised all that a test needs.
pub fn is_allowed(device: &str) -> bool {
    let Err(error) = std::fs::File::open(device) else { return true };
    leave_out(&format!("{device}: {error}"), error.kind() != io::ErrorKind::NotFound);
    false
}

/// Whether an environment variable names what a test needs; if not, the test is left out.
pub fn is_given(variable: &str, is_given: bool) -> bool {
    if !is_given {
        leave_out(&format!("{variable} is not set"), false);
    }
    is_given
}

/// Says why a test is left out. What `.ci/run` promises is a failure there.
fn leave_out(what: &str, is_promised: bool) {
    assert!(!is_promised || std::env::var_os("CROSSWIRE_TOOLS").is_none(), "{what}");
    let _ = writeln!(io::stderr(), "NOT RUN: a test needs more than this machine has: {what}");
}

/// Runs `body` where namespaces can be made: here as root, else in this test program run again for this one
/// test inside a user namespace. `body` must be a closure written in the test function itself, because its
/// type names the test.
///
/// # Panics
/// As `body` does; or if the kernel allows neither, saying how to go on; or if the second run did not run the
/// test.
pub fn in_lab<F: FnOnce()>(body: F) {
    in_long_lab(HANGS_AFTER, body);
}

/// The same for a body that may take `hangs_after`.
///
/// # Panics
/// As [`in_lab`].
pub fn in_long_lab<F: FnOnce()>(hangs_after: Duration, body: F) {
    enter_lab::<F>(hangs_after, || {
        let _turn = take_turn_of(hangs_after);
        let _dog = Dog::watch(hangs_after);
        body();
    });
}

/// As [`in_lab`], for a body that judges how long things take: tried in company, and again alone where that
/// failed or the machine was too busy, see [`in_company_then_alone`].
///
/// # Panics
/// As [`in_lab`].
pub fn in_fair_lab<F: Fn()>(body: F) {
    in_long_fair_lab(HANGS_AFTER, body);
}

/// The same for a body that may take `hangs_after`.
///
/// # Panics
/// As [`in_lab`].
pub fn in_long_fair_lab<F: Fn()>(hangs_after: Duration, body: F) {
    enter_lab::<F>(hangs_after, || {
        let turn = |company| match company {
            Company::Others => take_place(hangs_after),
            Company::None => take_turn_of(hangs_after),
        };
        in_company_then_alone(turn, || {
            let _dog = Dog::watch(hangs_after);
            body();
        });
    });
}

/// `Named` is the type that names the test.
fn enter_lab<Named>(hangs_after: Duration, body: impl FnOnce()) {
    match standing() {
        Ok(Standing::Root) => body(),
        Ok(Standing::Outside) => {
            // A closure's type is called PROGRAM::MODULE::TEST::{{closure}}.
            let path = any::type_name::<Named>().trim_end_matches("::{{closure}}");
            let test = path.split_once("::").map_or(path, |(_, test)| test);
            let _turn = take_turn_of(hangs_after);
            run_again(test).unwrap_or_else(|e| panic!("{test}: {e}"));
        }
        Err(e) => panic!("{e}"),
    }
}

fn run_again(test: &str) -> io::Result<()> {
    let mut command = again_as_root([test, "--exact", "--nocapture"])?;
    let (mut reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = enter(&mut command)?;
    // Our copies of the writing end go, or the pipe would never end.
    drop(command);
    let mut output = Vec::new();
    io::Read::read_to_end(&mut reader, &mut output)?;
    let status = child.wait()?;
    let output = String::from_utf8_lossy(&output);
    // print! and not the stream, so that the test harness keeps it with this test.
    print!("{output}");
    io::stdout().flush()?;
    if !status.success() {
        return Err(io::Error::other(format!("failed inside the user namespace ({status}), see above")));
    }
    if !output.contains("1 passed") {
        return Err(io::Error::other("the second run found no test of that name, so it proves nothing"));
    }
    Ok(())
}
