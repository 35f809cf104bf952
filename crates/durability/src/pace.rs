//! When an epoch is to be sealed and when all is to be synced, by the clock. One core asks for all.

/// An epoch is sealed this long after its first write.
pub const EPOCH_MS: u64 = 20;
/// Under `everysec` a sync begins this long after the one before began. What is left of a second is for the cut, the writes
/// that are still under way and the sync itself, so that a power cut costs at most a second.
pub const SYNC_MS: u64 = 800;

/// What is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Seal the epoch on all shards.
    pub seal: bool,
    /// And have it durable.
    pub sync: bool,
}

/// The clock of seals and syncs. Times are milliseconds of any clock that does not go back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When the first write since the last seal came.
    unsealed_since: Option<u64>,
    /// When the first sealed write came that no sync was begun for.
    unsynced: bool,
    synced_at: u64,
}

impl Pace {
    /// Something was logged.
    pub fn wrote(&mut self, now: u64) {
        self.unsealed_since.get_or_insert(now);
    }

    /// An epoch was sealed, and a sync for it begun if `sync`, whoever asked for it.
    pub fn sealed(&mut self, now: u64, sync: bool) {
        self.unsynced = !sync && (self.unsynced || self.unsealed_since.is_some());
        self.unsealed_since = None;
        if sync {
            self.synced_at = now;
        }
    }

    /// What is due; `everysec`: syncs are.
    pub fn due(&self, now: u64, everysec: bool) -> Due {
        let pending = self.unsynced || self.unsealed_since.is_some();
        let sync = everysec && pending && now >= self.synced_at + SYNC_MS;
        let seal = self.unsealed_since.is_some_and(|since| now >= since + EPOCH_MS);
        Due { seal: seal || sync, sync }
    }

    /// When to ask again, if ever.
    pub fn next(&self, everysec: bool) -> Option<u64> {
        let seal = self.unsealed_since.map(|since| since + EPOCH_MS);
        let sync = (everysec && (self.unsynced || seal.is_some())).then_some(self.synced_at + SYNC_MS);
        seal.into_iter().chain(sync).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_without_writes() {
        let pace = Pace::default();
        assert_eq!((pace.due(10_000, true), pace.next(true)), (Due::default(), None));
    }

    #[test]
    fn seals_follow_writes_and_syncs_come_once_in_a_while() {
        let mut pace = Pace::default();
        pace.wrote(1000);
        pace.wrote(1010);
        assert_eq!(pace.due(1019, false), Due::default());
        assert_eq!(pace.due(1020, false), Due { seal: true, sync: false });
        assert_eq!(pace.due(1001, true), Due { seal: true, sync: true });
        pace.sealed(1001, true);
        assert_eq!(pace.next(true), None);
        pace.wrote(1002);
        assert_eq!((pace.due(1022, true), pace.next(true)), (Due { seal: true, sync: false }, Some(1022)));
        pace.sealed(1022, false);
        assert_eq!((pace.due(1800, true), pace.next(true)), (Due::default(), Some(1801)));
        assert_eq!(pace.due(1801, true), Due { seal: true, sync: true });
        pace.sealed(1801, true);
        assert_eq!(pace.next(true), None);
    }
}
