//! Commands on hashes, by noun: `write` and `read` fields, their `deadline`s, `values` with deadlines,
//! `walk`s over all and draws of some.
//!
//! A field whose deadline has passed is never seen here: the keyspace takes it out before it lends the hash.

mod deadline;
mod read;
mod values;
pub(in crate::command) mod walk;
mod write;

use pinyon_values::Item;

use super::row::{Arg, Command};
use pinyon_resp::Writer;

/// The rows of this group.
pub const COMMANDS: &[Command] = &[
    write::HDEL,
    read::HEXISTS,
    read::HGET,
    read::HGETALL,
    values::HGETDEL,
    values::HGETEX,
    deadline::HEXPIRE,
    deadline::HEXPIREAT,
    deadline::HEXPIRETIME,
    write::HINCRBY,
    write::HINCRBYFLOAT,
    read::HKEYS,
    read::HLEN,
    read::HMGET,
    write::HMSET,
    deadline::HPERSIST,
    deadline::HPEXPIRE,
    deadline::HPEXPIREAT,
    deadline::HPEXPIRETIME,
    deadline::HPTTL,
    walk::HRANDFIELD,
    walk::HSCAN,
    write::HSET,
    values::HSETEX,
    write::HSETNX,
    read::HSTRLEN,
    deadline::HTTL,
    read::HVALS,
];

const KEY: Arg = Arg::key("key", 0);

/// Replies one element of a collection as a bulk string.
#[inline]
pub(super) fn write_item(out: &mut Writer<'_>, item: Item<'_>) {
    match item {
        Item::Int(value) => out.bulk_int(value),
        Item::Bytes(bytes) => out.bulk(bytes),
    }
}
