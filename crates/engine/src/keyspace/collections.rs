//! What commands on collections work with: a key's hash, list, set, sorted set or stream, to be read or changed.
//!
//! A change has two parts: one of the `update` functions lends the structure, and [`Keyspace::changed`] sees to all that
//! follows from it. Every structure that is about to change is lent by [`Keyspace::lend`], and by nothing else.

use pinyon_base::{DbIndex, Millis};
use pinyon_values::codec;
use pinyon_values::hash::{Hash, HashLimits};
use pinyon_values::list::{List, ListLimits};
use pinyon_values::set::{Set, SetLimits};
use pinyon_values::stream::{BlockLimits, Stream};
use pinyon_values::zset::{ZSet, ZSetLimits};
use pinyon_values::{Collection, CollectionMut, CollectionRef};

use super::access::Rng;
use super::block::Content;
use super::expiry::ExpiryWheel;
use super::keyspace::{Keyspace, expired_on_access, lookup};
use super::shard::{Ledger, Shard};
use super::table::Found;
use super::{Key, KeyType, Ttl, ValueRef};
use crate::CommandError;

/// Up to where collections stay small, as the directives say.
#[derive(Clone, Debug)]
pub struct Limits {
    pub hash: HashLimits,
    pub list: ListLimits,
    pub set: SetLimits,
    pub zset: ZSetLimits,
    pub stream: BlockLimits,
    /// `hll-sparse-max-bytes`
    pub hll_sparse_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            hash: HashLimits { entries: 512, ..HashLimits::default() },
            list: ListLimits { compress: false, ..ListLimits::default() },
            set: SetLimits::default(),
            zset: ZSetLimits::default(),
            stream: BlockLimits::default(),
            hll_sparse_bytes_max: 3000,
        }
    }
}

impl Limits {
    /// For building collections out of what was saved.
    pub(crate) fn of_collections(&self) -> codec::Limits {
        let Limits { hash, list, set, zset, stream, .. } = *self;
        codec::Limits { list, set, hash, zset, stream }
    }

    /// The same limits with a seed for the tables inside of collections.
    pub(super) fn seeded(mut self, seed: u64) -> Limits {
        (self.hash.seed, self.set.seed, self.zset.seed) = (seed, seed, seed);
        self
    }
}

/// The structure of one type of key.
pub trait Typed: Default + Sized {
    const TYPE: KeyType;
    /// A key of this type may have no elements.
    const STAYS_EMPTY: bool = false;

    fn of(collection: CollectionRef<'_>) -> Option<&Self>;
    fn of_mut(collection: CollectionMut<'_>) -> Option<&mut Self>;
    fn boxed(self: Box<Self>) -> Collection;
}

macro_rules! typed {
    ($type:ident $(, $const:ident = $value:expr)?) => {
        impl Typed for $type {
            const TYPE: KeyType = KeyType::$type;
            $(const $const: bool = $value;)?

            #[inline]
            fn of(collection: CollectionRef<'_>) -> Option<&Self> {
                if let CollectionRef::$type(it) = collection { Some(it) } else { None }
            }

            #[inline]
            fn of_mut(collection: CollectionMut<'_>) -> Option<&mut Self> {
                if let CollectionMut::$type(it) = collection { Some(it) } else { None }
            }

            fn boxed(self: Box<Self>) -> Collection {
                Collection::$type(self)
            }
        }
    };
}

typed!(Hash);
typed!(List);
typed!(Set);
typed!(ZSet);
typed!(Stream, STAYS_EMPTY = true);

#[inline]
fn typed<'v, T: Typed>(value: Option<ValueRef<'v>>) -> Result<Option<&'v T>, CommandError> {
    match value {
        None => Ok(None),
        Some(ValueRef::Collection(collection)) => T::of(collection).map(Some).ok_or(CommandError::WrongType),
        Some(_) => Err(CommandError::WrongType),
    }
}

