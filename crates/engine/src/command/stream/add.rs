//! XADD: an entry is added at the end of a stream.

use pinyon_resp::Args;
use pinyon_values::stream::{Stream, StreamId};

use super::id::{self, IdText, Seq};
use super::trim::{Trim, TrimOptions};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect};

pub(super) const XADD: Command = Command {
    name: "xadd",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STREAM,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE)).noting("An update because it may trim as well")],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1), and O(N) for N entries that are trimmed.",
    summary: "Adds an entry to the stream under a key, and trims the stream if asked to.",
    history: &[("6.2.0", "`NOMKSTREAM`, trimming by `MINID`, and `LIMIT`."), ("7.0.0", "IDs of the form `ms-*`.")],
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::token("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
        Arg::block(
            "trim",
            &[
                Arg::one_of("strategy", &[Arg::token("maxlen", "MAXLEN"), Arg::token("minid", "MINID").since("6.2.0")]),
                Arg::one_of("operator", &[Arg::token("equal", "="), Arg::token("approximately", "~")]).optional(),
                Arg::new("threshold", ArgKind::String),
                Arg::new("count", ArgKind::Integer).with_token("LIMIT").optional().since("6.2.0"),
            ],
        )
        .optional(),
        Arg::one_of("id_or_auto", &[Arg::token("auto_id", "*"), Arg::new("id", ArgKind::String)]),
        Arg::block("field_value", &[Arg::new("field", ArgKind::String), Arg::new("value", ArgKind::String)]).multiple(),
    ],
    handler: Handler::Shard(xadd),
    ..Command::EMPTY
};

/// Fields and values of one entry are no longer than that, in bytes.
const ENTRY_BYTES_MAX: usize = 1 << 30;
/// Entries of up to so many fields are put together without asking for memory.
const FIELDS_USUAL: usize = 16;

/// What XADD is asked for.
struct Request {
    creates: bool,
    trim: Option<Trim>,
    id: Option<(u64, Seq)>,
    first_field: usize,
}

fn parse(cx: &Cx<'_>, args: Args<'_>) -> Result<Request, CommandError> {
    let (mut creates, mut options) = (true, TrimOptions::default());
    let mut at = 2;
    let id = loop {
        if at == args.len() {
            break None;
        }
        let word = args.get(at);
        if word == b"*" {
            break None;
        }
        if let Some(next) = options.read(args, at)? {
            at = next;
        } else if word.eq_ignore_ascii_case(b"NOMKSTREAM") {
            creates = false;
            at += 1;
        } else {
            break Some(id::parse_new(word)?);
        }
    };
    let trim = options.finish(&cx.ks.limits().stream)?;
    let words = args.len().saturating_sub(at + 1);
    if words < 2 || !words.is_multiple_of(2) {
        return Err(CommandError::WrongArity("xadd".into()));
    }
    if id == Some((0, Seq::Given(0))) {
        return Err(CommandError::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    Ok(Request { creates, trim, id, first_field: at + 1 })
}

/// The ID that the new entry gets.
fn new_id(stream: &Stream, wanted: Option<(u64, Seq)>, now: u64) -> Result<StreamId, CommandError> {
    const TOO_LOW: CommandError =
        CommandError::text("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    if stream.last_id() == StreamId::MAX {
        return Err(CommandError::text("ERR The stream has exhausted the last possible ID, unable to add more items"));
    }
    let id = match wanted {
        None => stream.next_id(now),
        Some((ms, Seq::Given(seq))) => Some(StreamId { ms, seq }),
        Some((ms, Seq::Next)) => stream.next_seq(ms).map(|seq| StreamId { ms, seq }),
    };
    id.filter(|id| *id > stream.last_id()).ok_or(TOO_LOW)
}

fn xadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let request = parse(cx, args)?;
    let key = cx.ks.key(args, 1);
    let (now, limits) = (cx.ks.now().0.max(0) as u64, cx.ks.limits().stream);
    let bytes: usize = (request.first_field..args.len()).map(|at| args.get(at).len()).sum();
    if bytes > ENTRY_BYTES_MAX {
        return Err(CommandError::text("ERR Elements are too large to be stored"));
    }
    let stream = if request.creates {
        cx.ks.update_or_create::<Stream>(key)?
    } else {
        match cx.ks.update::<Stream>(key)? {
            Some(stream) => stream,
            None => {
                cx.out.null();
                return Ok(Effect::None);
            }
        }
    };
    // A stream that was just made takes any ID above 0-0.
    let id = new_id(stream, request.id, now)?;
    let count = (args.len() - request.first_field) / 2;
    let field = |number: usize| {
        let at = request.first_field + 2 * number;
        (args.get(at), args.get(at + 1))
    };
    if count <= FIELDS_USUAL {
        let mut fields: [(&[u8], &[u8]); FIELDS_USUAL] = [(&[], &[]); FIELDS_USUAL];
        (0..count).for_each(|number| fields[number] = field(number));
        stream.add(id, &fields[..count], &limits);
    } else {
        let fields: Vec<(&[u8], &[u8])> = (0..count).map(field).collect();
        stream.add(id, &fields, &limits);
    }
    let (mut exact, mut trimmed) = (None, false);
    if let Some(trim) = request.trim {
        trimmed = trim.apply(stream) > 0;
        exact = Some(Trim::exact_words(stream, trim.to));
    }
    let is_explicit = matches!(request.id, Some((_, Seq::Given(_))));
    let is_exact = request.trim.is_none_or(|trim| !trim.is_approximate);
    cx.ks.changed_by::<Stream>(key, "xadd");
    if trimmed {
        cx.ks.notify(Events::STREAM, "xtrim", key);
    }
    let text = IdText::of(id);
    cx.out.bulk(text.as_bytes());
    if is_explicit && is_exact {
        return Ok(Effect::AsSent { changes: 1 });
    }
    let rest = (request.first_field..args.len()).map(|at| args.get(at));
    match &exact {
        None => cx.ks.record_with(&[b"XADD", key.bytes, text.as_bytes()], rest),
        Some((strategy, value)) => {
            cx.ks.record_with(&[b"XADD", key.bytes, strategy, b"=", value, text.as_bytes()], rest);
        }
    }
    Ok(Effect::Recorded { changes: 1 })
}
