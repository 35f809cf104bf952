//! The view that a command has of its shard: one database at one moment.
//!
//! Whatever looks a key up sees it as gone from the millisecond of its deadline on, and removes it. Every volatile entry has
//! a node in the expiry wheel that fires no later than its deadline; [`arm`] is the one place that sees to that.

use std::mem;
use std::sync::Arc;

use pinyon_base::{Blob, DbIndex, Millis, parse_i64};
use pinyon_resp::Args;
use pinyon_values::Collection;

use super::access::{self, AccessWord};
use super::block::{Content, INLINE_VALUE_MAX};
use super::collections::{expire_fields, settle_fields};
use super::entry::copy_text;
use super::expiry::ExpiryWheel;
use super::notices::Events;
use super::shard::Ledger;
use super::table::{Found, Table};
use super::{EvictionPolicy, Key, NewValue, OwnedValue, Shard, Ttl, ValueRef};

/// What a key costs beside its entry, its share of the buckets, in bytes.
pub(super) const SLOT_BYTES: usize = 11;
/// What the wheel spends on a volatile key, in bytes.
const NODE_BYTES: usize = 17;
/// What a blob costs beside its text, in bytes.
const BLOB_HEAD_BYTES: usize = 40;

/// One database of a shard, seen by one command.
pub struct Keyspace<'a> {
    pub(super) shard: &'a mut Shard,
    pub(super) db: DbIndex,
    pub(super) no_touch: bool,
    hint: Option<(usize, u64)>,
}

