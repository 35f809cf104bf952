//! The transactions of one shard by their numbers: who holds its intents, and who waits for whom.
//!
//! ```text
//! keys:    hash a ─▶ 12 write ✓ │ 15 read │ 17 write        ✓ granted
//!          hash b ─▶ 15 read  ✓ │ 16 read ✓                 12 is older than 15: 15 waits, and 17 behind it
//! wholes:            19 write                               conflicts with all of them
//! ```
//!
//! A transaction is granted when it conflicts with no older one here and with no granted one. So whoever waits, waits for
//! older ones, but for one case: an older one arrives where a younger one holds a grant already. That one is then asked to
//! [yield](Event::Yield): it gives the grant back unless it has begun its steps, and one that has begun waits for nobody.
//! A command on one shard alone takes no number: it runs unless what it touches [is held](Queue::blocks).

use std::collections::{BTreeMap, BTreeSet};

use super::intents::{Access, Intents};

/// What is to be told to the coordinator that `H` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<H> {
    /// It holds its intents on this shard.
    Granted(H),
    /// It is in an older one's way: it should give the grant back if it has not begun its steps.
    Yield(H),
}

/// One shard's transactions. `H` says where a transaction's coordinator is.
#[derive(Debug)]
pub struct Queue<H> {
    entries: BTreeMap<u64, Entry<H>>,
    /// Who names a key, by number.
    keys: BTreeMap<u64, Vec<Claim>>,
    /// Those that name all keys, by number.
    wholes: Vec<Claim>,
    granted: usize,
    /// Those that may have come to the front since `grant` was called last.
    candidates: BTreeSet<u64>,
}

#[derive(Debug)]
struct Entry<H> {
    holder: H,
    intents: Intents,
    granted: bool,
    /// It was asked to yield.
    asked: bool,
}

/// One transaction's claim on a key, or on all.
#[derive(Clone, Copy, Debug)]
struct Claim {
    number: u64,
    access: Access,
    granted: bool,
}

impl<H> Default for Queue<H> {
    fn default() -> Queue<H> {
        Queue {
            entries: BTreeMap::new(),
            keys: BTreeMap::new(),
            wholes: Vec::new(),
            granted: 0,
            candidates: BTreeSet::new(),
        }
    }
}

impl<H: Copy> Queue<H> {
    /// Whether any transaction holds a grant. While none does, nothing is blocked.
    #[inline]
    pub fn is_holding(&self) -> bool {
        self.granted > 0
    }

    /// Transactions here, granted or waiting.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a granted transaction stands in the way of this access to a key.
    pub fn blocks(&self, hash: u64, access: Access) -> bool {
        let in_the_way = |claim: &Claim| claim.granted && claim.access.conflicts(access);
        self.granted > 0
            && (self.wholes.iter().any(in_the_way)
                || self.keys.get(&hash).is_some_and(|claims| claims.iter().any(in_the_way)))
    }

    /// Whether a granted transaction has named the key at all: then it must stay as it is.
    #[inline]
    pub fn holds(&self, hash: u64) -> bool {
        self.granted > 0 && self.blocks(hash, Access::Write)
    }

    /// Whether a granted transaction has named all keys.
    pub fn holds_all(&self) -> bool {
        self.wholes.iter().any(|claim| claim.granted)
    }

    /// Whether granted transactions stand in the way of all this.
    pub fn blocks_any(&self, intents: &Intents) -> bool {
        if self.granted == 0 {
            return false;
        }
        match intents.all() {
            Some(access) => self.entries.values().any(|e| e.granted && e.intents.most().conflicts(access)),
            None => intents.keys().iter().any(|intent| self.blocks(intent.hash, intent.access)),
        }
    }

    /// Takes in a transaction; its intents must be settled. Says whether it is granted at once. If not, `events` gets the
    /// requests to yield that are in order, and the grant follows from `grant` later.
    pub fn acquire(&mut self, number: u64, intents: Intents, holder: H, events: &mut Vec<Event<H>>) -> bool {
        self.claim(number, &intents);
        let before = self.entries.insert(number, Entry { holder, intents, granted: false, asked: false });
        assert!(before.is_none(), "a number is used once");
        if self.is_free(number) {
            self.set_granted(number, true);
            return true;
        }
        self.ask_younger(number, events);
        false
    }

    /// A transaction gives its grant back and waits again.
    pub fn yielded(&mut self, number: u64) {
        self.set_granted(number, false);
        self.note_freed(number);
    }

