//! maxmemory: one limit for all cores, kept by each of them.
//!
//! What counts is the memory that the allocator has handed out, less what the shards hold free for their next entries or
//! are about to free (their slack), which every core publishes once a turn.
//!
//! ```text
//! below the limit      a core reckons once a turn how much it may write before it must look again
//! above it             what a write takes is owed by all shards that have anything to evict, in equal shares: its own
//!                      pays at once, the others are told at the end of the turn and pay in slices
//! 64 KiB above, or     every core frees its share of the excess, turn by turn; the others are woken for it
//! no writes for a while
//! far above            each write frees the whole excess; one whose shard has nothing to evict is refused
//! ```
//!
//! So keys go on all shards alike, also where one shard gets all writes. A write is refused at once when no shard has
//! anything to evict.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pinyon_base::DbIndex;
use pinyon_engine::keyspace::Evicted;
use pinyon_engine::keyspace::evict::bytes_to_free;
use pinyon_runtime::{CoreId, memory};

use crate::core::{Core, Io, Mail};
use crate::exec::Exec;

/// Excess from which every core frees its share without being told, in bytes.
const WAKE_BYTES: u64 = 64 << 10;
/// After so many µs without a write any excess is freed: nobody owes anything any more.
const QUIET_US: u64 = 20_000;
/// Excess that is far above the limit: this many bytes at least, and this part of the limit.
const FAR_BYTES_MIN: u64 = 1 << 20;
const FAR_PART: u64 = 64;
/// Keys evicted at most in one turn, and bytes.
const EVICTIONS_PER_TURN: usize = 64;
const BYTES_PER_TURN: u64 = 256 << 10;
/// What an entry takes besides its bytes, roughly.
const ENTRY_BYTES: u64 = 32;

/// What the cores have published.
pub struct Room {
    cores: Vec<Published>,
}

/// One core's; two cache lines, so that nobody's neighbours are fetched with it.
#[derive(Default)]
#[repr(align(128))]
struct Published {
    slack_bytes: AtomicU64,
    /// It has keys that the policy lets go.
    evictable: AtomicBool,
    /// It is freeing its share already.
    evicting: AtomicBool,
}

impl Room {
    pub fn new(cores: u16) -> Room {
        Room { cores: (0..cores).map(|_| Published::default()).collect() }
    }

    fn own(&self, core: CoreId) -> &Published {
        &self.cores[usize::from(core.0)]
    }

    fn others(&self, core: CoreId) -> impl Iterator<Item = (CoreId, &Published)> {
        let all = (0..).map(CoreId).zip(&self.cores);
        all.filter(move |(other, _)| *other != core)
    }

    /// Calls `with` for every other core that has anything to evict.
    fn each_helper(&self, core: CoreId, mut with: impl FnMut(CoreId, &Published)) {
        let helping = |(_, other): &(CoreId, &Published)| other.evictable.load(Ordering::Relaxed);
        self.others(core).filter(helping).for_each(|(other, published)| with(other, published));
    }

    /// How many other cores have anything to evict.
    fn helpers(&self, core: CoreId) -> u64 {
        self.others(core).filter(|(_, other)| other.evictable.load(Ordering::Relaxed)).count() as u64
    }
}

/// Keys that may be evicted for one write: from few, which is quick, at a `maxmemory-eviction-tenacity` of 0 to as many as
/// it takes at 100.
pub fn evictions_per_write(tenacity: u8) -> usize {
    const AT_10: f64 = 64.0;
    const GROWTH: f64 = 1.15;
    match tenacity {
        0..=10 => 4 + 6 * usize::from(tenacity),
        11..100 => (AT_10 * GROWTH.powi(i32::from(tenacity) - 10)) as usize,
        _ => usize::MAX,
    }
}

/// How much of what was owed has been freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paid {
    /// All, or all that there was.
    All,
    Part,
    /// There was nothing to evict.
    Nothing,
}

impl Exec {
    /// Whether a write of about `bytes` may be stored; frees some memory for it if need be.
    #[inline]
    pub(crate) fn has_room(&mut self, bytes: u64) -> bool {
        let bytes = bytes + ENTRY_BYTES;
        match self.allowance.checked_sub(bytes) {
            Some(rest) => {
                self.allowance = rest;
                true
            }
            None => self.make_room(bytes),
        }
    }

    /// Memory in use as `maxmemory` counts it, in bytes.
    fn used_bytes(&self) -> u64 {
        let others = self.shared.room.others(self.core);
        let slack: u64 = others.map(|(_, other)| other.slack_bytes.load(Ordering::Relaxed)).sum();
        memory::used_bytes().saturating_sub(slack + self.shard.slack_bytes() as u64)
    }