impl<'a> Keyspace<'a> {
    #[inline]
    pub(super) fn new(shard: &'a mut Shard, db: DbIndex, no_touch: bool) -> Keyspace<'a> {
        assert!(usize::from(db.0) < shard.tables.len(), "db index is checked by SELECT");
        Keyspace { shard, db, no_touch, hint: None }
    }

    /// What follows belongs to accesses that have been counted: it touches nothing.
    pub fn goes_on(&mut self) {
        self.no_touch = true;
    }

    /// The moment at which the command runs.
    #[inline]
    pub fn now(&self) -> Millis {
        self.shard.now
    }

    #[inline]
    pub fn db(&self) -> DbIndex {
        self.db
    }

    /// The eviction policy in force (OBJECT FREQ and OBJECT IDLETIME each answer under some policies only).
    pub fn policy(&self) -> EvictionPolicy {
        self.shard.policy()
    }

    /// Number of databases (SELECT, MOVE and COPY refuse indexes from here on).
    pub fn databases(&self) -> u16 {
        self.shard.tables.len() as u16
    }

    /// Deadlines up to this moment have passed: to set one of them is to remove. While records are applied none has.
    #[inline]
    pub fn past(&self) -> Millis {
        if self.shard.ledger.journal.is_replaying() { Millis(i64::MIN) } else { self.shard.now }
    }

    /// Longest string that APPEND and SETRANGE may make (`proto-max-bulk-len`).
    #[inline]
    pub fn string_bytes_max(&self) -> u64 {
        // What was possible once must be possible again; more than a process can address never was.
        const ADDRESSABLE: u64 = 1 << 47;
        if self.shard.ledger.journal.is_replaying() { ADDRESSABLE } else { self.shard.config.string_bytes_max }
    }

    /// Tells the hash of argument `i` where it is known already, so that [`Keyspace::key`] need not compute it again.
    #[inline]
    pub fn set_hint(&mut self, i: usize, hash: u64) {
        self.hint = Some((i, hash));
    }

    /// Argument `i` as a key.
    #[inline]
    pub fn key<'k>(&self, args: Args<'k>, i: usize) -> Key<'k> {
        let bytes = args.get(i);
        match self.hint {
            Some((at, hash)) if at == i => Key { bytes, hash },
            _ => self.key_of(bytes),
        }
    }

    #[inline]
    pub(super) fn prefetch_bucket(&self, hash: u64) {
        self.shard.prefetch_bucket(self.db, hash);
    }

    #[inline]
    pub(super) fn prefetch_entry(&self, hash: u64) {
        self.shard.prefetch_entry(self.db, hash);
    }

    /// Any bytes as a key.
    #[inline]
    pub fn key_of<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, hash: self.shard.hash(bytes) }
    }

    /// The value for a reading command: counts a hit or a miss, touches the access word. A key whose deadline has passed is
    /// removed and not found.
    #[inline]
    pub fn read(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        let no_touch = self.no_touch;
        self.read_touching(key, !no_touch)
    }

    /// The value for a command that only looks at the key (EXISTS, TYPE, TTL, OBJECT): counts a hit or a miss, leaves the
    /// access word alone.
    pub fn look(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        self.read_touching(key, false)
    }

    /// As [`Keyspace::look`], for those whose miss is no event (OBJECT).
    pub fn inspect(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        let Shard { tables, now, ledger, .. } = &mut *self.shard;
        let found = lookup(tables, self.db, key, *now, ledger);
        let counter = if found.is_some() { &mut ledger.stats.hits } else { &mut ledger.stats.misses };
        *counter += 1;
        found.map(Found::into_value)
    }

    /// Touches the access word even for a client that leaves no trace otherwise, and counts a hit or a miss (TOUCH).
    pub fn touch(&mut self, key: Key<'_>) -> bool {
        self.read_touching(key, true).is_some()
    }

    /// The value without counting and without touching (MEMORY USAGE).
    pub fn peek(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        self.lookup(key).map(Found::into_value)
    }

    /// The value for a writing command: touches, counts neither hit nor miss.
    #[inline]
    pub fn for_write(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        let (db, no_touch) = (self.db, self.no_touch);
        let Shard { tables, now, ledger, touch, .. } = &mut *self.shard;
        let mut found = lookup(tables, db, key, *now, ledger)?;
        if !no_touch {
            let word = touch.word_after(found.entry().access(), *now);
            found.set_access(word);
        }
        Some(found.into_value())
    }

    /// Stores a value under the key, over whatever was there.
    #[inline]
    pub fn put(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl) {
        let content = content_of(&value);
        self.store(key, content, ttl, None);
    }

    /// As [`Keyspace::put`], for what WATCH does not see in Redis: a string that says the same in another form.
    pub fn put_unwatched(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl) {
        self.shard.ledger.watches.changed_unwatched(self.db, key.hash);
        let content = content_of(&value);
        self.replace(key, content, ttl, None);
    }

    /// Removes the key. False: there was none. A value above 256 KiB is freed by [`Shard::background_slice`].
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        self.remove_at(key, false)
    }

    /// Like [`Keyspace::remove`]; any value with a block of its own is freed by [`Shard::background_slice`].
    pub fn remove_lazy(&mut self, key: Key<'_>) -> bool {
        self.remove_at(key, true)
    }

    /// The key's deadline: `None` without such a key, `Some(None)` for a persistent key.
    pub fn deadline(&mut self, key: Key<'_>) -> Option<Option<Millis>> {
        self.lookup(key).map(|found| found.deadline())
    }

    /// Sets or clears the key's deadline. False: there is no such key. A deadline in the past is stored as any other: the
    /// key is gone at the next look.
    pub fn set_deadline(&mut self, key: Key<'_>, at: Option<Millis>) -> bool {
        let Shard { tables, now, ledger, wheel, .. } = &mut *self.shard;
        let Some(mut found) = lookup(tables, self.db, key, *now, ledger) else {
            return false;
        };
        let before = Armed::of(&found);
        if before.deadline != at {
            found.set_deadline(at);
            arm(&mut found, before, at, wheel, self.db, key.hash);
        }
        if before.deadline.is_some() || at.is_some() {
            ledger.watches.changed(self.db, key.hash);
        }
        true
    }

    /// Appends to the string and returns its new length; creates the key without a deadline. The key must not hold another
    /// type.
    pub fn append(&mut self, key: Key<'_>, tail: &[u8]) -> usize {
        self.shard.ledger.watches.changed(self.db, key.hash);
        self.change_text(key, tail.len(), |text| text.extend_from_slice(tail), Some(tail)).unwrap_or_else(|| {
            self.put(key, NewValue::Text(tail), Ttl::Clear);
            tail.len()
        })
    }

    /// Overwrites the string from `offset` on, padding with zero bytes up to there, and returns its new length; creates the
    /// key without a deadline. The key must not hold another type. `bytes` must not be empty.
    pub fn set_range(&mut self, key: Key<'_>, offset: usize, bytes: &[u8]) -> usize {
        self.shard.ledger.watches.changed(self.db, key.hash);
        self.set_range_unwatched(key, offset, bytes)
    }

    /// As [`Keyspace::set_range`], for what WATCH does not see in Redis: zero bytes behind the end.
    pub fn set_range_unwatched(&mut self, key: Key<'_>, offset: usize, bytes: &[u8]) -> usize {
        let end = offset + bytes.len();
        let overwrite = |text: &mut Vec<u8>| {
            if text.len() < end {
                text.resize(end, 0);
            }
            text[offset..end].copy_from_slice(bytes);
        };
        let old_len = self.peek(key).map_or(0, |value| value.len());
        self.change_text(key, end.saturating_sub(old_len), overwrite, None).unwrap_or_else(|| {
            let mut text = Vec::new();
            overwrite(&mut text);
            self.put_unwatched(key, NewValue::Raw(&text), Ttl::Clear);
            text.len()
        })
    }

    /// Gives the string the encoding "raw". Nobody who watches the key is told: its bytes stay as they are.
    pub fn make_raw(&mut self, key: Key<'_>) {
        self.change_text(key, 0, |_| (), None);
    }

    /// Takes the value out, with its deadline and access word.
    pub fn take(&mut self, key: Key<'_>) -> Option<OwnedValue> {
        let found = self.lookup(key)?;
        let (deadline, access) = (found.deadline(), found.entry().access());
        let value = OwnedValue { body: found.take(), deadline, access };
        self.shard.ledger.watches.changed(self.db, key.hash);
        Some(value)
    }

    /// Puts back what `take` or `copy_out` gave, over whatever is there.
    pub fn restore(&mut self, key: Key<'_>, value: OwnedValue) {
        let ttl = value.deadline.map_or(Ttl::Clear, Ttl::At);
        value.body.store_with(|content| self.store(key, content, ttl, Some(value.access)));
    }

    /// A copy of the value with its deadline. As COPY has it, the copy was last used just now.
    pub fn copy_out(&mut self, key: Key<'_>) -> Option<OwnedValue> {
        let access = self.shard.touch.fresh;
        let found = self.lookup(key)?;
        let deadline = found.deadline();
        Some(OwnedValue { body: super::value::Body::copy_of(&found.into_value()), deadline, access })
    }

    /// Seconds since the last access (OBJECT IDLETIME); meaningless under an LFU policy.
    pub fn idle_seconds(&mut self, key: Key<'_>) -> Option<u64> {
        let now = self.shard.now;
        self.lookup(key).map(|found| access::idle_seconds(found.entry().access(), now))
    }

    /// The logarithmic access counter (OBJECT FREQ); meaningless unless the policy is an LFU one.
    pub fn frequency(&mut self, key: Key<'_>) -> Option<u8> {
        let (now, policy) = (self.shard.now, self.shard.touch.policy);
        self.lookup(key).map(|found| access::frequency(found.entry().access(), now, &policy))
    }

    /// Bytes that the key takes in memory, its share of the table and of the wheel included (MEMORY USAGE).
    pub fn memory_usage(&mut self, key: Key<'_>) -> Option<usize> {
        self.lookup(key).map(|found| memory_of(&found))
    }

    /// Records a command, name first, that changes the same as what the handler has just done, for a log to replay; all its keys
    /// are in one slot. The handler's effect is then [`crate::Effect::Recorded`].
    pub fn record(&mut self, args: &[&[u8]]) {
        self.shard.ledger.journal.push(self.db, args);
    }

    /// As [`Keyspace::record`], with the arguments of another list behind the first ones.
    pub fn record_with<'x>(&mut self, head: &[&[u8]], rest: impl Iterator<Item = &'x [u8]>) {
        let journal = &mut self.shard.ledger.journal;
        if journal.is_on() {
            journal.begin(self.db);
            head.iter().for_each(|arg| journal.add(arg));
            rest.for_each(|arg| journal.add(arg));
        }
    }

    /// Whether recorded commands are kept at all: else what they need is not worth preparing.
    #[inline]
    pub fn is_recording(&self) -> bool {
        self.shard.ledger.journal.is_on()
    }

    /// The same database at the same moment, for a part of the command.
    pub fn same_moment(&mut self) -> Keyspace<'_> {
        Keyspace::new(self.shard, self.db, self.no_touch)
    }

    /// The same moment in another database (MOVE, COPY DB).
    pub fn other_db(&mut self, db: DbIndex) -> Keyspace<'_> {
        Keyspace::new(self.shard, db, self.no_touch)
    }

    #[inline]
    fn lookup(&mut self, key: Key<'_>) -> Option<Found<'_>> {
        let Shard { tables, now, ledger, .. } = &mut *self.shard;
        lookup(tables, self.db, key, *now, ledger)
    }

    #[inline]
    fn read_touching(&mut self, key: Key<'_>, touches: bool) -> Option<ValueRef<'_>> {
        let db = self.db;
        let Shard { tables, now, ledger, touch, .. } = &mut *self.shard;
        match lookup(tables, db, key, *now, ledger) {
            Some(mut found) => {
                ledger.stats.hits += 1;
                if touches {
                    let word = touch.word_after(found.entry().access(), *now);
                    found.set_access(word);
                }
                Some(found.into_value())
            }
            None => {
                ledger.stats.misses += 1;
                ledger.notify(Events::MISS, "keymiss", db, key.bytes);
                None
            }
        }
    }

    /// Stores a value with the access word given, or with that of an access now.
    #[inline]
    pub(super) fn store(&mut self, key: Key<'_>, content: Content<'_>, ttl: Ttl, access: Option<AccessWord>) {
        self.shard.ledger.watches.changed(self.db, key.hash);
        self.replace(key, content, ttl, access);
    }

    /// As `store`; the caller tells those who watch the key.
    fn replace(&mut self, key: Key<'_>, mut content: Content<'_>, ttl: Ttl, access: Option<AccessWord>) {
        let Shard { tables, now, ledger, wheel, touch, .. } = &mut *self.shard;
        let mut has_fields = false;
        if let Content::Collection(Collection::Hash(hash)) = &mut content {
            // Under another key, perhaps, or of another shard.
            hash.set_alarm(None);
            has_fields = true;
        }
        let table = &mut tables[usize::from(self.db.0)];
        let Some(mut found) = table.find(key) else {
            let deadline = match ttl {
                Ttl::At(at) => Some(at),
                Ttl::Clear | Ttl::Keep => None,
            };
            let mut found = table.insert(key, content, deadline, access.unwrap_or(touch.fresh));
            if let Some(at) = deadline {
                wheel.add(self.db, key.hash, at);
                found.set_armed(true);
            }
            if has_fields {
                settle_fields(&mut found, wheel, self.db, key.hash);
            }
            ledger.notify(Events::NEW, "new", self.db, key.bytes);
            return;
        };
        let before = Armed::of(&found);
        let is_due = before.deadline.is_some_and(|at| at <= *now) && !ledger.journal.is_replaying();
        if is_due {
            ledger.journal.gone(self.db, key.bytes);
            ledger.stats.expired += 1;
            ledger.stats.expired_on_access += 1;
            ledger.notify(Events::EXPIRED, "expired", self.db, key.bytes);
            ledger.notify(Events::NEW, "new", self.db, key.bytes);
        }
        let deadline = match ttl {
            Ttl::At(at) => Some(at),
            Ttl::Keep if !is_due => before.deadline,
            Ttl::Clear | Ttl::Keep => None,
        };
        let access = access.unwrap_or_else(|| {
            if is_due { touch.fresh } else { touch.word_after_overwrite(found.entry().access(), *now, self.no_touch) }
        });
        if let Some(heavy) = found.store(content, deadline, access) {
            ledger.graveyard.bury(heavy, false);
        }
        if has_fields {
            settle_fields(&mut found, wheel, self.db, key.hash);
        }
        if before.deadline.is_some() || deadline.is_some() {
            arm(&mut found, before, deadline, wheel, self.db, key.hash);
        }
    }

    fn remove_at(&mut self, key: Key<'_>, later: bool) -> bool {
        let Shard { tables, now, ledger, .. } = &mut *self.shard;
        match lookup(tables, self.db, key, *now, ledger) {
            Some(found) => {
                ledger.removed(self.db, key.hash, found.remove(), later);
                true
            }
            None => false,
        }
    }

    /// Changes a string that is there, which may become `growth` bytes longer, and returns its new length; its encoding is
    /// "raw" afterwards. `tail`: the change is to append this. The caller tells those who watch the key.
    fn change_text(
        &mut self,
        key: Key<'_>,
        growth: usize,
        change: impl Fn(&mut Vec<u8>),
        tail: Option<&[u8]>,
    ) -> Option<usize> {
        let no_touch = self.no_touch;
        let db = self.db;
        let Shard { tables, now, ledger, touch, scratch, .. } = &mut *self.shard;
        let mut found = lookup(tables, db, key, *now, ledger)?;
        let old_access = found.entry().access();
        let access = if no_touch { old_access } else { touch.word_after(old_access, *now) };
        found.set_access(access);
        if tail.is_some_and(|tail| found.append_in_place(tail)) {
            return Some(found.entry().value().len());
        }
        let changed = found.change_blob(|blob| {
            change(sole_text(blob, growth));
            blob.len()
        });
        if changed.is_some() {
            return changed;
        }
        scratch.clear();
        copy_text(&found.entry().value(), scratch);
        change(scratch);
        let len = scratch.len();
        let content = if len > INLINE_VALUE_MAX {
            let mut text = mem::take(scratch);
            text.reserve_exact(room_after(len) - len);
            Content::Blob(Blob::new(text))
        } else {
            Content::Raw(scratch)
        };
        let before = Armed::of(&found);
        found.store(content, before.deadline, access);
        found.set_armed(before.armed);
        Some(len)
    }
}

/// The entry of a key unless its deadline has passed, in which case it is removed.
#[inline]
pub(super) fn lookup<'t>(
    tables: &'t mut [Table],
    db: DbIndex,
    key: Key<'_>,
    now: Millis,
    ledger: &mut Ledger,
) -> Option<Found<'t>> {
    let found = tables[usize::from(db.0)].find(key)?;
    if found.is_fading() {
        return lookup_fading(found, db, key, now, ledger);
    }
    if found.is_due(now) {
        if ledger.journal.is_replaying() {
            return Some(found);
        }
        if ledger.keeps(key.hash) {
            return None;
        }
        expired_on_access(found, db, key, ledger);
        return None;
    }
    Some(found)
}

