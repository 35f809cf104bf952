//! Where recovery cuts the logs of a run that was not closed.
//!
//! Every epoch that is sealed on all shards is kept whole. Behind that, `everysec` and `no` keep nothing, for a later write
//! must not survive an earlier one on another core. `always` keeps the stable prefix of each shard: the longest that holds no
//! part of a transaction whose other parts are not inside the stable prefixes of their own shards. What lies behind a
//! missing part is dropped with it, because it may have been computed from it; nothing there was ever acknowledged.

use std::collections::BTreeMap;

use pinyon_base::ShardId;

use crate::disk::Disk;
use crate::error::RecoveryError;
use crate::frame::{Look, flag};
use crate::history::ShardLog;
use crate::ids::{Epoch, Lsn, RunId, ServerId};
use crate::manifest::LogRef;
use crate::names::SegmentName;
use crate::record::{Assembler, Malformed, Part};
use crate::scan::SegmentBytes;

/// What decided where the logs are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The last epoch sealed on every shard.
    Epoch,
    /// What is stable behind it, too.
    StablePrefix,
}

/// Where the logs are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub rule: Rule,
    /// The last epoch that is there whole.
    pub epoch: Epoch,
    /// The last record kept, by shard.
    pub ends: Vec<Lsn>,
}

/// What a shard has behind the last epoch that is sealed everywhere.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The last record of that epoch.
    pub base: Lsn,
    /// The last record that was written under `always`, without a gap from there.
    pub reach: Lsn,
    /// The parts between the two.
    pub parts: Vec<(Lsn, Part)>,
}

/// The shards' stable prefixes.
pub fn stable_prefix(tails: &[Tail]) -> Vec<Lsn> {
    let mut ends: Vec<Lsn> = tails.iter().map(|tail| tail.reach).collect();
    if cfg!(feature = "planted-half-transaction") {
        return ends;
    }
    let mut places: BTreeMap<(u64, ShardId), Lsn> = BTreeMap::new();
    for (shard, tail) in tails.iter().enumerate() {
        places.extend(tail.parts.iter().map(|(lsn, part)| ((part.transaction, ShardId(shard as u16)), *lsn)));
    }
    let inside = |transaction: u64, shard: ShardId, ends: &[Lsn]| {
        places.get(&(transaction, shard)).is_some_and(|lsn| *lsn <= ends[usize::from(shard.0)])
    };
    let mut changed = true;
    while changed {
        changed = false;
        for (shard, tail) in tails.iter().enumerate() {
            let lacking = tail.parts.iter().find(|(lsn, part)| {
                *lsn <= ends[shard] && part.shards.iter().any(|other| !inside(part.transaction, *other, &ends))
            });
            if let Some((lsn, _)) = lacking {
                ends[shard] = Lsn(lsn.0 - 1);
                changed = true;
            }
        }
    }
    ends
}

/// Reads what `log` has behind epoch `epoch`, which is sealed in it or is the one that it begins after.
pub fn read_tail(
    disk: &dyn Disk,
    server: ServerId,
    run: RunId,
    log: &ShardLog,
    at: &LogRef,
    epoch: Epoch,
) -> Result<Tail, RecoveryError> {
    let seal = log.seals.iter().find(|seal| seal.epoch == epoch);
    let (base, first_frame, first_segment) = match seal {
        Some(seal) => (seal.lsn, seal.number + 1, seal.segment),
        None => (Lsn(at.start.lsn.0 - 1), at.start.frame, at.start.segment),
    };
    let mut tail = Tail { base, reach: base, parts: Vec::new() };
    if log.next_frame == first_frame {
        return Ok(tail);
    }
    let mut records = Assembler::new(base.next());
    for segment in first_segment..=log.last_segment {
        let name = SegmentName { run, shard: log.shard, segment };
        let segment = SegmentBytes::read(disk, name, server)?;
        let mut offset = u64::from(segment.header.align);
        while let Look::Frame(header) = segment.look(offset) {
            let frame = segment.frame(offset, &header);
            if header.number >= log.next_frame || header.number >= first_frame && !header.has(flag::ALWAYS) {
                return Ok(tail);
            }
            if header.number >= first_frame {
                let malformed = |why| RecoveryError::Malformed { file: name.path(), offset, why };
                let payload = header.payload(frame).ok_or_else(|| malformed("it cannot be unpacked"))?;
                let mut take = || -> Result<(), Malformed> {
                    records.push(&header, &payload)?;
                    while let Some(record) = records.next_record()? {
                        tail.reach = record.lsn;
                        tail.parts.extend(record.part.map(|part| (record.lsn, part)));
                    }
                    Ok(())
                };
                take().map_err(|error| malformed(error.why))?;
            }
            offset += header.extent(segment.header.align);
        }
    }
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(lsn: u64, transaction: u64, shards: &[u16]) -> (Lsn, Part) {
        (Lsn(lsn), Part { transaction, shards: shards.iter().map(|shard| ShardId(*shard)).collect() })
    }

    fn tail(reach: u64, parts: Vec<(Lsn, Part)>) -> Tail {
        Tail { base: Lsn(0), reach: Lsn(reach), parts }
    }

    #[test]
    fn what_lies_behind_a_missing_part_is_dropped_with_it() {
        let tails = [
            tail(9, vec![part(4, 1, &[0, 1]), part(6, 2, &[0, 2])]),
            tail(3, vec![]),
            tail(5, vec![part(5, 2, &[0, 2])]),
        ];
        assert_eq!(stable_prefix(&tails), [Lsn(3), Lsn(3), Lsn(4)]);
    }

    #[test]
    fn transactions_in_each_others_way_are_kept_if_both_are_whole() {
        let a = tail(9, vec![part(5, 1, &[0, 1]), part(9, 2, &[0, 1])]);
        let b = |reach, parts| tail(reach, parts);
        let both = b(7, vec![part(3, 2, &[0, 1]), part(7, 1, &[0, 1])]);
        assert_eq!(stable_prefix(&[a.clone(), both]), [Lsn(9), Lsn(7)]);
        let short = b(5, vec![part(3, 2, &[0, 1])]);
        assert_eq!(stable_prefix(&[a, short]), [Lsn(4), Lsn(2)]);
    }

    proptest! {
        /// Against the definition: no prefix holds a part without its siblings, and none could be longer by anything that
        /// keeps that so (all solutions are below the greatest one).
        #[test]
        fn it_is_the_greatest_solution(
            placed in prop::collection::vec((1u64..4, 1u64..4), 0..4), reach in prop::array::uniform2(0u64..5),
        ) {
            let mut tails = [tail(reach[0], vec![]), tail(reach[1], vec![])];
            for (transaction, (a, b)) in placed.iter().enumerate() {
                for (tail, lsn) in tails.iter_mut().zip([a, b]) {
                    if Lsn(*lsn) <= tail.reach {
                        tail.parts.push(part(*lsn, transaction as u64, &[0, 1]));
                    }
                }
            }
            for tail in &mut tails {
                tail.parts.sort_by_key(|(lsn, _)| *lsn);
            }
            let whole = |ends: [u64; 2]| placed.iter().all(|(a, b)| (*a <= ends[0]) == (*b <= ends[1]));
            let mut best = [0, 0];
            for a in 0..=reach[0] {
                for b in 0..=reach[1] {
                    if whole([a, b]) {
                        best = [best[0].max(a), best[1].max(b)];
                    }
                }
            }
            if !cfg!(feature = "planted-half-transaction") {
                prop_assert_eq!(stable_prefix(&tails), best.map(Lsn).to_vec());
            }
        }
    }
}
