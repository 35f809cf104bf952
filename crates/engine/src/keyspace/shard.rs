//! One core's part of the data: all databases, their deadlines and counters.

use std::hash::{BuildHasher, Hasher};

use pinyon_base::{DbIndex, Millis};

use super::db::Db;
use super::{EvictionPolicy, Keyspace, KeyType, ShardStats, TableStats};

/// What a shard needs to know from the configuration.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    pub databases: u16,
    /// Seeds of the keys' hash; the same for the shard's whole life.
    pub hash_seed: [u64; 4],
    /// Seed of all random choices (eviction samples, RANDOMKEY, LFU counters).
    pub rng_seed: u64,
    pub policy: EvictionPolicy,
    pub lfu_log_factor: u32,
    /// Minutes per step of decay; 0 = never.
    pub lfu_decay_time: u32,
    /// Keys looked at for each one evicted.
    pub maxmemory_samples: u32,
    /// Whether due keys are removed by the timer (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expire: bool,
    /// Longest string that APPEND and SETRANGE may make (`proto-max-bulk-len`).
    pub string_bytes_max: u64,
}

impl Default for ShardConfig {
    fn default() -> Self {
        ShardConfig {
            databases: 16,
            hash_seed: [1, 2, 3, 4],
            rng_seed: 1,
            policy: EvictionPolicy::NoEviction,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            maxmemory_samples: 5,
            active_expire: true,
            string_bytes_max: 512 << 20,
        }
    }
}

/// What an eviction achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// A key is gone; about this many bytes were freed.
    Freed(usize),
    /// No key may be evicted under the policy.
    NothingToEvict,
}

/// One core's part of the data.
pub struct Shard {
    pub(super) dbs: Vec<Db>,
    pub(super) now: Millis,
    pub(super) stats: ShardStats,
    hasher: ahash::RandomState,
    pub(super) config: ShardConfig,
    rng: u64,
}

impl Shard {
    pub fn new(config: ShardConfig) -> Shard {
        let [a, b, c, d] = config.hash_seed;
        Shard {
            dbs: (0..config.databases.max(1)).map(|_| Db::default()).collect(),
            now: Millis(0),
            stats: ShardStats::default(),
            hasher: ahash::RandomState::with_seeds(a, b, c, d),
            rng: config.rng_seed | 1,
            config,
        }
    }

    /// Takes over what may change at run time: policy, LFU factors, samples, active expiry. Databases and seeds stay.
    pub fn reconfigure(&mut self, config: &ShardConfig) {
        self.config = ShardConfig {
            databases: self.config.databases,
            hash_seed: self.config.hash_seed,
            rng_seed: self.config.rng_seed,
            ..config.clone()
        };
    }

    /// The eviction policy in force.
    pub fn policy(&self) -> EvictionPolicy {
        self.config.policy
    }

    /// Sets the time at which all following calls happen.
    pub fn begin_turn(&mut self, now: Millis) {
        self.now = now;
    }

