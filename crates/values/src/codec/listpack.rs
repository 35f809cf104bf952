//! Listpacks: the packed form of small collections, of the nodes of lists, and of the entries of streams.
//!
//! ```text
//!  bytes, all of it  4, lowest first ┐
//!  elements          2, lowest first │ 65535: count them
//!  per element:                      │
//!    0vvvvvvv                        │ 0..=127
//!    10LLLLLL bytes                  │ a string of L
//!    110vvvvv vvvvvvvv               │ an integer of 13 bits, with sign
//!    1110LLLL LLLLLLLL bytes         │ a string of L
//!    F0 and L in 4, lowest first     │ a string of L
//!    F1, F2, F3, F4 and 2, 3, 4, 8   │ an integer, lowest byte first
//!    then the length of all this, to be read from behind: seven bits a byte, the highest bit
//!    set in all but the first
//!  FF                                ┘
//! ```
//!
//! A reader refuses whatever is not exactly this; what it gave before the damage was well formed.

use super::DecodeError;
use crate::Item;

const HEAD_BYTES: usize = 6;
const END: u8 = 0xFF;
/// The longest element whose length from behind takes one byte.
const ONE_BYTE_MAX: usize = 127;
/// As many elements or more are not counted in the head.
const UNCOUNTED: usize = 0xFFFF;

fn damaged(what: &'static str) -> DecodeError {
    DecodeError::Listpack(what)
}

/// The elements of a listpack, one after the other. An error is the last of them.
#[derive(Clone, Debug)]
pub struct Listpack<'a> {
    rest: &'a [u8],
    /// How many elements the head says are still to come.
    left: Option<usize>,
}

impl<'a> Listpack<'a> {
    /// Checks the head and the end.
    pub fn new(bytes: &'a [u8]) -> Result<Listpack<'a>, DecodeError> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(damaged("too short"))?;
        let [a, b, c, d, low, high] = *head;
        if u32::from_le_bytes([a, b, c, d]) as usize != bytes.len() {
            return Err(damaged("its length is not the one that it says"));
        }
        let Some((&END, rest)) = rest.split_last() else {
            return Err(damaged("its end is missing"));
        };
        let count = usize::from(u16::from_le_bytes([low, high]));
        Ok(Listpack { rest, left: (count != UNCOUNTED).then_some(count) })
    }

    fn element(&mut self) -> Result<Item<'a>, DecodeError> {
        let (item, len) = decode(self.rest).ok_or(damaged("an element is cut off, or of no known form"))?;
        if len <= ONE_BYTE_MAX && self.rest.get(len) == Some(&(len as u8)) {
            self.rest = &self.rest[len + 1..];
            return self.counted(item);
        }
        let stands = |width| self.rest.get(len..len + width) == Some(&seven_bits_a_byte(len, width)[..width]);
        let widths = [back_width(len), back_width_of_valkey(len)];
        let found = widths.into_iter().find(|width| stands(*width));
        let width = found.ok_or(damaged("a length from behind is not the one from the front"))?;
        self.rest = &self.rest[len + width..];
        self.counted(item)
    }

    fn counted(&mut self, item: Item<'a>) -> Result<Item<'a>, DecodeError> {
        match &mut self.left {
            Some(0) => return Err(damaged("more elements than it says")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(item)
    }
}

impl<'a> Iterator for Listpack<'a> {
    type Item = Result<Item<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return match self.left.replace(0) {
                Some(0) | None => None,
                Some(_) => Some(Err(damaged("fewer elements than it says"))),
            };
        }
        let element = self.element();
        if element.is_err() {
            (self.rest, self.left) = (&[], Some(0));
        }
        Some(element)
    }
}

