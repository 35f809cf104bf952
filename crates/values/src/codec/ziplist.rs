//! Ziplists and zipmaps: the packed forms that files of Redis before 7.0 and 2.6 have. They are read, never written.
//!
//! ```text
//!  ziplist   bytes, all of it       4, lowest first (as all numbers but one)
//!            offset of the last one 4
//!            entries                2; 65535: count them
//!            per entry:
//!              length of the entry before   1, or FE and 4
//!              00LLLLLL                     a string of L
//!              01LLLLLL LLLLLLLL            a string of L, highest byte first
//!              10------ and L in 4          a string of L, highest byte first
//!              C0, D0, E0 and 2, 4, 8       an integer
//!              F0 and 3, FE and 1           an integer
//!              F1 to FD                     0 to 12
//!            FF
//!
//!  zipmap    pairs                  1; 254 and more: count them
//!            per pair:
//!              length               1, or FE and 4
//!              the field
//!              length               1, or FE and 4
//!              unused bytes         1
//!              the value, and that many bytes that mean nothing
//!            FF
//! ```

use super::DecodeError;
use crate::Item;

const END: u8 = 0xFF;
const FAR: u8 = 0xFE;
const HEAD_BYTES: usize = 10;
const UNCOUNTED: u16 = 0xFFFF;

/// The elements of a ziplist, one after the other. An error is the last of them.
#[derive(Clone, Debug)]
pub struct Ziplist<'a> {
    rest: &'a [u8],
    before: usize,
    left: Option<u16>,
}

impl<'a> Ziplist<'a> {
    /// Checks the head and the end.
    pub fn new(bytes: &'a [u8]) -> Result<Ziplist<'a>, DecodeError> {
        let damaged = DecodeError::Ziplist;
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(damaged("too short"))?;
        let [a, b, c, d, .., low, high] = *head;
        if u32::from_le_bytes([a, b, c, d]) as usize != bytes.len() {
            return Err(damaged("its length is not the one that it says"));
        }
        let Some((&END, rest)) = rest.split_last() else {
            return Err(damaged("its end is missing"));
        };
        let count = u16::from_le_bytes([low, high]);
        Ok(Ziplist { rest, before: 0, left: (count != UNCOUNTED).then_some(count) })
    }

    fn element(&mut self) -> Result<Item<'a>, DecodeError> {
        let damaged = DecodeError::Ziplist;
        let (before, lead) = near_or_far(self.rest).ok_or(damaged("an entry is cut off"))?;
        if before != self.before {
            return Err(damaged("the length of the entry before is not the one that an entry says"));
        }
        let (item, len) = decode(&self.rest[lead..]).ok_or(damaged("an entry is cut off, or of no known form"))?;
        self.before = lead + len;
        self.rest = &self.rest[lead + len..];
        match &mut self.left {
            Some(0) => return Err(damaged("more entries than it says")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(item)
    }
}

impl<'a> Iterator for Ziplist<'a> {
    type Item = Result<Item<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return match self.left.replace(0) {
                Some(0) | None => None,
                Some(_) => Some(Err(DecodeError::Ziplist("fewer entries than it says"))),
            };
        }
        let element = self.element();
        if element.is_err() {
            (self.rest, self.left) = (&[], Some(0));
        }
        Some(element)
    }
}

/// A length of one byte, or of four after `FE`; and how many bytes it takes.
fn near_or_far(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.split_first()? {
        (&FAR, rest) => Some((u32::from_le_bytes(*rest.first_chunk()?) as usize, 5)),
        (&END, _) => None,
        (&near, _) => Some((usize::from(near), 1)),
    }
}

/// The entry at the front without its first length, and how many bytes it takes.
fn decode(bytes: &[u8]) -> Option<(Item<'_>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let string = |start: usize, len: usize| {
        let end = start.checked_add(len)?;
        Some((Item::of(bytes.get(start..end)?), end))
    };
    Some(match first {
        0x00..=0x3F => return string(1, usize::from(first)),
        0x40..=0x7F => return string(2, usize::from(first & 0x3F) << 8 | usize::from(*rest.first()?)),
        0x80..=0xBF => return string(5, u32::from_be_bytes(*rest.first_chunk()?) as usize),
        0xC0 => (Item::Int(i64::from(i16::from_le_bytes(*rest.first_chunk()?))), 3),
        0xD0 => (Item::Int(i64::from(i32::from_le_bytes(*rest.first_chunk()?))), 5),
        0xE0 => (Item::Int(i64::from_le_bytes(*rest.first_chunk()?)), 9),
        0xF0 => {
            let [a, b, c] = *rest.first_chunk()?;
            (Item::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), 4)
        }
        0xFE => (Item::Int(i64::from(*rest.first()? as i8)), 2),
        0xF1..=0xFD => (Item::Int(i64::from(first) - 0xF1), 1),
        _ => return None,
    })
}

