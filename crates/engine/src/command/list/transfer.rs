//! Elements that go from one list to another: LMOVE, its old form RPOPLPUSH, and BLMOVE, BRPOPLPUSH, which wait for one.
//!
//! The handlers run where one shard owns both keys. For keys on two shards the server takes the element off with [`take`] and
//! puts it on with [`give`].

use pinyon_resp::Args;
use pinyon_values::list::List;

use super::{End, LEFT_OR_RIGHT, TIMEOUT};
use crate::command::blocking::{self, Answers, Blocking, Served, Wants, list_is_there, no_check, timeout};
use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Events, Key, Keyspace};
use crate::{CommandError, Cx, Effect};

const SOURCE: Arg = Arg::key("source", 0);
const DESTINATION: Arg = Arg::key("destination", 1);
const FROM: Arg = Arg::one_of("wherefrom", LEFT_OR_RIGHT);
const TO: Arg = Arg::one_of("whereto", LEFT_OR_RIGHT);

const MOVE: Command = Command {
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::LIST,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    group: Group::List,
    complexity: "O(1)",
    ..Command::EMPTY
};

const WAITING_MOVE: Command = Command { flags: MOVE.flags.union(Flags::NOSCRIPT).union(Flags::BLOCKING), ..MOVE };

pub const LMOVE: Command = Command {
    name: "lmove",
    arity: 5,
    since: "6.2.0",
    summary: "Takes an element off one end of a list and puts it on one end of another, or of the same.",
    args: &[SOURCE, DESTINATION, FROM, TO],
    handler: Handler::Spread(Spread::Move, lmove),
    ..MOVE
};

fn lmove(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    transfer_or_null(cx, args)
}

pub const RPOPLPUSH: Command = Command {
    name: "rpoplpush",
    arity: 3,
    since: "1.2.0",
    summary: "Takes the last element off a list and puts it before the first one of another, or of the same.",
    deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
    args: &[SOURCE, DESTINATION],
    handler: Handler::Spread(Spread::Move, rpoplpush),
    ..MOVE
};

fn rpoplpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    transfer_or_null(cx, args)
}

pub const BLMOVE: Command = Command {
    name: "blmove",
    arity: 6,
    since: "6.2.0",
    summary: "As LMOVE, and waits for an element if there is none.",
    args: &[SOURCE, DESTINATION, FROM, TO, TIMEOUT],
    handler: Handler::Spread(Spread::Tries, blmove),
    blocking: Some(&BLMOVE_TRIES),
    ..WAITING_MOVE
};

const BLMOVE_TRIES: Blocking = Blocking {
    patience: |args| {
        Ends::of(args)?;
        timeout(args.get(5))
    },
    keys: |_| 1..2,
    wants: Wants::List,
    answers: Answers::First,
    check: no_check,
    ready: list_is_there,
    serve: |cx, args, _| Ok(transfer(cx, args)?.map_or(Served::Nothing, Served::Done)),
    target: Some(2),
    nothing: |out| out.null(),
};

fn blmove(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BLMOVE_TRIES)
}

pub const BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    arity: 4,
    since: "2.2.0",
    summary: "As RPOPLPUSH, and waits for an element if there is none.",
    history: &[("6.0.0", "The timeout may have a fraction.")],
    deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
    args: &[SOURCE, DESTINATION, TIMEOUT],
    handler: Handler::Spread(Spread::Tries, brpoplpush),
    blocking: Some(&BRPOPLPUSH_TRIES),
    ..WAITING_MOVE
};

const BRPOPLPUSH_TRIES: Blocking = Blocking {
    patience: |args| timeout(args.get(3)),
    keys: |_| 1..2,
    wants: Wants::List,
    answers: Answers::First,
    check: no_check,
    ready: list_is_there,
    serve: |cx, args, _| Ok(transfer(cx, args)?.map_or(Served::Nothing, Served::Done)),
    target: Some(2),
    nothing: |out| out.null(),
};

