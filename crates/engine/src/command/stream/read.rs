//! XREAD and XREADGROUP: what streams have behind an ID, and what a group has not delivered yet.
//!
//! They wait as `command::blocking` says, for all of their streams side by side. What a reader remembers of a stream is the ID
//! above which it wants entries; [`NEW`] stands for what its group has not delivered.

use std::ops::Range;

use pinyon_base::parse_i64;
use pinyon_resp::{Args, Proto};
use pinyon_values::stream::{Pending, Stream, StreamId};

use super::entry::{self, Gathered};
use super::group::{heard_of, knows};
use super::{id, no_group};
use crate::command::blocking::{self, Answers, Blocking, Note, Occasion, Patience, Served, Try, Wants};
use crate::command::row::{
    Arg, ArgKind, BeginSearch, Categories, Command, FindKeys, Flags, Group, Handler, KeyFlags, KeySpec, Spread,
};
use crate::keyspace::{Events, Key, Keyspace};
use crate::{CommandError, Cx, Effect};

pub(super) const XREAD: Command = Command {
    name: "xread",
    arity: -4,
    flags: Flags::READONLY.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
    categories: Categories::STREAM,
    keys: &[KeySpec {
        notes: "",
        flags: KeyFlags::RO.union(KeyFlags::ACCESS),
        begin: BeginSearch::Keyword { keyword: "STREAMS", start_from: 1 },
        find: FindKeys::Range { last: -1, step: 1, limit: 2 },
    }],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) in the number of entries replied for each stream.",
    summary: "Replies the entries of streams behind the IDs given, and waits for some if asked to.",
    args: &[
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
        Arg::new("milliseconds", ArgKind::Integer).with_token("BLOCK").optional(),
        Arg::block("streams", &[Arg::key("key", 0).multiple(), Arg::new("id", ArgKind::String).multiple()])
            .with_token("STREAMS"),
    ],
    handler: Handler::Spread(Spread::Tries, xread),
    blocking: Some(&READS),
    ..Command::EMPTY
};

pub(super) const XREADGROUP: Command = Command {
    name: "xreadgroup",
    arity: -7,
    flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
    categories: Categories::STREAM,
    keys: &[KeySpec {
        notes: "",
        flags: KeyFlags::RO.union(KeyFlags::ACCESS),
        begin: BeginSearch::Keyword { keyword: "STREAMS", start_from: 4 },
        find: FindKeys::Range { last: -1, step: 1, limit: 2 },
    }],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(M) in the number of entries replied for each stream.",
    summary: "Delivers new entries of streams to a consumer of a group, or replies again what it has not acknowledged.",
    args: &[
        Arg::block("group_consumer", &[Arg::new("group", ArgKind::String), Arg::new("consumer", ArgKind::String)])
            .with_token("GROUP"),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
        Arg::new("milliseconds", ArgKind::Integer).with_token("BLOCK").optional(),
        Arg::token("noack", "NOACK").optional(),
        Arg::block("streams", &[Arg::key("key", 0).multiple(), Arg::new("id", ArgKind::String).multiple()])
            .with_token("STREAMS"),
    ],
    handler: Handler::Spread(Spread::Tries, xread),
    blocking: Some(&READS),
    ..Command::EMPTY
};

const READS: Blocking = Blocking {
    patience: |args| Ok(Request::parse(args)?.patience),
    keys: |args| Request::parse(args).map_or(0..0, |request| request.keys()),
    wants: Wants::Stream,
    answers: Answers::Each,
    check,
    ready,
    serve,
    target: None,
    nothing: |out| out.null_array(),
};

/// What a group has not delivered. As in Redis, the highest ID means the same.
const NEW: StreamId = StreamId::MAX;

fn xread(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &READS)
}

/// What is asked for. Positions are those of the arguments.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// Entries of each stream at most; 0: all.
    count: u64,
    patience: Patience,
    no_ack: bool,
    /// Where the group's name is; the consumer's is behind it.
    group_at: Option<usize>,
    first_key: usize,
    /// Number of streams.
    streams: usize,
}

