//! Hashes: fields with values, as a packed sequence or a table; fields may have deadlines.
//!
//! ```text
//!  packed     field │ value │ field │ value │ …          in order of arrival
//!  table      records by field, with value and deadline; and the deadlines in order: (when, hash of the field)
//! ```
//!
//! A hash becomes a table when it passes Redis's limits or when a field gets a deadline, and stays one.
//!
//! Nothing here knows the time: a field is there until [`Hash::expire`] has taken it out. Who looks at a hash with deadlines
//! calls that first, which costs nothing when none is due.

use std::collections::BTreeSet;

use crate::item::Item;
use crate::memory::block_bytes;
use crate::packed::{Packed, Seq};
use crate::set::below;
use crate::table::{Record, Table};

/// Up to where a hash stays small.
#[derive(Clone, Copy, Debug)]
pub struct HashLimits {
    /// `hash-max-listpack-entries`
    pub entries: usize,
    /// `hash-max-listpack-value`, in bytes
    pub value: usize,
    /// Keys the hash of a table that is made.
    pub seed: u64,
}

impl Default for HashLimits {
    fn default() -> HashLimits {
        HashLimits { entries: 128, value: 64, seed: 0 }
    }
}

/// What becomes of a field's deadline when its value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTtl {
    Clear,
    Keep,
    /// Unix time in milliseconds.
    At(i64),
}

/// A field with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: Item<'a>,
    pub value: Item<'a>,
    /// Unix time in milliseconds.
    pub deadline: Option<i64>,
}

/// A hash.
#[derive(Clone)]
pub enum Hash {
    Packed(Packed),
    Table(Box<Fields>),
}

/// A hash, borrowed. A packed one may lie anywhere, also inside of an entry of the keyspace.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    Packed(Seq<'a>),
    Table(&'a Fields),
}

/// The large form.
#[derive(Clone)]
pub struct Fields {
    table: Table,
    /// For each field that has a deadline: that and the hash of its name.
    deadlines: BTreeSet<(i64, u64)>,
    /// See [`Hash::alarm`].
    alarm: Option<i64>,
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Packed::new())
    }
}

fn field_of(record: Record<'_>) -> Field<'_> {
    Field { name: Item::Bytes(record.key), value: Item::Bytes(record.value), deadline: record.deadline }
}

/// The value of a field in a packed sequence.
fn packed_get<'a>(seq: Seq<'a>, name: &[u8]) -> Option<Item<'a>> {
    let place = seq.find(Item::of(name), 2)?;
    Some(seq.at(seq.at(place).1).0)
}

