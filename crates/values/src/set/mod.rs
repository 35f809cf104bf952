//! Sets: sorted integers, a packed sequence, or a table.
//!
//! A set begins as the smallest form that its first members fit and only ever goes to a larger one, at the limits that Redis
//! has for it:
//!
//! ```text
//!  intset ──▶ listpack ──▶ hashtable          (names as OBJECT ENCODING tells them)
//!     └────────────────────────▲
//! ```
//!
//! An integer in its canonical text is the same member in every form.

pub mod algebra;
pub mod intset;

use crate::item::Item;
use crate::memory::block_bytes;
use crate::packed::{Packed, Seq};
use crate::table::{Record, Table};
use intset::{IntSet, Ints};

/// Up to where a set stays small.
#[derive(Clone, Copy, Debug)]
pub struct SetLimits {
    /// `set-max-intset-entries`
    pub intset_entries: usize,
    /// `set-max-listpack-entries`; 0: what is no intset is a hashtable, as before Redis 7.2.
    pub listpack_entries: usize,
    /// `set-max-listpack-value`, in bytes
    pub listpack_value: usize,
    /// Keys the hash of a table that is made.
    pub seed: u64,
}

impl Default for SetLimits {
    fn default() -> SetLimits {
        SetLimits { intset_entries: 512, listpack_entries: 128, listpack_value: 64, seed: 0 }
    }
}

/// A set of strings.
#[derive(Clone)]
pub enum Set {
    Ints(IntSet),
    Packed(Packed),
    Table(Box<Table>),
}

/// A set, borrowed. A small one may lie anywhere, also inside of an entry of the keyspace.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    Ints(Ints<'a>),
    Packed(Seq<'a>),
    Table(&'a Table),
}

impl Default for Set {
    fn default() -> Set {
        Set::Ints(IntSet::default())
    }
}

fn plain(key: &[u8]) -> Record<'_> {
    Record { key, value: b"", deadline: None }
}

impl<'a> SetRef<'a> {
    /// A set without members.
    pub fn empty() -> SetRef<'a> {
        SetRef::Ints(Ints::empty())
    }

    #[inline]
    pub fn len(self) -> usize {
        match self {
            SetRef::Ints(ints) => ints.len(),
            SetRef::Packed(seq) => seq.len(),
            SetRef::Table(table) => table.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(self) -> &'static str {
        match self {
            SetRef::Ints(_) => "intset",
            SetRef::Packed(_) => "listpack",
            SetRef::Table(_) => "hashtable",
        }
    }

    /// Bytes that a [`Set`] of these members owns, beside itself.
    pub fn memory(self) -> usize {
        match self {
            SetRef::Ints(ints) => block_bytes(ints.as_bytes().len()),
            SetRef::Packed(seq) => block_bytes(seq.end()),
            SetRef::Table(table) => block_bytes(size_of::<Table>()) + table.memory(),
        }
    }

    /// A copy of its own.
    pub fn to_set(self) -> Set {
        match self {
            SetRef::Ints(ints) => Set::Ints(IntSet::from_bytes(ints.as_bytes().to_vec())),
            SetRef::Packed(seq) => Set::Packed(Packed::from_bytes(seq.as_bytes().to_vec())),
            SetRef::Table(table) => Set::Table(Box::new(table.clone())),
        }
    }

    /// Whether the member is there, given in any form.
    #[inline]
    pub fn contains(self, member: Item<'_>) -> bool {
        match self {
            SetRef::Ints(ints) => matches!(member.canonical(), Item::Int(value) if ints.contains(value)),
            SetRef::Packed(seq) => seq.find(member.canonical(), 1).is_some(),
            SetRef::Table(table) => table.contains(member.bytes(&mut [0; 20])),
        }
    }

    /// The member at that place of a small form, in no particular order; `None` behind the last, and in a table.
    pub fn nth(self, index: usize) -> Option<Item<'a>> {
        match self {
            SetRef::Ints(ints) if index < ints.len() => Some(Item::Int(ints.get(index))),
            SetRef::Packed(seq) => seq.get(index),
            _ => None,
        }
    }

    /// Any member, each with the same chance. `random` gives 64 random bits.
    pub fn random(self, random: &mut dyn FnMut() -> u64) -> Option<Item<'a>> {
        match self {
            SetRef::Table(table) => table.random(random).map(|record| Item::Bytes(record.key)),
            _ if self.is_empty() => None,
            _ => self.nth(below(random(), self.len())),
        }
    }

    /// Visits `count` members or some more from the cursor on, and gives the next cursor, 0 at the end; see
    /// [`Table::scan`]. Small forms are visited whole, as Redis does.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Item<'_>)) -> u64 {
        match self {
            SetRef::Ints(ints) => ints.iter().for_each(|value| visit(Item::Int(value))),
            SetRef::Packed(seq) => seq.iter().for_each(visit),
            SetRef::Table(table) => return table.scan(cursor, count, &mut |record| visit(Item::Bytes(record.key))),
        }
        0
    }
}

impl Set {
    pub fn new() -> Set {
        Set::default()
    }

