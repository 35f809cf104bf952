//! The wheel's geometry: which slot a time belongs to, and which slot is due next.
//!
//! Twelve levels of 64 slots. A slot of level L is 32ᴸ ticks wide, so one slot spans 32 slots of the level below, half of
//! that level's circle. `base` is the tick up to which everything is done; every slot in use on level L lies 0 to 63 slots
//! of that level ahead of it, which is what makes `index mod 64` unambiguous.

use std::iter;

use super::chunk::List;

pub(super) const LEVELS: usize = 12;
pub(super) const SLOTS: usize = 64;
/// log₂ of how many slots of the level below a slot spans.
const FANOUT_BITS: u32 = 5;
/// A time that never comes, in ticks.
pub(super) const NEVER: u64 = u64::MAX;

/// A slot: level × 64 + index mod 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) usize);

impl Place {
    pub(super) fn level(self) -> usize {
        self.0 / SLOTS
    }
}

/// A slot in use and the tick at which its time begins.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) place: Place,
    pub(super) start: u64,
}

pub(super) struct Slots {
    /// All earlier ticks are done. Never later than the tick of the last time seen.
    base: u64,
    /// By level: bit i set = slot i holds nodes.
    occupied: [u64; LEVELS],
    /// Bit L set = level L has an occupied slot.
    levels: u32,
    lists: Vec<List>,
}

impl Slots {
    pub(super) fn new(base: u64) -> Slots {
        let lists = iter::repeat_with(List::default).take(LEVELS * SLOTS).collect();
        Slots { base, occupied: [0; LEVELS], levels: 0, lists }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Moves forward to `tick`. No slot in use may begin before it, except on upper levels the one that spans it.
    #[inline]
    pub(super) fn move_base(&mut self, tick: u64) {
        debug_assert!(tick >= self.base);
        self.base = tick;
    }

    pub(super) fn list_mut(&mut self, place: Place) -> &mut List {
        &mut self.lists[place.0]
    }

    /// The slot for a node of `tick` and the tick at which somebody must look at that slot. The slot is marked as in use:
    /// the caller puts the node there.
    #[inline]
    pub(super) fn place_for(&mut self, tick: u64) -> (Place, u64) {
        let tick = tick.max(self.base);
        let level = self.level_for(tick);
        let index = index_of(tick, level);
        let slot = (index % SLOTS as u64) as usize;
        self.occupied[level] |= 1 << slot;
        self.levels |= 1 << level;
        (Place(level * SLOTS + slot), attention(level, index))
    }

    /// Takes the mark away from a slot that holds nothing any more.
    #[inline]
    pub(super) fn mark_empty(&mut self, place: Place) {
        let level = place.level();
        self.occupied[level] &= !(1 << (place.0 % SLOTS));
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// The slot in use whose time begins first. Of two that begin together, the wider one, whose nodes may belong into the
    /// narrower one.
    pub(super) fn earliest(&self) -> Option<Window> {
        let mut best: Option<Window> = None;
        for level in self.levels_in_use() {
            let index = self.first_index(level);
            let start = index << (FANOUT_BITS * level as u32);
            if best.is_none_or(|best| start <= best.start) {
                best = Some(Window { place: place_of(level, index), start });
            }
        }
        best
    }

    /// A slot of an upper level that comes after the one that spans `base`: its nodes can go down a level now.
    pub(super) fn next_to_cascade(&self) -> Option<Place> {
        self.levels_in_use().filter(|&level| level > 0).find_map(|level| {
            let index = self.first_index(level);
            (index <= index_of(self.base, level) + 1).then(|| place_of(level, index))
        })
    }

    /// The tick at which the next slot is due or can go down a level; `NEVER` when all are empty.
    pub(super) fn next_attention(&self) -> u64 {
        self.levels_in_use().map(|level| attention(level, self.first_index(level))).min().unwrap_or(NEVER)
    }

    /// Moves back to `tick` (the clock was set back). Calls `misplaced` for the slots that would be further than 63 ahead, and
    /// for the one of the old base, where nodes wait that were overdue when they came. The caller empties them, their marks
    /// are already gone.
    pub(super) fn rewind(&mut self, tick: u64, misplaced: &mut dyn FnMut(Place, &mut List)) {
        debug_assert!(tick <= self.base);
        for level in 0..LEVELS {
            let (old, new) = (index_of(self.base, level), index_of(tick, level));
            for ahead in 0..SLOTS as u64 {
                let place = place_of(level, old + ahead);
                let may_be_overdue = level == 0 && ahead == 0;
                let out_of_reach = old + ahead > new + (SLOTS as u64 - 1);
                if (out_of_reach || may_be_overdue) && self.is_occupied(place) {
                    self.mark_empty(place);
                    misplaced(place, &mut self.lists[place.0]);
                }
            }
        }
        self.base = tick;
    }

    /// The highest slot in use below `place`, for a walk over all slots from the highest level down.
    pub(super) fn occupied_below(&self, place: Place) -> Option<Place> {
        (0..place.0).rev().map(Place).find(|&place| self.is_occupied(place))
    }

    pub(super) fn bytes(&self) -> usize {
        self.lists.capacity() * size_of::<List>()
    }

    fn is_occupied(&self, place: Place) -> bool {
        self.occupied[place.level()] >> (place.0 % SLOTS) & 1 == 1
    }

    /// The lowest level on which `tick` is less than 64 slots ahead.
    #[inline]
    fn level_for(&self, tick: u64) -> usize {
        let bits = u64::BITS - (tick - self.base).leading_zeros();
        let level = (bits.saturating_sub(6).div_ceil(FANOUT_BITS)) as usize;
        // The distance in ticks fits; in slots it may be one more, when both ends lie across a border.
        let ahead = index_of(tick, level) - index_of(self.base, level);
        level + usize::from(ahead >= SLOTS as u64)
    }

    /// The absolute index of the first slot in use on a level that has one.
    #[inline]
    fn first_index(&self, level: usize) -> u64 {
        let base = index_of(self.base, level);
        let turned = self.occupied[level].rotate_right((base % SLOTS as u64) as u32);
        base + u64::from(turned.trailing_zeros())
    }

    fn levels_in_use(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.levels;
        iter::from_fn(move || {
            let level = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (level < u32::BITS).then_some(level as usize)
        })
    }
}

/// The absolute index on `level` of the slot that spans `tick`.
#[inline]
fn index_of(tick: u64, level: usize) -> u64 {
    tick >> (FANOUT_BITS * level as u32)
}

#[inline]
fn place_of(level: usize, index: u64) -> Place {
    Place(level * SLOTS + (index % SLOTS as u64) as usize)
}

/// When a slot needs attention: on the lowest level at its tick, above when it can go down, one slot ahead of its time.
#[inline]
fn attention(level: usize, index: u64) -> u64 {
    if level == 0 { index } else { index.saturating_sub(1) << (FANOUT_BITS * level as u32) }
}