impl<'a> HashRef<'a> {
    /// A hash without fields.
    pub fn empty() -> HashRef<'a> {
        HashRef::Packed(Seq::EMPTY)
    }

    /// Number of fields.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            HashRef::Packed(seq) => seq.len() / 2,
            HashRef::Table(fields) => fields.table.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether it is a packed sequence.
    pub fn is_packed(self) -> bool {
        matches!(self, HashRef::Packed(_))
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(self) -> &'static str {
        match self {
            HashRef::Packed(_) => "listpack",
            HashRef::Table(_) => "hashtable",
        }
    }

    /// Bytes that a [`Hash`] of these fields owns, beside itself.
    pub fn memory(self) -> usize {
        match self {
            HashRef::Packed(seq) => block_bytes(seq.end()),
            HashRef::Table(fields) => {
                // A node of the ordered set holds 11 entries of 16 bytes and is three quarters full.
                let deadlines = fields.deadlines.len() * 16 * 10 / 7;
                block_bytes(size_of::<Fields>()) + fields.table.memory() + deadlines
            }
        }
    }

    /// A copy of its own.
    pub fn to_hash(self) -> Hash {
        match self {
            HashRef::Packed(seq) => Hash::Packed(Packed::from_bytes(seq.as_bytes().to_vec())),
            HashRef::Table(fields) => Hash::Table(Box::new(fields.clone())),
        }
    }

    #[inline]
    pub fn get(self, name: &[u8]) -> Option<Item<'a>> {
        match self {
            HashRef::Packed(seq) => packed_get(seq, name),
            HashRef::Table(fields) => fields.table.get(name).map(|record| Item::Bytes(record.value)),
        }
    }

    pub fn contains(self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// A field's deadline; `None` when there is no such field, `Some(None)` when it has none.
    pub fn deadline(self, name: &[u8]) -> Option<Option<i64>> {
        match self {
            HashRef::Packed(seq) => packed_get(seq, name).map(|_| None),
            HashRef::Table(fields) => fields.table.get(name).map(|record| record.deadline),
        }
    }

    /// The earliest deadline of its fields.
    #[inline]
    pub fn next_deadline(self) -> Option<i64> {
        match self {
            HashRef::Packed(_) => None,
            HashRef::Table(fields) => fields.deadlines.first().map(|(deadline, _)| *deadline),
        }
    }

    /// When the hash's owner has arranged to look for fields that are due. Only kept here, for the owner.
    pub fn alarm(self) -> Option<i64> {
        match self {
            HashRef::Packed(_) => None,
            HashRef::Table(fields) => fields.alarm,
        }
    }

    /// Number of fields that have deadlines.
    pub fn volatile_len(self) -> usize {
        match self {
            HashRef::Packed(_) => 0,
            HashRef::Table(fields) => fields.deadlines.len(),
        }
    }

    /// The field at that place of a packed hash; `None` behind the last, and in a table.
    pub fn nth(self, index: usize) -> Option<Field<'a>> {
        let HashRef::Packed(seq) = self else { return None };
        if index >= self.len() {
            return None;
        }
        let (name, next) = seq.at(seq.place_of(2 * index));
        Some(Field { name, value: seq.at(next).0, deadline: None })
    }

    /// All fields.
    pub fn fields(self) -> Box<dyn Iterator<Item = Field<'a>> + 'a> {
        match self {
            HashRef::Packed(seq) => {
                let mut items = seq.iter();
                Box::new(std::iter::from_fn(move || {
                    Some(Field { name: items.next()?, value: items.next()?, deadline: None })
                }))
            }
            HashRef::Table(fields) => Box::new(fields.table.iter().map(field_of)),
        }
    }

    /// Any field, each with the same chance. `random` gives 64 random bits.
    pub fn random(self, random: &mut dyn FnMut() -> u64) -> Option<Field<'a>> {
        match self {
            HashRef::Table(fields) => fields.table.random(random).map(field_of),
            HashRef::Packed(_) if self.is_empty() => None,
            HashRef::Packed(_) => self.nth(below(random(), self.len())),
        }
    }

    /// Visits `count` fields or some more from the cursor on, and gives the next cursor, 0 at the end; see [`Table::scan`]. A
    /// packed hash is visited whole, as Redis does.
    pub fn scan(self, cursor: u64, count: usize, visit: &mut dyn FnMut(Field<'_>)) -> u64 {
        match self {
            HashRef::Packed(seq) => {
                let mut items = seq.iter();
                while let (Some(name), Some(value)) = (items.next(), items.next()) {
                    visit(Field { name, value, deadline: None });
                }
                0
            }
            HashRef::Table(fields) => fields.table.scan(cursor, count, &mut |record| visit(field_of(record))),
        }
    }
}

impl Hash {
    pub fn new() -> Hash {
        Hash::default()
    }

