//! The section that Redis does not have: how the work is spread over the cores, and how long commands take.

use super::Text;
use super::facts::{Facts, ratio};
use crate::core::Core;

/// Percentiles of all executions and their names.
const PERCENTILES: &[(&str, f64)] = &[("p50", 50.0), ("p99", 99.0), ("p99_9", 99.9), ("p99_99", 99.99)];

pub(super) fn pinyon(text: &mut Text, core: &Core, facts: &Facts) {
    let dbs = facts.dbs();
    let sum = |of: fn(&super::facts::DbPart) -> u64| dbs.iter().map(of).sum::<u64>();
    let (keys, slots) = (sum(|db| db.keys), sum(|db| db.slots));
    text.heading("Pinyon");
    text.line("pinyon_shards", core.shards);
    text.line("pinyon_pinned", if core.shared.pinned { "yes" } else { "no" });
    text.line("pinyon_table_segments", sum(|db| db.segments));
    text.line("pinyon_table_load", format_args!("{:.3}", ratio(keys, slots)));
    text.line("pinyon_table_bytes", sum(|db| db.table_bytes));
    text.line("pinyon_slack_bytes", facts.sum(|part| part.slack_bytes));
    text.line("pinyon_expiry_nodes", facts.sum(|part| part.expiry_nodes));
    text.line("pinyon_expiry_bytes", facts.sum(|part| part.expiry_bytes));
    text.line("pinyon_protocol_errors", facts.sum(|part| part.stats.protocol_errors));
    let executions = facts.executions();
    let longest_ns = facts.max(|part| part.stats.exec_ns_max);
    for (name, percentile) in PERCENTILES {
        let ns = executions.as_ref().map_or(0, |histogram| histogram.value_at_percentile(*percentile));
        // The histogram rounds up.
        text.line(format_args!("pinyon_exec_usec_{name}"), micros(ns.min(longest_ns)));
    }
    text.line("pinyon_exec_usec_max", micros(longest_ns));
    for (number, part) in facts.parts.iter().enumerate() {
        let (stats, io) = (&part.stats, &part.io);
        text.line(
            format_args!("pinyon_core{number}"),
            format_args!(
                "keys={},clients={},commands={},hops={},turns={},sleeps={},enters={},mails_sent={},mails_received={},moved={}",
                part.dbs.iter().map(|db| db.keys).sum::<u64>(),
                part.clients.count,
                stats.commands_processed,
                stats.hops,
                io.turns,
                io.sleeps,
                io.enters,
                io.mails_sent,
                io.mails_received,
                io.moves
            ),
        );
        if let Some(log) = &part.log {
            let line = format_args!(
                "lsn={},durable={},stable={},lag={},epoch={},durable_epoch={},backlog={},written={},state={}",
                log.lsn,
                log.durable,
                log.stable,
                log.lsn - log.durable,
                log.epoch,
                log.durable_epoch,
                log.backlog,
                log.written,
                log.state
            );
            text.line(format_args!("pinyon_log{number}"), line);
        }
    }
}

fn micros(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1000.0)
}
