//! The 24-bit access word that every entry carries, and the random numbers that go with it.
//!
//! Under the LRU policies (and all others) the word is the second of the last access, modulo 2²⁴ (194 days). Under the LFU
//! policies it holds the minute of the last access, modulo 2¹⁶ (45 days), and a logarithmic counter:
//!
//! ```text
//!        23 ─────────────── 8 7 ─────── 0
//!  LRU   seconds                          of the last access
//!  LFU   minutes          │ counter       of the last access; 0..=255, new keys start at 5
//! ```
//!
//! The counter grows with probability 1 / ((counter − 5) × lfu-log-factor + 1) and loses one for every lfu-decay-time
//! minutes that pass, as in Redis, so OBJECT FREQ shows the numbers its users know. After a change of the policy from LRU
//! to LFU or back the words mean nothing until they are touched again; that, too, is as in Redis.

use pinyon_base::Millis;

/// A new key's LFU counter: high enough not to be evicted before it had a chance to be read again.
pub const LFU_INITIAL: u8 = 5;

const MASK: u32 = 0xFF_FFFF;

/// The access word of an entry, in the low 24 bits. What it means depends on the policy ([`AccessPolicy`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessWord(pub u32);

impl AccessWord {
    /// From the three bytes in which an entry stores it, lowest first.
    #[inline]
    pub fn from_bytes(bytes: [u8; 3]) -> AccessWord {
        AccessWord(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
    }

    /// The three bytes in which an entry stores it, lowest first.
    #[inline]
    pub fn to_bytes(self) -> [u8; 3] {
        let [a, b, c, _] = self.0.to_le_bytes();
        [a, b, c]
    }
}

/// How accesses are recorded: what of the configuration concerns the access word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessPolicy {
    /// The words hold minutes and a counter (LFU) instead of seconds (LRU).
    pub lfu: bool,
    /// `lfu-log-factor`: how much slower each further step of the counter comes. 0: every access counts.
    pub log_factor: u32,
    /// `lfu-decay-time`: minutes per step down. 0: the counter never decays.
    pub decay_minutes: u32,
}

impl Default for AccessPolicy {
    fn default() -> Self {
        AccessPolicy { lfu: false, log_factor: 10, decay_minutes: 1 }
    }
}

/// The word of a key created at `now`.
#[inline]
pub fn initial(now: Millis, policy: &AccessPolicy) -> AccessWord {
    if policy.lfu { lfu_word(minutes(now), LFU_INITIAL) } else { AccessWord(seconds(now)) }
}

/// The word after an access at `now`.
#[inline]
pub fn touch(word: AccessWord, now: Millis, policy: &AccessPolicy, rng: &mut Rng) -> AccessWord {
    if !policy.lfu {
        return AccessWord(seconds(now));
    }
    let counter = frequency(word, now, policy);
    lfu_word(minutes(now), counter_after_access(counter, policy.log_factor, rng))
}

/// Whole seconds since the last access, for a word kept under LRU: OBJECT IDLETIME. Wraps after 194 days; an access that
/// the clock places in the future (it was set back) counts as just now.
#[inline]
pub fn idle_seconds(word: AccessWord, now: Millis) -> u64 {
    u64::from(ahead(seconds(now), word.0, MASK))
}

/// The word of a key last accessed `idle` seconds before `now`, under LRU: RESTORE IDLETIME.
#[inline]
pub fn with_idle_seconds(idle: u64, now: Millis) -> AccessWord {
    AccessWord(seconds(now).wrapping_sub((idle & u64::from(MASK)) as u32) & MASK)
}

/// The counter as it stands at `now`, decay included, for a word kept under LFU: OBJECT FREQ.
#[inline]
pub fn frequency(word: AccessWord, now: Millis, policy: &AccessPolicy) -> u8 {
    let counter = (word.0 & 0xFF) as u8;
    if policy.decay_minutes == 0 {
        return counter;
    }
    let steps = idle_minutes(word, now) / policy.decay_minutes;
    counter.saturating_sub(steps.min(255) as u8)
}

/// The word of a key whose counter stands at `counter`, under LFU: RESTORE FREQ.
#[inline]
pub fn with_frequency(counter: u8, now: Millis) -> AccessWord {
    lfu_word(minutes(now), counter)
}

/// Minutes since the last access, for a word kept under LFU. Wraps after 45 days.
#[inline]
pub(super) fn idle_minutes(word: AccessWord, now: Millis) -> u32 {
    ahead(minutes(now), word.0 >> 8, 0xFFFF)
}

/// How far `now` is ahead of `then` on a circle of `mask` + 1. The last sixteenth of the circle is taken for a clock that
/// was set back, not for an access that long ago.
#[inline]
fn ahead(now: u32, then: u32, mask: u32) -> u32 {
    let ahead = now.wrapping_sub(then) & mask;
    if ahead > mask - mask / 16 { 0 } else { ahead }
}

#[inline]
fn seconds(now: Millis) -> u32 {
    (now.0.max(0) as u64 / 1000) as u32 & MASK
}

