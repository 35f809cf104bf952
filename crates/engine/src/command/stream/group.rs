//! XGROUP: consumer groups made, set, and removed, and their consumers. XGROUP HELP is the server's.

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::stream::{Group as ConsumerGroup, Stream, StreamId};

use super::id;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, ServerCommand};
use crate::command::server::help::help_row;
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect, until_nul};

pub(super) const XGROUP: Command = Command {
    name: "xgroup",
    arity: -2,
    group: Group::Stream,
    since: "5.0.0",
    complexity: "Depends on the subcommand.",
    summary: "Makes and removes consumer groups and their consumers.",
    subcommands: &[XGROUP_CREATE, XGROUP_CREATECONSUMER, XGROUP_DELCONSUMER, XGROUP_DESTROY, XGROUP_HELP, XGROUP_SETID],
    handler: Handler::Container,
    ..Command::EMPTY
};

const XGROUP_HELP: Command =
    help_row(Group::Stream, Categories::STREAM, "5.0.0", "Lists the subcommands of XGROUP.", ServerCommand::XgroupHelp);

const NO_KEY: CommandError = CommandError::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
);

/// There is a stream but no such group.
fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let quoted = [until_nul(group), b"' for key name '", until_nul(key)].concat();
    CommandError::Quoting { before: "NOGROUP No such consumer group '", quoted, after: "'" }
}

fn wrong_subcommand(args: Args<'_>) -> CommandError {
    CommandError::quoting(
        "ERR unknown subcommand or wrong number of arguments for '",
        args.get(1),
        "'. Try XGROUP HELP.",
    )
}

/// What follows the ID.
#[derive(Default)]
struct Options {
    creates_stream: bool,
    entries_read: Option<u64>,
}

fn options(args: Args<'_>, may_create_stream: bool) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 5;
    while at < args.len() {
        if may_create_stream && args.get(at).eq_ignore_ascii_case(b"MKSTREAM") {
            options.creates_stream = true;
            at += 1;
        } else if args.get(at).eq_ignore_ascii_case(b"ENTRIESREAD") && at + 1 < args.len() {
            options.entries_read = match parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)? {
                -1 => None,
                number => Some(
                    u64::try_from(number)
                        .map_err(|_| CommandError::text("ERR value for ENTRIESREAD must be positive or -1"))?,
                ),
            };
            at += 2;
        } else {
            return Err(wrong_subcommand(args));
        }
    }
    Ok(options)
}

const XGROUP_CREATE: Command = Command {
    name: "create",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Makes a consumer group of a stream.",
    history: &[("7.0.0", "`ENTRIESREAD`.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("groupname", ArgKind::String),
        Arg::one_of("id", &[Arg::new("id", ArgKind::String), Arg::token("new_id", "$")]),
        Arg::token("mkstream", "MKSTREAM").optional(),
        Arg::new("entries_read", ArgKind::Integer).with_token("ENTRIESREAD").optional(),
    ],
    handler: Handler::Shard(create),
    ..Command::EMPTY
};

fn create(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    // As many as Redis takes.
    const ARGS_MAX: usize = 8;
    let options = options(args, true)?;
    let (key, name) = (cx.ks.key(args, 2), args.get(3));
    let last_id = match cx.ks.update::<Stream>(key)? {
        Some(stream) => Some(stream.last_id()),
        None if options.creates_stream => None,
        None => return Err(NO_KEY),
    };
    if args.len() > ARGS_MAX {
        return Err(wrong_subcommand(args));
    }
    let from = match args.get(4) {
        b"$" => last_id.unwrap_or(StreamId::MIN),
        text => id::parse_strict(text, 0)?,
    };
    let stream = cx.ks.update_or_create::<Stream>(key)?;
    if !stream.add_group(name, ConsumerGroup::new(from, options.entries_read)) {
        return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
    }
    match last_id {
        Some(_) => cx.ks.changed_unwatched::<Stream>(key),
        None => cx.ks.changed::<Stream>(key),
    };
    cx.ks.notify(Events::STREAM, "xgroup-create", key);
    cx.out.ok();
    Ok(Effect::AsSent { changes: 1 })
}

/// The group of a subcommand that needs one.
fn group_of<'s>(
    stream: Option<&'s mut Stream>,
    key: &[u8],
    name: &[u8],
) -> Result<&'s mut ConsumerGroup, CommandError> {
    stream.ok_or(NO_KEY)?.group_mut(name).ok_or_else(|| no_group(key, name))
}

