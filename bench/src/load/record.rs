//! What is measured: latencies in histograms, counts, and a piece of it per second.
//!
//! Latencies are in nanoseconds, from 1 ns to 137 s, three digits exact. A thread records into one [`Second`] at a time and hands
//! it over when the second is full, so that adding up and percentiles are nobody's business who sends requests.

use hdrhistogram::Histogram;

/// The longest latency that is told apart from longer ones.
pub const LATENCY_MAX_NS: u64 = 1 << 37;
/// Different error texts that are kept.
const ERRORS_KEPT: usize = 8;

/// An empty histogram of latencies.
pub fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds: {error}"),
    }
}

/// What happened within one second, or in the time after the end.
#[derive(Clone, Debug)]
pub struct Second {
    /// One for each command of the mix.
    pub latencies: Vec<Histogram<u64>>,
    pub ops: u64,
    /// Error replies and replies of a kind that the command does not have.
    pub errors: u64,
    /// Replies that say that there is nothing.
    pub nulls: u64,
    /// MOVED and ASK.
    pub moved: u64,
    /// Messages that subscribers got.
    pub pushes: u64,
    /// Connections opened anew.
    pub connects: u64,
    /// Connections that the server ended.
    pub lost: u64,
    /// Requests that were sent after they were due though a connection was free: the generator's own fault. The longest, and how
    /// many were more than a millisecond late.
    pub lag_max_ns: u64,
    pub lagging: u64,
    /// Different texts of errors, the first few.
    pub texts: Vec<String>,
}

impl Second {
    pub fn new(commands: usize) -> Second {
        Second {
            latencies: (0..commands).map(|_| histogram()).collect(),
            ops: 0,
            errors: 0,
            nulls: 0,
            moved: 0,
            pushes: 0,
            connects: 0,
            lost: 0,
            lag_max_ns: 0,
            lagging: 0,
            texts: Vec::new(),
        }
    }

    /// Empties it for another use.
    pub fn clear(&mut self) {
        for histogram in &mut self.latencies {
            histogram.reset();
        }
        let latencies = std::mem::take(&mut self.latencies);
        *self = Second { latencies, ..Second::new(0) };
    }

    /// `count` replies to a command that took `ns`.
    #[inline]
    pub fn replied(&mut self, command: usize, ns: u64, count: u64) {
        self.ops += count;
        self.latencies[command].saturating_record_n(ns.max(1), count);
    }

    #[cold]
    pub fn failed(&mut self, text: &str) {
        self.errors += 1;
        if self.texts.len() < ERRORS_KEPT && !self.texts.iter().any(|known| known == text) {
            self.texts.push(text.to_owned());
        }
    }

    /// Adds another one's counts and latencies.
    pub fn add(&mut self, other: &Second) {
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            if !theirs.is_empty() {
                add(mine, theirs);
            }
        }
        self.ops += other.ops;
        self.errors += other.errors;
        self.nulls += other.nulls;
        self.moved += other.moved;
        self.pushes += other.pushes;
        self.connects += other.connects;
        self.lost += other.lost;
        self.lag_max_ns = self.lag_max_ns.max(other.lag_max_ns);
        self.lagging += other.lagging;
        for text in &other.texts {
            if self.texts.len() < ERRORS_KEPT && !self.texts.contains(text) {
                self.texts.push(text.clone());
            }
        }
    }

    /// The latencies of all commands together.
    pub fn all(&self) -> Histogram<u64> {
        let mut all = histogram();
        for histogram in &self.latencies {
            add(&mut all, histogram);
        }
        all
    }
}

fn add(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    if let Err(error) = to.add(from) {
        unreachable!("histograms of the same bounds: {error}");
    }
}

/// The percentiles that are reported, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Percentiles {
    pub mean_us: f64,
    pub min_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
}

impl Percentiles {
    pub fn of(histogram: &Histogram<u64>) -> Percentiles {
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Percentiles {
            mean_us: (histogram.mean()).round() / 1e3,
            min_us: us(histogram.min()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: us(histogram.max()),
        }
    }
}

/// Nanoseconds as microseconds.
pub fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// All of a histogram: the highest latency of each of its steps in microseconds, and how many there were.
pub fn pairs(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    histogram.iter_recorded().map(|step| (us(step.value_iterated_to()), step.count_at_value())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_add_up() {
        let mut total = Second::new(2);
        let mut second = Second::new(2);
        second.replied(0, 1_000, 3);
        second.replied(1, 2_000_000, 1);
        second.failed("ERR a");
        second.failed("ERR a");
        second.lag_max_ns = 7;
        total.add(&second);
        total.add(&second);
        assert_eq!((total.ops, total.errors, total.lag_max_ns), (8, 4, 7));
        assert_eq!(total.texts, ["ERR a"]);
        let all = Percentiles::of(&total.all());
        assert!((all.p50_us - 1.0).abs() < 0.01 && (all.max_us / 2000.0 - 1.0).abs() < 0.001, "{all:?}");
        assert_eq!(pairs(&total.all()).iter().map(|pair| pair.1).sum::<u64>(), 8);
        second.clear();
        assert_eq!((second.ops, second.latencies.len(), second.all().len()), (0, 2, 0));
    }

    #[test]
    fn any_latency_is_recorded() {
        let mut second = Second::new(1);
        for ns in [0, 1, LATENCY_MAX_NS, u64::MAX] {
            second.replied(0, ns, 1);
        }
        assert_eq!(second.all().len(), 4);
    }
}
