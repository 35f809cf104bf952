//! The set commands: their rows and handlers.
//!
//! One file per noun: members by name (`members`), by chance (`random`), a few at a time (`scan`), and what several sets
//! have in common or not (`algebra`, and of big ones `pieces`).

pub mod algebra;
pub mod members;
mod pieces;
pub mod random;
pub mod scan;

#[cfg(test)]
mod tests;

use pinyon_resp::Writer;
use pinyon_values::Item;

use super::row::Command;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    members::SADD,
    members::SCARD,
    algebra::SDIFF,
    algebra::SDIFFSTORE,
    algebra::SINTER,
    algebra::SINTERCARD,
    algebra::SINTERSTORE,
    members::SISMEMBER,
    members::SMEMBERS,
    members::SMISMEMBER,
    members::SMOVE,
    random::SPOP,
    random::SRANDMEMBER,
    members::SREM,
    scan::SSCAN,
    algebra::SUNION,
    algebra::SUNIONSTORE,
];

/// Replies an element as a bulk string.
#[inline]
pub(in crate::command) fn write_item(out: &mut Writer<'_>, item: Item<'_>) {
    match item {
        Item::Int(value) => out.bulk_int(value),
        Item::Bytes(bytes) => out.bulk(bytes),
    }
}
