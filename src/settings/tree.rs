//! What a TOML file holds: a tree of values, each with its place. `document.rs` makes it.

use std::borrow::Cow;

/// A value and where it stands, as a byte offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At<T> {
    /// Byte offset of the value.
    pub(super) at: usize,
    /// The value.
    pub(super) value: T,
}

impl<T> At<T> {
    /// The same place, another value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At { at: self.at, value: change(self.value) }
    }
}

/// What a key can be.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Value<'t> {
    /// A string.
    Text(Cow<'t, str>),
    /// A whole number of any size.
    Integer(Integer<'t>),
    /// A number with a fraction, which no key of ours has.
    Fraction,
    /// True or false.
    Flag(bool),
    /// A date, which no key of ours has.
    Date,
    /// An array.
    Array(Array<'t>),
    /// A table.
    Table(Tree<'t>),
}

/// A whole number, as it was written.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Integer<'t> {
    /// Sign and digits, without the prefix of the radix.
    pub(super) digits: Cow<'t, str>,
    /// 2, 8, 10 or 16.
    pub(super) radix: u32,
}

/// An array.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Array<'t> {
    /// Its elements.
    pub(super) elements: Vec<At<Value<'t>>>,
    /// It grows with each `[[header]]`.
    pub(super) is_of_tables: bool,
}

/// One entry of a table.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Entry<'t> {
    /// The key.
    pub(super) key: At<Cow<'t, str>>,
    /// Its value.
    pub(super) value: At<Value<'t>>,
}

/// A table.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Tree<'t> {
    /// In the order of the keys.
    pub(super) entries: Vec<Entry<'t>>,
    /// Nothing but a longer name has made it so far.
    pub(super) is_implicit: bool,
    /// The longer name is that of a key, not of a table.
    pub(super) is_dotted: bool,
    /// It stands in braces.
    pub(super) is_inline: bool,
}

impl<'t> Tree<'t> {
    /// The entry of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry<'t>> {
        self.position(key).ok().and_then(|index| self.entries.get(index))
    }

    /// Where a key is, or where it would be.
    pub(super) fn position(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.key.value.as_ref().cmp(key))
    }

    /// The value of a key; what `new` makes, if there was none.
    pub(super) fn value_or(&mut self, key: At<Cow<'t, str>>, new: At<Value<'t>>) -> &mut Value<'t> {
        let index = match self.position(&key.value) {
            Ok(index) => index,
            Err(index) => {
                self.entries.insert(index, Entry { key, value: new });
                index
            }
        };
        &mut self.entries[index].value.value
    }
}
