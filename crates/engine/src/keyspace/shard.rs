//! One core's part of the data: all databases, their deadlines and counters.

use pinyon_base::{Blob, DbIndex, Millis};

use super::access::{self, AccessPolicy, AccessWord, Rng};
use super::block::{EntryRef, Heavy};
use super::collections::{Lent, Limits, expire_fields, settle_fields};
use super::evict::{EvictionPool, Sample};
use super::expiry::{Due, ExpiryWheel, Fired};
use super::graveyard::Graveyard;
use super::housekeeping::Housekeeping;
use super::journal::Journal;
use super::keyspace::memory_of;
use super::notices::{Events, Notices};
use super::snapshot::Snapshot;
use super::table::{Found, KeyHasher, Table};
use super::{EvictionPolicy, Key, KeyType, Keyspace, ShardStats, TableStats};
use crate::transaction::{Queue, TransactionId, Waits, WatcherId, Watches};

/// What a shard needs to know from the configuration.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    pub databases: u16,
    /// Seeds of the keys' hash; the same for the shard's whole life.
    pub hash_seed: [u64; 4],
    /// Seed of all random choices (eviction samples, RANDOMKEY, LFU counters).
    pub rng_seed: u64,
    /// Longest string that APPEND and SETRANGE may make (`proto-max-bulk-len`).
    pub string_bytes_max: u64,
    pub policy: EvictionPolicy,
    pub lfu_log_factor: u32,
    /// Minutes per step of decay; 0 = never.
    pub lfu_decay_time: u32,
    /// Keys looked at in each database for each one evicted.
    pub maxmemory_samples: u32,
    /// Whether due keys are removed by the timer (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expire: bool,
    /// Up to where collections stay small.
    pub limits: Limits,
    /// The events that somebody may listen to (`notify-keyspace-events`).
    pub events: Events,
}

impl Default for ShardConfig {
    fn default() -> Self {
        ShardConfig {
            databases: 16,
            hash_seed: [1, 2, 3, 4],
            rng_seed: 1,
            string_bytes_max: 512 << 20,
            policy: EvictionPolicy::NoEviction,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            maxmemory_samples: 5,
            active_expire: true,
            limits: Limits::default(),
            events: Events::empty(),
        }
    }
}

impl ShardConfig {
    /// The seed of the keys' hash is good for the tables inside of collections, too.
    fn with_seeds(mut self) -> ShardConfig {
        self.limits = self.limits.seeded(self.hash_seed[0]);
        self
    }

    fn access_policy(&self) -> AccessPolicy {
        AccessPolicy { lfu: self.policy.is_lfu(), log_factor: self.lfu_log_factor, decay_minutes: self.lfu_decay_time }
    }
}

/// Fields taken out of a hash at a time.
const FIELDS_PER_NODE: usize = 32;
/// How often eviction looks for a key that no transaction holds.
const EVICTION_TRIES: usize = 16;

/// What an eviction achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// A key is gone; about this many bytes were freed.
    Freed(usize),
    /// No key may be evicted under the policy.
    NothingToEvict,
}

/// How accesses are written down.
pub(super) struct Touch {
    pub(super) policy: AccessPolicy,
    pub(super) rng: Rng,
    /// The word of a key created in this turn; under LRU that of a key accessed in it, too.
    pub(super) fresh: AccessWord,
}

impl Touch {
    #[inline]
    pub(super) fn word_after(&mut self, word: AccessWord, now: Millis) -> AccessWord {
        if self.policy.lfu { access::touch(word, now, &self.policy, &mut self.rng) } else { self.fresh }
    }

    /// The word of a value that replaces another: under LFU the key keeps its counter, under LRU the value is new.
    #[inline]
    pub(super) fn word_after_overwrite(&mut self, word: AccessWord, now: Millis, no_touch: bool) -> AccessWord {
        if self.policy.lfu && no_touch { word } else { self.word_after(word, now) }
    }
}

/// What every change of a key leaves behind beside the tables.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) stats: ShardStats,
    pub(super) graveyard: Graveyard,
    pub(super) journal: Journal,
    pub(super) notices: Notices,
    pub(super) watches: Watches,
    pub(super) transactions: Queue<TransactionId>,
    /// What is due stays where it is, and is not seen (CLIENT PAUSE).
    keeps_due: bool,
}

