//! One node of a list: some kilobytes of elements, packed, and compressed while nobody touches them.
//!
//! ```text
//!  open        gap │ element │ element │ …      elements as `packed::coding` draws them; the gap takes what is pushed in front
//!  closed      the same without a gap, as one lz4 block, or as it is where that saves less than an eighth
//! ```

use std::borrow::Cow;

use crate::item::Item;
use crate::memory::{reserve_class, vec_bytes};
use crate::packed::coding::{decode, encode, encoded_len, next_of};

/// Shorter nodes are not compressed, and longer ones, which hold one long element, neither.
const COMPRESS_MIN: usize = 512;
const COMPRESS_MAX: usize = 128 << 10;

/// What a node may hold before elements go to another (`list-max-listpack-size`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimit {
    pub bytes: usize,
    pub count: usize,
}

impl NodeLimit {
    /// By the directive's number: −1 to −5 for 4 to 64 KiB, a positive one for that many elements within 8 KiB.
    pub fn of(size: i64) -> NodeLimit {
        match size {
            1.. => NodeLimit { bytes: 8 << 10, count: size as usize },
            0 => NodeLimit { bytes: 8 << 10, count: 1 },
            _ => NodeLimit { bytes: (2 << 10) << size.unsigned_abs().min(5), count: usize::MAX },
        }
    }
}

#[derive(Clone, Default)]
pub struct Node {
    bytes: Vec<u8>,
    /// Where the first element lies; 0 when closed.
    start: u32,
    count: u32,
    /// Bytes of the elements when compressed, otherwise 0.
    raw_len: u32,
}

impl Node {
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Bytes of the elements, uncompressed.
    pub fn raw_len(&self) -> usize {
        if self.raw_len > 0 { self.raw_len as usize } else { self.bytes.len() - self.start as usize }
    }

    /// Bytes of its block.
    pub fn memory(&self) -> usize {
        vec_bytes(&self.bytes)
    }

    #[cfg(test)]
    pub fn is_compressed(&self) -> bool {
        self.raw_len > 0
    }

    /// Whether so many more elements of so many bytes keep within the limit. Anything fits an empty node.
    pub fn fits(&self, bytes: usize, count: usize, limit: NodeLimit) -> bool {
        self.count == 0 || (self.raw_len() + bytes <= limit.bytes && self.len() + count <= limit.count)
    }

