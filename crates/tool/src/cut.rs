//! Where a store can be cut: at the ends of epochs that all shards have.
//!
//! A cut makes every run of the manifest a closed one, so that a start replays exactly what lies before it, and takes what
//! lies behind it in the copied files for no damage.

use std::collections::BTreeMap;

use pinyon_base::ShardId;
use pinyon_durability::history::{Scans, ShardLog};
use pinyon_durability::manifest::{LogRef, RunRef};
use pinyon_durability::scan::Sealed;
use pinyon_durability::{Epoch, Manifest, Plan};

use crate::when::{self, Until};

/// A store's history up to one moment.
pub struct Cut {
    /// Its runs are closed.
    pub manifest: Manifest,
    pub epoch: Epoch,
    /// Unix milliseconds of its end, if anything was logged.
    pub time: Option<u64>,
}

/// What `manifest` can give: from its snapshot to the last epoch that is whole.
pub struct Span {
    pub first: Epoch,
    pub first_time: Option<u64>,
    pub last: Epoch,
    pub last_time: Option<u64>,
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |time: Option<u64>| time.map(|time| format!(" ({})", when::write(time))).unwrap_or_default();
        let (first, last) = (self.first.0, self.last.0);
        write!(f, "epochs {first}{} to {last}{}", time(self.first_time), time(self.last_time))
    }
}

/// The epochs of a run that all its shards have sealed: by shard, where.
fn epochs_of(run: &RunRef, scans: &Scans) -> BTreeMap<Epoch, Vec<Sealed>> {
    let mut epochs: BTreeMap<Epoch, Vec<Sealed>> = BTreeMap::new();
    for (shard, log) in run.logs.iter().enumerate() {
        let found = ShardLog::follow(run, ShardId(shard as u16), log, scans);
        // Behind a closed run's end lies what is no history.
        let end = log.end.map_or(u64::MAX, |(_, lsn)| lsn.0);
        for seal in found.seals.into_iter().filter(|seal| seal.lsn.0 <= end) {
            epochs.entry(seal.epoch).or_default().push(seal);
        }
    }
    epochs.retain(|_, seals| seals.len() == run.logs.len());
    epochs
}

pub fn span(manifest: &Manifest, scans: &Scans) -> Span {
    let first = manifest.snapshot.as_ref().map_or(Epoch(0), |snapshot| snapshot.epoch);
    let first_time = manifest.snapshot.as_ref().map(|snapshot| snapshot.time);
    let mut span = Span { first, first_time, last: first, last_time: first_time };
    for run in &manifest.runs {
        if let Some((epoch, seals)) = epochs_of(run, scans).pop_last() {
            span.last = epoch.max(span.last);
            span.last_time = time_of(&seals).max(span.last_time);
        }
    }
    span
}

fn time_of(seals: &[Sealed]) -> Option<u64> {
    seals.iter().map(|seal| seal.time).max()
}

/// Cuts at the last epoch up to `until`, if the store goes back that far.
pub fn at(manifest: &Manifest, scans: &Scans, until: Option<Until>) -> Option<Cut> {
    let span = span(manifest, scans);
    let is_before = |epoch: Epoch, time: Option<u64>| match until {
        None => true,
        Some(Until::Epoch(last)) => epoch.0 <= last,
        Some(Until::Time(last)) => time.is_none_or(|time| time <= last),
    };
    if !is_before(span.first, span.first_time) {
        return None;
    }
    let mut cut =
        Cut { manifest: Manifest { runs: Vec::new(), ..manifest.clone() }, epoch: span.first, time: span.first_time };
    let whole = until.is_none();
    for (number, run) in manifest.runs.iter().enumerate() {
        let epochs = epochs_of(run, scans);
        let next_base = manifest.runs.get(number + 1).map(|next| next.base_epoch);
        let last = epochs.iter().rev().find(|(epoch, seals)| is_before(**epoch, time_of(seals)));
        // A closed run is taken up to its end, which may lie behind its last epoch, if what follows is wanted, too.
        let goes_on = whole && !run.is_open()
            || next_base.is_some_and(|base| goes_beyond(manifest, scans, number + 1, base, &is_before));
        if goes_on {
            cut.manifest.runs.push(run.clone());
            if let Some((epoch, seals)) = epochs.last_key_value() {
                (cut.epoch, cut.time) = (*epoch, time_of(seals));
            }
            continue;
        }
        let Some((epoch, seals)) = last else { break };
        let ended = |(log, seal): (&LogRef, &Sealed)| LogRef { start: log.start, end: Some((seal.segment, seal.lsn)) };
        let logs = run.logs.iter().zip(seals).map(ended).collect();
        cut.manifest.runs.push(RunRef { logs, ..run.clone() });
        (cut.epoch, cut.time) = (*epoch, time_of(seals));
        break;
    }
    Some(cut)
}

/// Whether anything of the run `number`, or of a later one, is wanted.
fn goes_beyond(
    manifest: &Manifest,
    scans: &Scans,
    number: usize,
    base: Epoch,
    is_before: &dyn Fn(Epoch, Option<u64>) -> bool,
) -> bool {
    let wanted = |run: &RunRef| epochs_of(run, scans).iter().any(|(epoch, seals)| is_before(*epoch, time_of(seals)));
    is_before(base, None) && manifest.runs[number..].iter().any(wanted)
}

/// Cuts where a start would.
pub fn as_planned(plan: &Plan, span: &Span) -> Cut {
    let runs = plan.runs.iter().map(|run| RunRef {
        run: run.run,
        base_epoch: run.base_epoch,
        logs: run.logs.iter().map(|log| LogRef { start: log.start, end: Some((log.end_segment, log.end)) }).collect(),
    });
    let manifest = Manifest { runs: runs.collect(), ..plan.manifest.clone() };
    Cut { manifest, epoch: span.last, time: span.last_time }
}
