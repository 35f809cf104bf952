//! Which key comes next: a number from 0 to the number of keys, by a distribution.
//!
//! With zipf, key 0 is the most popular one, key 1 the next, and so on; the server's hash spreads them.

use std::fmt;
use std::str::FromStr;

use crate::load::random::Random;

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    Uniform,
    /// Key k with a probability in proportion to (k + 1)^-exponent.
    Zipf {
        exponent: f64,
    },
    /// A share of the requests goes to the first few keys, evenly; the rest to all of them.
    Hot {
        keys: u64,
        share: f64,
    },
    /// One after the other, each thread through a part of its own, over and over.
    Sequential,
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Distribution, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.parse::<f64>().ok().filter(|number| number.is_finite());
        match words[..] {
            ["uniform"] => Ok(Distribution::Uniform),
            ["sequential"] => Ok(Distribution::Sequential),
            ["zipf"] => Ok(Distribution::Zipf { exponent: 0.99 }),
            ["zipf", exponent] => match number(exponent) {
                Some(exponent) if exponent > 0.0 && exponent <= 10.0 => Ok(Distribution::Zipf { exponent }),
                _ => Err(format!("{exponent:?} is no exponent above 0 and up to 10")),
            },
            ["hot", keys, ref rest @ ..] if rest.len() <= 1 => {
                let keys = keys.parse().ok().filter(|&keys| keys > 0);
                let keys = keys.ok_or_else(|| format!("{:?} is no number of hot keys", words[1]))?;
                let share = rest.first().map_or(Some(1.0), |word| number(word));
                match share.filter(|share| (0.0..=1.0).contains(share)) {
                    Some(share) => Ok(Distribution::Hot { keys, share }),
                    None => Err(format!("{:?} is no share from 0 to 1", rest[0])),
                }
            }
            _ => Err(format!("{text:?} is none of: uniform, zipf [EXPONENT], hot KEYS [SHARE], sequential")),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Zipf { exponent } => write!(f, "zipf {exponent}"),
            Distribution::Hot { keys, share } => write!(f, "hot {keys} {share}"),
            Distribution::Sequential => f.write_str("sequential"),
        }
    }
}

/// The keys of one thread.
#[derive(Clone, Debug)]
pub struct Keys {
    count: u64,
    choice: Choice,
}

#[derive(Clone, Debug)]
enum Choice {
    Uniform,
    Zipf(Zipf),
    Hot { keys: u64, share: f64 },
    Sequential { first: u64, end: u64, next: u64 },
}

impl Keys {
    /// For thread number `thread` of `threads`. `count` is at least 1.
    pub fn new(distribution: Distribution, count: u64, thread: u64, threads: u64) -> Keys {
        let count = count.max(1);
        let choice = match distribution {
            Distribution::Uniform => Choice::Uniform,
            Distribution::Zipf { exponent } => Choice::Zipf(Zipf::new(count, exponent)),
            Distribution::Hot { keys, share } => Choice::Hot { keys: keys.min(count), share },
            Distribution::Sequential => {
                let first = part(count, thread, threads);
                // With more threads than keys some parts are empty; their threads begin where their part would.
                let first = first.min(count - 1);
                let end = part(count, thread + 1, threads).max(first + 1);
                Choice::Sequential { first, end, next: first }
            }
        };
        Keys { count, choice }
    }

    #[inline]
    pub fn next(&mut self, random: &mut Random) -> u64 {
        match &mut self.choice {
            Choice::Uniform => random.below(self.count),
            Choice::Zipf(zipf) => zipf.next(random),
            Choice::Hot { keys, share } => {
                let among = if *share >= 1.0 || random.unit() < *share { *keys } else { self.count };
                random.below(among)
            }
            Choice::Sequential { first, end, next } => {
                let key = *next;
                *next = if key + 1 == *end { *first } else { key + 1 };
                key
            }
        }
    }
}

/// Where part number `number` of `parts` of `count` things begins, so that the parts differ by one at most.
pub fn part(count: u64, number: u64, parts: u64) -> u64 {
    (u128::from(count) * u128::from(number) / u128::from(parts.max(1))) as u64
}

