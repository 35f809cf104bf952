//! How far each shard's log is stable: durable, and without a part of a transaction whose other parts are not stable too.
//!
//! Recovery under `always` keeps of every shard the longest prefix that holds no part without its siblings. A reply may leave
//! only when that prefix is sure to hold its record, so this works out the same prefix from what is known to be durable: the
//! greatest solution, for two transactions may lie in each other's way on two shards (t1 before t2 on one, behind it on the
//! other) and still both be stable.
//!
//! Each core has one of these, or one core has it for all. Shards tell it about themselves by [`Progress`], in order: how far
//! they are durable, never beyond a part whose siblings they do not know yet ([`Parts`] holds that back), and the parts
//! up to there. Without transactions over shards it costs nothing.

use std::collections::VecDeque;

use pinyon_base::ShardId;

use crate::flight::DurablePoint;
use crate::ids::{Epoch, Lsn};

/// A part of a transaction over several shards, and where the others lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPart {
    pub lsn: Lsn,
    pub siblings: Vec<(ShardId, Lsn)>,
}

/// What a shard says of its own log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Durable up to here; all parts up to here have been told, in this message or before.
    pub reach: Lsn,
    /// The last epoch whose seal is durable here.
    pub sealed: Epoch,
    /// Parts in order of their lsns.
    pub parts: Vec<PlacedPart>,
}

/// A part that the others have not been told of.
struct WaitingPart {
    lsn: Lsn,
    transaction: u64,
    siblings: Option<Vec<(ShardId, Lsn)>>,
}

/// The parts in one shard's log until their siblings are known and they are told to the others.
#[derive(Default)]
pub struct Parts {
    waiting: VecDeque<WaitingPart>,
    told: Progress,
}

impl Parts {
    /// The shard has logged its part of `transaction`.
    pub fn appended(&mut self, lsn: Lsn, transaction: u64) {
        self.waiting.push_back(WaitingPart { lsn, transaction, siblings: None });
    }

    /// All parts of `transaction` are logged, at these places; the one of this shard may be among them.
    pub fn placed(&mut self, transaction: u64, parts: &[(ShardId, Lsn)]) {
        if let Some(part) = self.waiting.iter_mut().find(|part| part.transaction == transaction) {
            part.siblings = Some(parts.to_vec());
        }
    }

    /// What is new to tell, now that the log is durable up to there.
    pub fn progress(&mut self, durable: DurablePoint) -> Option<Progress> {
        let mut parts = Vec::new();
        while let Some(WaitingPart { lsn, siblings, .. }) = self.waiting.front_mut()
            && *lsn <= durable.lsn
            && let Some(siblings) = siblings.take()
        {
            parts.push(PlacedPart { lsn: *lsn, siblings });
            self.waiting.pop_front();
        }
        let reach = match self.waiting.front() {
            Some(part) if part.lsn <= durable.lsn => Lsn(part.lsn.0 - 1),
            _ => durable.lsn,
        };
        let news = reach > self.told.reach || durable.sealed > self.told.sealed || !parts.is_empty();
        (self.told.reach, self.told.sealed) = (reach, durable.sealed);
        news.then_some(Progress { reach, sealed: durable.sealed, parts })
    }
}

#[derive(Default)]
struct Shard {
    reach: Lsn,
    stable: Lsn,
    sealed: Epoch,
    /// Parts behind `stable`.
    parts: VecDeque<PlacedPart>,
}

/// What is known of all shards.
pub struct Stability {
    shards: Vec<Shard>,
    durable_epoch: Epoch,
}

impl Stability {
    /// For a run's start: each log is empty behind `before`, and `epoch` is durable on all.
    pub fn new(before: &[Lsn], epoch: Epoch) -> Stability {
        let shard = |lsn: &Lsn| Shard { reach: *lsn, stable: *lsn, sealed: epoch, parts: VecDeque::new() };
        Stability { shards: before.iter().map(shard).collect(), durable_epoch: epoch }
    }

    /// The last lsn of the shard's stable prefix, as far as is known.
    pub fn stable(&self, shard: ShardId) -> Lsn {
        self.shards[usize::from(shard.0)].stable
    }

    /// The last epoch that is durable on all shards.
    pub fn durable_epoch(&self) -> Epoch {
        self.durable_epoch
    }

    /// A shard's progress. `true` if more has become stable, or an epoch durable.
    pub fn learn(&mut self, shard: ShardId, progress: Progress) -> bool {
        let known = &mut self.shards[usize::from(shard.0)];
        known.reach = known.reach.max(progress.reach);
        known.sealed = known.sealed.max(progress.sealed);
        known.parts.extend(progress.parts);
        let before: Epoch = self.durable_epoch;
        self.durable_epoch = self.shards.iter().map(|shard| shard.sealed).min().unwrap_or_default();
        self.settle() || self.durable_epoch > before
    }

