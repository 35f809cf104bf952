//! A page of a table: some hundred records, in the order of their hashes.
//!
//! ```text
//!  slots   tag 16 │ where 16    one for each record, sorted by tag
//!  heap    record │ record │ …                                      at most 32 KiB
//!  big     record, record, …    those too long for the heap, each a block of its own
//!
//!  where   0 + 15 bits: place in the heap        1 + 15 bits: number in `big`
//!  record  varint (key length × 2 + has deadline) │ varint value length, in tables with values
//!          │ deadline, 8 bytes, if it has one │ key │ value
//! ```
//!
//! A tag is the sixteen bits of the hash behind those that chose the page, so tags are spread evenly: the record of a tag is
//! looked for where it should be, and is a few slots from there. The heap is not in any order; what is overwritten or removed
//! leaves a gap, and the heap is rewritten when gaps are a fifth of it.

use crate::directory::DEPTH_MAX;
use crate::memory::{block_bytes, reserve_class, shrink_class, vec_bytes};
use crate::packed::coding::{decode_varint, encode_varint};

/// A page with more records is split.
pub const RECORDS_MAX: usize = 480;
const HEAP_MAX: usize = 0x7FFF;
/// Longer records are blocks of their own.
const INLINE_MAX: usize = 512;
const BIG: u32 = 0x8000;

