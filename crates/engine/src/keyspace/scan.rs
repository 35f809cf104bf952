//! Walks over a table in steps, and random entries of it.
//!
//! The order of a walk is that of two parts of the keys' hashes: the high bits, by which the directory chooses the segment,
//! then the sixteen bits by which the segment chooses the home bucket. Both are the keys' own, so the order stays the same
//! when segments grow, split, shrink or merge and when entries move between buckets.
//!
//! ```text
//!  cursor  0 │ prefix, 27 bits │ depth, 5 bits │ home bits, 16 bits │      below 2^48
//! ```
//!
//! A cursor says: all keys were visited whose first `depth` hash bits are below the prefix's, or equal while their sixteen bits
//! are below the home bits. The next step goes on in the segment that now holds the prefix:
//! - of the same depth: at the home bits;
//! - deeper (it split): at the home bits; the segments behind it are walked from their start, which may repeat keys;
//! - shallower (it merged): at the home bits if the prefix was the last part of the merged segment, else at its start.
//!
//! So a key that is there during the whole walk is visited at least once; one may be visited twice only if its segment
//! split or merged meanwhile. Any number is a valid cursor.

use super::access::Rng;
use super::block::EntryRef;
use super::directory::DEPTH_MAX;
use super::entry::Slot;
use super::segment::{LANES, Segment, first_of_home};
use super::table::Table;

const HOME_BITS: u32 = 16;
const DEPTH_BITS: u32 = 5;

const _: () = assert!(HOME_BITS + DEPTH_BITS + DEPTH_MAX == 48);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    /// A hash: its high `depth` bits count, the others are 0.
    prefix: u64,
    depth: u32,
    /// 0 to 65,535.
    home_bits: u32,
}

impl Cursor {
    fn unpack(cursor: u64) -> Cursor {
        let depth = (cursor >> HOME_BITS) as u32 & ((1 << DEPTH_BITS) - 1);
        let depth = depth.min(DEPTH_MAX);
        let prefix = cursor >> (HOME_BITS + DEPTH_BITS) << (64 - DEPTH_MAX);
        Cursor { prefix: prefix & high_bits(depth), depth, home_bits: cursor as u32 & 0xFFFF }
    }

    fn pack(self) -> u64 {
        self.prefix >> (64 - DEPTH_MAX) << (HOME_BITS + DEPTH_BITS)
            | u64::from(self.depth) << HOME_BITS
            | u64::from(self.home_bits)
    }

    /// Where to go on in a segment of that depth which holds the prefix.
    fn resume(self, depth: u32) -> u32 {
        let merged_bits = high_bits(self.depth) & !high_bits(depth);
        if self.depth > depth && self.prefix & merged_bits != merged_bits { 0 } else { self.home_bits }
    }
}

/// The mask of the highest bits of a hash.
fn high_bits(count: u32) -> u64 {
    !u64::MAX.checked_shr(count).unwrap_or(0)
}

impl Table {
    /// Visits keys from `cursor` on, whole home buckets at a time, until `visit` was called for at least `count` of them or
    /// ten times as many buckets were looked at. Returns the next cursor, 0 when the walk is complete.
    pub(super) fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(EntryRef<'_>)) -> u64 {
        let mut cursor = Cursor::unpack(cursor);
        let mut keys_left = count.max(1);
        let mut buckets_left = keys_left.saturating_mul(10);
        while let Some((segment, located)) = self.directory.segment(cursor.prefix) {
            let buckets = segment.bucket_count();
            let from = cursor.resume(located.depth);
            let prefix = cursor.prefix & high_bits(located.depth);
            for home in ((from as usize * buckets) >> HOME_BITS)..buckets {
                if home + 1 < buckets {
                    segment.prefetch_entries(home + 1);
                }
                for (hash, slot) in segment.of_home(home) {
                    if u32::from(hash.bits()) >= from {
                        visit(slot.entry());
                        keys_left = keys_left.saturating_sub(1);
                    }
                }
                buckets_left -= 1;
                if (keys_left == 0 || buckets_left == 0) && home + 1 < buckets {
                    let home_bits = first_of_home(home + 1, buckets);
                    return Cursor { prefix, depth: located.depth, home_bits }.pack();
                }
                if buckets_left == 0 {
                    break;
                }
            }
            let Some(next) = located.next_hash(prefix) else { return 0 };
            cursor = Cursor { prefix: next, depth: located.depth, home_bits: 0 };
            if keys_left == 0 || buckets_left == 0 {
                return cursor.pack();
            }
        }
        0
    }

