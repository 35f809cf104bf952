//! The list commands: their rows and handlers.
//!
//! One file per noun: elements that come (`push`) and go (`pop`), elements looked at (`read`) and changed (`edit`), elements
//! that go from one list to another (`transfer`), and the commands that wait for an element (`wait`). `pieces` does on long
//! lists what `read` and `edit` do at once.

pub mod edit;
mod pieces;
pub mod pop;
pub mod push;
pub mod read;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod wait;

use pinyon_base::parse_i64;
use pinyon_resp::{Args, Writer};
use pinyon_values::item::Item;
use pinyon_values::list::{List, ListLimits};

use super::row::{Arg, ArgKind, Command};
use crate::CommandError;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    transfer::BLMOVE,
    wait::BLMPOP,
    wait::BLPOP,
    wait::BRPOP,
    transfer::BRPOPLPUSH,
    read::LINDEX,
    edit::LINSERT,
    read::LLEN,
    transfer::LMOVE,
    pop::LMPOP,
    pop::LPOP,
    read::LPOS,
    push::LPUSH,
    push::LPUSHX,
    read::LRANGE,
    edit::LREM,
    edit::LSET,
    edit::LTRIM,
    pop::RPOP,
    transfer::RPOPLPUSH,
    push::RPUSH,
    push::RPUSHX,
];

const KEY: Arg = Arg::key("key", 0);
const ELEMENT: Arg = Arg::new("element", ArgKind::String);
const INDEX: Arg = Arg::new("index", ArgKind::Integer);
const TIMEOUT: Arg = Arg::new("timeout", ArgKind::Double);
const NUMKEYS: Arg = Arg::new("numkeys", ArgKind::Integer);
const COUNT: Arg = Arg::new("count", ArgKind::Integer).with_token("COUNT").optional();
const LEFT_OR_RIGHT: &[Arg] = &[Arg::token("left", "LEFT"), Arg::token("right", "RIGHT")];

/// One end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

impl End {
    fn parse(word: &[u8]) -> Result<End, CommandError> {
        match word {
            _ if word.eq_ignore_ascii_case(b"left") => Ok(End::Left),
            _ if word.eq_ignore_ascii_case(b"right") => Ok(End::Right),
            _ => Err(CommandError::Syntax),
        }
    }

    /// As LMOVE has it.
    fn word(self) -> &'static [u8] {
        match self {
            End::Left => b"LEFT",
            End::Right => b"RIGHT",
        }
    }

    /// The command that takes elements off this end.
    pub fn pop_command(self) -> &'static [u8] {
        match self {
            End::Left => b"LPOP",
            End::Right => b"RPOP",
        }
    }

    /// What taking from this end is called.
    pub fn pop_event(self) -> &'static str {
        match self {
            End::Left => "lpop",
            End::Right => "rpop",
        }
    }

    /// What putting on this end is called.
    pub fn push_event(self) -> &'static str {
        match self {
            End::Left => "lpush",
            End::Right => "rpush",
        }
    }

    /// The command that puts elements on this end.
    pub fn push_command(self) -> &'static [u8] {
        match self {
            End::Left => b"LPUSH",
            End::Right => b"RPUSH",
        }
    }

    fn push(self, list: &mut List, element: &[u8], limits: &ListLimits) {
        match self {
            End::Left => list.push_front(element, limits),
            End::Right => list.push_back(element, limits),
        }
    }

    fn pop(self, list: &mut List, limits: &ListLimits, show: &mut dyn FnMut(Item<'_>)) -> bool {
        match self {
            End::Left => list.pop_front(limits, show),
            End::Right => list.pop_back(limits, show),
        }
    }
}

/// Replies an element.
#[inline]
fn write_item(out: &mut Writer<'_>, item: Item<'_>) {
    match item {
        Item::Int(value) => out.bulk_int(value),
        Item::Bytes(bytes) => out.bulk(bytes),
    }
}

fn integer(args: Args<'_>, at: usize) -> Result<i64, CommandError> {
    parse_i64(args.get(at)).ok_or(CommandError::NotInteger)
}

/// The place that an index names, which counts from the end when it is negative; None outside of the list.
fn place(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(at).ok().filter(|&at| at < len)
}

/// The elements from `start` to `end`, both included, of a list of that length: the first one and how many.
fn span(start: i64, end: i64, len: usize) -> (usize, usize) {
    let from_end = |index: i64| if index < 0 { index.saturating_add(len as i64) } else { index };
    let start = from_end(start).max(0);
    let end = from_end(end).min(len as i64 - 1);
    if start > end { (0, 0) } else { (start as usize, (end - start + 1) as usize) }
}
