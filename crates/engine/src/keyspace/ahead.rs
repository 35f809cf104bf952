//! The keys of a command, each on its way into the cache before it is looked up: many lookups wait for memory together.

use pinyon_resp::Args;

use super::{Key, Keyspace};

/// Keys fetched together: as many lines as a core waits for at a time.
const AHEAD: usize = 16;

/// The keys that stand at every `step`-th argument.
pub struct Ahead<'a> {
    args: Args<'a>,
    step: usize,
    hashes: [u64; AHEAD],
    /// The arguments whose hashes are there.
    from: usize,
    until: usize,
}

impl<'a> Ahead<'a> {
    pub fn new(args: Args<'a>, step: usize) -> Ahead<'a> {
        Ahead { args, step, hashes: [0; AHEAD], from: 0, until: 0 }
    }

    /// The key at argument `i`; to be asked in the order of the arguments.
    #[inline]
    pub fn key(&mut self, ks: &Keyspace<'_>, i: usize) -> Key<'a> {
        if self.args.len() <= 1 + self.step {
            return ks.key(self.args, i);
        }
        if i >= self.until {
            self.fetch(ks, i);
        }
        Key { bytes: self.args.get(i), hash: self.hashes[(i - self.from) / self.step] }
    }

    fn fetch(&mut self, ks: &Keyspace<'_>, from: usize) {
        (self.from, self.until) = (from, self.args.len().min(from + AHEAD * self.step));
        let keys = (from..self.until).step_by(self.step);
        for (hash, i) in self.hashes.iter_mut().zip(keys) {
            *hash = ks.key(self.args, i).hash;
            ks.prefetch_bucket(*hash);
        }
        let count = (self.until - from).div_ceil(self.step);
        for &hash in &self.hashes[..count] {
            ks.prefetch_entry(hash);
        }
    }
}
