//! Loading a snapshot: every core reads the files that hold entries of its slots, a unit of blocks in a slice, and takes its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pinyon_base::ShardId;
use pinyon_durability::Plan;
use pinyon_durability::snapshot::SnapshotFile;
use pinyon_engine::keyspace::Loader;
use pinyon_engine::record::Slots;

use super::replay::Loaded;
use crate::core::{Core, Io};

/// One core's share.
struct Share {
    plan: Arc<Plan>,
    loader: Loader,
    own: Slots,
    shard: u16,
    file: Option<SnapshotFile>,
    unit: usize,
    /// With `key-load-delay`: when the last unit was loaded, and how many keys had been before.
    paused: Option<(Instant, u64)>,
}

impl Core {
    /// Has all shards load the snapshot, if there is one, and then the logs.
    pub(super) fn load_snapshot(&mut self, io: &mut Io, plan: Arc<Plan>, then: Loaded) {
        if plan.manifest.snapshot.is_none() {
            return self.load_run(io, plan, 0, then);
        }
        let shards = self.shards;
        self.shared.progress.expect_read(bytes_to_read(&plan, shards));
        let start = {
            let plan = plan.clone();
            move || {
                let plan = plan.clone();
                let mut share = None;
                move |core: &mut Core, _: &mut Io| {
                    let share = share.get_or_insert_with(|| Share::new(plan.clone(), core.id.0, shards));
                    share.unit(core)
                }
            }
        };
        self.gather_slices(io, start, move |core, io, shares: Vec<Result<u64, String>>| {
            match shares.into_iter().collect::<Result<Vec<u64>, String>>() {
                Ok(loaded) => {
                    core.shared.progress.note_keys(loaded.into_iter().sum());
                    core.load_run(io, plan, 0, then);
                }
                Err(error) => then(core, io, plan, Err(error)),
            }
        });
    }
}

/// Bytes that all cores read together: a file is read by each that owns some of its slots.
fn bytes_to_read(plan: &Plan, shards: u16) -> u64 {
    let Some(snapshot) = &plan.manifest.snapshot else { return 0 };
    let readers = |shard: usize| {
        let saved = Slots::of(ShardId(shard as u16), snapshot.files.len() as u16);
        (0..shards).filter(|core| saved.meet(Slots::of(ShardId(*core), shards))).count() as u64
    };
    snapshot.files.iter().enumerate().map(|(shard, file)| file.bytes * readers(shard)).sum()
}

impl Share {
    fn new(plan: Arc<Plan>, core: u16, shards: u16) -> Share {
        let own = Slots::of(ShardId(core), shards);
        Share { plan, loader: Loader::new(own), own, shard: 0, file: None, unit: 0, paused: None }
    }

    /// Loads the next unit. Some: there are no more, or it cannot be loaded.
    fn unit(&mut self, core: &mut Core) -> Option<Result<u64, String>> {
        match self.step(core) {
            Ok(true) => None,
            Ok(false) => Some(Ok(self.loader.loaded())),
            Err(error) => Some(Err(format!("Can't open the data in {}: {error}", core.disk().folder().display()))),
        }
    }

    /// Whether loading is to be slower, and has not waited long enough.
    fn pauses(&mut self, delay_us: i32) -> bool {
        let Some((since, before)) = self.paused else { return false };
        let keys = self.loader.loaded() - before;
        let pauses = since.elapsed() < Duration::from_micros(u64::from(delay_us.max(0) as u32) * keys);
        if !pauses {
            self.paused = None;
        }
        pauses
    }

    fn step(&mut self, core: &mut Core) -> Result<bool, String> {
        if self.pauses(core.config.key_load_delay) {
            return Ok(true);
        }
        let manifest = &self.plan.manifest;
        let Some(snapshot) = &manifest.snapshot else { return Ok(false) };
        let (shard, disk) = (ShardId(self.shard), core.disk());
        let Some(expected) = snapshot.files.get(usize::from(self.shard)) else { return Ok(false) };
        let has_business = Slots::of(shard, snapshot.files.len() as u16).meet(self.own);
        match &self.file {
            _ if !has_business => self.shard += 1,
            None => {
                let file = SnapshotFile::open(disk, manifest.server, snapshot.id, shard, expected);
                self.file = Some(file.map_err(|error| error.to_string())?);
                self.unit = 0;
            }
            Some(file) if self.unit == file.units() => {
                self.file = None;
                self.shard += 1;
            }
            Some(file) => {
                let unit = file.read_unit(disk, self.unit).map_err(|error| error.to_string())?;
                self.unit += 1;
                let before = self.loader.loaded();
                core.shared.progress.read(expected.bytes / file.units().max(1) as u64);
                let loaded = self.loader.load(core.shard_to_load(), &unit.bytes);
                loaded.map_err(|error| format!("shard {}'s part of the snapshot: {error}", self.shard))?;
                self.paused = (core.config.key_load_delay > 0).then(|| (Instant::now(), before));
            }
        }
        Ok(true)
    }
}
