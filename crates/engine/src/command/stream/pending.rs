//! What groups have delivered and nobody has acknowledged: XPENDING and XACK.

use std::ops::Bound;

use pinyon_base::parse_i64;
use pinyon_resp::{Args, Writer};
use pinyon_values::stream::{Group as ConsumerGroup, Pending, Stream, StreamId};

use super::entry::Gathered;
use super::{id, no_group};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

pub(super) const XACK: Command = Command {
    name: "xack",
    arity: -4,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1) for each ID.",
    summary: "Acknowledges entries that a consumer group has delivered.",
    args: &[Arg::key("key", 0), Arg::new("group", ArgKind::String), Arg::new("id", ArgKind::String).multiple()],
    handler: Handler::Shard(xack),
    ..Command::EMPTY
};

fn xack(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    // Counted as found or missed, though it writes: as in Redis.
    cx.ks.read_as::<Stream>(key)?;
    let Some(group) = cx.ks.update::<Stream>(key)?.and_then(|stream| stream.group_mut(args.get(2))) else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    // All are looked at before the first is acknowledged.
    for at in 3..args.len() {
        id::parse_strict(args.get(at), 0)?;
    }
    let mut acknowledged = 0;
    for at in 3..args.len() {
        acknowledged += u32::from(group.acknowledge(id::parse_strict(args.get(at), 0)?));
    }
    cx.out.int(i64::from(acknowledged));
    if acknowledged == 0 {
        return Ok(Effect::None);
    }
    cx.ks.changed_unwatched::<Stream>(key);
    Ok(Effect::AsSent { changes: acknowledged })
}

pub(super) const XPENDING: Command = Command {
    name: "xpending",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of entries replied, and O(1) for the summary but for its consumers.",
    summary: "Tells which entries of a group were delivered and not acknowledged.",
    history: &[("6.2.0", "`IDLE` and exclusive ranges.")],
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::new("group", ArgKind::String),
        Arg::block(
            "filters",
            &[
                Arg::new("min-idle-time", ArgKind::Integer).with_token("IDLE").optional().since("6.2.0"),
                Arg::new("start", ArgKind::String),
                Arg::new("end", ArgKind::String),
                Arg::new("count", ArgKind::Integer),
                Arg::new("consumer", ArgKind::String).optional(),
            ],
        )
        .optional(),
    ],
    handler: Handler::Shard(xpending),
    ..Command::EMPTY
};

/// The long form of XPENDING.
struct Wanted<'a> {
    idle_min: i64,
    from: StreamId,
    to: StreamId,
    count: u64,
    consumer: Option<&'a [u8]>,
}

impl Wanted<'_> {
    fn parse(args: Args<'_>) -> Result<Option<Wanted<'_>>, CommandError> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::Syntax);
        }
        let (mut at, mut idle_min) = (3, 0);
        if args.get(3).eq_ignore_ascii_case(b"IDLE") {
            idle_min = parse_i64(args.get(4)).ok_or(CommandError::NotInteger)?;
            if args.len() < 8 {
                return Err(CommandError::Syntax);
            }
            at = 5;
        }
        let count = parse_i64(args.get(at + 2)).ok_or(CommandError::NotInteger)?.max(0) as u64;
        let from = id::parse_start(args.get(at))?;
        let to = id::parse_end(args.get(at + 1))?;
        let consumer = (at + 3 < args.len()).then(|| args.get(at + 3));
        Ok(Some(Wanted { idle_min, from, to, count, consumer }))
    }

    /// Replies those that are wanted.
    fn write(&self, group: &ConsumerGroup, now: i64, out: &mut Writer<'_>) {
        let mut found = Gathered::new(out.proto);
        let mut left = self.count;
        let mut show = |id: StreamId, pending: &Pending| {
            let idle = now - pending.delivered_at;
            if self.idle_min != 0 && idle < self.idle_min {
                return true;
            }
            left -= 1;
            found.add(|out| {
                out.array(4);
                id::write(out, id);
                out.bulk(&group.consumer(pending.consumer).name);
                out.int(idle.max(0));
                out.int(i64::from(pending.deliveries));
            });
            left > 0
        };
        let range = (Bound::Included(self.from), Bound::Included(self.to));
        let is_empty = self.from > self.to || self.count == 0;
        let number = self.consumer.map(|name| group.consumer_named(name));
        match number {
            _ if is_empty => {}
            Some(None) => {}
            None => {
                for (id, pending) in group.pending().range(range) {
                    if !show(*id, pending) {
                        break;
                    }
                }
            }
            Some(Some(number)) => {
                for id in group.consumer(number).pending().range(range) {
                    if !show(*id, &group.pending()[id]) {
                        break;
                    }
                }
            }
        }
        found.write(out);
    }
}

fn xpending(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let wanted = Wanted::parse(args)?;
    let (key, now) = (cx.ks.key(args, 1), cx.ks.now().0);
    let group = cx.ks.read_as::<Stream>(key)?.and_then(|stream| stream.group(args.get(2)));
    let group = group.ok_or_else(|| no_group(key.bytes, args.get(2), "'"))?;
    match wanted {
        Some(wanted) => wanted.write(group, now, &mut cx.out),
        None => write_summary(group, &mut cx.out),
    }
    Ok(Effect::None)
}

fn write_summary(group: &ConsumerGroup, out: &mut Writer<'_>) {
    out.array(4);
    out.int(group.pending().len() as i64);
    let (first, last) = (group.pending().first_key_value(), group.pending().last_key_value());
    let (Some((first, _)), Some((last, _))) = (first, last) else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    id::write(out, *first);
    id::write(out, *last);
    let busy = || group.consumers().filter(|consumer| !consumer.pending().is_empty());
    out.array(busy().count());
    for consumer in busy() {
        out.array(2);
        out.bulk(&consumer.name);
        out.bulk_int(consumer.pending().len() as i64);
    }
}
