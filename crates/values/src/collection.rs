//! A value of any collection type: a tag and a word that owns everything. The keyspace holds the word and knows the tag.
//!
//! Not for the work on a collection: match on it and use the structure. Here is what all have in common.

use std::fmt;

use crate::hash::{Hash, HashRef};
use crate::list::List;
use crate::memory::block_bytes;
use crate::set::{Set, SetRef};
use crate::stream::Stream;
use crate::zset::ZSet;

/// A collection.
#[derive(Clone)]
pub enum Collection {
    Hash(Box<Hash>),
    List(Box<List>),
    Set(Box<Set>),
    ZSet(Box<ZSet>),
    Stream(Box<Stream>),
}

/// A collection, borrowed.
#[derive(Clone, Copy)]
pub enum CollectionRef<'v> {
    Hash(HashRef<'v>),
    List(&'v List),
    Set(SetRef<'v>),
    ZSet(&'v ZSet),
    Stream(&'v Stream),
}

/// A collection, borrowed to be changed.
pub enum CollectionMut<'v> {
    Hash(&'v mut Hash),
    List(&'v mut List),
    Set(&'v mut Set),
    ZSet(&'v mut ZSet),
    Stream(&'v mut Stream),
}

impl<'v> From<&'v Collection> for CollectionRef<'v> {
    fn from(collection: &'v Collection) -> CollectionRef<'v> {
        collection.as_ref()
    }
}

impl CollectionRef<'_> {
    /// What TYPE answers.
    pub fn type_name(self) -> &'static str {
        match self {
            CollectionRef::Hash(_) => "hash",
            CollectionRef::List(_) => "list",
            CollectionRef::Set(_) => "set",
            CollectionRef::ZSet(_) => "zset",
            CollectionRef::Stream(_) => "stream",
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(self) -> &'static str {
        match self {
            CollectionRef::Hash(hash) => hash.encoding(),
            CollectionRef::List(list) => list.encoding(),
            CollectionRef::Set(set) => set.encoding(),
            CollectionRef::ZSet(zset) => zset.encoding(),
            CollectionRef::Stream(stream) => stream.encoding(),
        }
    }

    /// Number of elements. All but streams are taken out of the keyspace when they have none.
    pub fn len(self) -> u64 {
        match self {
            CollectionRef::Hash(hash) => hash.len() as u64,
            CollectionRef::List(list) => list.len() as u64,
            CollectionRef::Set(set) => set.len() as u64,
            CollectionRef::ZSet(zset) => zset.len() as u64,
            CollectionRef::Stream(stream) => stream.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Bytes owned, within a tenth of what the allocator has given for it.
    pub fn memory(self) -> usize {
        match self {
            CollectionRef::Hash(hash) => block_bytes(size_of::<Hash>()) + hash.memory(),
            CollectionRef::List(list) => block_bytes(size_of::<List>()) + list.memory(),
            CollectionRef::Set(set) => block_bytes(size_of::<Set>()) + set.memory(),
            CollectionRef::ZSet(zset) => block_bytes(size_of::<ZSet>()) + zset.memory(),
            CollectionRef::Stream(stream) => block_bytes(size_of::<Stream>()) + stream.memory(),
        }
    }

    /// A copy that shares nothing.
    pub fn to_collection(self) -> Collection {
        match self {
            CollectionRef::Hash(hash) => Collection::Hash(Box::new(hash.to_hash())),
            CollectionRef::List(list) => Collection::List(Box::new(list.clone())),
            CollectionRef::Set(set) => Collection::Set(Box::new(set.to_set())),
            CollectionRef::ZSet(zset) => Collection::ZSet(Box::new(zset.clone())),
            CollectionRef::Stream(stream) => Collection::Stream(Box::new(stream.clone())),
        }
    }
}

impl fmt::Debug for CollectionRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} elements", self.type_name(), self.len())
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl Collection {
    pub fn as_ref(&self) -> CollectionRef<'_> {
        match self {
            Collection::Hash(hash) => CollectionRef::Hash(hash.as_ref().as_ref()),
            Collection::List(list) => CollectionRef::List(list),
            Collection::Set(set) => CollectionRef::Set(set.as_ref().as_ref()),
            Collection::ZSet(zset) => CollectionRef::ZSet(zset),
            Collection::Stream(stream) => CollectionRef::Stream(stream),
        }
    }

    /// What TYPE answers.
    pub fn type_name(&self) -> &'static str {
        self.as_ref().type_name()
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        self.as_ref().encoding()
    }

    /// Number of elements; see [`CollectionRef::len`].
    pub fn len(&self) -> u64 {
        self.as_ref().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes owned; see [`CollectionRef::memory`].
    pub fn memory(&self) -> usize {
        self.as_ref().memory()
    }

    /// Frees a part of it, some `budget` elements; true while there is more. It is of no use afterwards: for values that have
    /// left the keyspace and are too large to be dropped at once.
    pub fn free_some(&mut self, budget: usize) -> bool {
        match self {
            Collection::Hash(hash) => hash.free_some(budget),
            Collection::List(list) => list.free_some(budget),
            Collection::Set(set) => set.free_some(budget),
            Collection::ZSet(zset) => zset.free_some(budget),
            Collection::Stream(stream) => stream.free_some(budget),
        }
    }

    /// Whether dropping it at once is cheap: below that it is not worth slices.
    pub fn is_small(&self) -> bool {
        const SMALL_MAX: u64 = 64;
        let pending = match self {
            Collection::Stream(stream) => stream.groups().values().map(|group| group.pending().len() as u64).sum(),
            _ => 0,
        };
        self.len() + pending <= SMALL_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{FieldTtl, HashLimits};
    use crate::list::ListLimits;
    use crate::set::SetLimits;
    use crate::stream::{BlockLimits, StreamId};
    use crate::zset::ZSetLimits;

    fn collections(elements: u64) -> Vec<Collection> {
        let (mut hash, mut list, mut set) = (Hash::new(), List::new(), Set::new());
        let (mut zset, mut stream) = (ZSet::new(), Stream::new());
        for i in 0..elements {
            let text = format!("element:{i}");
            let text = text.as_bytes();
            hash.set(text, text, FieldTtl::Clear, &HashLimits::default());
            list.push_back(text, &ListLimits { compress: false, ..ListLimits::default() });
            set.add(text, &SetLimits::default());
            zset.add(text, i as f64, &ZSetLimits::default());
            stream.add(StreamId { ms: i + 1, seq: 0 }, &[(b"field", text)], &BlockLimits::default());
        }
        vec![
            Collection::Hash(hash.into()),
            Collection::List(list.into()),
            Collection::Set(set.into()),
            Collection::ZSet(zset.into()),
            Collection::Stream(stream.into()),
        ]
    }

    #[test]
    fn a_tag_and_a_word_each() {
        assert_eq!(size_of::<Collection>(), 16);
        let names: Vec<_> = collections(1).iter().map(|one| (one.type_name(), one.encoding())).collect();
        let expected = [
            ("hash", "listpack"),
            ("list", "listpack"),
            ("set", "listpack"),
            ("zset", "listpack"),
            ("stream", "stream"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn large_ones_are_freed_in_slices() {
        for mut one in collections(20_000) {
            assert_eq!((one.len(), one.is_small()), (20_000, false));
            let whole = one.memory();
            assert!(whole > 20_000 * 12, "{}: {whole} bytes", one.type_name());
            let mut slices = 1;
            while one.free_some(1000) {
                slices += 1;
            }
            assert!((8..80).contains(&slices), "{}: {slices} slices", one.type_name());
        }
        assert!(collections(3).iter().all(Collection::is_small));
    }
}