    /// A transaction has run its last step here. What waited for it is granted by `grant`.
    pub fn release(&mut self, number: u64) {
        self.set_granted(number, false);
        self.note_freed(number);
        self.candidates.remove(&number);
        let entry = self.entries.remove(&number).expect("it is here until it is released");
        for intent in entry.intents.keys() {
            if let Some(claims) = self.keys.get_mut(&intent.hash) {
                claims.retain(|claim| claim.number != number);
                if claims.is_empty() {
                    self.keys.remove(&intent.hash);
                }
            }
        }
        self.wholes.retain(|claim| claim.number != number);
    }

    /// Grants what can be granted after `release` and `yielded`, the oldest first.
    pub fn grant(&mut self, events: &mut Vec<Event<H>>) {
        for number in std::mem::take(&mut self.candidates) {
            let Some(entry) = self.entries.get(&number) else { continue };
            if !entry.granted && self.is_free(number) {
                let holder = self.entries[&number].holder;
                self.set_granted(number, true);
                events.push(Event::Granted(holder));
            }
        }
    }

    fn claim(&mut self, number: u64, intents: &Intents) {
        let put = |claims: &mut Vec<Claim>, access| {
            let at = claims.partition_point(|claim| claim.number < number);
            claims.insert(at, Claim { number, access, granted: false });
        };
        for intent in intents.keys() {
            put(self.keys.entry(intent.hash).or_default(), intent.access);
        }
        if let Some(access) = intents.all() {
            put(&mut self.wholes, access);
        }
    }

    /// Whether nobody older and nobody granted is in the way.
    fn is_free(&self, number: u64) -> bool {
        let intents = &self.entries[&number].intents;
        let in_the_way = |claim: &Claim, access| {
            claim.number != number && (claim.number < number || claim.granted) && claim.access.conflicts(access)
        };
        if let Some(access) = intents.all() {
            // Granted ones may be younger; waiting ones count when they are older.
            return !self.entries.iter().any(|(&other, entry)| {
                other != number && (other < number || entry.granted) && entry.intents.most().conflicts(access)
            });
        }
        let most = intents.most();
        !self.wholes.iter().any(|claim| in_the_way(claim, most))
            && intents
                .keys()
                .iter()
                .all(|intent| !self.keys[&intent.hash].iter().any(|claim| in_the_way(claim, intent.access)))
    }

    /// Asks those to yield that are younger, hold a grant, and are in this one's way.
    fn ask_younger(&mut self, number: u64, events: &mut Vec<Event<H>>) {
        let intents = &self.entries[&number].intents;
        let mut younger = BTreeSet::new();
        let mut look = |claim: &Claim, access: Access| {
            if claim.number > number && claim.granted && claim.access.conflicts(access) {
                younger.insert(claim.number);
            }
        };
        for intent in intents.keys() {
            self.keys[&intent.hash].iter().for_each(|claim| look(claim, intent.access));
        }
        let most = intents.most();
        self.wholes.iter().for_each(|claim| look(claim, most));
        if let Some(access) = intents.all() {
            let granted = self.entries.range(number + 1..).filter(|(_, entry)| entry.granted);
            younger.extend(granted.filter(|(_, e)| e.intents.most().conflicts(access)).map(|(&number, _)| number));
        }
        for number in younger {
            let entry = self.entries.get_mut(&number).expect("it has a claim");
            if !entry.asked {
                entry.asked = true;
                events.push(Event::Yield(entry.holder));
            }
        }
    }

    fn set_granted(&mut self, number: u64, granted: bool) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if entry.granted == granted {
            return;
        }
        entry.granted = granted;
        entry.asked = false;
        if granted {
            self.granted += 1;
        } else {
            self.granted -= 1;
        }
        for intent in entry.intents.keys() {
            if let Some(claims) = self.keys.get_mut(&intent.hash) {
                set(claims, number, granted);
            }
        }
        set(&mut self.wholes, number, granted);
    }

    /// Notes who may be granted once `number` is out of the way: on each of its keys the first ones that go together.
    fn note_freed(&mut self, number: u64) {
        let entry = &self.entries[&number];
        if entry.intents.all().is_some() || !self.wholes.is_empty() {
            self.candidates.extend(self.entries.keys());
            return;
        }
        for intent in entry.intents.keys() {
            let mut read = true;
            for claim in self.keys[&intent.hash].iter().filter(|claim| claim.number != number) {
                if !claim.granted {
                    self.candidates.insert(claim.number);
                }
                read &= claim.access == Access::Read;
                if !read {
                    break;
                }
            }
        }
        self.candidates.insert(number);
    }
}

