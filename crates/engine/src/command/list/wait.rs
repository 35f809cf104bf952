//! Commands that wait for an element: BLPOP, BRPOP, BLMPOP. (BLMOVE is in `transfer`.)

use pinyon_resp::Args;
use pinyon_values::list::List;

use super::pop::Many;
use super::{COUNT, End, KEY, LEFT_OR_RIGHT, NUMKEYS, TIMEOUT, write_item};
use crate::command::blocking::{self, Answers, Blocking, Served, Try, Wants, list_is_there, no_check, timeout};
use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::{CommandError, Cx, Effect};

const TAKEN: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

const WAITING_POP: Command = Command {
    arity: -3,
    flags: Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING),
    categories: Categories::LIST,
    keys: &[KeySpec::range(1, -2, 1, TAKEN)],
    group: Group::List,
    since: "2.0.0",
    complexity: "O(N) in the number of keys.",
    history: &[("6.0.0", "The timeout may have a fraction.")],
    args: &[KEY.multiple(), TIMEOUT],
    ..Command::EMPTY
};

pub const BLPOP: Command = Command {
    name: "blpop",
    summary: "Takes the first element off the first of several lists that is there; waits for one if none is.",
    handler: Handler::Spread(Spread::Tries, blpop),
    blocking: Some(&BLPOP_TRIES),
    ..WAITING_POP
};

const BLPOP_TRIES: Blocking = Blocking { serve: |cx, args, at| pop_one(cx, args, at, End::Left), ..POP_TRIES };

fn blpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BLPOP_TRIES)
}

pub const BRPOP: Command = Command {
    name: "brpop",
    summary: "Takes the last element off the first of several lists that is there; waits for one if none is.",
    handler: Handler::Spread(Spread::Tries, brpop),
    blocking: Some(&BRPOP_TRIES),
    ..WAITING_POP
};

const BRPOP_TRIES: Blocking = Blocking { serve: |cx, args, at| pop_one(cx, args, at, End::Right), ..POP_TRIES };

fn brpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BRPOP_TRIES)
}

const POP_TRIES: Blocking = Blocking {
    patience: |args| timeout(args.get(args.len() - 1)),
    keys: |args| 1..args.len() - 1,
    wants: Wants::List,
    answers: Answers::First,
    check: no_check,
    ready: list_is_there,
    serve: |_, _, _| Ok(Served::Nothing),
    target: None,
    nothing: |out| out.null_array(),
};

fn pop_one(cx: &mut Cx<'_>, args: Args<'_>, at: Try, end: End) -> Result<Served, CommandError> {
    let key = cx.ks.key_of(args.get(at.key));
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else { return Ok(Served::Nothing) };
    cx.out.array(2);
    cx.out.bulk(key.bytes);
    end.pop(list, &limits, &mut |item| write_item(&mut cx.out, item));
    cx.ks.changed_by::<List>(key, end.pop_event());
    cx.ks.record(&[end.pop_command(), key.bytes]);
    Ok(Served::Done(Effect::Recorded { changes: 1 }))
}

pub const BLMPOP: Command = Command {
    name: "blmpop",
    arity: -5,
    flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
    categories: Categories::LIST,
    keys: &[KeySpec::counted(2, 1, TAKEN)],
    group: Group::List,
    since: "7.0.0",
    complexity: "O(N+M) in the number of keys and that of elements taken.",
    summary: "Takes elements off the first of several lists that is there; waits for one if none is.",
    args: &[TIMEOUT, NUMKEYS, KEY.multiple(), Arg::one_of("where", LEFT_OR_RIGHT), COUNT],
    handler: Handler::Spread(Spread::Tries, blmpop),
    blocking: Some(&BLMPOP_TRIES),
    ..Command::EMPTY
};

const BLMPOP_TRIES: Blocking = Blocking {
    patience: |args| {
        Many::parse(args, 2)?;
        timeout(args.get(1))
    },
    keys: |args| Many::keys(args, 2),
    serve: |cx, args, at| Many::parse(args, 2)?.serve(cx, args, at),
    ..POP_TRIES
};

fn blmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BLMPOP_TRIES)
}
