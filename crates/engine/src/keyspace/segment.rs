//! The segments of a table: small open-addressed tables of cache-line buckets, each the home of one range of hashes.
//!
//! ```text
//!  segment │ head, 64 bytes │ bucket 0 │ … │ bucket n-1 │            n is 38, 45, 55 or 62
//!  bucket  │ 7 fingerprints │ meta │ slot 0 │ … │ slot 6 │           64 bytes, one cache line
//!            1 byte each, 0 = free    8 bytes each
//!  meta    bits 0-3  reach: how many buckets after this one can hold entries whose home is here; 15 = all
//!          bits 4-7  free
//! ```
//!
//! Sixteen hash bits of every entry are at hand without touching its block: eight in the slot, and eight as the fingerprint.
//! They give the home bucket by multiply-shift, which is monotone: with another n, entries keep their order. So a segment
//! changes its size without touching a block, and SCAN can say where it is by the sixteen bits alone ([`super::scan`]).
//! An entry that finds its home full goes into one of the next buckets, around the end if need be.
//!
//! A segment owns the entries in its slots, and dropping it leaks them: the table empties it first.
#![allow(unsafe_code)]

use std::mem;
use std::ptr;

use super::block::EntryRef;
use super::entry::{Slot, prefetch};
use super::slab::{SEGMENT_BYTES, Slab};

/// Slots in a bucket.
pub(super) const LANES: usize = 7;
/// The bucket counts that a segment may have, each 13 to 22 % above the one before; the slab has a size class for each.
pub(super) const BUCKET_COUNTS: [usize; 4] = [38, 45, 55, 62];
/// The largest of [`BUCKET_COUNTS`].
pub(super) const BUCKETS_MAX: usize = 62;

const REACH: u64 = 0x0F;
const REACH_ALL: usize = 15;
const META_SHIFT: u32 = 56;
const LOW_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;
const LANE_MARKS: u64 = 0x0080_8080_8080_8080;
const BYTE_ONES: u64 = 0x0101_0101_0101_0101;

/// How many entries a segment of n buckets takes before it grows: 15/16 of its slots.
#[inline]
pub(super) fn len_max(buckets: usize) -> usize {
    buckets * LANES * 15 / 16
}

/// The smallest bucket count that takes `len` entries with some to spare; `None` when they are too many for one segment.
pub(super) fn buckets_for(len: usize) -> Option<usize> {
    BUCKET_COUNTS.into_iter().find(|buckets| len <= buckets * LANES * 9 / 10)
}

/// The sixteen hash bits by which a segment places an entry. The lower eight are the fingerprint and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hash16(u16);

impl Hash16 {
    #[inline]
    pub(super) fn of(hash: u64) -> Hash16 {
        let bits = hash as u16;
        Hash16(bits | u16::from(bits & 0xFF == 0))
    }

    #[inline]
    fn new(hash8: u8, fingerprint: u8) -> Hash16 {
        Hash16(u16::from(hash8) << 8 | u16::from(fingerprint))
    }

    /// As a number; SCAN's cursor holds it.
    #[inline]
    pub(super) fn bits(self) -> u16 {
        self.0
    }

    /// The part that the slot keeps.
    #[inline]
    pub(super) fn hash8(self) -> u8 {
        (self.0 >> 8) as u8
    }

    #[inline]
    fn fingerprint(self) -> u8 {
        self.0 as u8
    }

    /// The home bucket among `buckets`.
    #[inline]
    pub(super) fn home(self, buckets: usize) -> usize {
        (usize::from(self.0) * buckets) >> 16
    }
}

/// The lowest sixteen bits whose home is `bucket` or later; 65,536 behind the last bucket.
pub(super) fn first_of_home(bucket: usize, buckets: usize) -> u32 {
    ((bucket << 16).div_ceil(buckets)) as u32
}

