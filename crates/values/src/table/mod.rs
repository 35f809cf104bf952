//! Records found by their keys: the large form of hashes and sets.
//!
//! Not a map of Rust values: keys, values and deadlines lie as bytes in pages of some hundred records (see `page`), so that a
//! record costs five bytes or so beside its own. A page that is full splits in two by one more bit of its records' hashes:
//! nothing in the table ever costs more than a page, but for the directory, which is copied when it doubles (four bytes per
//! some 300 records).
//!
//! ```text
//!  hash     depth bits │ tag, 16 bits │ …
//!  directory[highest bits] ─▶ page, which knows how many of these bits all of its records share
//! ```
//!
//! Walks go by hash. A cursor says that all records whose hash is below it were visited, so it means the same after any
//! splits and merges: a record that is there during the whole walk is visited at least once, and twice only if its page was
//! merged meanwhile.

mod page;

use ahash::RandomState;

pub use page::Record;
use page::{Page, RECORDS_MAX};

use crate::directory::{DEPTH_MAX, Directory, buddy};
use crate::memory::vec_bytes;
use crate::slab::Slab;

/// Bits of a hash that a cursor holds.
const CURSOR_BITS: u32 = 48;
const TAG_BITS: u32 = 16;
const _: () = assert!(DEPTH_MAX + TAG_BITS == CURSOR_BITS);
/// A page is looked at for merging when it has this many records or fewer.
const FEW: usize = RECORDS_MAX / 6;

/// A table of records, with or without values.
pub struct Table {
    hasher: RandomState,
    pages: Slab<Page>,
    directory: Directory,
    valued: bool,
    len: usize,
    /// Bytes of all pages' blocks.
    page_bytes: usize,
    scratch: Vec<u8>,
}

impl Clone for Table {
    fn clone(&self) -> Table {
        let pages = self.pages.clone();
        // A copy has no room ahead.
        let page_bytes = pages.iter().map(Page::memory).sum();
        let (hasher, directory) = (self.hasher.clone(), self.directory.clone());
        Table { hasher, pages, directory, page_bytes, scratch: Vec::new(), ..*self }
    }
}

impl Table {
    /// An empty table. `seed` keys the hash; `valued` says whether records have values.
    pub fn new(seed: u64, valued: bool) -> Table {
        let mut pages = Slab::default();
        let first = pages.insert(Page::new(0));
        let hasher = RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0x9e37_79b9_7f4a_7c15);
        let directory = Directory::new(first);
        Table { hasher, pages, directory, valued, len: 0, page_bytes: 0, scratch: Vec::new() }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes owned.
    pub fn memory(&self) -> usize {
        self.page_bytes + self.pages.memory() + self.directory.memory() + vec_bytes(&self.scratch)
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    fn page_of(&self, hash: u64) -> u32 {
        self.directory.find(hash)
    }

    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Record<'_>> {
        let hash = self.hash(key);
        let page = self.pages.get(self.page_of(hash));
        page.find(page.tag(hash), key, self.valued).map(|index| page.record(index, self.valued))
    }