    /// For reading.
    #[inline]
    pub fn as_ref(&self) -> HashRef<'_> {
        match self {
            Hash::Packed(packed) => HashRef::Packed(packed.seq()),
            Hash::Table(fields) => HashRef::Table(fields),
        }
    }

    /// Becomes a copy of another one; the memory of a packed one is used again for a packed one.
    pub fn copy_from(&mut self, other: HashRef<'_>) {
        match (&mut *self, other) {
            (Hash::Packed(packed), HashRef::Packed(seq)) => packed.copy_from(seq),
            _ => *self = other.to_hash(),
        }
    }

    /// Number of fields.
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
            Hash::Packed(packed) => packed.memory(),
            Hash::Table(_) => self.as_ref().memory(),
        }
    }

    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Item<'_>> {
        self.as_ref().get(name)
    }

    pub fn contains(&self, name: &[u8]) -> bool {
        self.as_ref().contains(name)
    }

    /// As [`HashRef::deadline`].
    pub fn deadline(&self, name: &[u8]) -> Option<Option<i64>> {
        self.as_ref().deadline(name)
    }

    /// Writes a field; true when it is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], ttl: FieldTtl, limits: &HashLimits) -> bool {
        if let Hash::Packed(packed) = self {
            let is_small = name.len() <= limits.value && value.len() <= limits.value;
            if is_small && !matches!(ttl, FieldTtl::At(_)) {
                let seq = packed.seq();
                let (field, value) = (Item::of(name), Item::of(value));
                if let Some(place) = seq.find(field, 2) {
                    let place = seq.at(place).1;
                    packed.replace(place, value);
                    return false;
                }
                if packed.len() / 2 < limits.entries {
                    packed.insert(packed.as_bytes().len(), &[field, value]);
                    return true;
                }
            }
        }
        self.to_table(limits.seed).set(name, value, ttl)
    }

    /// Takes a field out; true when it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        match self {
            Hash::Packed(packed) => match packed.seq().find(Item::of(name), 2) {
                Some(place) => {
                    packed.remove(place, 2);
                    true
                }
                None => false,
            },
            Hash::Table(fields) => fields.remove(name),
        }
    }

    /// Gives a field a deadline or takes it away; false when there is no such field.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<i64>, limits: &HashLimits) -> bool {
        match (&*self, deadline) {
            (Hash::Packed(_), None) => self.contains(name),
            (Hash::Packed(_), Some(_)) if !self.contains(name) => false,
            _ => self.to_table(limits.seed).set_deadline(name, deadline),
        }
    }

    /// Makes it a table now.
    pub fn to_table(&mut self, seed: u64) -> &mut Fields {
        if let Hash::Packed(_) = self {
            let mut fields = Fields { table: Table::new(seed, true), deadlines: BTreeSet::new(), alarm: None };
            self.scan(0, usize::MAX, &mut |field| {
                let (key, value) = (&mut [0; 20], &mut [0; 20]);
                let (key, value) = (field.name.bytes(key), field.value.bytes(value));
                fields.table.insert(Record { key, value, deadline: None });
            });
            *self = Hash::Table(Box::new(fields));
        }
        match self {
            Hash::Table(fields) => fields,
            Hash::Packed(_) => unreachable!("it was just made a table"),
        }
    }

    /// The earliest deadline of its fields.
    #[inline]
    pub fn next_deadline(&self) -> Option<i64> {
        self.as_ref().next_deadline()
    }

    /// See [`HashRef::alarm`].
    pub fn alarm(&self) -> Option<i64> {
        self.as_ref().alarm()
    }

    /// See [`HashRef::alarm`]. A packed hash keeps none.
    pub fn set_alarm(&mut self, alarm: Option<i64>) {
        if let Hash::Table(fields) = self {
            fields.alarm = alarm;
        }
    }

    /// Number of fields that have deadlines.
    pub fn volatile_len(&self) -> usize {
        self.as_ref().volatile_len()
    }

    /// Takes out fields whose deadline is `now` or earlier, the earliest first and `budget` at most; true when others are due.
    pub fn expire(&mut self, now: i64, budget: usize, expired: &mut dyn FnMut(&[u8])) -> bool {
        let Hash::Table(fields) = self else { return false };
        for _ in 0..budget {
            let Some(&(deadline, hash)) = fields.deadlines.first().filter(|(deadline, _)| *deadline <= now) else {
                return false;
            };
            fields.deadlines.pop_first();
            let due = fields.table.get_by_hash(hash, |record| record.deadline == Some(deadline));
            if let Some(name) = due.map(|record| record.key.to_vec()) {
                expired(&name);
                fields.table.remove(&name);
            }
        }
        self.next_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// As [`HashRef::scan`].
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(Field<'_>)) -> u64 {
        self.as_ref().scan(cursor, count, visit)
    }

    /// Frees a part of a large hash, some `budget` fields; true while there is more. It is of no use afterwards.
    pub fn free_some(&mut self, budget: usize) -> bool {
        let Hash::Table(fields) = self else { return false };
        for _ in 0..budget {
            if fields.deadlines.pop_first().is_none() {
                return fields.table.free_some(budget);
            }
        }
        true
    }
}

impl Fields {
    fn set(&mut self, name: &[u8], value: &[u8], ttl: FieldTtl) -> bool {
        let before = self.table.get(name).and_then(|record| record.deadline);
        let deadline = match ttl {
            FieldTtl::Clear => None,
            FieldTtl::Keep => before,
            FieldTtl::At(deadline) => Some(deadline),
        };
        self.move_deadline(name, before, deadline);
        self.table.insert(Record { key: name, value, deadline })
    }

    fn set_deadline(&mut self, name: &[u8], deadline: Option<i64>) -> bool {
        let Some(record) = self.table.get(name) else { return false };
        let before = record.deadline;
        if before != deadline {
            let value = record.value.to_vec();
            self.move_deadline(name, before, deadline);
            self.table.insert(Record { key: name, value: &value, deadline });
        }
        true
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        let Some(record) = self.table.get(name) else { return false };
        let before = record.deadline;
        self.move_deadline(name, before, None);
        self.table.remove(name)
    }