fn brpoplpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BRPOPLPUSH_TRIES)
}

/// From which end an element goes to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub from: End,
    pub to: End,
}

impl Ends {
    /// What any of the four commands says.
    pub fn of(args: Args<'_>) -> Result<Ends, CommandError> {
        if args.len() < 5 {
            return Ok(Ends { from: End::Right, to: End::Left });
        }
        Ok(Ends { from: End::parse(args.get(3))?, to: End::parse(args.get(4))? })
    }
}

fn transfer_or_null(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    Ok(transfer(cx, args)?.unwrap_or_else(|| {
        cx.out.null();
        Effect::None
    }))
}

/// Takes an element off the first key's list, puts it on the second one's, and replies it. None: there is none. It is recorded
/// as a pop and a push, for the keys may be in two slots.
fn transfer(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Option<Effect>, CommandError> {
    let ends = Ends::of(args)?;
    let (source, target) = (cx.ks.key(args, 1), cx.ks.key_of(args.get(2)));
    if cx.ks.peek_as::<List>(source)?.is_none() {
        return Ok(None);
    }
    cx.ks.peek_as::<List>(target)?;
    if source.bytes == target.bytes {
        return rotate(cx, source, ends);
    }
    let Some(element) = take(&mut cx.ks, source, ends.from)? else { return Ok(None) };
    give(&mut cx.ks, target, ends.to, &element)?;
    taken(&mut cx.ks, source, ends.from);
    cx.ks.record(&[ends.from.pop_command(), source.bytes]);
    cx.ks.record(&[ends.to.push_command(), target.bytes, &element]);
    cx.out.bulk(&element);
    Ok(Some(Effect::Recorded { changes: 1 }))
}

/// From one end of a list to the same or the other one. The list is never empty meanwhile.
fn rotate(cx: &mut Cx<'_>, key: Key<'_>, ends: Ends) -> Result<Option<Effect>, CommandError> {
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else { return Ok(None) };
    let mut element = Vec::new();
    ends.from.pop(list, &limits, &mut |item| element = item.to_vec());
    ends.to.push(list, &element, &limits);
    cx.ks.changed_by::<List>(key, ends.to.push_event());
    taken(&mut cx.ks, key, ends.from);
    cx.ks.record(&[b"LMOVE", key.bytes, key.bytes, ends.from.word(), ends.to.word()]);
    cx.out.bulk(&element);
    Ok(Some(Effect::Recorded { changes: 1 }))
}

/// Tells that an element has been taken off a list, perhaps its last one: as in Redis after it was put elsewhere.
pub fn taken(ks: &mut Keyspace<'_>, key: Key<'_>, end: End) {
    ks.notify(Events::LIST, end.pop_event(), key);
    if ks.wants(Events::GENERIC) && ks.peek(key).is_none() {
        ks.notify(Events::GENERIC, "del", key);
    }
}

/// Takes an element off a list, of which [`taken`] tells. None: there is no list.
pub fn take(ks: &mut Keyspace<'_>, key: Key<'_>, end: End) -> Result<Option<Vec<u8>>, CommandError> {
    let limits = ks.limits().list;
    let Some(list) = ks.update::<List>(key)? else { return Ok(None) };
    let mut element = None;
    end.pop(list, &limits, &mut |item| element = Some(item.to_vec()));
    ks.changed::<List>(key);
    Ok(element)
}

/// Puts an element on a list, which is made if there is none.
pub fn give(ks: &mut Keyspace<'_>, key: Key<'_>, end: End, element: &[u8]) -> Result<(), CommandError> {
    let limits = ks.limits().list;
    end.push(ks.update_or_create::<List>(key)?, element, &limits);
    ks.changed_by::<List>(key, end.push_event());
    Ok(())
}

/// Whether there is a list under the key. An error where there is something else.
pub fn is_list(ks: &mut Keyspace<'_>, key: Key<'_>) -> Result<bool, CommandError> {
    Ok(ks.peek_as::<List>(key)?.is_some())
}
