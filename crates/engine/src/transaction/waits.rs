//! Which keys of a shard somebody waits for, and which of those have changed since that was last looked at. Who waits, and
//! with which command, is the server's business: here they are numbers that grow in the order in which they came.
//!
//! Every change of a key comes by here, whatever made it (`Watches::changed`): a push, a deletion, a deadline, SWAPDB. While
//! nobody waits, that costs one comparison. A key that has changed is looked at once, however often it did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pinyon_base::DbIndex;

use crate::command::blocking::Wants;

/// A key as it is known here. Two keys with the same hash share their waiters, each of whom looks at its own key.
type Place = (DbIndex, u64);

/// The keys that are waited for on one shard.
#[derive(Debug, Default)]
pub struct Waits {
    keys: BTreeMap<Place, Waited>,
    /// Changed, in the order in which they did, each once.
    changed: VecDeque<Place>,
}

#[derive(Debug, Default)]
struct Waited {
    waiters: BTreeSet<(Wants, u64)>,
    has_changed: bool,
}

impl Waits {
    /// Whether nobody waits for any key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    #[inline]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// From now on `waiter` waits for this key.
    pub fn wait(&mut self, db: DbIndex, hash: u64, wants: Wants, waiter: u64) {
        self.keys.entry((db, hash)).or_default().waiters.insert((wants, waiter));
    }

    /// The waiter no longer waits for this key.
    pub fn leave(&mut self, db: DbIndex, hash: u64, wants: Wants, waiter: u64) {
        let Some(waited) = self.keys.get_mut(&(db, hash)) else { return };
        waited.waiters.remove(&(wants, waiter));
        if waited.waiters.is_empty() {
            self.keys.remove(&(db, hash));
        }
    }

    /// The key has changed, come or gone.
    #[cold]
    pub fn changed(&mut self, db: DbIndex, hash: u64) {
        if let Some(waited) = self.keys.get_mut(&(db, hash))
            && !std::mem::replace(&mut waited.has_changed, true)
        {
            self.changed.push_back((db, hash));
        }
    }

    /// All keys of a database may have changed.
    pub fn changed_all(&mut self, db: DbIndex) {
        let places: Vec<Place> = self.keys.range((db, 0)..=(db, u64::MAX)).map(|(&place, _)| place).collect();
        places.into_iter().for_each(|(db, hash)| self.changed(db, hash));
    }

    /// Takes the first changed key that `may` be looked at now. One for which nobody waits any more is forgotten.
    pub fn take_change(&mut self, may: impl Fn(u64) -> bool) -> Option<Place> {
        let mut at = 0;
        while let Some(&place) = self.changed.get(at) {
            let Some(waited) = self.keys.get_mut(&place) else {
                self.changed.remove(at);
                continue;
            };
            if may(place.1) {
                self.changed.remove(at);
                if std::mem::take(&mut waited.has_changed) {
                    return Some(place);
                }
                continue;
            }
            at += 1;
        }
        None
    }

    /// The first who waits for this type of key here and came after `last`.
    pub fn next_after(&self, db: DbIndex, hash: u64, wants: Wants, last: Option<u64>) -> Option<u64> {
        let first = last.map_or(0, |last| last + 1);
        let waiters = &self.keys.get(&(db, hash))?.waiters;
        waiters.range((wants, first)..=(wants, u64::MAX)).next().map(|&(_, waiter)| waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DB: DbIndex = DbIndex(0);

    #[test]
    fn changes_come_in_order_and_once() {
        let mut waits = Waits::default();
        waits.changed(DB, 1);
        assert!(!waits.has_changes(), "nobody waits");
        for (hash, waiter) in [(1, 10), (2, 11), (3, 12)] {
            waits.wait(DB, hash, Wants::List, waiter);
        }
        for hash in [2, 1, 2, 9] {
            waits.changed(DB, hash);
        }
        assert_eq!(waits.take_change(|hash| hash != 2), Some((DB, 1)));
        assert_eq!(waits.take_change(|hash| hash != 2), None);
        assert!(waits.has_changes(), "the one that is held stays");
        assert_eq!(waits.take_change(|_| true), Some((DB, 2)));
        assert_eq!(waits.take_change(|_| true), None);
        waits.changed(DB, 3);
        waits.leave(DB, 3, Wants::List, 12);
        assert_eq!(waits.take_change(|_| true), None);
        assert!(!waits.has_changes());
        waits.wait(DbIndex(1), 3, Wants::List, 13);
        waits.changed_all(DbIndex(1));
        assert_eq!(waits.take_change(|_| true), Some((DbIndex(1), 3)));
    }

    /// A key that was left and is waited for again while its old change is still noted.
    #[test]
    fn an_old_change_is_none_for_those_who_come_later() {
        let mut waits = Waits::default();
        waits.wait(DB, 1, Wants::List, 1);
        waits.changed(DB, 1);
        waits.leave(DB, 1, Wants::List, 1);
        waits.wait(DB, 1, Wants::List, 2);
        assert_eq!(waits.take_change(|_| true), None);
        waits.changed(DB, 1);
        assert_eq!(waits.take_change(|_| true), Some((DB, 1)));
    }

    #[test]
    fn waiters_are_served_in_the_order_in_which_they_came() {
        let mut waits = Waits::default();
        for (wants, waiter) in [(Wants::List, 3), (Wants::ZSet, 4), (Wants::List, 1)] {
            waits.wait(DB, 1, wants, waiter);
        }
        let next = |last| waits.next_after(DB, 1, Wants::List, last);
        assert_eq!((next(None), next(Some(1)), next(Some(3))), (Some(1), Some(3), None));
        assert_eq!(waits.next_after(DB, 1, Wants::Stream, None), None);
    }
}