impl Keyspace<'_> {
    /// Up to where collections stay small.
    #[inline]
    pub fn limits(&self) -> &Limits {
        &self.shard.config.limits
    }

    /// A generator of its own, out of the shard's: for choices among the elements of a collection that is borrowed.
    #[inline]
    pub fn rng(&mut self) -> Rng {
        Rng::new(self.shard.touch.rng.next_u64())
    }

    /// The structure for a reading command: counts a hit or a miss, touches the access word.
    #[inline]
    pub fn read_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<&T>, CommandError> {
        typed(self.read(key))
    }

    /// The structure without counting and without touching.
    pub fn peek_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<&T>, CommandError> {
        typed(self.peek(key))
    }

    /// The structure of a key that this command has read already, and which is therefore not due: several at once may be
    /// looked at.
    pub fn seen_as<T: Typed>(&self, key: Key<'_>) -> Option<&T> {
        match self.shard.tables[usize::from(self.db.0)].get(key)?.value() {
            ValueRef::Collection(collection) => T::of(collection),
            _ => None,
        }
    }

    /// The structure for a writing command, which calls [`Keyspace::changed`] after a change.
    #[inline]
    pub fn update<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<&mut T>, CommandError> {
        let (db, no_touch) = (self.db, self.no_touch);
        let Shard { tables, now, ledger, touch, .. } = &mut *self.shard;
        let Some(mut found) = lookup(tables, db, key, *now, ledger) else { return Ok(None) };
        if !no_touch {
            let word = touch.word_after(found.entry().access(), *now);
            found.set_access(word);
        }
        Self::lend(found).map(Some)
    }

    /// Like [`Keyspace::update`]; a key that is not there is made, empty and without a deadline.
    #[inline]
    pub fn update_or_create<T: Typed>(&mut self, key: Key<'_>) -> Result<&mut T, CommandError> {
        let (db, no_touch) = (self.db, self.no_touch);
        let Shard { tables, now, ledger, touch, .. } = &mut *self.shard;
        // What is due goes first: the key even from under a transaction, as when it is overwritten.
        match tables[usize::from(db.0)].find(key) {
            Some(found) if found.is_due(*now) && !ledger.journal.is_replaying() => {
                expired_on_access(found, db, key, ledger);
            }
            Some(found) if found.is_fading() => drop(lookup(tables, db, key, *now, ledger)),
            _ => {}
        }
        let table = &mut tables[usize::from(db.0)];
        let empty = || Content::Collection(Box::<T>::default().boxed());
        let (mut found, is_new) = table.find_or_insert(key, touch.fresh, empty);
        if !is_new && !no_touch {
            let word = touch.word_after(found.entry().access(), *now);
            found.set_access(word);
        }
        Self::lend(found)
    }

    /// The one way to a structure that is about to change.
    #[inline]
    fn lend<T: Typed>(found: Found<'_>) -> Result<&mut T, CommandError> {
        found.into_collection_mut().and_then(T::of_mut).ok_or(CommandError::WrongType)
    }

    /// Must follow a change of what an `update` function gave: tells those who watch the key, removes it when nothing is left
    /// in it, and takes note of the deadlines of fields. False: the key is gone.
    #[inline]
    pub fn changed<T: Typed>(&mut self, key: Key<'_>) -> bool {
        let db = self.db;
        let Shard { tables, ledger, wheel, .. } = &mut *self.shard;
        ledger.watches.changed(db, key.hash);
        let Some(mut found) = tables[usize::from(db.0)].find(key) else { return false };
        let is_empty = match found.entry().value() {
            ValueRef::Collection(collection) => !T::STAYS_EMPTY && collection.is_empty(),
            _ => false,
        };
        if is_empty {
            ledger.removed(db, key.hash, found.remove(), false);
            return false;
        }
        if T::TYPE == KeyType::Hash {
            settle_fields(&mut found, wheel, db, key.hash);
        }
        true
    }

    /// Stores a collection under the key, over whatever is there. An empty one removes the key, unless it is a stream.
    pub fn put_collection(&mut self, key: Key<'_>, collection: Collection, ttl: Ttl) {
        if collection.is_empty() && !matches!(collection, Collection::Stream(_)) {
            self.remove(key);
            return;
        }
        self.store(key, Content::Collection(collection), ttl, None);
    }
}

/// Takes note of the deadlines of the fields of a hash: in the entry's kind, and in the wheel, which must fire no later than the
/// earliest of them. A node for an earlier time will do.
pub(super) fn settle_fields(found: &mut Found<'_>, wheel: &mut ExpiryWheel, db: DbIndex, hash: u64) {
    let Some(fields) = found.hash_mut() else { return };
    let next = fields.next_deadline();
    let is_fading = next.is_some();
    if !is_fading {
        fields.set_alarm(None);
    }
    if let Some(next) = next
        && fields.alarm().is_none_or(|alarm| alarm > next)
    {
        wheel.add(db, hash, Millis(next));
        fields.set_alarm(Some(next));
    }
    if is_fading != found.is_fading() {
        found.settle_hash_kind();
    }
}

/// Takes fields out whose deadline has passed, `budget` of them at most, and writes that down. True: others are due.
pub(super) fn expire_fields(
    found: &mut Found<'_>,
    db: DbIndex,
    hash: u64,
    now: Millis,
    budget: usize,
    ledger: &mut Ledger,
) -> bool {
    let Ledger { journal, stats, watches, .. } = ledger;
    if found.entry().next_fading().is_none_or(|at| at > now) {
        return false;
    }
    journal.begin(db);
    journal.add(b"HDEL");
    journal.add(found.entry().key());
    let Some(fields) = found.hash_mut() else { return false };
    let mut count = 0;
    let more = fields.expire(now.0, budget, &mut |name| {
        count += 1;
        journal.add(name);
    });
    if fields.next_deadline().is_none() {
        fields.set_alarm(None);
    }
    if count > 0 {
        stats.expired_fields += count;
        watches.changed(db, hash);
        found.settle_hash_kind();
    }
    more
}
