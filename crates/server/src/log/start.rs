//! Opening the store: the folder is claimed before there is a core; then its segments are scanned on all cores, the plan is
//! made, every shard loads what is its own (`replay`), and the next run begins.
//!
//! Until the last step nothing in the folder is changed, so that an attempt that fails can be made again. A store that cannot
//! be opened ends the server: it never starts empty instead.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use pinyon_base::ShardId;
use pinyon_durability::history::Scans;
use pinyon_durability::ids::LogId;
use pinyon_durability::recovery::{self, Found};
use pinyon_durability::scan::scan_segment;
use pinyon_durability::segment::{SegmentHeader, SegmentMaker};
use pinyon_durability::std_disk::FolderLock;
use pinyon_durability::{Disk, LogStart, Manifest, Options, Plan, RecoveryError, ServerId, StdDisk, Store};
use pinyon_runtime::storage::Files;
use pinyon_runtime::{CoreId, clock};

use super::shard_log::{ALIGN, ShardLog};
use super::{Errand, commit};
use crate::config::{Config, Fsync};
use crate::core::{Core, Io, Mail};

/// Why the store's folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("Can't use the folder {} for the data (appenddirname): {why}", folder.display())]
    Folder { folder: PathBuf, why: String },
    #[error(
        "The data in {} are in use by another server: end that one first, or give this one another dir or appenddirname",
        folder.display()
    )]
    InUse { folder: PathBuf },
    #[error("Can't open the data in {}: {error}", folder.display())]
    Store { folder: PathBuf, error: RecoveryError },
}

/// The store's folder, for this process alone.
pub(crate) struct Claim {
    pub disk: &'static StdDisk,
    _lock: FolderLock,
}

/// Claims the folder that the configuration names, and looks whether what it holds can be a store.
pub(crate) fn claim(config: &Config) -> Result<Claim, ClaimError> {
    let folder = config.dir.join(&config.appenddirname);
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    // One for each claim of a process, of which there are few.
    let disk: &'static StdDisk = Box::leak(Box::new(StdDisk::new(&folder)));
    let failed = |why: String| ClaimError::Folder { folder: folder.clone(), why };
    disk.create_folder("").map_err(|error| failed(error.trouble.to_string()))?;
    match disk.lock() {
        Err(error) => Err(failed(error.trouble.to_string())),
        Ok(None) => Err(ClaimError::InUse { folder }),
        Ok(Some(lock)) => match recovery::find(disk) {
            Err(error) => Err(ClaimError::Store { folder, error }),
            Ok(_) => Ok(Claim { disk, _lock: lock }),
        },
    }
}

/// What has been found out while the store is opened; the first core's.
#[derive(Default)]
pub(super) struct Opening {
    store: Option<Store>,
    scans: Scans,
    missing: usize,
}

/// What the run's cores are given.
struct Begun {
    manifest: Arc<Manifest>,
    seats: Vec<(SegmentMaker, OwnedFd)>,
}

impl Core {
    /// Begins to open the store, on the first core; ends in `store_is_open` or in the end of the server.
    pub(super) fn open_store(&mut self, io: &mut Io) {
        let Some(claim) = &self.shared.claim else { return };
        let disk = claim.disk;
        let found = move |_: &Files| match recovery::find(disk)? {
            Found::Store(store) => Ok(store),
            Found::Nothing => recovery::create(disk, new_id()),
        };
        self.help(io, found, |core, io, found| match found {
            Ok(store) => core.scan_store(io, store),
            Err(error) => core.fail_open(io, &error),
        });
    }

    /// Has all cores' storage executors verify the segments.
    fn scan_store(&mut self, io: &mut Io, store: Store) {
        let (server, disk) = (store.manifest().server, self.disk());
        let mut shares = vec![Vec::new(); usize::from(self.shards)];
        let mut bytes = 0;
        for (number, name) in store.segments().iter().enumerate() {
            shares[number % usize::from(self.shards)].push(*name);
            bytes += disk.length(&name.path()).ok().flatten().unwrap_or(0);
        }
        if bytes > 0 {
            tracing::info!("Reading {} log files, {} MB", store.segments().len(), bytes >> 20);
        }
        self.shared.progress.begin(bytes, clock::unix_ms());
        self.loading.opening = Opening { store: Some(store), scans: Scans::new(), missing: shares.len() };
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
        let Opening { store: Some(store), scans, .. } = std::mem::take(opening) else { return };
        let (disk, options) = (self.disk(), Options { repair: self.config.log_repair });
        self.help(
            io,
            move |_| store.plan(disk, scans, options),
            |core, io, plan| match plan {
                Ok(plan) => {
                    report(&plan);
                    core.load_plan(io, Arc::new(plan));
                }
                Err(error) => core.fail_open(io, &error),
            },
        );
    }

