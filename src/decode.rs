//! Bytes to values, in the format of postcard, where the bytes may be anything.
//!
//! postcard's own reader can fail at every byte, so that every field of every type asks whether it has. This
//! one goes on with zeros and empty texts, and says at the end whether it had to: the counterpart of
//! [`encode`](crate::encode). Nothing is left to read of what has turned out to be no message.

use core::fmt::{self, Display};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Reads a value that fills its bytes exactly; `None` if it is not one.
pub fn from_bytes<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Option<T> {
    take_from_bytes(bytes).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// Reads a value, and gives what follows it too; `None` if it is not one.
pub fn take_from_bytes<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Option<(T, &'b [u8])> {
    let mut reader = Reader { rest: bytes, is_sound: true };
    let value = T::deserialize(&mut reader).ok()?;
    reader.is_sound.then_some((value, reader.rest))
}

/// What has not been read yet, and whether all that has been was what it should be.
struct Reader<'b> {
    rest: &'b [u8],
    is_sound: bool,
}

/// A type has no room for what was read.
#[derive(Debug)]
struct Refused;

impl Display for Refused {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl core::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// Numbers of seven bits a byte, the lowest first; the highest bit of a byte says that more follow.
macro_rules! numbers {
    ($($name:ident: $type:ty),*) => {$(
        #[inline(never)]
        fn $name(&mut self) -> $type {
            let (mut number, mut shift) = (0, 0);
            loop {
                let byte = self.byte();
                if shift + 7 > <$type>::BITS && byte >> (<$type>::BITS - shift) != 0 {
                    return self.spoil();
                }
                number |= <$type>::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return number;
                }
                shift += 7;
            }
        }
    )*};
}

impl<'b> Reader<'b> {
    numbers! { number_u16: u16, number_u32: u32, number_u64: u64 }

    #[inline(never)]
    fn spoil<T: Default>(&mut self) -> T {
        self.is_sound = false;
        self.rest = &[];
        T::default()
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.rest.split_first() else { return self.spoil() };
        self.rest = rest;
        *byte
    }

    /// One of two.
    #[inline(never)]
    fn flag(&mut self) -> bool {
        match self.byte() {
            0 => false,
            1 => true,
            _ => self.spoil(),
        }
    }

    /// How many elements follow; each takes a byte at least.
    #[inline(never)]
    fn count(&mut self) -> usize {
        let count = usize::try_from(self.number_u32()).unwrap_or(usize::MAX);
        if count > self.rest.len() { self.spoil() } else { count }
    }

    #[inline(never)]
    fn bytes(&mut self) -> &'b [u8] {
        let count = self.count();
        let (bytes, rest) = self.rest.split_at_checked(count).unwrap_or_default();
        self.rest = rest;
        bytes
    }

    #[inline(never)]
    fn text(&mut self) -> &'b str {
        core::str::from_utf8(self.bytes()).unwrap_or_else(|_| self.spoil())
    }
}

macro_rules! values {
    ($($method:ident: |$reader:ident| $visit:ident($value:expr);)*) => {$(
        fn $method<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Refused> {
            let $reader = self;
            visitor.$visit($value)
        }
    )*};
}

impl<'b> Deserializer<'b> for &mut Reader<'b> {
    type Error = Refused;

    fn is_human_readable(&self) -> bool {
        false
    }

    values! {
        deserialize_bool: |reader| visit_bool(reader.flag());
        deserialize_u8: |reader| visit_u8(reader.byte());
        deserialize_u16: |reader| visit_u16(reader.number_u16());
        deserialize_u32: |reader| visit_u32(reader.number_u32());
        deserialize_u64: |reader| visit_u64(reader.number_u64());
        deserialize_i32: |reader| visit_i32(signed(reader.number_u32()));
        deserialize_str: |reader| visit_borrowed_str(reader.text());
        deserialize_string: |reader| visit_borrowed_str(reader.text());
        deserialize_bytes: |reader| visit_borrowed_bytes(reader.bytes());
        deserialize_byte_buf: |reader| visit_borrowed_bytes(reader.bytes());
        deserialize_seq: |reader| visit_seq(Elements { left: reader.count(), reader });
    }

    fn deserialize_option<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Refused> {
        if self.flag() { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'b>>(self, _: &str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'b>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_seq(Fields(self))
    }

    fn deserialize_tuple_struct<V: Visitor<'b>>(
        self,
        _: &str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Fields(self))
    }

    fn deserialize_struct<V: Visitor<'b>>(
        self,
        _: &str,
        _: &[&str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Fields(self))
    }

    fn deserialize_enum<V: Visitor<'b>>(
        self,
        _: &str,
        variants: &[&str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_enum(Variants { reader: self, count: variants.len() })
    }

    /// The bytes do not say of which type they are.
    fn deserialize_any<V: Visitor<'b>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    forward_to_deserialize_any! {
        <W: Visitor<'b>>
        i8 i16 i64 i128 u128 f32 f64 char unit unit_struct map identifier ignored_any
    }
}

