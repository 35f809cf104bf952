//! Which page holds a hash: page numbers by the highest bits of hashes.
//!
//! ```text
//!  highest `depth` bits of a hash ─▶ page number        a page of fewer bits fills several places in a row
//! ```
//!
//! It doubles when a page of all its bits is split, and halves when no page needs all of them: what then is copied is four
//! bytes per page.

use crate::memory::vec_bytes;

/// No page is chosen by more bits.
pub const DEPTH_MAX: u32 = 32;

#[derive(Clone)]
pub struct Directory {
    ids: Vec<u32>,
    depth: u32,
    /// How many pages have each depth.
    depths: [u32; DEPTH_MAX as usize + 1],
}

impl Default for Directory {
    /// One that knows no page.
    fn default() -> Directory {
        Directory { ids: Vec::new(), depth: 0, depths: [0; DEPTH_MAX as usize + 1] }
    }
}

impl Directory {
    /// One page for all hashes.
    pub fn new(page: u32) -> Directory {
        let mut directory = Directory { ids: vec![page], ..Directory::default() };
        directory.depths[0] = 1;
        directory
    }

    /// How many bits are looked at.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    pub fn memory(&self) -> usize {
        vec_bytes(&self.ids)
    }

    #[inline]
    pub fn find(&self, hash: u64) -> u32 {
        // Two shifts: depth may be 0.
        self.ids[(hash >> 1 >> (63 - self.depth)) as usize]
    }

    /// The places of what the page of that hash was or is split from, whose parts have `depth` bits: first place, and how many
    /// each part has.
    fn places(&self, hash: u64, depth: u32) -> (usize, usize) {
        let part = 1 << (self.depth - depth);
        (((hash >> 1 >> (64 - depth)) as usize) * 2 * part, part)
    }

    /// The page of that hash was split: its hashes whose next bit is 1 are in the page `high`. Both now have `depth` bits.
    pub fn split(&mut self, hash: u64, depth: u32, high: u32) {
        self.depths[depth as usize - 1] -= 1;
        self.depths[depth as usize] += 2;
        if depth > self.depth {
            self.ids = self.ids.iter().flat_map(|&id| [id, id]).collect();
            self.depth += 1;
        }
        let (first, part) = self.places(hash, depth);
        self.ids[first + part..first + 2 * part].fill(high);
    }

    /// The page of that hash, which had `depth` bits, and its other half are now the page `whole`.
    pub fn merge(&mut self, hash: u64, depth: u32, whole: u32) {
        self.depths[depth as usize] -= 2;
        self.depths[depth as usize - 1] += 1;
        let (first, part) = self.places(hash, depth);
        self.ids[first..first + 2 * part].fill(whole);
        while self.depth > 0 && self.depths[self.depth as usize] == 0 {
            self.ids = self.ids.iter().step_by(2).copied().collect();
            self.depth -= 1;
        }
    }
}

/// A hash of the other half of the page of that hash, which has `depth` bits.
pub fn buddy(hash: u64, depth: u32) -> u64 {
    hash ^ 1 << (64 - depth)
}
