//! The table of one database: all its entries by key, growing and shrinking a segment at a time.
//!
//! A lookup goes through the directory (which stays in the cache), one bucket and one entry: two cache misses. No
//! operation moves more than the entries of one or two segments, some 400, so none takes longer than 50 µs at any size.
//!
//! Growth: a segment that is 15/16 full is rebuilt with eight more buckets; at 63 buckets it splits in two, which become as
//! small as their halves allow. Shrinking: a segment less than half full is rebuilt smaller, and two buddies with few
//! entries merge. A rebuild moves slots, 8 bytes each, by the hash bits in the bucket; only a split looks at the entries.
//!
//! Not here: time, policies, the wheel ([`super::keyspace`]); walks and samples ([`super::scan`]).
#![allow(unsafe_code)]

use std::hash::{BuildHasher, Hasher};
use std::ptr;

use pinyon_base::{Blob, Millis};
use pinyon_values::CollectionMut;
use pinyon_values::hash::Hash;

use super::access::AccessWord;
use super::block::{Content, EntryRef, Heavy};
use super::directory::{Directory, Located};
use super::entry::Slot;
use super::segment::{BUCKET_COUNTS, Hash16, LANES, Place, SegmentPtr, Visit, buckets_for, len_max};
use super::slab::Slab;
use super::snapshot::Walk;
use super::value::{Body, ValueRef};
use super::{Key, TableStats};

/// Buddies merge when they have at most this many entries together: well below what makes a segment split.
const MERGE_LEN_MAX: usize = 160;
/// A segment looks at its buddy each time its length is a multiple of this.
const MERGE_EVERY: usize = 8;

/// Hashes keys, the same way in all databases of a shard.
#[derive(Clone)]
pub(super) struct KeyHasher(ahash::RandomState);

