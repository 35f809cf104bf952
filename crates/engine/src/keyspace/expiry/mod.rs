//! When keys are due: a hierarchical timing wheel of (hash, deadline, database) nodes.
//!
//! Adding a node is O(1), nothing is ever sorted or sampled, and a node is moved once per level on its way down. The wheel
//! does not know the keys: it says "look at this hash now", and whoever owns the table answers that the key is done with or
//! when to look again. So a key whose deadline moves later needs no new node, and the node of a deleted key is simply
//! answered with [`Fired::Done`] when it fires (or earlier, in [`ExpiryWheel::compact_slice`]).
//!
//! ```text
//!  level   slot      64 slots   time ──▶
//!    0     16 ms     1 s        B·●●·●··●·······●·····    B  the slot that spans `base`, the tick reached. It is empty:
//!    1     512 ms    33 s       B○··●···●·●···········       on level 0 its nodes have fired, 0 to 15 ms after their
//!    2     16 s      17 min     B○●···●···············       deadline; above they went down in time
//!    3     8.7 min   9 h        B○··●●················    ○  the slot behind it. Above level 0 it, too, is emptied into
//!    4     4.7 h     12 days    B○●···················       the level below: one slot's time before it would be late
//!    5     6.2 days  1 year     B○····················    ●  a slot in use: one bit per slot says so, empty ones cost
//!    …     × 32                                              no time
//!   11     18 M years, the end of `i64`
//! ```
//!
//! A slot spans 32 slots of the level below but a level has 64: the upper half is what lets a slot go down *before* its
//! time comes. Cascading is therefore never in a hurry, and like firing it stops when the budget is used up and goes on in
//! the next call: a slot of ten million nodes is emptied from its end, a few hundred at a time. If it does come to be late
//! (more is due than the budget allows), slots are served in the order of their time.
//!
//! Clock jumps: forward, the slots in between are found by their bits and served in order; what is due fires straight out of
//! the upper levels. Backward, slots that are now too far ahead are set aside and sorted in again, within the budget.
//! Times before 1970 count as 1970.
//!
//! Memory: 16.5 bytes per node in chunks of 512 bytes (chunk.rs), at most one partly filled chunk per slot in use, 7 KiB
//! for the wheel. Chunks come and go one by one. Invariants: no node fires before its deadline; none is lost; no call does
//! more than `budget` node visits or frees or allocates more than a chunk per node.

mod chunk;
mod generation;
mod slots;
#[cfg(test)]
mod tests;

use pinyon_base::{DbIndex, Millis};

use chunk::{Batch, ChunkPool, List, Node};
use generation::Generations;
use slots::{LEVELS, NEVER, Place, SLOTS, Slots};

/// log₂ of a tick in milliseconds.
const TICK_BITS: u32 = 4;

/// What became of a node that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The node is done with: its key expired, is gone, or has no deadline any more.
    Done,
    /// The key's deadline is later than the node's: fire again then. A time that is not after now means soon, but not in
    /// this call.
    RearmAt(Millis),
}

/// Who is told about due nodes. A closure `FnMut(DbIndex, u64, Millis) -> Fired` serves where no prefetching is wanted.
pub trait Due {
    /// Whether `bucket_soon` and `entry_soon` want to be called.
    const PREFETCHES: bool = false;

    /// The node's time has come. `deadline` is the one that the node was added with, not later than now; after the year 4199
    /// it is rounded up by up to 131 s.
    fn fire(&mut self, db: DbIndex, hash: u64, deadline: Millis) -> Fired;

    /// This node is among the next 31 to fire: time to prefetch its bucket.
    fn bucket_soon(&mut self, _db: DbIndex, _hash: u64) {}

    /// Called for the same nodes after `bucket_soon` was called for them all: time to prefetch the entry that the bucket
    /// names.
    fn entry_soon(&mut self, _db: DbIndex, _hash: u64) {}
}

impl<F: FnMut(DbIndex, u64, Millis) -> Fired + ?Sized> Due for F {
    #[inline]
    fn fire(&mut self, db: DbIndex, hash: u64, deadline: Millis) -> Fired {
        self(db, hash, deadline)
    }
}

/// A walk over all nodes that drops those no longer wanted, under way.
struct Sweep {
    place: Place,
    /// The nodes of `place` that were looked at and stay. The others are still in the slot's list.
    kept: List,
}

/// The deadlines of a shard.
pub struct ExpiryWheel {
    slots: Slots,
    /// Slots that the clock's going back put out of reach; sorted in again before anything else.
    set_aside: Vec<List>,
    sweep: Option<Sweep>,
    generations: Generations,
    pool: ChunkPool,
    nodes: usize,
    /// Nothing needs attention before this tick.
    attention: u64,
    #[cfg(test)]
    visits: usize,
}

