//! WATCH on one shard: which clients look at which keys, and who of them has seen one change.
//!
//! The shard reports every change of a key here, by whatever it came: a command, a deadline, an eviction, FLUSHALL, SWAPDB.
//! A client whose key changed is dirty until it stops watching; it needs no table entries any more, and its core is told by
//! the news. A key whose deadline had passed is removed when WATCH looks at it, so that what goes on to be absent has not
//! changed. While nobody watches, a change costs one comparison.

use std::collections::BTreeMap;

use pinyon_base::DbIndex;

use super::Waits;

/// Who watches: one client, between two UNWATCHes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherId {
    /// The client's number, unique over all cores.
    pub client: u64,
    /// The core that has its connection, and where that core keeps it.
    pub core: u16,
    pub place: u32,
    /// Counts the times that it stopped watching: what is told of an earlier time is out of date.
    pub epoch: u32,
}

/// One shard's watched keys.
#[derive(Debug, Default)]
pub struct Watches {
    keys: BTreeMap<u64, Vec<Watched>>,
    watchers: BTreeMap<u64, Watcher>,
    news: Vec<WatcherId>,
    /// Those who do not look on but wait.
    pub waits: Waits,
}

#[derive(Debug)]
struct Watched {
    db: DbIndex,
    key: Box<[u8]>,
    client: u64,
}

#[derive(Debug)]
struct Watcher {
    id: WatcherId,
    dirty: bool,
    hashes: Vec<u64>,
}

impl Watches {
    /// Whether nobody watches any key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// From now on `id` wants to know of changes of this key.
    pub fn watch(&mut self, id: WatcherId, db: DbIndex, hash: u64, key: &[u8]) {
        if self.watchers.get(&id.client).is_some_and(|watcher| watcher.id != id) {
            self.unwatch(id.client);
        }
        let watcher =
            self.watchers.entry(id.client).or_insert_with(|| Watcher { id, dirty: false, hashes: Vec::new() });
        let watched = self.keys.entry(hash).or_default();
        let is_same = |watched: &Watched| watched.client == id.client && watched.db == db;
        if watcher.dirty || watched.iter().any(is_same) {
            if watched.is_empty() {
                self.keys.remove(&hash);
            }
            return;
        }
        watcher.hashes.push(hash);
        watched.push(Watched { db, key: key.into(), client: id.client });
    }

    /// The client no longer watches.
    pub fn unwatch(&mut self, client: u64) {
        if let Some(watcher) = self.watchers.remove(&client) {
            self.forget(client, &watcher.hashes);
        }
    }

    /// Whether a key of this watcher has changed.
    pub fn is_dirty(&self, id: WatcherId) -> bool {
        self.watchers.get(&id.client).is_some_and(|watcher| watcher.id == id && watcher.dirty)
    }

    /// The keys that a watcher still watches.
    pub fn keys_of(&self, id: WatcherId) -> Vec<(DbIndex, u64, Box<[u8]>)> {
        let Some(watcher) = self.watchers.get(&id.client).filter(|watcher| watcher.id == id) else {
            return Vec::new();
        };
        let of_hash = |&hash: &u64| self.keys.get(&hash).into_iter().flatten().map(move |watched| (hash, watched));
        let own = watcher.hashes.iter().flat_map(of_hash).filter(|(_, watched)| watched.client == id.client);
        own.map(|(hash, watched)| (watched.db, hash, watched.key.clone())).collect()
    }

    /// Every watched key of a database, each once.
    pub fn keys_in(&self, db: DbIndex) -> Vec<(u64, Box<[u8]>)> {
        let mut found = Vec::new();
        for (&hash, watched) in &self.keys {
            if let Some(watched) = watched.iter().find(|watched| watched.db == db) {
                found.push((hash, watched.key.clone()));
            }
        }
        found
    }

    /// A key has changed, come or gone.
    #[inline]
    pub fn changed(&mut self, db: DbIndex, hash: u64) {
        if !self.keys.is_empty() {
            self.tell(db, hash);
        }
        self.changed_unwatched(db, hash);
    }

    /// A key has changed in a way that only those who wait for it are told of.
    #[inline]
    pub fn changed_unwatched(&mut self, db: DbIndex, hash: u64) {
        if !self.waits.is_empty() {
            self.waits.changed(db, hash);
        }
    }

    /// Watchers that have become dirty since this was called last.
    pub fn take_news(&mut self) -> Vec<WatcherId> {
        std::mem::take(&mut self.news)
    }

    /// Whether there is news to take.
    #[inline]
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    #[cold]
    fn tell(&mut self, db: DbIndex, hash: u64) {
        let Some(watched) = self.keys.get(&hash) else { return };
        let clients: Vec<u64> =
            watched.iter().filter(|watched| watched.db == db).map(|watched| watched.client).collect();
        for client in clients {
            let Some(watcher) = self.watchers.get_mut(&client) else { continue };
            watcher.dirty = true;
            self.news.push(watcher.id);
            let hashes = std::mem::take(&mut watcher.hashes);
            self.forget(client, &hashes);
        }
    }