impl Request {
    fn parse(args: Args<'_>) -> Result<Request, CommandError> {
        let is_group = args.get(0).len() == "xreadgroup".len();
        let mut request =
            Request { count: 0, patience: Patience::None, no_ack: false, group_at: None, first_key: 0, streams: 0 };
        let mut at = 1;
        while at < args.len() {
            let more = args.len() - 1 - at;
            let named = |name: &str, words: usize| more >= words && args.get(at).eq_ignore_ascii_case(name.as_bytes());
            if named("BLOCK", 1) {
                request.patience = blocking::timeout_millis(args.get(at + 1))?;
                at += 2;
            } else if named("COUNT", 1) {
                request.count = parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)?.max(0) as u64;
                at += 2;
            } else if named("STREAMS", 1) {
                request.first_key = at + 1;
                request.streams = more / 2;
                if !more.is_multiple_of(2) {
                    return Err(CommandError::text(
                        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
                    ));
                }
                break;
            } else if named("GROUP", 2) {
                if !is_group {
                    return Err(CommandError::text(
                        "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                request.group_at = Some(at + 1);
                at += 3;
            } else if named("NOACK", 0) {
                if !is_group {
                    return Err(CommandError::text(
                        "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                request.no_ack = true;
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if request.first_key == 0 {
            return Err(CommandError::Syntax);
        }
        if is_group && request.group_at.is_none() {
            return Err(CommandError::text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }

    fn keys(&self) -> Range<usize> {
        self.first_key..self.first_key + self.streams
    }

    /// The ID that goes with the stream whose key is at that position.
    fn id_of<'a>(&self, args: Args<'a>, key_at: usize) -> &'a [u8] {
        args.get(key_at + self.streams)
    }

    /// What replays to the same state of the group: the same, of this stream alone, and without waiting.
    fn record(&self, ks: &mut Keyspace<'_>, args: Args<'_>, at: usize, key_at: usize, key: Key<'_>) {
        let count = self.count.to_string();
        let mut words: Vec<&[u8]> = vec![b"XREADGROUP", b"GROUP", args.get(at), args.get(at + 1)];
        if self.count > 0 {
            words.extend([&b"COUNT"[..], count.as_bytes()]);
        }
        if self.no_ack {
            words.push(b"NOACK");
        }
        words.extend([b"STREAMS", key.bytes, self.id_of(args, key_at)]);
        ks.record(&words);
    }
}

/// From where on the stream is wanted, or what is wrong with it.
fn check(ks: &mut Keyspace<'_>, args: Args<'_>, key_at: usize) -> Result<Note, CommandError> {
    let request = Request::parse(args)?;
    let key = ks.key(args, key_at);
    let stream = ks.read_as::<Stream>(key)?;
    if let Some(at) = request.group_at
        && stream.and_then(|stream| stream.group(args.get(at))).is_none()
    {
        return Err(no_group(key.bytes, args.get(at), "' in XREADGROUP with GROUP option"));
    }
    let above = match (request.id_of(args, key_at), request.group_at.is_some()) {
        (b"$", true) => {
            return Err(CommandError::text(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
                 specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
            ));
        }
        (b"$", false) => stream.map_or(StreamId::MIN, Stream::last_id),
        (b">", true) => NEW,
        (b">", false) => {
            return Err(CommandError::text(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            ));
        }
        (text, _) => id::parse_strict(text, 0)?,
    };
    Ok([above.ms, above.seq])
}

/// Whether there is something for a reader that waits, be it that its group is gone.
fn ready(ks: &mut Keyspace<'_>, args: Args<'_>, key_at: usize, note: Note) -> bool {
    let Ok(request) = Request::parse(args) else { return true };
    let key = ks.key(args, key_at);
    let stream = ks.peek_as::<Stream>(key);
    match (stream, request.group_at) {
        (Ok(Some(stream)), None) => stream.last_entry() > Some(above(note)),
        (Ok(Some(stream)), Some(at)) => {
            stream.group(args.get(at)).is_none_or(|group| stream.last_entry() > Some(group.last_delivered))
        }
        (Ok(None) | Err(_), group) => group.is_some(),
    }
}

fn above(note: Note) -> StreamId {
    StreamId { ms: note[0], seq: note[1] }
}

/// Replies what the stream has, its name first. What changes in a group is written down.
fn serve(cx: &mut Cx<'_>, args: Args<'_>, attempt: Try) -> Result<Served, CommandError> {
    let request = Request::parse(args)?;
    let (key, above, now) = (cx.ks.key(args, attempt.key), above(attempt.note), cx.ks.now().0);
    let mut entries = Gathered::new(cx.out.proto);
    let changes = match request.group_at {
        None => {
            let stream = match attempt.occasion {
                // Counted a second time after `check`, as in Redis.
                Occasion::Asked => cx.ks.read_as::<Stream>(key)?,
                Occasion::Ready => cx.ks.peek_as::<Stream>(key)?,
            };
            let Some(stream) = stream else { return Ok(Served::Nothing) };
            let from = above.next().filter(|_| stream.last_entry() > Some(above));
            let Some(from) = from else { return Ok(Served::Nothing) };
            entries.add_range(stream, (from, StreamId::MAX), false, request.count, |_| {});
            0
        }
        Some(at) => {
            let is_gone = attempt.occasion == Occasion::Ready && !matches!(cx.ks.peek_as::<Stream>(key), Ok(Some(_)));
            if is_gone {
                return Err(CommandError::text("UNBLOCKED the stream key no longer exists"));
            }
            if attempt.occasion == Occasion::Asked {
                cx.ks.read_as::<Stream>(key)?;
            }
            let is_told = cx.ks.wants(Events::STREAM);
            let Some(stream) = cx.ks.update::<Stream>(key)? else { return Ok(Served::Nothing) };
            if attempt.occasion == Occasion::Ready && stream.group(args.get(at)).is_none() {
                return Err(CommandError::text(
                    "NOGROUP the consumer group this client was blocked on no longer exists",
                ));
            }
            let delivery = Delivery { count: request.count, no_ack: request.no_ack, now };
            let names = (args.get(at), args.get(at + 1));
            let had_consumer = !is_told || knows(stream, names.0, names.1);
            let changes = match above {
                NEW => delivery.new_entries(stream, names, &mut entries),
                above => delivery.history(stream, names, above, &mut entries),
            };
            let is_new = !had_consumer && knows(stream, names.0, names.1);
            let Some(changes) = changes else { return Ok(Served::Nothing) };
            if is_new {
                cx.ks.notify(Events::STREAM, "xgroup-createconsumer", key);
            }
            if changes > 0 {
                request.record(&mut cx.ks, args, at, attempt.key, key);
            }
            changes
        }
    };
    if cx.out.proto == Proto::Resp2 {
        cx.out.array(2);
    }
    cx.out.bulk(key.bytes);
    entries.write(&mut cx.out);
    Ok(Served::Done(if changes > 0 { Effect::Recorded { changes } } else { Effect::None }))
}

/// How a group delivers.
struct Delivery {
    count: u64,
    no_ack: bool,
    now: i64,
}

impl Delivery {
    /// Delivers what was not delivered yet. None: there is nothing.
    fn new_entries(
        &self,
        stream: &mut Stream,
        (group, consumer): (&[u8], &[u8]),
        entries: &mut Gathered,
    ) -> Option<u32> {
        let state = stream.group(group)?;
        let (mut last, mut read) = (state.last_delivered, state.entries_read);
        let from = last.next().filter(|_| stream.last_entry() > Some(last))?;
        let mut ids = Vec::new();
        entries.add_range(stream, (from, StreamId::MAX), false, self.count, |id| ids.push(id));
        let gap_end = stream.gap_end();
        for &id in &ids {
            read = match read {
                Some(read) if gap_end.is_none_or(|gap| id > gap) => Some(read + 1),
                read if stream.entries_added == 0 => read,
                _ => stream.entries_up_to(id),
            };
            last = id;
        }
        let now = self.now;
        let group = stream.group_mut(group)?;
        (group.last_delivered, group.entries_read) = (last, read);
        let (consumer, _) = heard_of(group, consumer, now);
        group.consumer_mut(consumer).active_at = Some(now);
        if !self.no_ack {
            for &id in &ids {
                group.assign(id, Pending { consumer, deliveries: 1, delivered_at: now });
            }
        }
        Some(ids.len().max(1) as u32)
    }

    /// Delivers again what the consumer has not acknowledged, above an ID.
    fn history(
        &self,
        stream: &mut Stream,
        (name, consumer): (&[u8], &[u8]),
        above: StreamId,
        entries: &mut Gathered,
    ) -> Option<u32> {
        let group = stream.group_mut(name)?;
        let (consumer, is_new) = heard_of(group, consumer, self.now);
        let limit = if self.count == 0 { usize::MAX } else { usize::try_from(self.count).unwrap_or(usize::MAX) };
        let ids: Vec<StreamId> = match above.next() {
            Some(from) => group.consumer(consumer).pending().range(from..).take(limit).copied().collect(),
            None => Vec::new(),
        };
        let mut changes = u32::from(is_new);
        for id in ids {
            let mut is_there = false;
            entries.add(|out| {
                is_there = entry::write_one(out, stream, id);
                if !is_there {
                    out.array(2);
                    id::write(out, id);
                    out.null_array();
                }
            });
            let group = stream.group_mut(name)?;
            if is_there && let Some(&pending) = group.pending().get(&id) {
                let deliveries = pending.deliveries.saturating_add(1);
                group.assign(id, Pending { deliveries, delivered_at: self.now, ..pending });
                changes += 1;
            }
        }
        Some(changes)
    }
}