/// Zipf's distribution by rejection from its integral (Hörmann and Derflinger, 1996): no table, a few logarithms per number,
/// exact for any number of keys.
#[derive(Clone, Debug)]
struct Zipf {
    exponent: f64,
    count: f64,
    /// The integral at the two ends; numbers are drawn evenly between them.
    low: f64,
    high: f64,
    /// Draws this near to their integer are always taken.
    near: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Zipf {
        let count = count as f64;
        let mut zipf = Zipf { exponent, count, low: 0.0, high: 0.0, near: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(count + 0.5);
        zipf.near = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// The integral of the density, up to a constant: (x^(1-e) - 1) / (1-e), which is ln x for e = 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        if power.abs() > 1e-8 { power.exp_m1() / power * log } else { log * (1.0 + power / 2.0) }
    }

    fn inverse(&self, y: f64) -> f64 {
        let power = (y * (1.0 - self.exponent)).max(-1.0);
        if power.abs() > 1e-8 { (power.ln_1p() / power * y).exp() } else { (y * (1.0 - power / 2.0)).exp() }
    }

    fn next(&self, random: &mut Random) -> u64 {
        loop {
            let y = self.high + random.unit() * (self.low - self.high);
            let x = self.inverse(y);
            let rank = x.round().clamp(1.0, self.count);
            if rank - x <= self.near || y >= self.integral(rank + 0.5) - self.density(rank) {
                return rank as u64 - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(distribution: Distribution, count: u64, draws: u32) -> Vec<f64> {
        let mut keys = Keys::new(distribution, count, 0, 1);
        let mut random = Random::new(42);
        let mut counts = vec![0u32; count as usize];
        for _ in 0..draws {
            counts[keys.next(&mut random) as usize] += 1;
        }
        counts.into_iter().map(|n| f64::from(n) / f64::from(draws)).collect()
    }

    /// Each frequency within five standard deviations of what it should be.
    #[track_caller]
    fn assert_close(measured: &[f64], expected: &[f64], draws: u32) {
        for (key, (have, want)) in measured.iter().zip(expected).enumerate() {
            let deviation = (want * (1.0 - want) / f64::from(draws)).sqrt();
            assert!((have - want).abs() <= 5.0 * deviation + 1e-12, "key {key}: {have} instead of {want}");
        }
    }

    #[test]
    fn frequencies_are_those_of_the_distributions() {
        const DRAWS: u32 = 400_000;
        assert_close(&frequencies(Distribution::Uniform, 50, DRAWS), &[0.02; 50], DRAWS);
        for exponent in [0.5, 0.99, 1.0, 1.5, 3.0] {
            for count in [1, 2, 3, 100] {
                let weights: Vec<f64> = (1..=count).map(|k| (k as f64).powf(-exponent)).collect();
                let sum: f64 = weights.iter().sum();
                let expected: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
                assert_close(&frequencies(Distribution::Zipf { exponent }, count, DRAWS), &expected, DRAWS);
            }
        }
        let mut expected = vec![0.1 / 20.0; 20];
        expected[0] += 0.45;
        expected[1] += 0.45;
        assert_close(&frequencies(Distribution::Hot { keys: 2, share: 0.9 }, 20, DRAWS), &expected, DRAWS);
        assert_close(&frequencies(Distribution::Hot { keys: 1, share: 1.0 }, 3, DRAWS), &[1.0, 0.0, 0.0], DRAWS);
    }

    #[test]
    fn sequential_threads_share_the_keys_without_overlap() {
        let mut random = Random::new(0);
        let mut seen = [0; 10];
        for thread in 0..3 {
            let mut keys = Keys::new(Distribution::Sequential, 10, thread, 3);
            for _ in part(10, thread, 3)..part(10, thread + 1, 3) {
                seen[keys.next(&mut random) as usize] += 1;
            }
            let again = keys.next(&mut random);
            assert_eq!(again, part(10, thread, 3), "and then over again");
        }
        assert_eq!(seen, [1; 10]);
        assert_eq!(Keys::new(Distribution::Sequential, 1, 2, 3).next(&mut random), 0);
    }

    #[test]
    fn distributions_are_read_and_printed() {
        for text in ["uniform", "zipf 0.99", "zipf 1", "hot 1 1", "hot 5 0.5", "sequential"] {
            let distribution: Distribution = text.parse().unwrap();
            assert_eq!(distribution.to_string(), text);
        }
        assert_eq!("zipf".parse(), Ok(Distribution::Zipf { exponent: 0.99 }));
        assert_eq!("hot 3".parse(), Ok(Distribution::Hot { keys: 3, share: 1.0 }));
        for text in ["", "zip", "zipf x", "zipf 0", "zipf 1 2", "hot", "hot 0", "hot 1 2", "hot 1 0.5 3", "uniform 3"] {
            assert!(text.parse::<Distribution>().is_err(), "{text}");
        }
    }
}
