//! How one element is written in a byte-packed sequence.
//!
//! ```text
//!  0vvvvvvv                       integer 0 to 127
//!  10llllll  bytes                string of up to 63 bytes
//!  110vvvvv  1 byte               integer of 13 bits, signed
//!  11100vvv  2 bytes              integer of 19 bits, signed
//!  11101vvv  3 bytes              integer of 27 bits, signed
//!  11110000  2 bytes  bytes       string, length up to 65,535
//!  11110001  4 bytes  bytes       string
//!  11110010 to 11110101           integer of 4, 5, 6 or 8 bytes, signed
//! ```
//!
//! All numbers are little-endian; where bits of the first byte belong to an integer, they are its highest. An element has one
//! encoding only (the shortest), so two encodings can be compared as bytes. Nothing is written behind an element: sequences
//! are walked forwards.
//!
//! The bytes come from this crate only; a sequence that was damaged makes these functions panic.

use crate::item::Item;

const STR16: u8 = 0xF0;
const STR32: u8 = 0xF1;
const INT32: u8 = 0xF2;
const INT40: u8 = 0xF3;
const INT48: u8 = 0xF4;
const INT64: u8 = 0xF5;

/// Whether `value` fits in that many bits, signed.
fn fits(value: i64, bits: u32) -> bool {
    (value << (64 - bits)) >> (64 - bits) == value
}

/// An integer's encoding: its first bytes and how many of them.
fn encode_int(value: i64) -> ([u8; 9], usize) {
    let mut out = [0; 9];
    let bytes = value.to_le_bytes();
    let len = if (0..128).contains(&value) {
        out[0] = value as u8;
        1
    } else if fits(value, 13) {
        out[0] = 0xC0 | (value >> 8) as u8 & 0x1F;
        2
    } else if fits(value, 19) {
        out[0] = 0xE0 | (value >> 16) as u8 & 0x07;
        3
    } else if fits(value, 27) {
        out[0] = 0xE8 | (value >> 24) as u8 & 0x07;
        4
    } else {
        let (kind, len) = match value {
            _ if fits(value, 32) => (INT32, 5),
            _ if fits(value, 40) => (INT40, 6),
            _ if fits(value, 48) => (INT48, 7),
            _ => (INT64, 9),
        };
        out[0] = kind;
        len
    };
    out[1..len].copy_from_slice(&bytes[..len - 1]);
    (out, len)
}

/// Bytes that the element takes.
pub fn encoded_len(item: Item<'_>) -> usize {
    match item {
        Item::Int(value) => encode_int(value).1,
        Item::Bytes(bytes) => string_header_len(bytes.len()) + bytes.len(),
    }
}

fn string_header_len(len: usize) -> usize {
    match len {
        0..=63 => 1,
        64..=0xFFFF => 3,
        _ => 5,
    }
}

/// Appends the element.
pub fn encode(item: Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Int(value) => {
            let (bytes, len) = encode_int(value);
            out.extend_from_slice(&bytes[..len]);
        }
        Item::Bytes(bytes) => {
            match bytes.len() {
                len @ 0..=63 => out.push(0x80 | len as u8),
                len @ 64..=0xFFFF => {
                    out.push(STR16);
                    out.extend_from_slice(&(len as u16).to_le_bytes());
                }
                len => {
                    out.push(STR32);
                    out.extend_from_slice(&u32::try_from(len).expect("a string below 4 GiB").to_le_bytes());
                }
            }
            out.extend_from_slice(bytes);
        }
    }
}

/// Bytes that Redis's listpack takes for the element, with the length behind it: some of its limits are in these.
pub fn listpack_len(item: Item<'_>) -> usize {
    let body = match item {
        Item::Int(0..=127) => 1,
        Item::Int(-4096..=4095) => 2,
        Item::Int(value) => match 64 - (value ^ value >> 63).leading_zeros() {
            0..=15 => 3,
            16..=23 => 4,
            24..=31 => 5,
            _ => 9,
        },
        Item::Bytes(bytes) => match bytes.len() {
            len @ 0..=63 => 1 + len,
            len @ 64..=4095 => 2 + len,
            len => 5 + len,
        },
    };
    body + match body {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    }
}

/// An unsigned number of up to 4 bytes, little-endian.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
}

