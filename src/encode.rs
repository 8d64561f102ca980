//! Values to bytes, in the format of postcard, into a room that may be too small for them.
//!
//! postcard's own writer fails at the first byte that has no room, so every field of every type checks for
//! failure. This writer goes on without writing, and reports the failure at the end: the router build is 8 KB
//! smaller.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// What has been written, and how much would have been.
struct Room<'a> {
    room: &'a mut [u8],
    wanted: usize,
}

impl Flavor for Room<'_> {
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let free = self.room.get_mut(self.wanted..).unwrap_or_default();
        free.iter_mut().zip(bytes).for_each(|(here, byte)| *here = *byte);
        self.wanted = self.wanted.saturating_add(bytes.len());
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.wanted)
    }
}

/// Writes a value; `None` if the room is too small, and the room then holds garbage.
pub fn to_slice<'a, T: Serialize + ?Sized>(value: &T, room: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let wanted = postcard::serialize_with_flavor(value, Room { room: &mut *room, wanted: 0 }).ok()?;
    room.get_mut(..wanted)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_writes_what_postcard_writes_and_knows_when_there_is_no_room(
            value in any::<(u64, Vec<(u8, Option<i32>)>, [u16; 3], bool)>(),
            room_bytes in 0..64_usize,
        ) {
            let (mut ours, mut theirs) = ([0; 64], [0; 64]);
            let expected = postcard::to_slice(&value, &mut theirs[..room_bytes]);
            let expected = expected.ok().map(|bytes| bytes.to_vec());
            let written = to_slice(&value, &mut ours[..room_bytes]).map(|bytes| bytes.to_vec());
            prop_assert_eq!(written, expected);
        }
    }
}
