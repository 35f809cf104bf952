//! A snapshot of the shard as it was at one moment, made while commands run on it.
//!
//! At the cut the version of every table changes; an entry whose own version ([`Slot::version`]) is another is not yet saved.
//! Each table is walked in the order of hashes, some entries at a time, and every change or removal of an entry saves it
//! first: both set its version, so each is saved exactly once, as it was at the cut. Segments may grow, split and merge
//! meanwhile: entries take their versions along. A database that is flushed keeps its old table until its walk has ended.
//!
//! ```text
//!  entry  head │ [database, varint] │ key │ deadline │ access word, 3 bytes │ type of the encoding, u8 │ value
//!  head   bits 0-3 zero │ bits 4-7 the database, 15: it follows
//! ```
//!
//! Keys, deadlines and numbers are as in records ([`crate::record`]), values as in RDB files, not compressed.
//!
//! Memory: what was saved and not yet taken. Long strings are shared with the keyspace, not copied: changing one in place
//! then costs a copy of it, once. A collection of more than 64 KiB is saved in pieces; who changes it before that is done
//! saves the rest of it at once, some tens of milliseconds with a million elements. So a command that is going to change one
//! [waits](Shard::must_save_first) until it is saved, which is then next; what does not know ahead which keys it changes
//! (transactions over shards, expiry, eviction) does not wait.

use std::cell::RefCell;
use std::collections::VecDeque;

use pinyon_base::{Blob, DbIndex};
use pinyon_values::codec::{Encoder, Part, Saving, Settings, Shape, VERSION_7_4, shape_of};
use pinyon_values::{CollectionRef, Item};

use super::Key;
use super::block::EntryRef;
use super::entry::Slot;
use super::segment::Visit;
use super::shard::Shard;
use super::table::Table;
use super::value::ValueRef;
use crate::record::write;

/// The version of the RDB format whose encodings are used.
pub(super) const FORMAT: u16 = VERSION_7_4;
pub(super) const SETTINGS: Settings = Settings { version: FORMAT, compress: false };
/// Strings from this length on are handed out by reference.
const BY_REFERENCE_LEN_MIN: usize = 16 << 10;
/// What looking at an entry costs, in bytes of copying.
const ENTRY_COST: usize = 128;
/// Collections that take more memory are saved in pieces, of so many elements.
const AT_ONCE_BYTES_MAX: usize = 64 << 10;
const ELEMENTS_PER_PIECE: usize = 64;
/// A batch of so many bytes is full: what comes next goes into another one, as growing on would copy it.
const FULL_BYTES: usize = if cfg!(test) { 2 << 10 } else { 512 << 10 };
/// Memory of a batch that is kept for the next.
const SPARE_BYTES_MAX: usize = 2 * FULL_BYTES;

/// Entries that were saved, in order.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    marks: Vec<(usize, Mark)>,
    blob_bytes: usize,
    entries: u64,
    /// It begins inside of an entry that the batch before has begun.
    continues: bool,
}

/// What is to be found before a byte of a batch.
enum Mark {
    Entry,
    Blob(Blob),
}

/// A piece of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// What follows is of another entry.
    Entry,
    Bytes(&'b [u8]),
}

