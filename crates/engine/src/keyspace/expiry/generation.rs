//! Which database a node belongs to, in a way that clearing and swapping databases costs O(1).
//!
//! A node names a generation, not a database. A database owns one generation at a time; clearing it leaves the generation
//! without an owner, and the nodes that name it are dropped when somebody comes across them. A generation is used again
//! when its last node is gone.

use pinyon_base::DbIndex;

use super::chunk::GENERATIONS_MAX;

const NONE: u32 = u32::MAX;
/// Ownerless generations allowed at a time. With one for each of 2¹⁶ databases this is all that a node can name.
const DEAD_MAX: u32 = GENERATIONS_MAX - (1 << 16);

#[derive(Clone, Copy)]
struct Generation {
    /// The database that owns it, or `NONE`.
    db: u32,
    nodes: usize,
}

#[derive(Default)]
pub(super) struct Generations {
    /// By database: the generation that it owns, or `NONE`. Databases beyond the end own none.
    of_db: Vec<u32>,
    all: Vec<Generation>,
    /// Generations without owner and nodes.
    free: Vec<u32>,
    dead: u32,
    dead_nodes: usize,
}

impl Generations {
    /// The generation of a new node of `db`, with that node counted in.
    #[inline]
    pub(super) fn count_in(&mut self, db: DbIndex) -> u32 {
        let generation = match self.of_db.get(usize::from(db.0)) {
            Some(&generation) if generation != NONE => generation,
            _ => self.give_to(db),
        };
        self.all[generation as usize].nodes += 1;
        generation
    }

    /// A node of this generation is gone.
    #[inline]
    pub(super) fn count_out(&mut self, generation: u32) {
        let entry = &mut self.all[generation as usize];
        entry.nodes -= 1;
        if entry.db == NONE {
            self.dead_nodes -= 1;
            if entry.nodes == 0 {
                self.dead -= 1;
                self.free.push(generation);
            }
        }
    }

    /// The database that owns it; `None`: its nodes are dead.
    #[inline]
    pub(super) fn db(&self, generation: u32) -> Option<DbIndex> {
        let db = self.all[generation as usize].db;
        (db != NONE).then_some(DbIndex(db as u16))
    }

    /// Takes the generation away from a database, so that its nodes are dead. With 65,536 dead generations already around
    /// the nodes stay: they fire for keys that are gone, which is slower but no less right.
    pub(super) fn clear(&mut self, db: DbIndex) {
        let Some(&generation) = self.of_db.get(usize::from(db.0)) else { return };
        if generation == NONE || self.all[generation as usize].nodes == 0 || self.dead == DEAD_MAX {
            return;
        }
        self.of_db[usize::from(db.0)] = NONE;
        let entry = &mut self.all[generation as usize];
        entry.db = NONE;
        self.dead += 1;
        self.dead_nodes += entry.nodes;
    }

    pub(super) fn swap(&mut self, a: DbIndex, b: DbIndex) {
        let len = usize::from(a.0.max(b.0)) + 1;
        if self.of_db.len() < len {
            self.of_db.resize(len, NONE);
        }
        self.of_db.swap(usize::from(a.0), usize::from(b.0));
        for db in [a, b] {
            let generation = self.of_db[usize::from(db.0)];
            if generation != NONE {
                self.all[generation as usize].db = u32::from(db.0);
            }
        }
    }

    /// Nodes of cleared databases that nobody has come across yet.
    pub(super) fn dead_nodes(&self) -> usize {
        self.dead_nodes
    }

    pub(super) fn bytes(&self) -> usize {
        (self.of_db.capacity() + self.free.capacity()) * size_of::<u32>()
            + self.all.capacity() * size_of::<Generation>()
    }

    #[cold]
    fn give_to(&mut self, db: DbIndex) -> u32 {
        let len = usize::from(db.0) + 1;
        if self.of_db.len() < len {
            self.of_db.resize(len, NONE);
        }
        let entry = Generation { db: u32::from(db.0), nodes: 0 };
        let generation = match self.free.pop() {
            Some(generation) => {
                self.all[generation as usize] = entry;
                generation
            }
            None => {
                self.all.push(entry);
                (self.all.len() - 1) as u32
            }
        };
        assert!(generation < GENERATIONS_MAX, "more generations than databases and dead ones");
        self.of_db[usize::from(db.0)] = generation;
        generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_used_again_when_their_last_node_is_gone() {
        let mut generations = Generations::default();
        let (a, b) = (DbIndex(0), DbIndex(9));
        let first = generations.count_in(a);
        assert_eq!(generations.count_in(a), first);
        generations.swap(a, b);
        assert_eq!(generations.db(first), Some(b));
        generations.clear(a);
        assert_eq!(generations.db(first), Some(b));
        generations.clear(b);
        assert_eq!((generations.db(first), generations.dead_nodes()), (None, 2));
        let second = generations.count_in(b);
        assert_ne!(second, first);
        generations.count_out(first);
        generations.count_out(first);
        assert_eq!(generations.dead_nodes(), 0);
        assert_eq!(generations.count_in(a), first);
        assert_eq!((generations.db(first), generations.db(second)), (Some(a), Some(b)));
    }

    #[test]
    fn clearing_over_and_over_never_runs_out() {
        let mut generations = Generations::default();
        for db in 1..=u16::MAX {
            generations.count_in(DbIndex(db));
        }
        for _ in 0..200_000 {
            generations.count_in(DbIndex(0));
            generations.clear(DbIndex(0));
        }
        assert_eq!(generations.dead, DEAD_MAX);
        assert!(generations.all.len() <= GENERATIONS_MAX as usize);
    }
}