/// [`lookup`] of a hash with fields that have deadlines: those that are due go first, and with the last one the key.
#[cold]
fn lookup_fading<'t>(
    mut found: Found<'t>,
    db: DbIndex,
    key: Key<'_>,
    now: Millis,
    ledger: &mut Ledger,
) -> Option<Found<'t>> {
    if ledger.journal.is_replaying() {
        return Some(found);
    }
    if found.is_due(now) {
        if !ledger.keeps(key.hash) {
            expired_on_access(found, db, key, ledger);
        }
        return None;
    }
    expire_fields(&mut found, db, key.hash, now, usize::MAX, ledger);
    if found.entry().hash().is_some_and(|fields| fields.is_empty()) {
        ledger.notify(Events::GENERIC, "del", db, key.bytes);
        ledger.removed(db, key.hash, found.remove(), false);
        return None;
    }
    Some(found)
}

#[cold]
pub(super) fn expired_on_access(found: Found<'_>, db: DbIndex, key: Key<'_>, ledger: &mut Ledger) {
    ledger.stats.expired += 1;
    ledger.stats.expired_on_access += 1;
    ledger.notify(Events::EXPIRED, "expired", db, key.bytes);
    ledger.journal.gone(db, key.bytes);
    ledger.removed(db, key.hash, found.remove(), false);
}