const XGROUP_SETID: Command = Command {
    name: "setid",
    arity: -5,
    flags: Flags::WRITE,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Sets the ID up to which a group has delivered.",
    history: &[("7.0.0", "`ENTRIESREAD`.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("groupname", ArgKind::String),
        Arg::one_of("id", &[Arg::new("id", ArgKind::String), Arg::token("new_id", "$")]),
        Arg::new("entries_read", ArgKind::Integer).with_token("ENTRIESREAD").optional(),
    ],
    handler: Handler::Shard(setid),
    ..Command::EMPTY
};

fn setid(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let options = options(args, false)?;
    let (key, name) = (cx.ks.key(args, 2), args.get(3));
    let stream = cx.ks.update::<Stream>(key)?;
    let last_id = stream.as_ref().map_or(StreamId::MIN, |stream| stream.last_id());
    let group = group_of(stream, key.bytes, name)?;
    group.last_delivered = match args.get(4) {
        b"$" => last_id,
        text => id::parse(text, 0)?,
    };
    group.entries_read = options.entries_read;
    cx.ks.changed_unwatched::<Stream>(key);
    cx.ks.notify(Events::STREAM, "xgroup-setid", key);
    cx.out.ok();
    Ok(Effect::AsSent { changes: 1 })
}

const XGROUP_DESTROY: Command = Command {
    name: "destroy",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of the group's entries that are not acknowledged.",
    summary: "Removes a consumer group.",
    args: &[Arg::key("key", 0), Arg::new("groupname", ArgKind::String)],
    handler: Handler::Shard(destroy),
    ..Command::EMPTY
};

fn destroy(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    let stream = cx.ks.update::<Stream>(key)?.ok_or(NO_KEY)?;
    let removed = stream.remove_group(args.get(3));
    cx.out.int(i64::from(removed.is_some()));
    if removed.is_none() {
        return Ok(Effect::None);
    }
    cx.ks.changed_unwatched::<Stream>(key);
    cx.ks.notify(Events::STREAM, "xgroup-destroy", key);
    Ok(Effect::AsSent { changes: 1 })
}

const XGROUP_CREATECONSUMER: Command = Command {
    name: "createconsumer",
    arity: 5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::Stream,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Makes a consumer of a group.",
    args: &[Arg::key("key", 0), Arg::new("groupname", ArgKind::String), Arg::new("consumername", ArgKind::String)],
    handler: Handler::Shard(createconsumer),
    ..Command::EMPTY
};

fn createconsumer(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (key, now) = (cx.ks.key(args, 2), cx.ks.now().0);
    let group = group_of(cx.ks.update::<Stream>(key)?, key.bytes, args.get(3))?;
    let is_new = group.consumer_named(args.get(4)).is_none();
    if is_new {
        group.add_consumer(args.get(4), now);
    }
    cx.out.int(i64::from(is_new));
    if !is_new {
        return Ok(Effect::None);
    }
    cx.ks.changed_unwatched::<Stream>(key);
    cx.ks.notify(Events::STREAM, "xgroup-createconsumer", key);
    Ok(Effect::AsSent { changes: 1 })
}

const XGROUP_DELCONSUMER: Command = Command {
    name: "delconsumer",
    arity: 5,
    flags: Flags::WRITE,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of its entries that are not acknowledged.",
    summary: "Removes a consumer from a group together with what was delivered to it and not acknowledged.",
    args: &[Arg::key("key", 0), Arg::new("groupname", ArgKind::String), Arg::new("consumername", ArgKind::String)],
    handler: Handler::Shard(delconsumer),
    ..Command::EMPTY
};

fn delconsumer(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    let group = group_of(cx.ks.update::<Stream>(key)?, key.bytes, args.get(3))?;
    let pending = group.remove_consumer(args.get(4));
    cx.out.int(pending.unwrap_or(0) as i64);
    if pending.is_none() {
        return Ok(Effect::None);
    }
    cx.ks.changed_unwatched::<Stream>(key);
    cx.ks.notify(Events::STREAM, "xgroup-delconsumer", key);
    Ok(Effect::AsSent { changes: 1 })
}

/// Whether a group of the stream has heard of a consumer of that name.
pub(super) fn knows(stream: &Stream, group: &[u8], consumer: &[u8]) -> bool {
    stream.group(group).is_some_and(|group| group.consumer_named(consumer).is_some())
}

/// The consumer of that name, which has just been heard of, and whether it is new.
pub(super) fn heard_of(group: &mut ConsumerGroup, name: &[u8], now: i64) -> (u32, bool) {
    match group.consumer_named(name) {
        Some(number) => {
            group.consumer_mut(number).seen_at = now;
            (number, false)
        }
        None => (group.add_consumer(name, now), true),
    }
}