impl Batch {
    /// Bytes of the entries, those of long strings included.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.blob_bytes
    }

    /// Entries that begin in it.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.marks.is_empty()
    }

    /// All of it, in order.
    pub fn pieces(&self, each: &mut dyn FnMut(Piece<'_>)) {
        let mut at = 0;
        let bytes = |from: usize, to: usize, each: &mut dyn FnMut(Piece<'_>)| {
            if from < to {
                each(Piece::Bytes(&self.bytes[from..to]));
            }
        };
        for (offset, mark) in &self.marks {
            bytes(at, *offset, each);
            at = *offset;
            match mark {
                Mark::Entry => each(Piece::Entry),
                Mark::Blob(blob) => each(Piece::Bytes(blob)),
            }
        }
        bytes(at, self.bytes.len(), each);
    }

    /// An empty one in its memory, and that is none if it has become unusually long.
    fn emptied(mut self) -> Batch {
        if self.bytes.capacity() > SPARE_BYTES_MAX {
            return Batch::default();
        }
        self.bytes.clear();
        self.marks.clear();
        Batch { bytes: self.bytes, marks: self.marks, ..Batch::default() }
    }

    /// Begins an entry: all but its value.
    fn begin(&mut self, db: DbIndex, entry: EntryRef<'_>) {
        self.marks.push((self.bytes.len(), Mark::Entry));
        self.entries += 1;
        write::head(0, db, &mut self.bytes);
        write::bytes(entry.key(), &mut self.bytes);
        write::deadline(entry.deadline(), &mut self.bytes);
        self.bytes.extend_from_slice(&entry.access().to_bytes());
    }

    fn save(&mut self, db: DbIndex, entry: EntryRef<'_>) {
        self.begin(db, entry);
        match entry.value() {
            ValueRef::Int(value) => self.string(Part::String(Item::Int(value))),
            ValueRef::Bytes(text) | ValueRef::Raw(text) => self.string(Part::String(Item::Bytes(text))),
            ValueRef::Blob(text) if text.len() < BY_REFERENCE_LEN_MIN => self.string(Part::String(Item::Bytes(text))),
            ValueRef::Blob(blob) => {
                self.string(Part::Long { len: blob.len() as u64 });
                self.marks.push((self.bytes.len(), Mark::Blob(blob.clone())));
                self.blob_bytes += blob.len();
            }
            ValueRef::Collection(collection) => {
                let mut encoder = self.collection(collection);
                Saving::all(collection, &mut |part| encoder.put(part, &mut self.bytes));
            }
        }
    }

    /// Begins a collection; its parts follow.
    fn collection(&mut self, collection: CollectionRef<'_>) -> Encoder {
        let encoder = Encoder::new(shape_of(collection), SETTINGS);
        self.bytes.push(encoder.number());
        encoder
    }

    fn string(&mut self, part: Part<'_>) {
        let mut encoder = Encoder::new(Shape::String, SETTINGS);
        self.bytes.push(encoder.number());
        encoder.put(part, &mut self.bytes);
    }
}

/// The walk over one table.
pub(super) struct Walk {
    /// The database that the table was at the cut.
    db: DbIndex,
    /// Where it goes on; `None`: all segments have been walked.
    hash: Option<u64>,
    /// Batches that are full, in the order in which they are to be taken; then comes the one that is being filled.
    full: VecDeque<Batch>,
    batch: Batch,
    big: Option<Big>,
    /// What was saved by changes while the big one was amid its pieces.
    aside: Batch,
    /// Nobody wants the snapshot any more; entries only get their version.
    discards: bool,
    saved: u64,
    /// Collections of them that were saved in pieces.
    bigs: u64,
}

/// A collection that is being saved in pieces.
struct Big {
    key: Box<[u8]>,
    hash: u64,
    encoder: Encoder,
    saving: Saving,
}

impl Big {
    /// Saves the next piece. True: that was the last one.
    fn piece(&mut self, collection: CollectionRef<'_>, elements: usize, into: &mut Vec<u8>) -> bool {
        let Big { encoder, saving, .. } = self;
        saving.some(collection, elements, &mut |part| encoder.put(part, into))
    }
}

impl Walk {
    fn new(db: DbIndex) -> Walk {
        let (full, batch, aside) = Default::default();
        Walk { db, hash: Some(0), full, batch, big: None, aside, discards: false, saved: 0, bigs: 0 }
    }

    /// Saves an entry that is about to change.
    pub(super) fn save_first(&mut self, entry: EntryRef<'_>) {
        self.saved += 1;
        match (&mut self.big, entry.value()) {
            _ if self.discards => {}
            (None, _) => {
                self.begin_another_when_full();
                self.batch.save(self.db, entry);
            }
            (Some(big), ValueRef::Collection(collection)) if *big.key == *entry.key() => {
                while !big.piece(collection, usize::MAX, &mut self.batch.bytes) {}
                self.end_big();
            }
            (Some(_), _) => self.aside.save(self.db, entry),
        }
    }

    fn end_big(&mut self) {
        self.big = None;
        self.bigs += 1;
        if !self.aside.is_empty() {
            let before = std::mem::replace(&mut self.batch, std::mem::take(&mut self.aside));
            self.full.extend((!before.is_empty()).then_some(before));
        }
    }

