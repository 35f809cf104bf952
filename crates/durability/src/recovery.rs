//! Opening a store: what is there, whether it is whole, where its logs are cut, and how the next run begins.
//!
//! In this order, each step a function of its own so that the caller decides what runs on which core:
//! [`find`] reads the manifest and looks at the names; [`crate::scan::scan_segment`] verifies each segment of
//! [`Store::segments`]; [`Store::plan`] judges what was found and cuts; the caller loads the snapshot's files and replays
//! the logs run by run ([`Plan::replay`]); [`Plan::begin`] closes the old run and opens the new one, and only then anything
//! is removed. Until then nothing in the store is changed, so a crash in between changes nothing either.

use pinyon_base::ShardId;

use crate::cut::{self, Cut, Rule};
use crate::disk::{Disk, DiskError};
use crate::error::RecoveryError;
use crate::history::{Scans, ShardLog, TornTail};
use crate::ids::{Epoch, LogId, Lsn, RunId, ServerId};
use crate::log::LogStart;
use crate::manifest::{LogRef, Manifest, RunRef};
use crate::names::{self, Named, SegmentName};
use crate::replay::Replay;
use crate::scan::scan_segment;
use crate::segment::{SegmentHeader, SegmentMaker};

/// What a folder holds.
pub enum Found {
    /// No store, nor a part of one.
    Nothing,
    Store(Store),
}

/// A store whose manifest was read.
pub struct Store {
    manifest: Manifest,
    segments: Vec<SegmentName>,
}

/// What is done about damage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `log-repair yes`: a damaged log ends where it is damaged. In the last run the others are cut to match; what later runs
    /// logged is kept, so effects may come for keys that lost theirs.
    pub repair: bool,
}

/// Looks at the folder. An error if there is a part of a store that cannot be opened: never "nothing" for something.
pub fn find(disk: &dyn Disk) -> Result<Found, RecoveryError> {
    let names = disk.list("")?;
    let named: Vec<Named> = names.iter().filter_map(|name| names::read(name)).collect();
    let Some(manifest) = Manifest::load(disk)? else {
        let part = names.iter().find(|name| matches!(names::read(name), Some(Named::Segment(_) | Named::Snapshot(_))));
        return match part {
            Some(found) => Err(RecoveryError::ManifestMissing { found: found.clone() }),
            None => Ok(Found::Nothing),
        };
    };
    let mut segments = Vec::new();
    for name in named {
        let Named::Segment(name) = name else { continue };
        match manifest.runs.iter().find(|run| run.run == name.run) {
            Some(run) if run.names(name) => segments.push(name),
            Some(_) => {}
            None if name.run > manifest.last_run => refuse_newer(disk, name, manifest.server)?,
            None => {}
        }
    }
    segments.sort_unstable();
    Ok(Found::Store(Store { manifest, segments }))
}

/// A run that the manifest does not know was being opened when the power went, unless it has frames.
fn refuse_newer(disk: &dyn Disk, name: SegmentName, server: ServerId) -> Result<(), RecoveryError> {
    let scan = scan_segment(disk, name, server)?;
    if scan.first.is_some() || scan.beyond > 0 {
        return Err(RecoveryError::ManifestOlder { file: name.path() });
    }
    Ok(())
}

/// Makes the manifest of a store in an empty folder.
pub fn create(disk: &dyn Disk, server: ServerId) -> Result<Store, RecoveryError> {
    let manifest = Manifest::fresh(server);
    manifest.install(disk)?;
    Ok(Store { manifest, segments: Vec::new() })
}

/// A log as it will be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLog {
    pub shard: ShardId,
    pub start: LogStart,
    /// The last record to be replayed.
    pub end: Lsn,
    /// The segment in which it ends, or a later one.
    pub end_segment: u64,
}

/// The logs of a run as they will be replayed. Runs go one after the other; the logs of one run in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    pub run: RunId,
    pub base_epoch: Epoch,
    pub logs: Vec<PlannedLog>,
}

