//! Strings as rows of bits: BITCOUNT, BITPOS, BITOP and BITFIELD, over plain bytes.
//!
//! Bits are numbered from the highest of the first byte on. Bits behind the end are 0 where that makes sense; a range of bits is
//! half open.

use std::ops::Range;

/// How many bits of the bytes are 1.
pub fn count(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let sum: u64 = words
        .by_ref()
        .map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")).count_ones())
        .map(u64::from)
        .sum();
    sum + words.remainder().iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// How many bits of a range are 1. The range lies within the bytes.
pub fn count_range(bytes: &[u8], range: Range<u64>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let (first, last) = ((range.start / 8) as usize, ((range.end - 1) / 8) as usize);
    let before = bytes[first] & !(0xFFu8 >> (range.start % 8));
    let behind = bytes[last] & 0x7Fu8.checked_shr(((range.end - 1) % 8) as u32).unwrap_or(0);
    count(&bytes[first..=last]) - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

/// The first bit of a range that is `set`, or not. The range lies within the bytes.
pub fn first(bytes: &[u8], set: bool, range: Range<u64>) -> Option<u64> {
    if range.is_empty() {
        return None;
    }
    let skipped: u8 = if set { 0x00 } else { 0xFF };
    let (first_byte, last_byte) = ((range.start / 8) as usize, ((range.end - 1) / 8) as usize);
    let in_byte = |index: usize, from: u32| {
        // Those looked for as ones, without those before the range.
        let ones = (bytes[index] ^ skipped) & 0xFFu8.checked_shr(from).unwrap_or(0);
        (ones != 0).then(|| index as u64 * 8 + u64::from(ones.leading_zeros()))
    };
    let found = in_byte(first_byte, (range.start % 8) as u32).or_else(|| {
        let rest = &bytes[first_byte + 1..=last_byte];
        let words = rest.chunks_exact(8).take_while(|word| word.iter().all(|byte| *byte == skipped)).count();
        let tail = rest[words * 8..].iter().position(|byte| *byte != skipped)?;
        in_byte(first_byte + 1 + words * 8 + tail, 0)
    })?;
    (found < range.end).then_some(found)
}

/// An operation of BITOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    And,
    Or,
    Xor,
    /// Of one source.
    Not,
}

/// Works out a part of BITOP's result, whose length is that of the longest source; shorter ones are continued with zeros. The part
/// begins at byte `from` and is as long as `out`.
pub fn combine(operation: Operation, sources: &[&[u8]], from: usize, out: &mut [u8]) {
    let part = |source: &[u8]| {
        let source = source.get(from..).unwrap_or(&[]);
        source.len().min(out.len())
    };
    let lens: Vec<usize> = sources.iter().map(|source| part(source)).collect();
    let Some((first, others)) = sources.split_first() else { return };
    let piece = |source: &&[u8], len: usize| source.get(from..).unwrap_or(&[]).get(..len).unwrap_or(&[]).to_owned();
    let begin = piece(first, lens[0]);
    out[..lens[0]].copy_from_slice(&begin);
    out[lens[0]..].fill(0);
    for (source, &len) in others.iter().zip(&lens[1..]) {
        let bytes = source.get(from..).unwrap_or(&[]);
        let (both, rest) = out.split_at_mut(len);
        let pairs = both.iter_mut().zip(bytes);
        match operation {
            Operation::And => {
                pairs.for_each(|(one, other)| *one &= other);
                rest.fill(0);
            }
            Operation::Or => pairs.for_each(|(one, other)| *one |= other),
            Operation::Xor | Operation::Not => pairs.for_each(|(one, other)| *one ^= other),
        }
    }
    if operation == Operation::Not {
        out.iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// The kind of a field of BITFIELD: up to 64 bits signed, up to 63 unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldKind {
    pub signed: bool,
    pub bits: u32,
}

/// What becomes of a value that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

impl FieldKind {
    fn min(self) -> i128 {
        if self.signed { -(1 << (self.bits - 1)) } else { 0 }
    }

    fn max(self) -> i128 {
        if self.signed { (1 << (self.bits - 1)) - 1 } else { (1 << self.bits) - 1 }
    }

    /// The low bits as a value of this kind.
    fn wrap(self, value: i128) -> i128 {
        let unused = 128 - self.bits;
        if self.signed { value << unused >> unused } else { ((value as u128) << unused >> unused) as i128 }
    }

    /// Reads the field at a bit; bits behind the end are 0.
    pub fn get(self, bytes: &[u8], at: u64) -> i64 {
        let mut value: u128 = 0;
        let first = at / 8;
        // A field touches nine bytes at most.
        for index in first..first + 9 {
            let byte = usize::try_from(index).ok().and_then(|index| bytes.get(index)).copied().unwrap_or(0);
            value = value << 8 | u128::from(byte);
        }
        let raw = value >> (72 - at % 8 - u64::from(self.bits)) & ((1 << self.bits) - 1);
        self.wrap(raw as i128) as i64
    }

    /// Writes the field at a bit; the bytes reach to its end.
    pub fn set(self, bytes: &mut [u8], at: u64, value: i64) {
        for bit in 0..u64::from(self.bits) {
            let is_set = value >> (u64::from(self.bits) - 1 - bit) & 1 == 1;
            let place = at + bit;
            let mask = 0x80u8 >> (place % 8);
            let byte = &mut bytes[(place / 8) as usize];
            *byte = if is_set { *byte | mask } else { *byte & !mask };
        }
    }

    /// The value that SET stores for what the client gave; `None` when it does not fit and shall fail.
    pub fn fit(self, value: i64, overflow: Overflow) -> Option<i64> {
        // A negative number for an unsigned field counts as its 64 bits.
        let value = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        // Redis takes numbers so far below for ones above: its distance to the largest overflows.
        if overflow == Overflow::Saturate && self.bits < 64 && self.max() - value > i128::from(i64::MAX) {
            return Some(self.max() as i64);
        }
        self.settle(value, overflow)
    }

    /// The value that INCRBY stores; `None` when it does not fit and shall fail.
    pub fn increment(self, value: i64, by: i64, overflow: Overflow) -> Option<i64> {
        self.settle(i128::from(value) + i128::from(by), overflow)
    }

    fn settle(self, value: i128, overflow: Overflow) -> Option<i64> {
        let fits = (self.min()..=self.max()).contains(&value);
        let settled = match overflow {
            _ if fits => value,
            Overflow::Wrap => self.wrap(value),
            Overflow::Saturate => value.clamp(self.min(), self.max()),
            Overflow::Fail => return None,
        };
        Some(settled as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(bytes: &[u8], at: u64) -> bool {
        bytes.get((at / 8) as usize).is_some_and(|byte| byte & 0x80 >> (at % 8) != 0)
    }

    proptest! {
        #[test]
        fn counts_and_positions(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xFF), any::<u8>()], 1..90),
            a: u64,
            b: u64,
        ) {
            let bits = bytes.len() as u64 * 8;
            let (start, end) = (a % bits, b % (bits + 1));
            let ones = (start..end).filter(|&at| bit(&bytes, at)).count() as u64;
            prop_assert_eq!(count_range(&bytes, start..end), ones);
            prop_assert_eq!(count(&bytes), (0..bits).filter(|&at| bit(&bytes, at)).count() as u64);
            for set in [false, true] {
                prop_assert_eq!(first(&bytes, set, start..end), (start..end).find(|&at| bit(&bytes, at) == set));
            }
        }

        #[test]
        fn combined_in_parts(
            sources in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..4),
            part in 1usize..20,
        ) {
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
            for operation in [Operation::And, Operation::Or, Operation::Xor, Operation::Not] {
                let sources = if operation == Operation::Not { &sources[..1] } else { &sources[..] };
                let len = if operation == Operation::Not { sources[0].len() } else { len };
                let mut out = vec![0xEE; len];
                for (index, piece) in out.chunks_mut(part).enumerate() {
                    combine(operation, sources, index * part, piece);
                }
                for at in 0..len as u64 * 8 {
                    let mut bits = sources.iter().map(|source| bit(source, at));
                    let expected = match operation {
                        Operation::And => bits.all(|bit| bit),
                        Operation::Or => bits.any(|bit| bit),
                        Operation::Xor => bits.filter(|bit| *bit).count() % 2 == 1,
                        Operation::Not => !bits.all(|bit| bit),
                    };
                    prop_assert_eq!(bit(&out, at), expected);
                }
            }
        }

        #[test]
        fn a_field_is_read_as_written(
            bytes in proptest::collection::vec(any::<u8>(), 24),
            signed: bool,
            bits in 1u32..=64,
            at in 0u64..120,
            value: i64,
        ) {
            let kind = FieldKind { signed, bits: if signed { bits } else { bits.min(63) } };
            let stored = kind.fit(value, Overflow::Wrap).expect("wraps");
            let mut changed = bytes.clone();
            kind.set(&mut changed, at, stored);
            prop_assert_eq!(kind.get(&changed, at), stored);
            for place in (0..192).filter(|place| !(at..at + u64::from(kind.bits)).contains(place)) {
                prop_assert_eq!(bit(&changed, place), bit(&bytes, place));
            }
            prop_assert_eq!(kind.fit(stored, Overflow::Fail), Some(stored));
        }
    }

    /// What redis-server 7.0.15 answers.
    #[test]
    fn overflow_as_redis_has_it() {
        let (i8s, u8s, i64s) = (
            FieldKind { signed: true, bits: 8 },
            FieldKind { signed: false, bits: 8 },
            FieldKind { signed: true, bits: 64 },
        );
        use Overflow::{Fail, Saturate, Wrap};
        assert_eq!([Wrap, Saturate, Fail].map(|how| i8s.increment(100, 100, how)), [Some(-56), Some(127), None]);
        assert_eq!([Wrap, Saturate, Fail].map(|how| u8s.increment(10, -20, how)), [Some(246), Some(0), None]);
        assert_eq!([Wrap, Saturate, Fail].map(|how| u8s.fit(-1, how)), [Some(255), Some(255), None]);
        assert_eq!([Wrap, Saturate, Fail].map(|how| i8s.fit(-200, how)), [Some(56), Some(-128), None]);
        let lowest = [i64::MIN, i64::MIN + 127, i64::MIN + 128];
        assert_eq!(lowest.map(|value| i8s.fit(value, Saturate)), [Some(127), Some(127), Some(-128)]);
        assert_eq!(i64s.fit(i64::MIN, Saturate), Some(i64::MIN));
        let most = [Wrap, Saturate, Fail].map(|how| i64s.increment(i64::MAX, 1, how));
        assert_eq!(most, [Some(i64::MIN), Some(i64::MAX), None]);
    }

    #[test]
    fn behind_the_end_are_zeros() {
        let kind = FieldKind { signed: false, bits: 16 };
        assert_eq!(kind.get(b"\xFF", 4), 0xF000);
        assert_eq!(kind.get(b"", u64::MAX - 100), 0);
    }
}