    fn begin_another_when_full(&mut self) {
        if self.batch.bytes.len() >= FULL_BYTES && self.big.is_none() {
            let bytes = Vec::with_capacity(FULL_BYTES + AT_ONCE_BYTES_MAX);
            self.full.push_back(std::mem::replace(&mut self.batch, Batch { bytes, ..Batch::default() }));
        }
    }

    fn visit(&mut self, hash_of: impl FnOnce(&[u8]) -> u64, slot: &Slot, budget: &mut usize) -> Visit {
        let entry = slot.entry();
        if let ValueRef::Collection(collection) = entry.value()
            && collection.memory() > AT_ONCE_BYTES_MAX
            && !self.discards
        {
            self.begin_big(entry, collection, hash_of(entry.key()));
            return Visit::Begun;
        }
        self.begin_another_when_full();
        let before = self.batch.bytes.len();
        self.save_first(entry);
        *budget = budget.saturating_sub(self.batch.bytes.len() - before + ENTRY_COST);
        if *budget > 0 { Visit::Saved } else { Visit::Last }
    }

    /// Begins a collection that is saved in pieces.
    fn begin_big(&mut self, entry: EntryRef<'_>, collection: CollectionRef<'_>, hash: u64) {
        self.batch.begin(self.db, entry);
        let encoder = self.batch.collection(collection);
        self.big = Some(Big { key: entry.key().into(), hash, encoder, saving: Saving::default() });
    }

    /// Bytes that have been saved and not yet been taken.
    fn saved_bytes(&self) -> usize {
        self.full.iter().chain([&self.batch, &self.aside]).map(Batch::bytes).sum()
    }

    fn is_amid(&self) -> bool {
        self.big.is_some() || self.full.front().unwrap_or(&self.batch).continues
    }

    /// What has been saved so far; what comes next goes into `spare`.
    fn take(&mut self, spare: &mut Batch) -> Option<Batch> {
        if let Some(first) = self.full.pop_front() {
            return Some(first);
        }
        if self.batch.is_empty() {
            return None;
        }
        let next = Batch { continues: self.big.is_some(), ..std::mem::take(spare) };
        Some(std::mem::replace(&mut self.batch, next))
    }

    fn give_up(&mut self) {
        self.discards = true;
        self.big = None;
        (self.full, self.batch, self.aside) = Default::default();
    }
}

impl Table {
    /// The cut is now: nothing in the table is saved. It is that of database `db`.
    fn begin_walk(&mut self, db: DbIndex) {
        self.renew_version();
        self.walk = (self.len() > 0).then(|| Box::new(Walk::new(db)));
    }

    /// Saves some entries. True: there are more.
    fn walk_slice(&mut self, budget: &mut usize) -> bool {
        let Some(mut walk) = self.walk.take() else { return false };
        let hasher = self.hasher();
        while let Some(hash) = walk.hash
            && *budget > 0
        {
            if walk.big.is_some() {
                self.piece(&mut walk, budget);
                continue;
            }
            let next = self.each_unsaved(hash, &mut |slot| walk.visit(|key| hasher.hash(key), slot, budget));
            if let Some(next) = next {
                walk.hash = next;
            }
        }
        let more = walk.hash.is_some();
        self.walk = Some(walk);
        more
    }

    /// Saves the next piece of the big collection.
    fn piece(&mut self, walk: &mut Walk, budget: &mut usize) {
        let Some(big) = &mut walk.big else { return };
        let key = Key { bytes: &big.key, hash: big.hash };
        let mut found = self.find(key).expect("it is saved before it goes");
        let ValueRef::Collection(collection) = found.entry().value() else {
            unreachable!("it is saved before it becomes something else")
        };
        let before = walk.batch.bytes.len();
        let was_last = big.piece(collection, ELEMENTS_PER_PIECE, &mut walk.batch.bytes);
        *budget = budget.saturating_sub(walk.batch.bytes.len() - before + ENTRY_COST);
        if was_last {
            found.is_saved();
            walk.saved += 1;
            walk.end_big();
        }
    }

