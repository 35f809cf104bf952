//! The view that a command has of its shard: one database at one moment.

use pinyon_base::number::parse_i64;
use pinyon_base::{Blob, DbIndex, Millis};
use pinyon_resp::Args;

use super::db::{Db, Item};
use super::value::Body;
use super::{EvictionPolicy, Key, NewValue, OwnedValue, Shard, Ttl, ValueRef};

/// Longer strings live in a block of their own, shared with the replies that carry them.
pub const INLINE_VALUE_MAX: usize = 4096;

/// One database of a shard, seen by one command.
pub struct Keyspace<'a> {
    shard: &'a mut Shard,
    db: DbIndex,
    no_touch: bool,
    hint: Option<(usize, u64)>,
}

impl<'a> Keyspace<'a> {
    #[inline]
    pub(super) fn new(shard: &'a mut Shard, db: DbIndex, no_touch: bool) -> Keyspace<'a> {
        assert!(usize::from(db.0) < shard.dbs.len(), "db index is checked by SELECT");
        Keyspace { shard, db, no_touch, hint: None }
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
        self.shard.dbs.len() as u16
    }

    /// Longest string that APPEND and SETRANGE may make (`proto-max-bulk-len`).
    #[inline]
    pub fn string_bytes_max(&self) -> u64 {
        self.shard.config.string_bytes_max
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

    /// Any bytes as a key.
    #[inline]
    pub fn key_of<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, hash: self.shard.hash(bytes) }
    }

    /// The value for a reading command: counts a hit or a miss, touches the access word. A key whose deadline has passed is
    /// removed and not found.
    pub fn read(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        if self.live(key) {
            self.shard.stats.hits += 1;
        } else {
            self.shard.stats.misses += 1;
        }
        self.for_write(key)
    }

    /// The value for a command that only looks at the key (EXISTS, TYPE, TTL, OBJECT): counts a hit or a miss, leaves the
    /// access word alone.
    pub fn look(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        if self.live(key) {
            self.shard.stats.hits += 1;
        } else {
            self.shard.stats.misses += 1;
        }
        self.peek(key)
    }

    /// Touches the access word even for a client that leaves no trace otherwise, and counts a hit or a miss (TOUCH).
    pub fn touch(&mut self, key: Key<'_>) -> bool {
        let no_touch = std::mem::replace(&mut self.no_touch, false);
        let found = self.read(key).is_some();
        self.no_touch = no_touch;
        found
    }

    /// The value without counting and without touching (MEMORY USAGE).
    pub fn peek(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        self.live(key);
        self.item(key).map(|item| borrow(&item.body))
    }

    /// The value for a writing command: touches, counts neither hit nor miss.
    pub fn for_write(&mut self, key: Key<'_>) -> Option<ValueRef<'_>> {
        self.live(key);
        let access = (self.shard.now.0 / 1000) as u32;
        let no_touch = self.no_touch;
        let item = self.db_mut().map.get_mut(key.bytes)?;
        if !no_touch {
            item.access = access;
        }
        Some(borrow(&item.body))
    }

    /// Stores a value under the key, over whatever was there.
    pub fn put(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl) {
        self.live(key);
        let deadline = match ttl {
            Ttl::Clear => None,
            Ttl::Keep => self.item(key).and_then(|item| item.deadline),
            Ttl::At(at) => Some(at),
        };
        let body = match value {
            NewValue::Int(value) => Body::Int(value),
            NewValue::Text(text) => match parse_i64(text) {
                Some(value) => Body::Int(value),
                None => body_of(text, false),
            },
            NewValue::Plain(text) => body_of(text, false),
            NewValue::Raw(text) => body_of(text, true),
            NewValue::Blob(blob) if blob.len() <= INLINE_VALUE_MAX => body_of(&blob, false),
            NewValue::Blob(blob) => Body::Blob(blob),
        };
        let access = (self.shard.now.0 / 1000) as u32;
        self.db_mut().map.insert(key.bytes.to_vec(), Item { body, deadline, access });
    }

    /// Removes the key. False: there was none.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        self.live(key) && self.db_mut().map.remove(key.bytes).is_some()
    }

    /// Like [`Keyspace::remove`]; a big value is freed by [`Shard::background_slice`].
    pub fn remove_lazy(&mut self, key: Key<'_>) -> bool {
        self.remove(key)
    }

    /// The key's deadline: `None` without such a key, `Some(None)` for a persistent key.
    pub fn deadline(&mut self, key: Key<'_>) -> Option<Option<Millis>> {
        self.live(key);
        self.item(key).map(|item| item.deadline)
    }

