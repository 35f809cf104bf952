//! What one core counts: commands with their times, connections, traffic. INFO, SLOWLOG and LATENCY read it.

use hdrhistogram::Histogram;
use pinyon_engine::command::registry::{CommandId, registry};
use std::collections::BTreeMap;

/// The largest time that the histograms tell apart, in ns (Redis's limit too: 1 s).
const HISTOGRAM_NS_MAX: u64 = 1_000_000_000;

/// Counters of one command.
#[derive(Clone, Default)]
pub struct CommandStats {
    pub calls: u64,
    /// Time in execution, ns.
    pub ns: u64,
    /// Refused before execution (arity, auth, OOM).
    pub rejected: u64,
    /// Failed in execution.
    pub failed: u64,
    /// Execution times; made at the first call, None while latency-tracking is off.
    pub times: Option<Box<Times>>,
}

/// Execution times of one command, in ns. Short ones, which nearly all are, have counters of their own: a histogram takes
/// some seventy instructions per time, a tenth of those of a GET.
#[derive(Clone)]
pub struct Times {
    short: [u64; SHORT_NS],
    long: Histogram<u64>,
}

const SHORT_NS: usize = 512;

impl Times {
    fn new() -> Times {
        let long = Histogram::new_with_bounds(1, HISTOGRAM_NS_MAX, 2).expect("fixed bounds are valid");
        Times { short: [0; SHORT_NS], long }
    }

    #[inline]
    fn record(&mut self, ns: u64) {
        match self.short.get_mut(ns as usize) {
            Some(count) => *count += 1,
            None => self.long.saturating_record(ns),
        }
    }

    /// Takes in other times.
    pub fn add(&mut self, more: &Times) {
        self.short.iter_mut().zip(&more.short).for_each(|(sum, count)| *sum += count);
        // Same bounds everywhere: nothing can be out of range.
        self.long.add(&more.long).ok();
    }

    /// All of them.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut all = self.long.clone();
        for (ns, count) in self.short.iter().enumerate().filter(|(_, count)| **count > 0) {
            all.saturating_record_n(ns as u64, *count);
        }
        all
    }
}

/// Everything that one core counts. Summed over cores on request.
#[derive(Clone, Default)]
pub struct CoreStats {
    pub commands: Vec<CommandStats>,
    /// Error code → replies with it.
    pub errors: BTreeMap<String, u64>,
    pub commands_processed: u64,
    pub connections_received: u64,
    pub connections_rejected: u64,
    pub protocol_errors: u64,
    pub query_buffer_disconnections: u64,
    pub output_buffer_disconnections: u64,
    pub evicted_clients: u64,
    pub unexpected_errors: u64,
    pub total_error_replies: u64,
    pub dirty: u64,
    pub hops: u64,
    /// The longest single execution seen, ns.
    pub exec_ns_max: u64,
}

impl CoreStats {
    /// Zeroed counters for every command there is.
    pub fn new() -> CoreStats {
        CoreStats { commands: vec![CommandStats::default(); registry().len()], ..CoreStats::default() }
    }

    /// Counts one execution.
    #[inline]
    pub fn executed(&mut self, id: CommandId, ns: u64, tracking: bool) {
        let stats = &mut self.commands[id.0 as usize];
        stats.calls += 1;
        stats.ns += ns;
        self.exec_ns_max = self.exec_ns_max.max(ns);
        if tracking {
            match &mut stats.times {
                Some(times) => times.record(ns),
                None => stats.times = Some(first_time(ns)),
            }
        }
    }

    /// Counts a command that failed.
    pub fn failed(&mut self, id: Option<CommandId>, code: &str) {
        if let Some(id) = id {
            self.commands[id.index()].failed += 1;
        }
        self.error(code);
    }

    /// Counts an error reply by its code.
    pub fn error(&mut self, code: &str) {
        self.total_error_replies += 1;
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else if self.errors.len() < ERROR_CODES_MAX {
            self.errors.insert(code.to_owned(), 1);
        }
    }
}

/// Different error codes kept: a client can make some of its own up.
const ERROR_CODES_MAX: usize = 128;

#[cold]
fn first_time(ns: u64) -> Box<Times> {
    let mut times = Box::new(Times::new());
    times.record(ns);
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counted apart or not, the histogram is the same.
    #[test]
    fn short_times_are_in_the_histogram() {
        let mut plain = Histogram::<u64>::new_with_bounds(1, HISTOGRAM_NS_MAX, 2).unwrap();
        let (mut odd, mut even) = (Times::new(), Times::new());
        for ns in (0..2_000).chain([1_000_000, HISTOGRAM_NS_MAX, 2 * HISTOGRAM_NS_MAX]) {
            for _ in 0..=ns % 3 {
                plain.saturating_record(ns);
                if ns % 2 == 0 { even.record(ns) } else { odd.record(ns) }
            }
        }
        odd.add(&even);
        assert_eq!(odd.histogram(), plain);
        assert_eq!(odd.histogram().len(), plain.len());
    }
}