impl KeyHasher {
    pub(super) fn new([a, b, c, d]: [u64; 4]) -> KeyHasher {
        KeyHasher(ahash::RandomState::with_seeds(a, b, c, d))
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// See the file's head.
pub(super) struct Table {
    pub(super) directory: Directory,
    /// Changes with each snapshot; entries with the other one are not yet saved, and then there is a walk.
    version: bool,
    pub(super) walk: Option<Box<Walk>>,
    slab: Slab,
    hasher: KeyHasher,
    len: usize,
    volatile: usize,
    /// Entries that own more than a block of the slab's chunks.
    heavy: usize,
    /// Bytes in blobs.
    blob_bytes: usize,
    /// Hashes with fields that have deadlines.
    fading: usize,
    deadline_sum: i128,
}

// SAFETY: a table owns all memory that its pointers lead to, and shares nothing but blobs, which may cross threads.
unsafe impl Send for Table {}

impl Table {
    pub(super) fn new(hasher: KeyHasher) -> Table {
        Table {
            directory: Directory::new(),
            version: false,
            walk: None,
            slab: Slab::new(),
            hasher,
            len: 0,
            volatile: 0,
            heavy: 0,
            blob_bytes: 0,
            fading: 0,
            deadline_sum: 0,
        }
    }

    /// An empty table with the same hash.
    pub(super) fn renewed(&self) -> Table {
        let mut table = Table::new(self.hasher.clone());
        table.version = self.version;
        table
    }

    pub(super) fn hasher(&self) -> KeyHasher {
        self.hasher.clone()
    }

    /// From now on all entries are unsaved.
    pub(super) fn renew_version(&mut self) {
        self.version = !self.version;
    }

    /// Has `visit` save the unsaved entries of the segment at `hash`, until it says that it is enough. Some: there are none
    /// left in it, and there the next segment begins, if there is one.
    pub(super) fn each_unsaved(&mut self, hash: u64, visit: &mut dyn FnMut(&Slot) -> Visit) -> Option<Option<u64>> {
        let Some(located) = self.directory.locate(hash) else { return Some(None) };
        // SAFETY: the directory names live segments, and `self` is borrowed mutably.
        let segment = unsafe { located.segment.as_mut() };
        segment.each_unsaved(self.version, visit).then(|| located.next_hash(hash))
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Entries with a deadline.
    #[inline]
    pub(super) fn volatile(&self) -> usize {
        self.volatile
    }

    /// Hashes with fields that have deadlines.
    #[inline]
    pub(super) fn fading(&self) -> usize {
        self.fading
    }

    /// Mean time from `now` to the deadline of the volatile entries, in ms; 0 without any.
    pub(super) fn average_ttl(&self, now: Millis) -> i64 {
        match self.volatile as i128 {
            0 => 0,
            count => (self.deadline_sum / count - i128::from(now.0)).max(0) as i64,
        }
    }

    pub(super) fn stats(&self) -> TableStats {
        let slots = self.directory.buckets() * LANES;
        TableStats {
            segments: self.directory.segments(),
            buckets: self.directory.buckets(),
            slots,
            len: self.len,
            load: self.len as f64 / slots.max(1) as f64,
            bytes: self.directory.bytes(),
        }
    }

    /// Bytes held from the allocator: directory, entries, blobs; collections are not counted.
    pub(super) fn bytes(&self) -> usize {
        self.directory.node_bytes() + self.slab.reserved_bytes() + self.blob_bytes
    }

    /// Bytes held from the allocator in which no entry is.
    pub(super) fn slack_bytes(&self) -> usize {
        self.slab.reserved_bytes() - self.slab.used_bytes()
    }

    /// The entry of a key.
    #[inline]
    pub(super) fn find(&mut self, key: Key<'_>) -> Option<Found<'_>> {
        let (located, at) = self.place_of(key)?;
        Some(Found { hash: key.hash, table: self, located, at })
    }

    /// The entry of a key; where there is none, a new one with the content that `make` gives, and true.
    #[inline]
    pub(super) fn find_or_insert<'v>(
        &mut self,
        key: Key<'_>,
        access: AccessWord,
        make: impl FnOnce() -> Content<'v>,
    ) -> (Found<'_>, bool) {
        match self.place_of(key) {
            Some((located, at)) => (Found { hash: key.hash, table: self, located, at }, false),
            None => (self.insert(key, make(), None, access), true),
        }
    }

    /// The entry of a key, to be looked at only.
    pub(super) fn get(&self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let (located, at) = self.place_of(key)?;
        // SAFETY: the directory names live segments, and `self` is borrowed.
        Some(unsafe { located.segment.as_ref() }.slot(at).entry())
    }

    /// As `get`, if a snapshot under way has not yet saved it.
    pub(super) fn get_unsaved(&self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let (located, at) = self.place_of(key)?;
        // SAFETY: as in `get`.
        let slot = unsafe { located.segment.as_ref() }.slot(at);
        (slot.version() != self.version).then(|| slot.entry())
    }

    /// Whether there may be values beside the entries.
    #[inline]
    pub(super) fn has_heavy(&self) -> bool {
        self.heavy > 0
    }

    #[inline]
    fn place_of(&self, key: Key<'_>) -> Option<(Located, Place)> {
        let located = self.directory.locate(key.hash)?;
        // SAFETY: the directory names live segments, and `self` is borrowed.
        let segment = unsafe { located.segment.as_ref() };
        let at = segment.find(Hash16::of(key.hash), |slot| slot.entry().has_key(key.bytes))?;
        Some((located, at))
    }

    /// The entry whose key has this hash and a deadline, of its own or of fields. Should several have it, one that is due at
    /// `now`.
    pub(super) fn find_volatile(&mut self, hash: u64, now: Millis) -> Option<Found<'_>> {
        let located = self.directory.locate(hash)?;
        // SAFETY: as in `find`.
        let segment = unsafe { located.segment.as_ref() };
        let hasher = &self.hasher;
        let is_it = |slot: &Slot| (slot.is_volatile() || slot.is_fading()) && hasher.hash(slot.entry().key()) == hash;
        let is_due = |slot: &Slot| {
            is_it(slot)
                && (slot.entry().deadline().is_some_and(|at| at <= now)
                    || slot.entry().next_fading().is_some_and(|at| at <= now))
        };
        let bits = Hash16::of(hash);
        let at = segment.find(bits, is_due).or_else(|| segment.find(bits, is_it))?;
        Some(Found { hash, table: self, located, at })
    }

    /// Makes the entry of a key that has none.
    pub(super) fn insert(
        &mut self,
        key: Key<'_>,
        content: Content<'_>,
        deadline: Option<Millis>,
        access: AccessWord,
    ) -> Found<'_> {
        let bits = Hash16::of(key.hash);
        let mut slot = Slot::new(&mut self.slab, bits.hash8(), key.bytes, content, deadline, access);
        slot.set_version(self.version);
        self.note_heavy(&slot, 1);
        let located = self.room_for(key.hash);
        // SAFETY: the directory names live segments, and `self` is borrowed mutably.
        let segment = unsafe { located.segment.as_mut() };
        let at = segment.insert(bits, slot);
        self.len += 1;
        if let Some(deadline) = deadline {
            self.volatile += 1;
            self.deadline_sum += i128::from(deadline.0.max(0));
            if segment.volatile() == 1 {
                self.directory.set_volatile(key.hash, true);
            }
        }
        Found { hash: key.hash, table: self, located, at }
    }

    /// Fetches the bucket of a hash into the cache.
    #[inline]
    pub(super) fn prefetch_bucket(&self, hash: u64) {
        self.directory.prefetch(hash);
    }

    /// Fetches the entry that a lookup of the hash will look at first; reads its bucket.
    #[inline]
    pub(super) fn prefetch_entry(&self, hash: u64) {
        if let Some((segment, _)) = self.directory.segment(hash) {
            segment.prefetch_match(Hash16::of(hash));
        }
    }

    /// Frees a part of the table; blobs and collections are handed out. False: all is freed. The table must not be used for anything else
    /// afterwards.
    pub(super) fn dismantle(&mut self, on_heavy: &mut dyn FnMut(Heavy)) -> bool {
        const LIGHT_SEGMENTS: usize = 200;
        self.len = 0;
        // Segments and most entries lie in the slab's regions and go with them. The directory still has nodes of its own.
        for _ in 0..if self.heavy > 0 { 1 } else { LIGHT_SEGMENTS } {
            let Some(cut) = self.directory.cut_first() else {
                (self.blob_bytes, self.fading) = (0, 0);
                // SAFETY: no segment is left, so no slot that owns a block.
                return unsafe { self.slab.release_regions(1) };
            };
            if self.heavy > 0 {
                let (slab, heavy) = (&mut self.slab, &mut self.heavy);
                // SAFETY: the directory names the segment no more, so it is known here only.
                unsafe { cut.as_mut() }.drain(|_, slot| {
                    if slot.is_heavy() {
                        *heavy -= 1;
                        if let Some(heavy) = slot.free(slab) {
                            on_heavy(heavy);
                        }
                    }
                });
            }
        }
        true
    }

    /// First part of packing, in steps: chooses the chunks to be emptied. False: done.
    pub(super) fn mark_sparse(&mut self) -> bool {
        self.slab.mark_sparse()
    }

    /// Whether any chunk was chosen.
    pub(super) fn has_marks(&self) -> bool {
        self.slab.has_marks()
    }

    /// Second part: moves segments out of the regions that were chosen, a chunk at a time. False: done.
    pub(super) fn move_segments(&mut self) -> bool {
        let Table { slab, directory, .. } = self;
        // SAFETY: only the directory refers to segments, `self` being borrowed mutably, and it is corrected.
        unsafe {
            slab.move_segments(|address, size_index| {
                let moved = SegmentPtr::moved(address, size_index);
                directory.replace(moved.as_ref().first_hash(), moved);
            })
        }
    }

    /// Third part: moves the entries of the segment at `hash` out of the chunks that were chosen. Returns the hash at which
    /// the next segment begins, 0 after the last one.
    pub(super) fn move_entries(&mut self, hash: u64) -> u64 {
        let Some(located) = self.directory.locate(hash) else { return 0 };
        // SAFETY: the directory names live segments, and `self` is borrowed mutably.
        let segment = unsafe { located.segment.as_mut() };
        segment.slots_mut().for_each(|slot| slot.move_if_marked(&mut self.slab));
        located.next_hash(hash).unwrap_or(0)
    }

    /// Last part: forgets which chunks were chosen. False: done.
    pub(super) fn unmark(&mut self) -> bool {
        self.slab.unmark()
    }

    /// Panics unless all counts are right and every entry is in the segment of its hash.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let (mut len, mut volatile, mut heavy, mut deadlines, mut blobs, mut used) = (0, 0, 0, 0, 0, 0);
        let mut fading = 0;
        self.directory.check(|segment, located| {
            segment.check();
            volatile += segment.volatile();
            used += super::segment::segment_bytes(segment.bucket_count());
            for home in 0..segment.bucket_count() {
                for (bits, slot) in segment.of_home(home) {
                    let entry = slot.entry();
                    let hash = self.hasher.hash(entry.key());
                    let found = self.directory.locate(hash).expect("it has a segment");
                    assert_eq!(found.segment.address(), located.segment.address());
                    assert_eq!(bits, Hash16::of(hash));
                    len += 1;
                    heavy += usize::from(slot.is_heavy());
                    fading += usize::from(slot.is_fading());
                    assert_eq!(slot.is_fading(), entry.next_fading().is_some());
                    deadlines += entry.deadline().map_or(0, |at| i128::from(at.0));
                    used += entry.block_bytes();
                    if let ValueRef::Blob(blob) = entry.value() {
                        blobs += blob.capacity();
                    }
                }
            }
        });
        assert_eq!((len, volatile, heavy, fading), (self.len, self.volatile, self.heavy, self.fading));
        assert_eq!((deadlines, blobs, used), (self.deadline_sum, self.blob_bytes, self.slab.used_bytes()));
    }

