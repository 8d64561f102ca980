//! authkeys: which keys there are. Its secrets are not read.

use super::draft::Draft;
use super::report::{Fate, Reading, Wrong};

/// Highest number of a key.
const MAX_ID: u8 = 15;

/// The keys that are there, and which of them sends.
#[derive(Default)]
pub struct Keys {
    chosen: Vec<String>,
    /// The line that chooses.
    pub chosen_at: usize,
    there: Vec<String>,
}

impl Keys {
    /// Reads one line.
    pub fn read(&mut self, draft: &mut Draft, words: &[&str]) -> Result<Reading, Wrong> {
        let number = |word: &str| word.parse().is_ok_and(|number: u8| number <= MAX_ID);
        let fate = match words {
            ["auth", numbers @ ..] if numbers.first().is_some_and(|word| number(word)) => {
                let named = numbers.iter().take_while(|word| number(word));
                self.chosen = named.map(ToString::to_string).collect();
                self.chosen_at = draft.place.line;
                draft.setting = Some("auth".to_string());
                "key 0, the first of the key file, which sends"
            }
            [id, "crc"] if number(id) => {
                self.note(draft, id);
                "a fresh random key: crc let anybody speak for a node"
            }
            [id, "sha1" | "md5", _secret, ..] if number(id) => {
                self.note(draft, id);
                "a fresh random key of 256 bits: a key need not be typed"
            }
            // The line may be a secret: it is not repeated.
            _ => {
                return Err((
                    "is neither `auth NUMBER` nor `NUMBER METHOD SECRET`".to_string(),
                    "use numbers from 0 to 15, and sha1, md5 or crc",
                ));
            }
        };
        Ok(Fate::Replaced(fate.to_string()).into())
    }

    fn note(&mut self, draft: &mut Draft, id: &str) {
        self.there.push(id.to_string());
        draft.setting = Some(format!("key {id}"));
    }

    /// What is missing, if anything is.
    pub fn lack(&self) -> Option<String> {
        let missing = self.chosen.iter().find(|number| !self.there.contains(number));
        let is_unchosen = self.chosen.is_empty() && !self.there.is_empty();
        match missing {
            Some(number) => Some(format!("auth names key {number}, which is not there")),
            None => is_unchosen.then(|| "no auth line chooses a key".to_string()),
        }
    }
}