    /// Sets or clears the key's deadline. False: there is no such key. A deadline in the past is stored as any other: the
    /// key is gone at the next look.
    pub fn set_deadline(&mut self, key: Key<'_>, at: Option<Millis>) -> bool {
        self.live(key);
        match self.db_mut().map.get_mut(key.bytes) {
            Some(item) => {
                item.deadline = at;
                true
            }
            None => false,
        }
    }

    /// Appends to the string and returns its new length; creates the key without a deadline. The key must not hold another
    /// type.
    pub fn append(&mut self, key: Key<'_>, tail: &[u8]) -> usize {
        let Some(value) = self.for_write(key) else {
            self.put(key, NewValue::Text(tail), Ttl::Clear);
            return tail.len();
        };
        let mut bytes = value.to_vec();
        bytes.extend_from_slice(tail);
        self.put(key, NewValue::Raw(&bytes), Ttl::Keep);
        bytes.len()
    }

    /// Overwrites the string from `offset` on, padding with zero bytes up to there, and returns its new length; creates the
    /// key without a deadline. The key must not hold another type. `bytes` must not be empty.
    pub fn set_range(&mut self, key: Key<'_>, offset: usize, bytes: &[u8]) -> usize {
        let mut text = self.for_write(key).map(|value| value.to_vec()).unwrap_or_default();
        let end = offset + bytes.len();
        if text.len() < end {
            text.resize(end, 0);
        }
        text[offset..end].copy_from_slice(bytes);
        self.put(key, NewValue::Raw(&text), Ttl::Keep);
        text.len()
    }

    /// Takes the value out, with its deadline and access word.
    pub fn take(&mut self, key: Key<'_>) -> Option<OwnedValue> {
        self.live(key);
        let item = self.db_mut().map.remove(key.bytes)?;
        Some(OwnedValue { body: item.body, deadline: item.deadline, access: item.access })
    }

    /// Puts back what `take` or `copy_out` gave, over whatever is there.
    pub fn restore(&mut self, key: Key<'_>, value: OwnedValue) {
        let OwnedValue { body, deadline, access } = value;
        self.db_mut().map.insert(key.bytes.to_vec(), Item { body, deadline, access });
    }

    /// A copy of the value, with its deadline and access word.
    pub fn copy_out(&mut self, key: Key<'_>) -> Option<OwnedValue> {
        self.live(key);
        let item = self.item(key)?;
        Some(OwnedValue { body: item.body.clone(), deadline: item.deadline, access: item.access })
    }

    /// Seconds since the last access (OBJECT IDLETIME); under an LFU policy meaningless.
    pub fn idle_seconds(&mut self, key: Key<'_>) -> Option<u64> {
        self.live(key);
        let now = (self.shard.now.0 / 1000) as u32;
        self.item(key).map(|item| u64::from(now.saturating_sub(item.access)))
    }

    /// The logarithmic access counter (OBJECT FREQ); meaningless unless the policy is an LFU one.
    pub fn frequency(&mut self, key: Key<'_>) -> Option<u8> {
        self.live(key);
        self.item(key).map(|_| 0)
    }

    /// Bytes that the key takes in memory, its slot in the table included (MEMORY USAGE).
    pub fn memory_usage(&mut self, key: Key<'_>) -> Option<usize> {
        self.peek(key).map(|value| value.len() + key.bytes.len() + 24)
    }

    /// The same moment in another database (MOVE, COPY DB).
    pub fn other_db(&mut self, db: DbIndex) -> Keyspace<'_> {
        Keyspace::new(self.shard, db, self.no_touch)
    }

    /// Whether the key is there; removes it when its deadline has passed.
    fn live(&mut self, key: Key<'_>) -> bool {
        let now = self.shard.now;
        match self.item(key) {
            None => false,
            Some(item) if item.deadline.is_none_or(|at| at > now) => true,
            Some(_) => {
                self.db_mut().map.remove(key.bytes);
                self.shard.stats.expired += 1;
                self.shard.stats.expired_on_access += 1;
                false
            }
        }
    }

    fn item(&self, key: Key<'_>) -> Option<&Item> {
        self.shard.dbs[usize::from(self.db.0)].map.get(key.bytes)
    }

    fn db_mut(&mut self) -> &mut Db {
        &mut self.shard.dbs[usize::from(self.db.0)]
    }
}

fn body_of(text: &[u8], raw: bool) -> Body {
    if text.len() > INLINE_VALUE_MAX {
        Body::Blob(Blob::new(text.to_vec()))
    } else if raw {
        Body::Raw(text.into())
    } else {
        Body::Bytes(text.into())
    }
}

fn borrow(body: &Body) -> ValueRef<'_> {
    match body {
        Body::Int(value) => ValueRef::Int(*value),
        Body::Bytes(bytes) => ValueRef::Bytes(bytes),
        Body::Raw(bytes) => ValueRef::Raw(bytes),
        Body::Blob(blob) => ValueRef::Blob(blob),
    }
}
