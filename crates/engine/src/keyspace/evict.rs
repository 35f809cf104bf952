//! Which key goes when memory is short: the policies, the pool of best victims, and how much a shard frees at a time.
//!
//! No list of all keys in order of use is kept: each eviction looks at a few random keys (`maxmemory-samples`) and the
//! best candidates seen so far stay in an [`EvictionPool`] across calls, which comes close to exact LRU or LFU (the tests
//! say how close). The pool does not own keys: a candidate may have been deleted, or used again, since it was seen, so the
//! shard looks it up when its turn comes and passes over it when its access word or deadline has changed.

use pinyon_base::{DbIndex, Millis};

use super::access::{self, AccessPolicy, AccessWord};

/// `maxmemory-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionPolicy {
    #[default]
    NoEviction,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
}

impl EvictionPolicy {
    /// Every policy, in the order in which the documentation lists them.
    pub const ALL: [EvictionPolicy; 8] = [
        EvictionPolicy::NoEviction,
        EvictionPolicy::AllkeysLru,
        EvictionPolicy::AllkeysLfu,
        EvictionPolicy::AllkeysRandom,
        EvictionPolicy::VolatileLru,
        EvictionPolicy::VolatileLfu,
        EvictionPolicy::VolatileRandom,
        EvictionPolicy::VolatileTtl,
    ];

    /// The name as the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            EvictionPolicy::NoEviction => "noeviction",
            EvictionPolicy::AllkeysLru => "allkeys-lru",
            EvictionPolicy::AllkeysLfu => "allkeys-lfu",
            EvictionPolicy::AllkeysRandom => "allkeys-random",
            EvictionPolicy::VolatileLru => "volatile-lru",
            EvictionPolicy::VolatileLfu => "volatile-lfu",
            EvictionPolicy::VolatileRandom => "volatile-random",
            EvictionPolicy::VolatileTtl => "volatile-ttl",
        }
    }

    /// The policy of that name, in any case.
    pub fn from_name(name: &str) -> Option<EvictionPolicy> {
        EvictionPolicy::ALL.into_iter().find(|policy| policy.name().eq_ignore_ascii_case(name))
    }

    /// Keys are removed at all.
    pub const fn evicts(self) -> bool {
        !matches!(self, EvictionPolicy::NoEviction)
    }

    /// Only keys with a deadline may go.
    pub const fn volatile_only(self) -> bool {
        matches!(
            self,
            EvictionPolicy::VolatileLru
                | EvictionPolicy::VolatileLfu
                | EvictionPolicy::VolatileRandom
                | EvictionPolicy::VolatileTtl
        )
    }

    /// Access words hold LFU counters.
    pub const fn is_lfu(self) -> bool {
        matches!(self, EvictionPolicy::AllkeysLfu | EvictionPolicy::VolatileLfu)
    }

    /// The least recently used go first.
    pub const fn is_lru(self) -> bool {
        matches!(self, EvictionPolicy::AllkeysLru | EvictionPolicy::VolatileLru)
    }

    /// Any sample is as good as another: one is drawn and goes, and the pool is not used.
    pub const fn is_random(self) -> bool {
        matches!(self, EvictionPolicy::AllkeysRandom | EvictionPolicy::VolatileRandom)
    }
}

/// A key that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'k> {
    pub db: DbIndex,
    pub hash: u64,
    pub key: &'k [u8],
    pub word: AccessWord,
    pub deadline: Option<Millis>,
}

/// A key worth evicting when it was last looked at. It may be gone by now, or have been used since: then `word` (or, under
/// volatile-ttl, `deadline`) differs from the entry's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub db: DbIndex,
    pub hash: u64,
    pub key: Vec<u8>,
    pub word: AccessWord,
    pub deadline: Option<Millis>,
    /// The higher, the sooner it goes. Comparable between samples taken at different times.
    score: u64,
}

/// Candidates kept at most.
pub const POOL_SIZE: usize = 16;
/// Samples taken to fill the pool before one is evicted; `maxmemory-samples` may say otherwise.
pub const SAMPLES_DEFAULT: u32 = 5;

/// The best victims seen so far, best first.
#[derive(Debug, Default)]
pub struct EvictionPool {
    candidates: Vec<Candidate>,
    /// A spare buffer for the next candidate's key.
    spare: Vec<u8>,
}

impl EvictionPool {
    pub fn new() -> EvictionPool {
        EvictionPool { candidates: Vec::with_capacity(POOL_SIZE), spare: Vec::new() }
    }

    /// Considers a key. It is kept when it is among the best 16; a key already in the pool is judged anew.
    pub fn offer(&mut self, sample: Sample<'_>, policy: EvictionPolicy, access: &AccessPolicy, now: Millis) {
        let score = score(&sample, policy, access, now);
        let known = |c: &Candidate| c.hash == sample.hash && c.db == sample.db && c.key == sample.key;
        let mut key = if let Some(at) = self.candidates.iter().position(known) {
            self.candidates.remove(at).key
        } else if self.candidates.len() < POOL_SIZE {
            std::mem::take(&mut self.spare)
        } else if self.candidates.last().is_some_and(|worst| score > worst.score) {
            self.candidates.pop().map(|worst| worst.key).unwrap_or_default()
        } else {
            return;
        };
        key.clear();
        key.extend_from_slice(sample.key);
        let at = self.candidates.partition_point(|c| c.score >= score);
        let Sample { db, hash, word, deadline, .. } = sample;
        self.candidates.insert(at, Candidate { db, hash, key, word, deadline, score });
    }

    /// Takes the best victim out of the pool.
    pub fn take_best(&mut self) -> Option<Candidate> {
        if self.candidates.is_empty() { None } else { Some(self.candidates.remove(0)) }
    }

    /// Gives the buffer of a candidate that is done with back, for the next one's key.
    pub fn recycle(&mut self, candidate: Candidate) {
        self.spare = candidate.key;
    }

    /// Forgets all candidates: after a change of the policy, a flush or a swap of databases.
    pub fn clear(&mut self) {
        self.candidates.clear();
    }

    /// Candidates in the pool, 0 to 16.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }
}

fn score(sample: &Sample<'_>, policy: EvictionPolicy, access: &AccessPolicy, now: Millis) -> u64 {
    if policy == EvictionPolicy::VolatileTtl {
        return u64::MAX - sample.deadline.map_or(u64::MAX, |at| at.0.max(0) as u64);
    }
    if policy.is_lfu() {
        // Of two keys used equally often the one not used for longer goes.
        let rarity = u64::from(255 - access::frequency(sample.word, now, access));
        return rarity << 32 | u64::from(access::idle_minutes(sample.word, now));
    }
    // The second of the last access, counted so that samples of different moments compare.
    let last_access = (now.0.max(0) as u64 / 1000).saturating_sub(access::idle_seconds(sample.word, now));
    u64::MAX - last_access
}

/// How many bytes this shard frees in this turn: its share of what the server uses beyond `maxmemory`, at most
/// `slice_max`. Zero when memory is not short or `maxmemory` is 0 (no limit).
///
/// All shards see the same sum and act at about the same time, so each takes an equal share of the excess instead of the
/// whole; when some have nothing to evict, the others free their share of what remains turn by turn.
pub fn bytes_to_free(used: u64, maxmemory: u64, shards: u16, slice_max: u64) -> u64 {
    if maxmemory == 0 {
        return 0;
    }
    let excess = used.saturating_sub(maxmemory);
    excess.div_ceil(u64::from(shards.max(1))).min(slice_max)
}
