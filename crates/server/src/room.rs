//! maxmemory: one limit for all cores, kept by each of them.
//!
//! What counts is the memory that the allocator has handed out, less what the shards hold free for their next entries or
//! are about to free (their slack), which every core publishes once a turn.
//!
//! ```text
//! below the limit      a core reckons once a turn how much it may write before it must look again
//! up to 64 KiB above   each write frees what falls to its shard of what is too much
//! beyond that          the other cores are woken; every core frees its share, turn by turn
//! far above            each write frees as much as it can; one whose shard has nothing to evict is refused
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

/// Excess from which the other cores are woken, in bytes.
const WAKE_BYTES: u64 = 64 << 10;
/// Excess that is far above the limit: this many bytes at least, and this part of the limit.
const FAR_BYTES_MIN: u64 = 1 << 20;
const FAR_PART: u64 = 64;
/// Keys evicted at most for one write, and in one turn; and bytes in one turn.
const EVICTIONS_PER_WRITE: usize = 64;
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
            None => self.make_room(),
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
    fn make_room(&mut self) -> bool {
        let used = self.used_bytes();
        self.reckon(used);
        // As in Redis, a write that begins below the limit may end above it.
        let Some(excess) = used.checked_sub(self.maxmemory).filter(|&excess| excess > 0) else { return true };
        let far = excess > FAR_BYTES_MIN.max(self.maxmemory / FAR_PART);
        let goal = if far { excess } else { excess.div_ceil(u64::from(self.shared.shards)) };
        if self.evict(goal, EVICTIONS_PER_WRITE) > 0 {
            return true;
        }
        // Others may have what this shard has not.
        !far && self.shared.room.others(self.core).any(|(_, other)| other.evictable.load(Ordering::Relaxed))
    }

    /// Evicts until about `goal` bytes are free, or as many keys are gone; gives the bytes.
    fn evict(&mut self, goal: u64, keys_max: usize) -> u64 {
        let mut freed = 0;
        for _ in 0..keys_max {
            if freed >= goal {
                break;
            }
            match self.shard.evict_one(&mut |_, _| {}) {
                Evicted::Freed(bytes) => freed += bytes as u64,
                Evicted::NothingToEvict => break,
            }
        }
        freed
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
    /// The turn's part in keeping the limit. True: memory is still above it, and this core can do something about that.
    pub(crate) fn keep_limit(&mut self, io: &mut Io) -> bool {
        let shared = self.shared.clone();
        let own = shared.room.own(self.id);
        let used = self.exec.used_bytes();
        let goal = bytes_to_free(used, self.exec.maxmemory, self.shards, BYTES_PER_TURN);
        let freed = if goal == 0 { 0 } else { self.exec.evict(goal, EVICTIONS_PER_TURN) };
        let evicting = goal > freed && freed > 0;
        own.evicting.store(evicting, Ordering::Relaxed);
        own.evictable.store(self.exec.has_evictable(self.settings.databases), Ordering::Relaxed);
        own.slack_bytes.store(self.exec.shard.slack_bytes() as u64, Ordering::Relaxed);
        self.exec.reckon(used);
        if used > self.exec.maxmemory + WAKE_BYTES {
            for (other, published) in shared.room.others(self.id) {
                if published.evictable.load(Ordering::Relaxed) && !published.evicting.swap(true, Ordering::Relaxed) {
                    io.mail(other, Mail::MakeRoom);
                }
            }
        }
        freed > 0 && used.saturating_sub(freed) > self.exec.maxmemory
    }
}
