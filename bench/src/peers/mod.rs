//! The harness of `scripts/bench-peers`: it starts Pinyon and its peers alike, has pinyon-bench load them in turn, notices
//! what disturbs, and writes one report.
//!
//! In the order in which to read it: `workload` and `server` say what is run against what, `campaign` owns the order of the
//! steps, `closed`, `timeline`, `memory`, `recovery` and `scaling` are the kinds of workload, `record` is what is left of them,
//! and `report` with `plot` makes pages of that. A report can be made again from the records at any time.

pub mod alternate;
pub mod campaign;
pub mod client;
pub mod closed;
pub mod disturbance;
pub mod generator;
pub mod machine;
pub mod memory;
pub mod plot;
pub mod procfs;
pub mod record;
pub mod recovery;
pub mod report;
pub mod scaling;
pub mod server;
pub mod timeline;
pub mod workload;
