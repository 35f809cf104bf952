//! Sorted sets: members with scores, in the order of scores and then of the members' bytes.
//!
//! ```text
//!  packed     member │ score │ member │ score │ …       in order
//!               a score is an integer where it is one, otherwise its eight bytes as a string
//!  ranked     a counted tree of leaves, and an index from members to leaves (see `ranked`)
//! ```
//!
//! Ranges of every kind are ranges of ranks: [`ZSet::rank_of_score`] and [`ZSet::rank_of_lex`] turn a bound into one. No score
//! is NaN.

mod index;
mod leaf;
mod ranked;

use std::cmp::Ordering;

use crate::item::Item;
use crate::memory::block_bytes;
use crate::packed::{Packed, Seq};
use crate::set::below;
use leaf::Key;
use ranked::Ranked;

/// Up to where a sorted set stays small.
#[derive(Clone, Copy, Debug)]
pub struct ZSetLimits {
    /// `zset-max-listpack-entries`
    pub entries: usize,
    /// `zset-max-listpack-value`, in bytes
    pub value: usize,
    /// Keys the hash of the large form.
    pub seed: u64,
}

impl Default for ZSetLimits {
    fn default() -> ZSetLimits {
        ZSetLimits { entries: 128, value: 64, seed: 0 }
    }
}

/// A sorted set.
#[derive(Clone)]
pub enum ZSet {
    Packed(Packed),
    Ranked(Box<Ranked>),
}

impl Default for ZSet {
    fn default() -> ZSet {
        ZSet::Packed(Packed::new())
    }
}

/// A score as an element of a packed sequence.
struct ScoreItem([u8; 8], Option<i64>);

impl ScoreItem {
    fn of(score: f64) -> ScoreItem {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        // A zero loses its sign, as in Redis's small form.
        let is_int = score.fract() == 0.0 && score.abs() <= EXACT_MAX;
        ScoreItem(score.to_le_bytes(), is_int.then_some(score as i64))
    }

    fn item(&self) -> Item<'_> {
        self.1.map_or(Item::Bytes(&self.0), Item::Int)
    }
}

fn score_of(item: Item<'_>) -> f64 {
    match item {
        Item::Int(value) => value as f64,
        Item::Bytes(bytes) => f64::from_le_bytes(bytes.try_into().expect("eight bytes")),
    }
}

/// The elements of a packed sorted set: the place of each, member and score.
fn elements<'a>(seq: Seq<'a>) -> impl Iterator<Item = (usize, Item<'a>, f64)> {
    let mut items = seq.iter();
    std::iter::from_fn(move || {
        let place = items.place();
        Some((place, items.next()?, score_of(items.next()?)))
    })
}

impl ZSet {
    pub fn new() -> ZSet {
        ZSet::default()
    }

    pub fn len(&self) -> usize {
        match self {
            ZSet::Packed(packed) => packed.len() / 2,
            ZSet::Ranked(ranked) => ranked.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING answers: the large form has the name of Redis's.
    pub fn encoding(&self) -> &'static str {
        match self {
            ZSet::Packed(_) => "listpack",
            ZSet::Ranked(_) => "skiplist",
        }
    }

    /// Bytes owned, beside this value itself.
    pub fn memory(&self) -> usize {
        match self {
            ZSet::Packed(packed) => packed.memory(),
            ZSet::Ranked(ranked) => block_bytes(size_of::<Ranked>()) + ranked.memory(),
        }
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            ZSet::Packed(packed) => {
                let seq = packed.seq();
                let place = seq.find(Item::of(member), 2)?;
                Some(score_of(seq.at(seq.at(place).1).0))
            }
            ZSet::Ranked(ranked) => ranked.score(member),
        }
    }