/// A cache line of the table.
#[repr(C, align(64))]
pub(super) struct Bucket {
    head: u64,
    slots: [Slot; LANES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// Marks (bit 7 of the byte) the lanes with this fingerprint.
    #[inline]
    fn matching(&self, fingerprint: u8) -> u64 {
        zero_bytes(self.head ^ (BYTE_ONES * u64::from(fingerprint))) & LANE_MARKS
    }

    /// Fetches the first entry with these bits; whether there is one.
    #[inline]
    fn prefetch_match(&self, hash: Hash16) -> bool {
        for lane in Lanes(self.matching(hash.fingerprint())) {
            if self.slots[lane].hash8() == hash.hash8() {
                self.slots[lane].prefetch();
                return true;
            }
        }
        false
    }

    #[inline]
    fn free_lanes(&self) -> u64 {
        zero_bytes(self.head) & LANE_MARKS
    }

    #[inline]
    fn used_lanes(&self) -> u64 {
        !zero_bytes(self.head) & LANE_MARKS
    }

    #[inline]
    fn reach(&self) -> usize {
        (self.head >> META_SHIFT & REACH) as usize
    }

    fn set_reach(&mut self, reach: usize) {
        self.head = self.head & !(REACH << META_SHIFT) | (reach.min(REACH_ALL) as u64) << META_SHIFT;
    }

    #[inline]
    fn hash16(&self, lane: usize) -> Hash16 {
        Hash16::new(self.slots[lane].hash8(), (self.head >> (8 * lane)) as u8)
    }

    fn fill(&mut self, lane: usize, fingerprint: u8, slot: Slot) {
        self.head |= u64::from(fingerprint) << (8 * lane);
        self.slots[lane] = slot;
    }

    fn take(&mut self, lane: usize) -> Slot {
        self.head &= !(0xFF << (8 * lane));
        mem::take(&mut self.slots[lane])
    }

    /// The entries in the bucket with their hash bits.
    #[inline]
    fn entries(&self) -> impl Iterator<Item = (usize, Hash16, &Slot)> {
        Lanes(self.used_lanes()).map(|lane| (lane, self.hash16(lane), &self.slots[lane]))
    }
}

/// Exact for every byte, unlike the shorter form that may mark a byte above a zero one.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS)
}

/// The numbers of the marked lanes.
struct Lanes(u64);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let lane = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

/// See the file's head.
#[repr(C, align(64))]
pub(super) struct Segment {
    /// The lowest hash that belongs here.
    first_hash: u64,
    len: u16,
    /// Entries with a deadline.
    volatile: u16,
    buckets: [Bucket],
}

const HEAD_BYTES: usize = 64;

/// Which entries of a segment go right.
pub(super) struct SplitPlan {
    /// By bucket, a bit for each lane.
    right: [u8; BUCKETS_MAX],
    pub(super) right_len: usize,
}

/// What a snapshot did with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    Saved,
    /// Saved, and that is enough for now.
    Last,
    /// It is too big to be saved at once.
    Begun,
}

/// Where an entry is in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    bucket: usize,
    lane: usize,
}

