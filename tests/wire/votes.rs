//! Questions to a voting witness and its replies, as `firmware-notes/protocol.md` shows them.

use crosswire::frame::Key;
use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use crosswire::vote::claimant::Claimant;
use crosswire::vote::grants::{Grants, Office};
use crosswire::vote::keys::{WitnessKey, secret_of};
use crosswire::vote::wire::Reply;
use crosswire::vote::{QUIET, WAIT};

use crate::hex;

/// A message in lines of 32 bytes.
fn shown(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|piece| format!("    {}\n", hex(piece))).collect()
}

/// What is said from the first question to a grant: each with its heading.
pub fn text() -> String {
    let secret = secret_of("gateway", &Key { id: 0, bytes: (0..32).collect() });
    let key = WitnessKey::new(&secret);
    let office = Office { run: [0xc3; 8], secret: [4; 16] };
    let (mut grants, length) = (Grants::new(), Span::from_ms(1_500));
    let mut node = Claimant::new(Side::A, [0xa1; 8], length, Span::from_s(3));
    let began = Instant::from_us(1_000_000);
    let mut text =
        format!("    the key 00 01 .. 1f of the pair `gateway` gives the secret\n{}", shown(&secret));
    let (wait, quiet) = (WAIT + length, WAIT + QUIET);
    for (said, at, claims) in [
        ("the first question, which echoes nothing", Span::ZERO, 0),
        ("it echoes the session value, and claims nothing", Span::from_ms(100), 0),
        ("the first group is claimed", wait, 1),
        ("it is claimed again: the other node has asked nothing so far", quiet, 1),
    ] {
        let now = began + at;
        let question = node.ask(now, claims).seal(&key);
        let reply = grants.hear(&office, &key, now, &question).expect("an answer").seal(&key);
        let heard = Reply::open(&reply, &key).expect("authentic");
        assert!(node.hear(now, &heard), "{said}");
        text += &format!("\n    {said}\n{}    the reply\n{}", shown(&question), shown(&reply));
    }
    text
}
