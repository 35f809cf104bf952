//! Frames on their way to the disk, and how far the log is durable.
//!
//! A frame becomes durable by itself when it was written with the sync in the write, or by a sync of its segment that was
//! begun after its write had ended. The log is durable up to the last frame before which there is no other that is not.

use std::collections::VecDeque;

use crate::ids::{Epoch, Lsn};

/// Everything before this is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurablePoint {
    /// The last durable frame.
    pub frame: u64,
    /// The last record that is durable whole.
    pub lsn: Lsn,
    /// The last epoch whose seal is durable.
    pub sealed: Epoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Sent,
    Written,
    /// Written, and a sync that covers it is under way.
    Syncing,
    Durable,
}

struct Frame {
    segment: u64,
    last_lsn: Lsn,
    seals: Option<Epoch>,
    stage: Stage,
}

/// The frames that are not durable, or lie behind one that is not, in their order.
pub struct Flight {
    frames: VecDeque<Frame>,
    durable: DurablePoint,
    writes: usize,
    /// Frames up to this one are to be synced.
    sync_to: u64,
}

impl Flight {
    pub fn new(durable: DurablePoint) -> Flight {
        Flight { frames: VecDeque::new(), durable, writes: 0, sync_to: 0 }
    }

    pub fn durable(&self) -> DurablePoint {
        self.durable
    }

    /// Writes that have not ended.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// Every frame sent is durable.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The segment of the oldest frame that is not durable.
    pub fn oldest_segment(&self) -> Option<u64> {
        self.frames.front().map(|frame| frame.segment)
    }

    /// The next frame is on its way.
    pub fn sent(&mut self, segment: u64, last_lsn: Lsn, seals: Option<Epoch>) {
        self.writes += 1;
        let stage = if cfg!(feature = "planted-reply-before-sync") { Stage::Durable } else { Stage::Sent };
        self.frames.push_back(Frame { segment, last_lsn, seals, stage });
        self.advance();
    }

    /// The write of frame `number` has ended well; `synced` if the sync was part of it.
    pub fn written(&mut self, number: u64, synced: bool) {
        self.writes -= 1;
        if let Some(frame) = self.frame_mut(number) {
            frame.stage = if synced { Stage::Durable } else { Stage::Written };
        }
        self.advance();
    }

    /// All frames up to `number` are to become durable.
    pub fn want_sync(&mut self, number: u64) {
        self.sync_to = self.sync_to.max(number);
    }

    /// A segment whose sync would bring something and has to begin now: its frames that are to be synced are all written.
    pub fn begin_sync(&mut self) -> Option<u64> {
        let first = self.durable.frame + 1;
        let wanted = (self.sync_to + 1).saturating_sub(first) as usize;
        let wanted = wanted.min(self.frames.len());
        let mut at = 0;
        while at < wanted {
            let segment = self.frames[at].segment;
            let of_it = || self.frames.iter().take(wanted).skip(at).take_while(|frame| frame.segment == segment);
            let is = |stage| of_it().any(|frame| frame.stage == stage);
            if is(Stage::Written) && !is(Stage::Sent) && !self.is_syncing(segment) {
                let written = |frame: &&mut Frame| frame.segment == segment && frame.stage == Stage::Written;
                self.frames.iter_mut().filter(written).for_each(|frame| frame.stage = Stage::Syncing);
                return Some(segment);
            }
            at += of_it().count();
        }
        None
    }

    fn is_syncing(&self, segment: u64) -> bool {
        self.frames.iter().any(|frame| frame.segment == segment && frame.stage == Stage::Syncing)
    }

    /// The sync of `segment` has ended well.
    pub fn synced(&mut self, segment: u64) {
        let covered = |frame: &&mut Frame| frame.segment == segment && frame.stage == Stage::Syncing;
        self.frames.iter_mut().filter(covered).for_each(|frame| frame.stage = Stage::Durable);
        self.advance();
    }

    fn frame_mut(&mut self, number: u64) -> Option<&mut Frame> {
        let at = number.checked_sub(self.durable.frame + 1)?;
        self.frames.get_mut(at as usize)
    }

    fn advance(&mut self) {
        while self.frames.front().is_some_and(|frame| frame.stage == Stage::Durable) {
            let Some(frame) = self.frames.pop_front() else { return };
            self.durable.frame += 1;
            self.durable.lsn = frame.last_lsn;
            self.durable.sealed = frame.seals.unwrap_or(self.durable.sealed);
        }
        if cfg!(feature = "planted-early-seal") {
            let early =
                self.frames.iter().filter(|frame| frame.stage == Stage::Durable).filter_map(|frame| frame.seals);
            self.durable.sealed = early.max().unwrap_or_default().max(self.durable.sealed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(segments: &[u64]) -> Flight {
        let mut flight = Flight::new(DurablePoint::default());
        for (i, segment) in segments.iter().enumerate() {
            flight.sent(*segment, Lsn(10 * (i as u64 + 1)), (i == 1).then_some(Epoch(5)));
        }
        flight
    }

    #[test]
    fn a_frame_counts_only_with_all_before_it() {
        let mut flight = flight(&[1, 1, 1]);
        flight.written(2, true);
        assert_eq!(flight.durable(), DurablePoint::default());
        flight.written(1, true);
        assert_eq!(flight.durable(), DurablePoint { frame: 2, lsn: Lsn(20), sealed: Epoch(5) });
        assert_eq!((flight.writes(), flight.is_empty()), (1, false));
    }

    #[test]
    fn a_sync_covers_what_was_written_when_it_began() {
        let mut flight = flight(&[1, 1, 1]);
        flight.written(1, false);
        flight.want_sync(2);
        assert_eq!(flight.begin_sync(), None, "frame 2 is not written");
        flight.written(2, false);
        assert_eq!(flight.begin_sync(), Some(1));
        flight.written(3, false);
        flight.want_sync(3);
        assert_eq!(flight.begin_sync(), None, "one sync of a segment at a time");
        flight.synced(1);
        assert_eq!(flight.durable().frame, 2);
        assert_eq!(flight.begin_sync(), Some(1));
        flight.synced(1);
        assert_eq!((flight.durable().frame, flight.is_empty()), (3, true));
    }

    #[test]
    fn segments_are_synced_each_by_itself() {
        let mut flight = flight(&[1, 2]);
        flight.written(1, false);
        flight.written(2, false);
        flight.want_sync(2);
        assert_eq!((flight.begin_sync(), flight.begin_sync(), flight.begin_sync()), (Some(1), Some(2), None));
        flight.synced(2);
        assert_eq!(flight.durable().frame, 0);
        flight.synced(1);
        assert_eq!(flight.durable().frame, 2);
    }
}
