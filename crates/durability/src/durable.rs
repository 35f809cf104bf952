//! Who waits for what on one core: replies until their record is stable, WAITAOF until its epoch is durable, reads until the
//! last write of their key is stable.
//!
//! A pure state machine over [`Stability`]: tokens go in with what they wait for and come out when they may go. What a token
//! stands for is the caller's. Lsns are those of this core's shard; a transaction over shards waits on any one of them, for
//! a part is stable only with all others.

use std::collections::VecDeque;

use pinyon_base::ShardId;

use crate::flight::DurablePoint;
use crate::ids::{Epoch, Lsn};
use crate::stability::{Parts, Progress, Stability};

/// What a token waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// This record of the own shard is stable, and the epoch in which `always` began is durable.
    Stable(Lsn),
    /// This epoch is durable on all shards.
    Epoch(Epoch),
}

/// Lsns of the last writes by key, in a table that is never searched: a key's place is its hash's lowest bits. Keys that share
/// a place make a read wait for a write of another key, which costs time and nothing else.
pub struct RecentWrites {
    places: Vec<Lsn>,
    /// A write of all keys (FLUSHALL, SWAPDB).
    all: Lsn,
    last: Lsn,
}

impl RecentWrites {
    /// `places`: a power of two, some times the writes that are not stable at any moment.
    pub fn new(places: usize) -> RecentWrites {
        assert!(places.is_power_of_two());
        RecentWrites { places: vec![Lsn(0); places], all: Lsn(0), last: Lsn(0) }
    }

    fn place(&self, hash: u64) -> usize {
        (hash & (self.places.len() as u64 - 1)) as usize
    }

    /// The key with this hash (of database and key) was written, or deleted, by record `lsn`.
    pub fn wrote(&mut self, hash: u64, lsn: Lsn) {
        let place = self.place(hash);
        self.places[place] = lsn;
        self.last = lsn;
    }

    pub fn wrote_all(&mut self, lsn: Lsn) {
        (self.all, self.last) = (lsn, lsn);
    }

    /// The record that a read of this key has to wait for, if it is behind `stable`.
    pub fn unstable(&self, hash: u64, stable: Lsn) -> Option<Lsn> {
        if self.last <= stable {
            return None;
        }
        let lsn = self.places[self.place(hash)].max(self.all);
        (lsn > stable).then_some(lsn)
    }

    /// What a read of all keys (KEYS, DBSIZE) has to wait for.
    pub fn unstable_any(&self, stable: Lsn) -> Option<Lsn> {
        (self.last > stable).then_some(self.last)
    }
}

/// The waiting room of one core.
pub struct Durable {
    shard: ShardId,
    stability: Stability,
    parts: Parts,
    /// In order of their lsns.
    stable: VecDeque<(Lsn, u64)>,
    epochs: Vec<(Epoch, u64)>,
    /// Replies wait until this epoch is durable: the last one before `always` was switched on.
    always_after: Epoch,
    recent: RecentWrites,
}

impl Durable {
    /// For a run's start: see [`Stability::new`].
    pub fn new(shard: ShardId, before: &[Lsn], epoch: Epoch, places: usize) -> Durable {
        Durable {
            shard,
            stability: Stability::new(before, epoch),
            parts: Parts::default(),
            stable: VecDeque::new(),
            epochs: Vec::new(),
            always_after: epoch,
            recent: RecentWrites::new(places),
        }
    }

    /// `appendfsync always` is on from the epoch after `sealed` on.
    pub fn always_after(&mut self, sealed: Epoch) {
        self.always_after = sealed;
    }

    /// A record of this shard changed the key with this hash.
    pub fn wrote(&mut self, hash: u64, lsn: Lsn) {
        self.recent.wrote(hash, lsn);
    }

    pub fn wrote_all(&mut self, lsn: Lsn) {
        self.recent.wrote_all(lsn);
    }

    /// This shard's part of a transaction was logged; [`Durable::placed`] follows when all are.
    pub fn part(&mut self, lsn: Lsn, transaction: u64) {
        self.parts.appended(lsn, transaction);
    }

    /// Where all parts of a transaction lie of which one is here.
    pub fn placed(&mut self, transaction: u64, parts: &[(ShardId, Lsn)]) {
        self.parts.placed(transaction, parts);
    }

    /// The own log's progress, if there is any: learned here, and to be told to the others, in order.
    pub fn advance(&mut self, durable: DurablePoint) -> Option<Progress> {
        let progress = self.parts.progress(durable)?;
        self.stability.learn(self.shard, progress.clone());
        Some(progress)
    }

    /// Another shard's progress.
    pub fn learn(&mut self, shard: ShardId, progress: Progress) {
        self.stability.learn(shard, progress);
    }

    /// The last record of the own shard that is stable and may be shown.
    pub fn stable(&self) -> Lsn {
        self.stable_on(self.shard)
    }