    /// The segment for one more entry with this hash.
    #[inline]
    fn room_for(&mut self, hash: u64) -> Located {
        loop {
            let Some(located) = self.directory.locate(hash) else {
                self.directory.plant(SegmentPtr::alloc(&mut self.slab, BUCKET_COUNTS[0], 0));
                continue;
            };
            // SAFETY: the directory names live segments, and `self` is borrowed mutably.
            if unsafe { located.segment.as_ref() }.len() < len_max(located.segment.bucket_count()) {
                return located;
            }
            self.grow(hash, located);
        }
    }

    #[cold]
    fn grow(&mut self, hash: u64, full: Located) {
        match BUCKET_COUNTS.into_iter().find(|count| *count > full.segment.bucket_count()) {
            Some(buckets) => self.rebuild(hash, full, buckets),
            None => self.split(hash, full),
        }
    }

    fn rebuild(&mut self, hash: u64, old: Located, buckets: usize) {
        // SAFETY: the directory names live segments, `self` is borrowed mutably, and the new segment is known here only.
        let old = unsafe { old.segment.as_mut() };
        let new = SegmentPtr::alloc(&mut self.slab, buckets, old.first_hash());
        // SAFETY: as above.
        old.move_into(unsafe { new.as_mut() });
        let old = self.directory.replace(hash, new);
        self.free_segment(old);
    }

