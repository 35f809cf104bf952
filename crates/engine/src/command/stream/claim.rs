//! Entries taken over from other consumers: XCLAIM and XAUTOCLAIM.

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::stream::{Pending, Stream, StreamId};

use super::entry::{self, Gathered};
use super::group::{heard_of, knows};
use super::{id, no_group};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect};

pub(super) const XCLAIM: Command = Command {
    name: "xclaim",
    arity: -6,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(log N) for each ID with N entries delivered and not acknowledged.",
    summary: "Takes over entries that were delivered to another consumer and not acknowledged.",
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::new("group", ArgKind::String),
        Arg::new("consumer", ArgKind::String),
        Arg::new("min-idle-time", ArgKind::String),
        Arg::new("id", ArgKind::String).multiple(),
        Arg::new("ms", ArgKind::Integer).with_token("IDLE").optional(),
        Arg::new("unix-time-milliseconds", ArgKind::UnixTime).with_token("TIME").optional(),
        Arg::new("count", ArgKind::Integer).with_token("RETRYCOUNT").optional(),
        Arg::token("force", "FORCE").optional(),
        Arg::token("justid", "JUSTID").optional(),
        Arg::new("id", ArgKind::String).with_token("LASTID").optional(),
    ],
    handler: Handler::Shard(xclaim),
    ..Command::EMPTY
};

/// How entries are taken over.
struct Claim<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    idle_min: i64,
    now: i64,
    delivered_at: i64,
    /// How often each was delivered then; None: once more.
    deliveries: Option<u32>,
    just_id: bool,
    /// Entries that were never delivered, too.
    force: bool,
}

/// What became of one entry.
#[derive(PartialEq, Eq)]
enum Claimed {
    Yes,
    No,
    /// It is no longer in the stream, and so no longer pending.
    Gone,
}

impl Claim<'_> {
    /// Takes one entry over, and replies it.
    fn one(&self, stream: &mut Stream, id: StreamId, entries: &mut Gathered) -> Claimed {
        let is_there = stream.get(id, &mut |_| {});
        let Some(group) = stream.group_mut(self.group) else { return Claimed::No };
        let pending = group.pending().get(&id).copied();
        if !is_there {
            return if group.acknowledge(id) { Claimed::Gone } else { Claimed::No };
        }
        let before = match pending {
            Some(pending) if self.idle_min > 0 && self.now - pending.delivered_at < self.idle_min => {
                return Claimed::No;
            }
            Some(pending) => pending.deliveries,
            // Redis counts the delivery that has never been.
            None if self.force => 1,
            None => return Claimed::No,
        };
        let (consumer, _) = heard_of(group, self.consumer, self.now);
        group.consumer_mut(consumer).active_at = Some(self.now);
        let again = if self.just_id { before } else { before.saturating_add(1) };
        let deliveries = self.deliveries.unwrap_or(again);
        group.assign(id, Pending { consumer, deliveries, delivered_at: self.delivered_at });
        entries.add(|out| {
            if self.just_id {
                id::write(out, id);
            } else {
                entry::write_one(out, stream, id);
            }
        });
        Claimed::Yes
    }
}

/// The options of XCLAIM, behind the IDs.
fn claim_options<'a>(args: Args<'a>, first: usize, now: i64) -> Result<(Claim<'a>, StreamId), CommandError> {
    let mut claim = Claim {
        group: args.get(2),
        consumer: args.get(3),
        idle_min: 0,
        now,
        delivered_at: now,
        deliveries: None,
        just_id: false,
        force: false,
    };
    let mut last_id = StreamId::MIN;
    let mut at = first;
    while at < args.len() {
        let named =
            |name: &str, words: usize| at + words < args.len() && args.get(at).eq_ignore_ascii_case(name.as_bytes());
        let number = |text: &'static str| parse_i64(args.get(at + 1)).ok_or(CommandError::text(text));
        if named("FORCE", 0) {
            claim.force = true;
            at += 1;
            continue;
        }
        if named("JUSTID", 0) {
            claim.just_id = true;
            at += 1;
            continue;
        }
        if named("IDLE", 1) {
            claim.delivered_at = now.wrapping_sub(number("ERR Invalid IDLE option argument for XCLAIM")?);
        } else if named("TIME", 1) {
            claim.delivered_at = number("ERR Invalid TIME option argument for XCLAIM")?;
        } else if named("RETRYCOUNT", 1) {
            let count = number("ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
            claim.deliveries = (count >= 0).then(|| u32::try_from(count).unwrap_or(u32::MAX));
        } else if named("LASTID", 1) {
            last_id = id::parse_strict(args.get(at + 1), 0)?;
        } else {
            return Err(CommandError::quoting("ERR Unrecognized XCLAIM option '", args.get(at), "'"));
        }
        at += 2;
    }
    // A time that makes no sense is now.
    if claim.delivered_at < 0 || claim.delivered_at > now {
        claim.delivered_at = now;
    }
    Ok((claim, last_id))
}

fn xclaim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (key, now, proto) = (cx.ks.key(args, 1), cx.ks.now().0, cx.out.proto);
    // Counted as found or missed, though it writes: as in Redis.
    cx.ks.read_as::<Stream>(key)?;
    let is_told = cx.ks.wants(Events::STREAM);
    let stream = cx.ks.update::<Stream>(key)?.filter(|stream| stream.group(args.get(2)).is_some());
    let stream = stream.ok_or_else(|| no_group(key.bytes, args.get(2), "'"))?;
    let idle_min = parse_i64(args.get(4));
    let idle_min = idle_min.ok_or(CommandError::text("ERR Invalid min-idle-time argument for XCLAIM"))?;
    // What is no ID any more is an option.
    let ids: Vec<StreamId> = (5..args.len()).map_while(|at| id::parse_strict(args.get(at), 0).ok()).collect();
    let (claim, last_id) = claim_options(args, 5 + ids.len(), now)?;
    let claim = Claim { idle_min: idle_min.max(0), ..claim };
    let mut changes = 0;
    let had_consumer = !is_told || knows(stream, claim.group, claim.consumer);
    if let Some(group) = stream.group_mut(claim.group)
        && last_id > group.last_delivered
    {
        group.last_delivered = last_id;
        changes = 1;
    }
    let mut entries = Gathered::new(proto);
    for id in ids {
        changes += u32::from(claim.one(stream, id, &mut entries) != Claimed::No);
    }
    entries.write(&mut cx.out);
    let is_new = !had_consumer && knows(stream, claim.group, claim.consumer);
    if changes == 0 {
        return Ok(Effect::None);
    }
    cx.ks.changed_unwatched::<Stream>(key);
    if is_new {
        cx.ks.notify(Events::STREAM, "xgroup-createconsumer", key);
    }
    Ok(Effect::AsSent { changes })
}

