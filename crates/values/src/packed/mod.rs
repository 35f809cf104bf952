//! A byte-packed sequence of elements: the small form of hashes, sets and sorted sets.
//!
//! Not for long sequences: to find and to change something costs their length.
//!
//! ```text
//!  count, varint │ element │ element │ …         elements as `coding` draws them
//! ```
//!
//! The whole sequence is one run of bytes that means the same anywhere: [`Seq`] reads it where it lies (also inside an entry of
//! a table), [`Packed`] owns and changes it. Its block is as long as its content.

pub mod coding;

use crate::item::Item;
use crate::memory::block_bytes;
use coding::{decode, decode_varint, encode, encode_varint, next_of, varint_len};

/// A packed sequence, borrowed.
#[derive(Clone, Copy)]
pub struct Seq<'a> {
    bytes: &'a [u8],
}

impl<'a> Seq<'a> {
    /// The sequence that [`Packed::as_bytes`] gave.
    pub fn new(bytes: &'a [u8]) -> Seq<'a> {
        Seq { bytes }
    }

    /// One without elements.
    pub const EMPTY: Seq<'static> = Seq { bytes: &[0] };

    /// Its bytes, as [`Packed::as_bytes`] gives them.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        decode_varint(self.bytes, 0).0 as usize
    }

    pub fn is_empty(&self) -> bool {
        self.bytes[0] == 0
    }

    /// Where the first element lies.
    #[inline]
    pub fn first(&self) -> usize {
        decode_varint(self.bytes, 0).1
    }

    /// Where an element after the last would lie.
    pub fn end(&self) -> usize {
        self.bytes.len()
    }

    /// The element at this place, and the place of the next.
    #[inline]
    pub fn at(&self, place: usize) -> (Item<'a>, usize) {
        decode(self.bytes, place)
    }

    /// The place of the element of that number; the end if there are fewer. Costs the number.
    pub fn place_of(&self, index: usize) -> usize {
        if index >= self.len() {
            return self.end();
        }
        (0..index).fold(self.first(), |place, _| next_of(self.bytes, place))
    }

    /// The element of that number. Costs the number.
    pub fn get(&self, index: usize) -> Option<Item<'a>> {
        (index < self.len()).then(|| self.at(self.place_of(index)).0)
    }

    pub fn iter(&self) -> Iter<'a> {
        self.iter_from(self.first())
    }

    /// The elements from this place on.
    pub fn iter_from(&self, place: usize) -> Iter<'a> {
        Iter { bytes: self.bytes, place }
    }

    /// The place of the first element equal to `item`, looking at every `stride`-th one only.
    #[inline]
    pub fn find(&self, item: Item<'_>, stride: usize) -> Option<usize> {
        let mut place = self.first();
        while place < self.bytes.len() {
            let (found, next) = decode(self.bytes, place);
            if found == item {
                return Some(place);
            }
            place = (1..stride).fold(next, |place, _| next_of(self.bytes, place));
        }
        None
    }
}

/// Elements one after the other.
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Iter<'a> {
    /// The place of the element that comes next.
    pub fn place(&self) -> usize {
        self.place
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.place >= self.bytes.len() {
            return None;
        }
        let (item, next) = decode(self.bytes, self.place);
        self.place = next;
        Some(item)
    }
}

/// A packed sequence.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    bytes: Vec<u8>,
}

impl Default for Packed {
    fn default() -> Packed {
        Packed::new()
    }
}

impl Packed {
    pub fn new() -> Packed {
        Packed { bytes: vec![0] }
    }

    /// Takes over what [`Packed::as_bytes`] gave.
    pub fn from_bytes(bytes: Vec<u8>) -> Packed {
        Packed { bytes }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Becomes a copy of another one, in its own block if that is long enough.
    pub fn copy_from(&mut self, other: Seq<'_>) {
        self.bytes.clear();
        self.bytes.extend_from_slice(other.bytes);
    }

    #[inline]
    pub fn seq(&self) -> Seq<'_> {
        Seq { bytes: &self.bytes }
    }

    pub fn len(&self) -> usize {
        self.seq().len()
    }

    pub fn is_empty(&self) -> bool {
        self.seq().is_empty()
    }

    /// Bytes of its block.
    pub fn memory(&self) -> usize {
        block_bytes(self.bytes.capacity())
    }

    pub fn push(&mut self, item: Item<'_>) {
        self.insert(self.bytes.len(), &[item]);
    }