    fn split(&mut self, hash: u64, full: Located) {
        // SAFETY: as in `rebuild`.
        let segment = unsafe { full.segment.as_mut() };
        let bit = 63 - full.depth;
        let plan = segment.plan_split(|entry| self.hasher.hash(entry.key()) >> bit & 1 == 1);
        let slab = &mut self.slab;
        let mut new = |len, first_hash| {
            SegmentPtr::alloc(slab, buckets_for(len).unwrap_or(full.segment.bucket_count()), first_hash)
        };
        let left = new(segment.len() - plan.right_len, segment.first_hash());
        let right = new(plan.right_len, segment.first_hash() | 1 << bit);
        // SAFETY: as in `rebuild`.
        unsafe { segment.split_into(&plan, left.as_mut(), right.as_mut()) };
        let old = self.directory.split(hash, left, right);
        self.free_segment(old);
    }

    /// Gives memory back after an entry of the segment at `hash` went.
    #[inline]
    fn shrink(&mut self, hash: u64, located: Located) {
        let buckets = located.segment.bucket_count();
        // SAFETY: as in `rebuild`.
        let len = unsafe { located.segment.as_ref() }.len();
        if buckets > BUCKET_COUNTS[0] {
            if len < buckets * LANES / 2 {
                self.rebuild(hash, located, buckets_for(len).expect("fewer than before"));
            }
        } else if len <= MERGE_LEN_MAX && len.is_multiple_of(MERGE_EVERY) && located.depth > 0 {
            self.try_merge(hash, located);
        }
    }

