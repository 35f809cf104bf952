//! What a command changed, in a form that replays to the same state.
//!
//! A handler returns its effect, so no code path can forget to say what it did. The effect names the arguments that hold
//! the keys instead of copying them: whoever records it (a log, a replica) reads the canonical form out of the command's
//! arguments and the keyspace while both are still in cache.

/// The change made by one command. Argument positions count from the command's name at 0.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed: nothing to record.
    None,
    /// The command as sent replays to the same state (SET without a deadline, INCR, APPEND, MSET). `changes` counts the
    /// keys or elements changed, as `rdb_changes_since_last_save` does.
    AsSent { changes: u32 },
    /// The key at `key` now holds a value that the arguments alone do not give (INCRBYFLOAT, SET with a relative
    /// deadline, SETEX): record the key's value and deadline as they are now.
    Put { key: u16 },
    /// Like `Put` for every `step`-th argument from `first` on, `count` keys in all (MSETEX). A key that is not there now was
    /// removed (its deadline had passed).
    PutMany { first: u16, step: u16, count: u32 },
    /// Only the deadline of the key at `key` changed: record it as an absolute time, or its absence.
    Deadline { key: u16 },
    /// The key at `key` is gone (GETDEL, an EXPIRE in the past, SET that found a deadline in the past).
    Deleted { key: u16 },
    /// The handler has recorded what it changed by [`crate::keyspace::Keyspace::record`], in commands that replay to the same
    /// state. `changes` counts as for `AsSent`.
    Recorded { changes: u32 },
}

impl Effect {
    /// The command replays as sent, unless it has changed nothing.
    pub fn as_sent(changes: usize) -> Effect {
        if changes == 0 { Effect::None } else { Effect::AsSent { changes: changes.min(u32::MAX as usize) as u32 } }
    }

    /// What has been written down replays; so many changes.
    pub fn recorded(changes: usize) -> Effect {
        Effect::Recorded { changes: changes.min(u32::MAX as usize) as u32 }
    }

    /// How many changes this adds to `rdb_changes_since_last_save`.
    pub fn changes(self) -> u64 {
        match self {
            Effect::None => 0,
            Effect::AsSent { changes } | Effect::Recorded { changes } => u64::from(changes),
            Effect::Put { .. } | Effect::Deadline { .. } | Effect::Deleted { .. } => 1,
            Effect::PutMany { count, .. } => u64::from(count),
        }
    }
}