/// Bytes that an entry takes in memory.
pub(super) fn memory_of(found: &Found<'_>) -> usize {
    let entry = found.entry();
    let node = if found.deadline().is_some() { NODE_BYTES } else { 0 };
    let owned = match entry.value() {
        ValueRef::Blob(blob) => blob.capacity() + BLOB_HEAD_BYTES,
        ValueRef::Collection(collection) if !found.is_packed() => collection.memory(),
        _ => 0,
    };
    entry.block_bytes() + SLOT_BYTES + node + owned
}

/// An entry's deadline and whether the wheel has a node for exactly it.
#[derive(Clone, Copy)]
struct Armed {
    deadline: Option<Millis>,
    armed: bool,
}

impl Armed {
    fn of(found: &Found<'_>) -> Armed {
        Armed { deadline: found.deadline(), armed: found.is_armed() }
    }
}

/// Sees to it that the wheel has a node that fires no later than the deadline just set. A node for an earlier time will do:
/// when it fires it is armed anew.
fn arm(
    found: &mut Found<'_>,
    before: Armed,
    deadline: Option<Millis>,
    wheel: &mut ExpiryWheel,
    db: DbIndex,
    hash: u64,
) {
    match (before.deadline, deadline) {
        (_, None) => {}
        (Some(old), Some(new)) if old == new => found.set_armed(before.armed),
        (Some(old), Some(new)) if old < new => {}
        (_, Some(new)) => {
            wheel.add(db, hash, new);
            found.set_armed(true);
        }
    }
}

