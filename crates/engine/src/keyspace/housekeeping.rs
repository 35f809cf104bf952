//! Deferred work, a slice at a time: freeing what was flushed or deleted, dropping the wheel's stale nodes, and packing
//! entries into fewer chunks when deletes have left holes everywhere.

use pinyon_base::{DbIndex, Millis};

use super::shard::Shard;

/// Nodes of the wheel looked at in a step.
const NODES_PER_STEP: usize = 64;
/// Stale nodes are left alone up to this many, or half the number of volatile keys. In tests few, so that small ones get here.
const STALE_NODES_MIN: usize = if cfg!(test) { 50 } else { 16 << 10 };
/// Free blocks are left alone up to this many bytes, or a quarter of what the table holds. In tests few.
const SLACK_BYTES_MIN: usize = if cfg!(test) { 64 << 10 } else { 4 << 20 };

/// How far the walks that go over many slices have come.
#[derive(Default)]
pub(super) struct Housekeeping {
    sweeping: bool,
    /// Stale nodes that the last walk over the wheel could not get rid of.
    stale_left: usize,
    packing: Option<Packing>,
    /// By database: free bytes that the last walk over its table left.
    slack_left: Vec<usize>,
}

impl Housekeeping {
    /// Two databases have exchanged their tables.
    pub(super) fn swap_db(&mut self, a: usize, b: usize) {
        if let Some(packing) = &mut self.packing {
            packing.db = if packing.db == a {
                b
            } else if packing.db == b {
                a
            } else {
                packing.db
            };
        }
        if self.slack_left.len() > a.max(b) {
            self.slack_left.swap(a, b);
        }
    }
}

/// A table that is being packed, and how far that has come.
struct Packing {
    db: usize,
    stage: Stage,
}

enum Stage {
    Mark,
    MoveSegments,
    /// Up to the segment at this hash.
    Move(u64),
    Unmark,
}

impl Shard {
    /// Does up to `budget` steps of deferred work, some 10 µs each. True: more is left.
    pub fn background_slice(&mut self, budget: usize) -> bool {
        let mut left = budget;
        while left > 0 {
            left -= 1;
            if !self.background_step() {
                return false;
            }
        }
        true
    }

    fn background_step(&mut self) -> bool {
        if !self.ledger.graveyard.is_empty() {
            return self.ledger.graveyard.slice(1) || self.has_stale_nodes() || self.housekeeping.packing.is_some();
        }
        if self.housekeeping.sweeping || self.has_stale_nodes() {
            self.sweep_nodes();
            return true;
        }
        if self.housekeeping.packing.is_none() {
            self.housekeeping.packing = self.table_to_pack();
        }
        self.pack_some()
    }

    fn stale_nodes(&self) -> usize {
        self.wheel.node_count().saturating_sub(self.tables.iter().map(|table| table.volatile() + table.fading()).sum())
    }

    fn has_stale_nodes(&self) -> bool {
        let stale = self.stale_nodes();
        let wanted = self.wheel.node_count() - stale;
        stale > 2 * self.housekeeping.stale_left + STALE_NODES_MIN.max(wanted / 2)
    }

    fn sweep_nodes(&mut self) {
        let Shard { tables, wheel, now, .. } = self;
        let mut keep = |db: DbIndex, hash: u64, deadline: Millis| {
            let table = &mut tables[usize::from(db.0)];
            // An armed entry needs the node for its own deadline only, which the wheel may have rounded up.
            table.find_volatile(hash, *now).is_some_and(|found| {
                let is_alarm = found.is_fading()
                    && found.entry().hash().and_then(|fields| fields.alarm()).is_some_and(|at| at <= deadline.0);
                let is_volatile = found.deadline().is_some();
                is_alarm || (is_volatile && (!found.is_armed() || found.deadline().is_some_and(|at| at <= deadline)))
            })
        };
        let more = wheel.compact_slice(NODES_PER_STEP, &mut keep);
        self.housekeeping.sweeping = more;
        if !more {
            self.housekeeping.stale_left = self.stale_nodes();
        }
    }

    fn table_to_pack(&mut self) -> Option<Packing> {
        let slack_left = &mut self.housekeeping.slack_left;
        slack_left.resize(self.tables.len(), 0);
        let db = self.tables.iter().zip(slack_left).position(|(table, left)| {
            let slack = table.slack_bytes();
            // What the last pass could not free is no reason for another one, until it becomes less.
            *left = slack.min(*left);
            slack > *left + SLACK_BYTES_MIN.max(table.bytes() / 4)
        })?;
        Some(Packing { db, stage: Stage::Mark })
    }

    fn pack_some(&mut self) -> bool {
        let Some(packing) = &mut self.housekeeping.packing else { return false };
        let table = &mut self.tables[packing.db];
        match packing.stage {
            Stage::Mark if table.mark_sparse() => {}
            Stage::Mark if table.has_marks() => packing.stage = Stage::MoveSegments,
            Stage::Mark => {
                // What is free by now cannot be had together.
                self.housekeeping.slack_left[packing.db] = table.slack_bytes();
                self.housekeeping.packing = None;
            }
            Stage::MoveSegments if table.move_segments() => {}
            Stage::MoveSegments => packing.stage = Stage::Move(0),
            Stage::Move(hash) => match table.move_entries(hash) {
                0 => packing.stage = Stage::Unmark,
                next => packing.stage = Stage::Move(next),
            },
            Stage::Unmark if table.unmark() => {}
            // Chunks that became free may make whole regions worth emptying: perhaps once more.
            Stage::Unmark => self.housekeeping.packing = None,
        }
        true
    }
}
