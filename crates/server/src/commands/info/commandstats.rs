//! The sections about single commands and errors: commandstats, errorstats, latencystats.

use std::collections::BTreeMap;

use pinyon_engine::command::registry::registry;

use super::Text;
use super::facts::Facts;
use crate::core::Core;

pub(super) fn commands(text: &mut Text, _: &Core, facts: &Facts) {
    text.heading("Commandstats");
    for (id, stats) in registry().all().zip(facts.commands()) {
        if stats.calls + stats.rejected + stats.failed == 0 {
            continue;
        }
        let micros = stats.ns / 1000;
        let each = if stats.calls == 0 { 0.0 } else { stats.ns as f64 / 1000.0 / stats.calls as f64 };
        text.line(
            format_args!("cmdstat_{}", registry().full_name(id)),
            format_args!(
                "calls={},usec={micros},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
                stats.calls, stats.rejected, stats.failed
            ),
        );
    }
}

pub(super) fn errors(text: &mut Text, _: &Core, facts: &Facts) {
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, count) in facts.parts.iter().flat_map(|part| &part.stats.errors) {
        *errors.entry(code).or_default() += count;
    }
    text.heading("Errorstats");
    for (code, count) in errors {
        text.line(format_args!("errorstat_{code}"), format_args!("count={count}"));
    }
}

pub(super) fn latencies(text: &mut Text, core: &Core, facts: &Facts) {
    text.heading("Latencystats");
    if !core.config.latency_tracking {
        return;
    }
    for (id, stats) in registry().all().zip(facts.commands()) {
        let Some(histogram) = stats.times.map(|times| times.histogram()) else { continue };
        let percentiles = core.config.latency_tracking_info_percentiles.iter();
        let values: Vec<String> =
            percentiles.map(|&p| format!("p{p}={:.3}", histogram.value_at_percentile(p) as f64 / 1000.0)).collect();
        text.line(format_args!("latency_percentiles_usec_{}", registry().full_name(id)), values.join(","));
    }
}