/// How a value is stored.
#[inline]
pub(super) fn content_of<'v>(value: &'v NewValue<'_>) -> Content<'v> {
    let text_of = |text: &'v [u8]| {
        if text.len() > INLINE_VALUE_MAX { Content::Blob(Blob::new(text.to_vec())) } else { Content::Bytes(text) }
    };
    match value {
        NewValue::Int(value) => Content::Int(*value),
        NewValue::Text(text) => match parse_i64(text) {
            Some(value) => Content::Int(value),
            None => text_of(text),
        },
        NewValue::Plain(text) => text_of(text),
        NewValue::Raw(text) if text.len() <= INLINE_VALUE_MAX => Content::Raw(text),
        NewValue::Raw(text) => text_of(text),
        NewValue::Blob(blob) if blob.len() <= INLINE_VALUE_MAX => Content::Bytes(blob),
        NewValue::Blob(blob) => Content::Blob(blob.clone()),
    }
}

/// The text of a blob for changing it, with room for `growth` more bytes: the blob's own unless a reply still carries it.
fn sole_text(blob: &mut Blob, growth: usize) -> &mut Vec<u8> {
    let (len, needed) = (blob.len(), blob.len() + growth);
    if Arc::get_mut(blob).is_none() {
        let mut copy = Vec::with_capacity(if growth > 0 { room_after(needed) } else { len });
        copy.extend_from_slice(blob);
        *blob = Blob::new(copy);
    }
    let text = Arc::get_mut(blob).expect("the only owner by now");
    if text.capacity() < needed {
        text.reserve_exact(room_after(needed) - len);
    }
    text
}

/// The capacity to give to a text of `len` bytes that is growing: so that appending is amortised, without doubling what is
/// big already.
fn room_after(len: usize) -> usize {
    const DOUBLE_MAX: usize = 1 << 20;
    len + if len < DOUBLE_MAX { len } else { (len / 8).max(DOUBLE_MAX) }
}
