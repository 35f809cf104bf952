//! Loading a store as a server would: the snapshot's files, then the logs run by run, all into one world of keys.

use pinyon_base::ShardId;
use pinyon_durability::recovery::{self, Found};
use pinyon_durability::snapshot::SnapshotFile;
use pinyon_durability::{Options, Plan, RecoveryError};

use crate::disk::SimDisk;
use crate::engine::Engine;

/// A store that was loaded.
pub struct Recovered<E> {
    pub plan: Plan,
    pub world: E,
}

/// Why it was not.
#[derive(Debug)]
pub enum Failure {
    Recovery(RecoveryError),
    /// Bytes with right CRCs that the engine does not understand, or counts that do not fit: always a bug.
    Content(#[expect(dead_code, reason = "shown by Debug")] String),
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Failure {
        Failure::Recovery(error)
    }
}

/// `None`: there is no store.
pub fn recover<E: Engine>(disk: &SimDisk, options: Options) -> Result<Option<Recovered<E>>, Failure> {
    let Found::Store(store) = recovery::find(disk)? else { return Ok(None) };
    let scans = store.scan(disk);
    let plan = store.plan(disk, scans, options)?;
    let mut world = E::empty();
    if let Some(snapshot) = &plan.manifest.snapshot {
        for (shard, expected) in snapshot.files.iter().enumerate() {
            let file = SnapshotFile::open(disk, plan.manifest.server, snapshot.id, ShardId(shard as u16), expected)?;
            for unit in 0..file.units() {
                let unit = file.read_unit(disk, unit)?;
                let entries = world.load(&unit.bytes).map_err(Failure::Content)?;
                if entries != unit.entries {
                    return Err(Failure::Content(format!("{entries} entries in a unit of {}", unit.entries)));
                }
            }
        }
    }
    for run in &plan.runs {
        for log in &run.logs {
            let mut records = plan.replay(disk, run, log);
            while let Some(record) = records.next_record()? {
                let replayed = world.replay(record.bytes);
                // Without what was lost an effect may not make sense.
                if plan.report.repaired.is_empty() {
                    replayed.map_err(Failure::Content)?;
                }
            }
        }
    }
    Ok(Some(Recovered { plan, world }))
}