/// The element at the front, and how many bytes it takes without its length from behind.
fn decode(bytes: &[u8]) -> Option<(Item<'_>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let string = |start: usize, len: usize| {
        let end = start.checked_add(len)?;
        Some((Item::of(bytes.get(start..end)?), end))
    };
    Some(match first {
        0x00..=0x7F => (Item::Int(i64::from(first)), 1),
        0x80..=0xBF => return string(1, usize::from(first & 0x3F)),
        0xC0..=0xDF => {
            let value = u16::from(first & 0x1F) << 8 | u16::from(*rest.first()?);
            (Item::Int(i64::from((value << 3) as i16 >> 3)), 2)
        }
        0xE0..=0xEF => return string(2, usize::from(first & 0x0F) << 8 | usize::from(*rest.first()?)),
        0xF0 => return string(5, u32::from_le_bytes(*rest.first_chunk()?) as usize),
        0xF1 => (Item::Int(i64::from(i16::from_le_bytes(*rest.first_chunk()?))), 3),
        0xF2 => {
            let [a, b, c] = *rest.first_chunk()?;
            (Item::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), 4)
        }
        0xF3 => (Item::Int(i64::from(i32::from_le_bytes(*rest.first_chunk()?))), 5),
        0xF4 => (Item::Int(i64::from_le_bytes(*rest.first_chunk()?)), 9),
        _ => return None,
    })
}

