//! When a snapshot is due by itself: the `save` points, logs that have grown (`auto-aof-rewrite-percentage`), and the base that
//! logs started at run time have to have.
//!
//! The first core decides. The others tell it once when something has changed since it looked last, so that nobody wakes on a
//! server where nothing changes.

use pinyon_runtime::CoreId;

use crate::config::Config;
use crate::core::{Core, Io, Mail};
use crate::log::Errand;

use super::Wish;

/// How often the first core looks while there are changes, in µs.
const LOOK_US: u64 = 200_000;
/// After a failure, this long passes before the next attempt, in ms.
const RETRY_MS: i64 = 5_000;

/// So many changes within so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: i64,
    pub changes: u64,
}

/// How much one shard has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grown {
    /// Changes since the last snapshot.
    changes: u64,
    /// Bytes of its log since then.
    log_bytes: u64,
}

/// What the first core was told of this one's changes.
#[derive(Default)]
pub(crate) struct Told {
    /// That there are some: it has not looked since.
    is_told: bool,
    /// How things were when it looked last.
    seen: Grown,
}

impl Core {
    fn grown(&self) -> Grown {
        Grown { changes: self.exec.stats.dirty, log_bytes: self.exec.log.as_ref().map_or(0, |log| log.grown_bytes()) }
    }

    /// Tells the first core of changes that it does not know of; there, looks whether a snapshot is due.
    pub(super) fn look_at_save_points(&mut self, io: &mut Io) {
        let may_matter = self.exec.log.is_some() || !self.config.save.is_empty();
        if may_matter && !self.told_changes.is_told && self.grown() != self.told_changes.seen {
            self.told_changes.is_told = true;
            let errand: Errand = Box::new(|core, _| core.saves.look_wanted = true);
            match self.id {
                CoreId(0) => self.saves.look_wanted = true,
                _ => io.mail(CoreId(0), Mail::Errand(errand)),
            }
        }
        let is_due = self.saves.due_ms.is_some_and(|due_ms| io.now_ms() >= due_ms);
        if self.id.0 != 0 || !(self.saves.look_wanted || is_due) || io.now_us() < self.saves.look_at_us {
            return;
        }
        self.saves.look_at_us = io.now_us() + LOOK_US;
        if self.shared.saves.since().is_some() {
            return;
        }
        self.saves.look_wanted = false;
        let look = |core: &mut Core, _: &mut Io| {
            core.told_changes = Told { is_told: false, seen: core.grown() };
            core.told_changes.seen
        };
        self.gather_all(io, look, |core, io, grown: Vec<Grown>| {
            let changes = grown.iter().map(|grown| grown.changes).sum();
            core.begin_due_save(io, changes, grown.iter().map(|grown| grown.log_bytes).sum());
        });
    }

    /// When it is to be looked whether a snapshot is due, in monotonic µs.
    pub(crate) fn save_wake_at_us(&self, io: &Io) -> Option<u64> {
        if self.id.0 != 0 || self.shared.saves.since().is_some() {
            return None;
        }
        let due_at = |due_ms: i64| io.now_us() + due_ms.saturating_sub(io.now_ms()).clamp(0, 1000 * 3600) as u64 * 1000;
        let wanted = self.saves.look_wanted.then_some(0);
        let next = self.saves.due_ms.map(due_at).into_iter().chain(wanted).min()?;
        Some(next.max(self.saves.look_at_us))
    }

    fn begin_due_save(&mut self, io: &mut Io, changes: u64, log_bytes: u64) {
        let now_ms = io.now_ms();
        let not_before = if self.shared.saves.has_failed() { self.saves.ended_ms + RETRY_MS } else { 0 };
        let last_ms = self.shared.saves.last_ms();
        let due_at = |point: &SavePoint| (last_ms + point.seconds * 1000 + 1).max(not_before);
        let reached = self.config.save.iter().filter(|point| changes >= point.changes.max(1));
        let point = reached.min_by_key(|point| due_at(point)).copied();
        let growth = growth(&self.config, self.shared.saves.bytes(), self.shared.saves.logs_before() + log_bytes);
        let rewrite = self.saves.base_wanted || growth.is_some() && self.exec.logs();
        let at = point.as_ref().map(due_at).into_iter().chain(rewrite.then_some(not_before)).min();
        self.saves.due_ms = at.filter(|at| *at > now_ms);
        if at.is_none_or(|at| at > now_ms) {
            return;
        }
        // None is under way.
        let _ = match point.filter(|point| due_at(point) <= now_ms) {
            Some(SavePoint { seconds, changes }) if !rewrite => {
                tracing::info!("{changes} changes in {seconds} seconds. Saving...");
                self.begin_save(io, Wish::Save)
            }
            _ => {
                if let Some(percent) = growth {
                    tracing::info!("Starting automatic rewriting of AOF on {percent}% growth");
                }
                self.begin_save(io, Wish::Rewrite)
            }
        };
    }
}

/// By how many percent the logs have made the data on disk grow since the last snapshot, if that is enough for the next one.
fn growth(config: &Config, base_bytes: u64, log_bytes: u64) -> Option<u64> {
    let (least, min_bytes) = (config.auto_aof_rewrite_percentage, config.auto_aof_rewrite_min_size);
    let percent = log_bytes.saturating_mul(100) / base_bytes.max(1);
    (least > 0 && base_bytes + log_bytes > min_bytes && percent >= u64::from(least)).then_some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_compacted_when_they_have_grown_enough() {
        let config = |percent, min_bytes| Config {
            auto_aof_rewrite_percentage: percent,
            auto_aof_rewrite_min_size: min_bytes,
            ..Config::default()
        };
        assert_eq!(growth(&config(100, 1000), 600, 599), None);
        assert_eq!(growth(&config(100, 1000), 600, 600), Some(100));
        assert_eq!(growth(&config(100, 1200), 600, 600), None);
        assert_eq!(growth(&config(0, 0), 600, 6000), None);
        // Without a snapshot any growth is enough.
        assert_eq!(growth(&config(100, 64), 0, 64), None);
        assert_eq!(growth(&config(100, 64), 0, 65), Some(6500));
    }
}