    #[inline]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// The records of that hash for which `is_it` holds, at most one.
    pub fn get_by_hash(&self, hash: u64, is_it: impl Fn(&Record<'_>) -> bool) -> Option<Record<'_>> {
        let page = self.pages.get(self.page_of(hash));
        let tag = page.tag(hash);
        (page.first_of(tag)..page.len())
            .take_while(|&index| page.tag_at(index) == tag)
            .map(|index| page.record(index, self.valued))
            .find(|record| self.hash(record.key) == hash && is_it(record))
    }

    /// Writes the record, over one of the same key if there is one. True when there was none.
    pub fn insert(&mut self, record: Record<'_>) -> bool {
        let hash = self.hash(record.key);
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        record.write(self.valued, &mut bytes);
        let is_new = self.put(hash, record.key, &bytes);
        if bytes.capacity() <= 1024 {
            self.scratch = bytes;
        }
        is_new
    }

    fn put(&mut self, hash: u64, key: &[u8], bytes: &[u8]) -> bool {
        loop {
            let id = self.page_of(hash);
            let valued = self.valued;
            let page = self.pages.get_mut(id);
            let before = page.memory();
            let tag = page.tag(hash);
            let (done, is_new) = match page.find(tag, key, valued) {
                Some(index) => (page.replace(index, bytes, valued), false),
                None if page.has_room(bytes.len()) || page.depth == DEPTH_MAX => {
                    page.insert(tag, bytes, valued);
                    (true, true)
                }
                None => (false, true),
            };
            let after = page.memory();
            self.page_bytes = self.page_bytes + after - before;
            if done {
                self.len += usize::from(is_new);
                return is_new;
            }
            self.split(hash);
        }
    }

    /// Takes out the record of that key. False when there is none.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let id = self.page_of(hash);
        let valued = self.valued;
        let page = self.pages.get_mut(id);
        let Some(index) = page.find(page.tag(hash), key, valued) else { return false };
        let before = page.memory();
        page.remove(index, valued);
        let (after, left) = (page.memory(), page.len());
        self.page_bytes = self.page_bytes + after - before;
        self.len -= 1;
        if left <= FEW && (left < 8 || left.is_multiple_of(8)) {
            self.merge(hash);
        }
        true
    }

    /// Splits the page of that hash.
    fn split(&mut self, hash: u64) {
        let id = self.page_of(hash);
        let hasher = &self.hasher;
        let page = self.pages.get_mut(id);
        let before = page.memory();
        let high = page.split(self.valued, |key| hasher.hash_one(key));
        let depth = page.depth;
        self.page_bytes = self.page_bytes + page.memory() + high.memory() - before;
        let high = self.pages.insert(high);
        self.directory.split(hash, depth, high);
    }

    /// Merges the page of that hash with the other half of what it was split from, while both have few records.
    fn merge(&mut self, hash: u64) {
        loop {
            let id = self.page_of(hash);
            let depth = self.pages.get(id).depth;
            if depth == 0 {
                return;
            }
            let buddy_hash = buddy(hash, depth);
            let buddy = self.page_of(buddy_hash);
            if !self.pages.get(id).can_take(self.pages.get(buddy)) {
                return;
            }
            let (low, high) = if hash < buddy_hash { (id, buddy) } else { (buddy, id) };
            let taken = self.pages.remove(high);
            let page = self.pages.get_mut(low);
            let before = page.memory() + taken.memory();
            page.take(taken, self.valued);
            self.page_bytes = self.page_bytes + page.memory() - before;
            self.directory.merge(hash, depth, low);
        }
    }

    /// Any record, each with the same chance. `random` gives 64 random bits.
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<Record<'_>> {
        if self.len == 0 {
            return None;
        }
        loop {
            let bits = random();
            let page = self.pages.get(self.page_of(bits));
            // A page of fewer bits is found more often, by as much as it must be refused more often.
            let accept = bits & ((1 << (self.directory.depth() - page.depth)) - 1) == 0;
            let index = ((random() >> 32) * RECORDS_MAX as u64) >> 32;
            if accept && (index as usize) < page.len() {
                return Some(page.record(index as usize, self.valued));
            }
        }
    }

    /// Visits `count` records or some more from the cursor on, and gives the cursor to go on with: 0 at the end. Starts at 0;
    /// any number below 2^48 is a valid cursor, and those above are the end.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(Record<'_>)) -> u64 {
        let count = count.max(1);
        let mut cursor = cursor;
        let mut visited = 0;
        while cursor < 1 << CURSOR_BITS {
            let hash = cursor << (64 - CURSOR_BITS);
            let page = self.pages.get(self.page_of(hash));
            let unit = CURSOR_BITS - TAG_BITS - page.depth;
            let mut index = page.first_of(page.tag(hash));
            while index < page.len() {
                let tag = page.tag_at(index);
                if visited >= count && tag != page.tag_at(index - 1) {
                    let prefix = cursor >> (unit + TAG_BITS) << (unit + TAG_BITS);
                    return prefix | u64::from(tag) << unit;
                }
                visit(page.record(index, self.valued));
                visited += 1;
                index += 1;
            }
            cursor = ((cursor >> (unit + TAG_BITS)) + 1) << (unit + TAG_BITS);
            if visited >= count {
                break;
            }
        }
        if cursor < 1 << CURSOR_BITS { cursor } else { 0 }
    }

    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.pages.iter().flat_map(|page| (0..page.len()).map(|index| page.record(index, self.valued)))
    }

    /// Frees up to `budget` records or somewhat more; true while there are others. The table is of no use afterwards.
    pub fn free_some(&mut self, budget: usize) -> bool {
        let mut freed = 0;
        self.directory = Directory::default();
        while freed < budget {
            let Some(page) = self.pages.pop() else { return false };
            freed += page.len().max(1);
            self.len -= page.len();
            self.page_bytes -= page.memory();
        }
        true
    }
}

#[cfg(test)]
mod tests;
