//! Writing lengths and strings; their forms are drawn in `input.rs`.

use pinyon_base::write_i64;

use super::lzf;
use crate::Item;

/// Strings longer than this are compressed, if at all.
const COMPRESS_LEN_MIN: usize = 21;
/// What compressing must gain, in bytes.
const COMPRESS_GAIN_MIN: usize = 4;

/// Writes a length in as few bytes as it takes.
pub fn write_length(length: u64, out: &mut Vec<u8>) {
    if length < 1 << 6 {
        out.push(length as u8);
    } else if length < 1 << 14 {
        out.extend_from_slice(&[0x40 | (length >> 8) as u8, length as u8]);
    } else if let Ok(length) = u32::try_from(length) {
        out.push(0x80);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

/// Writes a string as short as it gets, compressed only if `compress` allows it.
pub fn write_item(item: Item<'_>, compress: bool, out: &mut Vec<u8>) {
    match item {
        Item::Int(value) => write_integer(value, out),
        Item::Bytes(bytes) => write_text(bytes, compress, out),
    }
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    let bytes = value.to_le_bytes();
    let (encoding, width) = match value {
        -0x80..=0x7F => (0, 1),
        -0x8000..=0x7FFF => (1, 2),
        -0x8000_0000..=0x7FFF_FFFF => (2, 4),
        _ => return write_raw(write_i64(&mut [0; 20], value), out),
    };
    out.push(0xC0 | encoding);
    out.extend_from_slice(&bytes[..width]);
}

/// Writes bytes that are no integer's text, or shall not be kept as an integer: a packed collection, a long string.
pub fn write_text(bytes: &[u8], compress: bool, out: &mut Vec<u8>) {
    if compress && bytes.len() >= COMPRESS_LEN_MIN {
        let start = out.len();
        if lzf::compress(bytes, COMPRESS_GAIN_MIN, out) {
            let stored = out.len() - start;
            out.push(0xC3);
            write_length(stored as u64, out);
            write_length(bytes.len() as u64, out);
            // The lengths belong before what they are of.
            out[start..].rotate_left(stored);
            return;
        }
    }
    write_raw(bytes, out);
}

fn write_raw(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::*;
    use proptest::prelude::*;

    /// As redis-server 7.0.15 dumps them.
    #[test]
    fn integers_are_as_short_as_those_of_redis() {
        for (text, bytes) in [
            (&b"100"[..], &b"\xc0d"[..]),
            (b"-1", b"\xc0\xff"),
            (b"1000", b"\xc1\xe8\x03"),
            (b"100000", b"\xc2\xa0\x86\x01\x00"),
            (b"10000000000", b"\x0b10000000000"),
            (b"hello", b"\x05hello"),
        ] {
            let mut out = Vec::new();
            write_item(Item::of(text), true, &mut out);
            assert_eq!(out, bytes);
        }
    }

    proptest! {
        #[test]
        fn lengths(length in prop_oneof![any::<u64>(), 0u64..20_000, any::<u32>().prop_map(u64::from)]) {
            let mut out = Vec::new();
            write_length(length, &mut out);
            prop_assert_eq!(Input::new(&out).length().ok(), Some(length));
        }

        #[test]
        fn strings(text in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..100),
            (0usize..5000).prop_map(|len| (0..len).map(|i| b"abc"[i * i % 3]).collect()),
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        ], compress: bool) {
            let mut out = Vec::new();
            write_item(Item::of(&text), compress, &mut out);
            let mut input = Input::new(&out);
            prop_assert_eq!(input.item(&mut Vec::new()).expect("what was written").to_vec(), text);
            prop_assert_eq!(input.at(), out.len());
        }
    }
}
