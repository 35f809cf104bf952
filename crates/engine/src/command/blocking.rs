//! Commands that try their keys one by one and may wait for them: what their rows say. How clients wait is the server's
//! business (`crates/server/src/blocking/`); nothing in here waits.
//!
//! A row of BLPOP's kind has
//!
//! ```text
//! handler: Handler::Spread(Spread::Tries, blpop),    blocking: Some(&BLPOP_TRIES),
//! fn blpop(cx, args) -> … { blocking::at_once(cx, args, &BLPOP_TRIES) }       within MULTI, and where it does not wait
//! const BLPOP_TRIES: Blocking = Blocking {
//!     patience,    checks ALL arguments in Redis's order and says how long it waits; [`timeout`] reads seconds
//!     keys,        which arguments it waits for, side by side; called after `patience`
//!     wants,       the type it waits for
//!     answers,     First: the first key that is there decides. Each: all keys that have something, in one reply
//!     check,       Each only: called for every key before any is served; gives the key's [`Note`] or an error.
//!                  `no_check` for all others
//!     ready,       whether `serve` would answer: `list_is_there`, `zset_is_there`. A stream's reader is also ready when it has to
//!                  be told that its group or key is gone
//!     serve,       does it on one key and writes the reply; `Served::Nothing` writes nothing
//!     target,      a further key that is written (BLMOVE): its position
//!     nothing,     the reply when no key had anything and it does not wait
//! }
//! ```
//!
//! `serve` gets the occasion: [`Occasion::Asked`] when the client sends the command, [`Occasion::Ready`] when it has waited
//! and `ready` has just said yes for that key. Its effect must be that of the command that does not wait, recorded with
//! `cx.ks.record` (`Effect::Recorded`), for the arguments at hand are those of the waiting command.
//!
//! With [`Answers::Each`] `serve` writes one element: name and content, in RESP2 wrapped into an array of two; the frame
//! around all elements is written here. LMPOP and ZMPOP, which never wait, are such commands too: their patience is
//! [`Patience::None`], and so is that of XREAD without BLOCK.
//!
//! Whoever changes a key wakes those who wait for it, through `Watches::changed` (which the keyspace calls for every change).

use std::ops::Range;

use pinyon_base::{Extended, parse_f64};
use pinyon_resp::{Args, Output, Proto, Writer};

use crate::keyspace::{Key, KeyType, Keyspace};
use crate::{CommandError, Cx, Effect};

/// What a row says of a command that tries its keys one by one.
pub struct Blocking {
    pub patience: fn(Args<'_>) -> Result<Patience, CommandError>,
    pub keys: fn(Args<'_>) -> Range<usize>,
    pub wants: Wants,
    pub answers: Answers,
    pub check: fn(&mut Keyspace<'_>, Args<'_>, usize) -> Result<Note, CommandError>,
    pub ready: fn(&mut Keyspace<'_>, Args<'_>, usize, Note) -> bool,
    pub serve: fn(&mut Cx<'_>, Args<'_>, Try) -> Result<Served, CommandError>,
    pub target: Option<usize>,
    pub nothing: fn(&mut Writer<'_>),
}

/// One try at one key.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// The key's position among the arguments.
    pub key: usize,
    pub note: Note,
    pub occasion: Occasion,
}

/// What a command remembers of a key while it waits, as a stream's reader does the ID after which it wants entries.
pub type Note = [u64; 2];

/// How long a command waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    None,
    Millis(u64),
    Forever,
}

/// The type of the keys that a command waits for. Those who want the same type and not a stream are served one after the
/// other, in the order in which they came, as long as there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    List,
    ZSet,
    Stream,
}

impl Wants {
    pub const ALL: [Wants; 3] = [Wants::List, Wants::ZSet, Wants::Stream];
}

/// Which keys the reply is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    First,
    Each,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    Asked,
    Ready,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    Nothing,
    Done(Effect),
}

/// Nothing to check, nothing to remember.
pub fn no_check(_: &mut Keyspace<'_>, _: Args<'_>, _: usize) -> Result<Note, CommandError> {
    Ok(Note::default())
}

/// The type under a key; neither counted nor touched.
pub fn type_at(ks: &mut Keyspace<'_>, args: Args<'_>, position: usize) -> Option<KeyType> {
    let key: Key<'_> = ks.key_of(args.get(position));
    ks.peek(key).map(|value| value.key_type())
}

/// Whether there is a list under the key: it has an element, then.
pub fn list_is_there(ks: &mut Keyspace<'_>, args: Args<'_>, position: usize, _: Note) -> bool {
    type_at(ks, args, position) == Some(KeyType::List)
}

/// Whether there is a sorted set under the key: it has a member, then.
pub fn zset_is_there(ks: &mut Keyspace<'_>, args: Args<'_>, position: usize, _: Note) -> bool {
    type_at(ks, args, position) == Some(KeyType::ZSet)
}

