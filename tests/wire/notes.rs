//! The vectors and the exchange of `firmware-notes/protocol.md` are what the code makes of them.
//! `CROSSWIRE_WRITE_NOTES=1` writes them there.

use std::fs;
use std::path::Path;

use crosswire::frame::message::{Message, SessionValue};
use crosswire::frame::seal::{Header, seal};
use crosswire::frame::{Body, Key, Keyring, Version};
use crosswire::pair::Side;

use crate::{exchange, header, hex, keys, messages, votes};

/// A frame as the notes show it: header fields; payload; authenticator and CRC.
pub fn shown(body: &Body) -> String {
    let at = |from: usize, to: usize| hex(&body[from..to]);
    let end = body.len() - 12;
    let header = [at(0, 1), at(1, 3), at(3, 4), at(4, 12), at(12, 16), at(16, 20)].join(" ");
    let payload: Vec<String> =
        body[20..end].chunks(48).map(|piece| format!("      {}\n", hex(piece))).collect();
    format!("    {header}\n{}      {} {}\n", payload.concat(), at(end, end + 8), at(end + 8, end + 12))
}

const SAID: [&str; 5] = [
    "hello from the first node on path 0",
    "session from the second node on path 1",
    "beat from the first node on path 1",
    "ask from the second node on path 0",
    "tell from the first node on path 0",
];

fn vectors() -> String {
    let mut text = String::new();
    for version in [Version::One, Version::Two] {
        for (said, (header, message)) in SAID.iter().zip(messages(version)) {
            text += &format!(
                "    protocol {}: {said}\n{}\n",
                version.number(),
                shown(&seal(&header, &message, &keys()))
            );
        }
    }
    let long = Keyring::new("gateway", &[Key { id: 3, bytes: (0..32).collect() }]);
    let hello = Header { echo: SessionValue::NONE, ..header(Version::Two, Side::A, 0) };
    text + "    protocol 2: the same hello with the key 00 01 .. 1f\n"
        + &shown(&seal(&hello, &Message::Hello, &long))
}

/// What stands between the two marks of that name is `expected`.
fn compare(name: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware-notes/protocol.md");
    let notes = fs::read_to_string(&file).expect("the notes");
    let (begins, ends) = (format!("<!-- {name} -->\n\n"), format!("\n<!-- end of {name} -->"));
    let (before, rest) = notes.split_once(&begins).expect("the first mark");
    let (written, after) = rest.split_once(&ends).expect("the last mark");
    if written != expected && std::env::var_os("CROSSWIRE_WRITE_NOTES").is_some() {
        fs::write(&file, format!("{before}{begins}{expected}{ends}{after}")).expect("written");
        return;
    }
    assert_eq!(written, expected, "{name}: CROSSWIRE_WRITE_NOTES=1 writes what the code makes");
}

#[test]
fn the_notes_are_what_the_code_makes() {
    // One after the other: all stand in the same file.
    compare("vectors", &vectors());
    compare("exchange", &exchange::text());
    compare("votes", &votes::text());
}
