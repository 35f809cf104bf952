//! A sorted sequence of integers, each as many bytes wide as their spread needs: the small form of sets of integers.
//!
//! ```text
//!  width, 1 byte │ base, zigzag varint │ value − base, `width` bytes, little-endian │ …      ascending
//! ```
//!
//! The base is the smallest value of when the sequence was last written anew, which happens when a value is below it or too
//! far above it. Found by bisection, changed at the cost of its length.

use crate::memory::block_bytes;
use crate::packed::coding::{decode_varint, encode_varint, unzigzag, zigzag};

/// Sorted integers, borrowed.
#[derive(Clone, Copy)]
pub struct Ints<'a> {
    bytes: &'a [u8],
    width: usize,
    base: i64,
    values: &'a [u8],
}

impl<'a> Ints<'a> {
    /// The integers whose bytes [`IntSet::as_bytes`] gave.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Ints<'a> {
        let (base, first) = decode_varint(bytes, 1);
        Ints { bytes, width: usize::from(bytes[0]), base: unzigzag(base), values: &bytes[first..] }
    }

    /// The bytes that it was made of.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// None.
    pub fn empty() -> Ints<'a> {
        Ints::new(EMPTY)
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    #[inline]
    fn offset(&self, index: usize) -> u64 {
        let at = index * self.width;
        if let Some(eight) = self.values.get(at..at + 8) {
            let bytes = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
            return bytes & u64::MAX >> (64 - 8 * self.width);
        }
        self.values[at..at + self.width].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    }

    /// The integer of that rank.
    #[inline]
    pub fn get(&self, index: usize) -> i64 {
        self.base.wrapping_add(self.offset(index) as i64)
    }

    /// Where the integer is, or where it belongs.
    pub fn search(&self, value: i64) -> Result<usize, usize> {
        if value < self.base {
            return Err(0);
        }
        let offset = value.wrapping_sub(self.base) as u64;
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.offset(middle).cmp(&offset) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = i64> + use<'a> {
        let ints = *self;
        (0..ints.len()).map(move |index| ints.get(index))
    }
}

/// Sorted integers.
#[derive(Clone)]
pub struct IntSet {
    bytes: Vec<u8>,
}

/// No integers: one byte wide, the base is 0.
const EMPTY: &[u8] = &[1, 0];

impl Default for IntSet {
    fn default() -> IntSet {
        IntSet { bytes: EMPTY.to_vec() }
    }
}

impl IntSet {
    /// Takes over what [`IntSet::as_bytes`] gave.
    pub fn from_bytes(bytes: Vec<u8>) -> IntSet {
        IntSet { bytes }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Becomes a copy of others, in its own block if that is long enough.
    pub fn copy_from(&mut self, others: Ints<'_>) {
        self.bytes.clear();
        self.bytes.extend_from_slice(others.bytes);
    }

    #[inline]
    pub fn ints(&self) -> Ints<'_> {
        Ints::new(&self.bytes)
    }

    pub fn memory(&self) -> usize {
        block_bytes(self.bytes.capacity())
    }

    /// True when it was not there.
    pub fn insert(&mut self, value: i64) -> bool {
        let ints = self.ints();
        let Err(index) = ints.search(value) else { return false };
        let (width, base) = (ints.width, ints.base);
        let offset = value.wrapping_sub(base) as u64;
        if value < base || offset > u64::MAX >> (64 - 8 * width) {
            self.write_anew(index, value);
            return true;
        }
        let at = self.bytes.len() - ints.values.len() + index * width;
        let old_len = self.bytes.len();
        self.bytes.reserve_exact(width);
        self.bytes.resize(old_len + width, 0);
        self.bytes.copy_within(at..old_len, at + width);
        self.bytes[at..at + width].copy_from_slice(&offset.to_le_bytes()[..width]);
        true
    }

    /// True when it was there.
    pub fn remove(&mut self, value: i64) -> bool {
        let ints = self.ints();
        let Ok(index) = ints.search(value) else { return false };
        let width = ints.width;
        let at = self.bytes.len() - ints.values.len() + index * width;
        self.bytes.copy_within(at + width.., at);
        self.bytes.truncate(self.bytes.len() - width);
        if self.bytes.capacity() > 64 && self.bytes.len() < self.bytes.capacity() / 4 * 3 {
            self.bytes.shrink_to_fit();
        }
        true
    }

    /// With another base and width, and `value` at `index`.
    fn write_anew(&mut self, index: usize, value: i64) {
        let ints = self.ints();
        let mut values: Vec<i64> = ints.iter().collect();
        values.insert(index, value);
        let (base, last) = (values[0], values[values.len() - 1]);
        let spread = last.wrapping_sub(base) as u64;
        let width = (64 - (spread | 1).leading_zeros() as usize).div_ceil(8);
        let mut bytes = Vec::with_capacity(11 + values.len() * width);
        bytes.push(width as u8);
        encode_varint(zigzag(base), &mut bytes);
        for value in values {
            bytes.extend_from_slice(&(value.wrapping_sub(base) as u64).to_le_bytes()[..width]);
        }
        bytes.shrink_to_fit();
        self.bytes = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn like_a_set(steps in proptest::collection::vec((0u32..4, any::<i64>(), 0u32..64), 0..200)) {
            let mut model = BTreeSet::new();
            let mut ints = IntSet::default();
            for (kind, value, bits) in steps {
                let value = value >> bits;
                if kind > 0 {
                    prop_assert_eq!(ints.insert(value), model.insert(value));
                } else if let Some(&there) = model.range(value..).next() {
                    prop_assert!(ints.remove(there) && model.remove(&there));
                } else {
                    prop_assert!(!ints.remove(value));
                }
                prop_assert!(ints.ints().iter().eq(model.iter().copied()));
                prop_assert_eq!(ints.ints().contains(value), model.contains(&value));
            }
            prop_assert_eq!(ints.ints().len(), model.len());
        }
    }

    #[test]
    fn ten_integers_below_a_million_take_34_bytes() {
        let mut ints = IntSet::default();
        for i in 0..10 {
            ints.insert(70_000 + i * 90_000);
        }
        assert_eq!(ints.as_bytes().len(), 34);
        assert!(ints.memory() <= 40);
    }
}
