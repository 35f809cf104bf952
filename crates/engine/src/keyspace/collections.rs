//! What commands on collections work with: a key's hash, list, set, sorted set or stream, to be read or changed.
//!
//! A change has two parts: one of the `update` functions lends the structure, and [`Keyspace::changed`] sees to all that
//! follows from it. Every structure that is about to change is lent by [`Keyspace::lend`], and by nothing else.
//!
//! A small packed hash or set lies in its entry as bytes. To be changed it is copied into a structure that the shard keeps for
//! this ([`Lent`]), and `changed` puts it back: what is changed without `changed` is lost.

use pinyon_base::{DbIndex, Millis};
use pinyon_values::codec;
use pinyon_values::hash::{Hash, HashLimits, HashRef};
use pinyon_values::list::{List, ListLimits};
use pinyon_values::set::{Set, SetLimits, SetRef};
use pinyon_values::stream::{BlockLimits, Stream};
use pinyon_values::zset::{ZSet, ZSetLimits};
use pinyon_values::{Collection, CollectionMut, CollectionRef};

use super::access::Rng;
use super::block::{Content, EntryRef, Heavy, PackedContent};
use super::expiry::ExpiryWheel;
use super::keyspace::{Keyspace, expired_on_access, lookup};
use super::notices::Events;
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
            list: ListLimits::default(),
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

/// The structures in which packed collections are changed that lie in entries, and the key whose collection is in one of them.
#[derive(Default)]
pub struct Lent {
    hash: Hash,
    set: Set,
    key: Option<(DbIndex, u64)>,
}

/// The structure of one type of key.
pub trait Typed: Default + Sized {
    const TYPE: KeyType;
    /// The class of what happens to its keys.
    const EVENTS: Events;
    /// A key of this type may have no elements.
    const STAYS_EMPTY: bool = false;
    /// The structure as it is read.
    type Ref<'v>: Copy;

