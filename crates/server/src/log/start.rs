//! Opening the store: the folder is claimed before there is a core (`claim`); then its segments are scanned on all cores, the
//! plan is made, every shard loads what is its own (`load`, `replay`), and the next run begins. With `appendonly no` none
//! does: the last one is closed, and only snapshots follow.
//!
//! Until the last step nothing in the folder is changed, so that an attempt that fails can be made again. A store that cannot
//! be opened ends the server: it never starts empty instead.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use pinyon_base::ShardId;
use pinyon_durability::history::Scans;
use pinyon_durability::ids::LogId;
use pinyon_durability::recovery::{self, Found};
use pinyon_durability::scan::scan_segment;
use pinyon_durability::segment::{SegmentHeader, SegmentMaker};
use pinyon_durability::{
    Disk, DiskError, Epoch, LogStart, Manifest, Options, Plan, RecoveryError, ServerId, StdDisk, Store,
};
use pinyon_runtime::storage::Files;
use pinyon_runtime::{CoreId, clock};

use super::progress::Progress;
use super::shard_log::{ALIGN, Seat, ShardLog};
use super::{Errand, commit, import};
use crate::config::Fsync;
use crate::core::{Core, Io, Mail};

/// What has been found out while the store is opened; the first core's.
#[derive(Default)]
pub(super) struct Opening {
    store: Option<Store>,
    scans: Scans,
    missing: usize,
    options: Options,
    then: Option<Planned>,
}

/// Called when all segments have been scanned and judged.
type Planned = Box<dyn FnOnce(&mut Core, &mut Io, Result<Plan, RecoveryError>) + Send>;

/// Why a store is not opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("Can't open the data in {0}: {1}")]
    Store(String, RecoveryError),
    #[error(
        "Can't import {0}: {1}. The server does not start without these data: put a dump that is whole in its place, or move it \
         away to start empty"
    )]
    Import(String, pinyon_exchange::ExchangeError),
}

impl Core {
    /// Begins to open the store, on the first core; ends in `end_loading` or in the end of the server.
    pub(super) fn open_store(&mut self, io: &mut Io) {
        let shared = self.shared.clone();
        let find = move |_: &Files| {
            let Some(claim) = &shared.claim else { unreachable!("who loads has a folder") };
            find_or_make(claim.disk, claim.dump.as_deref(), &shared.progress)
        };
        self.help(io, find, |core, io, found: Result<Store, OpenError>| match found {
            Ok(store) => {
                let options = Options { repair: core.config.log_repair };
                core.scan_store(io, store, options, |core, io, plan| match plan {
                    Ok(plan) => {
                        report(&plan);
                        core.load_plan(io, Arc::new(plan), |core, io, plan, loaded| match loaded {
                            Ok(()) => core.begin_run(io, plan),
                            Err(error) => core.fail_store(io, error),
                        });
                    }
                    Err(error) => core.fail_open(io, error),
                });
            }
            Err(error) => core.fail_store(io, error.to_string()),
        });
    }

    /// Has all cores' storage executors verify the segments, and makes the plan of what they found.
    pub(super) fn scan_store(
        &mut self,
        io: &mut Io,
        store: Store,
        options: Options,
        then: impl FnOnce(&mut Core, &mut Io, Result<Plan, RecoveryError>) + Send + 'static,
    ) {
        let (server, disk) = (store.manifest().server, self.disk());
        let mut shares = vec![Vec::new(); usize::from(self.shards)];
        let snapshot = store.manifest().snapshot.iter().flat_map(|snapshot| &snapshot.files);
        let snapshot_bytes: u64 = snapshot.map(|file| file.bytes).sum();
        let mut bytes = 0;
        for (number, name) in store.segments().iter().enumerate() {
            shares[number % usize::from(self.shards)].push(*name);
            bytes += disk.length(&name.path()).ok().flatten().unwrap_or(0);
        }
        if bytes > 0 {
            tracing::info!("Reading {} log files, {} MB", store.segments().len(), bytes >> 20);
        }
        self.shared.progress.begin(bytes + snapshot_bytes, snapshot_bytes, clock::unix_ms());
        let (store, then): (_, Option<Planned>) = (Some(store), Some(Box::new(then)));
        self.loading.opening = Opening { store, scans: Scans::new(), missing: shares.len(), options, then };
        for (core, names) in shares.into_iter().enumerate() {
            let errand: Errand = Box::new(move |core, io| {
                let scan = move |_: &Files| -> Scans {
                    names.iter().map(|name| (*name, scan_segment(disk, *name, server))).collect()
                };
                core.help(io, scan, |_, io, scans| {
                    io.mail(CoreId(0), Mail::Errand(Box::new(move |core, io| core.scanned(io, scans))));
                });
            });
            io.mail(CoreId(core as u16), Mail::Errand(errand));
        }
    }

