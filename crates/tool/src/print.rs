//! `pinyon log`: the records of a store's logs, one line for each thing that they change.

use std::io::{BufWriter, ErrorKind, Write, stdout};
use std::path::Path;

use pinyon_durability::recovery::{Options, Plan, PlannedLog, PlannedRun};
use pinyon_durability::{Record, StdDisk};
use pinyon_engine::record::{KIND, describe};

use crate::error::ToolError;
use crate::{store, when};

/// Prints what a start would replay, run by run and shard by shard. Of a damaged log, what is there.
pub fn print(dir: &Path, shard: Option<u16>, from: u64) -> Result<(), ToolError> {
    let disk = StdDisk::new(store::folder_of(dir)?);
    let opened = store::open(&disk)?;
    let scans = store::scan(&disk, &opened)?;
    let plan = opened.plan(&disk, scans, Options { repair: true })?;
    plan.report.repaired.iter().for_each(|damage| eprintln!("pinyon: {damage}"));
    let mut out = BufWriter::new(stdout().lock());
    for run in &plan.runs {
        let wanted = |log: &&PlannedLog| shard.is_none_or(|shard| shard == log.shard.0);
        for log in run.logs.iter().filter(wanted) {
            match print_log(&disk, &plan, run, log, from, &mut out) {
                // Whoever reads has seen enough.
                Err(ToolError::Print(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                other => other?,
            }
        }
    }
    out.flush().map_err(ToolError::Print)
}

fn print_log(
    disk: &StdDisk,
    plan: &Plan,
    run: &PlannedRun,
    log: &PlannedLog,
    from: u64,
    out: &mut dyn Write,
) -> Result<(), ToolError> {
    let mut replay = plan.replay(disk, run, log);
    while let Some(record) = replay.next_record()? {
        if record.epoch.0 >= from {
            for line in lines(&record) {
                let head = format!(
                    "{} run {} shard {} lsn {} epoch {}",
                    when::write(record.time),
                    run.run.0,
                    log.shard.0,
                    record.lsn.0,
                    record.epoch.0
                );
                writeln!(out, "{head}  {line}").map_err(ToolError::Print)?;
            }
        }
    }
    Ok(())
}

fn lines(record: &Record<'_>) -> Vec<String> {
    if record.seal {
        return vec!["seal".to_owned()];
    }
    let mut lines = Vec::new();
    if let Some(part) = &record.part {
        let shards: Vec<String> = part.shards.iter().map(|shard| shard.0.to_string()).collect();
        lines.push(format!("part of transaction {} over shards {}", part.transaction, shards.join(" ")));
    }
    if record.kind != KIND {
        lines.push(format!("{} bytes of kind {}", record.bytes.len(), record.kind));
        return lines;
    }
    match describe(record.bytes) {
        Ok(operations) => lines.extend(operations),
        Err(error) => lines.push(format!("{} bytes that cannot be read: {error}", record.bytes.len())),
    }
    lines
}