    #[cold]
    fn try_merge(&mut self, hash: u64, located: Located) {
        let Some(buddy) = self.directory.buddy(hash) else { return };
        // SAFETY: as in `rebuild`; a segment and its buddy are two.
        let (segment, buddy) = unsafe { (located.segment.as_mut(), buddy.as_mut()) };
        if segment.len() + buddy.len() > MERGE_LEN_MAX {
            return;
        }
        let first_hash = segment.first_hash().min(buddy.first_hash());
        let merged = SegmentPtr::alloc(&mut self.slab, BUCKET_COUNTS[0], first_hash);
        // SAFETY: as in `rebuild`.
        let target = unsafe { merged.as_mut() };
        segment.move_into(target);
        buddy.move_into(target);
        let [old, buddy] = self.directory.merge(hash, merged);
        let buddy_at = buddy.address();
        // The buddy, which nobody names any more, may itself be what moves into the first one's place.
        let buddy_moved = self.free_segment_unless(old, buddy_at);
        self.free_segment(if buddy_moved { old } else { buddy });
    }

    /// Frees a segment that the directory does not name any more.
    fn free_segment(&mut self, old: SegmentPtr) {
        self.free_segment_unless(old, ptr::null_mut());
    }

    /// Frees a segment that the directory does not name any more. Names the one that moved into its place, unless that came
    /// from an address that the directory does not name either; then it returns true.
    fn free_segment_unless(&mut self, old: SegmentPtr, unnamed: *mut u8) -> bool {
        // SAFETY: the entries were moved out; only the directory refers to segments, `self` being borrowed mutably.
        match unsafe { old.free(&mut self.slab) } {
            Some(from) if ptr::eq(from, unnamed) => return true,
            Some(_) => {
                // SAFETY: the segment that is there now is live.
                let first_hash = unsafe { old.as_ref() }.first_hash();
                self.directory.replace(first_hash, old);
            }
            None => {}
        }
        false
    }

    #[inline]
    fn note_heavy(&mut self, slot: &Slot, by: isize) {
        if slot.is_heavy() {
            self.heavy = self.heavy.wrapping_add_signed(by);
            if let ValueRef::Blob(blob) = slot.entry().value() {
                self.blob_bytes = self.blob_bytes.wrapping_add_signed(by * blob.capacity() as isize);
            } else if slot.is_fading() {
                self.fading = self.fading.wrapping_add_signed(by);
            }
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        while self.dismantle(&mut drop) {}
    }
}

/// An entry that was found, with the table that it is in. Whatever is done to it keeps the table's counts right.
pub(super) struct Found<'t> {
    table: &'t mut Table,
    hash: u64,
    located: Located,
    at: Place,
}