    /// All is loaded: the next run begins.
    pub(super) fn begin_run(&mut self, io: &mut Io, plan: Arc<Plan>) {
        let (disk, shards, bytes) = (self.disk(), self.shards, self.config.log_segment_size);
        let begin = move |_: &Files| {
            let mut makers: Vec<SegmentMaker> =
                (0..shards).map(|shard| SegmentMaker::new(ShardId(shard), shards)).collect();
            let manifest = plan.begin(disk, &mut makers, ALIGN, bytes)?;
            let seat = |(shard, maker): (usize, SegmentMaker)| {
                let name = header(&manifest, shard as u16, shards, bytes).name();
                Ok((maker, commit::open(disk, &name.path())?))
            };
            let seats =
                makers.into_iter().enumerate().map(seat).collect::<Result<Vec<_>, pinyon_durability::DiskError>>()?;
            Ok((Begun { manifest: Arc::new(manifest), seats }, plan.base_epoch()))
        };
        self.help(io, begin, move |core, io, begun: Result<_, pinyon_durability::DiskError>| match begun {
            Ok((begun, base)) => core.seat_logs(io, begun, base, bytes),
            Err(error) => core.fail_open(io, &RecoveryError::Disk(error)),
        });
    }

    /// Every core gets its log; when all have theirs, commands may run.
    fn seat_logs(&mut self, io: &mut Io, begun: Begun, base: pinyon_durability::Epoch, bytes: u64) {
        let Begun { manifest, seats } = begun;
        self.saves.manifest = Some(manifest.clone());
        let always = self.settings.fsync == Fsync::Always;
        let shards = self.shards;
        self.epochs.start(always);
        self.loading.opening.missing = seats.len();
        for (number, (maker, file)) in seats.into_iter().enumerate() {
            let header = header(&manifest, number as u16, shards, bytes);
            let errand: Errand = Box::new(move |core, io| {
                let log = ShardLog::new(header, core.disk(), maker, file, base, always);
                core.exec.log = Some(Box::new(log));
                core.exec.set_holds(always);
                core.exec.shard.set_journal(true);
                io.mail(CoreId(0), Mail::Errand(Box::new(|core, io| core.seated(io))));
            });
            io.mail(CoreId(number as u16), Mail::Errand(errand));
        }
    }

    fn seated(&mut self, io: &mut Io) {
        self.loading.opening.missing -= 1;
        if self.loading.opening.missing > 0 {
            return;
        }
        let progress = &self.shared.progress;
        if let Some(since_ms) = progress.since_ms() {
            let seconds = (clock::unix_ms() - since_ms).max(1) as f64 / 1000.0;
            let (records, bytes) = (progress.records(), progress.bytes());
            let rate = bytes as f64 / seconds / 1e6;
            tracing::info!(
                "DB loaded from the log: {records} records, {bytes} bytes, {seconds:.3} seconds, {rate:.0} MB/s"
            );
        }
        progress.end();
        for core in 0..self.shards {
            io.mail(CoreId(core), Mail::Errand(Box::new(|core, io| core.end_loading(io))));
        }
    }

    pub(crate) fn disk(&self) -> &'static StdDisk {
        self.shared.claim.as_ref().map(|claim| claim.disk).expect("only a server with a log opens a store")
    }

    fn fail_open(&mut self, io: &mut Io, error: &RecoveryError) {
        let text = format!("Can't open the data in {}: {error}", self.disk().folder().display());
        self.fail_store(io, text);
    }

    /// The store cannot be used: the server ends, with this as the reason.
    pub(crate) fn fail_store(&mut self, io: &mut Io, text: String) {
        tracing::error!("{text}");
        self.shared.fail(text);
        self.stop_all(io);
    }
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
fn new_id() -> ServerId {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(clock::unix_us() as u64);
    ServerId(hasher.finish())
}
