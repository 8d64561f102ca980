//! What was refused on a path, and what to do about it.

use crosswire::frame::Refusal;

use super::Names;

/// What was refused.
pub const fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Length => "noise",
        Refusal::Crc => "bad CRC",
        Refusal::Version => "other protocol version",
        Refusal::Pair => "other pair",
        Refusal::Looped => "own echo",
        Refusal::SameNode => "same node name",
        Refusal::Path => "wrong path",
        Refusal::TooOften => "came in a burst",
        Refusal::Session => "stale session",
        Refusal::UnknownKey => "unknown key id",
        Refusal::Authenticator => "wrong key",
        Refusal::Number => "repeated",
        Refusal::Decode => "undecodable",
    }
}

/// What was refused on that path, why it matters, and what to do.
pub fn refusal_advice(kind: Refusal, path: &str, names: &Names) -> String {
    if let Some(advice) = lan_advice(kind).filter(|_| path.starts_with("lan")) {
        return advice.to_string();
    }
    let key = &names.key_file;
    match kind {
        Refusal::Length | Refusal::Crc => {
            "bytes arrive that are no frames: somebody prints on the cable (a console, BIOS or login: turn \
                it off there), \
             another program reads our port (`fuser -v`), another baud rate, or a bad cable; while it lasts, \
             a box that is \
             off is taken over by `takeover GROUP --peer-is-off` alone"
                .to_string()
        }
        Refusal::Version => {
            "a frame of another protocol version: bring both nodes to the same one, unless cable-test runs \
                there"
                .to_string()
        }
        Refusal::Pair => "a frame of another pair: check where the cable goes, and `pair` in both \
                configurations"
            .to_string(),
        Refusal::Looped => {
            "our own frames come back: a loopback plug, a straight instead of a null-modem cable, or a login \
                there that \
             echoes"
                .to_string()
        }
        Refusal::SameNode => {
            "another box claims to be this node: give each box its own name (`uname -n`, or \
                --node)"
                .to_string()
        }
        Refusal::Path => "a frame that was sent on another path: two cables are swapped".to_string(),
        Refusal::UnknownKey => {
            format!(
                "frames with a key id that {key} does not have: copy the key file from one node to the \
                other"
            )
        }
        Refusal::Authenticator => {
            format!(
                "frames with a good CRC but another key: the two nodes' keys differ; copy {key} from one \
                    node to the other, \
                 unless another pair of the same name is at that end: check where the cable goes"
            )
        }
        Refusal::Decode => "an authentic frame that does not decode: bring both nodes to the same \
            version"
            .to_string(),
        Refusal::TooOften | Refusal::Session | Refusal::Number => "a stale frame".to_string(),
    }
}

/// The advice for a LAN, if its causes are others than those of a cable.
const fn lan_advice(kind: Refusal) -> Option<&'static str> {
    match kind {
        Refusal::Length | Refusal::Crc => Some(
            "datagrams arrive that are no frames: look for another program on this port, or for what damages \
                them on the way",
        ),
        Refusal::Pair => {
            Some("a frame of another pair: check the nodes' addresses, and `pair` in both configurations")
        }
        Refusal::Looped => Some(
            "our own frames come back: something on this LAN sends them back, or the peer's address leads \
                here",
        ),
        Refusal::Path => {
            Some("a frame that was sent on another path: the LANs stand in another order in one of the files")
        }
        Refusal::Version
        | Refusal::SameNode
        | Refusal::TooOften
        | Refusal::Session
        | Refusal::UnknownKey
        | Refusal::Authenticator
        | Refusal::Number
        | Refusal::Decode => None,
    }
}
