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
use crate::packed::Packed;
use crate::table::{Record, Table};
use intset::IntSet;

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

impl Default for Set {
    fn default() -> Set {
        Set::Ints(IntSet::default())
    }
}

fn plain(key: &[u8]) -> Record<'_> {
    Record { key, value: b"", deadline: None }
}

impl Set {
    pub fn new() -> Set {
        Set::default()
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
        match self {
            Set::Ints(ints) => ints.ints().len(),
            Set::Packed(packed) => packed.len(),
            Set::Table(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
            Set::Table(_) => "hashtable",
        }
    }

    /// Bytes owned, beside this value itself.
    pub fn memory(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.memory(),
            Set::Packed(packed) => packed.memory(),
            Set::Table(table) => crate::memory::block_bytes(size_of::<Table>()) + table.memory(),
        }
    }

    /// Whether the member is there, given in any form.
    #[inline]
    pub fn contains(&self, member: Item<'_>) -> bool {
        match self {
            Set::Ints(ints) => matches!(member.canonical(), Item::Int(value) if ints.ints().contains(value)),
            Set::Packed(packed) => packed.seq().find(member.canonical(), 1).is_some(),
            Set::Table(table) => table.contains(member.bytes(&mut [0; 20])),
        }
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

    /// The member at that place of a small form, in no particular order; `None` behind the last, and in a table.
    pub fn nth(&self, index: usize) -> Option<Item<'_>> {
        match self {
            Set::Ints(ints) if index < ints.ints().len() => Some(Item::Int(ints.ints().get(index))),
            Set::Packed(packed) => packed.seq().get(index),
            _ => None,
        }
    }

    /// Any member, each with the same chance. `random` gives 64 random bits.
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<Item<'_>> {
        match self {
            Set::Table(table) => table.random(random).map(|record| Item::Bytes(record.key)),
            _ if self.is_empty() => None,
            _ => self.nth(below(random(), self.len())),
        }
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

    /// Visits `count` members or some more from the cursor on, and gives the next cursor, 0 at the end; see
    /// [`Table::scan`]. Small forms are visited whole, as Redis does.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(Item<'_>)) -> u64 {
        match self {
            Set::Ints(ints) => ints.ints().iter().for_each(|value| visit(Item::Int(value))),
            Set::Packed(packed) => packed.seq().iter().for_each(visit),
            Set::Table(table) => return table.scan(cursor, count, &mut |record| visit(Item::Bytes(record.key))),
        }
        0
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