/// How many bytes the length of an element takes behind it. The steps are Redis's, one below what seven bits a byte allow.
fn back_width(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// Valkey 9 has the steps where seven bits a byte put them. So its listpacks with an element of exactly 16,383 bytes, say, are
/// none to Redis, nor those of Redis to it; here both are read, and those of Redis are written.
fn back_width_of_valkey(len: usize) -> usize {
    back_width(len.saturating_sub(1)).max(1 + usize::from(len > 127))
}

fn seven_bits_a_byte(len: usize, width: usize) -> [u8; 5] {
    let mut bytes = [0; 5];
    for (i, byte) in bytes[..width].iter_mut().enumerate() {
        let seven = (len >> (7 * (width - 1 - i))) as u8 & 0x7F;
        *byte = if i == 0 { seven } else { seven | 0x80 };
    }
    bytes
}

/// Makes a listpack, element by element.
#[derive(Clone, Debug)]
pub struct ListpackBuilder {
    bytes: Vec<u8>,
    count: usize,
}

impl Default for ListpackBuilder {
    fn default() -> Self {
        ListpackBuilder { bytes: vec![0; HEAD_BYTES], count: 0 }
    }
}

impl ListpackBuilder {
    pub fn push(&mut self, item: Item<'_>) {
        let start = self.bytes.len();
        match item {
            Item::Int(value) => self.push_integer(value),
            Item::Bytes(bytes) => self.push_string(bytes),
        }
        let len = self.bytes.len() - start;
        let width = back_width(len);
        self.bytes.extend_from_slice(&seven_bits_a_byte(len, width)[..width]);
        self.count += 1;
    }

    fn push_integer(&mut self, value: i64) {
        let bytes = value.to_le_bytes();
        match value {
            0..=127 => self.bytes.push(value as u8),
            -4096..=4095 => self.bytes.extend_from_slice(&[0xC0 | bytes[1] & 0x1F, bytes[0]]),
            -0x8000..=0x7FFF => self.push_wide(0xF1, &bytes[..2]),
            -0x80_0000..=0x7F_FFFF => self.push_wide(0xF2, &bytes[..3]),
            -0x8000_0000..=0x7FFF_FFFF => self.push_wide(0xF3, &bytes[..4]),
            _ => self.push_wide(0xF4, &bytes),
        }
    }

    fn push_wide(&mut self, lead: u8, bytes: &[u8]) {
        self.bytes.push(lead);
        self.bytes.extend_from_slice(bytes);
    }

    fn push_string(&mut self, text: &[u8]) {
        match text.len() {
            len @ 0..=63 => self.bytes.push(0x80 | len as u8),
            len @ 64..=4095 => self.bytes.extend_from_slice(&[0xE0 | (len >> 8) as u8, len as u8]),
            len => self.push_wide(0xF0, &(len as u32).to_le_bytes()),
        }
        self.bytes.extend_from_slice(text);
    }

    /// The whole listpack; the builder is empty afterwards.
    pub fn finish(&mut self) -> Vec<u8> {
        self.bytes.push(END);
        let len = u32::try_from(self.bytes.len()).expect("whoever fills it stays below 4 GiB");
        let count = self.count.min(UNCOUNTED) as u16;
        self.bytes[..4].copy_from_slice(&len.to_le_bytes());
        self.bytes[4..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
        std::mem::take(self).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn build(texts: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = ListpackBuilder::default();
        texts.iter().for_each(|text| builder.push(Item::of(text)));
        builder.finish()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
        Listpack::new(bytes)?.map(|item| item.map(|item| item.to_vec())).collect()
    }

    fn texts(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    /// The value of `RPUSH l a 1 300` and the scores of a sorted set, out of DUMP of redis-server 7.0.15.
    #[test]
    fn is_byte_for_byte_that_of_redis() {
        let list = b"\x0f\x00\x00\x00\x03\x00\x81a\x02\x01\x01\xc1,\x02\xff";
        assert_eq!(build(&texts(&["a", "1", "300"])), list);
        assert_eq!(read(list), Ok(texts(&["a", "1", "300"])));
        let scores = b"\x1c\x00\x00\x00\x06\x00\x81a\x02\x831.5\x04\x81b\x02\x02\x01\x81c\x02\x83inf\x04\xff";
        assert_eq!(build(&texts(&["a", "1.5", "b", "2", "c", "inf"])), scores);
    }

    /// An element of 16,383 bytes, its lead included, has three bytes behind it in redis-server 7.0.15.
    #[test]
    fn lengths_from_behind_take_a_byte_more_at_their_ends() {
        for (len, back) in [
            (127, &[127][..]),
            (128, &[1, 128]),
            (16_382, &[127, 254]),
            (16_383, &[0, 255, 255]),
            (2_097_150, &[127, 255, 254]),
            (2_097_151, &[0, 255, 255, 255]),
        ] {
            let width = back_width(len);
            assert_eq!(&seven_bits_a_byte(len, width)[..width], back, "{len}");
        }
    }

    /// As valkey-server 9.1.2 writes it; redis-server has `00 FF FF` behind the same element.
    #[test]
    fn an_element_at_a_step_in_either_form() {
        let text = vec![b'x'; 16_378];
        let ours = build(std::slice::from_ref(&text));
        assert!(ours.ends_with(b"x\x00\xff\xff\xff"));
        let mut theirs = [&ours[..ours.len() - 4], b"\x7f\xff\xff"].concat();
        theirs[..4].copy_from_slice(&(ours.len() as u32 - 1).to_le_bytes());
        assert_eq!(read(&theirs), Ok(vec![text.clone()]));
        assert_eq!(read(&ours), Ok(vec![text]));
        let same = (0..70_000).filter(|len| back_width(*len) == back_width_of_valkey(*len)).count();
        assert_eq!(same, 70_000 - 1);
    }

    #[test]
    fn many_elements_are_not_counted() {
        for count in [65_534, 65_535, 65_536, 70_000] {
            let many = vec![b"7".to_vec(); count];
            let bytes = build(&many);
            assert_eq!(Listpack::new(&bytes).expect("well formed").left, (count < UNCOUNTED).then_some(count));
            assert_eq!(read(&bytes).map(|items| items.len()), Ok(count));
        }
    }

    fn any_texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let text = prop_oneof![
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            (-10_000i64..10_000).prop_map(|n| n.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..200),
            (0usize..20_000).prop_map(|len| vec![b'x'; len]),
        ];
        proptest::collection::vec(text, 0..20)
    }

    proptest! {
        #[test]
        fn round_trip(texts in any_texts()) {
            let bytes = build(&texts);
            prop_assert_eq!(read(&bytes), Ok(texts));
        }

        #[test]
        fn any_bytes_are_no_panic(mut bytes: Vec<u8>, fit in any::<bool>()) {
            if fit && bytes.len() > HEAD_BYTES {
                let len = bytes.len();
                bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
                bytes[4..6].copy_from_slice(&[0xFF, 0xFF]);
                bytes[len - 1] = END;
            }
            let _ = read(&bytes);
        }

        #[test]
        fn cut_or_changed_it_is_refused_or_another(texts in any_texts(), at: prop::sample::Index, flip in 1u8..) {
            let bytes = build(&texts);
            let at = at.index(bytes.len());
            prop_assert!(read(&bytes[..at]).is_err());
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let _ = read(&changed);
        }
    }
}
