//! The stream commands.
//!
//! One file per noun: `add`, `trim`, `range` and `state` (XSETID) are about entries; `group`, `read`, `pending` and `claim` about
//! consumer groups; `info` shows both. `id` reads and writes IDs, `entry` replies entries.

pub mod add;
pub mod claim;
mod entry;
pub mod group;
mod id;
pub mod info;
pub mod pending;
pub mod range;
pub mod read;
pub mod state;
pub mod trim;

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;

use super::row::Command;
use crate::{CommandError, until_nul};

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    pending::XACK,
    add::XADD,
    claim::XAUTOCLAIM,
    claim::XCLAIM,
    range::XDEL,
    group::XGROUP,
    info::XINFO,
    range::XLEN,
    pending::XPENDING,
    range::XRANGE,
    read::XREAD,
    read::XREADGROUP,
    range::XREVRANGE,
    state::XSETID,
    trim::XTRIM,
];

/// There is no such group, or no such key.
fn no_group(key: &[u8], group: &[u8], after: &'static str) -> CommandError {
    let quoted = [until_nul(key), b"' or consumer group '", until_nul(group)].concat();
    CommandError::Quoting { before: "NOGROUP No such key '", quoted, after }
}