    fn of(collection: CollectionRef<'_>) -> Option<Self::Ref<'_>>;
    fn of_mut(collection: CollectionMut<'_>) -> Option<&mut Self>;
    fn boxed(self: Box<Self>) -> Collection;

    /// One without elements as it lies in an entry, if it does.
    fn empty() -> Option<CollectionRef<'static>> {
        None
    }

    /// The one in which those that lie in entries are changed.
    fn lent(_: &mut Lent) -> Option<&mut Self> {
        None
    }

    fn copy_from(&mut self, _: Self::Ref<'_>) {}

    fn collection(&self) -> CollectionRef<'_>;
}

macro_rules! typed {
    ($type:ident, $events:ident, $ref:ty, |$self:ident| $borrowed:expr $(, $rest:item)*) => {
        impl Typed for $type {
            const TYPE: KeyType = KeyType::$type;
            const EVENTS: Events = Events::$events;
            type Ref<'v> = $ref;
            $($rest)*

            #[inline]
            fn of(collection: CollectionRef<'_>) -> Option<Self::Ref<'_>> {
                if let CollectionRef::$type(it) = collection { Some(it) } else { None }
            }

            #[inline]
            fn collection(&self) -> CollectionRef<'_> {
                let $self = self;
                CollectionRef::$type($borrowed)
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

/// What a type has whose small form lies in entries.
macro_rules! packed {
    ($type:ident, $events:ident, $ref:ident, $place:ident) => {
        typed!(
            $type,
            $events,
            $ref<'v>,
            |it| it.as_ref(),
            #[inline]
            fn empty() -> Option<CollectionRef<'static>> {
                Some(CollectionRef::$type($ref::empty()))
            },
            #[inline]
            fn lent(lent: &mut Lent) -> Option<&mut Self> {
                Some(&mut lent.$place)
            },
            #[inline]
            fn copy_from(&mut self, other: $ref<'_>) {
                self.copy_from(other);
            }
        );
    };
}

packed!(Hash, HASH, HashRef, hash);
packed!(Set, SET, SetRef, set);
typed!(List, LIST, &'v List, |it| it);
typed!(ZSet, ZSET, &'v ZSet, |it| it);
typed!(Stream, STREAM, &'v Stream, |it| it, const STAYS_EMPTY: bool = true;);

#[inline]
fn typed<'v, T: Typed>(value: Option<ValueRef<'v>>) -> Result<Option<T::Ref<'v>>, CommandError> {
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
    pub fn read_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<T::Ref<'_>>, CommandError> {
        typed::<T>(self.read(key))
    }

    /// The structure without counting and without touching.
    pub fn peek_as<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<T::Ref<'_>>, CommandError> {
        typed::<T>(self.peek(key))
    }

    /// The structure of a key that this command has read already, and which is therefore not due: several at once may be
    /// looked at.
    pub fn seen_as<T: Typed>(&self, key: Key<'_>) -> Option<T::Ref<'_>> {
        match self.seen(key)? {
            ValueRef::Collection(collection) => T::of(collection),
            _ => None,
        }
    }

    /// The value of a key without a trace; `None` when it is due, which it may be and still be there while a transaction holds it.
    fn seen(&self, key: Key<'_>) -> Option<ValueRef<'_>> {
        let entry = self.shard.tables[usize::from(self.db.0)].get(key)?;
        let is_due = entry.deadline().is_some_and(|at| at <= self.past());
        (!is_due).then(|| entry.value())
    }

    /// Whether the database has hashes whose fields have deadlines.
    #[inline]
    pub fn has_fading(&self) -> bool {
        self.shard.tables[usize::from(self.db.0)].fading() > 0
    }

    /// Whether fields of the hash under a key are due, and it has at least so many: whoever looks at it takes all of them out first.
    pub fn is_fading(&self, key: Key<'_>, fields_min: usize) -> bool {
        let table = &self.shard.tables[usize::from(self.db.0)];
        let is_due = |entry: &EntryRef<'_>| entry.next_fading().is_some_and(|at| at <= self.past());
        let entry = table.get(key).filter(is_due);
        entry.and_then(EntryRef::hash).is_some_and(|fields| fields.len() >= fields_min)
    }

    /// Takes out up to so many fields that are due, and with the last one the key. True: others are due.
    pub fn fade_some(&mut self, key: Key<'_>, budget: usize) -> bool {
        let (db, now) = (self.db, self.past());
        let Shard { tables, ledger, .. } = &mut *self.shard;
        let found = tables[usize::from(db.0)].find(key).filter(|found| found.is_fading() && !found.is_due(now));
        let Some(mut found) = found else { return false };
        let more = expire_fields(&mut found, db, key.hash, now, budget, ledger);
        if found.entry().hash().is_some_and(|fields| fields.is_empty()) {
            ledger.notify(Events::GENERIC, "del", db, key.bytes);
            ledger.removed(db, key.hash, found.remove(), false);
        }
        more
    }

    /// So many fields were over at once: a deadline in the past was set for them.
    pub fn count_expired_fields(&mut self, count: usize) {
        self.shard.ledger.stats.expired_fields += count as u64;
    }

    /// Elements of the collection under a key, without a trace; 0 when there is none.
    pub fn seen_elements(&self, key: Key<'_>) -> u64 {
        match self.seen(key) {
            Some(ValueRef::Collection(collection)) => collection.len(),
            _ => 0,
        }
    }

    /// The text under a key, without a trace; `None` when it is another value or none.
    pub fn seen_text(&self, key: Key<'_>) -> Option<ValueRef<'_>> {
        match self.seen(key)? {
            ValueRef::Collection(_) => None,
            text => Some(text),
        }
    }

    /// Frees a collection that was never stored, or no longer is, in slices.
    pub fn discard(&mut self, collection: Collection) {
        self.shard.ledger.graveyard.bury(Heavy::Collection(collection), true);
    }

    /// The structure for a writing command, which calls [`Keyspace::changed`] after a change.
    #[inline]
    pub fn update<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<&mut T>, CommandError> {
        let (db, no_touch) = (self.db, self.no_touch);
        let Shard { tables, now, ledger, touch, lent, .. } = &mut *self.shard;
        let Some(mut found) = lookup(tables, db, key, *now, ledger) else { return Ok(None) };
        if !no_touch {
            let word = touch.word_after(found.entry().access(), *now);
            found.set_access(word);
        }
        Self::lend(found, db, key, lent).map(Some)
    }

    /// Like [`Keyspace::update`]; a key that is not there is made, empty and without a deadline.
    #[inline]
    pub fn update_or_create<T: Typed>(&mut self, key: Key<'_>) -> Result<&mut T, CommandError> {
        let (db, no_touch) = (self.db, self.no_touch);
        let Shard { tables, now, ledger, touch, lent, .. } = &mut *self.shard;
        // What is due goes first: the key even from under a transaction, as when it is overwritten.
        match tables[usize::from(db.0)].find(key) {
            Some(found) if found.is_due(*now) && !ledger.journal.is_replaying() => {
                expired_on_access(found, db, key, ledger);
            }
            Some(found) if found.is_fading() => drop(lookup(tables, db, key, *now, ledger)),
            _ => {}
        }
        let table = &mut tables[usize::from(db.0)];
        let empty = || match T::empty().and_then(PackedContent::of) {
            Some(packed) => Content::Packed(packed),
            None => Content::Collection(Box::<T>::default().boxed()),
        };
        let (mut found, is_new) = table.find_or_insert(key, touch.fresh, empty);
        if is_new {
            ledger.notify(Events::NEW, "new", db, key.bytes);
        } else if !no_touch {
            let word = touch.word_after(found.entry().access(), *now);
            found.set_access(word);
        }
        Self::lend(found, db, key, lent)
    }

    /// The one way to a structure that is about to change.
    #[inline]
    fn lend<'s, T: Typed>(
        found: Found<'s>,
        db: DbIndex,
        key: Key<'_>,
        lent: &'s mut Lent,
    ) -> Result<&'s mut T, CommandError> {
        if !found.is_packed() {
            return found.into_collection_mut().and_then(T::of_mut).ok_or(CommandError::WrongType);
        }
        lent.key = Some((db, key.hash));
        let from = typed::<T>(Some(found.into_value()))?.ok_or(CommandError::WrongType)?;
        let structure = T::lent(lent).ok_or(CommandError::WrongType)?;
        structure.copy_from(from);
        Ok(structure)
    }

    /// Puts what was lent of a packed collection into its entry.
    fn put_back<T: Typed>(found: &mut Found<'_>, lent: &mut Lent) {
        let (deadline, armed, access) = (found.deadline(), found.is_armed(), found.entry().access());
        let Some(structure) = T::lent(lent) else { return };
        let freed = match PackedContent::of(structure.collection()) {
            Some(packed) => found.store(Content::Packed(packed), deadline, access),
            None => {
                let large = Box::new(std::mem::take(structure)).boxed();
                found.store(Content::Collection(large), deadline, access)
            }
        };
        debug_assert!(freed.is_none(), "it had nothing but its bytes");
        found.set_armed(armed);
    }

    /// Must follow a change of what an `update` function gave: tells those who watch the key, removes it when nothing is left
    /// in it, and takes note of the deadlines of fields. False: the key is gone.
    #[inline]
    pub fn changed<T: Typed>(&mut self, key: Key<'_>) -> bool {
        self.shard.ledger.watches.changed(self.db, key.hash);
        self.settle::<T>(key)
    }

    /// As [`Keyspace::changed`], for what WATCH does not see in Redis: a stream's groups, and its last id.
    pub fn changed_unwatched<T: Typed>(&mut self, key: Key<'_>) -> bool {
        self.shard.ledger.watches.changed_unwatched(self.db, key.hash);
        self.settle::<T>(key)
    }

    #[inline]
    fn settle<T: Typed>(&mut self, key: Key<'_>) -> bool {
        let db = self.db;
        let Shard { tables, ledger, wheel, lent, .. } = &mut *self.shard;
        let Some(mut found) = tables[usize::from(db.0)].find(key) else { return false };
        if found.is_packed() {
            let is_lent = lent.key.take() == Some((db, key.hash));
            debug_assert!(is_lent, "another one was lent since");
            if is_lent {
                Self::put_back::<T>(&mut found, lent);
            }
        }
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
        ledger.notify(Events::HASH, "hexpired", db, found.entry().key());
    }
    more
}