/// A record of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub key: &'a [u8],
    /// Empty in tables without values.
    pub value: &'a [u8],
    /// Unix time in milliseconds.
    pub deadline: Option<i64>,
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8], valued: bool) -> (Record<'a>, usize) {
        let (head, mut at) = decode_varint(bytes, 0);
        let key_len = (head >> 1) as usize;
        let mut value_len = 0;
        if valued {
            let (len, next) = decode_varint(bytes, at);
            value_len = len as usize;
            at = next;
        }
        let mut deadline = None;
        if head & 1 == 1 {
            deadline = Some(i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")));
            at += 8;
        }
        let (key, rest) = bytes[at..].split_at(key_len);
        (Record { key, value: &rest[..value_len], deadline }, at + key_len + value_len)
    }

    /// Appends the record's bytes.
    pub fn write(&self, valued: bool, out: &mut Vec<u8>) {
        encode_varint((self.key.len() as u64) << 1 | u64::from(self.deadline.is_some()), out);
        if valued {
            encode_varint(self.value.len() as u64, out);
        }
        if let Some(deadline) = self.deadline {
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        out.extend_from_slice(self.key);
        if valued {
            out.extend_from_slice(self.value);
        }
    }
}

#[derive(Clone, Default)]
pub struct Page {
    slots: Vec<u32>,
    heap: Vec<u8>,
    big: Vec<Box<[u8]>>,
    /// Bytes of the heap that belong to no record.
    gaps: u32,
    /// Bytes of the blocks of `big`.
    big_bytes: usize,
    /// How many bits of the hash chose this page.
    pub depth: u32,
}

fn tag_of_slot(slot: u32) -> u32 {
    slot >> 16
}

impl Page {
    pub fn new(depth: u32) -> Page {
        Page { depth, ..Page::default() }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of its blocks.
    pub fn memory(&self) -> usize {
        vec_bytes(&self.slots) + vec_bytes(&self.heap) + vec_bytes(&self.big) + self.big_bytes
    }

    /// The tag that a hash has in this page.
    #[inline]
    pub fn tag(&self, hash: u64) -> u32 {
        (hash << self.depth >> 48) as u32
    }

    /// The bytes of a slot's record; in the heap, and whatever follows it there.
    #[inline]
    fn bytes(&self, slot: u32) -> &[u8] {
        let place = slot & 0xFFFF;
        if place & BIG == 0 { &self.heap[place as usize..] } else { &self.big[(place & !BIG) as usize] }
    }

    #[inline]
    pub fn record(&self, index: usize, valued: bool) -> Record<'_> {
        Record::read(self.bytes(self.slots[index]), valued).0
    }

    /// The tag of the record of that number.
    pub fn tag_at(&self, index: usize) -> u32 {
        tag_of_slot(self.slots[index])
    }

    /// The number of the first record with at least that tag.
    #[inline]
    pub fn first_of(&self, tag: u32) -> usize {
        let slots = self.slots.as_slice();
        let mut at = (tag as usize * slots.len()) >> 16;
        while at > 0 && tag_of_slot(slots[at - 1]) >= tag {
            at -= 1;
        }
        while at < slots.len() && tag_of_slot(slots[at]) < tag {
            at += 1;
        }
        at
    }

    /// The number of the record with that key.
    #[inline]
    pub fn find(&self, tag: u32, key: &[u8], valued: bool) -> Option<usize> {
        let first = self.first_of(tag);
        let same_tag = self.slots[first..].iter().take_while(|slot| tag_of_slot(**slot) == tag).count();
        (first..first + same_tag).find(|&index| self.record(index, valued).key == key)
    }

    /// Whether a record of that many bytes has room once gaps are closed.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.len() < RECORDS_MAX && (bytes > INLINE_MAX || self.heap.len() - self.gaps as usize + bytes <= HEAP_MAX)
    }

    /// Adds a record whose key is not there.
    pub fn insert(&mut self, tag: u32, bytes: &[u8], valued: bool) {
        let place = self.put(bytes, valued);
        let index = self.first_of(tag);
        reserve_class(&mut self.slots, 1);
        self.slots.insert(index, tag << 16 | place);
    }

    /// Writes another record over the one of that number, of the same key. False when there is no room: nothing has changed.
    pub fn replace(&mut self, index: usize, bytes: &[u8], valued: bool) -> bool {
        let slot = self.slots[index];
        let old_len = Record::read(self.bytes(slot), valued).1;
        let place = slot & 0xFFFF;
        if place & BIG != 0 && bytes.len() > INLINE_MAX {
            self.big_bytes = self.big_bytes + block_bytes(bytes.len()) - block_bytes(old_len);
            self.big[(place & !BIG) as usize] = bytes.into();
            return true;
        }
        if place & BIG == 0 && old_len == bytes.len() {
            self.heap[place as usize..place as usize + old_len].copy_from_slice(bytes);
            return true;
        }
        let freed = if place & BIG == 0 { old_len } else { 0 };
        if self.depth < DEPTH_MAX
            && bytes.len() <= INLINE_MAX
            && self.heap.len() - self.gaps as usize - freed + bytes.len() > HEAP_MAX
        {
            return false;
        }
        self.remove(index, valued);
        self.insert(tag_of_slot(slot), bytes, valued);
        true
    }

    /// Takes out the record of that number.
    pub fn remove(&mut self, index: usize, valued: bool) {
        let slot = self.slots.remove(index);
        let place = slot & 0xFFFF;
        if place & BIG == 0 {
            let len = Record::read(self.bytes(slot), valued).1;
            if place as usize + len == self.heap.len() {
                self.heap.truncate(place as usize);
            } else {
                self.gaps += len as u32;
            }
            if self.gaps as usize > self.heap.len() / 5 + 64 || self.slots.is_empty() {
                self.close_gaps(valued);
            }
        } else {
            let number = place & !BIG;
            let removed = self.big.swap_remove(number as usize);
            self.big_bytes -= block_bytes(removed.len());
            let moved = BIG | self.big.len() as u32;
            if let Some(slot) = self.slots.iter_mut().find(|slot| **slot & 0xFFFF == moved) {
                *slot = *slot & 0xFFFF_0000 | BIG | number;
            }
        }
        shrink_class(&mut self.slots);
    }

    /// Stores a record's bytes and says where.
    fn put(&mut self, bytes: &[u8], valued: bool) -> u32 {
        let room = self.heap.len() + bytes.len() <= HEAP_MAX;
        let closed = self.heap.len() - self.gaps as usize + bytes.len() <= HEAP_MAX;
        if bytes.len() > INLINE_MAX || !closed {
            return self.put_big(bytes.into());
        }
        // Rather close the gaps than grow the block.
        if !room || (self.gaps as usize >= bytes.len() + self.heap.len() / 16 && self.is_tight(bytes.len())) {
            self.close_gaps(valued);
        }
        let place = self.heap.len();
        reserve_class(&mut self.heap, bytes.len());
        self.heap.extend_from_slice(bytes);
        place as u32
    }

    fn put_big(&mut self, record: Box<[u8]>) -> u32 {
        self.big_bytes += block_bytes(record.len());
        self.big.push(record);
        BIG | (self.big.len() - 1) as u32
    }

    fn is_tight(&self, more: usize) -> bool {
        self.heap.len() + more > self.heap.capacity()
    }

    fn close_gaps(&mut self, valued: bool) {
        let live = self.heap.len() - self.gaps as usize;
        let mut heap = Vec::new();
        reserve_class(&mut heap, live);
        for slot in &mut self.slots {
            let place = *slot & 0xFFFF;
            if place & BIG == 0 {
                let bytes = &self.heap[place as usize..];
                let len = Record::read(bytes, valued).1;
                *slot = *slot & 0xFFFF_0000 | heap.len() as u32;
                heap.extend_from_slice(&bytes[..len]);
            }
        }
        self.heap = heap;
        self.gaps = 0;
    }

    /// Cuts the page in two by the next bit of each record's hash: this one keeps the records whose bit is 0.
    pub fn split(&mut self, valued: bool, hash: impl Fn(&[u8]) -> u64) -> Page {
        let old = std::mem::take(self);
        let mut halves = [Page::new(old.depth + 1), Page::new(old.depth + 1)];
        let mut hashes = Vec::with_capacity(old.len());
        let mut bytes = [0; 2];
        let mut counts = [0; 2];
        for &slot in &old.slots {
            let (record, len) = Record::read(old.bytes(slot), valued);
            let hash = hash(record.key);
            let half = (hash << old.depth >> 63) as usize;
            counts[half] += 1;
            bytes[half] += if slot & BIG == 0 { len } else { 0 };
            hashes.push((hash, half, len));
        }
        for half in 0..2 {
            reserve_class(&mut halves[half].heap, bytes[half]);
            reserve_class(&mut halves[half].slots, counts[half]);
        }
        let Page { slots, heap, mut big, .. } = old;
        for (slot, (hash, half, len)) in slots.into_iter().zip(hashes) {
            let page = &mut halves[half];
            let place = slot & 0xFFFF;
            let to = if place & BIG == 0 {
                page.heap.extend_from_slice(&heap[place as usize..place as usize + len]);
                (page.heap.len() - len) as u32
            } else {
                page.put_big(std::mem::take(&mut big[(place & !BIG) as usize]))
            };
            let slot = page.tag(hash) << 16 | to;
            page.slots.push(slot);
        }
        for half in &mut halves {
            half.slots.sort_unstable();
        }
        let [low, high] = halves;
        *self = low;
        high
    }

    /// Whether one page would have ample room for the records of both.
    pub fn can_take(&self, other: &Page) -> bool {
        let live = |page: &Page| page.heap.len() - page.gaps as usize;
        self.depth == other.depth
            && self.len() + other.len() <= RECORDS_MAX / 3
            && live(self) + live(other) <= HEAP_MAX / 3
    }

    /// Undoes a split: takes over the records of the page whose bit is 1.
    pub fn take(&mut self, other: Page, valued: bool) {
        let mut whole = Page::new(self.depth - 1);
        for (bit, page) in [(0, &*self), (1, &other)] {
            for &slot in &page.slots {
                let bytes = page.bytes(slot);
                let len = Record::read(bytes, valued).1;
                let place = whole.put(&bytes[..len], valued);
                whole.slots.push((bit << 15 | tag_of_slot(slot) >> 1) << 16 | place);
            }
        }
        whole.slots.sort_unstable();
        *self = whole;
    }
}