impl ExpiryWheel {
    pub fn new(now: Millis) -> ExpiryWheel {
        ExpiryWheel {
            slots: Slots::new(tick_at(now)),
            set_aside: Vec::new(),
            sweep: None,
            generations: Generations::default(),
            pool: ChunkPool::default(),
            nodes: 0,
            attention: NEVER,
            #[cfg(test)]
            visits: 0,
        }
    }

    /// Remembers to look at `hash` in `db` at `deadline`; if that has passed, in the next [`ExpiryWheel::advance`].
    #[inline]
    pub fn add(&mut self, db: DbIndex, hash: u64, deadline: Millis) {
        let generation = self.generations.count_in(db);
        self.nodes += 1;
        let node = Node::new(hash, deadline, generation);
        self.insert(node, tick_of(node.deadline()));
    }

    /// Moves on to `now` and fires what is due, visiting at most `budget` nodes (firing one or moving it down a level is a
    /// visit). True: the budget was used up and there is more to do now.
    pub fn advance(
        &mut self,
        now: Millis,
        budget: usize,
        fire: &mut dyn FnMut(DbIndex, u64 /* hash */, Millis /* node's deadline */) -> Fired,
    ) -> bool {
        self.advance_with(now, budget, fire)
    }

    /// [`ExpiryWheel::advance`] for one who wants to know of nodes a little before they fire.
    pub fn advance_with<D: Due + ?Sized>(&mut self, now: Millis, budget: usize, due: &mut D) -> bool {
        let tick = tick_at(now);
        if tick < self.slots.base() {
            self.rewind(tick);
        }
        if tick < self.attention {
            self.slots.move_base(tick);
            return false;
        }
        let mut left = budget;
        self.sort_in_set_aside(now, &mut left, due);
        while left > 0
            && let Some(place) = self.next_place(tick)
        {
            self.drain(place, now, &mut left, due);
        }
        self.refresh_attention();
        self.attention <= tick
    }

    /// When [`ExpiryWheel::advance`] should be called next: at most 15 ms after the earliest deadline, earlier when nodes can
    /// move down a level. `None`: there are no nodes.
    pub fn next_deadline(&self) -> Option<Millis> {
        if self.nodes == 0 {
            return None;
        }
        let ms = self.attention.saturating_mul(1 << TICK_BITS);
        Some(Millis(ms.min(i64::MAX as u64) as i64))
    }

    /// Nodes held, those of cleared databases included as long as nobody has come across them.
    pub fn node_count(&self) -> usize {
        self.nodes
    }

    /// Nodes of cleared databases among [`ExpiryWheel::node_count`]. [`ExpiryWheel::compact_slice`] drops them.
    pub fn dead_count(&self) -> usize {
        self.generations.dead_nodes()
    }

    /// Goes on with a walk over all nodes, at most `budget` of them in this call, and drops those of cleared databases and
    /// those that `keep` (database, hash, deadline) does not want. False: the walk is complete, and the next call begins a
    /// new one. A node that moves down a level during the walk may be asked about twice; one added meanwhile perhaps not.
    pub fn compact_slice(&mut self, budget: usize, keep: &mut dyn FnMut(DbIndex, u64, Millis) -> bool) -> bool {
        let mut sweep = match self.sweep.take() {
            Some(sweep) => sweep,
            // From the highest level down, since that is the way nodes move: so the walk misses none.
            None => match self.slots.occupied_below(Place(LEVELS * SLOTS)) {
                Some(place) => Sweep { place, kept: List::default() },
                None => return false,
            },
        };
        let mut left = budget;
        loop {
            let list = self.slots.list_mut(sweep.place);
            if list.is_empty() {
                std::mem::swap(list, &mut sweep.kept);
                if list.is_empty() {
                    self.slots.mark_empty(sweep.place);
                    self.refresh_attention();
                }
                match self.slots.occupied_below(sweep.place) {
                    Some(place) => sweep.place = place,
                    None => return false,
                }
            } else if left == 0 {
                break;
            } else {
                let batch = list.pop_batch(left, &mut self.pool);
                left -= batch.nodes().len();
                for &node in batch.nodes() {
                    self.count_visit();
                    let db = self.generations.db(node.generation());
                    if db.is_some_and(|db| keep(db, node.hash, node.deadline())) {
                        sweep.kept.push(node, &mut self.pool);
                    } else {
                        self.forget(node);
                    }
                }
            }
        }
        self.sweep = Some(sweep);
        true
    }

    /// Forgets all nodes of `db`. O(1): they are dropped when somebody comes across them.
    pub fn clear_db(&mut self, db: DbIndex) {
        self.generations.clear(db);
    }

    /// The nodes of `a` belong to `b` from now on and those of `b` to `a`. O(1).
    pub fn swap_db(&mut self, a: DbIndex, b: DbIndex) {
        self.generations.swap(a, b);
    }

    /// Bytes of memory in use: chunks, slots and bookkeeping.
    pub fn bytes(&self) -> usize {
        size_of::<ExpiryWheel>()
            + self.slots.bytes()
            + self.pool.bytes()
            + self.generations.bytes()
            + self.set_aside.capacity() * size_of::<List>()
    }