    fn is_amid(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.is_amid())
    }

    /// Whether the key holds a collection that is not yet saved and too big to be saved at once.
    fn is_big_unsaved(&self, key: Key<'_>) -> bool {
        let is_wanted = self.walk.as_ref().is_some_and(|walk| !walk.discards);
        is_wanted
            && self.get_unsaved(key).is_some_and(|entry| match entry.value() {
                ValueRef::Collection(collection) => collection.memory() > AT_ONCE_BYTES_MAX,
                _ => false,
            })
    }

    /// Begins to save such a collection. False: it is none.
    fn begin_wanted(&mut self, key: Key<'_>) -> bool {
        let is_big = self.is_big_unsaved(key);
        let Some(mut walk) = self.walk.take() else { return false };
        if is_big
            && let Some(entry) = self.get(key)
            && let ValueRef::Collection(collection) = entry.value()
        {
            walk.begin_big(entry, collection, key.hash);
        }
        self.walk = Some(walk);
        is_big
    }
}

/// A snapshot of a shard under way.
#[derive(Default)]
pub(super) struct Snapshot {
    /// Tables of databases that were flushed since the cut.
    flushed: Vec<Table>,
    /// Batches of tables that need no walk any more.
    done: Vec<Batch>,
    /// An empty one, mostly with the memory of one that was written: new memory has to be cleared by the kernel first.
    spare: Batch,
    entries: u64,
    saved: u64,
    /// What walks that have ended, or are not wanted any more, say of big collections.
    bigs: u64,
    wanted: RefCell<VecDeque<Wanted>>,
}

/// A big collection that somebody waits for, to change it.
#[derive(PartialEq, Eq)]
struct Wanted {
    db: DbIndex,
    key: Box<[u8]>,
    hash: u64,
}

impl Shard {
    /// The cut is now: from here on a snapshot is under way, until it is whole and has been taken.
    ///
    /// # Panics
    /// When there is one already.
    pub fn begin_snapshot(&mut self) {
        assert!(self.snapshot.is_none(), "one snapshot at a time");
        let mut entries = 0;
        for (db, table) in self.tables.iter_mut().enumerate() {
            entries += table.len() as u64;
            table.begin_walk(DbIndex(db as u16));
        }
        self.snapshot = Some(Box::new(Snapshot { entries, ..Snapshot::default() }));
    }

    /// Whether a snapshot is under way.
    #[inline]
    pub fn is_saving(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Nobody wants the snapshot any more. Its walk must still come to its end before there can be another.
    pub fn give_up_snapshot(&mut self) {
        let Some(snapshot) = &mut self.snapshot else { return };
        snapshot.done.clear();
        snapshot.wanted.get_mut().clear();
        snapshot.bigs += 1;
        let tables = self.tables.iter_mut().chain(&mut snapshot.flushed);
        tables.filter_map(|table| table.walk.as_mut()).for_each(|walk| walk.give_up());
    }

    /// Whether a snapshot is under way that keys of the shard may have to wait for.
    pub fn may_save_first(&self) -> bool {
        self.snapshot.is_some() && self.tables.iter().any(|table| table.has_heavy() && table.walk.is_some())
    }

    /// Whether whoever is going to change the key should wait, because a snapshot would first have to save a big collection, all
    /// at once. It is saved next, then, in slices.
    pub fn must_save_first(&self, db: DbIndex, key: &[u8]) -> bool {
        let Some(snapshot) = &self.snapshot else { return false };
        let Some(table) = self.tables.get(usize::from(db.0)).filter(|table| table.has_heavy()) else { return false };
        let hash = self.hash(key);
        if !table.is_big_unsaved(Key { bytes: key, hash }) {
            return false;
        }
        let wanted = Wanted { db, key: key.into(), hash };
        let mut all = snapshot.wanted.borrow_mut();
        if !all.contains(&wanted) {
            all.push_back(wanted);
        }
        true
    }

    /// Changes when a big collection has been saved, or is not waited for any more; `None` when no snapshot is under way.
    pub fn bigs_saved(&self) -> Option<u64> {
        let snapshot = self.snapshot.as_ref()?;
        let walks = self.tables.iter().chain(&snapshot.flushed).filter_map(|table| table.walk.as_ref());
        Some(snapshot.bigs + walks.map(|walk| walk.bigs).sum::<u64>())
    }

    /// Begins what is waited for, if nothing else has been begun.
    fn begin_wanted(&mut self) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let wanted = snapshot.wanted.get_mut();
        if wanted.is_empty() || snapshot.flushed.iter().chain(&self.tables).any(|table| table.is_amid()) {
            return;
        }
        let Some(Wanted { db, key, hash }) = wanted.pop_front() else { return };
        let table = self.tables.get_mut(usize::from(db.0));
        if !table.is_some_and(|table| table.begin_wanted(Key { bytes: &key, hash })) {
            // It is saved already, or gone.
            snapshot.bigs += 1;
        }
    }