    fn forget(&mut self, client: u64, hashes: &[u64]) {
        for hash in hashes {
            if let Some(watched) = self.keys.get_mut(hash) {
                watched.retain(|watched| watched.client != client);
                if watched.is_empty() {
                    self.keys.remove(hash);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_base::DbIndex;
    use pinyon_base::Millis;

    use super::*;
    use crate::keyspace::{Key, NewValue, Shard, ShardConfig, Ttl};

    const DB: DbIndex = DbIndex(0);

    fn id(client: u64) -> WatcherId {
        WatcherId { client, core: 0, place: 0, epoch: 0 }
    }

    fn shard() -> Shard {
        let mut shard = Shard::new(ShardConfig::default());
        shard.begin_turn(Millis(1000));
        shard
    }

    fn put(shard: &mut Shard, db: DbIndex, key: &str, ttl: Ttl) {
        let key = Key { bytes: key.as_bytes(), hash: shard.hash(key.as_bytes()) };
        shard.keyspace(db, false).put(key, NewValue::Text(b"v"), ttl);
    }

    #[test]
    fn a_change_makes_its_watchers_dirty_and_no_others() {
        let mut shard = shard();
        shard.watch(id(1), DB, b"a");
        shard.watch(id(1), DB, b"a");
        shard.watch(id(1), DB, b"b");
        shard.watch(id(2), DB, b"b");
        shard.watch(id(3), DbIndex(1), b"a");
        put(&mut shard, DB, "c", Ttl::Clear);
        assert!(!shard.has_changed(id(1)));
        put(&mut shard, DB, "a", Ttl::Clear);
        assert!(shard.has_changed(id(1)) && !shard.has_changed(id(2)) && !shard.has_changed(id(3)));
        assert_eq!(shard.watches().take_news(), [id(1)]);
        shard.watches().unwatch(1);
        assert!(!shard.has_changed(id(1)));
        // A new time of watching does not know of the old one's changes.
        let again = WatcherId { epoch: 1, ..id(1) };
        shard.watch(again, DB, b"a");
        assert!(!shard.has_changed(again));
        for client in 1..=3 {
            shard.watches().unwatch(client);
        }
        assert!(shard.watches().is_empty() && shard.watches().watchers.is_empty());
    }

    #[test]
    fn only_what_was_there_changes_by_its_removal() {
        let mut shard = shard();
        put(&mut shard, DB, "here", Ttl::Clear);
        shard.watch(id(1), DB, b"here");
        shard.watch(id(2), DB, b"absent");
        for name in ["here", "absent"] {
            let key = Key { bytes: name.as_bytes(), hash: shard.hash(name.as_bytes()) };
            shard.keyspace(DB, false).remove(key);
        }
        assert!(shard.has_changed(id(1)) && !shard.has_changed(id(2)));
    }

    #[test]
    fn a_deadline_that_passes_is_a_change_and_one_that_has_passed_is_none() {
        let mut shard = shard();
        put(&mut shard, DB, "soon", Ttl::At(Millis(1010)));
        put(&mut shard, DB, "past", Ttl::At(Millis(1001)));
        shard.begin_turn(Millis(1005));
        shard.watch(id(1), DB, b"soon");
        shard.watch(id(2), DB, b"past");
        shard.begin_turn(Millis(1010));
        assert!(shard.has_changed(id(1)) && !shard.has_changed(id(2)));
    }

    #[test]
    fn flush_and_swap() {
        let mut shard = shard();
        let other = DbIndex(1);
        put(&mut shard, DB, "in both", Ttl::Clear);
        put(&mut shard, other, "in both", Ttl::Clear);
        put(&mut shard, other, "in the other", Ttl::Clear);
        put(&mut shard, other, "stale in the other", Ttl::At(Millis(1001)));
        shard.begin_turn(Millis(1002));
        let keys = ["in both", "in the other", "stale in the other", "in none"];
        let watch_all = |shard: &mut Shard, epoch| {
            for (client, key) in (0..).zip(keys) {
                shard.watch(WatcherId { client, core: 0, place: 0, epoch }, DB, key.as_bytes());
            }
        };
        watch_all(&mut shard, 0);
        shard.swap_db(DB, other);
        let dirty = |shard: &mut Shard, epoch| {
            [0, 1, 2, 3].map(|client| shard.has_changed(WatcherId { client, core: 0, place: 0, epoch }))
        };
        assert_eq!(dirty(&mut shard, 0), [true, true, false, false]);
        watch_all(&mut shard, 1);
        shard.flush_all(true);
        assert_eq!(dirty(&mut shard, 1), [true, true, false, false]);
    }
}
