//! The search for an order: one in which a serial store gives every answer that was given, and that agrees with real time.
//!
//! Transactions are run on the serial [`Store`] as soon as they may: all that certainly precede them have run, nothing that
//! had to be over before them is left, and the store answers as the server did. Reads go first, since an early read harms
//! nobody; then what probably came first. What is replaced by a known transaction is replaced by no other.
//!
//! Where the history leaves a choice (which deletion took a key away, between which two lives of a key somebody found it
//! missing), the first choice may turn out wrong: nothing can run any more. Then a transaction that is stuck is looked at,
//! the last step that took away what it wants is found, and the search goes back there with the demand that the stuck one
//! come first. This is a heuristic search. What it finds is checked by `proof.rs`, so it cannot call anything serializable
//! that is not; what it does not find is reported together with what is stuck.

mod repair;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::access::{Access, Known};
use super::history::{Action, Content, Key, Token, Transaction};
use super::infer::Facts;
use super::periods::{self, Followers, Window};
use super::store::{Mark, Store};
use crate::Random;

/// Why no order was found: the transactions at which the search ended, and what each lacked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stuck {
    pub ran: usize,
    pub repairs: usize,
    pub transactions: Vec<(u32, String)>,
}

/// An order, and how often the search had to go back for it.
#[derive(Clone, Debug)]
pub struct Found {
    pub order: Vec<u32>,
    pub repairs: usize,
}

/// Of so many transactions, one and more are moved about by chance.
const SHUFFLED_OF: usize = 12;
const NO_VERSION: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Outside,
    Ready,
    /// Waits for a key to change.
    Asleep,
    /// Waits for one that a repair put before it.
    Held,
    Ran,
}

/// Why a transaction cannot run now.
#[derive(Clone, PartialEq, Debug)]
enum Obstacle {
    /// What the key holds is to be found or replaced by others first.
    Wanted(Key),
    /// These keys, or some of them, are not as the transaction found them; none: all keys.
    Differs(Vec<Key>, String),
}

struct Step {
    transaction: u32,
    mark: Mark,
    now: u64,
}

struct Search<'a> {
    committed: &'a [&'a Transaction],
    facts: &'a Facts,
    windows: &'a [Window],
    /// When each probably took place.
    guess: Vec<u64>,
    followers: &'a Followers,
    store: Store,
    steps: Vec<Step>,
    place: Vec<Place>,
    awaited: Vec<u32>,
    /// By the beginning of their windows; those before `admitted` may run, those before `low` have.
    by_from: Vec<u32>,
    admitted: usize,
    low: usize,
    /// By the end of their windows; those before `oldest` have run.
    by_to: Vec<u32>,
    oldest: usize,
    /// Reads first, then by the end of the window.
    ready: BinaryHeap<Reverse<(bool, u64, u32)>>,
    asleep: Vec<Vec<u32>>,
    asleep_all: Vec<u32>,
    /// By version: readers that have not run.
    pending: Vec<u32>,
    /// By key.
    current: Vec<u32>,
    /// What a repair demands: the first before the second.
    held_by: HashMap<u32, Vec<u32>>,
    holds: HashMap<u32, Vec<u32>>,
    /// How often a demand was made.
    tried: HashMap<(u32, u32), usize>,
    repairs: usize,
    /// The most steps at which the search was stuck, and how often since it got that far.
    farthest: usize,
    attempts: usize,
    /// What was stuck there.
    stuck: Stuck,
    /// 0: what probably came first goes first; else writes come in an order by chance, another one for each number.
    shuffle: u64,
    /// What `shuffle` is while all goes well.
    shuffle_first: u64,
    /// How often in a row it goes back by demands.
    demands_between: usize,
    /// Transactions that must run: all but ticks.
    left: usize,
}

/// Searches from the beginning, each with other choices by chance.
const BEGINNINGS: u64 = 9;

/// Searches an order of `committed`; ticks may be missing at its end.
pub fn search(
    committed: &[&Transaction],
    facts: &Facts,
    windows: &[Window],
    initial: &[Content],
    clock: u64,
) -> Result<Found, Stuck> {
    let followers = Followers::new(&facts.edges, committed.len());
    let mut farthest = Stuck::default();
    for beginning in 0..BEGINNINGS {
        let mut search = Search::new(committed, facts, windows, &followers, Store::new(initial, clock));
        search.shuffle_first = beginning << 48;
        // Few are best where one choice was wrong, many where the right ones depend on each other.
        search.demands_between = [10, 80, 640][beginning as usize % 3];
        search.shuffle = search.shuffle_first;
        match search.find() {
            Ok(found) => return Ok(found),
            Err(stuck) if stuck.ran >= farthest.ran => farthest = stuck,
            Err(_) => {}
        }
    }
    Err(farthest)
}

fn is_tick(transaction: &Transaction) -> bool {
    matches!(transaction.ops[..], [super::history::Op { action: Action::Tick { .. }, .. }])
}