#[inline]
fn minutes(now: Millis) -> u32 {
    (now.0.max(0) as u64 / 60_000) as u32 & 0xFFFF
}

#[inline]
fn lfu_word(minutes: u32, counter: u8) -> AccessWord {
    AccessWord(minutes << 8 | u32::from(counter))
}

#[inline]
fn counter_after_access(counter: u8, log_factor: u32, rng: &mut Rng) -> u8 {
    let above_initial = u64::from(counter.saturating_sub(LFU_INITIAL));
    let odds = above_initial * u64::from(log_factor) + 1;
    if rng.one_in(odds) { counter.saturating_add(1) } else { counter }
}

/// A small fast generator of random numbers (xorshift with a multiplicative finish), the same sequence for the same seed.
/// For sampling; not for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Any seed will do, 0 too.
    pub fn new(seed: u64) -> Rng {
        // Neighbouring seeds (one per shard) must not give neighbouring sequences: mix, and avoid the fixed point 0.
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Rng { state: (z ^ (z >> 31)).max(1) }
    }

    /// 64 random bits, never all zero.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let mut x = self.state;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.state = x;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias is below `bound` / 2⁶⁴.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `n` times on average.
    #[inline]
    pub fn one_in(&mut self, n: u64) -> bool {
        n <= 1 || self.below(n) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_123);
    const LRU: AccessPolicy = AccessPolicy { lfu: false, log_factor: 10, decay_minutes: 1 };
    const LFU: AccessPolicy = AccessPolicy { lfu: true, ..LRU };

    fn later(seconds: i64) -> Millis {
        Millis(NOW.0 + seconds * 1000)
    }

    #[test]
    fn words_fit_three_bytes() {
        let mut rng = Rng::new(1);
        for policy in [LRU, LFU] {
            let word = touch(initial(NOW, &policy), later(77_777), &policy, &mut rng);
            assert!(word.0 <= MASK);
            assert_eq!(AccessWord::from_bytes(word.to_bytes()), word);
        }
    }

    #[test]
    fn idle_time_counts_seconds_and_survives_the_wrap() {
        let mut rng = Rng::new(1);
        let word = initial(NOW, &LRU);
        for idle in [0, 1, 59, 86_400, 100 * 86_400] {
            assert_eq!(idle_seconds(word, later(idle)), idle as u64);
            assert_eq!(with_idle_seconds(idle as u64, later(idle)), word);
        }
        assert_eq!(idle_seconds(word, later(-3_600)), 0);
        assert_eq!(idle_seconds(touch(word, later(500), &LRU, &mut rng), later(507)), 7);
        let wrap = Millis(((1i64 << 24) * 101 - 5) * 1000);
        assert_eq!(idle_seconds(initial(wrap, &LRU), Millis(wrap.0 + 9_000)), 9);
    }

    #[test]
    fn counters_decay_by_the_minute() {
        let word = with_frequency(100, NOW);
        assert_eq!(frequency(word, later(30), &LFU), 100);
        assert_eq!(frequency(word, later(30 * 60), &LFU), 70);
        assert_eq!(frequency(word, later(1_000 * 60), &LFU), 0);
        assert_eq!(frequency(word, later(-600), &LFU), 100);
        assert_eq!(frequency(word, later(30 * 60), &AccessPolicy { decay_minutes: 7, ..LFU }), 96);
        assert_eq!(frequency(word, later(86_400), &AccessPolicy { decay_minutes: 0, ..LFU }), 100);
        assert_eq!(frequency(initial(NOW, &LFU), NOW, &LFU), LFU_INITIAL);
    }

    /// The table in Redis's configuration file gives the counter after so many hits; the mean over some keys comes close.
    #[test]
    fn counters_grow_as_redis_documents() {
        let documented = [
            (0, 1_000, 255),
            (1, 100, 18),
            (1, 1_000, 49),
            (10, 100, 10),
            (10, 1_000, 18),
            (10, 100_000, 142),
            (100, 1_000, 11),
        ];
        let mut rng = Rng::new(42);
        for (log_factor, hits, expected) in documented {
            let policy = AccessPolicy { log_factor, ..LFU };
            let keys = if hits > 10_000 { 5 } else { 50 };
            let mut sum = 0.0;
            for _ in 0..keys {
                let mut word = initial(NOW, &policy);
                for _ in 0..hits {
                    word = touch(word, NOW, &policy, &mut rng);
                }
                sum += f64::from(frequency(word, NOW, &policy));
            }
            let mean = sum / f64::from(keys);
            let expected = f64::from(expected);
            assert!(
                (mean - expected).abs() <= (expected * 0.12).max(1.5),
                "factor {log_factor}, {hits} hits: {mean}, not {expected}"
            );
        }
    }

    #[test]
    fn random_numbers_repeat_by_seed_and_fill_their_range() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
        let mut rng = Rng::new(7);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[rng.below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (9_600..10_400).contains(&count)), "{counts:?}");
        assert_eq!((rng.below(0), rng.below(1), rng.one_in(0), rng.one_in(1)), (0, 0, true, true));
    }
}