/// 0, -1, 1, -2, ...
fn signed(number: u32) -> i32 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Values of which the type knows how many there are.
struct Fields<'r, 'b>(&'r mut Reader<'b>);

impl<'b> SeqAccess<'b> for Fields<'_, 'b> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        seed.deserialize(&mut *self.0).map(Some)
    }
}

/// Values of which the bytes have said how many there are.
struct Elements<'r, 'b> {
    reader: &'r mut Reader<'b>,
    left: usize,
}

impl<'b> SeqAccess<'b> for Elements<'_, 'b> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'b>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if self.left == 0 || !self.reader.is_sound {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// One of `count` variants.
struct Variants<'r, 'b> {
    reader: &'r mut Reader<'b>,
    count: usize,
}

impl<'r, 'b> EnumAccess<'b> for Variants<'r, 'b> {
    type Error = Refused;
    type Variant = &'r mut Reader<'b>;

    fn variant_seed<S: DeserializeSeed<'b>>(self, seed: S) -> Result<(S::Value, Self::Variant), Refused> {
        let number = self.reader.number_u32();
        let is_known = usize::try_from(number).is_ok_and(|number| number < self.count);
        let number = if is_known { number } else { self.reader.spoil() };
        Ok((seed.deserialize(number.into_deserializer())?, self.reader))
    }
}

impl<'b> VariantAccess<'b> for &mut Reader<'b> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'b>>(self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'b>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_seq(Fields(self))
    }

    fn struct_variant<V: Visitor<'b>>(self, _: &[&str], visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_seq(Fields(self))
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    /// One of everything that our messages are made of.
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Sample {
        numbers: (u8, u16, u32, u64, i32, bool),
        maybe: Option<Vec<Option<String>>>,
        few: heapless::Vec<[u32; 2], 3>,
        kinds: Vec<Kind>,
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    enum Kind {
        Plain,
        Named { name: String, token: Token },
        Paired(u16, bool),
        Single(Option<u64>),
    }

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Token(u32);

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Plain),
            any::<(String, u32)>().prop_map(|(name, token)| Kind::Named { name, token: Token(token) }),
            any::<(u16, bool)>().prop_map(|(number, flag)| Kind::Paired(number, flag)),
            any::<Option<u64>>().prop_map(Kind::Single),
        ]
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let few = prop::collection::vec(any::<[u32; 2]>(), 0..=3);
        (any::<(u8, u16, u32, u64, i32, bool)>(), any::<Option<Vec<Option<String>>>>(), few, kinds())
            .prop_map(|(numbers, maybe, few, kinds)| Sample {
                numbers,
                maybe,
                few: few.into_iter().collect(),
                kinds,
            })
    }

    fn kinds() -> impl Strategy<Value = Vec<Kind>> {
        prop::collection::vec(kind(), 0..5)
    }

    fn is_read_as_by_postcard(bytes: &[u8]) -> bool {
        take_from_bytes::<Sample>(bytes) == postcard::take_from_bytes(bytes).ok()
    }

    proptest! {
        #[test]
        fn it_reads_what_postcard_has_written(value in sample(), behind in any::<[u8; 2]>()) {
            let mut room = std::vec![0; 65_536];
            let length = postcard::to_slice(&value, &mut room).expect("there is room").len();
            room.truncate(length);
            prop_assert_eq!(from_bytes::<Sample>(&room), Some(value.clone()));
            room.extend(behind);
            prop_assert_eq!(take_from_bytes::<Sample>(&room), Some((value, &behind[..])));
            prop_assert_eq!(from_bytes::<Sample>(&room), None);
        }

        #[test]
        fn it_takes_for_a_message_what_postcard_takes_for_one(
            value in sample(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            short in any::<Vec<u8>>(),
        ) {
            let mut room = std::vec![0; 65_536];
            let length = postcard::to_slice(&value, &mut room).expect("there is room").len();
            room.truncate(length);
            prop_assert!(is_read_as_by_postcard(&room[..at.index(length)]));
            room[at.index(length)] = byte;
            prop_assert!(is_read_as_by_postcard(&room));
            prop_assert!(is_read_as_by_postcard(&short));
        }

        #[test]
        fn numbers_end_where_postcards_do(
            bytes in prop::collection::vec(prop_oneof![Just(0x80), Just(0xff), any::<u8>()], 0..12),
        ) {
            prop_assert_eq!(take_from_bytes::<u16>(&bytes), postcard::take_from_bytes(&bytes).ok());
            prop_assert_eq!(take_from_bytes::<u32>(&bytes), postcard::take_from_bytes(&bytes).ok());
            prop_assert_eq!(take_from_bytes::<u64>(&bytes), postcard::take_from_bytes(&bytes).ok());
        }
    }
}
