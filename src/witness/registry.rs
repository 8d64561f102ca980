//! What the worker keeps: a place for each key and for each pair, made when keys come, and nothing else. An
//! answer allocates nothing.

use crosswire::time::{Instant, Span};
use crosswire::vote::grants::{Grants, Office, Unanswered};
use crosswire::vote::keys::{PairName, WitnessKey, WitnessSecret};
use crosswire::vote::wire::{REPLY_BYTES, name_in_question};

use super::key_files::{Label, MAX_PAIRS};

/// How many questions that do not count are answered in a second, over all pairs: as many as a process can
/// answer beside those that count, and enough for 10,000 pairs that have just heard of another run of the
/// witness, each of whose nodes asks at least every 5 s.
pub const GREETINGS_IN_1_S: u64 = 10_000;
/// They are counted in pieces of a second, so that whoever uses them up keeps nobody waiting for long.
const PIECES_OF_1_S: u64 = 10;

/// Why something that came got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It was no question.
    NoQuestion,
    /// It was under a key that nobody has.
    UnknownKey(PairName),
    /// It was a question in the name of this pair, and not authentic.
    Forged(usize),
    /// It was a question of this pair, authentic, and heard before.
    Repeated(usize),
    /// It was one of more questions that do not count than are answered.
    TooMany(usize),
}

/// A key, and whose it is.
struct KeyPlace {
    key: WitnessKey,
    pair: usize,
}

/// What is kept of one pair. Its office is that of the keys with which it came: a pair that comes back after
/// it was taken away finds another run of the witness, as after a restart.
struct PairPlace {
    label: Label,
    office: Office,
    grants: Grants,
}

/// The keys and pairs of this witness.
#[derive(Default)]
pub struct Registry {
    /// The names of the keys, sorted; beside the keys, so that a search touches little memory.
    names: Box<[PairName]>,
    keys: Box<[KeyPlace]>,
    pairs: Box<[PairPlace]>,
    greetings: Greetings,
}

/// Keys that are coming in.
pub struct Incoming {
    office: Office,
    keys: Vec<KeyPlace>,
    pairs: Vec<PairPlace>,
}

impl Incoming {
    /// None yet; room for that many pairs.
    pub fn new(office: Office, pairs: usize) -> Self {
        let room = pairs.min(MAX_PAIRS);
        Self { office, keys: Vec::with_capacity(room), pairs: Vec::with_capacity(room) }
    }

    /// The next pair.
    pub fn push(&mut self, label: Label, secrets: &[WitnessSecret]) {
        let pair = self.pairs.len();
        let keys = secrets.iter().map(|secret| KeyPlace { key: WitnessKey::new(secret), pair });
        self.keys.extend(keys);
        self.pairs.push(PairPlace { label, office: self.office, grants: Grants::new() });
    }
}

impl Registry {
    /// What a pair with one key takes.
    #[cfg(test)]
    pub const BYTES_OF_A_PAIR: usize = size_of::<PairPlace>() + size_of::<KeyPlace>() + size_of::<PairName>();

    /// How many pairs and keys there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.pairs.len(), self.keys.len())
    }

    /// How a pair is called.
    pub fn label(&self, pair: usize) -> &str {
        self.pairs.get(pair).map_or("", |place| place.label.as_str())
    }

    /// Takes the place of the keys that are there. What is kept of a pair that stays is kept: one that shares
    /// a key, or else one that is called the same, whose keys were all replaced.
    pub fn replace(&mut self, incoming: Incoming) {
        let Incoming { mut keys, mut pairs, .. } = incoming;
        keys.sort_unstable_by_key(|place| place.key.name());
        let mut is_taken = vec![false; self.pairs.len()];
        let mut before: Vec<Option<usize>> = vec![None; pairs.len()];
        for place in &keys {
            if let Some(old) = self.pair_of(&place.key.name()).filter(|old| !is_taken[*old])
                && before[place.pair].is_none()
            {
                before[place.pair] = Some(old);
                is_taken[old] = true;
            }
        }
        for (pair, before) in pairs.iter_mut().zip(before) {
            let called = || self.pairs.binary_search_by(|old| old.label.cmp(&pair.label)).ok();
            if let Some(old) = before.or_else(|| called().filter(|old| !is_taken[*old])) {
                is_taken[old] = true;
                let old = &mut self.pairs[old];
                (pair.office, pair.grants) = (old.office, std::mem::take(&mut old.grants));
            }
        }
        self.names = keys.iter().map(|place| place.key.name()).collect();
        (self.keys, self.pairs) = (keys.into_boxed_slice(), pairs.into_boxed_slice());
    }

    fn find(&self, name: &PairName) -> Option<&KeyPlace> {
        self.names.binary_search(name).ok().and_then(|at| self.keys.get(at))
    }

    fn pair_of(&self, name: &PairName) -> Option<usize> {
        self.find(name).map(|place| place.pair)
    }

    /// The answer to what came, and whether that counted.
    ///
    /// # Errors
    /// Why there is none.
    pub fn answer(&mut self, now: Instant, bytes: &[u8]) -> Result<([u8; REPLY_BYTES], bool), Refused> {
        let name = name_in_question(bytes).ok_or(Refused::NoQuestion)?;
        let at = self.names.binary_search(&name).map_err(|_| Refused::UnknownKey(name))?;
        let place = self.keys.get(at).ok_or(Refused::UnknownKey(name))?;
        let pair = place.pair;
        let PairPlace { office, grants, .. } = self.pairs.get_mut(pair).ok_or(Refused::UnknownKey(name))?;
        let reply = grants.hear(office, &place.key, now, bytes).map_err(|why| match why {
            Unanswered::Authenticator => Refused::Forged(pair),
            Unanswered::Number => Refused::Repeated(pair),
            Unanswered::TooOften => Refused::TooMany(pair),
        })?;
        if !reply.is_counted && !self.greetings.take(now) {
            return Err(Refused::TooMany(pair));
        }
        Ok((reply.seal(&place.key), reply.is_counted))
    }
}

/// How many questions that do not count may still be answered, and until when that is so.
#[derive(Default)]
struct Greetings {
    left: u64,
    until: Option<Instant>,
}

impl Greetings {
    /// Whether there is one more.
    fn take(&mut self, now: Instant) -> bool {
        if self.until.is_none_or(|until| now >= until) {
            self.until = Some(now + Span::from_s(1).fraction(1, PIECES_OF_1_S));
            self.left = GREETINGS_IN_1_S / PIECES_OF_1_S;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}
