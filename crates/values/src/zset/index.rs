//! Where each member of a sorted set lies: leaf numbers by the members' hashes.
//!
//! It does not hold the members, so an answer is a list of leaves to look at: nearly always one.
//!
//! ```text
//!  directory[highest bits] ─▶ page of up to 256 entries, sorted:   hash, 32 bits │ leaf, 32 bits
//! ```

use crate::directory::{DEPTH_MAX, Directory, buddy};
use crate::memory::{reserve_class, shrink_class, vec_bytes};
use crate::slab::Slab;

const ENTRIES_MAX: usize = 256;

#[derive(Clone, Default)]
struct Page {
    entries: Vec<u64>,
    depth: u32,
}

pub struct Index {
    pages: Slab<Page>,
    directory: Directory,
    page_bytes: usize,
}

fn entry(hash: u32, leaf: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(leaf)
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

impl Page {
    /// Where the first entry that is not below this one is, or belongs. Hashes are spread evenly, so it is near where its hash
    /// says.
    #[inline]
    fn place(&self, entry: u64) -> usize {
        let entries = self.entries.as_slice();
        let share = u64::from(hash_of(entry) << (self.depth % 32));
        let mut at = ((share * entries.len() as u64) >> 32) as usize;
        while at > 0 && entries[at - 1] >= entry {
            at -= 1;
        }
        while at < entries.len() && entries[at] < entry {
            at += 1;
        }
        at
    }
}

impl Clone for Index {
    fn clone(&self) -> Index {
        let pages = self.pages.clone();
        // A copy has no room ahead.
        let page_bytes = pages.iter().map(|page| vec_bytes(&page.entries)).sum();
        Index { pages, directory: self.directory.clone(), page_bytes }
    }
}

impl Index {
    pub fn new() -> Index {
        let mut pages = Slab::default();
        let first = pages.insert(Page::default());
        Index { pages, directory: Directory::new(first), page_bytes: 0 }
    }

    pub fn memory(&self) -> usize {
        self.page_bytes + self.pages.memory() + self.directory.memory()
    }

    #[inline]
    fn page_of(&self, hash: u32) -> u32 {
        self.directory.find(u64::from(hash) << 32)
    }

    /// The leaves in which a member of that hash may be.
    #[inline]
    pub fn leaves(&self, hash: u32) -> impl Iterator<Item = u32> + '_ {
        let page = self.pages.get(self.page_of(hash));
        let first = page.place(entry(hash, 0));
        page.entries[first..].iter().take_while(move |one| hash_of(**one) == hash).map(|one| *one as u32)
    }

    pub fn insert(&mut self, hash: u32, leaf: u32) {
        loop {
            let id = self.page_of(hash);
            let page = self.pages.get_mut(id);
            if page.entries.len() < ENTRIES_MAX || page.depth == DEPTH_MAX {
                let at = page.place(entry(hash, leaf));
                let before = vec_bytes(&page.entries);
                reserve_class(&mut page.entries, 1);
                page.entries.insert(at, entry(hash, leaf));
                self.page_bytes = self.page_bytes + vec_bytes(&page.entries) - before;
                return;
            }
            self.split(hash);
        }
    }

    fn split(&mut self, hash: u32) {
        let id = self.page_of(hash);
        let page = self.pages.get_mut(id);
        let before = vec_bytes(&page.entries);
        let bit = 1u64 << (63 - page.depth);
        let at = page.entries.partition_point(|one| one & bit == 0);
        page.depth += 1;
        let high = page.entries[at..].to_vec();
        page.entries.truncate(at);
        page.entries.shrink_to_fit();
        let depth = page.depth;
        self.page_bytes = self.page_bytes + vec_bytes(&page.entries) + vec_bytes(&high) - before;
        let high = self.pages.insert(Page { entries: high, depth });
        self.directory.split(u64::from(hash) << 32, depth, high);
    }

    /// Takes out one entry, which must be there.
    pub fn remove(&mut self, hash: u32, leaf: u32) {
        let id = self.page_of(hash);
        let page = self.pages.get_mut(id);
        let at = page.place(entry(hash, leaf));
        assert!(page.entries.get(at) == Some(&entry(hash, leaf)), "a member's entry");
        let before = vec_bytes(&page.entries);
        page.entries.remove(at);
        shrink_class(&mut page.entries);
        self.page_bytes = self.page_bytes + vec_bytes(&page.entries) - before;
        let left = page.entries.len();
        if left <= ENTRIES_MAX / 6 && (left < 4 || left.is_multiple_of(8)) {
            self.merge(hash);
        }
    }

    /// Notes that a member has moved to another leaf.
    pub fn change(&mut self, hash: u32, from: u32, to: u32) {
        let id = self.page_of(hash);
        let page = self.pages.get_mut(id);
        let at = page.place(entry(hash, from));
        assert!(page.entries.get(at) == Some(&entry(hash, from)), "a member's entry");
        page.entries.remove(at);
        let at = page.place(entry(hash, to));
        page.entries.insert(at, entry(hash, to));
    }

    fn merge(&mut self, hash: u32) {
        let hash = u64::from(hash) << 32;
        loop {
            let id = self.directory.find(hash);
            let page = self.pages.get(id);
            let depth = page.depth;
            if depth == 0 {
                return;
            }
            let buddy_hash = buddy(hash, depth);
            let other_id = self.directory.find(buddy_hash);
            let other = self.pages.get(other_id);
            if other.depth != depth || page.entries.len() + other.entries.len() > ENTRIES_MAX / 3 {
                return;
            }
            let (low, high) = if hash < buddy_hash { (id, other_id) } else { (other_id, id) };
            let taken = self.pages.remove(high).entries;
            let page = self.pages.get_mut(low);
            let before = vec_bytes(&page.entries) + vec_bytes(&taken);
            reserve_class(&mut page.entries, taken.len());
            page.entries.extend_from_slice(&taken);
            page.depth -= 1;
            self.page_bytes = self.page_bytes + vec_bytes(&page.entries) - before;
            self.directory.merge(hash, depth, low);
        }
    }

    /// Visits all entries by ascending hash from this one on, until `visit` says false for one; gives its hash.
    pub fn walk(&self, from: u32, visit: &mut dyn FnMut(u32, u32) -> bool) -> Option<u32> {
        let mut hash = from;
        loop {
            let page = self.pages.get(self.page_of(hash));
            for &one in &page.entries[page.place(entry(hash, 0))..] {
                if !visit(hash_of(one), one as u32) {
                    return Some(hash_of(one));
                }
            }
            // The first hash behind the page.
            let last = hash | (u64::from(u32::MAX) >> page.depth) as u32;
            hash = last.checked_add(1)?;
        }
    }

    /// Frees some of it; true while there is more.
    pub fn free_some(&mut self, budget: usize) -> bool {
        self.directory = Directory::default();
        (0..budget.div_ceil(ENTRIES_MAX)).all(|_| self.pages.pop().is_some())
    }
}
