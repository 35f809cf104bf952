//! When a snapshot is due by itself: the `save` points.

use crate::core::{Core, Io};

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

impl Core {
    /// Begins a snapshot that is due, on the first core.
    pub(super) fn look_at_save_points(&mut self, io: &mut Io) {
        let can_save = self.saves.manifest.is_some() && !self.config.save.is_empty();
        if !can_save || io.now_us() < self.saves.look_at_us {
            return;
        }
        self.saves.look_at_us = io.now_us() + LOOK_US;
        if self.shared.saves.since().is_some() {
            return;
        }
        self.gather_all(
            io,
            |core, _| core.exec.stats.dirty,
            |core, io, dirty: Vec<u64>| core.begin_due_save(io, dirty.into_iter().sum()),
        );
    }

    /// When a save point is due, in monotonic µs.
    pub(crate) fn save_wake_at_us(&self, io: &Io) -> Option<u64> {
        let due_ms = self.saves.due_ms.filter(|_| self.id.0 == 0)?;
        let wait_ms = due_ms.saturating_sub(io.now_ms()).clamp(0, 1000 * 3600) as u64;
        Some((io.now_us() + wait_ms * 1000).max(self.saves.look_at_us))
    }

    fn begin_due_save(&mut self, io: &mut Io, dirty: u64) {
        let now_ms = io.now_ms();
        let not_before = if self.shared.saves.has_failed() { self.saves.ended_ms + RETRY_MS } else { 0 };
        let last_ms = self.shared.saves.last_ms();
        let due_at = |point: &SavePoint| (last_ms + point.seconds * 1000 + 1).max(not_before);
        let reached = self.config.save.iter().filter(|point| dirty >= point.changes.max(1));
        let next = reached.min_by_key(|point| due_at(point)).copied();
        self.saves.due_ms = next.as_ref().map(due_at).filter(|at| *at > now_ms);
        let Some(SavePoint { seconds, changes }) = next.filter(|point| due_at(point) <= now_ms) else { return };
        tracing::info!("{changes} changes in {seconds} seconds. Saving...");
        // None is under way; without a store there is nothing to save to.
        let _ = self.begin_save(io, Wish::Save);
    }
}
