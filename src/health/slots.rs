//! Tables of numbers and instants, for a recording: serde has no arrays of more than 32 items.

use heapless::Vec;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Instant;

type Slot = (u32, Instant);

pub fn serialize<S: Serializer, const N: usize>(slots: &[Slot; N], to: S) -> Result<S::Ok, S::Error> {
    slots.as_slice().serialize(to)
}

pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[Slot; N], D::Error> {
    Vec::<Slot, N>::deserialize(from)?.into_array().map_err(|_| D::Error::custom("another size"))
}