    fn scanned(&mut self, io: &mut Io, scans: Scans) {
        let opening = &mut self.loading.opening;
        opening.scans.extend(scans);
        opening.missing -= 1;
        if opening.missing > 0 {
            return;
        }
        let Opening { store: Some(store), scans, options, then: Some(then), .. } = std::mem::take(opening) else {
            return;
        };
        if self.is_loading() {
            self.note_found(&store, &scans);
        }
        let disk = self.disk();
        self.help(io, move |_| store.plan(disk, scans, options), then);
    }

    /// Takes note of how much lies on the disk.
    fn note_found(&mut self, store: &Store, scans: &Scans) {
        let snapshot = store.manifest().snapshot.iter().flat_map(|snapshot| &snapshot.files);
        let logs = scans.values().flatten().filter(|scan| scan.last.is_some()).map(|scan| scan.end);
        self.shared.saves.found(snapshot.map(|file| file.bytes).sum(), logs.sum());
    }

    /// All is loaded: the next run begins, or the last one is closed.
    fn begin_run(&mut self, io: &mut Io, plan: Arc<Plan>) {
        let (disk, shards, bytes) = (self.disk(), self.shards, self.config.log_segment_size);
        self.saves.epoch = plan.base_epoch();
        if !self.config.appendonly {
            return self.help(
                io,
                move |_| plan.close(disk),
                |core, io, closed| match closed {
                    Ok(manifest) => {
                        core.saves.manifest = Some(Arc::new(manifest));
                        core.loaded(io);
                    }
                    Err(error) => core.fail_open(io, RecoveryError::Disk(error)),
                },
            );
        }
        let begin = move |_: &Files| {
            let mut makers = makers(shards);
            let manifest = plan.begin(disk, &mut makers, ALIGN, bytes)?;
            let seats = seats(disk, &manifest, makers, bytes)?;
            Ok((manifest, seats))
        };
        self.help(io, begin, |core, io, begun: Result<_, DiskError>| match begun {
            Ok((manifest, seats)) => core.seat_logs(io, Arc::new(manifest), seats),
            Err(error) => core.fail_open(io, RecoveryError::Disk(error)),
        });
    }

    /// Every core gets its log; when all have theirs, commands may run.
    fn seat_logs(&mut self, io: &mut Io, manifest: Arc<Manifest>, seats: Vec<Seat>) {
        self.saves.manifest = Some(manifest);
        let (always, base) = (self.settings.fsync == Fsync::Always, self.saves.epoch);
        self.epochs.start(always);
        self.loading.opening.missing = seats.len();
        for (number, seat) in seats.into_iter().enumerate() {
            let errand: Errand = Box::new(move |core, io| {
                core.take_seat(seat, base, always);
                io.mail(CoreId(0), Mail::Errand(Box::new(|core, io| core.seated(io))));
            });
            io.mail(CoreId(number as u16), Mail::Errand(errand));
        }
    }

    /// From here on this core logs.
    pub(super) fn take_seat(&mut self, seat: Seat, base: Epoch, always: bool) {
        self.exec.log = Some(Box::new(ShardLog::new(seat, self.disk(), base, always)));
        self.exec.set_holds(always);
        self.exec.shard.set_journal(true);
    }

