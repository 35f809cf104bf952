//! Numbered places for the parts of a large structure: pages, leaves, nodes.
//!
//! Places lie in chunks, so that adding one never moves the others, whatever their number. A place that is free is given out
//! again first.

use crate::memory::{block_bytes, vec_bytes};

const CHUNK: usize = 256;

/// Things of one kind by number.
#[derive(Clone)]
pub struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes one in and gives its number.
    pub fn insert(&mut self, one: T) -> u32 {
        self.len += 1;
        if let Some(id) = self.free.pop() {
            *self.place(id) = Some(one);
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // The first chunk grows from one place: most structures that need few places have one.
            let places = if self.chunks.is_empty() { 1 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(places));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("just made");
        chunk.push(Some(one));
        (before + chunk.len() - 1) as u32
    }

    /// Takes out the one of that number, which must be there.
    pub fn remove(&mut self, id: u32) -> T {
        let one = self.place(id).take().expect("a number in use");
        self.free.push(id);
        self.len -= 1;
        one
    }

    /// Takes out the one with the highest number; `None` when it is empty. Numbers freed by it are not given out again before
    /// the slab has become empty: for taking a structure apart.
    pub fn pop(&mut self) -> Option<T> {
        while let Some(chunk) = self.chunks.last_mut() {
            while let Some(place) = chunk.pop() {
                if let Some(one) = place {
                    self.len -= 1;
                    return Some(one);
                }
            }
            self.chunks.pop();
        }
        self.free = Vec::new();
        None
    }

    #[inline]
    pub fn get(&self, id: u32) -> &T {
        self.chunks[id as usize / CHUNK][id as usize % CHUNK].as_ref().expect("a number in use")
    }

    #[inline]
    pub fn get_mut(&mut self, id: u32) -> &mut T {
        self.place(id).as_mut().expect("a number in use")
    }

    fn place(&mut self, id: u32) -> &mut Option<T> {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// All there are, by number.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }

    /// Bytes of the places themselves, not of what hangs off them.
    pub fn memory(&self) -> usize {
        let chunks: usize = match self.chunks.as_slice() {
            [] => 0,
            [first, others @ ..] => {
                let full = block_bytes(CHUNK * size_of::<Option<T>>());
                block_bytes(first.capacity() * size_of::<Option<T>>()) + others.len() * full
            }
        };
        chunks + vec_bytes(&self.chunks) + vec_bytes(&self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn like_a_map(steps in proptest::collection::vec((any::<bool>(), any::<usize>()), 0..900)) {
            let mut slab = Slab::default();
            let mut model = BTreeMap::new();
            for (add, value) in steps {
                if add || model.is_empty() {
                    let id = slab.insert(Box::new(value));
                    prop_assert!(model.insert(id, value).is_none());
                } else {
                    let id = *model.keys().nth(value % model.len()).expect("some");
                    prop_assert_eq!(*slab.remove(id), model.remove(&id).expect("it"));
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            prop_assert!(slab.iter().map(|one| **one).eq(model.values().copied()));
            prop_assert!(model.iter().all(|(id, value)| **slab.get(*id) == *value));
            let mut popped = 0;
            while slab.pop().is_some() {
                popped += 1;
            }
            prop_assert_eq!(popped, model.len());
            prop_assert_eq!(slab.insert(Box::new(1)), 0);
        }
    }
}