    /// A member's rank from the lowest score on, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            ZSet::Packed(packed) => {
                let item = Item::of(member);
                elements(packed.seq())
                    .enumerate()
                    .find(|(_, (_, one, _))| *one == item)
                    .map(|(rank, (_, _, score))| (rank, score))
            }
            ZSet::Ranked(ranked) => ranked.rank(member),
        }
    }

    /// Gives a member a score; its old one if it had one. The score must not be NaN.
    pub fn add(&mut self, member: &[u8], score: f64, limits: &ZSetLimits) -> Option<f64> {
        assert!(!score.is_nan());
        if let ZSet::Packed(packed) = self {
            let item = Item::of(member);
            let old = packed.seq().find(item, 2);
            if let Some(place) = old {
                let seq = packed.seq();
                let old = score_of(seq.at(seq.at(place).1).0);
                if old.to_bits() != score.to_bits() {
                    packed.remove(place, 2);
                    insert_packed(packed, member, score);
                }
                return Some(old);
            }
            if packed.len() / 2 < limits.entries && member.len() <= limits.value {
                insert_packed(packed, member, score);
                return None;
            }
        }
        self.to_ranked(limits.seed).add(member, score)
    }

    /// Makes it the large form now.
    pub fn to_ranked(&mut self, seed: u64) -> &mut Ranked {
        if let ZSet::Packed(packed) = self {
            let mut ranked = Ranked::new(seed);
            for (_, member, score) in elements(packed.seq()) {
                ranked.add(member.bytes(&mut [0; 20]), score);
            }
            *self = ZSet::Ranked(Box::new(ranked));
        }
        match self {
            ZSet::Ranked(ranked) => ranked,
            ZSet::Packed(_) => unreachable!("it was just made the large form"),
        }
    }

    /// Makes it the small form again if it is within the limits (as Redis does with results that it has built).
    pub fn pack(&mut self, limits: &ZSetLimits) {
        let ZSet::Ranked(ranked) = self else { return };
        let mut fits = ranked.len() <= limits.entries;
        let mut items = Vec::new();
        if fits {
            ranked.walk(0, false, &mut |member, score| {
                fits = member.len() <= limits.value;
                items.push((member.to_vec(), ScoreItem::of(score)));
                fits
            });
        }
        if fits {
            let mut packed = Packed::new();
            for (member, score) in &items {
                packed.insert(packed.as_bytes().len(), &[Item::of(member), score.item()]);
            }
            *self = ZSet::Packed(packed);
        }
    }

    /// Takes a member out; its score if it was there.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            ZSet::Packed(packed) => {
                let seq = packed.seq();
                let place = seq.find(Item::of(member), 2)?;
                let score = score_of(seq.at(seq.at(place).1).0);
                packed.remove(place, 2);
                Some(score)
            }
            ZSet::Ranked(ranked) => ranked.remove(member),
        }
    }

    /// Takes out `count` elements by rank, or all there are, after showing each.
    pub fn remove_range(&mut self, start: usize, count: usize, show: &mut dyn FnMut(&[u8], f64)) {
        match self {
            ZSet::Packed(packed) => {
                for (_, member, score) in elements(packed.seq()).skip(start).take(count) {
                    show(member.bytes(&mut [0; 20]), score);
                }
                if start < packed.len() / 2 {
                    packed.remove(packed.seq().place_of(2 * start), count.saturating_mul(2));
                }
            }
            ZSet::Ranked(ranked) => ranked.remove_range(start, count, show),
        }
    }

    /// How many elements have a lower score, or, with `or_equal`, one that is not higher: the rank at which a range that is
    /// bounded by the score begins.
    pub fn rank_of_score(&self, score: f64, or_equal: bool) -> usize {
        match self {
            ZSet::Packed(packed) => elements(packed.seq())
                .take_while(|(_, _, one)| if or_equal { *one <= score } else { *one < score })
                .count(),
            ZSet::Ranked(ranked) => ranked.rank_of_score(score, or_equal),
        }
    }

    /// How many members are before this one, or, with `or_equal`, not behind it, if all scores are equal.
    pub fn rank_of_lex(&self, member: &[u8], or_equal: bool) -> usize {
        match self {
            ZSet::Packed(packed) => elements(packed.seq())
                .take_while(|(_, one, _)| {
                    let order = one.bytes(&mut [0; 20]).cmp(member);
                    order == Ordering::Less || (or_equal && order == Ordering::Equal)
                })
                .count(),
            ZSet::Ranked(ranked) => ranked.rank_of_lex(member, or_equal),
        }
    }

    /// Visits elements from a rank on, towards higher ranks or lower ones, until `visit` says false.
    pub fn walk(&self, from: usize, reverse: bool, visit: &mut dyn FnMut(&[u8], f64) -> bool) {
        match self {
            ZSet::Packed(_) if from >= self.len() => {}
            ZSet::Packed(packed) if reverse => {
                let all: Vec<_> = elements(packed.seq()).take(from + 1).collect();
                let _all = all.iter().rev().all(|(_, member, score)| visit(member.bytes(&mut [0; 20]), *score));
            }
            ZSet::Packed(packed) => {
                let mut rest = elements(packed.seq()).skip(from);
                let _all = rest.all(|(_, member, score)| visit(member.bytes(&mut [0; 20]), score));
            }
            ZSet::Ranked(ranked) => ranked.walk(from, reverse, visit),
        }
    }

    /// Visits `count` elements from a rank on.
    pub fn range(&self, start: usize, count: usize, reverse: bool, visit: &mut dyn FnMut(&[u8], f64)) {
        let mut left = count;
        if left > 0 {
            self.walk(start, reverse, &mut |member, score| {
                visit(member, score);
                left -= 1;
                left > 0
            });
        }
    }

    /// Shows any element, each with the same chance, and gives its rank; `None` when there is none.
    pub fn random(&self, random: &mut dyn FnMut() -> u64, show: &mut dyn FnMut(&[u8], f64)) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let rank = below(random(), self.len());
        self.range(rank, 1, false, show);
        Some(rank)
    }

    /// Visits `count` elements or some more from the cursor on, in no order, and gives the next cursor, 0 at the end. What is
    /// there during the whole walk is visited. A packed one is visited whole, as Redis does.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        match self {
            ZSet::Packed(_) => {
                self.range(0, usize::MAX, false, visit);
                0
            }
            ZSet::Ranked(ranked) => ranked.scan(cursor, count, visit),
        }
    }

    /// Frees a part of a large one, some `budget` elements; true while there is more. It is of no use afterwards.
    pub fn free_some(&mut self, budget: usize) -> bool {
        match self {
            ZSet::Packed(_) => false,
            ZSet::Ranked(ranked) => ranked.free_some(budget),
        }
    }
}

fn insert_packed(packed: &mut Packed, member: &[u8], score: f64) {
    let key = Key { score, member };
    let place = elements(packed.seq())
        .find(|(_, one, score)| Key { score: *score, member: one.bytes(&mut [0; 20]) }.cmp(&key) == Ordering::Greater)
        .map_or(packed.as_bytes().len(), |(place, _, _)| place);
    packed.insert(place, &[Item::of(member), ScoreItem::of(score).item()]);
}

#[cfg(test)]
mod tests;
