//! What a transaction is going to touch on one shard: keys by their hashes, or everything.
//!
//! Keys are named by their hash alone, without the database: COPY and MOVE write the same name in another database, and two
//! keys that share a hash only wait for each other without need.

use pinyon_resp::Args;

use crate::command::keys_of::keys_with_flags;
use crate::command::registry::Entry;
use crate::command::row::KeyFlags;

/// What happens to a key, or to all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    Write,
}

impl Access {
    /// Whether the two must not be under way at the same time.
    #[inline]
    pub fn conflicts(self, other: Access) -> bool {
        self == Access::Write || other == Access::Write
    }
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    pub hash: u64,
    pub access: Access,
}

/// All that one transaction touches on one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intents {
    keys: Vec<Intent>,
    whole: Option<Access>,
}

impl Intents {
    /// All keys of the shard.
    pub fn whole(access: Access) -> Intents {
        Intents { keys: Vec::new(), whole: Some(access) }
    }

    /// Adds a key.
    pub fn add(&mut self, hash: u64, access: Access) {
        self.keys.push(Intent { hash, access });
    }

    /// Makes it all keys of the shard: what was to be written stays so.
    pub fn widen(&mut self, access: Access) {
        let most = self.keys.iter().map(|intent| intent.access).chain(self.whole).max();
        self.whole = Some(most.map_or(access, |most| most.max(access)));
        self.keys.clear();
    }

    /// Names every key once, with the stronger access.
    pub fn settle(&mut self) {
        if self.keys.len() > 1 {
            self.keys.sort_unstable_by_key(|intent| (intent.hash, std::cmp::Reverse(intent.access)));
            self.keys.dedup_by_key(|intent| intent.hash);
        }
    }

    pub fn keys(&self) -> &[Intent] {
        &self.keys
    }

    pub fn all(&self) -> Option<Access> {
        self.whole
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.whole.is_none()
    }

    /// The strongest thing it does to any key.
    pub fn most(&self) -> Access {
        let written = |intent: &Intent| intent.access == Access::Write;
        if self.whole == Some(Access::Write) || self.keys.iter().any(written) { Access::Write } else { Access::Read }
    }
}

/// Calls `visit` with the position of every key of a command and what happens to it there.
pub fn each_intent(entry: &Entry, args: Args<'_>, mut visit: impl FnMut(usize, Access)) {
    // Redis says of XREADGROUP's keys that they are only read; its groups are changed.
    let writes_all = entry.row.name == "xreadgroup";
    keys_with_flags(entry, args, |position, flags| {
        let access = if writes_all || !flags.contains(KeyFlags::RO) { Access::Write } else { Access::Read };
        visit(position, access);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::registry::registry;
    use pinyon_resp::Span;

    fn of(line: &str) -> Vec<(usize, Access)> {
        let mut spans = Vec::new();
        let mut start = 0;
        for word in line.split(' ') {
            spans.push(Span { start, len: word.len() as u32 });
            start += word.len() as u32 + 1;
        }
        let args = Args { bytes: line.as_bytes(), spans: &spans };
        let entry = registry().entry(registry().find(args.get(0)).expect("a command"));
        let mut found = Vec::new();
        each_intent(entry, args, |at, access| found.push((at, access)));
        found
    }

    #[test]
    fn intents_follow_the_rows() {
        use Access::{Read, Write};
        assert_eq!(of("get k"), [(1, Read)]);
        assert_eq!(of("set k v"), [(1, Write)]);
        assert_eq!(of("set k v get"), [(1, Write)]);
        assert_eq!(of("mget a b c"), [(1, Read), (2, Read), (3, Read)]);
        assert_eq!(of("mset a 1 b 2"), [(1, Write), (3, Write)]);
        assert_eq!(of("copy a b"), [(1, Read), (2, Write)]);
        assert_eq!(of("rename a b"), [(1, Write), (2, Write)]);
        assert_eq!(of("msetex 2 a 1 b 2 nx"), [(2, Write), (4, Write)]);
        assert_eq!(of("msetex x a 1"), []);
        assert_eq!(of("watch a b"), [(1, Read), (2, Read)]);
        assert_eq!(of("pfcount a"), [(1, Write)]);
        assert_eq!(of("xreadgroup group g c streams a b > >"), [(5, Write), (6, Write)]);
        assert_eq!(of("ping"), []);
    }

    #[test]
    fn a_key_named_twice_is_one_intent() {
        let mut intents = Intents::default();
        for (hash, access) in [(7, Access::Read), (3, Access::Read), (7, Access::Write), (7, Access::Read)] {
            intents.add(hash, access);
        }
        intents.settle();
        let expected = [Intent { hash: 3, access: Access::Read }, Intent { hash: 7, access: Access::Write }];
        assert_eq!(intents.keys(), expected);
        intents.widen(Access::Read);
        assert_eq!(intents, Intents::whole(Access::Write));
    }
}