pub(super) const XAUTOCLAIM: Command = Command {
    name: "xautoclaim",
    arity: -6,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::Stream,
    since: "6.2.0",
    complexity: "O(1) if `COUNT` is small.",
    summary: "Takes over entries that were delivered and not acknowledged for a while, going through them in portions.",
    history: &[("7.0.0", "A third element of the reply: IDs whose entries are gone, which it has taken off the list.")],
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::new("group", ArgKind::String),
        Arg::new("consumer", ArgKind::String),
        Arg::new("min-idle-time", ArgKind::String),
        Arg::new("start", ArgKind::String),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
        Arg::token("justid", "JUSTID").optional(),
    ],
    handler: Handler::Shard(xautoclaim),
    ..Command::EMPTY
};

/// Entries claimed without COUNT.
const COUNT_DEFAULT: usize = 100;
/// Redis's own limit: an array of so many IDs is no longer than the address space.
const COUNT_MAX: i64 = i64::MAX / 16;
/// Entries looked at for each one that may be claimed.
const LOOKED_AT: usize = 10;

fn xautoclaim(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (key, now, proto) = (cx.ks.key(args, 1), cx.ks.now().0, cx.out.proto);
    // Counted as found or missed, as in Redis; what is there is looked at below.
    cx.ks.read(key);
    let idle_min = parse_i64(args.get(4));
    let idle_min = idle_min.ok_or(CommandError::text("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
    let from = id::parse_start(args.get(5))?;
    let (mut count, mut just_id) = (COUNT_DEFAULT, false);
    let mut at = 6;
    while at < args.len() {
        if args.get(at).eq_ignore_ascii_case(b"COUNT") && at + 1 < args.len() {
            let number = parse_i64(args.get(at + 1)).filter(|number| (1..=COUNT_MAX).contains(number));
            count = number.ok_or(CommandError::text("ERR COUNT must be > 0"))? as usize;
            at += 2;
        } else if args.get(at).eq_ignore_ascii_case(b"JUSTID") {
            just_id = true;
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let is_told = cx.ks.wants(Events::STREAM);
    let stream = cx.ks.update::<Stream>(key)?;
    let no_group = || no_group(key.bytes, args.get(2), "'");
    let stream = stream.ok_or_else(no_group)?;
    let group = stream.group(args.get(2)).ok_or_else(no_group)?;
    let claim = Claim {
        group: args.get(2),
        consumer: args.get(3),
        idle_min: idle_min.max(0),
        now,
        delivered_at: now,
        deliveries: None,
        just_id,
        force: false,
    };
    let had_consumer = !is_told || group.consumer_named(claim.consumer).is_some();
    let attempts = count.saturating_mul(LOOKED_AT);
    // Those looked at at most, and the one behind them, where the next call goes on.
    let ids: Vec<StreamId> =
        group.pending().range(from..).map(|(id, _)| *id).take(attempts.saturating_add(1)).collect();
    let (mut entries, mut gone, mut looked_at) = (Gathered::new(proto), Vec::new(), 0);
    while looked_at < ids.len().min(attempts) && entries.len() + gone.len() < count {
        let id = ids[looked_at];
        looked_at += 1;
        if claim.one(stream, id, &mut entries) == Claimed::Gone {
            gone.push(id);
        }
    }
    let changes = entries.len() + gone.len();
    cx.out.array(3);
    id::write(&mut cx.out, ids.get(looked_at).copied().unwrap_or(StreamId::MIN));
    entries.write(&mut cx.out);
    cx.out.array(gone.len());
    gone.iter().for_each(|id| id::write(&mut cx.out, *id));
    let is_new = !had_consumer && knows(stream, claim.group, claim.consumer);
    if changes == 0 {
        return Ok(Effect::None);
    }
    cx.ks.changed_unwatched::<Stream>(key);
    if is_new {
        cx.ks.notify(Events::STREAM, "xgroup-createconsumer", key);
    }
    Ok(Effect::AsSent { changes: changes as u32 })
}
