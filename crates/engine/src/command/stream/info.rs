//! XINFO: streams, their groups and consumers as they are. XINFO HELP is the server's.

use pinyon_base::parse_i64;
use pinyon_resp::{Args, Writer};
use pinyon_values::stream::{Consumer, Group as ConsumerGroup, Stream, StreamId};

use super::entry::{self, Gathered};
use super::id;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, ServerCommand};
use crate::command::server::help::help_row;
use crate::{CommandError, Cx, Effect, until_nul};

pub(super) const XINFO: Command = Command {
    name: "xinfo",
    arity: -2,
    group: Group::Stream,
    since: "5.0.0",
    complexity: "Depends on the subcommand.",
    summary: "Tells of streams, their groups and consumers.",
    subcommands: &[XINFO_CONSUMERS, XINFO_GROUPS, XINFO_HELP, XINFO_STREAM],
    handler: Handler::Container,
    ..Command::EMPTY
};

const XINFO_HELP: Command =
    help_row(Group::Stream, Categories::STREAM, "5.0.0", "Lists the subcommands of XINFO.", ServerCommand::XinfoHelp);

const XINFO_CONSUMERS: Command = Command {
    name: "consumers",
    arity: 4,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1) for each consumer.",
    summary: "Lists the consumers of a group.",
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0), Arg::new("groupname", ArgKind::String)],
    handler: Handler::Shard(consumers),
    ..Command::EMPTY
};

fn consumers(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (key, now) = (cx.ks.key(args, 2), cx.ks.now().0);
    let stream = cx.ks.read_as::<Stream>(key)?.ok_or(CommandError::NoSuchKey)?;
    let Some(group) = stream.group(args.get(3)) else {
        let quoted = [until_nul(args.get(3)), b"' for key name '", until_nul(key.bytes)].concat();
        return Err(CommandError::Quoting { before: "NOGROUP No such consumer group '", quoted, after: "'" });
    };
    cx.out.array(group.consumer_count());
    for consumer in group.consumers() {
        cx.out.map(3);
        cx.out.bulk_str("name");
        cx.out.bulk(&consumer.name);
        cx.out.bulk_str("pending");
        cx.out.int(consumer.pending().len() as i64);
        cx.out.bulk_str("idle");
        cx.out.int((now - consumer.seen_at).max(0));
    }
    Ok(Effect::None)
}

const XINFO_GROUPS: Command = Command {
    name: "groups",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1) for each group.",
    summary: "Lists the consumer groups of a stream.",
    history: &[("7.0.0", "The fields `entries-read` and `lag`.")],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(groups),
    ..Command::EMPTY
};

fn groups(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    let stream = cx.ks.read_as::<Stream>(key)?.ok_or(CommandError::NoSuchKey)?;
    cx.out.array(stream.groups().len());
    for (name, group) in stream.groups() {
        cx.out.map(6);
        cx.out.bulk_str("name");
        cx.out.bulk(name);
        cx.out.bulk_str("consumers");
        cx.out.int(group.consumer_count() as i64);
        cx.out.bulk_str("pending");
        cx.out.int(group.pending().len() as i64);
        write_progress(stream, group, &mut cx.out);
    }
    Ok(Effect::None)
}

/// How far a group has come: three fields.
fn write_progress(stream: &Stream, group: &ConsumerGroup, out: &mut Writer<'_>) {
    out.bulk_str("last-delivered-id");
    id::write(out, group.last_delivered);
    for (name, number) in [("entries-read", group.entries_read), ("lag", lag(stream, group))] {
        out.bulk_str(name);
        match number {
            Some(number) => out.int(number as i64),
            None => out.null(),
        }
    }
}

/// How many entries the group has yet to deliver, if that can be told.
fn lag(stream: &Stream, group: &ConsumerGroup) -> Option<u64> {
    if stream.entries_added == 0 {
        return Some(0);
    }
    let is_ahead = stream.gap_end().is_some_and(|gap| group.last_delivered <= gap);
    let read = match group.entries_read {
        Some(read) if !is_ahead => read,
        _ => stream.entries_up_to(group.last_delivered)?,
    };
    Some(stream.entries_added.wrapping_sub(read))
}

const XINFO_STREAM: Command = Command {
    name: "stream",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1), and O(N) in what is shown with `FULL`.",
    summary: "Tells of a stream: its length, its IDs, its ends, or with `FULL` all of it with its groups.",
    history: &[
        ("6.0.0", "`FULL`."),
        (
            "7.0.0",
            "The fields `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag`.",
        ),
    ],
    args: &[
        Arg::key("key", 0),
        Arg::block("full", &[Arg::new("count", ArgKind::Integer).with_token("COUNT").optional()])
            .with_token("FULL")
            .optional(),
    ],
    handler: Handler::Shard(stream),
    ..Command::EMPTY
};