/// What recovery found and did not keep. To be shown to the operator.
#[derive(Debug, Default)]
pub struct Report {
    pub cut: Option<Cut>,
    /// Records behind the cut, by shard of the last run.
    pub dropped: Vec<u64>,
    pub torn: Vec<TornTail>,
    /// Damage that was gone on in spite of.
    pub repaired: Vec<RecoveryError>,
}

/// A store that can be loaded.
#[derive(Debug)]
pub struct Plan {
    pub manifest: Manifest,
    pub runs: Vec<PlannedRun>,
    pub report: Report,
    /// The last epoch that was begun.
    last_epoch: Epoch,
}

impl Store {
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The segments to scan, each by itself.
    pub fn segments(&self) -> &[SegmentName] {
        &self.segments
    }

    /// Scans all segments here and now.
    pub fn scan(&self, disk: &dyn Disk) -> Scans {
        self.segments.iter().map(|name| (*name, scan_segment(disk, *name, self.manifest.server))).collect()
    }

    /// Judges the scans of all segments, and cuts.
    pub fn plan(self, disk: &dyn Disk, mut scans: Scans, options: Options) -> Result<Plan, RecoveryError> {
        let last_epoch = self.manifest.snapshot.as_ref().map_or(Epoch(0), |snapshot| snapshot.epoch);
        let mut plan = Plan { runs: Vec::new(), report: Report::default(), last_epoch, manifest: self.manifest };
        for run in plan.manifest.runs.clone() {
            refuse_unreadable(&mut scans, run.run, options)?;
            let shards = run.logs.iter().enumerate();
            let logs: Vec<ShardLog> =
                shards.map(|(shard, log)| ShardLog::follow(&run, ShardId(shard as u16), log, &scans)).collect();
            plan.last_epoch = logs.iter().map(|log| log.epoch).chain([plan.last_epoch]).max().unwrap_or_default();
            let ends = if run.is_open() {
                plan.cut(disk, &run, &logs, &mut scans, options)?
            } else {
                plan.closed(&run, &logs, &mut scans, options)?
            };
            plan.report.repaired.extend(take_errors(&mut scans, run.run));
            let planned = run.logs.iter().zip(&logs).zip(ends);
            let logs = planned.map(|((log, found), end)| PlannedLog {
                shard: found.shard,
                start: log.start,
                end,
                end_segment: found.last_segment,
            });
            plan.runs.push(PlannedRun { run: run.run, base_epoch: run.base_epoch, logs: logs.collect() });
        }
        Ok(plan)
    }
}