/// A signed number whose highest `bits` are in `high`.
fn signed(high: u8, bits: u32, low: &[u8]) -> i64 {
    let value = low.iter().rev().fold(u64::from(high), |sum, &byte| sum << 8 | u64::from(byte));
    let unused = 64 - bits - 8 * low.len() as u32;
    (value << unused) as i64 >> unused
}

/// The element at `at` and where the next one begins.
#[inline]
pub fn decode(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let first = bytes[at];
    if first < 0x80 {
        return (Item::Int(i64::from(first)), at + 1);
    }
    if first < 0xC0 {
        let end = at + 1 + usize::from(first & 0x3F);
        return (Item::Bytes(&bytes[at + 1..end]), end);
    }
    decode_long(bytes, at)
}

fn decode_long(bytes: &[u8], at: usize) -> (Item<'_>, usize) {
    let first = bytes[at];
    let next = next_of(bytes, at);
    let tail = &bytes[at + 1..next];
    let item = match first {
        0xC0..=0xDF => Item::Int(signed(first & 0x1F, 5, tail)),
        0xE0..=0xEF => Item::Int(signed(first & 0x07, 3, tail)),
        STR16 => Item::Bytes(&tail[2..]),
        STR32 => Item::Bytes(&tail[4..]),
        _ => Item::Int(signed(0, 0, tail)),
    };
    (item, next)
}

/// Where the element behind the one at `at` begins.
#[inline]
pub fn next_of(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    match first {
        0..=0x7F => at + 1,
        0x80..=0xBF => at + 1 + usize::from(first & 0x3F),
        0xC0..=0xDF => at + 2,
        0xE0..=0xE7 => at + 3,
        0xE8..=0xEF => at + 4,
        STR16 => at + 3 + number(&bytes[at + 1..at + 3]),
        STR32 => at + 5 + number(&bytes[at + 1..at + 5]),
        INT32 => at + 5,
        INT40 => at + 6,
        INT48 => at + 7,
        INT64 => at + 9,
        other => panic!("a packed sequence holds the byte {other:#x}"),
    }
}

/// Appends an unsigned number in groups of seven bits, the lowest first; all but the last have their high bit set.
pub fn encode_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number at `at` and what lies behind it.
#[inline]
pub fn decode_varint(bytes: &[u8], at: usize) -> (u64, usize) {
    let first = bytes[at];
    if first < 0x80 {
        return (u64::from(first), at + 1);
    }
    let (mut value, mut shift, mut next) = (u64::from(first & 0x7F), 7, at + 1);
    loop {
        let byte = bytes[next];
        value |= u64::from(byte & 0x7F) << shift;
        next += 1;
        if byte < 0x80 {
            return (value, next);
        }
        shift += 7;
    }
}

/// Bytes that [`encode_varint`] takes.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Signed numbers near 0 as small unsigned ones.
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Undoes [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(item: Item<'_>) {
        let mut out = vec![7];
        encode(item, &mut out);
        assert_eq!(out.len(), 1 + encoded_len(item), "{item:?}");
        out.push(9);
        assert_eq!(decode(&out, 1), (item, out.len() - 1), "{item:?}");
        assert_eq!(next_of(&out, 1), out.len() - 1);
    }

    #[test]
    fn integers_at_every_edge() {
        for bits in 0..64 {
            for near in -2i64..=2 {
                round_trip(Item::Int((1i64 << bits).wrapping_add(near)));
                round_trip(Item::Int((1i64 << bits).wrapping_neg().wrapping_add(near)));
            }
        }
        assert_eq!(encoded_len(Item::Int(127)), 1);
        assert_eq!(encoded_len(Item::Int(-1)), 2);
        assert_eq!(encoded_len(Item::Int(4095)), 2);
        assert_eq!(encoded_len(Item::Int(10_000_000)), 4);
    }

    #[test]
    fn strings_of_every_header() {
        for len in [0, 1, 63, 64, 65_535, 65_536, 100_000] {
            round_trip(Item::Bytes(&vec![b'x'; len]));
        }
    }

    proptest! {
        #[test]
        fn any_integer(value: i64, bits in 0u32..64) {
            round_trip(Item::Int(value >> bits));
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }

        #[test]
        fn any_varint(value: u64, bits in 0u32..64) {
            let value = value >> bits;
            let mut out = vec![0];
            encode_varint(value, &mut out);
            prop_assert_eq!(out.len(), 1 + varint_len(value));
            prop_assert_eq!(decode_varint(&out, 1), (value, out.len()));
        }
    }
}
