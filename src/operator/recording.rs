//! The file that `why --record` writes and `simulate --replay` reads.
//!
//! ```text
//! magic | length 4 | what it is told with (postcard) | half | half
//! half  length 4 | CRC-32 4 | as crosswire::recorder lays it out
//! ```

use crosswire::frame::seal::crc32;
use serde::{Deserialize, Serialize};

use super::control::encode;

/// How every recording begins. The number is the version of the layout.
pub const MAGIC: &[u8] = b"crosswire recording 1\n";

/// The names that a recording is shown with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Caption {
    /// The node that made it.
    pub node: String,
    /// Its peer.
    pub peer: String,
    /// Names of the paths.
    pub paths: Vec<String>,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// Names of the interfaces.
    pub interfaces: Vec<String>,
    /// By group, the names of its scripts, one a line.
    pub scripts: Vec<String>,
}

/// The file. Only the build that made a recording can read it, so the file names the build.
pub fn written(told: &Caption, halves: [&[u8]; 2]) -> Vec<u8> {
    let told = encode(&(env!("CARGO_PKG_VERSION"), told)).unwrap_or_default();
    let mut file = MAGIC.to_vec();
    file.extend(length(&told));
    file.extend(told);
    for half in halves {
        file.extend(length(half));
        file.extend(crc32(half).to_le_bytes());
        file.extend(half);
    }
    file
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// Whether a file begins like a recording, of any layout.
#[cfg(feature = "workbench")]
pub fn is_one(file: &[u8]) -> bool {
    file.starts_with(MAGIC.get(..MAGIC.len() - 2).unwrap_or_default())
}

/// Reads a file: its names, and the two halves, the older one first.
///
/// # Errors
/// What is wrong with it, as a sentence.
#[cfg(feature = "workbench")]
pub fn read(file: &[u8]) -> Result<(Caption, [&[u8]; 2]), String> {
    const CUT: &str = "this recording is cut short";
    const SPOILT: &str = "this recording is spoilt: its checksum does not match";
    let rest = file.strip_prefix(MAGIC).ok_or("this recording is of another version of crosswire")?;
    let (told, rest) = measured(rest).ok_or(CUT)?;
    let (build, told): (&str, &[u8]) = postcard::take_from_bytes(told).map_err(|_| SPOILT)?;
    if build != env!("CARGO_PKG_VERSION") {
        let ours = env!("CARGO_PKG_VERSION");
        return Err(format!(
            "this recording is of crosswire {build}; replay it with that one (this is {ours})"
        ));
    }
    let told = postcard::from_bytes(told).map_err(|_| SPOILT)?;
    let (older, rest) = half(rest).ok_or(CUT)?;
    let (newer, rest) = half(rest).ok_or(CUT)?;
    let is_whole = |half: &Half<'_>| crc32(half.bytes) == half.crc;
    if !is_whole(&older) || !is_whole(&newer) || !rest.is_empty() {
        return Err(SPOILT.to_owned());
    }
    Ok((told, [older.bytes, newer.bytes]))
}

#[cfg(feature = "workbench")]
fn measured(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Half of a recording, with the checksum that it came with.
#[cfg(feature = "workbench")]
struct Half<'a> {
    bytes: &'a [u8],
    crc: u32,
}

#[cfg(feature = "workbench")]
fn half(bytes: &[u8]) -> Option<(Half<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((Half { bytes, crc: u32::from_le_bytes(*crc) }, rest))
}
