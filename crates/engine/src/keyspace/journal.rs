//! What has changed on a shard and is not yet in its log, as the operations of a record ([`crate::record`]).
//!
//! Commands append their effects ([`super::Shard::record`]); the keyspace itself appends what expired and what was evicted, at
//! the moment when it went, so that all operations are in the order in which they happened. Whoever keeps the log takes them
//! out between commands, or after the last of those that belong together. Without a log nothing is appended.

use pinyon_base::{DbIndex, Millis};
use pinyon_resp::Args;

use super::{Key, Shard, ValueRef};
use crate::Effect;
use crate::command::registry::CommandId;
use crate::record::write;

/// See the file's head.
#[derive(Default)]
pub struct Journal {
    on: bool,
    /// Records are being applied: nothing expires, nothing is appended.
    replaying: bool,
    operations: Vec<u8>,
    /// Where the number of arguments is of the command begun last.
    open: usize,
}

impl Journal {
    /// Operations since the last [`Journal::clear`].
    #[inline]
    pub fn operations(&self) -> &[u8] {
        &self.operations
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// They are in the log now. The buffer is kept unless it has become big.
    #[inline]
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 1 << 20;
        self.operations.clear();
        if self.operations.capacity() > KEPT_BYTES_MAX {
            self.operations = Vec::new();
        }
    }

    /// Deadlines pass without consequence while records are applied.
    #[inline]
    pub(super) fn is_replaying(&self) -> bool {
        self.replaying
    }

    /// The key is gone, or about to go, by no command.
    #[inline]
    pub(super) fn gone(&mut self, db: DbIndex, key: &[u8]) {
        if self.on {
            write::delete(db, key, &mut self.operations);
        }
    }

    /// Whether anything is appended at all: else what it needs is not worth preparing.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// A command in canonical form.
    pub(super) fn push(&mut self, db: DbIndex, args: &[&[u8]]) {
        if self.on {
            write::command(db, args.len(), &mut self.operations);
            args.iter().for_each(|arg| write::bytes(arg, &mut self.operations));
        }
    }

    /// Begins a command whose arguments follow by [`Journal::add`], and nothing else before the last of them.
    pub(super) fn begin(&mut self, db: DbIndex) {
        if self.on {
            self.open = write::open_command(db, &mut self.operations);
        }
    }

    /// The next argument of the command that was begun.
    pub(super) fn add(&mut self, arg: &[u8]) {
        if self.on {
            write::bytes(arg, &mut self.operations);
            write::count_one_more(self.open, &mut self.operations);
        }
    }
}

impl Shard {
    /// Whether changes are to be recorded.
    pub fn set_journal(&mut self, on: bool) {
        self.ledger.journal.on = on;
        if !on {
            self.ledger.journal.operations = Vec::new();
        }
    }

    /// What is to go into the log.
    #[inline]
    pub fn journal(&self) -> &Journal {
        &self.ledger.journal
    }

    #[inline]
    pub fn journal_mut(&mut self) -> &mut Journal {
        &mut self.ledger.journal
    }

    /// Records what the command `id` with `args` has just changed in `db`. Nothing must have run since.
    #[inline]
    pub fn record(&mut self, db: DbIndex, id: CommandId, args: Args<'_>, effect: Effect) {
        if self.ledger.journal.on && effect != Effect::None {
            let mut operations = std::mem::take(&mut self.ledger.journal.operations);
            self.encode(db, id, args, effect, &mut operations);
            self.ledger.journal.operations = operations;
        }
    }

    /// From now until it ends records are applied: nothing expires or is recorded, and no limit of the configuration counts.
    pub(crate) fn set_replaying(&mut self, replaying: bool) {
        self.ledger.journal.replaying = replaying;
    }

    /// The key's value and deadline as they are, due or not.
    pub(crate) fn as_it_is(&mut self, db: DbIndex, key: &[u8]) -> Option<(ValueRef<'_>, Option<Millis>)> {
        let hash = self.hash(key);
        let found = self.tables[usize::from(db.0)].find(Key { bytes: key, hash })?;
        let deadline = found.deadline();
        Some((found.into_value(), deadline))
    }

    /// All keys of a database, due or not.
    pub(crate) fn each_key(&self, db: DbIndex, visit: &mut dyn FnMut(&[u8])) {
        self.tables[usize::from(db.0)].scan(0, usize::MAX, &mut |entry| visit(entry.key()));
    }
}
