//! One shard's log in one run, put together out of its segments: how far it goes, and whether where it ends is what a crash
//! leaves or what something broke later.

use std::collections::BTreeMap;

use pinyon_base::ShardId;

use crate::error::RecoveryError;
use crate::ids::{Epoch, Lsn};
use crate::manifest::{LogRef, RunRef};
use crate::names::SegmentName;
use crate::scan::{Sealed, SegmentScan};

/// The scans of a store's segments. One that could not be scanned has its error in its place.
pub type Scans = BTreeMap<SegmentName, Result<SegmentScan, RecoveryError>>;

/// A place in a file, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub offset: u64,
    pub why: Option<&'static str>,
}

/// How far a log goes.
#[derive(Clone, Debug)]
pub struct ShardLog {
    pub shard: ShardId,
    /// The last record that is there whole, with all before it.
    pub last: Lsn,
    /// The number that the next frame would have.
    pub next_frame: u64,
    pub end: Place,
    /// Whole frames behind the end.
    pub beyond: u64,
    pub seals: Vec<Sealed>,
    /// The last segment with something of it.
    pub last_segment: u64,
    /// What its frames say at most.
    pub durable: u64,
    pub durable_epoch: Epoch,
    pub epoch: Epoch,
    /// A segment that had to be there, and is not or cannot be read.
    pub lost_segment: Option<SegmentName>,
}

impl ShardLog {
    /// Follows the log of `shard` from where the manifest says that it begins.
    pub fn follow(run: &RunRef, shard: ShardId, log: &LogRef, scans: &Scans) -> ShardLog {
        let name = |segment| SegmentName { run: run.run, shard, segment };
        let start = log.start;
        let mut found = ShardLog {
            shard,
            last: Lsn(start.lsn.0 - 1),
            next_frame: start.frame,
            end: Place { file: name(start.segment).path(), offset: 0, why: None },
            beyond: 0,
            seals: Vec::new(),
            last_segment: start.segment,
            durable: 0,
            durable_epoch: Epoch(0),
            epoch: run.base_epoch,
            lost_segment: None,
        };
        let last_named = log.end.map_or(u64::MAX, |(segment, _)| segment);
        let all = || scans.range(name(start.segment)..=name(last_named));
        for scan in all().filter_map(|(_, scan)| scan.as_ref().ok()) {
            found.durable = found.durable.max(scan.durable);
            found.durable_epoch = found.durable_epoch.max(scan.durable_epoch);
            found.epoch = found.epoch.max(scan.epoch);
            found.beyond += scan.frames() + scan.beyond;
        }
        let last_present = all().next_back().map_or(start.segment, |(name, _)| name.segment);
        let mut begun = start.lsn;
        for segment in start.segment..=last_present {
            match scans.get(&name(segment)) {
                Some(Ok(scan)) => {
                    if !found.take(scan, &mut begun) {
                        break;
                    }
                }
                Some(Err(_)) | None => {
                    found.lost_segment = Some(name(segment));
                    break;
                }
            }
        }
        found
    }

    /// The frames of the next segment, if they follow. `false`: the log ends here, or before.
    fn take(&mut self, scan: &SegmentScan, begun: &mut Lsn) -> bool {
        let file = scan.header.name().path();
        let (Some(first), Some(last)) = (&scan.first, &scan.last) else {
            // What was wrong before it comes first.
            if self.end.offset == 0 || self.end.why.is_none() && scan.end_why.is_some() {
                self.end = Place { file, offset: scan.end, why: scan.end_why };
            }
            return false;
        };
        if first.number != self.next_frame || first.first_lsn != *begun {
            self.end.why = self.end.why.or(Some("frames are missing"));
            return false;
        }
        *begun = last.next_lsn();
        self.next_frame = last.number + 1;
        self.last = last.last_complete();
        self.last_segment = scan.header.segment;
        self.seals.extend(&scan.seals);
        self.beyond -= scan.frames();
        self.end = Place { file, offset: scan.end, why: scan.end_why };
        true
    }

    /// The last epoch that is sealed in it.
    pub fn sealed(&self, base: Epoch) -> Epoch {
        self.seals.last().map_or(base, |seal| seal.epoch)
    }

    /// What is wrong with it, beyond what a crash leaves: `everywhere` is the last epoch that any shard calls durable on all.
    pub fn damage(&self, base: Epoch, everywhere: Epoch, scans: &mut Scans) -> Option<RecoveryError> {
        if let Some(lost) = self.lost_segment {
            let missing = || RecoveryError::Missing { file: lost.path(), repairable: true };
            return Some(scans.remove(&lost).and_then(Result::err).unwrap_or_else(missing));
        }
        let evidence = if self.durable >= self.next_frame {
            format!(
                "a later frame says that frames were durable up to {}, and {} is broken",
                self.durable, self.next_frame
            )
        } else if self.sealed(base) < everywhere {
            format!("epoch {} is said to be durable on all shards, and it is not in this log", everywhere.0)
        } else {
            return None;
        };
        Some(self.damaged(evidence))
    }

    /// The error that says that the log goes on no further, though it must.
    pub fn damaged(&self, evidence: String) -> RecoveryError {
        let Place { file, offset, why } = self.end.clone();
        let why = why.unwrap_or("the log ends");
        RecoveryError::LogDamaged { file, offset, why, shard: self.shard, lsn: self.last.next(), evidence }
    }

    /// What a crash left behind the end: something broken, or frames that lost one before them.
    pub fn torn(&self) -> Option<TornTail> {
        (self.end.why.is_some() || self.beyond > 0).then(|| TornTail {
            shard: self.shard,
            place: self.end.clone(),
            frames_beyond: self.beyond,
        })
    }
}

/// The end of a log that was being written when the power went, or the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub shard: ShardId,
    pub place: Place,
    /// Whole frames behind it, which are left out with it.
    pub frames_beyond: u64,
}

impl std::fmt::Display for TornTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { file, offset, why } = &self.place;
        let why = why.unwrap_or("frames are missing");
        write!(f, "the log of shard {} ends at byte {offset} of {file} ({why})", self.shard.0)?;
        if self.frames_beyond > 0 {
            write!(f, "; {} whole frames behind that are left out", self.frames_beyond)?;
        }
        Ok(())
    }
}