fn set(claims: &mut [Claim], number: u64, granted: bool) {
    if let Ok(at) = claims.binary_search_by_key(&number, |claim| claim.number) {
        claims[at].granted = granted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(list: &[(u64, Access)]) -> Intents {
        let mut intents = Intents::default();
        list.iter().for_each(|&(hash, access)| intents.add(hash, access));
        intents.settle();
        intents
    }

    use Access::{Read, Write};

    /// Grants or asks; gives the events.
    fn acquire(queue: &mut Queue<u64>, number: u64, intents: Intents) -> (bool, Vec<Event<u64>>) {
        let mut events = Vec::new();
        let granted = queue.acquire(number, intents, number, &mut events);
        (granted, events)
    }

    fn granted(queue: &mut Queue<u64>) -> Vec<Event<u64>> {
        let mut events = Vec::new();
        queue.grant(&mut events);
        events
    }

    #[test]
    fn readers_go_together_and_writers_alone() {
        let mut queue = Queue::default();
        assert_eq!(acquire(&mut queue, 1, keys(&[(7, Read)])), (true, vec![]));
        assert_eq!(acquire(&mut queue, 2, keys(&[(7, Read), (8, Write)])), (true, vec![]));
        assert_eq!(acquire(&mut queue, 3, keys(&[(7, Write)])), (false, vec![]));
        // Behind the writer, which would starve otherwise.
        assert_eq!(acquire(&mut queue, 4, keys(&[(7, Read)])), (false, vec![]));
        assert_eq!(acquire(&mut queue, 5, keys(&[(9, Write)])), (true, vec![]));
        assert!(queue.blocks(7, Write) && !queue.blocks(7, Read) && queue.blocks(8, Read) && !queue.blocks(1, Write));
        queue.release(1);
        assert_eq!(granted(&mut queue), []);
        queue.release(2);
        assert_eq!(granted(&mut queue), [Event::Granted(3)]);
        queue.release(3);
        assert_eq!(granted(&mut queue), [Event::Granted(4)]);
        queue.release(4);
        queue.release(5);
        assert!(queue.is_empty() && !queue.is_holding() && queue.keys.is_empty());
    }

    #[test]
    fn a_younger_one_makes_way_for_an_older_one() {
        let mut queue = Queue::default();
        assert_eq!(acquire(&mut queue, 9, keys(&[(1, Write), (2, Write)])), (true, vec![]));
        assert_eq!(acquire(&mut queue, 5, keys(&[(2, Read)])), (false, vec![Event::Yield(9)]));
        // Asked once.
        assert_eq!(acquire(&mut queue, 6, keys(&[(1, Read)])), (false, vec![]));
        queue.yielded(9);
        assert_eq!(granted(&mut queue), [Event::Granted(5), Event::Granted(6)]);
        queue.release(5);
        assert_eq!(granted(&mut queue), []);
        queue.release(6);
        assert_eq!(granted(&mut queue), [Event::Granted(9)]);
        // It may be asked again.
        assert_eq!(acquire(&mut queue, 7, keys(&[(1, Write)])), (false, vec![Event::Yield(9)]));
    }

    #[test]
    fn the_whole_shard() {
        let mut queue = Queue::default();
        assert_eq!(acquire(&mut queue, 3, keys(&[(1, Write)])), (true, vec![]));
        assert_eq!(acquire(&mut queue, 4, keys(&[(2, Read)])), (true, vec![]));
        assert_eq!(acquire(&mut queue, 2, Intents::whole(Read)), (false, vec![Event::Yield(3)]));
        assert_eq!(acquire(&mut queue, 5, keys(&[(3, Read)])), (true, vec![]));
        assert_eq!(acquire(&mut queue, 6, keys(&[(3, Write)])), (false, vec![]));
        queue.yielded(3);
        assert_eq!(granted(&mut queue), [Event::Granted(2)]);
        assert!(queue.holds_all() && queue.blocks(99, Write) && !queue.blocks(99, Read));
        assert!(queue.blocks_any(&Intents::whole(Write)) && !queue.blocks_any(&Intents::whole(Read)));
        queue.release(2);
        assert_eq!(granted(&mut queue), [Event::Granted(3)]);
        assert_eq!(acquire(&mut queue, 7, Intents::whole(Write)), (false, vec![]));
        assert_eq!(acquire(&mut queue, 8, keys(&[(50, Read)])), (false, vec![]));
        for number in [3, 4, 5] {
            queue.release(number);
        }
        assert_eq!(granted(&mut queue), [Event::Granted(6)]);
        queue.release(6);
        assert_eq!(granted(&mut queue), [Event::Granted(7)]);
        queue.release(7);
        assert_eq!(granted(&mut queue), [Event::Granted(8)]);
    }
}