impl Segment {
    /// The lowest hash that belongs here: where the directory names the segment.
    pub(super) fn first_hash(&self) -> u64 {
        self.first_hash
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    pub(super) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn volatile(&self) -> usize {
        usize::from(self.volatile)
    }

    pub(super) fn adjust_volatile(&mut self, by: isize) {
        self.volatile = self.volatile.wrapping_add_signed(by as i16);
    }

    #[inline]
    pub(super) fn slot(&self, at: Place) -> &Slot {
        &self.buckets[at.bucket].slots[at.lane]
    }

    #[inline]
    pub(super) fn slot_mut(&mut self, at: Place) -> &mut Slot {
        &mut self.buckets[at.bucket].slots[at.lane]
    }

    /// The entry with these hash bits that `is_it` says yes to.
    #[inline]
    pub(super) fn find(&self, hash: Hash16, is_it: impl Fn(&Slot) -> bool) -> Option<Place> {
        let mut bucket = hash.home(self.buckets.len());
        let mut left = self.buckets[bucket].reach();
        if left == REACH_ALL {
            left = self.buckets.len() - 1;
        }
        loop {
            let line = &self.buckets[bucket];
            for lane in Lanes(line.matching(hash.fingerprint())) {
                let slot = &line.slots[lane];
                if slot.hash8() == hash.hash8() && is_it(slot) {
                    return Some(Place { bucket, lane });
                }
            }
            if left == 0 {
                return None;
            }
            left -= 1;
            bucket = self.after(bucket);
        }
    }

    /// Puts an entry into a free slot, which there must be.
    #[inline]
    pub(super) fn insert(&mut self, hash: Hash16, slot: Slot) -> Place {
        let home = hash.home(self.buckets.len());
        let (mut bucket, mut step) = (home, 0);
        let free = loop {
            let free = self.buckets[bucket].free_lanes();
            if free != 0 {
                break free;
            }
            bucket = self.after(bucket);
            step += 1;
            assert!(step < self.buckets.len(), "a segment grows before it is full");
        };
        let lane = free.trailing_zeros() as usize / 8;
        self.len += 1;
        self.volatile += u16::from(slot.is_volatile());
        self.buckets[bucket].fill(lane, hash.fingerprint(), slot);
        if step > self.buckets[home].reach() {
            self.buckets[home].set_reach(step);
        }
        Place { bucket, lane }
    }

    /// Takes an entry out, volatile entries already counted out. One that a full bucket had displaced may move back into the
    /// free slot.
    pub(super) fn take(&mut self, at: Place) -> Slot {
        let was_full = self.buckets[at.bucket].free_lanes() == 0;
        let home = self.buckets[at.bucket].hash16(at.lane).home(self.buckets.len());
        let slot = self.buckets[at.bucket].take(at.lane);
        self.len -= 1;
        if home != at.bucket {
            self.shorten_reach(home, self.steps(home, at.bucket));
        }
        if was_full {
            self.pull_back(at);
        }
        slot
    }

    /// The entries whose home is `bucket`.
    pub(super) fn of_home(&self, home: usize) -> impl Iterator<Item = (Hash16, &Slot)> {
        let buckets = self.buckets.len();
        let reach = match self.buckets[home].reach() {
            REACH_ALL => buckets - 1,
            reach => reach,
        };
        (0..=reach)
            .flat_map(move |step| self.buckets[(home + step) % buckets].entries())
            .filter(move |(_, hash, _)| hash.home(buckets) == home)
            .map(|(_, hash, slot)| (hash, slot))
    }

    /// Has `visit` save the entries of another version, which then have this one, until it says that it is enough. True: there
    /// are none left.
    pub(super) fn each_unsaved(&mut self, version: bool, visit: &mut dyn FnMut(&Slot) -> Visit) -> bool {
        const AHEAD: usize = 2;
        let mut goes_on = true;
        for at in 0..self.buckets.len() {
            if let Some(ahead) = self.buckets.get(at + AHEAD) {
                Lanes(ahead.used_lanes()).filter(|lane| ahead.slots[*lane].version() != version).for_each(|lane| {
                    ahead.slots[lane].prefetch();
                });
            }
            let bucket = &mut self.buckets[at];
            for lane in Lanes(bucket.used_lanes()) {
                let slot = &mut bucket.slots[lane];
                if slot.version() == version {
                    continue;
                }
                if !goes_on {
                    return false;
                }
                match visit(slot) {
                    Visit::Saved => {}
                    Visit::Last => goes_on = false,
                    Visit::Begun => return false,
                }
                slot.set_version(version);
            }
        }
        true
    }

    /// All entries, to be changed in ways that keep key and deadline.
    pub(super) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.buckets.iter_mut().flat_map(|bucket| bucket.slots.iter_mut().filter(|slot| !slot.is_empty()))
    }

    /// An entry among those for which `admits` says yes, the first one from a given slot on.
    pub(super) fn first_from(&self, slot: usize, admits: impl Fn(&Slot) -> bool) -> Option<Place> {
        let (start, count) = (slot / LANES, self.buckets.len());
        for step in 0..=count {
            let bucket = (start + step) % count;
            for (lane, _, slot_at) in self.buckets[bucket].entries() {
                // The first bucket is looked at twice: from the slot on, and last up to the slot.
                let before = bucket == start && lane < slot % LANES;
                if before == (step == count) && admits(slot_at) {
                    return Some(Place { bucket, lane });
                }
            }
        }
        None
    }

    /// The entry in a slot, if there is one.
    #[inline]
    pub(super) fn at(&self, slot: usize) -> Option<Place> {
        let at = Place { bucket: slot / LANES, lane: slot % LANES };
        (!self.slot(at).is_empty()).then_some(at)
    }

    /// Moves all entries into `target`.
    pub(super) fn move_into(&mut self, target: &mut Segment) {
        self.drain(|hash, slot| {
            target.insert(hash, slot);
        });
    }