    fn seated(&mut self, io: &mut Io) {
        self.loading.opening.missing -= 1;
        if self.loading.opening.missing > 0 {
            return;
        }
        self.loaded(io);
    }

    /// All is in memory: commands may run.
    fn loaded(&mut self, io: &mut Io) {
        let progress = &self.shared.progress;
        if let Some(since_ms) = progress.since_ms() {
            let seconds = (clock::unix_ms() - since_ms).max(1) as f64 / 1000.0;
            let (records, bytes) = (progress.records(), progress.bytes());
            let rate = bytes as f64 / seconds / 1e6;
            tracing::info!(
                "DB loaded from disk: {} keys of the snapshot, {records} records of the logs, {bytes} bytes, {seconds:.3} \
                 seconds, {rate:.0} MB/s",
                progress.keys().0
            );
        }
        progress.end();
        for core in 0..self.shards {
            io.mail(CoreId(core), Mail::Errand(Box::new(|core, io| core.end_loading(io))));
        }
    }

    /// The store's folder.
    pub(crate) fn disk(&self) -> &'static StdDisk {
        self.store.expect("nobody saves or loads before the folder is claimed")
    }

    fn fail_open(&mut self, io: &mut Io, error: RecoveryError) {
        self.fail_store(io, OpenError::Store(self.disk().folder().display().to_string(), error).to_string());
    }

    /// The store cannot be used: the server ends, with this as the reason.
    pub(crate) fn fail_store(&mut self, io: &mut Io, text: String) {
        tracing::error!("{text}");
        self.shared.fail(text);
        self.stop_all(io);
    }
}

/// The store in the folder; a new one if there is none, made of `dump` if that is given.
fn find_or_make(
    disk: &'static StdDisk,
    dump: Option<&std::path::Path>,
    progress: &Progress,
) -> Result<Store, OpenError> {
    let failed = |error| OpenError::Store(disk.folder().display().to_string(), error);
    if let Some(dump) = dump {
        import::import(dump, disk, new_id(), progress)
            .map_err(|error| OpenError::Import(dump.display().to_string(), error))?;
    }
    match recovery::find(disk).map_err(failed)? {
        Found::Store(store) => Ok(store),
        Found::Nothing => recovery::create(disk, new_id()).map_err(failed),
    }
}

pub(super) fn makers(shards: u16) -> Vec<SegmentMaker> {
    (0..shards).map(|shard| SegmentMaker::new(ShardId(shard), shards)).collect()
}

/// What the cores are given for the last run of the manifest, whose first segments are there.
pub(super) fn seats(
    disk: &StdDisk,
    manifest: &Manifest,
    makers: Vec<SegmentMaker>,
    bytes: u64,
) -> Result<Vec<Seat>, DiskError> {
    let shards = makers.len() as u16;
    let seat = |(shard, maker): (usize, SegmentMaker)| {
        let header = header(manifest, shard as u16, shards, bytes);
        Ok(Seat { header, maker, file: commit::open(disk, &header.name().path())? })
    };
    makers.into_iter().enumerate().map(seat).collect()
}

fn header(manifest: &Manifest, shard: u16, shards: u16, bytes: u64) -> SegmentHeader {
    let log = LogId { server: manifest.server, run: manifest.last_run, shard: ShardId(shard) };
    SegmentHeader { log, shards, segment: LogStart::FRESH.segment, align: ALIGN, bytes }
}

/// Tells the operator what the plan leaves out.
fn report(plan: &Plan) {
    let report = &plan.report;
    for damage in &report.repaired {
        tracing::warn!("log-repair: went on in spite of this: {damage}");
    }
    for torn in &report.torn {
        tracing::warn!("{torn}");
    }
    let dropped: u64 = report.dropped.iter().sum();
    if dropped > 0 {
        tracing::warn!(
            "The server had not ended in order: {dropped} records behind the last cut that all shards have are left out"
        );
    }
}

/// A random id.
pub(crate) fn new_id() -> ServerId {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(clock::unix_us() as u64);
    ServerId(hasher.finish())
}