impl<'a> Search<'a> {
    fn find(mut self) -> Result<Found, Stuck> {
        loop {
            self.run_what_may();
            if self.left == 0 {
                let order = self.steps.iter().map(|step| step.transaction).collect();
                return Ok(Found { order, repairs: self.repairs });
            }
            if !self.go_on() {
                return Err(self.stuck);
            }
            self.repairs += 1;
        }
    }

    fn new(
        committed: &'a [&'a Transaction],
        facts: &'a Facts,
        windows: &'a [Window],
        followers: &'a Followers,
        store: Store,
    ) -> Search<'a> {
        let count = committed.len() as u32;
        let mut by_from: Vec<u32> = (0..count).collect();
        let mut by_to = by_from.clone();
        by_from.sort_by_key(|i| windows[*i as usize].from);
        by_to.sort_by_key(|i| windows[*i as usize].to);
        let keys = store.key_count();
        let mut search = Search {
            committed,
            facts,
            windows,
            guess: periods::guess(windows, &facts.edges, committed),
            followers,
            store,
            steps: Vec::with_capacity(committed.len()),
            place: vec![Place::Outside; committed.len()],
            awaited: followers.awaited.clone(),
            by_from,
            admitted: 0,
            low: 0,
            by_to,
            oldest: 0,
            ready: BinaryHeap::new(),
            asleep: vec![Vec::new(); keys],
            asleep_all: Vec::new(),
            pending: facts.versions.iter().map(|version| version.readers.len() as u32).collect(),
            current: vec![NO_VERSION; keys],
            held_by: HashMap::new(),
            holds: HashMap::new(),
            tried: HashMap::new(),
            repairs: 0,
            farthest: 0,
            stuck: Stuck::default(),
            attempts: 0,
            shuffle: 0,
            shuffle_first: 0,
            demands_between: 10,
            left: committed.iter().filter(|transaction| !is_tick(transaction)).count(),
        };
        (0..keys).for_each(|i| search.note_current(Key(i as u8)));
        search
    }

    fn run_what_may(&mut self) {
        loop {
            self.admit();
            let Some(Reverse((_, _, transaction))) = self.ready.pop() else { return };
            if self.place[transaction as usize] != Place::Ready || self.awaited[transaction as usize] > 0 {
                continue;
            }
            if self.is_held(transaction) {
                self.place[transaction as usize] = Place::Held;
                continue;
            }
            match self.attempt(transaction) {
                Ok(step) => self.note_run(step),
                Err(obstacle) => self.put_to_sleep(transaction, &obstacle),
            }
        }
    }

    /// Lets in what no other that is left had to be over before.
    fn admit(&mut self) {
        while self.by_to.get(self.oldest).is_some_and(|i| self.place[*i as usize] == Place::Ran) {
            self.oldest += 1;
        }
        let Some(oldest) = self.by_to.get(self.oldest) else { return };
        let bound = self.windows[*oldest as usize].to;
        while let Some(&next) = self.by_from.get(self.admitted)
            && self.windows[next as usize].from <= bound
        {
            self.admitted += 1;
            self.make_ready(next);
        }
    }

    fn make_ready(&mut self, transaction: u32) {
        let i = transaction as usize;
        if self.awaited[i] == 0 && self.place[i] != Place::Ran {
            self.place[i] = Place::Ready;
            let writes = !self.committed[i].ops.iter().all(|op| op.action.is_read());
            self.ready.push(Reverse((writes, self.turn(transaction), transaction)));
        }
    }

    /// When a transaction is to have its turn, among writes.
    fn turn(&self, transaction: u32) -> u64 {
        let Window { from, to } = self.windows[transaction as usize];
        let guess = self.guess[transaction as usize];
        if self.shuffle == 0 {
            return guess;
        }
        let mut chance = Random::new(self.shuffle.rotate_left(32) ^ u64::from(transaction));
        // More of them by chance the longer the search is stuck.
        if chance.below(SHUFFLED_OF) < 1 + self.attempts / self.demands_between % SHUFFLED_OF {
            from + chance.next_u64() % (to - from + 1)
        } else {
            guess
        }
    }

    fn is_held(&self, transaction: u32) -> bool {
        let holders = self.held_by.get(&transaction);
        holders.is_some_and(|holders| holders.iter().any(|holder| self.place[*holder as usize] != Place::Ran))
    }

    /// Runs a transaction if it may run and the store answers as the server did; else nothing has happened.
    fn attempt(&mut self, transaction: u32) -> Result<Step, Obstacle> {
        let committed = self.committed[transaction as usize];
        let step = Step { transaction, mark: self.store.mark(), now: self.store.now };
        if let Some(key) = self.wanted_by_others(transaction, committed) {
            return Err(Obstacle::Wanted(key));
        }
        for watched in &committed.watched {
            if self.store.seen(watched.key) != watched.seen || self.store.changed_by(watched.key) > watched.since {
                return Err(Obstacle::Differs(vec![watched.key], format!("k{} was not left alone", watched.key.0)));
            }
        }
        self.store.now = step.now.max(committed.invoked);
        for op in &committed.ops {
            if !self.store.repeats(op) {
                self.store.undo(step.mark);
                self.store.now = step.now;
                let what = format!("{} is not answered {}", op.action, op.answer);
                return Err(Obstacle::Differs(self.keys_that_matter(committed, &op.action), what));
            }
        }
        Ok(step)
    }

    /// A key that this transaction would change although others are to find or to replace what it holds.
    fn wanted_by_others(&self, transaction: u32, committed: &Transaction) -> Option<Key> {
        let wanted = |key: &Key| {
            let Some(version) = self.facts.versions.get(self.current[usize::from(key.0)] as usize) else {
                return false;
            };
            let unread = self.pending[self.current[usize::from(key.0)] as usize] > 0;
            unread || version.replaced_by.first().is_some_and(|by| *by != transaction)
        };
        if let [super::history::Op { action: Action::Tick { deadline }, .. }] = committed.ops[..] {
            return self.store.due(deadline).find(wanted);
        }
        let accesses = &self.facts.accesses[transaction as usize];
        accesses.iter().filter(|access| access.written).map(|access| access.key).find(wanted)
    }

    /// The keys that must change before the command can be answered otherwise; none: any.
    fn keys_that_matter(&self, committed: &Transaction, action: &Action) -> Vec<Key> {
        let moves = |action: &Action| matches!(action, Action::Rename { .. } | Action::Copy { .. });
        let keys = action.keys();
        if keys.is_empty() || committed.ops.iter().any(|op| op.action.keys().is_empty()) {
            return Vec::new();
        }
        if committed.ops.len() > 1 && committed.ops.iter().any(|op| moves(&op.action)) {
            return committed.ops.iter().flat_map(|op| op.action.keys()).collect();
        }
        keys
    }

    fn put_to_sleep(&mut self, transaction: u32, obstacle: &Obstacle) {
        self.place[transaction as usize] = Place::Asleep;
        match obstacle {
            Obstacle::Wanted(key) => self.asleep[usize::from(key.0)].push(transaction),
            Obstacle::Differs(keys, _) if keys.is_empty() => self.asleep_all.push(transaction),
            Obstacle::Differs(keys, _) => keys.iter().for_each(|key| self.asleep[usize::from(key.0)].push(transaction)),
        }
    }

    fn note_run(&mut self, step: Step) {
        let transaction = step.transaction;
        self.place[transaction as usize] = Place::Ran;
        self.left -= usize::from(!is_tick(self.committed[transaction as usize]));
        let changed: Vec<Key> = self.store.changes(step.mark).collect();
        self.steps.push(step);
        for &next in self.followers.of(transaction) {
            self.awaited[next as usize] -= 1;
            let window = self.windows[next as usize];
            if self.awaited[next as usize] == 0
                && self.is_admitted(window)
                && self.place[next as usize] == Place::Outside
            {
                self.make_ready(next);
            }
        }
        for key in &changed {
            self.note_current(*key);
            self.wake(*key);
        }
        if !changed.is_empty() {
            for waiting in std::mem::take(&mut self.asleep_all) {
                self.wake_one(waiting);
            }
        }
        self.note_reads(transaction);
        for waiting in self.holds.get(&transaction).cloned().unwrap_or_default() {
            if self.place[waiting as usize] == Place::Held {
                self.make_ready(waiting);
            }
        }
    }

    fn is_admitted(&self, window: Window) -> bool {
        self.by_to.get(self.oldest).is_some_and(|oldest| window.from <= self.windows[*oldest as usize].to)
    }

    fn wake(&mut self, key: Key) {
        for waiting in std::mem::take(&mut self.asleep[usize::from(key.0)]) {
            self.wake_one(waiting);
        }
    }

    fn wake_one(&mut self, waiting: u32) {
        if self.place[waiting as usize] == Place::Asleep {
            self.make_ready(waiting);
        }
    }

    fn version_found(&self, access: &Access) -> Option<u32> {
        let token = access.found.last().filter(|_| !access.written)?;
        self.facts.index.get(&(access.key, token)).copied()
    }

    fn note_reads(&mut self, transaction: u32) {
        let facts = self.facts;
        for access in &facts.accesses[transaction as usize] {
            if let Some(version) = self.version_found(access) {
                self.pending[version as usize] -= 1;
                if self.pending[version as usize] == 0 {
                    self.wake(access.key);
                }
            }
        }
    }

    fn note_current(&mut self, key: Key) {
        let version = match self.store.last(key) {
            Token::NONE => None,
            last => self.facts.index.get(&(key, last)),
        };
        self.current[usize::from(key.0)] = version.copied().unwrap_or(NO_VERSION);
    }
}