/// Hands the pairs of a zipmap to `each`.
pub fn read_zipmap<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    const COUNTED_MAX: u8 = 253;
    let damaged = DecodeError::Zipmap;
    let (&said, mut rest) = bytes.split_first().ok_or(damaged("too short"))?;
    let mut count = 0;
    while rest != [END] {
        let (field, value, after) = pair(rest).ok_or(damaged("a pair is cut off"))?;
        each(field, value)?;
        rest = after;
        count += 1;
    }
    if said <= COUNTED_MAX && usize::from(said) != count {
        return Err(damaged("the number of pairs is not the one that it says"));
    }
    Ok(())
}

fn pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, lead) = near_or_far(bytes)?;
    let (field, rest) = bytes.get(lead..)?.split_at_checked(len)?;
    let (len, lead) = near_or_far(rest)?;
    let (&unused, rest) = rest.get(lead..)?.split_first()?;
    let (value, rest) = rest.split_at_checked(len)?;
    Some((field, value, rest.get(usize::from(unused)..)?))
}

/// Ziplists and zipmaps for tests, which no server of today makes any more.
#[cfg(test)]
pub(crate) mod making {
    use super::*;

    pub fn ziplist(items: &[Item<'_>]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        let (mut before, mut last) = (0usize, HEAD_BYTES);
        for item in items {
            last = bytes.len();
            if before < usize::from(FAR) {
                bytes.push(before as u8);
            } else {
                bytes.push(FAR);
                bytes.extend_from_slice(&(before as u32).to_le_bytes());
            }
            push(*item, &mut bytes);
            before = bytes.len() - last;
        }
        bytes.push(END);
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[4..8].copy_from_slice(&(last as u32).to_le_bytes());
        bytes[8..10].copy_from_slice(&(items.len() as u16).to_le_bytes());
        bytes
    }

    fn push(item: Item<'_>, out: &mut Vec<u8>) {
        match item {
            Item::Int(value @ 0..=12) => out.push(0xF1 + value as u8),
            Item::Int(value) => {
                let (lead, width) = match value {
                    -0x80..=0x7F => (0xFE, 1),
                    -0x8000..=0x7FFF => (0xC0, 2),
                    -0x80_0000..=0x7F_FFFF => (0xF0, 3),
                    -0x8000_0000..=0x7FFF_FFFF => (0xD0, 4),
                    _ => (0xE0, 8),
                };
                out.push(lead);
                out.extend_from_slice(&value.to_le_bytes()[..width]);
            }
            Item::Bytes(text) => {
                match text.len() {
                    len @ 0..=0x3F => out.push(len as u8),
                    len @ 0x40..=0x3FFF => out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]),
                    len => {
                        out.push(0x80);
                        out.extend_from_slice(&(len as u32).to_be_bytes());
                    }
                }
                out.extend_from_slice(text);
            }
        }
    }

    pub fn zipmap(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = vec![pairs.len().min(254) as u8];
        for (i, (field, value)) in pairs.iter().enumerate() {
            let unused = i % 3;
            for (text, is_value) in [(field, false), (value, true)] {
                if text.len() < usize::from(FAR) {
                    bytes.push(text.len() as u8);
                } else {
                    bytes.push(FAR);
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                }
                if is_value {
                    bytes.push(unused as u8);
                }
                bytes.extend_from_slice(text);
            }
            bytes.extend_from_slice(&[0xEE; 2][..unused]);
        }
        bytes.push(END);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
        Ziplist::new(bytes)?.map(|item| item.map(|item| item.to_vec())).collect()
    }

    fn any_texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let text = prop_oneof![
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            (-20i64..40_000).prop_map(|n| n.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..100),
            (200usize..20_000).prop_map(|len| vec![b'x'; len]),
        ];
        proptest::collection::vec(text, 0..20)
    }

    proptest! {
        #[test]
        fn round_trip(texts in any_texts()) {
            let items: Vec<Item<'_>> = texts.iter().map(|text| Item::of(text)).collect();
            let bytes = making::ziplist(&items);
            prop_assert_eq!(read(&bytes), Ok(texts.clone()));
            for cut in [0, 1, 9, 10, bytes.len() / 2, bytes.len() - 1] {
                prop_assert!(read(&bytes[..cut.min(bytes.len() - 1)]).is_err());
            }
        }

        #[test]
        fn zipmaps(texts in any_texts()) {
            let pairs: Vec<(&[u8], &[u8])> = texts.iter().zip(texts.iter().rev()).map(|(a, b)| (&a[..], &b[..])).collect();
            let bytes = making::zipmap(&pairs);
            let mut found = Vec::new();
            let result = read_zipmap(&bytes, |field, value| {
                found.push((field, value));
                Ok(())
            });
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(found, pairs);
            for cut in 0..bytes.len().min(300) {
                prop_assert!(read_zipmap(&bytes[..cut], |_, _| Ok(())).is_err());
            }
        }

        #[test]
        fn any_bytes_are_no_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read_zipmap(&bytes, |_, _| Ok(()));
        }
    }
}
