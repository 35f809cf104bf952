//! What the server measures about itself.

use super::{LONG, Section};
use crate::config::directive::Directive;
use crate::config::field::field;
use crate::config::lists::PERCENTILES;
use crate::config::value::Kind;

pub const SECTION: Section =
    Section { title: "Slow commands and latency", intro: "What SLOWLOG, LATENCY and INFO have to say.", rows: ROWS };

const ROWS: &[Directive] = &[
    Directive::new(
        "slowlog-log-slower-than",
        Kind::Int(-1, LONG),
        "10000",
        field!(slowlog_log_slower_than),
        "Microseconds of execution from which SLOWLOG keeps a command. 0 keeps all, -1 none.",
    ),
    Directive::new(
        "slowlog-max-len",
        Kind::Int(0, LONG),
        "128",
        field!(slowlog_max_len),
        "Commands that SLOWLOG keeps, the latest ones.",
    ),
    Directive::new(
        "latency-monitor-threshold",
        Kind::Int(0, LONG),
        "0",
        field!(latency_monitor_threshold),
        "Milliseconds from which LATENCY records what held the server up. 0 records nothing.",
    ),
    Directive::new(
        "latency-tracking",
        Kind::Bool,
        "yes",
        field!(latency_tracking),
        "Keep a histogram of each command's execution times, for LATENCY HISTOGRAM and INFO latencystats.",
    ),
    Directive::new(
        "latency-tracking-info-percentiles",
        Kind::List(&PERCENTILES),
        "50 99 99.9",
        field!(latency_tracking_info_percentiles),
        "The percentiles of those histograms that INFO latencystats shows.",
    ),
];