    /// For reading.
    #[inline]
    pub fn as_ref(&self) -> SetRef<'_> {
        match self {
            Set::Ints(ints) => SetRef::Ints(ints.ints()),
            Set::Packed(packed) => SetRef::Packed(packed.seq()),
            Set::Table(table) => SetRef::Table(table),
        }
    }

    /// Becomes a copy of another one; the memory of a small one is used again for one of the same form.
    pub fn copy_from(&mut self, other: SetRef<'_>) {
        match (&mut *self, other) {
            (Set::Ints(ints), SetRef::Ints(others)) => ints.copy_from(others),
            (Set::Packed(packed), SetRef::Packed(seq)) => packed.copy_from(seq),
            _ => *self = other.to_set(),
        }
    }

    /// An empty set of the form that Redis chooses for a set that will have `members` members like `first` (a hint: SADD
    /// of many, results of set algebra).
    pub fn with_hint(first: &[u8], members: usize, limits: &SetLimits) -> Set {
        match Item::of(first) {
            Item::Int(_) if members <= limits.intset_entries => Set::default(),
            item if members <= limits.listpack_entries && item.text_len() <= limits.listpack_value => {
                Set::Packed(Packed::new())
            }
            _ => Set::Table(Box::new(Table::new(limits.seed, false))),
        }
    }

    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        self.as_ref().encoding()
    }

    /// Bytes owned, beside this value itself.
    pub fn memory(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.memory(),
            Set::Packed(packed) => packed.memory(),
            Set::Table(_) => self.as_ref().memory(),
        }
    }

    /// Whether the member is there, given in any form.
    #[inline]
    pub fn contains(&self, member: Item<'_>) -> bool {
        self.as_ref().contains(member)
    }

    /// Adds a member; true when it is new.
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        match self {
            Set::Ints(ints) => match Item::of(member) {
                Item::Int(value) => {
                    let is_new = ints.insert(value);
                    if ints.ints().len() > limits.intset_entries {
                        self.to_table(limits.seed);
                    }
                    is_new
                }
                Item::Bytes(_) => {
                    let len = ints.ints().len();
                    let longest = |ints: &IntSet| {
                        let ints = ints.ints();
                        [ints.get(0), ints.get(ints.len() - 1)].map(|v| Item::Int(v).text_len()).into_iter().max()
                    };
                    if len < limits.listpack_entries
                        && member.len() <= limits.listpack_value
                        && (len == 0 || longest(ints) <= Some(limits.listpack_value))
                    {
                        let mut packed = Packed::new();
                        let items: Vec<Item<'_>> = ints.ints().iter().map(Item::Int).collect();
                        packed.insert(packed.seq().first(), &items);
                        *self = Set::Packed(packed);
                    } else {
                        self.to_table(limits.seed);
                    }
                    self.add(member, limits)
                }
            },
            Set::Packed(packed) => {
                let item = Item::of(member);
                if packed.seq().find(item, 1).is_some() {
                    return false;
                }
                if packed.len() < limits.listpack_entries && member.len() <= limits.listpack_value {
                    packed.push(item);
                    return true;
                }
                self.to_table(limits.seed);
                self.add(member, limits)
            }
            Set::Table(table) => match table.contains(member) {
                true => false,
                false => table.insert(plain(member)),
            },
        }
    }

    /// Takes a member out; true when it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => matches!(Item::of(member), Item::Int(value) if ints.remove(value)),
            Set::Packed(packed) => match packed.seq().find(Item::of(member), 1) {
                Some(place) => {
                    packed.remove(place, 1);
                    true
                }
                None => false,
            },
            Set::Table(table) => table.remove(member),
        }
    }

    /// Makes it a table now.
    pub fn to_table(&mut self, seed: u64) {
        if matches!(self, Set::Table(_)) {
            return;
        }
        let mut table = Table::new(seed, false);
        self.scan(0, usize::MAX, &mut |member| {
            table.insert(plain(member.bytes(&mut [0; 20])));
        });
        *self = Set::Table(Box::new(table));
    }

    /// As [`SetRef::nth`].
    pub fn nth(&self, index: usize) -> Option<Item<'_>> {
        self.as_ref().nth(index)
    }

    /// As [`SetRef::random`].
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<Item<'_>> {
        self.as_ref().random(random)
    }

    /// Takes any member out, each with the same chance (SPOP), after showing it. False: there is none.
    pub fn pop(&mut self, random: &mut dyn FnMut() -> u64, show: &mut dyn FnMut(&[u8])) -> bool {
        if self.is_empty() {
            return false;
        }
        match self {
            Set::Ints(ints) => {
                let value = ints.ints().get(below(random(), ints.ints().len()));
                show(Item::Int(value).bytes(&mut [0; 20]));
                ints.remove(value);
            }
            Set::Packed(packed) => {
                let place = packed.seq().place_of(below(random(), packed.len()));
                show(packed.seq().at(place).0.bytes(&mut [0; 20]));
                packed.remove(place, 1);
            }
            Set::Table(table) => {
                let Some(record) = table.random(random) else { return false };
                show(record.key);
                // It is removed by its name, which must outlive it: a usual one without an allocation.
                let mut short = [0; 128];
                match short.get_mut(..record.key.len()) {
                    Some(name) => {
                        name.copy_from_slice(record.key);
                        table.remove(name);
                    }
                    None => {
                        let name = record.key.to_vec();
                        table.remove(&name);
                    }
                }
            }
        }
        true
    }

    /// As [`SetRef::scan`].
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(Item<'_>)) -> u64 {
        self.as_ref().scan(cursor, count, visit)
    }

    /// Frees a part of a large set, some `budget` members; true while there is more. It is of no use afterwards.
    pub fn free_some(&mut self, budget: usize) -> bool {
        match self {
            Set::Table(table) => table.free_some(budget),
            _ => false,
        }
    }
}

/// A number below `n` out of 64 random bits.
pub(crate) fn below(bits: u64, n: usize) -> usize {
    ((u128::from(bits) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests;
