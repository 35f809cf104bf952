//! The string commands: their rows and handlers.
//!
//! One file per noun: whole values (`get`, `set`), several keys at once (`multi`), numbers (`counter`), parts of a
//! string (`range`), and the longest common subsequence (`lcs`). `options` reads the options that SET, GETEX and
//! MSETEX share.

pub mod counter;
pub mod get;
pub mod lcs;
pub mod multi;
mod options;
pub mod range;
pub mod set;

#[cfg(test)]
mod replay_tests;

use super::row::Command;
use crate::CommandError;
use crate::keyspace::{KeyType, ValueRef};

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    range::APPEND,
    counter::DECR,
    counter::DECRBY,
    get::DELIFEQ,
    get::GET,
    get::GETDEL,
    get::GETEX,
    range::GETRANGE,
    set::GETSET,
    counter::INCR,
    counter::INCRBY,
    counter::INCRBYFLOAT,
    lcs::LCS,
    multi::MGET,
    multi::MSET,
    multi::MSETEX,
    multi::MSETNX,
    set::PSETEX,
    set::SET,
    set::SETEX,
    set::SETNX,
    range::SETRANGE,
    get::STRLEN,
    range::SUBSTR,
];

/// The value, when it is a string.
#[inline]
pub(in crate::command) fn string(value: ValueRef<'_>) -> Result<ValueRef<'_>, CommandError> {
    match value.key_type() {
        KeyType::String => Ok(value),
        _ => Err(CommandError::WrongType),
    }
}

/// Whether the string is exactly these bytes.
fn equals(value: ValueRef<'_>, bytes: &[u8]) -> bool {
    value.as_bytes(&mut [0; 20]) == bytes
}