/// A segment that could not be read for another reason than damage to a log ends the attempt: it may be readable next time.
fn refuse_unreadable(scans: &mut Scans, run: RunId, options: Options) -> Result<(), RecoveryError> {
    let refused = |(name, scan): (&SegmentName, &Result<_, RecoveryError>)| {
        let error = scan.as_ref().err()?;
        (name.run == run && !(error.is_repairable() && options.repair)).then_some(*name)
    };
    let first = scans.iter().find_map(refused);
    match first.and_then(|name| scans.remove(&name)) {
        Some(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The errors of segments that nothing asked for: they are damage, too, though nothing was lost by it.
fn take_errors(scans: &mut Scans, run: RunId) -> Vec<RecoveryError> {
    let broken = |(name, scan): (&SegmentName, &Result<_, _>)| (name.run == run && scan.is_err()).then_some(*name);
    let names: Vec<SegmentName> = scans.iter().filter_map(broken).collect();
    names.iter().filter_map(|name| scans.remove(name)?.err()).collect()
}

impl Plan {
    /// The ends of the logs of a run that was closed: as the manifest says, or it is damage.
    fn closed(
        &mut self,
        run: &RunRef,
        logs: &[ShardLog],
        scans: &mut Scans,
        options: Options,
    ) -> Result<Vec<Lsn>, RecoveryError> {
        let mut ends = Vec::new();
        for (log, found) in run.logs.iter().zip(logs) {
            let end = log.end.map_or(found.last, |(_, lsn)| lsn);
            if found.last < end {
                let lost = found.lost_segment.is_some();
                let damage = lost.then(|| found.damage(run.base_epoch, Epoch(0), scans)).flatten();
                let evidence = || format!("the manifest says that it goes up to lsn {}", end.0);
                self.refuse(damage.unwrap_or_else(|| found.damaged(evidence())), options)?;
            }
            ends.push(end.min(found.last));
        }
        Ok(ends)
    }

    /// Cuts the logs of the last run.
    fn cut(
        &mut self,
        disk: &dyn Disk,
        run: &RunRef,
        logs: &[ShardLog],
        scans: &mut Scans,
        options: Options,
    ) -> Result<Vec<Lsn>, RecoveryError> {
        let everywhere = logs.iter().map(|log| log.durable_epoch).max().unwrap_or_default();
        for log in logs {
            if let Some(damage) = log.damage(run.base_epoch, everywhere, scans) {
                self.refuse(damage, options)?;
            }
        }
        let epoch = logs.iter().map(|log| log.sealed(run.base_epoch)).min().unwrap_or(run.base_epoch);
        let server = self.manifest.server;
        let tails = logs.iter().zip(&run.logs);
        let tails = tails.map(|(log, at)| cut::read_tail(disk, server, run.run, log, at, epoch));
        let tails = tails.collect::<Result<Vec<_>, _>>()?;
        let ends = cut::stable_prefix(&tails);
        let stable = tails.iter().any(|tail| tail.reach > tail.base);
        let rule = if stable { Rule::StablePrefix } else { Rule::Epoch };
        self.report.dropped = logs.iter().zip(&ends).map(|(log, end)| log.last.0 - end.0).collect();
        self.report.torn = logs.iter().filter_map(ShardLog::torn).collect();
        self.report.cut = Some(Cut { rule, epoch, ends: ends.clone() });
        Ok(ends)
    }

    fn refuse(&mut self, damage: RecoveryError, options: Options) -> Result<(), RecoveryError> {
        if !options.repair || !damage.is_repairable() {
            return Err(damage);
        }
        self.report.repaired.push(damage);
        Ok(())
    }

    /// The records of one of the logs, in order.
    pub fn replay<'a, D: Disk>(&self, disk: &'a D, run: &PlannedRun, log: &PlannedLog) -> Replay<'a, D> {
        Replay::new(disk, self.manifest.server, run.run, log)
    }

    /// The epoch after which the next run begins.
    pub fn base_epoch(&self) -> Epoch {
        self.last_epoch
    }

    /// Ends the last run where it was cut and begins the next, of one shard per maker, with its first segments. When it
    /// returns, frames may be written to them; then what no longer belongs to the store is removed.
    pub fn begin(
        &self,
        disk: &dyn Disk,
        makers: &mut [SegmentMaker],
        align: u32,
        segment_bytes: u64,
    ) -> Result<Manifest, DiskError> {
        let run = RunId(self.manifest.last_run.0 + 1);
        let shards = makers.len() as u16;
        for (shard, maker) in makers.iter_mut().enumerate() {
            let log = LogId { server: self.manifest.server, run, shard: ShardId(shard as u16) };
            let segment = LogStart::FRESH.segment;
            maker.prepare(disk, &SegmentHeader { log, shards, segment, align, bytes: segment_bytes })?;
        }
        let mut runs = self.closed_runs();
        let fresh = LogRef { start: LogStart::FRESH, end: None };
        runs.push(RunRef { run, base_epoch: self.last_epoch, logs: vec![fresh; makers.len()] });
        self.go_on(disk, Manifest { last_run: run, runs, ..self.manifest.clone() })
    }

    /// Ends the last run where it was cut, for a server that keeps no log.
    pub fn close(&self, disk: &dyn Disk) -> Result<Manifest, DiskError> {
        self.go_on(disk, Manifest { runs: self.closed_runs(), ..self.manifest.clone() })
    }

    /// Those that have records, each with its end.
    fn closed_runs(&self) -> Vec<RunRef> {
        let ended = |log: &PlannedLog| LogRef { start: log.start, end: Some((log.end_segment, log.end)) };
        let has_records = |run: &&PlannedRun| run.logs.iter().any(|log| log.end >= log.start.lsn);
        let close = |run: &PlannedRun| RunRef {
            run: run.run,
            base_epoch: run.base_epoch,
            logs: run.logs.iter().map(ended).collect(),
        };
        self.runs.iter().filter(has_records).map(close).collect()
    }

    fn go_on(&self, disk: &dyn Disk, manifest: Manifest) -> Result<Manifest, DiskError> {
        let manifest = Manifest { generation: self.manifest.generation + 1, ..manifest };
        manifest.install(disk)?;
        remove_unnamed(disk, &manifest)?;
        Ok(manifest)
    }
}

/// Begins a run amid the life of a server that has kept no log so far: its first segments, and a manifest that gives its number
/// away and does not name it. What is logged in it counts from the snapshot on whose manifest does; until then a start goes by
/// what it named before, and throws the run away.
pub fn begin_apart(
    disk: &dyn Disk,
    manifest: &Manifest,
    makers: &mut [SegmentMaker],
    align: u32,
    segment_bytes: u64,
) -> Result<Manifest, DiskError> {
    let run = RunId(manifest.last_run.0 + 1);
    let shards = makers.len() as u16;
    let manifest = Manifest { generation: manifest.generation + 1, last_run: run, ..manifest.clone() };
    manifest.install(disk)?;
    for (shard, maker) in makers.iter_mut().enumerate() {
        let log = LogId { server: manifest.server, run, shard: ShardId(shard as u16) };
        let segment = LogStart::FRESH.segment;
        maker.prepare(disk, &SegmentHeader { log, shards, segment, align, bytes: segment_bytes })?;
    }
    Ok(manifest)
}

/// What is a store's by its name and does not belong to this one: what a crash left, and what a new manifest freed.
fn unnamed(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<(String, Named)>, DiskError> {
    let known = |segment: &SegmentName| manifest.runs.iter().any(|run| run.run == segment.run && run.names(*segment));
    let named = disk.list("")?.into_iter().filter_map(|name| names::read(&name).map(|named| (name, named)));
    let free = named.filter(|(_, named)| match named {
        Named::Segment(segment) => !known(segment),
        Named::Snapshot(id) => manifest.snapshot.as_ref().is_none_or(|snapshot| snapshot.id != *id),
        Named::Spare(_) | Named::ManifestNew => true,
        Named::Manifest | Named::Lock => false,
    });
    Ok(free.collect())
}

/// Removes all that does not belong to the store. For its start: later there are spares that somebody counts on.
pub fn remove_unnamed(disk: &dyn Disk, manifest: &Manifest) -> Result<(), DiskError> {
    for (name, named) in unnamed(disk, manifest)? {
        if matches!(named, Named::Snapshot(_)) { remove_snapshot(disk, &name)? } else { disk.remove(&name)? }
    }
    Ok(())
}

/// Removes the snapshots that `manifest`, which was just installed, no longer names, and gives the segments. Their makers may
/// recycle those of other runs, and those of this run before their log's [`oldest_segment`](crate::Log::oldest_segment): to
/// the others operations may still be under way.
pub fn free(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<SegmentName>, DiskError> {
    let mut segments = Vec::new();
    for (name, named) in unnamed(disk, manifest)? {
        match named {
            Named::Segment(segment) => segments.push(segment),
            Named::Snapshot(_) => remove_snapshot(disk, &name)?,
            _ => {}
        }
    }
    Ok(segments)
}

fn remove_snapshot(disk: &dyn Disk, folder: &str) -> Result<(), DiskError> {
    for file in disk.list(folder)? {
        disk.remove(&format!("{folder}/{file}"))?;
    }
    disk.remove_folder(folder)
}
