//! Medians over rounds. Rounds that were disturbed count only where a server has no quiet one, and then the figure is marked.

use std::collections::BTreeMap;

use crate::peers::record::{LeftOut, Load, Memory, Record, Recovery, Round, WorkloadRecord};

/// Figures of one server in one workload, on a number of cores.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub server: String,
    /// Scaling only; see `Round`.
    pub variant: String,
    pub cores: usize,
    pub generator_cores: usize,
    pub shared_cores: bool,
    /// Rounds that count.
    pub rounds: usize,
    /// None of the rounds was quiet.
    pub disturbed: bool,
    pub ops_per_s: f64,
    /// How far the rounds lie apart: (highest - lowest) / median of the throughput.
    pub spread: f64,
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
    pub pushes_per_s: f64,
    /// Shares of the cores' time that server and generator used.
    pub server_load: f64,
    pub generator_load: f64,
    /// Share of replies that said that there is nothing.
    pub nulls: f64,
    pub errors: u64,
    pub error_texts: Vec<String>,
    /// All rounds' latencies together.
    pub histogram: BTreeMap<u64, u64>,
    pub command_line: String,
}

impl Summary {
    /// "pinyon, core ports", and a mark where all rounds were disturbed.
    pub fn name(&self) -> String {
        let variant = if self.variant.is_empty() { String::new() } else { format!(", {}", self.variant) };
        format!("{}{variant}{}", self.server, if self.disturbed { " †" } else { "" })
    }

    fn of(rounds: &[&Round]) -> Summary {
        let quiet: Vec<&Round> = rounds.iter().copied().filter(|round| round.disturbance.is_quiet()).collect();
        let disturbed = quiet.is_empty();
        let used = if disturbed { rounds.to_vec() } else { quiet };
        let middle = |figure: &dyn Fn(&Load) -> f64| median(used.iter().map(|round| figure(&round.load)).collect());
        let rates: Vec<f64> = used.iter().map(|round| round.load.ops_per_s).collect();
        let ops_per_s = median(rates.clone());
        let (low, high) = rates.iter().fold((f64::MAX, 0.0f64), |(low, high), rate| (low.min(*rate), high.max(*rate)));
        let mut histogram = BTreeMap::new();
        for (latency, count) in used.iter().flat_map(|round| &round.load.histogram) {
            *histogram.entry((latency * 1000.0) as u64).or_insert(0) += count;
        }
        let first = used[0];
        let share = |seconds: f64, load: &Load, cores: usize| seconds / (load.seconds.max(1e-9) * cores.max(1) as f64);
        Summary {
            server: first.server.clone(),
            variant: first.variant.clone(),
            cores: first.server_cores,
            generator_cores: first.generator_cores,
            shared_cores: first.shared_cores,
            rounds: used.len(),
            disturbed,
            ops_per_s,
            spread: if ops_per_s > 0.0 { (high - low) / ops_per_s } else { 0.0 },
            cpu_us: middle(&Load::cpu_us),
            p50_us: middle(&|load| load.p50_us),
            p99_us: middle(&|load| load.p99_us),
            p999_us: middle(&|load| load.p999_us),
            p9999_us: middle(&|load| load.p9999_us),
            max_us: middle(&|load| load.max_us),
            pushes_per_s: middle(&|load| load.pushes as f64 / load.seconds.max(1e-9)),
            server_load: middle(&|load| share(load.server_cpu_s, load, first.server_cores)),
            generator_load: middle(&|load| share(load.client_cpu_s, load, first.generator_cores)),
            nulls: middle(&|load| load.nulls as f64 / load.ops.max(1) as f64),
            errors: used.iter().map(|round| round.load.errors).sum(),
            error_texts: used.iter().flat_map(|round| round.load.error_texts.clone()).take(3).collect(),
            histogram,
            command_line: first.command_line.clone(),
        }
    }

    /// Points (1 / (1 - share), microseconds) of the percentile curve, up to as many nines as there is data for.
    pub fn percentiles(&self, nines: u32) -> Vec<(f64, f64)> {
        let total: u64 = self.histogram.values().sum();
        if total == 0 {
            let known = [(2.0, self.p50_us), (100.0, self.p99_us), (1_000.0, self.p999_us), (10_000.0, self.p9999_us)];
            return known
                .into_iter()
                .filter(|(at, latency)| *latency > 0.0 && *at <= 10f64.powi(nines as i32))
                .collect();
        }
        // Ten points per nine; a percentile that fewer than two requests lie above is chance.
        let wanted = (0..=nines * 10).map(|tenth| 10f64.powf(f64::from(tenth) / 10.0));
        let mut points = Vec::new();
        let mut buckets = self.histogram.iter();
        let (mut seen, mut latency) = (0u64, 0u64);
        for at in wanted.take_while(|at| total as f64 / at >= 2.0) {
            let rank = (total as f64 * (1.0 - 1.0 / at)).ceil().max(1.0) as u64;
            while seen < rank {
                let Some((value, count)) = buckets.next() else { break };
                (latency, seen) = (*value, seen + count);
            }
            points.push((at, latency as f64 / 1000.0));
        }
        points
    }
}