impl Ledger {
    /// Whether a key that is due may not be removed: a transaction that holds it may run at an earlier moment.
    pub(super) fn keeps(&self, hash: u64) -> bool {
        self.keeps_due || self.transactions.holds(hash)
    }

    /// A key has been removed; `heavy`: what it owned beside its block.
    #[inline]
    pub(super) fn removed(&mut self, db: DbIndex, hash: u64, heavy: Option<Heavy>, later: bool) {
        self.watches.changed(db, hash);
        if let Some(heavy) = heavy {
            self.graveyard.bury(heavy, later);
        }
    }
}

/// One core's part of the data.
pub struct Shard {
    pub(super) tables: Vec<Table>,
    pub(super) now: Millis,
    pub(super) ledger: Ledger,
    pub(super) wheel: ExpiryWheel,
    pub(super) housekeeping: Housekeeping,
    pub(super) snapshot: Option<Box<Snapshot>>,
    pub(super) touch: Touch,
    pub(super) config: ShardConfig,
    /// For building texts.
    pub(super) scratch: Vec<u8>,
    /// For changing collections that lie in entries.
    pub(super) lent: Lent,
    hasher: KeyHasher,
    pub(super) pool: EvictionPool,
    /// Hashes, by database and the hash of the key, of which more fields were due than were taken out at once. Their alarm has
    /// gone off already.
    pub(super) fading: Vec<(DbIndex, u64)>,
}

impl Shard {
    pub fn new(config: ShardConfig) -> Shard {
        let config = config.with_seeds();
        let hasher = KeyHasher::new(config.hash_seed);
        let now = Millis(0);
        let policy = config.access_policy();
        let events = config.events;
        let mut shard = Shard {
            tables: (0..config.databases.max(1)).map(|_| Table::new(hasher.clone())).collect(),
            now,
            ledger: Ledger::default(),
            wheel: ExpiryWheel::new(now),
            housekeeping: Housekeeping::default(),
            snapshot: None,
            touch: Touch { policy, rng: Rng::new(config.rng_seed), fresh: access::initial(now, &policy) },
            config,
            scratch: Vec::new(),
            lent: Lent::default(),
            hasher,
            pool: EvictionPool::new(),
            fading: Vec::new(),
        };
        shard.want_events(events);
        shard
    }

    /// Takes over what may change at run time: policy, LFU factors, samples, active expiry. Databases and seeds stay.
    pub fn reconfigure(&mut self, config: &ShardConfig) {
        if config.policy != self.config.policy {
            self.pool.clear();
        }
        self.config = ShardConfig {
            databases: self.config.databases,
            hash_seed: self.config.hash_seed,
            rng_seed: self.config.rng_seed,
            ..config.clone()
        }
        .with_seeds();
        self.touch.policy = self.config.access_policy();
        self.want_events(self.config.events);
        self.begin_turn(self.now);
    }

    /// The eviction policy in force.
    pub fn policy(&self) -> EvictionPolicy {
        self.config.policy
    }

    /// Sets the time at which all following calls happen.
    pub fn begin_turn(&mut self, now: Millis) {
        self.now = now;
        self.touch.fresh = access::initial(now, &self.touch.policy);
    }

