//! A setup as its one line of text in traces.

use crosswire::config::{Failback, GroupPolicy, InJeopardy, PathPolicy, PathTiming, Policy, SafetyRule};
use crosswire::pair::{GroupId, PathKind, Side};
use crosswire::time::Span;

use super::fault_text::{Names, Time, parse_time};
use super::files::OtherFile;
use super::setup::{Place, Setup, Wiring};

impl Setup {
    /// Names of nodes, paths, groups and witnesses, as a configuration without names of its own would have
    /// them.
    pub fn names(&self) -> Names {
        let numbered = |kind: PathKind, index: usize| {
            let before = self.policy.paths[..index].iter().filter(|path| path.kind == kind).count();
            let name = match kind {
                PathKind::Serial => "serial",
                PathKind::Lan => "lan",
            };
            if before == 0 { name.to_string() } else { format!("{name}{}", before + 1) }
        };
        Names {
            nodes: ["A".to_string(), "B".to_string()],
            paths: self
                .policy
                .paths
                .iter()
                .enumerate()
                .map(|(index, path)| numbered(path.kind, index))
                .collect(),
            groups: (1..=self.policy.groups.len()).map(|number| format!("g{number}")).collect(),
            witnesses: (1..=self.witnesses.len())
                .map(|number| format!("w{number}"))
                .chain(self.vote.map(|_| "voter".to_owned()))
                .collect(),
        }
    }

    /// One line that [`Setup::parse`] reads back. It leaves out what is as in the smallest pair.
    pub fn text(&self) -> String {
        let paths = self.policy.paths.iter().zip(&self.bauds).zip(&self.wirings);
        let paths = paths.map(|((path, baud), wiring)| path_text(path, *baud, *wiring));
        let groups = self.policy.groups.iter().zip(&self.scripts).zip(&self.own_links);
        let groups =
            groups.zip(&self.before).enumerate().map(|(index, (((group, scripts), own_link), before))| {
                let has_same_tag = index > 0 && group.tag == 1;
                let phases = if *before > 0 {
                    format!(":before-{before}-{}", Time(group.before))
                } else {
                    String::new()
                };
                group_text(group, *scripts, *own_link) + &phases + if has_same_tag { ":tag-1" } else { "" }
            });
        let mut text = format!(
            "paths={} groups={} lease={} cold_start={} in_jeopardy={} rates={},{} wakes_late={} slips={} \
                lifetime={}",
            paths.collect::<Vec<_>>().join(","),
            groups.collect::<Vec<_>>().join(","),
            Time(self.policy.lease),
            Time(self.policy.cold_start),
            word_of(&IN_JEOPARDY, self.policy.in_jeopardy),
            self.rates[0],
            self.rates[1],
            Time(self.wakes_late),
            self.does_slip,
            !self.has_no_lifetime,
        );
        if !self.witnesses.is_empty() {
            let places: Vec<&str> = self.witnesses.iter().map(|place| word_of(&PLACES, *place)).collect();
            text += &format!(" witnesses={}", places.join(","));
        }
        if let Some(place) = self.vote {
            text += &format!(" vote={}", word_of(&PLACES, place));
        }
        if let Some([a, b]) = self.neighbours {
            text += &format!(" neighbours={a},{b}");
        }
        if self.held_up > Span::ZERO {
            text += &format!(" held_up={}", Time(self.held_up));
        }
        if self.is_filtered != [false; 2] {
            text += &format!(" filtered={},{}", self.is_filtered[0], self.is_filtered[1]);
        }
        if let Some(takes) = self.fence {
            text += &format!(" fence={}", Time(takes));
        }
        if let Some(timeout) = self.watchdog {
            text += &format!(" watchdog={}", Time(timeout));
        }
        if let Some(other) = &self.other {
            text += &other_text(other, self.differs);
        }
        text
    }