/// Tries all keys, which are on this shard. None: no key had anything, and nothing is written.
pub fn attempt(cx: &mut Cx<'_>, args: Args<'_>, blocking: &Blocking) -> Result<Option<Effect>, CommandError> {
    (blocking.patience)(args)?;
    let occasion = Occasion::Asked;
    let mut keys = (blocking.keys)(args);
    if blocking.answers == Answers::First {
        let Some(key) = keys.find(|&key| type_at(&mut cx.ks, args, key).is_some()) else { return Ok(None) };
        return match (blocking.serve)(cx, args, Try { key, note: Note::default(), occasion })? {
            Served::Done(effect) => Ok(Some(effect)),
            Served::Nothing => Ok(None),
        };
    }
    let notes = keys.clone().map(|key| (blocking.check)(&mut cx.ks, args, key)).collect::<Result<Vec<Note>, _>>()?;
    let (mut elements, mut output, mut total) = (0, Output::default(), Effect::None);
    let proto = cx.out.proto;
    for (key, note) in keys.zip(notes) {
        let ks = cx.ks.same_moment();
        let mut part = Cx { ks, out: Writer { out: &mut output, proto } };
        if let Served::Done(effect) = (blocking.serve)(&mut part, args, Try { key, note, occasion })? {
            elements += 1;
            total = joined(total, effect);
        }
    }
    if elements == 0 {
        return Ok(None);
    }
    frame(&mut cx.out, elements);
    cx.out.out.append(&mut output);
    Ok(Some(total))
}

/// The command where it does not wait: as a handler.
pub fn at_once(cx: &mut Cx<'_>, args: Args<'_>, blocking: &Blocking) -> Result<Effect, CommandError> {
    Ok(attempt(cx, args, blocking)?.unwrap_or_else(|| {
        (blocking.nothing)(&mut cx.out);
        Effect::None
    }))
}

/// What is written around that many elements of [`Answers::Each`].
pub fn frame(out: &mut Writer<'_>, elements: usize) {
    if out.proto == Proto::Resp3 { out.map(elements) } else { out.array(elements) }
}

/// Serves one key for a command that has waited, which must be ready: the whole reply is written. None: there was nothing
/// after all.
pub fn serve_ready(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    blocking: &Blocking,
    key: usize,
    note: Note,
) -> Result<Option<Effect>, CommandError> {
    if !(blocking.ready)(&mut cx.ks, args, key, note) {
        return Ok(None);
    }
    let mut output = Output::default();
    let proto = cx.out.proto;
    let mut part = Cx { ks: cx.ks.same_moment(), out: Writer { out: &mut output, proto } };
    match (blocking.serve)(&mut part, args, Try { key, note, occasion: Occasion::Ready })? {
        Served::Nothing => Ok(None),
        Served::Done(effect) => {
            if blocking.answers == Answers::Each {
                frame(&mut cx.out, 1);
            }
            cx.out.out.append(&mut output);
            Ok(Some(effect))
        }
    }
}

/// Two effects of one command as one.
pub fn joined(one: Effect, other: Effect) -> Effect {
    match (one, other) {
        (Effect::None, effect) | (effect, Effect::None) => effect,
        (Effect::Recorded { changes: a }, Effect::Recorded { changes: b }) => Effect::Recorded { changes: a + b },
        (one, other) => unreachable!("what serves several keys records its changes: {one:?}, {other:?}"),
    }
}

/// A timeout in seconds, as all commands but XREAD and XREADGROUP have it.
pub fn timeout(text: &[u8]) -> Result<Patience, CommandError> {
    let seconds = seconds(text).ok_or(CommandError::text("ERR timeout is not a float or out of range"))?;
    let millis = (seconds * 1000.0).ceil();
    // As in Redis 7.0, what does not fit in an integer is taken for negative.
    if millis < 0.0 || millis >= i64::MAX as f64 {
        return Err(CommandError::text("ERR timeout is negative"));
    }
    Ok(if millis == 0.0 { Patience::Forever } else { Patience::Millis(millis as u64) })
}

/// Redis reads 80-bit numbers here: those out of the range of doubles are infinite, or next to nothing.
fn seconds(text: &[u8]) -> Option<f64> {
    parse_f64(text).or_else(|| {
        Extended::parse(text)?;
        let rounded: f64 = std::str::from_utf8(text).ok()?.parse().unwrap_or(f64::INFINITY);
        Some(if rounded == 0.0 { f64::MIN_POSITIVE.copysign(rounded) } else { rounded })
    })
}

/// A timeout in milliseconds (XREAD and XREADGROUP).
pub fn timeout_millis(text: &[u8]) -> Result<Patience, CommandError> {
    let millis =
        pinyon_base::parse_i64(text).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    match u64::try_from(millis) {
        Err(_) => Err(CommandError::text("ERR timeout is negative")),
        Ok(0) => Ok(Patience::Forever),
        Ok(millis) => Ok(Patience::Millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_redis_reads_them() {
        let text = |text: &str| timeout(text.as_bytes()).map_err(|error| error.to_string());
        let negative = || Err("ERR timeout is negative".to_owned());
        assert_eq!(text("0"), Ok(Patience::Forever));
        assert_eq!(text("-0.0001"), Ok(Patience::Forever));
        assert_eq!(text("0.0001"), Ok(Patience::Millis(1)));
        assert_eq!(text("1.5"), Ok(Patience::Millis(1500)));
        assert_eq!(text("9e15"), Ok(Patience::Millis(9_000_000_000_000_000_000)));
        for out in ["-1", "inf", "-inf", "1e30", "9223372036854775807", "1e4932", "-1e4932"] {
            assert_eq!(text(out), negative(), "{out}");
        }
        assert_eq!(text("1e-400"), Ok(Patience::Millis(1)));
        for wrong in ["", "x", "nan", "1.5e", "1e5000"] {
            assert_eq!(text(wrong), Err("ERR timeout is not a float or out of range".to_owned()), "{wrong}");
        }
        assert_eq!(timeout_millis(b"7"), Ok(Patience::Millis(7)));
        assert_eq!(timeout_millis(b"0"), Ok(Patience::Forever));
    }
}