    /// Puts elements before the one at `place`.
    pub fn insert(&mut self, place: usize, items: &[Item<'_>]) {
        self.splice(place, 0, items);
    }

    /// Takes out `count` elements from `place` on; all there are, if fewer.
    pub fn remove(&mut self, place: usize, count: usize) {
        self.splice(place, count, &[]);
    }

    /// Puts `item` in the place of another.
    pub fn replace(&mut self, place: usize, item: Item<'_>) {
        self.splice(place, 1, &[item]);
    }

    /// Puts `items` in the place of `removed` elements.
    pub fn splice(&mut self, place: usize, removed: usize, items: &[Item<'_>]) {
        let (count, first) = decode_varint(&self.bytes, 0);
        let mut taken = 0;
        let mut end = place;
        while taken < removed && end < self.bytes.len() {
            end = next_of(&self.bytes, end);
            taken += 1;
        }
        let new_len: usize = items.iter().map(|item| coding::encoded_len(*item)).sum();
        let old_total = self.bytes.len();
        let tail = old_total - end;
        if new_len > end - place {
            self.bytes.reserve_exact(new_len - (end - place));
            self.bytes.resize(old_total + new_len - (end - place), 0);
        }
        self.bytes.copy_within(end..end + tail, place + new_len);
        self.bytes.truncate(place + new_len + tail);
        let mut at = place;
        for item in items {
            at += write_at(&mut self.bytes, at, *item);
        }
        let count = count - taken as u64 + items.len() as u64;
        self.set_count(count, first);
        if self.bytes.capacity() > 64 && self.bytes.len() < self.bytes.capacity() / 4 * 3 {
            self.bytes.shrink_to_fit();
        }
    }

    fn set_count(&mut self, count: u64, first: usize) {
        if count < 0x80 && first == 1 {
            self.bytes[0] = count as u8;
            return;
        }
        let mut header = Vec::with_capacity(varint_len(count));
        encode_varint(count, &mut header);
        self.bytes.splice(..first, header);
    }
}

/// Writes the encoding over what is there; returns its length.
fn write_at(bytes: &mut [u8], at: usize, item: Item<'_>) -> usize {
    let len = coding::encoded_len(item);
    match item {
        Item::Bytes(text) if text.len() <= 63 => {
            bytes[at] = 0x80 | text.len() as u8;
            bytes[at + 1..at + len].copy_from_slice(text);
        }
        _ => {
            let mut encoded = Vec::with_capacity(len);
            encode(item, &mut encoded);
            bytes[at..at + len].copy_from_slice(&encoded);
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(usize, Vec<u8>),
        Remove(usize, usize),
        Replace(usize, Vec<u8>),
    }

    fn element() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<i64>().prop_map(|value| value.to_string().into_bytes()),
            (0i64..300).prop_map(|value| value.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..80),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (any::<usize>(), element()).prop_map(|(at, e)| Step::Insert(at, e)),
            1 => (any::<usize>(), 0usize..5).prop_map(|(at, n)| Step::Remove(at, n)),
            1 => (any::<usize>(), element()).prop_map(|(at, e)| Step::Replace(at, e)),
        ]
    }

    proptest! {
        #[test]
        fn like_a_vector(start in 0usize..200, steps in proptest::collection::vec(step(), 0..60)) {
            let mut model: Vec<Vec<u8>> = Vec::new();
            let mut packed = Packed::new();
            for i in 0..start {
                model.push(i.to_string().into_bytes());
                packed.push(Item::Int(i as i64));
            }
            for step in steps {
                match step {
                    Step::Insert(at, element) => {
                        let at = at % (model.len() + 1);
                        packed.insert(packed.seq().place_of(at), &[Item::of(&element)]);
                        model.insert(at, element);
                    }
                    Step::Remove(at, count) => {
                        let at = at % (model.len() + 1);
                        packed.remove(packed.seq().place_of(at), count);
                        model.drain(at..(at + count).min(model.len()));
                    }
                    Step::Replace(at, element) if !model.is_empty() => {
                        let at = at % model.len();
                        packed.replace(packed.seq().place_of(at), Item::of(&element));
                        model[at] = element;
                    }
                    Step::Replace(..) => {}
                }
                prop_assert_eq!(packed.len(), model.len());
                let now: Vec<Vec<u8>> = packed.seq().iter().map(|item| item.to_vec()).collect();
                prop_assert_eq!(&now, &model);
            }
            for (index, element) in model.iter().enumerate() {
                prop_assert_eq!(packed.seq().get(index).map(|item| item.to_vec()), Some(element.clone()));
                let place = packed.seq().find(Item::of(element), 1).expect("it is there");
                prop_assert_eq!(packed.seq().at(place).0.to_vec(), element.clone());
            }
            prop_assert_eq!(packed.seq().get(model.len()), None);
            prop_assert!(packed.memory() <= block_bytes(packed.as_bytes().len() * 4 / 3 + 64));
        }
    }
}