impl<'t> Found<'t> {
    #[inline]
    fn slot(&self) -> &Slot {
        // SAFETY: the directory names live segments, and nothing changed the table since the entry was found.
        unsafe { self.located.segment.as_ref() }.slot(self.at)
    }

    #[inline]
    fn slot_mut(&mut self) -> &mut Slot {
        // SAFETY: as in `slot`, and the table is borrowed mutably.
        unsafe { self.located.segment.as_mut() }.slot_mut(self.at)
    }

    /// To be called before any change but that of the access word: a snapshot under way saves what it has not saved yet.
    #[inline]
    fn save_first(&mut self) {
        if self.slot().version() != self.table.version {
            self.save_now();
        }
    }

    #[cold]
    fn save_now(&mut self) {
        let mut walk = self.table.walk.take();
        walk.as_mut().expect("while entries are unsaved there is a walk").save_first(self.entry());
        self.table.walk = walk;
        self.is_saved();
    }

    /// The snapshot under way has the entry.
    pub(super) fn is_saved(&mut self) {
        let version = self.table.version;
        self.slot_mut().set_version(version);
    }

    /// The slot together with the slab that its block is from.
    fn slot_and_slab(&mut self) -> (&mut Slot, &mut Slab) {
        // SAFETY: as in `slot_mut`; the slab does not lead to the segment.
        (unsafe { self.located.segment.as_mut() }.slot_mut(self.at), &mut self.table.slab)
    }