    /// Reads what [`Setup::text`] wrote.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut setup = Self::reference();
        setup.policy.paths.clear();
        setup.policy.groups.clear();
        (setup.bauds, setup.wirings) = (Vec::new(), Vec::new());
        (setup.scripts, setup.before, setup.own_links) = (Vec::new(), Vec::new(), Vec::new());
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("`{word}` has no value"))?;
            setup.read(key, value)?;
        }
        super::setup::place_groups(&mut setup.policy);
        if let Some(other) = &mut setup.other {
            super::setup::place_groups(&mut other.policy);
        }
        Ok(setup)
    }

    fn read(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("`{key}={value}` is not understood");
        match key {
            "paths" => value.split(',').try_for_each(|path| self.read_path(path).ok_or_else(wrong))?,
            "groups" => value.split(',').try_for_each(|group| self.read_group(group).ok_or_else(wrong))?,
            "lease" => self.policy.lease = parse_time(value)?,
            "cold_start" => self.policy.cold_start = parse_time(value)?,
            "in_jeopardy" => self.policy.in_jeopardy = meaning_of(&IN_JEOPARDY, value).ok_or_else(wrong)?,
            "witnesses" => {
                let places = value.split(',').map(|word| meaning_of(&PLACES, word));
                self.witnesses = places.collect::<Option<_>>().ok_or_else(wrong)?;
                self.policy.witnesses = u8::try_from(self.witnesses.len()).map_err(|_| wrong())?;
            }
            "vote" => {
                self.vote = Some(meaning_of(&PLACES, value).ok_or_else(wrong)?);
                self.policy.has_vote = true;
            }
            "fence" => self.fence = Some(parse_time(value)?),
            "watchdog" => self.watchdog = Some(parse_time(value)?),
            "rates" => {
                let (a, b) = value.split_once(',').ok_or_else(wrong)?;
                self.rates = [a.parse().map_err(|_| wrong())?, b.parse().map_err(|_| wrong())?];
            }
            "wakes_late" => self.wakes_late = parse_time(value)?,
            "held_up" => self.held_up = parse_time(value)?,
            "neighbours" => {
                let (a, b) = value.split_once(',').ok_or_else(wrong)?;
                self.neighbours = Some([a.parse().map_err(|_| wrong())?, b.parse().map_err(|_| wrong())?]);
            }
            "filtered" => {
                let (a, b) = value.split_once(',').ok_or_else(wrong)?;
                self.is_filtered = [a.parse().map_err(|_| wrong())?, b.parse().map_err(|_| wrong())?];
            }
            "slips" => self.does_slip = value.parse().map_err(|_| wrong())?,
            "other.times" => {
                let other = self.other.get_or_insert_with(|| OtherFile::same(&self.policy));
                let times =
                    value.split(',').map(parse_times).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
                other.policy.paths.iter_mut().zip(times).for_each(|(path, timing)| path.timing = timing);
            }
            "other.groups" => {
                let other = self.other.get_or_insert_with(|| OtherFile::same(&self.policy));
                other.policy.groups.clear();
                other.groups.clear();
                let groups = value.split(',').map(|text| read_other_group(other, &self.policy, text));
                groups.collect::<Option<Vec<()>>>().ok_or_else(wrong)?;
            }
            "other.rest" => {
                let other = self.other.get_or_insert_with(|| OtherFile::same(&self.policy));
                let mut words = value.split('/');
                let mut word = || words.next().ok_or_else(wrong);
                other.policy.lease = parse_time(word()?)?;
                other.policy.cold_start = parse_time(word()?)?;
                other.policy.witnesses = word()?.parse().map_err(|_| wrong())?;
            }
            "differs" => self.differs = meaning_of(&PREFERENCES, value).ok_or_else(wrong)?,
            "lifetime" => self.has_no_lifetime = !value.parse::<bool>().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
        Ok(())
    }

    fn read_path(&mut self, text: &str) -> Option<()> {
        let mut words = text.split(':');
        let kind = meaning_of(&KINDS, words.next()?)?;
        let timing = parse_times(words.next()?)?;
        self.bauds.push(words.next()?.parse().ok()?);
        self.wirings.push(words.next().map_or(Some(Wiring::None), |word| meaning_of(&WIRINGS, word))?);
        self.policy.paths.push(PathPolicy::new(kind, timing)).ok()?;
        words.next().is_none().then_some(())
    }

    fn read_group(&mut self, text: &str) -> Option<()> {
        let mut words = text.split(':');
        let prefer = meaning_of(&PREFERENCES, words.next()?)?;
        let safety = meaning_of(&SAFETY, words.next()?)?;
        let stop_timeout = parse_time(words.next()?).ok()?;
        self.scripts.push(words.next()?.parse().ok()?);
        let tag = u8::try_from(self.policy.groups.len() + 1).ok()?;
        let mut group = GroupPolicy { safety, stop_timeout, ..GroupPolicy::addresses_only(tag, prefer) };
        let (mut has_own_link, mut before) = (false, 0);
        for word in words {
            match word {
                "exclusive" => group.is_exclusive = true,
                "own-link" => has_own_link = true,
                "tag-1" => group.tag = 1,
                word if let Some(phases) = word.strip_prefix("before-") => {
                    let (count, span) = phases.split_once('-')?;
                    (before, group.before) = (count.parse().ok()?, parse_time(span).ok()?);
                }
                _ => group.failback = Failback::After(parse_time(word.strip_prefix("failback-")?).ok()?),
            }
        }
        self.own_links.push(has_own_link);
        self.before.push(before);
        self.policy.groups.push(group).ok()
    }
}