    /// As [`Durable::stable`], of any shard.
    pub fn stable_on(&self, shard: ShardId) -> Lsn {
        if self.always_after > self.stability.durable_epoch() {
            return Lsn(0);
        }
        self.stability.stable(shard)
    }

    pub fn durable_epoch(&self) -> Epoch {
        self.stability.durable_epoch()
    }

    /// The record that a read of the key with this hash has to wait for under `always`.
    pub fn unstable(&self, hash: u64) -> Option<Lsn> {
        self.recent.unstable(hash, self.stable())
    }

    pub fn unstable_any(&self) -> Option<Lsn> {
        self.recent.unstable_any(self.stable())
    }

    pub fn is_over(&self, waiting: Waiting) -> bool {
        match waiting {
            Waiting::Stable(lsn) => lsn <= self.stable(),
            Waiting::Epoch(epoch) => epoch <= self.stability.durable_epoch(),
        }
    }

    /// Keeps a token until what it waits for has happened. Tokens that wait for records come out in the order of these.
    pub fn wait(&mut self, waiting: Waiting, token: u64) {
        match waiting {
            Waiting::Stable(lsn) => {
                let at = self.stable.partition_point(|(other, _)| *other <= lsn);
                self.stable.insert(at, (lsn, token));
            }
            Waiting::Epoch(epoch) => self.epochs.push((epoch, token)),
        }
    }

    /// Gives the tokens that may go to `to`.
    pub fn release(&mut self, mut to: impl FnMut(u64)) {
        let stable = self.stable();
        while self.stable.front().is_some_and(|(lsn, _)| *lsn <= stable) {
            if let Some((_, token)) = self.stable.pop_front() {
                to(token);
            }
        }
        let durable = self.stability.durable_epoch();
        self.epochs.retain(|(epoch, token)| {
            let over = *epoch <= durable;
            if over {
                to(*token);
            }
            !over
        });
    }

    /// Tokens that wait.
    pub fn waiting(&self) -> usize {
        self.stable.len() + self.epochs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released(durable: &mut Durable) -> Vec<u64> {
        let mut tokens = Vec::new();
        durable.release(|token| tokens.push(token));
        tokens
    }

    fn point(lsn: u64, sealed: u64) -> DurablePoint {
        DurablePoint { frame: 1, lsn: Lsn(lsn), sealed: Epoch(sealed) }
    }

    #[test]
    fn replies_leave_in_order_when_stable() {
        let mut core = Durable::new(ShardId(0), &[Lsn(0); 2], Epoch(0), 16);
        core.wait(Waiting::Stable(Lsn(2)), 20);
        core.wait(Waiting::Stable(Lsn(1)), 10);
        core.wait(Waiting::Stable(Lsn(2)), 21);
        assert_eq!(released(&mut core), []);
        core.advance(point(1, 0));
        assert_eq!(released(&mut core), [10]);
        core.advance(point(5, 0));
        assert_eq!(released(&mut core), [20, 21]);
        assert_eq!(core.waiting(), 0);
    }

    #[test]
    fn an_epoch_is_waited_for_on_all_shards() {
        let mut core = Durable::new(ShardId(0), &[Lsn(0); 2], Epoch(4), 16);
        core.wait(Waiting::Epoch(Epoch(5)), 1);
        core.advance(point(9, 5));
        assert_eq!(released(&mut core), []);
        core.learn(ShardId(1), Progress { sealed: Epoch(5), ..Progress::default() });
        assert_eq!(released(&mut core), [1]);
    }

    #[test]
    fn always_begins_when_what_was_before_is_durable() {
        let mut core = Durable::new(ShardId(0), &[Lsn(0)], Epoch(0), 16);
        core.always_after(Epoch(1));
        core.wait(Waiting::Stable(Lsn(2)), 1);
        core.advance(point(2, 0));
        assert_eq!(released(&mut core), []);
        core.advance(point(2, 1));
        assert_eq!(released(&mut core), [1]);
    }

    #[test]
    fn reads_wait_for_the_last_write_of_their_key_alone() {
        let mut core = Durable::new(ShardId(0), &[Lsn(0)], Epoch(0), 16);
        assert_eq!(core.unstable(3), None);
        core.wrote(3, Lsn(1));
        core.wrote(4, Lsn(2));
        assert_eq!((core.unstable(3), core.unstable(4), core.unstable(5)), (Some(Lsn(1)), Some(Lsn(2)), None));
        assert_eq!(core.unstable_any(), Some(Lsn(2)));
        core.advance(point(1, 0));
        assert_eq!((core.unstable(3), core.unstable(4)), (None, Some(Lsn(2))));
        core.wrote_all(Lsn(3));
        assert_eq!((core.unstable(5), core.unstable(4)), (Some(Lsn(3)), Some(Lsn(3))));
        core.advance(point(3, 0));
        assert_eq!((core.unstable(5), core.unstable_any()), (None, None));
    }
}