    /// The elements' bytes.
    pub fn elements(&self) -> Cow<'_, [u8]> {
        if self.raw_len > 0 {
            Cow::Owned(self.decompressed())
        } else {
            Cow::Borrowed(&self.bytes[self.start as usize..])
        }
    }

    fn decompressed(&self) -> Vec<u8> {
        lz4_flex::block::decompress(&self.bytes, self.raw_len as usize).expect("a block that was compressed here")
    }

    /// Makes it ready for changes.
    pub fn open(&mut self) {
        if self.raw_len > 0 {
            self.bytes = self.decompressed();
            self.raw_len = 0;
        }
    }

    /// Makes it as small as it can be, compressed if `compress` says so.
    pub fn close(&mut self, compress: bool) {
        if self.raw_len > 0 {
            return;
        }
        let elements = &self.bytes[self.start as usize..];
        if compress && (COMPRESS_MIN..=COMPRESS_MAX).contains(&elements.len()) {
            let small = lz4_flex::block::compress(elements);
            if small.len() <= elements.len() / 8 * 7 {
                self.raw_len = elements.len() as u32;
                self.start = 0;
                self.bytes = small.into_boxed_slice().into_vec();
                return;
            }
        }
        if self.bytes.capacity() > elements.len() {
            self.bytes = elements.to_vec();
            self.start = 0;
        }
    }

    /// Where each element begins, counted from the first; of an open node.
    pub fn marks(&self) -> Vec<u32> {
        marks(&self.elements())
    }

    /// Where the element of that number begins, counted from the first; of an open node.
    fn mark(&self, index: usize) -> usize {
        let elements = &self.bytes[self.start as usize..];
        (0..index).fold(0, |at, _| next_of(elements, at))
    }

    pub fn push_back(&mut self, item: Item<'_>) {
        reserve_class(&mut self.bytes, encoded_len(item));
        encode(item, &mut self.bytes);
        self.count += 1;
    }

    pub fn push_front(&mut self, item: Item<'_>) {
        let len = encoded_len(item);
        if (self.start as usize) < len {
            let elements = self.raw_len();
            let mut bytes = Vec::new();
            reserve_class(&mut bytes, elements + len.max(elements / 4).max(32));
            let gap = bytes.capacity() - elements;
            bytes.resize(gap, 0);
            bytes.extend_from_slice(&self.bytes[self.start as usize..]);
            self.bytes = bytes;
            self.start = gap as u32;
        }
        let at = self.start as usize - len;
        let mut encoded = Vec::with_capacity(len);
        encode(item, &mut encoded);
        self.bytes[at..at + len].copy_from_slice(&encoded);
        self.start = at as u32;
        self.count += 1;
    }

    /// The first element of an open node that is not empty.
    pub fn front(&self) -> Item<'_> {
        decode(&self.bytes, self.start as usize).0
    }

    /// The element that begins there, counted from the first; of an open node.
    pub fn at(&self, mark: usize) -> Item<'_> {
        decode(&self.bytes, self.start as usize + mark).0
    }

    /// Takes the first element off an open node.
    pub fn drop_front(&mut self) {
        self.start = next_of(&self.bytes, self.start as usize) as u32;
        self.count -= 1;
    }

    /// Takes off the last element, which begins there.
    pub fn drop_back(&mut self, mark: usize) {
        self.bytes.truncate(self.start as usize + mark);
        self.count -= 1;
        if self.bytes.capacity() > 64 && self.bytes.len() < self.bytes.capacity() / 2 {
            crate::memory::shrink_class(&mut self.bytes);
        }
    }

    /// Puts `items` in the place of `removed` elements from `index` on; of an open node.
    pub fn splice(&mut self, index: usize, removed: usize, items: &[Item<'_>]) {
        if index == 0 && items.is_empty() {
            (0..removed).for_each(|_| self.drop_front());
            return;
        }
        let from = self.start as usize + self.mark(index);
        let to = (0..removed).fold(from, |at, _| next_of(&self.bytes, at));
        let mut encoded = Vec::with_capacity(items.iter().map(|item| encoded_len(*item)).sum());
        items.iter().for_each(|item| encode(*item, &mut encoded));
        reserve_class(&mut self.bytes, encoded.len());
        self.bytes.splice(from..to, encoded);
        self.count = self.count + items.len() as u32 - removed as u32;
    }

    /// Cuts an open node in two before the element of that number; gives the second part.
    pub fn split_off(&mut self, index: usize) -> Node {
        let at = self.start as usize + self.mark(index);
        let bytes = self.bytes[at..].to_vec();
        self.bytes.truncate(at);
        let count = self.count - index as u32;
        self.count = index as u32;
        Node { bytes, start: 0, count, raw_len: 0 }
    }

    /// Appends the elements of another node to an open one.
    pub fn append(&mut self, other: &Node) {
        let more = other.elements();
        reserve_class(&mut self.bytes, more.len());
        self.bytes.extend_from_slice(&more);
        self.count += other.count;
    }

    /// The numbers of elements whose encoding is `needle`, ascending; of any node.
    pub fn places_of(&self, needle: &[u8]) -> Vec<usize> {
        let elements = self.elements();
        let (mut places, mut at, mut number) = (Vec::new(), 0, 0);
        while at < elements.len() {
            let next = next_of(&elements, at);
            if elements[at..next] == *needle {
                places.push(number);
            }
            (at, number) = (next, number + 1);
        }
        places
    }

    /// Takes out elements whose encoding is `needle`, at most so many, the first or the last of them; of any node. Gives how
    /// many.
    pub fn remove_equal(&mut self, needle: &[u8], at_most: usize, from_back: bool) -> usize {
        let elements = self.elements();
        let mut found = Vec::new();
        let mut at = 0;
        while at < elements.len() {
            let next = next_of(&elements, at);
            if elements[at..next] == *needle {
                found.push(at);
            }
            at = next;
        }
        if found.is_empty() {
            return 0;
        }
        let surplus = found.len().saturating_sub(at_most);
        let chosen = if from_back { &found[surplus..] } else { &found[..found.len() - surplus] };
        let mut kept = Vec::with_capacity(elements.len() - chosen.len() * needle.len());
        let mut from = 0;
        for &at in chosen {
            kept.extend_from_slice(&elements[from..at]);
            from = at + needle.len();
        }
        kept.extend_from_slice(&elements[from..]);
        let removed = chosen.len();
        *self = Node { bytes: kept, start: 0, count: self.count - removed as u32, raw_len: 0 };
        removed
    }
}

/// Where each element of these bytes begins.
pub fn marks(elements: &[u8]) -> Vec<u32> {
    let mut marks = Vec::new();
    let mut at = 0;
    while at < elements.len() {
        marks.push(at as u32);
        at = next_of(elements, at);
    }
    marks
}