fn wrong_subcommand(args: Args<'_>) -> CommandError {
    CommandError::quoting(
        "ERR unknown subcommand or wrong number of arguments for '",
        args.get(1),
        "'. Try XINFO HELP.",
    )
}

/// Entries shown of each list without COUNT.
const COUNT_DEFAULT: u64 = 10;

fn stream(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    let stream = cx.ks.read_as::<Stream>(key)?.ok_or(CommandError::NoSuchKey)?;
    let is_named = |at: usize, name: &str| args.get(at).eq_ignore_ascii_case(name.as_bytes());
    let count = match args.len() {
        3 => None,
        4 if is_named(3, "FULL") => Some(COUNT_DEFAULT),
        6 if is_named(3, "FULL") && is_named(4, "COUNT") => {
            let count = parse_i64(args.get(5)).ok_or(CommandError::NotInteger)?;
            Some(u64::try_from(count).unwrap_or(COUNT_DEFAULT))
        }
        _ => return Err(wrong_subcommand(args)),
    };
    let out = &mut cx.out;
    out.map(if count.is_some() { 9 } else { 10 });
    write_state(stream, out);
    match count {
        Some(count) => write_full(stream, count, out),
        None => {
            out.bulk_str("groups");
            out.int(stream.groups().len() as i64);
            for (name, id) in [("first-entry", stream.first_entry()), ("last-entry", stream.last_entry())] {
                out.bulk_str(name);
                if !id.is_some_and(|id| entry::write_one(out, stream, id)) {
                    out.null();
                }
            }
        }
    }
    Ok(Effect::None)
}

/// What both forms begin with: seven fields.
fn write_state(stream: &Stream, out: &mut Writer<'_>) {
    out.bulk_str("length");
    out.int(stream.len() as i64);
    // Blocks are Redis's nodes; a radix tree of them is not kept here, but has at least one node more.
    out.bulk_str("radix-tree-keys");
    out.int(stream.block_count() as i64);
    out.bulk_str("radix-tree-nodes");
    out.int(stream.block_count() as i64 + 1);
    out.bulk_str("last-generated-id");
    id::write(out, stream.last_id());
    out.bulk_str("max-deleted-entry-id");
    id::write(out, stream.max_deleted_id);
    out.bulk_str("entries-added");
    out.int(stream.entries_added as i64);
    out.bulk_str("recorded-first-entry-id");
    id::write(out, stream.first_entry().unwrap_or(StreamId::MIN));
}

/// Entries and groups, `count` of each list; 0: all.
fn write_full(stream: &Stream, count: u64, out: &mut Writer<'_>) {
    out.bulk_str("entries");
    let mut entries = Gathered::new(out.proto);
    entries.add_range(stream, (StreamId::MIN, StreamId::MAX), false, count, |_| {});
    entries.write(out);
    out.bulk_str("groups");
    out.array(stream.groups().len());
    let limit = if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    for (name, group) in stream.groups() {
        out.map(7);
        out.bulk_str("name");
        out.bulk(name);
        write_progress(stream, group, out);
        out.bulk_str("pel-count");
        out.int(group.pending().len() as i64);
        out.bulk_str("pending");
        out.array(group.pending().len().min(limit));
        for (id, pending) in group.pending().iter().take(limit) {
            out.array(4);
            id::write(out, *id);
            out.bulk(&group.consumer(pending.consumer).name);
            out.int(pending.delivered_at);
            out.int(i64::from(pending.deliveries));
        }
        out.bulk_str("consumers");
        out.array(group.consumer_count());
        group.consumers().for_each(|consumer| write_consumer(group, consumer, limit, out));
    }
}

fn write_consumer(group: &ConsumerGroup, consumer: &Consumer, limit: usize, out: &mut Writer<'_>) {
    out.map(4);
    out.bulk_str("name");
    out.bulk(&consumer.name);
    out.bulk_str("seen-time");
    out.int(consumer.seen_at);
    out.bulk_str("pel-count");
    out.int(consumer.pending().len() as i64);
    out.bulk_str("pending");
    out.array(consumer.pending().len().min(limit));
    for id in consumer.pending().iter().take(limit) {
        let pending = &group.pending()[id];
        out.array(3);
        id::write(out, *id);
        out.int(pending.delivered_at);
        out.int(i64::from(pending.deliveries));
    }
}