    /// A random entry, each nearly as likely as any other; of the volatile ones only if asked for. `None` without any.
    pub(super) fn random(&self, rng: &mut Rng, volatile_only: bool) -> Option<&Slot> {
        if volatile_only {
            if self.volatile() == 0 {
                return None;
            }
            for _ in 0..4 {
                if let Some((segment, _)) = self.directory.segment(rng.next_u64())
                    && segment.volatile() > 0
                {
                    return pick(segment, rng, Slot::is_volatile);
                }
            }
            // Few segments have one: the directory knows which.
            let hash = self.directory.volatile_near(rng.next_u64())?;
            return pick(self.directory.segment(hash)?.0, rng, Slot::is_volatile);
        }
        if self.len() == 0 {
            return None;
        }
        let mut hash = rng.next_u64();
        for _ in 0..16 {
            let (segment, _) = self.directory.segment(hash)?;
            if segment.len() > 0 {
                return pick(segment, rng, |_| true);
            }
            hash = rng.next_u64();
        }
        // Segments that are empty merge with their neighbours, so the next entry is near.
        loop {
            let (segment, located) = self.directory.segment(hash)?;
            if segment.len() > 0 {
                return pick(segment, rng, |_| true);
            }
            hash = located.next_hash(hash).unwrap_or(0);
        }
    }

    /// Shows `count` random entries; the same one may come twice. None if there are none.
    pub(super) fn sample(&self, rng: &mut Rng, count: usize, volatile_only: bool, visit: &mut dyn FnMut(EntryRef<'_>)) {
        const BATCH: usize = 16;
        let mut left = count;
        while left > 0 {
            let mut batch = [const { None }; BATCH];
            let size = left.min(BATCH);
            for place in &mut batch[..size] {
                *place = self.random(rng, volatile_only);
                if let Some(slot) = *place {
                    slot.prefetch();
                }
            }
            for slot in batch.into_iter().flatten() {
                visit(slot.entry());
            }
            left -= size;
        }
    }
}

/// A random entry of a segment that has one.
fn pick<'s>(segment: &'s Segment, rng: &mut Rng, admits: impl Fn(&Slot) -> bool) -> Option<&'s Slot> {
    let slots = (segment.bucket_count() * LANES) as u64;
    for _ in 0..16 {
        let at = segment.at(rng.below(slots) as usize);
        if let Some(slot) = at.map(|at| segment.slot(at))
            && admits(slot)
        {
            return Some(slot);
        }
    }
    let start = rng.below(slots) as usize;
    segment.first_from(start, admits).map(|at| segment.slot(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_fit_48_bits_and_come_back() {
        for depth in [0, 1, 7, 26, 27] {
            for prefix in [0, u64::MAX, 0x0123_4567_89AB_CDEF] {
                for home_bits in [0, 1, 0x8000, 0xFFFF] {
                    let cursor = Cursor { prefix: prefix & high_bits(depth), depth, home_bits };
                    assert_eq!(Cursor::unpack(cursor.pack()), cursor);
                    assert!(cursor.pack() < 1 << 48);
                }
            }
        }
        // Numbers that no scan returned are cursors, too.
        for number in [u64::MAX, 1 << 47, 31 << 16, 0x1234_5678_9ABC_DEF0] {
            let cursor = Cursor::unpack(number);
            assert!(cursor.depth <= DEPTH_MAX && cursor.home_bits <= 0xFFFF);
        }
    }
}