    /// What this core may write before it must look again: its part of what is left.
    fn reckon(&mut self, used: u64) {
        self.allowance = self.maxmemory.saturating_sub(used) / u64::from(self.shared.shards);
    }

    #[cold]
    fn make_room(&mut self, bytes: u64) -> bool {
        let used = self.used_bytes();
        self.reckon(used);
        // As in Redis, a write that begins below the limit may end above it.
        let Some(excess) = used.checked_sub(self.maxmemory).filter(|&excess| excess > 0) else {
            self.owed = 0;
            return true;
        };
        let far = excess > FAR_BYTES_MIN.max(self.maxmemory / FAR_PART);
        let helpers = self.shared.room.helpers(self.core);
        if far || helpers == 0 {
            self.owed = excess;
        } else {
            let share = bytes.div_ceil(helpers + 1);
            self.owed += share;
            self.owed_by_others += share;
        }
        let empty = self.pay(self.evictions_per_write) == Paid::Nothing;
        // Others may have what this shard has not.
        !empty || (helpers > 0 && !far)
    }

    /// Evicts for what is owed, at most `keys_max` keys.
    fn pay(&mut self, keys_max: usize) -> Paid {
        for number in 0..keys_max {
            if self.owed == 0 {
                return Paid::All;
            }
            match self.shard.evict_one(&mut |_, _| {}) {
                Evicted::Freed(bytes) => self.owed = self.owed.saturating_sub(bytes as u64),
                Evicted::NothingToEvict => {
                    self.owed = 0;
                    return if number == 0 { Paid::Nothing } else { Paid::All };
                }
            }
            self.stats.dirty += 1;
        }
        Paid::Part
    }

    fn has_evictable(&self, databases: u16) -> bool {
        let policy = self.shard.policy();
        let count = |db| match policy.volatile_only() {
            true => self.shard.db_volatile_len(DbIndex(db)),
            false => self.shard.db_len(DbIndex(db)),
        };
        policy.evicts() && (0..databases).any(|db| count(db) > 0)
    }
}

impl Core {
    /// Another core asks for this one's share of what was written there.
    pub(crate) fn owe(&mut self, bytes: u64) {
        self.exec.owed += bytes;
    }

    /// The turn's part in keeping the limit. True: this core has more to free.
    pub(crate) fn keep_limit(&mut self, io: &mut Io) -> bool {
        let shared = self.shared.clone();
        let own = shared.room.own(self.id);
        let bytes = std::mem::take(&mut self.exec.owed_by_others);
        if bytes > 0 {
            self.exec.last_debt_us = io.now_us();
            shared.room.each_helper(self.id, |other, _| io.mail(other, Mail::MakeRoom { bytes }));
        }
        let used = self.exec.used_bytes();
        let excess = used.saturating_sub(self.exec.maxmemory);
        let quiet = io.now_us() > self.exec.last_debt_us + QUIET_US;
        let sharing = excess > WAKE_BYTES || (excess > 0 && quiet);
        if sharing {
            let sharers = shared.room.helpers(self.id) as u16 + 1;
            let share = bytes_to_free(used, self.exec.maxmemory, sharers, BYTES_PER_TURN);
            self.exec.owed = self.exec.owed.max(share);
            shared.room.each_helper(self.id, |other, published| {
                if !published.evicting.swap(true, Ordering::Relaxed) {
                    io.mail(other, Mail::MakeRoom { bytes: 0 });
                }
            });
        }
        let paid = self.exec.pay(EVICTIONS_PER_TURN);
        own.evicting.store(paid == Paid::Part, Ordering::Relaxed);
        own.evictable.store(self.exec.has_evictable(self.settings.databases), Ordering::Relaxed);
        own.slack_bytes.store(self.exec.shard.slack_bytes() as u64, Ordering::Relaxed);
        self.exec.reckon(used);
        // Whoever has paid a share of the excess looks whether there still is one.
        paid == Paid::Part || (sharing && paid == Paid::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tenacity_more_evictions() {
        let numbers: Vec<usize> = (0..=100).map(evictions_per_write).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((numbers[0], numbers[10], numbers[100]), (4, 64, usize::MAX));
    }

    #[test]
    fn helpers_are_others_with_something_to_evict() {
        let room = Room::new(3);
        assert_eq!(room.helpers(CoreId(0)), 0);
        room.own(CoreId(0)).evictable.store(true, Ordering::Relaxed);
        room.own(CoreId(2)).evictable.store(true, Ordering::Relaxed);
        let mut asked = Vec::new();
        room.each_helper(CoreId(0), |core, _| asked.push(core));
        assert_eq!(asked, [CoreId(2)]);
        assert_eq!((room.helpers(CoreId(0)), room.helpers(CoreId(1))), (1, 2));
    }
}
