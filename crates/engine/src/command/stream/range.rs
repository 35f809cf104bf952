//! Entries between two IDs: XRANGE, XREVRANGE. How many there are, XLEN. XDEL.

use pinyon_base::parse_i64;
use pinyon_resp::{Args, Output, Proto, Writer};
use pinyon_values::stream::{Stream, StreamId};

use super::entry::{self, Gathered};
use super::id;
use crate::command::long::{self, Long};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Keyspace;
use crate::{CommandError, Cx, Effect};

/// Entries replied in a piece, at most, and bytes of them after which it ends.
const ENTRIES_PER_PIECE: u64 = 256;
const BYTES_PER_PIECE: usize = 64 << 10;

pub(super) const XLEN: Command = Command {
    name: "xlen",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    summary: "Replies how many entries a stream has.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(xlen),
    ..Command::EMPTY
};

fn xlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let len = cx.ks.read_as::<Stream>(key)?.map_or(0, Stream::len);
    cx.out.int(len as i64);
    Ok(Effect::None)
}

pub(super) const XRANGE: Command = Command {
    name: "xrange",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of entries replied, after O(log M) to find the first of M.",
    summary: "Replies the entries between two IDs.",
    history: &[("6.2.0", "Exclusive ranges.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("start", ArgKind::String),
        Arg::new("end", ArgKind::String),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Shard(xrange),
    long: Some(Long { is: |ks, args| is_long(ks, args, false), work: || in_pieces(false) }),
    ..Command::EMPTY
};

pub(super) const XREVRANGE: Command = Command {
    name: "xrevrange",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of entries replied, after O(log M) to find the first of M.",
    summary: "Replies the entries between two IDs, the highest first.",
    history: &[("6.2.0", "Exclusive ranges.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("end", ArgKind::String),
        Arg::new("start", ArgKind::String),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Shard(xrevrange),
    long: Some(Long { is: |ks, args| is_long(ks, args, true), work: || in_pieces(true) }),
    ..Command::EMPTY
};

fn xrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    range(cx, args, false)
}

fn xrevrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    range(cx, args, true)
}

/// The entries that are asked for.
#[derive(Clone, Copy)]
struct Range {
    from: StreamId,
    to: StreamId,
    /// None: all of them.
    count: Option<u64>,
}

impl Range {
    fn parse(args: Args<'_>, reverse: bool) -> Result<Range, CommandError> {
        let (from_at, to_at) = if reverse { (3, 2) } else { (2, 3) };
        let from = id::parse_start(args.get(from_at))?;
        let to = id::parse_end(args.get(to_at))?;
        let mut count = None;
        let mut at = 4;
        while at < args.len() {
            if !args.get(at).eq_ignore_ascii_case(b"COUNT") || at + 1 == args.len() {
                return Err(CommandError::Syntax);
            }
            count = Some(parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)?.max(0) as u64);
            at += 2;
        }
        Ok(Range { from, to, count })
    }
}

fn range(cx: &mut Cx<'_>, args: Args<'_>, reverse: bool) -> Result<Effect, CommandError> {
    let Range { from, to, count } = Range::parse(args, reverse)?;
    let key = cx.ks.key(args, 1);
    let Some(stream) = cx.ks.read_as::<Stream>(key)? else {
        cx.out.array(0);
        return Ok(Effect::None);
    };
    if count == Some(0) {
        cx.out.null_array();
        return Ok(Effect::None);
    }
    let mut entries = Gathered::new(cx.out.proto);
    entries.add_range(stream, (from, to), reverse, count.unwrap_or(0), |_| {});
    entries.write(&mut cx.out);
    Ok(Effect::None)
}

fn is_long(ks: &mut Keyspace<'_>, args: Args<'_>, reverse: bool) -> bool {
    const MIN: u64 = long::ELEMENTS_MIN as u64;
    if !long::is_first_big(ks, args) {
        return false;
    }
    let Ok(Range { from, to, count }) = Range::parse(args, reverse) else { return false };
    let stream = ks.seen_as::<Stream>(ks.key(args, 1));
    count.is_none_or(|count| count >= MIN) && stream.is_some_and(|stream| stream.len_around(from, to) >= MIN)
}

fn in_pieces(reverse: bool) -> long::Work {
    let mut entries = None;
    Box::new(move |cx, args| match &mut entries {
        None => {
            let left = Range::parse(args, reverse)?;
            let key = cx.ks.key(args, 1);
            if cx.ks.read_as::<Stream>(key)?.is_some() && left.count == Some(0) {
                cx.out.null_array();
                return Ok(Some(Effect::None));
            }
            Ok(entries.insert(Entries { left, reverse, found: Output::default(), number: 0 }).piece(cx, args))
        }
        Some(entries) => Ok(entries.piece(cx, args)),
    })
}

/// Such a command under way.
struct Entries {
    left: Range,
    reverse: bool,
    /// The entries as they are replied, and how many: their number goes first.
    found: Output,
    number: usize,
}

impl Entries {
    fn piece(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Option<Effect> {
        let key = cx.ks.key(args, 1);
        let more = cx.ks.seen_as::<Stream>(key).is_some_and(|stream| self.walk(stream, cx.out.proto));
        if more {
            long::seal(&mut self.found);
            return None;
        }
        cx.out.array(self.number);
        cx.out.out.append(&mut self.found);
        Some(Effect::None)
    }

    /// Goes on with the walk. True: there may be more.
    fn walk(&mut self, stream: &Stream, proto: Proto) -> bool {
        let Entries { left, reverse, found, number } = self;
        let count = left.count.unwrap_or(u64::MAX);
        let (most, bytes) = (count.min(ENTRIES_PER_PIECE), found.len() + BYTES_PER_PIECE);
        let (mut here, mut last) = (0, None);
        stream.walk(left.from, left.to, *reverse, &mut |id, fields| {
            entry::write(&mut Writer { out: found, proto }, id, fields);
            here += 1;
            let goes_on = here < most && found.len() < bytes;
            last = (!goes_on).then_some(id);
            goes_on
        });
        *number += here as usize;
        left.count = left.count.map(|count| count - here);
        // None: the walk has come to the end of the range.
        let Some(last) = last.filter(|_| here < count) else { return false };
        let Some(next) = (if *reverse { last.previous() } else { last.next() }) else { return false };
        *(if *reverse { &mut left.to } else { &mut left.from }) = next;
        left.from <= left.to
    }
}

pub(super) const XDEL: Command = Command {
    name: "xdel",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1) for each ID.",
    summary: "Deletes entries of a stream.",
    args: &[Arg::key("key", 0), Arg::new("id", ArgKind::String).multiple()],
    handler: Handler::Shard(xdel),
    ..Command::EMPTY
};

fn xdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let Some(stream) = cx.ks.update::<Stream>(key)? else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    // All are looked at before the first is deleted.
    let ids = (2..args.len()).map(|at| id::parse_strict(args.get(at), 0)).collect::<Result<Vec<_>, _>>()?;
    let deleted = ids.into_iter().filter(|id| stream.delete(*id)).count();
    cx.out.int(deleted as i64);
    if deleted == 0 {
        return Ok(Effect::None);
    }
    cx.ks.changed_by::<Stream>(key, "xdel");
    Ok(Effect::AsSent { changes: deleted as u32 })
}
