//! What must be true after a crash, from nothing but what was done and acknowledged before it.
//!
//! The oracle keeps every record of the run in the order of its shard, every cut of all shards, and what each client was told.
//! It knows nothing of frames, files or disks.

use std::collections::BTreeMap;

use pinyon_base::ShardId;
use pinyon_durability::{Cut, Epoch, Lsn, Plan, Rule, RunId};

use crate::disk::Crash;
use crate::engine::{Engine, Key};

/// The most that `everysec` may lose.
const EVERYSEC_MS: u64 = 1000;

struct Done {
    effects: Vec<u8>,
    time: u64,
}

#[derive(Default)]
struct ShardHistory {
    records: Vec<Done>,
    /// Records up to this one were shown to somebody under `always`.
    shown: Lsn,
}

/// The history of one run.
pub struct Oracle<E> {
    run: RunId,
    base: E,
    shards: Vec<ShardHistory>,
    cuts: BTreeMap<Epoch, Vec<Lsn>>,
    transactions: BTreeMap<u64, Vec<(ShardId, Lsn)>>,
    last_writes: BTreeMap<Key, Lsn>,
    /// WAITAOF confirmed this epoch.
    confirmed: Epoch,
    /// The last second is not promised: the policy was `no`, or the disk refused.
    pub lax: bool,
    pub acknowledged: u64,
}

impl<E: Engine> Oracle<E> {
    /// For a run that begins with `base` after `epoch`.
    pub fn new(run: RunId, base: E, shards: usize, epoch: Epoch) -> Oracle<E> {
        Oracle {
            run,
            base,
            shards: (0..shards).map(|_| ShardHistory::default()).collect(),
            cuts: BTreeMap::from([(epoch, vec![Lsn(0); shards])]),
            transactions: BTreeMap::new(),
            last_writes: BTreeMap::new(),
            confirmed: epoch,
            lax: false,
            acknowledged: 0,
        }
    }

    /// A record was logged.
    pub fn logged(&mut self, shard: ShardId, lsn: Lsn, effects: &[u8], time: u64) {
        let records = &mut self.shards[usize::from(shard.0)].records;
        records.push(Done { effects: effects.to_vec(), time });
        assert_eq!(lsn.0, records.len() as u64, "lsns count records");
    }

    pub fn wrote(&mut self, key: &Key, lsn: Lsn) {
        self.last_writes.insert(key.clone(), lsn);
    }

    pub fn transaction(&mut self, number: u64, parts: Vec<(ShardId, Lsn)>) {
        self.transactions.insert(number, parts);
    }

    /// The shard's seal of `epoch`.
    pub fn sealed(&mut self, shard: ShardId, epoch: Epoch, lsn: Lsn, time: u64) {
        self.logged(shard, lsn, &[], time);
        let shards = self.shards.len();
        self.cuts.entry(epoch).or_insert_with(|| vec![Lsn(u64::MAX); shards])[usize::from(shard.0)] = lsn;
    }

    /// The last record that changed the key, if any did in this run: what a read of it shows.
    pub fn last_write(&self, key: &Key) -> Lsn {
        self.last_writes.get(key).copied().unwrap_or_default()
    }

    /// A client was told of this record under `always`.
    pub fn shown(&mut self, shard: ShardId, lsn: Lsn) {
        let shown = &mut self.shards[usize::from(shard.0)].shown;
        *shown = lsn.max(*shown);
        self.acknowledged += 1;
    }

    pub fn confirmed(&mut self, epoch: Epoch) {
        self.confirmed = self.confirmed.max(epoch);
        self.acknowledged += 1;
    }

    fn expected(&self, ends: &[Lsn]) -> Result<E, String> {
        let mut world = self.base.clone();
        for (shard, end) in self.shards.iter().zip(ends) {
            let kept = shard.records.get(..end.0 as usize).ok_or("more records than were written")?;
            for done in kept {
                world.replay(&done.effects)?;
            }
        }
        Ok(world)
    }

    /// Whether what was recovered after `crash` at `now` is a state that the design allows. Without a `crash` damage was done
    /// and reported: then what was promised need not be there.
    pub fn check(&self, plan: &Plan, world: &E, crash: Option<Crash>, now: u64) -> Result<(), String> {
        let Some(run) = plan.runs.last().filter(|run| run.run == self.run) else {
            let nothing = self.shards.iter().all(|shard| shard.records.is_empty());
            return if nothing && *world == self.base { Ok(()) } else { Err("the run is missing".to_owned()) };
        };
        let ends: Vec<Lsn> = run.logs.iter().map(|log| log.end).collect();
        let cut = plan.report.cut.as_ref().ok_or("no cut")?;
        self.check_cut(cut, &ends)?;
        self.check_transactions(&ends)?;
        if let Some(crash) = crash {
            self.check_promises(&ends, crash, now)?;
        }
        if self.expected(&ends)? != *world {
            return Err(format!("the state is not that of its records up to {ends:?}"));
        }
        Ok(())
    }

    fn check_cut(&self, cut: &Cut, ends: &[Lsn]) -> Result<(), String> {
        let boundary = self.cuts.get(&cut.epoch).ok_or_else(|| format!("{:?} was never sealed", cut.epoch))?;
        let below = ends.iter().zip(boundary).any(|(end, boundary)| end < boundary);
        if below || cut.rule == Rule::Epoch && ends != boundary {
            return Err(format!("{cut:?} with ends {ends:?} is no cut of history: {boundary:?}"));
        }
        Ok(())
    }

    fn check_transactions(&self, ends: &[Lsn]) -> Result<(), String> {
        for (number, parts) in &self.transactions {
            let inside = parts.iter().filter(|(shard, lsn)| *lsn <= ends[usize::from(shard.0)]).count();
            if inside != 0 && inside != parts.len() {
                return Err(format!("half of transaction {number} {parts:?}: {ends:?}"));
            }
        }
        Ok(())
    }

    fn check_promises(&self, ends: &[Lsn], crash: Crash, now: u64) -> Result<(), String> {
        let confirmed = &self.cuts[&self.confirmed];
        for (number, shard) in self.shards.iter().enumerate() {
            let end = ends[number];
            if shard.shown > end {
                return Err(format!("shard {number}: {:?} was acknowledged, recovered up to {end:?}", shard.shown));
            }
            if confirmed[number] > end {
                return Err(format!("shard {number}: {:?} was confirmed, recovered up to {end:?}", confirmed[number]));
            }
            // A seal alone is nobody's write.
            let mut lost = shard.records.iter().skip(end.0 as usize).filter(|done| !done.effects.is_empty());
            if let Some(lost) = lost.next().filter(|done| !self.lax && done.time + EVERYSEC_MS < now) {
                let age = now - lost.time;
                return Err(format!("shard {number}: lost a record {age} ms old, behind {end:?}, by a {crash:?}"));
            }
        }
        Ok(())
    }
}