/// The middle of some numbers, the mean of the two middle ones, zero for none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

/// One workload with everything that was measured of it.
#[derive(Clone, Debug, Default)]
pub struct Results {
    pub workload: WorkloadRecord,
    /// In the order in which servers first appear.
    pub summaries: Vec<Summary>,
    pub rounds: Vec<Round>,
    pub memory: Vec<Memory>,
    /// Median seconds by server.
    pub recovery: Vec<Recovery>,
    pub left_out: Vec<LeftOut>,
}

impl Results {
    /// The summary of a server; of several (scaling), the first.
    pub fn of(&self, server: &str) -> Option<&Summary> {
        self.summaries.iter().find(|summary| summary.server == server)
    }

    /// All workloads of a run, in its order.
    pub fn all(records: &[Record]) -> Vec<Results> {
        let described = records.iter().filter_map(|record| match record {
            Record::Workload(workload) => Some(Results { workload: workload.clone(), ..Results::default() }),
            _ => None,
        });
        let mut all: Vec<Results> = described.collect();
        for results in &mut all {
            results.collect(records);
        }
        all
    }

    fn collect(&mut self, records: &[Record]) {
        let name = self.workload.name.clone();
        for record in records {
            match record {
                Record::Round(round) if round.workload == name => self.rounds.push((**round).clone()),
                Record::Memory(memory) if memory.workload == name => self.memory.push(memory.clone()),
                Record::Recovery(recovery) if recovery.workload == name => self.recovery.push(recovery.clone()),
                Record::LeftOut(left_out) if left_out.workload == name => self.left_out.push(left_out.clone()),
                _ => {}
            }
        }
        let mut keys: Vec<(usize, String, String)> = Vec::new();
        for round in &self.rounds {
            let key = (round.server_cores, round.server.clone(), round.variant.clone());
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        for (cores, server, variant) in keys {
            let same =
                |round: &&Round| round.server_cores == cores && round.server == server && round.variant == variant;
            self.summaries.push(Summary::of(&self.rounds.iter().filter(same).collect::<Vec<_>>()));
        }
        let mut recovery: Vec<Recovery> = Vec::new();
        for one in &self.recovery {
            if recovery.iter().any(|known| known.server == one.server) {
                continue;
            }
            let same = self.recovery.iter().filter(|other| other.server == one.server);
            recovery.push(Recovery { seconds: median(same.map(|other| other.seconds).collect()), ..one.clone() });
        }
        self.recovery = recovery;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::disturbance::Disturbance;

    fn round(ops_per_s: f64, steal: f64) -> Round {
        let load = Load {
            ops: 1000,
            ops_per_s,
            seconds: 1.0,
            server_cpu_s: 0.5,
            histogram: vec![(10.0, 900), (50.0, 100)],
            ..Load::default()
        };
        Round {
            disturbance: Disturbance { steal, ..Disturbance::default() },
            load,
            server_cores: 1,
            ..Round::default()
        }
    }

    #[test]
    fn disturbed_rounds_count_only_when_there_is_no_other() {
        let (a, b, c) = (round(10.0, 0.0), round(30.0, 0.5), round(20.0, 0.0));
        let summary = Summary::of(&[&a, &b, &c]);
        assert_eq!((summary.ops_per_s, summary.rounds, summary.disturbed), (15.0, 2, false));
        let summary = Summary::of(&[&b]);
        assert_eq!((summary.ops_per_s, summary.disturbed, summary.name().ends_with('†')), (30.0, true, true));
        assert!((summary.cpu_us - 500.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_come_out_of_the_histogram() {
        let one = round(10.0, 0.0);
        let points = Summary::of(&[&one, &one]).percentiles(4);
        assert_eq!(points.first(), Some(&(1.0, 10.0)));
        let at =
            |share: f64| points.iter().find(|(at, _)| (at - share).abs() < share / 1000.0).map(|(_, latency)| *latency);
        assert_eq!((at(10.0), at(100.0), at(10_000.0)), (Some(10.0), Some(50.0), None));
    }

    #[test]
    fn medians() {
        assert_eq!((median(vec![]), median(vec![3.0, 1.0]), median(vec![9.0, 1.0, 2.0])), (0.0, 2.0, 2.0));
    }
}