    #[inline]
    pub(super) fn entry(&self) -> EntryRef<'_> {
        self.slot().entry()
    }

    /// The value, for as long as the table stays borrowed.
    #[inline]
    pub(super) fn into_value(self) -> ValueRef<'t> {
        let Found { table: _table, located, at, .. } = self;
        // SAFETY: as in `slot`; the table was borrowed for 't.
        let segment = unsafe { located.segment.as_ref::<'t>() };
        segment.slot(at).entry().value()
    }

    /// The collection, to be changed, for as long as the table stays borrowed.
    #[inline]
    pub(super) fn into_collection_mut(mut self) -> Option<CollectionMut<'t>> {
        self.save_first();
        let Found { table: _table, located, at, .. } = self;
        // SAFETY: as in `slot_mut`; the table was borrowed for 't.
        let segment = unsafe { located.segment.as_mut::<'t>() };
        segment.slot_mut(at).collection_mut()
    }

    /// The hash that the entry holds, to be changed.
    #[inline]
    pub(super) fn hash_mut(&mut self) -> Option<&mut Hash> {
        self.save_first();
        match self.slot_mut().collection_mut() {
            Some(CollectionMut::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    /// Whether the value is the bytes of a packed collection. Touches the slot only.
    #[inline]
    pub(super) fn is_packed(&self) -> bool {
        self.slot().is_packed()
    }

    /// Whether the value is a hash of which fields have deadlines. Touches the slot only.
    #[inline]
    pub(super) fn is_fading(&self) -> bool {
        self.slot().is_fading()
    }

    /// Takes note of a change of the hash that the entry holds: whether fields have deadlines now.
    pub(super) fn settle_hash_kind(&mut self) {
        let was_fading = self.is_fading();
        self.slot_mut().settle_hash_kind();
        let by = isize::from(self.is_fading()) - isize::from(was_fading);
        self.table.fading = self.table.fading.wrapping_add_signed(by);
    }

    #[inline]
    pub(super) fn deadline(&self) -> Option<Millis> {
        if self.slot().is_volatile() { self.entry().deadline() } else { None }
    }

    /// Whether the deadline has come. Touches the entry of a volatile key only.
    #[inline]
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.slot().is_volatile() && self.entry().deadline().is_some_and(|at| at <= now)
    }

    pub(super) fn is_armed(&self) -> bool {
        self.slot().is_armed()
    }

    pub(super) fn set_armed(&mut self, armed: bool) {
        self.slot_mut().set_armed(armed);
    }

    #[inline]
    pub(super) fn set_access(&mut self, access: AccessWord) {
        // Not writing what is there already keeps the cache line clean.
        if self.entry().access() != access {
            self.slot_mut().set_access(access);
        }
    }

    /// Stores another value, deadline and access word. Not armed afterwards. Returns what the entry owned beside its
    /// block.
    pub(super) fn store(
        &mut self,
        content: Content<'_>,
        deadline: Option<Millis>,
        access: AccessWord,
    ) -> Option<Heavy> {
        self.save_first();
        let old = self.deadline();
        if self.slot_mut().store_in_place(&content, deadline, access) {
            self.note_deadline(old, deadline);
            return None;
        }
        self.note_heavy(-1);
        let (slot, slab) = self.slot_and_slab();
        let freed = slot.store(slab, content, deadline, access);
        self.note_heavy(1);
        self.note_deadline(old, deadline);
        freed
    }

    /// Sets, changes or clears the deadline. Not armed afterwards.
    pub(super) fn set_deadline(&mut self, deadline: Option<Millis>) {
        self.save_first();
        let old = self.deadline();
        self.note_heavy(-1);
        let (slot, slab) = self.slot_and_slab();
        slot.set_deadline(slab, deadline);
        self.note_heavy(1);
        self.note_deadline(old, deadline);
    }

    /// Appends to a text inside the entry if its block has room for it.
    pub(super) fn append_in_place(&mut self, tail: &[u8]) -> bool {
        self.save_first();
        self.slot_mut().append_in_place(tail)
    }

    /// Changes the blob that the entry holds; `None` for another value.
    pub(super) fn change_blob<R>(&mut self, change: impl FnOnce(&mut Blob) -> R) -> Option<R> {
        if !self.slot().is_blob() {
            return None;
        }
        self.save_first();
        self.note_heavy(-1);
        let result = self.slot_mut().blob_mut().map(change);
        self.note_heavy(1);
        result
    }

    /// Removes the entry. Returns what it owned beside its block.
    pub(super) fn remove(mut self) -> Option<Heavy> {
        self.take_slot(Slot::free)
    }

    /// Removes the entry and returns its value.
    pub(super) fn take(mut self) -> Body {
        self.take_slot(Slot::into_body)
    }

    fn take_slot<R>(&mut self, take: impl FnOnce(Slot, &mut Slab) -> R) -> R {
        self.save_first();
        let old = self.deadline();
        self.note_heavy(-1);
        self.note_deadline(old, None);
        // SAFETY: as in `slot_mut`.
        let segment = unsafe { self.located.segment.as_mut() };
        let slot = segment.take(self.at);
        self.table.len -= 1;
        let result = take(slot, &mut self.table.slab);
        self.table.shrink(self.hash, self.located);
        result
    }

    fn note_heavy(&mut self, by: isize) {
        // SAFETY: as in `slot`.
        let slot = unsafe { self.located.segment.as_ref() }.slot(self.at);
        self.table.note_heavy(slot, by);
    }

    #[inline]
    fn note_deadline(&mut self, old: Option<Millis>, new: Option<Millis>) {
        if old == new {
            return;
        }
        let stored = |at: Option<Millis>| at.map_or(0, |at| i128::from(at.0.max(0)));
        self.table.deadline_sum += stored(new) - stored(old);
        let by = isize::from(new.is_some()) - isize::from(old.is_some());
        if by == 0 {
            return;
        }
        self.table.volatile = self.table.volatile.wrapping_add_signed(by);
        // SAFETY: as in `slot_mut`.
        let segment = unsafe { self.located.segment.as_mut() };
        let had = segment.volatile() > 0;
        segment.adjust_volatile(by);
        let has = segment.volatile() > 0;
        if had != has {
            self.table.directory.set_volatile(self.hash, has);
        }
    }
}