    /// Says of every entry whether it goes right in a split. That needs the entries' keys, so these are fetched into the
    /// cache ahead.
    pub(super) fn plan_split(&self, mut goes_right: impl FnMut(EntryRef<'_>) -> bool) -> SplitPlan {
        const AHEAD: usize = 3;
        let mut plan = SplitPlan { right: [0; BUCKETS_MAX], right_len: 0 };
        for bucket in &self.buckets[..AHEAD] {
            bucket.prefetch_entries();
        }
        for (index, bucket) in self.buckets.iter().enumerate() {
            if let Some(ahead) = self.buckets.get(index + AHEAD) {
                ahead.prefetch_entries();
            }
            for (lane, _, slot) in bucket.entries() {
                if goes_right(slot.entry()) {
                    plan.right[index] |= 1 << lane;
                    plan.right_len += 1;
                }
            }
        }
        plan
    }

    /// Moves each entry into one of two segments.
    pub(super) fn split_into(&mut self, plan: &SplitPlan, left: &mut Segment, right: &mut Segment) {
        for (bucket, goes_right) in self.buckets.iter_mut().zip(plan.right) {
            for lane in Lanes(bucket.used_lanes()) {
                let hash = bucket.hash16(lane);
                let target = if goes_right >> lane & 1 == 1 { &mut *right } else { &mut *left };
                target.insert(hash, bucket.take(lane));
            }
        }
        (self.len, self.volatile) = (0, 0);
    }

    /// Takes all entries out.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Hash16, Slot)) {
        for bucket in &mut self.buckets {
            for lane in Lanes(bucket.used_lanes()) {
                let hash = bucket.hash16(lane);
                each(hash, bucket.take(lane));
            }
        }
        (self.len, self.volatile) = (0, 0);
    }

    /// Fetches the entries of a home bucket that lie in it into the cache.
    #[inline]
    pub(super) fn prefetch_entries(&self, home: usize) {
        self.buckets[home].prefetch_entries();
    }

    /// Fetches the entry that a lookup of these bits will look at first into the cache. Looks at the home bucket and the
    /// one after it, where nearly all entries are.
    #[inline]
    pub(super) fn prefetch_match(&self, hash: Hash16) {
        let home = hash.home(self.buckets.len());
        let line = &self.buckets[home];
        if !line.prefetch_match(hash) && line.reach() > 0 {
            self.buckets[self.after(home)].prefetch_match(hash);
        }
    }

    /// Panics unless every entry is where a lookup finds it and the counts are right.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let buckets = self.buckets.len();
        let mut reach = vec![0; buckets];
        let (mut len, mut volatile) = (0, 0);
        for (at, bucket) in self.buckets.iter().enumerate() {
            let used = bucket.used_lanes();
            for (lane, slot) in bucket.slots.iter().enumerate() {
                assert_eq!(used >> (8 * lane + 7) & 1 == 0, slot.is_empty());
            }
            for (_, hash, slot) in bucket.entries() {
                let home = hash.home(buckets);
                reach[home] = self.steps(home, at).max(reach[home]);
                len += 1;
                volatile += usize::from(slot.is_volatile());
            }
        }
        assert_eq!((len, volatile), (self.len(), self.volatile()));
        assert!(len <= len_max(buckets));
        for (bucket, reach) in self.buckets.iter().zip(reach) {
            assert_eq!(bucket.reach(), reach.min(REACH_ALL));
        }
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    #[inline]
    fn steps(&self, home: usize, bucket: usize) -> usize {
        if bucket >= home { bucket - home } else { bucket + self.buckets.len() - home }
    }

    /// Corrects a bucket's reach after an entry that was `steps` away is gone.
    fn shorten_reach(&mut self, home: usize, steps: usize) {
        let reach = self.buckets[home].reach();
        if steps.min(REACH_ALL) < reach {
            return;
        }
        let buckets = self.buckets.len();
        let farthest = if reach == REACH_ALL { buckets - 1 } else { reach };
        let now = (1..=farthest)
            .rev()
            .find(|step| self.buckets[(home + step) % buckets].entries().any(|(_, hash, _)| hash.home(buckets) == home))
            .unwrap_or(0);
        self.buckets[home].set_reach(now);
    }

