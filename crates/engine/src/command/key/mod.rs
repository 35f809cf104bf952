//! Commands on keys of any type: existence, deadlines, renaming, copying, walking.

mod deadline;
mod dump;
mod existence;
mod object;
pub mod sort;
mod sort_pieces;
pub mod transfer;
mod ttl;
pub mod walk;

#[cfg(test)]
mod deadline_model;
#[cfg(test)]
mod sort_tests;
#[cfg(test)]
pub(super) mod trial;

use super::row::Command;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    deadline::EXPIRE,
    deadline::EXPIREAT,
    deadline::PERSIST,
    deadline::PEXPIRE,
    deadline::PEXPIREAT,
    dump::DUMP,
    dump::RESTORE,
    existence::DEL,
    existence::EXISTS,
    existence::TOUCH,
    existence::TYPE,
    existence::UNLINK,
    object::OBJECT,
    sort::SORT,
    sort::SORT_RO,
    transfer::COPY,
    transfer::MOVE,
    transfer::RENAME,
    transfer::RENAMENX,
    ttl::EXPIRETIME,
    ttl::PEXPIRETIME,
    ttl::PTTL,
    ttl::TTL,
    walk::KEYS,
    walk::RANDOMKEY,
    walk::SCAN,
];