    /// The view of one database. `no_touch`: reads do not count as accesses (CLIENT NO-TOUCH).
    #[inline]
    pub fn keyspace(&mut self, db: DbIndex, no_touch: bool) -> Keyspace<'_> {
        Keyspace::new(self, db, no_touch)
    }

    /// The hash of a key: the same in all databases of the shard.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// First stage of a pipeline's prefetch: the key's bucket.
    #[inline]
    pub fn prefetch_bucket(&self, db: DbIndex, hash: u64) {
        self.table(db).prefetch_bucket(hash);
    }

    /// Second stage, some keys later: the entry that the bucket names.
    #[inline]
    pub fn prefetch_entry(&self, db: DbIndex, hash: u64) {
        self.table(db).prefetch_entry(hash);
    }

    /// Whether hashes of the database may have fields that are due.
    #[inline]
    pub fn has_fading(&self, db: DbIndex) -> bool {
        self.table(db).fading() > 0
    }

    /// Keys in the database, due ones not yet removed included (as DBSIZE counts them).
    pub fn db_len(&self, db: DbIndex) -> usize {
        self.table(db).len()
    }

    /// Keys with a deadline.
    pub fn db_volatile_len(&self, db: DbIndex) -> usize {
        self.table(db).volatile()
    }

    /// Hashes with fields that have deadlines.
    pub fn db_fading_len(&self, db: DbIndex) -> usize {
        self.table(db).fading()
    }

    /// Mean remaining time of the keys with a deadline, in ms; 0 without any.
    pub fn db_average_ttl(&self, db: DbIndex) -> i64 {
        self.table(db).average_ttl(self.now)
    }

    /// Removes due keys. A step of the wheel, of which it makes at most `budget`, removes at most one. True: there is more to
    /// do now.
    pub fn expire_slice(&mut self, now: Millis, budget: usize, on_expired: &mut dyn FnMut(DbIndex, &[u8])) -> bool {
        if !self.config.active_expire || self.ledger.keeps_due {
            return false;
        }
        let Shard { tables, ledger, wheel, fading, .. } = self;
        if ledger.transactions.holds_all() {
            return false;
        }
        let more = wheel.advance_with(now, budget, &mut Expirer { now, tables, ledger, fading, on_expired });
        self.expire_fields_slice(now, budget) || more
    }

    /// Goes on with hashes of which many fields are due: `budget` fields. True: more are.
    fn expire_fields_slice(&mut self, now: Millis, budget: usize) -> bool {
        let Shard { tables, ledger, wheel, fading, .. } = self;
        let mut left = budget;
        while let Some(&(db, hash)) = fading.last() {
            if left == 0 {
                return true;
            }
            let count = left.min(FIELDS_PER_NODE);
            left -= count;
            let found = tables[usize::from(db.0)].find_volatile(hash, now).filter(Found::is_fading);
            let Some(mut found) = found else {
                fading.pop();
                continue;
            };
            if expire_fields(&mut found, db, hash, now, count, ledger) {
                continue;
            }
            fading.pop();
            if found.hash_mut().is_some_and(|fields| fields.is_empty()) {
                ledger.notify(Events::GENERIC, "del", db, found.entry().key());
                ledger.removed(db, hash, found.remove(), false);
            } else if let Some(fields) = found.hash_mut() {
                fields.set_alarm(None);
                settle_fields(&mut found, wheel, db, hash);
            }
        }
        false
    }

    /// When `expire_slice` should be called next; `None` when there is nothing to expire.
    pub fn next_deadline(&self) -> Option<Millis> {
        match self.config.active_expire && !self.ledger.keeps_due {
            true if !self.fading.is_empty() => Some(self.now),
            true => self.wheel.next_deadline(),
            false => None,
        }
    }

    /// Removes one key as the policy says.
    pub fn evict_one(&mut self, on_evicted: &mut dyn FnMut(DbIndex, &[u8])) -> Evicted {
        let policy = self.config.policy;
        let volatile_only = policy.volatile_only();
        let candidates = |table: &Table| if volatile_only { table.volatile() } else { table.len() };
        let total: usize = self.tables.iter().map(candidates).sum();
        if !policy.evicts() || total == 0 || self.ledger.transactions.holds_all() {
            return Evicted::NothingToEvict;
        }
        // Keys that transactions hold must stay; where there are hardly any others, nothing can go now.
        for _ in 0..EVICTION_TRIES {
            let evicted =
                if policy.is_random() { self.evict_random(total, on_evicted) } else { self.evict_best(on_evicted) };
            if evicted != Evicted::NothingToEvict {
                return evicted;
            }
        }
        Evicted::NothingToEvict
    }

    fn evict_random(&mut self, total: usize, on_evicted: &mut dyn FnMut(DbIndex, &[u8])) -> Evicted {
        let volatile_only = self.config.policy.volatile_only();
        let candidates = |table: &Table| if volatile_only { table.volatile() } else { table.len() };
        let mut number = self.touch.rng.below(total as u64) as usize;
        let index = self.tables.iter().position(|table| {
            let count = candidates(table);
            let here = number < count;
            number = number.saturating_sub(count);
            here
        });
        let index = index.expect("the number is below the sum");
        let slot = self.tables[index].random(&mut self.touch.rng, volatile_only);
        let key = slot.expect("there are candidates").entry().key().to_vec();
        let hash = self.hasher.hash(&key);
        if self.ledger.transactions.holds(hash) {
            return Evicted::NothingToEvict;
        }
        Evicted::Freed(self.evict(DbIndex(index as u16), Key { bytes: &key, hash }, on_evicted))
    }

    /// Candidates of earlier calls may be gone or in use again. Those just sampled are neither, so one of the pool's is found
    /// now or, when only outdated ones were, the next time round.
    fn evict_best(&mut self, on_evicted: &mut dyn FnMut(DbIndex, &[u8])) -> Evicted {
        let policy = self.config.policy;
        let volatile_only = policy.volatile_only();
        self.sample_for_eviction();
        while let Some(best) = self.pool.take_best() {
            let key = Key { bytes: &best.key, hash: best.hash };
            let free = !self.ledger.transactions.holds(best.hash);
            let unchanged = free
                && self.tables[usize::from(best.db.0)].find(key).is_some_and(|found| {
                    let deadline = found.deadline();
                    found.entry().access() == best.word
                        && (deadline.is_some() || !volatile_only)
                        && (policy != EvictionPolicy::VolatileTtl || deadline == best.deadline)
                });
            let freed = unchanged.then(|| self.evict(best.db, key, on_evicted));
            self.pool.recycle(best);
            if let Some(bytes) = freed {
                return Evicted::Freed(bytes);
            }
        }
        Evicted::NothingToEvict
    }

    /// Removes all keys of a database. Unless `sync`, memory is given back by [`Shard::background_slice`].
    pub fn flush_db(&mut self, db: DbIndex, sync: bool) {
        self.tell_watchers_of(&[db]);
        let table = &mut self.tables[usize::from(db.0)];
        let renewed = table.renewed();
        let old = std::mem::replace(table, renewed);
        self.wheel.clear_db(db);
        self.pool.clear();
        self.discard_table(old, sync);
    }

    /// Removes all keys of all databases.
    pub fn flush_all(&mut self, sync: bool) {
        for index in 0..self.tables.len() {
            self.flush_db(DbIndex(index as u16), sync);
        }
    }

    /// Exchanges the contents of two databases.
    pub fn swap_db(&mut self, a: DbIndex, b: DbIndex) {
        if a == b {
            return;
        }
        self.tell_watchers_of(&[a, b]);
        self.tables.swap(usize::from(a.0), usize::from(b.0));
        self.wheel.swap_db(a, b);
        for (db, _) in &mut self.fading {
            *db = if *db == a {
                b
            } else if *db == b {
                a
            } else {
                *db
            };
        }
        self.housekeeping.swap_db(usize::from(a.0), usize::from(b.0));
        self.pool.clear();
    }

    /// Tells those who watch keys of `dbs` that are there in any of them: they are about to lose or exchange all keys.
    pub(super) fn tell_watchers_of(&mut self, dbs: &[DbIndex]) {
        dbs.iter().for_each(|&db| self.ledger.watches.waits.changed_all(db));
        if self.ledger.watches.is_empty() {
            return;
        }
        for &watched in dbs {
            for (hash, bytes) in self.ledger.watches.keys_in(watched) {
                let key = Key { bytes: &bytes, hash };
                for &db in dbs {
                    // What is due in one must not turn up in the other as if it had just come.
                    self.remove_due(db, key);
                    if self.tables[usize::from(db.0)].find(key).is_some() {
                        self.ledger.watches.changed(watched, hash);
                    }
                }
            }
        }
    }

    /// Removes a key whose deadline has passed, whoever holds it.
    fn remove_due(&mut self, db: DbIndex, key: Key<'_>) {
        let now = self.now;
        if let Some(found) = self.tables[usize::from(db.0)].find(key).filter(|found| found.is_due(now)) {
            self.ledger.stats.expired += 1;
            self.ledger.notify(Events::EXPIRED, "expired", db, key.bytes);
            self.ledger.journal.gone(db, key.bytes);
            self.ledger.removed(db, key.hash, found.remove(), false);
        }
    }

    /// From now on `id` wants to know of changes of this key.
    pub fn watch(&mut self, id: WatcherId, db: DbIndex, key: &[u8]) {
        let hash = self.hash(key);
        // One whose deadline has passed is gone already.
        self.keyspace(db, true).peek(Key { bytes: key, hash });
        self.ledger.watches.watch(id, db, hash, key);
    }

    /// Whether a key that `id` watches has changed, by now also by its deadline.
    pub fn has_changed(&mut self, id: WatcherId) -> bool {
        let now = self.now;
        for (db, hash, bytes) in self.ledger.watches.keys_of(id) {
            let key = Key { bytes: &bytes, hash };
            if self.tables[usize::from(db.0)].find(key).is_some_and(|found| found.is_due(now)) {
                self.ledger.watches.changed(db, hash);
            }
        }
        self.ledger.watches.is_dirty(id)
    }

    /// Whether a key that somebody waits for has changed.
    #[inline]
    pub fn has_changed_for_waiters(&self) -> bool {
        self.ledger.watches.waits.has_changes()
    }

    /// Who waits for keys of this shard.
    pub fn waits(&mut self) -> &mut Waits {
        &mut self.ledger.watches.waits
    }

    /// Of the keys that have changed and for which somebody waits, the one that changed first; those that a transaction holds
    /// have not changed yet.
    pub fn take_changed_for_waiters(&mut self) -> Option<(DbIndex, u64)> {
        let Ledger { watches, transactions, .. } = &mut self.ledger;
        watches.waits.take_change(|hash| !transactions.holds(hash))
    }

    /// Who watches keys of this shard.
    #[inline]
    pub fn watches(&mut self) -> &mut Watches {
        &mut self.ledger.watches
    }

    /// The transactions over several shards that concern this one.
    #[inline]
    pub fn transactions(&self) -> &Queue<TransactionId> {
        &self.ledger.transactions
    }

    #[inline]
    pub fn transactions_mut(&mut self) -> &mut Queue<TransactionId> {
        &mut self.ledger.transactions
    }

    pub fn stats(&self) -> &ShardStats {
        &self.ledger.stats
    }

    pub fn reset_stats(&mut self) {
        self.ledger.stats = ShardStats::default();
        self.ledger.graveyard.forget_freed();
    }

    pub fn table_stats(&self, db: DbIndex) -> TableStats {
        self.table(db).stats()
    }

    /// Nodes of the expiry wheel, stale ones included.
    pub fn expiry_nodes(&self) -> usize {
        self.wheel.node_count()
    }

    /// Bytes of the expiry wheel.
    pub fn expiry_bytes(&self) -> usize {
        self.wheel.bytes()
    }

    /// Bytes that were taken from the allocator but hold no data: free blocks kept for later entries, and what waits to be
    /// freed by [`Shard::background_slice`]. Memory use as users mean it (`used_memory`, `maxmemory`) is without them.
    pub fn slack_bytes(&self) -> usize {
        self.tables.iter().map(Table::slack_bytes).sum::<usize>() + self.ledger.graveyard.bytes()
    }

    /// Values that wait to be freed, and those that were freed after their command, since CONFIG RESETSTAT
    /// (`lazyfree_pending_objects`, `lazyfreed_objects`).
    pub fn lazy_freed(&self) -> (usize, u64) {
        (self.ledger.graveyard.pending(), self.ledger.graveyard.freed())
    }

    /// Long strings that wait to be freed, for dropping them on another thread: giving hundreds of MiB back to the kernel
    /// takes it tens of milliseconds. What is not taken is freed by [`Shard::background_slice`].
    pub fn take_garbage(&mut self) -> Vec<Blob> {
        self.ledger.graveyard.take_blobs()
    }

    /// A random key that has not expired; `None` when there is none, or none was found among a thousand that had expired.
    pub fn random_key(&mut self, db: DbIndex) -> Option<Vec<u8>> {
        for _ in 0..1000 {
            let entry = self.tables[usize::from(db.0)].random(&mut self.touch.rng, false)?.entry();
            let key = entry.key().to_vec();
            if entry.deadline().is_none_or(|at| at > self.now) {
                return Some(key);
            }
            let hash = self.hash(&key);
            // Removes it, so that this comes to an end.
            self.keyspace(db, true).peek(Key { bytes: &key, hash });
        }
        None
    }

    /// Visits the keys of at least one bucket, and about `count`, from `cursor` on and returns the next cursor, 0 at the end.
    /// Keys that stay during a whole scan are visited at least once; expired keys are skipped.
    pub fn scan(&self, db: DbIndex, cursor: u64, count: usize, visit: &mut dyn FnMut(&[u8], KeyType)) -> u64 {
        let now = self.now;
        self.table(db).scan(cursor, count, &mut |entry| {
            if entry.deadline().is_none_or(|at| at > now) {
                visit(entry.key(), entry.value().key_type());
            }
        })
    }

    /// Whether the timer removes due keys (DEBUG SET-ACTIVE-EXPIRE). Expiry on access is always exact.
    pub fn set_active_expire(&mut self, on: bool) {
        self.config.active_expire = on;
    }

    /// Whether keys that are due are removed at all, or just not seen.
    pub fn keep_due(&mut self, on: bool) {
        self.ledger.keeps_due = on;
    }

    #[inline]
    fn table(&self, db: DbIndex) -> &Table {
        &self.tables[usize::from(db.0)]
    }

    /// Offers some keys of every database to the pool.
    fn sample_for_eviction(&mut self) {
        let Shard { tables, pool, touch, config, now, hasher, .. } = self;
        let volatile_only = config.policy.volatile_only();
        for (index, table) in tables.iter().enumerate() {
            let mut offer = |entry: EntryRef<'_>| {
                let key = entry.key();
                let (word, deadline) = (entry.access(), entry.deadline());
                let sample = Sample { db: DbIndex(index as u16), hash: hasher.hash(key), key, word, deadline };
                pool.offer(sample, config.policy, &touch.policy, *now);
            };
            table.sample(&mut touch.rng, config.maxmemory_samples.max(1) as usize, volatile_only, &mut offer);
        }
    }

    /// Removes a key that is there; returns about how many bytes that freed.
    fn evict(&mut self, db: DbIndex, key: Key<'_>, on_evicted: &mut dyn FnMut(DbIndex, &[u8])) -> usize {
        let found = self.tables[usize::from(db.0)].find(key).expect("the caller has seen it");
        let bytes = memory_of(&found);
        self.ledger.journal.gone(db, key.bytes);
        self.ledger.removed(db, key.hash, found.remove(), false);
        self.ledger.notify(Events::EVICTED, "evicted", db, key.bytes);
        self.ledger.stats.evicted += 1;
        on_evicted(db, key.bytes);
        bytes
    }
}

