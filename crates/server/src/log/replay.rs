//! Loading: every shard applies the records of all logs that concern its slots, run by run, in slices of its core's turns, so
//! that clients are told meanwhile how far it is.

use std::sync::Arc;

use pinyon_base::{Millis, ShardId};
use pinyon_durability::recovery::{PlannedLog, PlannedRun};
use pinyon_durability::{Plan, Replay, StdDisk};
use pinyon_engine::keyspace::Shard;
use pinyon_engine::record::{Replayer, Slots};

use super::again::Again;
use super::start::Opening;
use crate::core::{Core, Io};
use crate::settings::Gates;

/// Bytes of records applied in one slice, about.
const SLICE_BYTES: usize = 256 << 10;
/// Steps of freeing after each of them, where nobody else does it.
const FREE_STEPS: usize = 64;

/// A core that has yet to load its shard.
#[derive(Default)]
pub(crate) struct Loading {
    on: bool,
    pub(super) opening: Opening,
    /// What is loaded again while the shard's data are still there (`again`).
    pub(super) again: Again,
}

/// Called when all shards have loaded what the plan says, or why they cannot.
pub(super) type Loaded = Box<dyn FnOnce(&mut Core, &mut Io, Arc<Plan>, Result<(), String>)>;

/// One shard's share of a run.
struct Share {
    plan: Arc<Plan>,
    run: usize,
    log: usize,
    walk: Option<(Replay<'static, StdDisk>, Replayer)>,
    records: u64,
}

impl Core {
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.on
    }

    /// A server with a store begins by loading.
    pub(crate) fn begin_loading(&mut self, io: &mut Io) {
        if self.shared.claim.is_some() {
            self.loading.on = true;
            self.gates.set(Gates::LOADING, true);
            if self.id.0 == 0 {
                self.open_store(io);
            }
        }
    }

    pub(super) fn end_loading(&mut self, _: &mut Io) {
        self.loading.on = false;
        self.gates.set(Gates::LOADING, false);
    }

    /// The shard that data are loaded into.
    pub(super) fn shard_to_load(&mut self) -> &mut Shard {
        self.loading.again.shard.as_deref_mut().unwrap_or(&mut self.exec.shard)
    }

    /// Has all shards load what the plan says.
    pub(super) fn load_plan(
        &mut self,
        io: &mut Io,
        plan: Arc<Plan>,
        then: impl FnOnce(&mut Core, &mut Io, Arc<Plan>, Result<(), String>) + 'static,
    ) {
        let logs = plan.runs.iter().flat_map(|run| run.logs.iter().map(move |log| (run, log)));
        let walks = |run: &PlannedRun, log: &PlannedLog| {
            let shards = (0..self.shards).filter(|shard| replayer(*shard, self.shards, run, log).has_business());
            shards.count() as u64 * (log.end.0 + 1).saturating_sub(log.start.lsn.0)
        };
        self.shared.progress.expect(logs.map(|(run, log)| walks(run, log)).sum());
        self.load_snapshot(io, plan, Box::new(then));
    }

    pub(super) fn load_run(&mut self, io: &mut Io, plan: Arc<Plan>, run: usize, then: Loaded) {
        if run == plan.runs.len() {
            return then(self, io, plan, Ok(()));
        }
        let start = {
            let plan = plan.clone();
            move || {
                let mut share = Share { plan: plan.clone(), run, log: 0, walk: None, records: 0 };
                move |core: &mut Core, _: &mut Io| share.slice(core)
            }
        };
        self.gather_slices(io, start, move |core, io, shares: Vec<Result<u64, String>>| {
            match shares.into_iter().collect::<Result<Vec<u64>, String>>() {
                Ok(_) => core.load_run(io, plan, run + 1, then),
                Err(error) => then(core, io, plan, Err(error)),
            }
        });
    }
}

impl Share {
    /// Applies some records. Some: there are no more, or they cannot be applied.
    fn slice(&mut self, core: &mut Core) -> Option<Result<u64, String>> {
        let (mut bytes, before) = (0, self.records);
        let result = loop {
            match self.record(core) {
                Ok(Some(length)) if bytes + length > SLICE_BYTES => break None,
                Ok(Some(length)) => bytes += length,
                Ok(None) => break Some(Ok(self.records)),
                Err(error) => break Some(Err(error)),
            }
        };
        core.shared.progress.walked(self.records - before);
        if let Some(shard) = &mut core.loading.again.shard {
            shard.background_slice(FREE_STEPS);
        }
        result
    }

    /// Applies the next record; gives its length.
    fn record(&mut self, core: &mut Core) -> Result<Option<usize>, String> {
        loop {
            let plan = self.plan.clone();
            let run = &plan.runs[self.run];
            let Some(log) = run.logs.get(self.log) else { return Ok(None) };
            let Some((replay, replayer)) = &mut self.walk else {
                self.walk = begin(core, &plan, run, log);
                if self.walk.is_none() {
                    self.log += 1;
                }
                continue;
            };
            let record = replay.next_record().map_err(|error| error.to_string())?;
            let Some(record) = record else {
                self.walk = None;
                self.log += 1;
                continue;
            };
            self.records += 1;
            if record.seal {
                continue;
            }
            let shard = core.shard_to_load();
            shard.begin_turn(Millis(record.time as i64));
            let applied = replayer.apply(shard, record.bytes);
            // Without what was lost, a record may make no sense.
            if let Err(error) = applied
                && plan.report.repaired.is_empty()
            {
                let (shard, lsn) = (log.shard.0, record.lsn.0);
                return Err(format!(
                    "Record {lsn} of the log of shard {shard}, run {}, cannot be applied: {error}",
                    run.run.0
                ));
            }
            return Ok(Some(record.bytes.len()));
        }
    }
}

/// A walk over one log, unless none of it concerns the core's shard.
fn begin(core: &Core, plan: &Plan, run: &PlannedRun, log: &PlannedLog) -> Option<(Replay<'static, StdDisk>, Replayer)> {
    let replayer = replayer(core.id.0, core.shards, run, log);
    replayer.has_business().then(|| (plan.replay(core.disk(), run, log), replayer))
}

/// What applies the records of one log to the shard `shard`.
fn replayer(shard: u16, shards: u16, run: &PlannedRun, log: &PlannedLog) -> Replayer {
    Replayer::new(Slots::of(log.shard, run.logs.len() as u16), Slots::of(ShardId(shard), shards))
}
