//! JSON for programs that ask: as much of it as crosswire says. No fractions, whose printing costs more than
//! all of this.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// A JSON value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `null`: there is none.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, not negative.
    Number(u64),
    /// A string.
    Text(Cow<'static, str>),
    /// An array.
    List(Vec<Value>),
    /// An object; its keys stay in the order in which they were given.
    Object(Vec<(Cow<'static, str>, Value)>),
}

/// `json!({ "key": value, ... })`: an object, of anything that becomes a [`Value`].
macro_rules! json {
    ({ $( $key:literal: $value:expr ),+ $(,)? }) => {
        {
            let mut object = Vec::new();
            $( $crate::operator::json::put(&mut object, $key, $value.into()); )+
            $crate::operator::json::Value::Object(object)
        }
    };
}
pub(crate) use json;

/// Out of line: a list of all of them at once is twice the code.
#[inline(never)]
pub fn put(object: &mut Vec<(Cow<'static, str>, Value)>, key: &'static str, value: Value) {
    object.push((Cow::Borrowed(key), value));
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Cow::Owned(value))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(Cow::Owned(value.clone()))
    }
}

impl From<&[String]> for Value {
    fn from(values: &[String]) -> Self {
        values.iter().map(Self::from).collect()
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl FromIterator<Value> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(values: I) -> Self {
        Self::List(values.into_iter().collect())
    }
}

impl FromIterator<(String, Value)> for Value {
    fn from_iter<I: IntoIterator<Item = (String, Self)>>(entries: I) -> Self {
        Self::Object(entries.into_iter().map(|(key, value)| (Cow::Owned(key), value)).collect())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) => quote(text, f),
            Self::List(values) => {
                f.write_char('[')?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    value.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Object(entries) => {
                f.write_char('{')?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    quote(key, f)?;
                    f.write_char(':')?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

/// A string by RFC 8259, section 7: quotes, backslashes and control characters escaped.
fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_value() {
        let names = ["a".to_owned(), "b".to_owned()];
        let value = json!({
            "text": "a \"b\" \\ \n\t ä\u{1}",
            "names": names.as_slice(),
            "none": None::<u32>,
            "some": Some(7u32),
            "yes": true,
            "most": u64::MAX,
            "inner": Value::Object(Vec::new()),
        });
        let expected = concat!(
            r#"{"text":"a \"b\" \\ \n\u0009 ä\u0001","names":["a","b"],"none":null,"some":7,"#,
            r#""yes":true,"most":18446744073709551615,"inner":{}}"#
        );
        assert_eq!(value.to_string(), expected);
    }

    proptest! {
        #[test]
        fn another_reader_reads_the_same(text: String, key: String) {
            let value: Value = [(key.clone(), Value::from(text.clone()))].into_iter().collect();
            let read: serde_json::Value = serde_json::from_str(&value.to_string()).expect("it is JSON");
            prop_assert_eq!(read, serde_json::json!({ key: text }));
        }
    }
}