    /// The view of one database. `no_touch`: reads do not count as accesses (CLIENT NO-TOUCH).
    #[inline]
    pub fn keyspace(&mut self, db: DbIndex, no_touch: bool) -> Keyspace<'_> {
        Keyspace::new(self, db, no_touch)
    }

    /// The hash of a key: the same in all databases of the shard.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// First stage of a pipeline's prefetch: the key's bucket.
    #[inline]
    pub fn prefetch_bucket(&self, _db: DbIndex, _hash: u64) {}

    /// Second stage, some keys later: the entry that the bucket names.
    #[inline]
    pub fn prefetch_entry(&self, _db: DbIndex, _hash: u64) {}

    /// Keys in the database, due ones not yet removed included (as DBSIZE counts them).
    pub fn db_len(&self, db: DbIndex) -> usize {
        self.db(db).map.len()
    }

    /// Keys with a deadline.
    pub fn db_volatile_len(&self, db: DbIndex) -> usize {
        self.db(db).map.values().filter(|item| item.deadline.is_some()).count()
    }

    /// Mean remaining time of the keys with a deadline, in ms; 0 without any.
    pub fn db_average_ttl(&self, db: DbIndex) -> i64 {
        let mut sum = 0i64;
        let mut count = 0i64;
        for deadline in self.db(db).map.values().filter_map(|item| item.deadline) {
            sum += (deadline.0 - self.now.0).max(0);
            count += 1;
        }
        sum / count.max(1)
    }

    /// Removes due keys, at most `budget` of them. True: more are due now.
    pub fn expire_slice(&mut self, now: Millis, budget: usize, on_expired: &mut dyn FnMut(DbIndex, &[u8])) -> bool {
        if !self.config.active_expire {
            return false;
        }
        let mut left = budget;
        for (index, db) in self.dbs.iter_mut().enumerate() {
            let due: Vec<Vec<u8>> = db
                .map
                .iter()
                .filter(|(_, item)| item.deadline.is_some_and(|at| at <= now))
                .map(|(key, _)| key.clone())
                .collect();
            for key in due {
                if left == 0 {
                    return true;
                }
                left -= 1;
                db.map.remove(&key);
                self.stats.expired += 1;
                on_expired(DbIndex(index as u16), &key);
            }
        }
        false
    }

    /// When `expire_slice` should be called next.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.dbs.iter().flat_map(|db| db.map.values().filter_map(|item| item.deadline)).min()
    }

    /// Removes one key as the policy says.
    pub fn evict_one(&mut self, on_evicted: &mut dyn FnMut(DbIndex, &[u8])) -> Evicted {
        if self.config.policy == EvictionPolicy::NoEviction {
            return Evicted::NothingToEvict;
        }
        for (index, db) in self.dbs.iter_mut().enumerate() {
            if let Some(key) = db.map.keys().next().cloned() {
                db.map.remove(&key);
                self.stats.evicted += 1;
                on_evicted(DbIndex(index as u16), &key);
                return Evicted::Freed(key.len() + 64);
            }
        }
        Evicted::NothingToEvict
    }

    /// Removes all keys of a database. Unless `sync`, memory is given back by [`Shard::background_slice`].
    pub fn flush_db(&mut self, db: DbIndex, _sync: bool) {
        self.dbs[usize::from(db.0)] = Db::default();
    }

    /// Removes all keys of all databases.
    pub fn flush_all(&mut self, sync: bool) {
        for index in 0..self.dbs.len() {
            self.flush_db(DbIndex(index as u16), sync);
        }
    }

    /// Exchanges the contents of two databases.
    pub fn swap_db(&mut self, a: DbIndex, b: DbIndex) {
        self.dbs.swap(usize::from(a.0), usize::from(b.0));
    }

    /// Does up to `budget` steps of deferred work. True: more is left.
    pub fn background_slice(&mut self, _budget: usize) -> bool {
        false
    }

    pub fn stats(&self) -> &ShardStats {
        &self.stats
    }

    pub fn reset_stats(&mut self) {
        self.stats = ShardStats::default();
    }

    pub fn table_stats(&self, db: DbIndex) -> TableStats {
        TableStats { len: self.db_len(db), ..TableStats::default() }
    }

    /// A random key that has not expired; `None` when there is none.
    pub fn random_key(&mut self, db: DbIndex) -> Option<Vec<u8>> {
        self.rng = self.rng.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let now = self.now;
        let live: Vec<&Vec<u8>> =
            self.db(db).map.iter().filter(|(_, item)| item.deadline.is_none_or(|at| at > now)).map(|(key, _)| key).collect();
        if live.is_empty() {
            return None;
        }
        Some(live[(self.rng >> 33) as usize % live.len()].clone())
    }

    /// Visits at least the next `count` keys' worth of the table and returns the next cursor, 0 at the end. Keys that stay
    /// during a whole scan are visited at least once; expired keys are skipped.
    pub fn scan(&mut self, db: DbIndex, cursor: u64, count: usize, visit: &mut dyn FnMut(&[u8], KeyType)) -> u64 {
        let now = self.now;
        let mut keys: Vec<(u64, &Vec<u8>)> = self
            .db(db)
            .map
            .iter()
            .filter(|(_, item)| item.deadline.is_none_or(|at| at > now))
            .map(|(key, _)| ((self.hash(key) >> 16).max(1), key))
            .filter(|(place, _)| *place >= cursor)
            .collect();
        keys.sort();
        let mut seen = 0;
        let mut last = 0;
        for (place, key) in keys {
            if seen >= count.max(1) && place != last {
                return place;
            }
            seen += 1;
            last = place;
            visit(key, KeyType::String);
        }
        0
    }

    /// Whether the timer removes due keys (DEBUG SET-ACTIVE-EXPIRE). Expiry on access is always exact.
    pub fn set_active_expire(&mut self, on: bool) {
        self.config.active_expire = on;
    }

    fn db(&self, db: DbIndex) -> &Db {
        &self.dbs[usize::from(db.0)]
    }
}
