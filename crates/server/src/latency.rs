//! The latency monitor of one core: for each kind of event the worst sample of each second, as LATENCY shows them.

use std::collections::{BTreeMap, VecDeque};

use pinyon_engine::command::registry::{CommandId, registry};
use pinyon_engine::command::row::Flags;

use crate::core::Core;

/// Samples kept per event, one a second.
const SAMPLES: usize = 160;

/// One second's worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub unix_seconds: i64,
    pub ms: u64,
}

/// The samples of one kind of event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub samples: VecDeque<Sample>,
    /// The worst of all time, ms.
    pub max_ms: u64,
}

/// All events by name ("command", "fast-command", "expire-cycle", …).
#[derive(Clone, Debug, Default)]
pub struct LatencyEvents {
    pub series: BTreeMap<&'static str, Series>,
}

impl LatencyEvents {
    /// Takes in one sample.
    pub fn add(&mut self, event: &'static str, unix_seconds: i64, ms: u64) {
        let series = self.series.entry(event).or_default();
        series.max_ms = series.max_ms.max(ms);
        match series.samples.back_mut() {
            Some(last) if last.unix_seconds == unix_seconds => last.ms = last.ms.max(ms),
            _ => {
                if series.samples.len() == SAMPLES {
                    series.samples.pop_front();
                }
                series.samples.push_back(Sample { unix_seconds, ms });
            }
        }
    }
}

impl Core {
    /// Hands a slow execution to the latency monitor if that is on and it was slow enough.
    pub(crate) fn latency_sample(&mut self, now_ms: i64, id: CommandId, ns: u64) {
        let threshold = self.settings.latency_threshold_ms;
        let ms = ns / 1_000_000;
        if threshold == 0 || ms < threshold {
            return;
        }
        let fast = registry().row(id).flags.contains(Flags::FAST);
        self.latency.add(if fast { "fast-command" } else { "command" }, now_ms / 1000, ms);
    }
}