    /// Saves entries, some `budget` bytes of them. True: there are more.
    pub fn snapshot_slice(&mut self, budget: usize) -> bool {
        self.begin_wanted();
        let Some(snapshot) = &mut self.snapshot else { return false };
        let mut budget = budget;
        // What has been begun is not mixed with anything else.
        if let Some(table) = snapshot.flushed.iter_mut().chain(&mut self.tables).find(|table| table.is_amid()) {
            if table.walk_slice(&mut budget) {
                return true;
            }
            let walk = table.walk.take();
            snapshot.end_walk(walk);
        }
        // Flushed databases first: their memory is waited for.
        while let Some(mut table) = snapshot.flushed.pop() {
            if table.walk_slice(&mut budget) {
                snapshot.flushed.push(table);
                return true;
            }
            let walk = table.walk.take();
            snapshot.end_walk(walk);
            self.ledger.graveyard.bury_table(table);
        }
        for table in &mut self.tables {
            if table.walk_slice(&mut budget) {
                return true;
            }
            let walk = table.walk.take();
            snapshot.end_walk(walk);
        }
        false
    }

    /// What has been saved and not yet been taken; `None`: nothing, for now. When nothing comes any more, the snapshot is over.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let snapshot = self.snapshot.as_mut()?;
        // The rest of an entry comes before anything else.
        if let Some(at) = snapshot.done.iter().position(|batch| batch.continues) {
            return Some(snapshot.done.swap_remove(at));
        }
        let mut tables = snapshot.flushed.iter_mut().chain(&mut self.tables);
        if let Some(walk) = tables.find(|table| table.is_amid()).and_then(|table| table.walk.as_mut()) {
            return walk.take(&mut snapshot.spare);
        }
        if let Some(batch) = snapshot.done.pop() {
            return Some(batch);
        }
        let walks = snapshot.flushed.iter_mut().chain(&mut self.tables).filter_map(|table| table.walk.as_mut());
        let mut is_walking = false;
        for walk in walks {
            is_walking = true;
            if let Some(batch) = walk.take(&mut snapshot.spare) {
                return Some(batch);
            }
        }
        if !is_walking {
            self.snapshot = None;
        }
        None
    }

    /// A batch that was taken is not needed any more: the next goes into its memory.
    pub fn give_back(&mut self, batch: Batch) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.spare = batch.emptied();
        }
    }

    /// Bytes that have been saved and not yet been taken.
    pub fn saved_bytes(&self) -> usize {
        let Some(snapshot) = &self.snapshot else { return 0 };
        let walks = self.tables.iter().chain(&snapshot.flushed).filter_map(|table| table.walk.as_ref());
        let walking: usize = walks.map(|walk| walk.saved_bytes()).sum();
        walking + snapshot.done.iter().map(Batch::bytes).sum::<usize>()
    }

    /// Entries saved so far, and how many there were at the cut.
    pub fn snapshot_progress(&self) -> (u64, u64) {
        let Some(snapshot) = &self.snapshot else { return (0, 0) };
        let walks = self.tables.iter().chain(&snapshot.flushed).filter_map(|table| table.walk.as_ref());
        (snapshot.saved + walks.map(|walk| walk.saved).sum::<u64>(), snapshot.entries)
    }

    /// A table that commands do not see any more: freed now or by and by, but not before all of it is saved.
    pub(super) fn discard_table(&mut self, table: Table, sync: bool) {
        match &mut self.snapshot {
            Some(snapshot) if table.walk.is_some() => snapshot.flushed.push(table),
            _ if sync => drop(table),
            _ => self.ledger.graveyard.bury_table(table),
        }
    }
}

impl Snapshot {
    fn end_walk(&mut self, walk: Option<Box<Walk>>) {
        let Some(walk) = walk else { return };
        self.saved += walk.saved;
        self.bigs += walk.bigs;
        self.done.extend(walk.full);
        if !walk.batch.is_empty() {
            self.done.push(walk.batch);
        }
    }
}