    /// Moves one entry of the next bucket that does not belong there into a slot that has become free.
    fn pull_back(&mut self, to: Place) {
        let from = self.after(to.bucket);
        let buckets = self.buckets.len();
        let displaced = self.buckets[from].entries().find(|(_, hash, _)| hash.home(buckets) != from);
        let Some((lane, hash, _)) = displaced else { return };
        let slot = self.buckets[from].take(lane);
        self.buckets[to.bucket].fill(to.lane, hash.fingerprint(), slot);
        let home = hash.home(buckets);
        self.shorten_reach(home, self.steps(home, from));
    }
}

impl Bucket {
    #[inline]
    fn prefetch_entries(&self) {
        for lane in Lanes(self.used_lanes()) {
            self.slots[lane].prefetch();
        }
    }
}

/// Where a segment is: what the directory keeps of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentPtr {
    address: *mut u8,
    buckets: usize,
}

impl SegmentPtr {
    /// A new, empty segment for hashes from `first_hash` on.
    pub(super) fn alloc(slab: &mut Slab, buckets: usize, first_hash: u64) -> SegmentPtr {
        let address = slab.alloc_segment(size_index(buckets));
        let segment = SegmentPtr { address, buckets };
        // SAFETY: the block has that size and nothing refers to it yet; zeroed memory is a segment without entries.
        unsafe {
            address.write_bytes(0, segment_bytes(buckets));
            segment.as_mut().first_hash = first_hash;
        }
        segment
    }

    /// From the parts that `address` and `bucket_count` gave.
    #[inline]
    pub(super) fn from_parts(address: *mut u8, buckets: usize) -> SegmentPtr {
        SegmentPtr { address, buckets }
    }

    #[inline]
    pub(super) fn address(self) -> *mut u8 {
        self.address
    }

    #[inline]
    pub(super) fn bucket_count(self) -> usize {
        self.buckets
    }

    /// # Safety
    /// The segment is live, and nobody holds a mutable reference to it while this one is used.
    #[inline]
    pub(super) unsafe fn as_ref<'s>(self) -> &'s Segment {
        let fat = ptr::slice_from_raw_parts(self.address, self.buckets) as *const Segment;
        // SAFETY: a live segment has this address and this many buckets.
        unsafe { &*fat }
    }

    /// # Safety
    /// The segment is live, and nobody else holds a reference to it while this one is used.
    #[inline]
    pub(super) unsafe fn as_mut<'s>(self) -> &'s mut Segment {
        let fat = ptr::slice_from_raw_parts_mut(self.address, self.buckets) as *mut Segment;
        // SAFETY: a live segment has this address and this many buckets.
        unsafe { &mut *fat }
    }

    /// Gives the memory back. Another segment of the same size may move into it from the address returned.
    ///
    /// # Safety
    /// The segment came from this slab, its entries are elsewhere by now, and it is not used any more. Nothing refers to
    /// another segment of that size by anything that the caller does not correct.
    #[must_use]
    pub(super) unsafe fn free(self, slab: &mut Slab) -> Option<*mut u8> {
        // SAFETY: the caller says so.
        unsafe { slab.free_segment(self.address, size_index(self.buckets)) }
    }

    /// From what [`Slab::move_segments`] tells.
    pub(super) fn moved(address: *mut u8, size_index: usize) -> SegmentPtr {
        SegmentPtr { address, buckets: BUCKET_COUNTS[size_index] }
    }

    /// Fetches the home bucket of these bits into the cache. The segment must be live, or nothing useful happens.
    #[inline]
    pub(super) fn prefetch(self, hash: Hash16) {
        prefetch(self.address.wrapping_add(HEAD_BYTES + hash.home(self.buckets) * size_of::<Bucket>()));
    }
}

/// Bytes of a segment with that many buckets.
pub(super) fn segment_bytes(buckets: usize) -> usize {
    HEAD_BYTES + buckets * size_of::<Bucket>()
}

/// The number of a bucket count among [`BUCKET_COUNTS`].
fn size_index(buckets: usize) -> usize {
    BUCKET_COUNTS.iter().position(|count| *count == buckets).expect("one of the bucket counts")
}

const _: () = assert!(align_of::<Bucket>() == HEAD_BYTES && BUCKETS_MAX * LANES < u16::MAX as usize);
const _: () = {
    let mut index = 0;
    while index < BUCKET_COUNTS.len() {
        assert!(SEGMENT_BYTES[index] == HEAD_BYTES + BUCKET_COUNTS[index] * size_of::<Bucket>());
        index += 1;
    }
};
