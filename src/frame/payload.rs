//! Payloads of the messages that are no beats, in either version of the protocol.

use super::aside::{Ask, MAX_CHUNK_BYTES, Subject, Tell};
use super::message::{Build, Give, Incarnation, SessionValue, decode_all};
use super::version::Version;
use super::{BUILD, Body, push};
use crate::encode::to_slice;

/// Writes a session message behind the header. Protocol 2 tells the build of the sender too.
pub(super) fn write_give(version: Version, give: &Give, body: &mut Body) {
    push(body, &give.to.0);
    push(body, &give.value.0);
    match version {
        Version::One => {}
        Version::Two => {
            push(body, &[u8::try_from(give.build.len()).unwrap_or(0)]);
            push(body, give.build.as_bytes());
        }
    }
}

/// Reads a session message. The value zero means 'none' and cannot be given.
pub(super) fn read_give(version: Version, payload: &[u8]) -> Option<Give> {
    let (to, rest) = payload.split_first_chunk::<8>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let build = match (version, rest) {
        (Version::One, []) => Build::new(),
        (Version::One, _) => return None,
        (Version::Two, rest) => read_build(rest)?,
    };
    let value = SessionValue(*value);
    (value != SessionValue::NONE).then_some(Give { to: Incarnation(*to), value, build })
}

/// Keeps as much of the name as there is room for, and only printable characters: it is shown on terminals.
fn read_build(rest: &[u8]) -> Option<Build> {
    let (count, rest) = rest.split_first()?;
    let name = rest.get(..usize::from(*count))?;
    let mut build = Build::new();
    for letter in name.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ') {
        let _ = build.push(char::from(*letter));
    }
    Some(build)
}

/// What this build calls itself.
pub(super) fn our_build() -> Build {
    Build::try_from(BUILD).unwrap_or_default()
}

/// Writes a question behind the header.
pub(super) fn write_ask(version: Version, ask: &Ask, body: &mut Body) {
    match version {
        Version::One => write_by_postcard(ask, body),
        Version::Two => {
            let [low, high] = ask.offset.to_le_bytes();
            push(body, &[ask.subject.number(), ask.reading, low, high]);
        }
    }
}

/// Reads a question.
pub(super) fn read_ask(version: Version, payload: &[u8]) -> Option<Ask> {
    match version {
        Version::One => decode_all(payload),
        Version::Two => {
            let ([subject, reading, low, high], _) = payload.split_first_chunk::<4>()?;
            let offset = u16::from_le_bytes([*low, *high]);
            Some(Ask { subject: Subject::from_number(*subject), reading: *reading, offset })
        }
    }
}

/// Writes a piece of an answer behind the header.
pub(super) fn write_tell(version: Version, tell: &Tell, body: &mut Body) {
    match version {
        Version::One => write_by_postcard(tell, body),
        Version::Two => {
            let ([offset_0, offset_1], [total_0, total_1]) =
                (tell.offset.to_le_bytes(), tell.total.to_le_bytes());
            let count = u8::try_from(tell.bytes.len()).unwrap_or(0);
            push(body, &[tell.reading, offset_0, offset_1, total_0, total_1, count]);
            push(body, &tell.bytes);
        }
    }
}

/// Reads a piece of an answer.
pub(super) fn read_tell(version: Version, payload: &[u8]) -> Option<Tell> {
    match version {
        Version::One => decode_all(payload),
        Version::Two => {
            let ([reading, offset_0, offset_1, total_0, total_1, count], rest) =
                payload.split_first_chunk::<6>()?;
            let bytes = rest.get(..usize::from(*count).min(MAX_CHUNK_BYTES))?;
            Some(Tell {
                reading: *reading,
                offset: u16::from_le_bytes([*offset_0, *offset_1]),
                total: u16::from_le_bytes([*total_0, *total_1]),
                bytes: heapless::Vec::from_slice(bytes).ok()?,
            })
        }
    }
}

fn write_by_postcard(value: &impl serde::Serialize, body: &mut Body) {
    let mut room = [0; super::MAX_BODY_BYTES];
    // Cannot fail: the longest of them is far shorter than a body.
    push(body, to_slice(value, &mut room).unwrap_or(&mut []));
}