/// Carries out what the wheel says is due.
struct Expirer<'s> {
    now: Millis,
    tables: &'s mut [Table],
    ledger: &'s mut Ledger,
    /// See [`Shard::fading`].
    fading: &'s mut Vec<(DbIndex, u64)>,
    on_expired: &'s mut dyn FnMut(DbIndex, &[u8]),
}

impl Due for Expirer<'_> {
    fn fire(&mut self, db: DbIndex, hash: u64, node: Millis) -> Fired {
        let Some(mut found) = self.tables[usize::from(db.0)].find_volatile(hash, self.now) else { return Fired::Done };
        if found.is_due(self.now) {
            if self.ledger.transactions.holds(hash) {
                // A transaction is about to run at an earlier moment: a little later.
                return Fired::RearmAt(self.now);
            }
            (self.on_expired)(db, found.entry().key());
            self.ledger.stats.expired += 1;
            self.ledger.notify(Events::EXPIRED, "expired", db, found.entry().key());
            self.ledger.journal.gone(db, found.entry().key());
            self.ledger.removed(db, hash, found.remove(), false);
            return Fired::Done;
        }
        if found.is_fading() {
            let more = expire_fields(&mut found, db, hash, self.now, FIELDS_PER_NODE, self.ledger);
            let Some(fields) = found.hash_mut() else { return Fired::Done };
            if fields.is_empty() {
                self.ledger.notify(Events::GENERIC, "del", db, found.entry().key());
                self.ledger.removed(db, hash, found.remove(), false);
                return Fired::Done;
            }
            // Otherwise this node was for the key's own deadline, or is left over.
            if fields.alarm().is_some_and(|alarm| alarm <= node.0) {
                if more {
                    self.fading.push((db, hash));
                    return Fired::Done;
                }
                let next = fields.next_deadline();
                fields.set_alarm(next);
                if let Some(next) = next {
                    return Fired::RearmAt(Millis(next));
                }
            }
        }
        match found.deadline() {
            None => Fired::Done,
            // Another node fires at exactly the deadline: this one is left over from an earlier one.
            Some(_) if found.is_armed() => Fired::Done,
            Some(at) => {
                found.set_armed(true);
                Fired::RearmAt(at)
            }
        }
    }

    fn bucket_soon(&mut self, db: DbIndex, hash: u64) {
        self.tables[usize::from(db.0)].prefetch_bucket(hash);
    }

    fn entry_soon(&mut self, db: DbIndex, hash: u64) {
        self.tables[usize::from(db.0)].prefetch_entry(hash);
    }
}