    /// Takes the shards' reaches and gives up, part by part, what lacks a sibling; what is left is stable.
    fn settle(&mut self) -> bool {
        let mut ends: Vec<Lsn> = self.shards.iter().map(|shard| shard.reach).collect();
        let mut changed = true;
        while changed {
            changed = false;
            for (shard, known) in self.shards.iter().enumerate() {
                let inside = known.parts.iter().take_while(|part| part.lsn <= ends[shard]);
                let lacking =
                    |part: &&PlacedPart| part.siblings.iter().any(|(other, lsn)| *lsn > ends[usize::from(other.0)]);
                if let Some(part) = inside.into_iter().find(lacking) {
                    ends[shard] = Lsn(part.lsn.0 - 1);
                    changed = true;
                }
            }
        }
        let mut more = false;
        for (shard, end) in self.shards.iter_mut().zip(ends) {
            more |= end > shard.stable;
            shard.stable = end;
            while shard.parts.front().is_some_and(|part| part.lsn <= end) {
                shard.parts.pop_front();
            }
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ShardId = ShardId(0);
    const B: ShardId = ShardId(1);

    fn reach(lsn: u64, parts: &[(u64, &[(ShardId, u64)])]) -> Progress {
        let place = |(shard, lsn): &(ShardId, u64)| (*shard, Lsn(*lsn));
        let part = |(lsn, siblings): &(u64, &[(ShardId, u64)])| PlacedPart {
            lsn: Lsn(*lsn),
            siblings: siblings.iter().map(place).collect(),
        };
        Progress { reach: Lsn(lsn), sealed: Epoch(0), parts: parts.iter().map(part).collect() }
    }

    fn two() -> Stability {
        Stability::new(&[Lsn(0); 2], Epoch(0))
    }

    #[test]
    fn without_transactions_durable_is_stable() {
        let mut known = two();
        assert!(known.learn(A, reach(5, &[])));
        assert_eq!((known.stable(A), known.stable(B)), (Lsn(5), Lsn(0)));
    }

    #[test]
    fn a_part_waits_for_its_sibling() {
        let mut known = two();
        known.learn(A, reach(9, &[(5, &[(B, 7)])]));
        assert_eq!(known.stable(A), Lsn(4));
        known.learn(B, reach(6, &[]));
        assert_eq!((known.stable(A), known.stable(B)), (Lsn(4), Lsn(6)));
        assert!(known.learn(B, reach(7, &[(7, &[(A, 5)])])));
        assert_eq!((known.stable(A), known.stable(B)), (Lsn(9), Lsn(7)));
    }

    /// t1 before t2 on one shard, behind it on the other: each waits for the other, and both are stable together.
    #[test]
    fn transactions_in_each_others_way_are_stable_together() {
        let mut known = two();
        known.learn(A, reach(9, &[(5, &[(B, 7)]), (9, &[(B, 3)])]));
        known.learn(B, reach(5, &[(3, &[(A, 9)])]));
        // t1's part on B is not durable, so A ends before 5, so t2's part on A is out, so B ends before 3.
        assert_eq!((known.stable(A), known.stable(B)), (Lsn(4), Lsn(2)));
        known.learn(B, reach(7, &[(7, &[(A, 5)])]));
        assert_eq!((known.stable(A), known.stable(B)), (Lsn(9), Lsn(7)));
    }

    #[test]
    fn a_shard_tells_no_more_than_its_placed_parts() {
        let mut parts = Parts::default();
        let durable = |lsn| DurablePoint { frame: 1, lsn: Lsn(lsn), sealed: Epoch(0) };
        assert_eq!(parts.progress(durable(0)), None);
        parts.appended(Lsn(3), 70);
        parts.appended(Lsn(5), 71);
        assert_eq!(parts.progress(durable(9)), Some(reach(2, &[])));
        parts.placed(71, &[(B, Lsn(1))]);
        assert_eq!(parts.progress(durable(9)), None);
        parts.placed(70, &[(B, Lsn(2))]);
        assert_eq!(parts.progress(durable(9)), Some(reach(9, &[(3, &[(B, 2)]), (5, &[(B, 1)])])));
        assert_eq!(parts.progress(durable(9)), None);
    }

    #[test]
    fn an_epoch_is_durable_when_it_is_on_all_shards() {
        let mut known = two();
        known.learn(A, Progress { sealed: Epoch(4), ..Progress::default() });
        assert_eq!(known.durable_epoch(), Epoch(0));
        assert!(known.learn(B, Progress { sealed: Epoch(3), ..Progress::default() }));
        assert_eq!(known.durable_epoch(), Epoch(3));
    }
}
