//! Little-endian integers, varints and the CRC, read from bytes that may be anything. Reading never panics: it says `None`.

use crc64fast::Digest;

/// The longest varint.
pub const VARINT_BYTES_MAX: usize = 10;

/// CRC-64/XZ of `bytes`.
pub fn crc64(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.write(bytes);
    digest.sum64()
}

/// The `N` bytes at `at`, if they are there.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// Writes `value` over the bytes from `at` on, which must be there.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A varint, as bytes on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Varint {
    bytes: [u8; VARINT_BYTES_MAX],
    length: usize,
}

impl Varint {
    pub fn new(mut value: u64) -> Varint {
        let mut bytes = [0; VARINT_BYTES_MAX];
        let mut length = 0;
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            bytes[length] = if value == 0 { low } else { low | 0x80 };
            length += 1;
            if value == 0 {
                return Varint { bytes, length };
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What [`read_varint`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadVarint {
    /// The value, and how many bytes it took.
    Value(u64, usize),
    /// The bytes end before it does.
    Short,
    /// More than 64 bits.
    Bad,
}

pub fn read_varint(bytes: &[u8]) -> ReadVarint {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let low = u64::from(byte & 0x7f);
        if i == VARINT_BYTES_MAX - 1 && low > 1 {
            return ReadVarint::Bad;
        }
        value |= low << (7 * i);
        if byte & 0x80 == 0 {
            return ReadVarint::Value(value, i + 1);
        }
    }
    if bytes.len() < VARINT_BYTES_MAX { ReadVarint::Short } else { ReadVarint::Bad }
}

/// `length` rounded up to a multiple of `align`.
pub fn round_up(length: u64, align: u32) -> u64 {
    length.next_multiple_of(u64::from(align))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_crc_is_xz() {
        assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
    }

    proptest! {
        #[test]
        fn varints_come_back(value: u64, shift in 0u32..64, rest: Vec<u8>) {
            let value = value >> shift;
            let written = Varint::new(value);
            let mut bytes = written.as_bytes().to_vec();
            for cut in 0..bytes.len() {
                prop_assert_eq!(read_varint(&bytes[..cut]), ReadVarint::Short);
            }
            bytes.extend(&rest);
            prop_assert_eq!(read_varint(&bytes), ReadVarint::Value(value, written.as_bytes().len()));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = read_varint(&bytes);
        }
    }
}
