//! One element of a collection, borrowed: an integer, or any other string.
//!
//! Collections keep the decimal text of an integer as the integer; the two forms name the same element, and [`Item::of`]
//! decides which it is, so that each element has one form only.

use pinyon_base::number::{parse_i64, write_i64};

/// Longer texts cannot be an `i64`.
const INTEGER_TEXT_MAX: usize = 20;

/// An element. `Int` stands for its decimal text; `Bytes` is never the text of an integer when made by [`Item::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// The element that a client spelt.
    #[inline]
    pub fn of(text: &'a [u8]) -> Item<'a> {
        if text.len() > INTEGER_TEXT_MAX {
            return Item::Bytes(text);
        }
        parse_i64(text).map_or(Item::Bytes(text), Item::Int)
    }

    /// The same element in its one form: tables give the text of integers as `Bytes`.
    #[inline]
    pub fn canonical(self) -> Item<'a> {
        match self {
            Item::Bytes(text) => Item::of(text),
            int => int,
        }
    }

    /// The text; an integer's digits are written into `scratch`.
    #[inline]
    pub fn bytes<'s>(&'s self, scratch: &'s mut [u8; 20]) -> &'s [u8] {
        match self {
            Item::Int(value) => write_i64(scratch, *value),
            Item::Bytes(bytes) => bytes,
        }
    }

    /// Length of the text in bytes.
    pub fn text_len(&self) -> usize {
        match self {
            Item::Int(value) => write_i64(&mut [0; 20], *value).len(),
            Item::Bytes(bytes) => bytes.len(),
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes(&mut [0; 20]).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_the_text(text in prop_oneof!["-?[0-9]{0,21}", ".{0,30}"]) {
            let item = Item::of(text.as_bytes());
            prop_assert_eq!(item.to_vec(), text.as_bytes());
            prop_assert_eq!(item.text_len(), text.len());
        }

        #[test]
        fn integers_are_integers(value: i64) {
            let text = value.to_string();
            prop_assert_eq!(Item::of(text.as_bytes()), Item::Int(value));
        }
    }
}