    /// The slot to empty next at `tick`: what is due, by time; then what can go down a level ahead of its time.
    fn next_place(&mut self, tick: u64) -> Option<Place> {
        match self.slots.earliest() {
            Some(window) if window.start <= tick => {
                self.slots.move_base(window.start.max(self.slots.base()));
                Some(window.place)
            }
            _ => {
                self.slots.move_base(tick);
                self.slots.next_to_cascade()
            }
        }
    }

    /// Empties a slot: due nodes fire, the others go down a level.
    fn drain<D: Due + ?Sized>(&mut self, place: Place, now: Millis, left: &mut usize, due: &mut D) {
        loop {
            let list = self.slots.list_mut(place);
            if list.is_empty() {
                match &mut self.sweep {
                    // The walk of `compact_slice` stands here: what it kept is the rest of this slot.
                    Some(sweep) if sweep.place == place && !sweep.kept.is_empty() => {
                        std::mem::swap(list, &mut sweep.kept);
                    }
                    _ => {
                        self.slots.mark_empty(place);
                        return;
                    }
                }
            }
            if *left == 0 {
                return;
            }
            let batch = self.slots.list_mut(place).pop_batch(*left, &mut self.pool);
            *left -= batch.nodes().len();
            self.settle_all(&batch, now, due);
        }
    }

    /// Puts nodes that were set aside into slots again.
    fn sort_in_set_aside<D: Due + ?Sized>(&mut self, now: Millis, left: &mut usize, due: &mut D) {
        while let Some(list) = self.set_aside.last_mut() {
            if list.is_empty() {
                self.set_aside.pop();
            } else if *left == 0 {
                return;
            } else {
                let batch = list.pop_batch(*left, &mut self.pool);
                *left -= batch.nodes().len();
                self.settle_all(&batch, now, due);
            }
        }
    }

    /// Settles the nodes taken off a list, after announcing those about to fire.
    #[inline]
    fn settle_all<D: Due + ?Sized>(&mut self, batch: &Batch, now: Millis, due: &mut D) {
        let tellers: &[fn(&mut D, DbIndex, u64)] = if D::PREFETCHES { &[D::bucket_soon, D::entry_soon] } else { &[] };
        for tell in tellers {
            for node in batch.nodes().iter().filter(|node| node.deadline() <= now) {
                if let Some(db) = self.generations.db(node.generation()) {
                    tell(due, db, node.hash);
                }
            }
        }
        for &node in batch.nodes() {
            self.settle(node, now, due);
        }
    }

    /// Fires one node when it is due, else puts it where it belongs by now; a dead one is dropped.
    #[inline]
    fn settle<D: Due + ?Sized>(&mut self, node: Node, now: Millis, due: &mut D) {
        self.count_visit();
        let Some(db) = self.generations.db(node.generation()) else { return self.forget(node) };
        let deadline = node.deadline();
        if deadline > now {
            return self.insert(node, tick_of(deadline));
        }
        match due.fire(db, node.hash, deadline) {
            Fired::Done => self.forget(node),
            Fired::RearmAt(at) => {
                // Not in this tick again: the call must come to an end.
                let later = Millis(at.0.max(now.0.saturating_add(1)));
                let node = Node::new(node.hash, later, node.generation());
                self.insert(node, tick_of(node.deadline()));
            }
        }
    }

    #[inline]
    fn insert(&mut self, node: Node, tick: u64) {
        let (place, attention) = self.slots.place_for(tick);
        self.attention = self.attention.min(attention);
        self.slots.list_mut(place).push(node, &mut self.pool);
    }

    #[inline]
    fn forget(&mut self, node: Node) {
        self.nodes -= 1;
        self.generations.count_out(node.generation());
    }

    #[cold]
    fn rewind(&mut self, tick: u64) {
        let ExpiryWheel { slots, set_aside, sweep, .. } = self;
        slots.rewind(tick, &mut |place, list| {
            set_aside.push(std::mem::take(list));
            if let Some(sweep) = sweep
                && sweep.place == place
            {
                set_aside.push(std::mem::take(&mut sweep.kept));
            }
        });
        self.refresh_attention();
    }

    fn refresh_attention(&mut self) {
        self.attention = if self.set_aside.is_empty() { self.slots.next_attention() } else { 0 };
    }

    #[inline]
    fn count_visit(&mut self) {
        #[cfg(test)]
        {
            self.visits += 1;
        }
    }
}

/// The tick that `now` lies in. The last millisecond of time counts as the tick after it, or deadlines there would never
/// be reached.
#[inline]
fn tick_at(now: Millis) -> u64 {
    let ms = now.0.max(0) as u64;
    (ms + u64::from(now.0 == i64::MAX)) >> TICK_BITS
}

/// The first tick that begins at or after the deadline.
#[inline]
fn tick_of(deadline: Millis) -> u64 {
    (deadline.0.max(0) as u64 + (1 << TICK_BITS) - 1) >> TICK_BITS
}
