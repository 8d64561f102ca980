//! A schedule as text, so that a failure can be sent in a letter.
//!
//! ```text
//! crosswire trace 1
//! # both kernels hold g1 ...
//! seed 4711
//! setup paths=serial:100ms/300ms/500ms:19200,lan:100ms/300ms/500ms:0 groups=A:probe:0s:0 lease=1s ...
//! after 120ms cut serial both
//! after 3ms kill A
//! heal after 200ms serial lan
//! hash 0123456789abcdef
//! ```

use crosswire::pair::PathId;

use super::fault::Fault;
use super::fault_text::{Names, Time, parse_time};
use super::schedule::{Outcome, Schedule};
use super::setup::Setup;

/// The first line.
const TITLE: &str = "crosswire trace 1";

/// A schedule, and the hash over all effects that its run gave.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    /// What happens.
    pub schedule: Schedule,
    /// The hash of its run; `None` in traces that were written by hand.
    pub hash: Option<u64>,
}

impl Trace {
    /// As text, with what went wrong as a remark.
    pub fn text(schedule: &Schedule, outcome: &Outcome) -> String {
        let names = schedule.setup.names();
        let mut lines = vec![TITLE.to_string()];
        if let Some(violation) = &outcome.violation {
            let at = super::clock::BEGINNING;
            lines.push(format!(
                "# {} at {}: {}",
                violation.rule,
                Time(violation.at.since(at)),
                violation.text
            ));
        }
        lines.push(format!("seed {}", schedule.seed));
        lines.push(format!("setup {}", schedule.setup.text()));
        lines.extend(
            schedule.faults.iter().map(|(gap, fault)| format!("after {} {}", Time(*gap), fault.text(&names))),
        );
        let healed: Vec<&str> =
            schedule.healed.iter().map(|path| names.paths[path.index()].as_str()).collect();
        lines.push(format!("heal after {} {}", Time(schedule.heal_after), healed.join(" ")));
        lines.push(format!("hash {:016x}", outcome.hash));
        lines.join("\n") + "\n"
    }

    /// Reads what [`Trace::text`] wrote.
    ///
    /// # Errors
    /// What is wrong, with the number of the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines =
            (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        if lines.next().is_none_or(|(_, line)| line.trim() != TITLE) {
            return Err(format!("this is no trace: it does not begin with `{TITLE}`"));
        }
        let schedule = Schedule {
            seed: 0,
            setup: Setup::reference(),
            faults: Vec::new(),
            aims: Vec::new(),
            heal_after: Default::default(),
            healed: Vec::new(),
        };
        let mut trace = Self { schedule, hash: None };
        for (number, line) in lines {
            trace.read(line).map_err(|error| format!("line {number}: {error}"))?;
        }
        Ok(trace)
    }

    fn read(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.trim().split_once(' ').ok_or("one word alone means nothing")?;
        let names = self.schedule.setup.names();
        match word {
            "seed" => self.schedule.seed = rest.parse().map_err(|_| format!("`{rest}` is no number"))?,
            "setup" => self.schedule.setup = Setup::parse(rest)?,
            "after" => {
                let (gap, fault) = rest.split_once(' ').ok_or("a fault is missing")?;
                self.schedule.faults.push((parse_time(gap)?, Fault::parse(fault, &names)?));
            }
            "heal" => {
                let mut words =
                    rest.strip_prefix("after ").ok_or("say `heal after TIME`")?.split_whitespace();
                self.schedule.heal_after = parse_time(words.next().ok_or("a time is missing")?)?;
                self.schedule.healed = words.map(|word| find_path(word, &names)).collect::<Result<_, _>>()?;
            }
            "hash" => {
                self.hash = Some(u64::from_str_radix(rest, 16).map_err(|_| format!("`{rest}` is no hash"))?)
            }
            _ => return Err(format!("`{word}` is not understood")),
        }
        Ok(())
    }
}

fn find_path(word: &str, names: &Names) -> Result<PathId, String> {
    let index = names.paths.iter().position(|name| name == word);
    index.and_then(|index| u8::try_from(index).ok()).map(PathId).ok_or_else(|| format!("`{word}` is no path"))
}
