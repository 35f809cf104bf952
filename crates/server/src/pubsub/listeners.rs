//! Who of one core listens to what: by name, for those who publish, and by connection, for those who listen.
//!
//! Both sides know each other's place, so that giving up a subscription costs the same however many others there are:
//!
//! ```text
//! Listeners       name ─▶ number ─▶ [conn, conn, conn]
//! Subscriptions   name ─▶ (number, position in that list, when)
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pinyon_resp::Output;
use pinyon_runtime::ConnId;

use super::{KINDS, Kind};
use crate::core::Sessions;
use crate::log::Until;

/// The name of a channel, or a pattern.
pub(super) type Name = Arc<[u8]>;

/// The listeners of one core to channels of one kind, or to patterns.
#[derive(Default)]
pub struct Listeners {
    numbers: HashMap<Name, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

struct Entry {
    name: Name,
    conns: Vec<ConnId>,
}

impl Listeners {
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().flatten().map(|entry| &*entry.name)
    }

    /// How many listen to this one.
    pub fn count(&self, name: &[u8]) -> usize {
        self.find(name).map_or(0, |number| self.conns(number).len())
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The numbers in use are below this.
    pub(super) fn end(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The name under a number, if it is in use.
    pub(super) fn name(&self, number: u32) -> Option<&Name> {
        self.entries[number as usize].as_ref().map(|entry| &entry.name)
    }

    fn conns(&self, number: u32) -> &[ConnId] {
        self.entries[number as usize].as_ref().map_or(&[], |entry| &entry.conns)
    }

    /// The connections under a number, lent: `give_back` must follow before anything else happens to this table.
    pub(super) fn lend(&mut self, number: u32) -> Vec<ConnId> {
        self.entries[number as usize].as_mut().map(|entry| std::mem::take(&mut entry.conns)).unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, number: u32, conns: Vec<ConnId>) {
        if let Some(entry) = &mut self.entries[number as usize] {
            entry.conns = conns;
        }
    }

    /// Adds a connection that does not listen to this one yet; gives its place.
    fn add(&mut self, name: &[u8], conn: ConnId) -> (Name, u32, u32) {
        let number = self.find(name).unwrap_or_else(|| self.begin(name));
        let entry = self.entries[number as usize].as_mut().expect("found or begun");
        entry.conns.push(conn);
        (entry.name.clone(), number, entry.conns.len() as u32 - 1)
    }

    fn begin(&mut self, name: &[u8]) -> u32 {
        let name: Name = name.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        self.entries[number as usize] = Some(Entry { name: name.clone(), conns: Vec::new() });
        self.numbers.insert(name, number);
        number
    }

    /// Removes the connection at a place. Gives the one that has taken that place, if one has.
    fn remove(&mut self, number: u32, position: u32) -> Option<ConnId> {
        let entry = self.entries[number as usize].as_mut().expect("somebody listens");
        entry.conns.swap_remove(position as usize);
        let moved = entry.conns.get(position as usize).copied();
        if entry.conns.is_empty() {
            self.numbers.remove(&entry.name);
            self.entries[number as usize] = None;
            self.free.push(number);
        }
        moved
    }
}

/// Where a subscription is among the listeners.
#[derive(Clone, Copy)]
struct Place {
    number: u32,
    position: u32,
    /// Counts the subscriptions of the connection.
    since: u64,
}

/// What one connection listens to, and the messages that may not leave yet.
#[derive(Default)]
pub struct Subscriptions {
    /// By `Kind`.
    kinds: [HashMap<Name, Place>; 3],
    begun: u64,
    name_bytes: usize,
    /// An EXEC has subscribed whose reply may not have left: messages follow it.
    pub(super) confirming: bool,
    /// Messages that wait, in order: for what they tell to be durable, or behind another that does.
    pub(super) held: VecDeque<(Output, Until)>,
    pub(super) held_bytes: usize,
}

impl Subscriptions {
    pub fn len(&self, kind: Kind) -> usize {
        self.kinds[kind as usize].len()
    }

    /// The number that confirmations of this kind carry: channels and patterns count together.
    pub fn shown(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.len(Kind::Channel) + self.len(Kind::Pattern),
            Kind::Shard => self.len(Kind::Shard),
        }
    }

    pub fn is_empty(&self) -> bool {
        KINDS.iter().all(|&kind| self.len(kind) == 0)
    }

    /// The names of one kind, the first subscribed first.
    pub fn names(&self, kind: Kind) -> Vec<Name> {
        let mut names: Vec<(u64, Name)> =
            self.kinds[kind as usize].iter().map(|(name, place)| (place.since, name.clone())).collect();
        names.sort_unstable_by_key(|(since, _)| *since);
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Bytes of messages that wait.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Resident memory, roughly, in bytes.
    pub fn memory(&self) -> usize {
        let places: usize = self.kinds.iter().map(|names| names.capacity()).sum();
        size_of::<Subscriptions>() + places * (size_of::<(Name, Place)>() + 1) + self.name_bytes + self.held_bytes
    }
}

/// Has a connection listen to `name`.
pub(super) fn subscribe(listeners: &mut Listeners, sessions: &mut Sessions, kind: Kind, conn: ConnId, name: &[u8]) {
    let Some(session) = sessions.get_mut(conn) else { return };
    let own = session.subscriptions.get_or_insert_default();
    if own.kinds[kind as usize].contains_key(name) {
        return;
    }
    let (name, number, position) = listeners.add(name, conn);
    own.begun += 1;
    own.name_bytes += name.len();
    own.kinds[kind as usize].insert(name, Place { number, position, since: own.begun });
}

/// Has a connection listen to `name` no longer.
pub(super) fn unsubscribe(listeners: &mut Listeners, sessions: &mut Sessions, kind: Kind, conn: ConnId, name: &[u8]) {
    let Some(own) = sessions.get_mut(conn).and_then(|session| session.subscriptions.as_mut()) else { return };
    let Some(Place { number, position, .. }) = own.kinds[kind as usize].remove(name) else { return };
    own.name_bytes -= name.len();
    let Some(moved) = listeners.remove(number, position) else { return };
    let other = sessions.get_mut(moved).and_then(|session| session.subscriptions.as_mut());
    if let Some(place) = other.and_then(|other| other.kinds[kind as usize].get_mut(name)) {
        place.position = position;
    }
}

#[cfg(test)]
mod tests {
    use pinyon_runtime::{PeerInfo, PeerKind};

    use super::*;
    use crate::session::Session;

    fn conn(index: u32) -> ConnId {
        ConnId { index, generation: 1 }
    }

    fn peer() -> PeerInfo {
        PeerInfo { kind: PeerKind::Unix, peer: None, local: None, path: None, listener: 0, own_port: false, fd: 0 }
    }

    /// Every connection is where its session says, and nowhere else.
    fn check(listeners: &Listeners, sessions: &Sessions) {
        let mut places = 0;
        for session in sessions.iter() {
            for (name, place) in &session.subscriptions.as_ref().expect("a subscriber").kinds[0] {
                assert_eq!(listeners.find(name), Some(place.number));
                assert_eq!(listeners.conns(place.number)[place.position as usize], session.conn);
                places += 1;
            }
        }
        assert_eq!(listeners.entries.iter().flatten().map(|entry| entry.conns.len()).sum::<usize>(), places);
        assert!(listeners.entries.iter().flatten().all(|entry| !entry.conns.is_empty()));
    }

    #[test]
    fn both_sides_know_each_other() {
        let (mut listeners, mut sessions) = (Listeners::default(), Sessions::default());
        for index in 0..20 {
            sessions.insert(Session::new(conn(index), u64::from(index), peer(), 0, true));
        }
        for index in 0..20 {
            for name in 0..=index {
                let name = format!("channel {}", name % 7);
                subscribe(&mut listeners, &mut sessions, Kind::Channel, conn(index), name.as_bytes());
            }
        }
        check(&listeners, &sessions);
        assert_eq!(
            (listeners.names().count(), listeners.count(b"channel 0"), listeners.count(b"channel 6")),
            (7, 20, 14)
        );
        // Some out of the middle, one from the end, some that are not there.
        for (index, name) in [(3, 0), (19, 0), (0, 0), (7, 6), (1, 6), (0, 9)] {
            let name = format!("channel {name}");
            unsubscribe(&mut listeners, &mut sessions, Kind::Channel, conn(index), name.as_bytes());
            check(&listeners, &sessions);
        }
        assert_eq!(listeners.count(b"channel 0"), 17);
        for index in 0..20 {
            for name in
                sessions.get(conn(index)).and_then(|s| s.subscriptions.as_ref()).expect("it").names(Kind::Channel)
            {
                unsubscribe(&mut listeners, &mut sessions, Kind::Channel, conn(index), &name);
            }
        }
        check(&listeners, &sessions);
        assert!(listeners.is_empty() && listeners.names().next().is_none());
    }

    #[test]
    fn names_are_in_the_order_of_subscription() {
        let (mut listeners, mut sessions) = (Listeners::default(), Sessions::default());
        sessions.insert(Session::new(conn(0), 1, peer(), 0, true));
        for name in ["z", "a", "m", "a"] {
            subscribe(&mut listeners, &mut sessions, Kind::Pattern, conn(0), name.as_bytes());
        }
        let own = sessions.get(conn(0)).and_then(|session| session.subscriptions.as_ref()).expect("a subscriber");
        let names: Vec<Name> = own.names(Kind::Pattern);
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), [b"z", b"a", b"m"]);
        assert_eq!((own.shown(Kind::Channel), own.shown(Kind::Shard)), (3, 0));
    }
}