/// `differs` names the box that has it from the beginning.
fn other_text(other: &OtherFile, differs: Option<Side>) -> String {
    let times = other.policy.paths.iter().map(|path| times_text(path.timing)).collect::<Vec<_>>().join(",");
    let group = |(index, group): (&GroupId, &GroupPolicy)| {
        format!("{}:{}", index.0, word_of(&PREFERENCES, group.prefer))
    };
    let groups = other.groups.iter().zip(&other.policy.groups).map(group).collect::<Vec<_>>().join(",");
    let (lease, cold_start) = (Time(other.policy.lease), Time(other.policy.cold_start));
    let witnesses = other.policy.witnesses;
    format!(
        " other.times={times} other.groups={groups} other.rest={lease}/{cold_start}/{witnesses} differs={}",
        word_of(&PREFERENCES, differs)
    )
}

fn times_text(timing: PathTiming) -> String {
    format!("{}/{}/{}", Time(timing.interval), Time(timing.late_after), Time(timing.dead_after))
}

fn parse_times(text: &str) -> Option<PathTiming> {
    let times: Vec<Span> = text.split('/').map(parse_time).collect::<Result<_, _>>().ok()?;
    let [interval, late_after, dead_after] = times.try_into().ok()?;
    Some(PathTiming { interval, late_after, dead_after })
}

fn read_other_group(other: &mut OtherFile, policy: &Policy, text: &str) -> Option<()> {
    let (index, prefer) = text.split_once(':')?;
    let id = GroupId(index.parse().ok()?);
    let prefer = meaning_of(&PREFERENCES, prefer)?;
    other.groups.push(id);
    other.policy.groups.push(GroupPolicy { prefer, ..*policy.groups.get(id.index())? }).ok()
}

const KINDS: [(PathKind, &str); 2] = [(PathKind::Serial, "serial"), (PathKind::Lan, "lan")];
const WIRINGS: [(Wiring, &str); 4] =
    [(Wiring::None, "none"), (Wiring::Three, "three"), (Wiring::Full, "full"), (Wiring::Looped, "looped")];
const PLACES: [(Place, &str); 2] = [(Place::Lan, "lan"), (Place::Own, "own")];
const PREFERENCES: [(Option<Side>, &str); 3] = [(Some(Side::A), "A"), (Some(Side::B), "B"), (None, "-")];
const SAFETY: [(SafetyRule, &str); 3] =
    [(SafetyRule::Probe, "probe"), (SafetyRule::Lease, "lease"), (SafetyRule::Fence, "fence")];
const IN_JEOPARDY: [(InJeopardy, &str); 4] = [
    (InJeopardy::Hold, "hold"),
    (InJeopardy::Witness, "witness"),
    (InJeopardy::Neighbours, "neighbours"),
    (InJeopardy::Takeover, "takeover"),
];

fn word_of<T: Copy + PartialEq>(table: &[(T, &'static str)], meaning: T) -> &'static str {
    table.iter().find(|(known, _)| *known == meaning).map_or("?", |(_, word)| word)
}

fn meaning_of<T: Copy>(table: &[(T, &str)], word: &str) -> Option<T> {
    table.iter().find(|(_, known)| *known == word).map(|(meaning, _)| *meaning)
}

fn path_text(path: &PathPolicy, baud: u32, wiring: Wiring) -> String {
    let kind = word_of(&KINDS, path.kind);
    let mut text = format!("{kind}:{}:{baud}", times_text(path.timing));
    if wiring != Wiring::None {
        text = format!("{text}:{}", word_of(&WIRINGS, wiring));
    }
    text
}

fn group_text(group: &GroupPolicy, scripts: usize, has_own_link: bool) -> String {
    let (prefer, safety) = (word_of(&PREFERENCES, group.prefer), word_of(&SAFETY, group.safety));
    let mut text = format!("{prefer}:{safety}:{}:{scripts}", Time(group.stop_timeout));
    if let Failback::After(wait) = group.failback {
        text += &format!(":failback-{}", Time(wait));
    }
    if group.is_exclusive {
        text += ":exclusive";
    }
    if has_own_link {
        text += ":own-link";
    }
    text
}