    fn move_deadline(&mut self, name: &[u8], before: Option<i64>, after: Option<i64>) {
        if before == after {
            return;
        }
        let hash = self.table.hash(name);
        if let Some(deadline) = before {
            self.deadlines.remove(&(deadline, hash));
        }
        if let Some(deadline) = after {
            self.deadlines.insert((deadline, hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (0i64..30).prop_map(|value| value.to_string().into_bytes()),
            "[a-d]{0,2}".prop_map(String::into_bytes),
            (0usize..50).prop_map(|len| vec![b'y'; len]),
        ]
    }

    fn check(hash: &Hash, model: &Model) {
        let mut found = Model::new();
        let mut cursor = 0;
        loop {
            cursor = hash.scan(cursor, 5, &mut |field| {
                let before = found.insert(field.name.to_vec(), (field.value.to_vec(), field.deadline));
                assert!(before.is_none());
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(&found, model);
        assert_eq!(hash.len(), model.len());
        let deadlines = model.values().filter_map(|(_, deadline)| *deadline);
        assert_eq!(hash.next_deadline(), deadlines.clone().min());
        assert_eq!(hash.volatile_len(), deadlines.count());
    }

    proptest! {
        #[test]
        fn like_a_map(
            steps in proptest::collection::vec((0u32..12, text(), text(), 0i64..50), 0..150),
            entries in 0usize..30,
            few_deadlines: bool,
        ) {
            let limits = HashLimits { entries, value: 40, seed: 5 };
            let (mut hash, mut model) = (Hash::new(), Model::new());
            for (kind, name, value, deadline) in steps {
                match kind {
                    0 | 1 => prop_assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                    2 if !few_deadlines => {
                        let is_new = hash.set(&name, &value, FieldTtl::At(deadline), &limits);
                        prop_assert_eq!(is_new, model.insert(name, (value, Some(deadline))).is_none());
                    }
                    3 => {
                        let is_new = hash.set(&name, &value, FieldTtl::Keep, &limits);
                        let kept = model.get(&name).and_then(|(_, deadline)| *deadline);
                        prop_assert_eq!(is_new, model.insert(name, (value, kept)).is_none());
                    }
                    4 if !few_deadlines => {
                        let to = (deadline % 3 > 0).then_some(deadline);
                        let is_there = model.get_mut(&name).map(|field| field.1 = to).is_some();
                        prop_assert_eq!(hash.set_deadline(&name, to, &limits), is_there);
                    }
                    5 => {
                        let mut gone = Vec::new();
                        while hash.expire(deadline, 2, &mut |name| gone.push(name.to_vec())) {}
                        let due = |field: &(Vec<u8>, Option<i64>)| field.1.is_some_and(|at| at <= deadline);
                        let order: Vec<_> = gone.iter().map(|name| model[name].1).collect();
                        prop_assert!(order.is_sorted());
                        prop_assert!(gone.iter().all(|name| due(&model[name])));
                        model.retain(|_, field| !due(field));
                    }
                    6 => {
                        let (found, expected) = (hash.get(&name), model.get(&name));
                        prop_assert_eq!(found.map(|item| item.to_vec()), expected.map(|field| field.0.clone()));
                        prop_assert_eq!(hash.deadline(&name), expected.map(|field| field.1));
                    }
                    _ => {
                        let is_new = hash.set(&name, &value, FieldTtl::Clear, &limits);
                        prop_assert_eq!(is_new, model.insert(name, (value, None)).is_none());
                    }
                }
                if hash.encoding() == "listpack" {
                    prop_assert!(hash.len() <= entries);
                }
                check(&hash, &model);
            }
            let mut state = 1u64;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state ^ state >> 32
            };
            let any = hash.as_ref().random(&mut next).map(|field| field.name.to_vec());
            prop_assert_eq!(any.is_some(), !model.is_empty());
            prop_assert!(any.is_none_or(|name| model.contains_key(&name)));
            let mut copy = hash.clone();
            check(&copy, &model);
            while copy.free_some(3) {}
        }
    }

    #[test]
    fn becomes_a_table_where_redis_makes_it_one() {
        let limits = HashLimits::default();
        let mut hash = Hash::new();
        for field in 0..128 {
            hash.set(format!("f{field}").as_bytes(), &[b'v'; 64], FieldTtl::Clear, &limits);
        }
        assert_eq!(hash.encoding(), "listpack");
        let mut longer = hash.clone();
        hash.set(b"f0", &[b'v'; 65], FieldTtl::Clear, &limits);
        assert_eq!((hash.encoding(), hash.len()), ("hashtable", 128));
        longer.set(b"another", b"", FieldTtl::Clear, &limits);
        assert_eq!((longer.encoding(), longer.len()), ("hashtable", 129));
    }
}
