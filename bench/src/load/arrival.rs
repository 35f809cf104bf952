//! When requests are due in the open loop.
//!
//! A schedule is fixed before the run: it does not know how the server is doing. A request that cannot be sent in time keeps its
//! moment, and its latency counts from there, so that a stall shows in every request that it concerned.

use crate::load::random::Random;
use crate::load::settings::Arrivals;

/// The moments of one thread, in nanoseconds from the beginning of the run.
#[derive(Clone, Debug)]
pub struct Schedule {
    kind: Arrivals,
    random: Random,
    /// Between two moments of this thread, on average.
    period_ns: f64,
    /// Where the first one lies within the first period, so that threads take turns.
    offset_ns: f64,
    /// Moments so far.
    count: u64,
    next_ns: f64,
}

impl Schedule {
    /// For thread number `thread` of `threads`, which together have `rate` moments a second.
    pub fn new(kind: Arrivals, rate: f64, thread: u64, threads: u64, seed: u64) -> Schedule {
        let period_ns = 1e9 / rate * threads as f64;
        let offset_ns = 1e9 / rate * thread as f64;
        let random = Random::stream(seed ^ 0x6172_7269_7661_6c73, thread);
        let mut schedule = Schedule { kind, random, period_ns, offset_ns, count: 0, next_ns: offset_ns };
        if kind == Arrivals::Exponential {
            schedule.next_ns = 0.0;
            schedule.advance();
        }
        schedule
    }

    /// The next moment.
    #[inline]
    pub fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// Goes on to the one after it.
    #[inline]
    pub fn advance(&mut self) {
        self.count += 1;
        self.next_ns = match self.kind {
            // Multiplied, not added up: no error gathers.
            Arrivals::Constant => self.offset_ns + self.count as f64 * self.period_ns,
            Arrivals::Exponential => self.next_ns - (1.0 - self.random.unit()).ln() * self.period_ns,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(kind: Arrivals, rate: f64, threads: u64, until_ns: u64) -> Vec<u64> {
        let mut all = Vec::new();
        for thread in 0..threads {
            let mut schedule = Schedule::new(kind, rate, thread, threads, 11);
            while schedule.next_ns() < until_ns {
                all.push(schedule.next_ns());
                schedule.advance();
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn constant_moments_lie_at_equal_distances_over_all_threads() {
        for threads in [1, 3] {
            let all = moments(Arrivals::Constant, 300_000.0, threads, 1_000_000_000);
            assert_eq!(all.len(), 300_000);
            assert!(all.windows(2).all(|pair| (3_332..=3_335).contains(&(pair[1] - pair[0]))));
        }
        let mut schedule = Schedule::new(Arrivals::Constant, 3.0, 0, 1, 0);
        for _ in 0..3_000_000 {
            schedule.advance();
        }
        assert_eq!(schedule.next_ns(), 1_000_000_000_000_000, "exact after eleven days");
    }

    #[test]
    fn exponential_moments_have_the_rate_and_the_spread() {
        let all = moments(Arrivals::Exponential, 100_000.0, 2, 2_000_000_000);
        assert!((198_000..202_000).contains(&all.len()), "{}", all.len());
        let gaps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((0.97..1.03).contains(&(deviation / mean)), "{mean} {deviation}");
        let above = gaps.iter().filter(|gap| **gap > 2.0 * mean).count() as f64 / gaps.len() as f64;
        assert!((above - (-2.0f64).exp()).abs() < 0.005, "{above}");
        assert_eq!(all, moments(Arrivals::Exponential, 100_000.0, 2, 2_000_000_000), "the seed repeats them");
    }
}
