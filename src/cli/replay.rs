//! `simulate --replay` of what `why --record` has written: hands the events to the shipped node again.

use std::io::{self, Write};
use std::path::Path;

use crosswire::quorum::Effect;
use crosswire::recorder::{Repeated, Spoilt, repeat};
use crosswire::time::Instant;

use crate::gather::Gather;
use crate::operator::exit::Exit;
use crate::operator::recording::{Caption, read};
use crate::operator::words::{Names, ScriptEnd, sentence};
use crate::plain;

/// Replays a recording; says what was decided and when, and whether the decisions are the same again.
pub fn replay(path: &Path, file: &[u8], out: &mut impl Write) -> io::Result<Exit> {
    let (told, halves) = match read(file) {
        Ok(found) => found,
        Err(why) => {
            writeln!(out, "{}: {why}", path.display())?;
            return Ok(Exit::Usage);
        }
    };
    let (node, names) = (plain::line(&told.node, 64), names(told));
    let mut began_at = None;
    let (mut steps, mut others, mut written) = (0, 0, Ok(()));
    for half in halves.into_iter().filter(|half| !half.is_empty()) {
        let repeated = repeat(half, |step| {
            let began_at = *began_at.get_or_insert(step.at);
            others += u32::from(!step.is_same);
            let told = tell(step, began_at, &names, out);
            if written.is_ok() {
                written = told;
            }
        });
        match repeated {
            Ok(count) => steps += count,
            Err(Spoilt) => {
                writeln!(out, "{}: this recording was made by another build", path.display())?;
                return Ok(Exit::Usage);
            }
        }
    }
    written?;
    writeln!(out, "{steps} steps of {node} were repeated.")?;
    if others > 0 {
        writeln!(out, "The decisions are not those of the recording: {others} steps differ.")?;
        return Ok(Exit::Refused);
    }
    writeln!(out, "The decisions are those of the recording.")?;
    Ok(Exit::Done)
}

/// Writes the records of a step with their time, and whether the step differs from the recording.
fn tell(step: &Repeated<'_>, began_at: Instant, names: &Names, out: &mut impl Write) -> io::Result<()> {
    let at = step.at.since(began_at).as_ms();
    for effect in step.effects {
        if let Effect::Record(record) = effect {
            writeln!(
                out,
                "{:>6}.{:03} s  {}",
                at / 1_000,
                at % 1_000,
                sentence(record, ScriptEnd::UNKNOWN, names).1
            )?;
        }
    }
    if !step.is_same {
        writeln!(out, "{:>6}.{:03} s  something else was decided here", at / 1_000, at % 1_000)?;
    }
    Ok(())
}

fn names(told: Caption) -> Names {
    let plain = |names: Vec<String>| names.iter().map(|name| plain::lines(name)).gather();
    let Caption { peer, paths, groups, interfaces, scripts, .. } = told;
    let (peer, paths, groups) = (plain::line(&peer, 64), plain(paths), plain(groups));
    let (interfaces, scripts) = (plain(interfaces), plain(scripts));
    Names { peer, paths, groups, interfaces, scripts, key_file: "the key file".to_owned(), is_shadow: false }
}
