//! What has happened to keys, for those who listen to keyspace events: kept until the server takes it, in order.
//!
//! Nothing is kept of classes that nobody wants, and a class that nobody wants costs the test of one word.

use bitflags::bitflags;
use pinyon_base::DbIndex;

use super::shard::Ledger;
use super::{Key, Keyspace, Shard, Typed};

bitflags! {
    /// The classes of keyspace events, and the two ways to publish them, as `notify-keyspace-events` names them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Events: u32 {
        const GENERIC = 1; const STRING = 1 << 1; const LIST = 1 << 2; const SET = 1 << 3; const HASH = 1 << 4;
        const ZSET = 1 << 5; const STREAM = 1 << 6; const EXPIRED = 1 << 7; const EVICTED = 1 << 8;
        /// A read has found nothing.
        const MISS = 1 << 9;
        /// A key was made.
        const NEW = 1 << 10;
        /// In a channel by key, and in one by event: not classes.
        const BY_KEY = 1 << 16; const BY_EVENT = 1 << 17;
    }
}

impl Events {
    /// What a letter of the directive stands for; modules make no events here.
    fn letter(letter: char) -> Events {
        match letter {
            'K' => Events::BY_KEY,
            'E' => Events::BY_EVENT,
            'A' => Events::all() - Events::MISS - Events::NEW - Events::BY_KEY - Events::BY_EVENT,
            'g' => Events::GENERIC,
            '$' => Events::STRING,
            'l' => Events::LIST,
            's' => Events::SET,
            'h' => Events::HASH,
            'z' => Events::ZSET,
            't' => Events::STREAM,
            'x' => Events::EXPIRED,
            'e' => Events::EVICTED,
            'm' => Events::MISS,
            'n' => Events::NEW,
            _ => Events::empty(),
        }
    }

    /// What the directive says. Without a way to publish them no event is wanted.
    pub fn parse(text: &str) -> Events {
        let all = text.chars().map(Events::letter).fold(Events::empty(), Events::union);
        if all.intersects(Events::BY_KEY | Events::BY_EVENT) { all } else { Events::empty() }
    }
}

/// One event.
struct Notice {
    db: DbIndex,
    event: &'static str,
    /// Where its key ends among the bytes of all keys; it begins where the one before ends.
    end: usize,
}

/// Those not yet taken.
#[derive(Default)]
pub(super) struct Notices {
    wanted: Events,
    /// What happens is not to be told: it will be undone.
    is_muted: bool,
    notices: Vec<Notice>,
    keys: Vec<u8>,
}

/// Memory that is kept for the next events, in bytes.
const KEEP_BYTES: usize = 64 << 10;

impl Notices {
    #[inline]
    pub(super) fn wants(&self, class: Events) -> bool {
        self.wanted.intersects(class)
    }

    fn push(&mut self, db: DbIndex, event: &'static str, key: &[u8]) {
        self.keys.extend_from_slice(key);
        self.notices.push(Notice { db, event, end: self.keys.len() });
    }
}

impl Ledger {
    /// An event of a class has happened to a key.
    #[inline]
    pub(super) fn notify(&mut self, class: Events, event: &'static str, db: DbIndex, key: &[u8]) {
        if self.notices.wants(class) {
            self.note(event, db, key);
        }
    }

    #[cold]
    fn note(&mut self, event: &'static str, db: DbIndex, key: &[u8]) {
        // What is replayed has happened before.
        if !self.journal.is_replaying() && !self.notices.is_muted {
            self.notices.push(db, event, key);
        }
    }
}

impl Keyspace<'_> {
    /// Whether somebody may listen to one of these classes.
    #[inline]
    pub fn wants(&self, classes: Events) -> bool {
        self.shard.ledger.notices.wants(classes)
    }

    /// An event of a class has happened to a key.
    #[inline]
    pub fn notify(&mut self, class: Events, event: &'static str, key: Key<'_>) {
        self.shard.ledger.notify(class, event, self.db, key.bytes);
    }

    /// What happens from now on is not to be told, or is again.
    pub fn mute_events(&mut self, is_muted: bool) {
        self.shard.mute_events(is_muted);
    }

    /// As [`Keyspace::changed`], by something that is an event; that the key is gone is another one.
    #[inline]
    pub fn changed_by<T: Typed>(&mut self, key: Key<'_>, event: &'static str) -> bool {
        let stays = self.changed::<T>(key);
        self.notify(T::EVENTS, event, key);
        if !stays {
            self.notify(Events::GENERIC, "del", key);
        }
        stays
    }
}

impl Shard {
    /// Whether there are events to take.
    #[inline]
    pub fn has_events(&self) -> bool {
        !self.ledger.notices.notices.is_empty()
    }

    /// What is wanted.
    pub fn wanted_events(&self) -> Events {
        self.ledger.notices.wanted
    }

    /// From now on these are wanted.
    pub(super) fn want_events(&mut self, wanted: Events) {
        self.ledger.notices.wanted = wanted;
    }

    /// What happens from now on is not to be told, or is again.
    pub(super) fn mute_events(&mut self, is_muted: bool) {
        self.ledger.notices.is_muted = is_muted;
    }

    /// Gives all events to `take`, in order: the database, what has happened, and the key.
    pub fn take_events(&mut self, mut take: impl FnMut(DbIndex, &'static str, &[u8])) {
        let Notices { notices, keys, .. } = &mut self.ledger.notices;
        let mut start = 0;
        for Notice { db, event, end } in notices.drain(..) {
            take(db, event, &keys[start..end]);
            start = end;
        }
        keys.clear();
        if keys.capacity() > KEEP_BYTES {
            *keys = Vec::new();
            *notices = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        assert_eq!(Events::parse(""), Events::empty());
        assert_eq!(Events::parse("g$"), Events::empty(), "no way to publish them");
        assert_eq!(Events::parse("Kg$"), Events::BY_KEY | Events::GENERIC | Events::STRING);
        let all = Events::parse("KEA");
        assert!(all.contains(Events::EVICTED | Events::STREAM) && !all.intersects(Events::MISS | Events::NEW));
        assert_eq!(Events::parse("AKEmn"), Events::all());
    }
}
