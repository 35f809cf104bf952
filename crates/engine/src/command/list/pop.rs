//! Elements that go: LPOP, RPOP, and LMPOP, which takes them off the first of several lists.

use std::ops::Range;

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::item::Item;
use pinyon_values::list::List;

use super::{COUNT, End, KEY, LEFT_OR_RIGHT, NUMKEYS, write_item};
use crate::command::blocking::{self, Answers, Blocking, Patience, Served, Try, Wants, list_is_there, no_check};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::Key;
use crate::{CommandError, Cx, Effect};

const POP: Command = Command {
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::LIST,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::List,
    since: "1.0.0",
    complexity: "O(N) in the number of elements taken.",
    history: &[("6.2.0", "Takes a count.")],
    args: &[KEY, Arg::new("count", ArgKind::Integer).since("6.2.0").optional()],
    ..Command::EMPTY
};

pub const LPOP: Command = Command {
    name: "lpop",
    summary: "Takes the first element off a list, or several of them.",
    handler: Handler::Shard(lpop),
    ..POP
};

fn lpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    pop(cx, args, End::Left, "lpop")
}

pub const RPOP: Command = Command {
    name: "rpop",
    summary: "Takes the last element off a list, or several of them.",
    handler: Handler::Shard(rpop),
    ..POP
};

fn rpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    pop(cx, args, End::Right, "rpop")
}

fn pop(cx: &mut Cx<'_>, args: Args<'_>, end: End, name: &'static str) -> Result<Effect, CommandError> {
    const OUT_OF_RANGE: CommandError = CommandError::text("ERR value is out of range, must be positive");
    let count = match args.len() {
        2 => None,
        3 => {
            let count = parse_i64(args.get(2)).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(OUT_OF_RANGE)?)
        }
        _ => return Err(CommandError::WrongArity(name.into())),
    };
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else {
        if count.is_some() {
            cx.out.null_array()
        } else {
            cx.out.null()
        }
        return Ok(Effect::None);
    };
    let changes = match count {
        None => {
            end.pop(list, &limits, &mut |item| write_item(&mut cx.out, item));
            1
        }
        Some(0) => {
            cx.out.array(0);
            return Ok(Effect::None);
        }
        Some(count) => {
            let count = count.min(list.len());
            cx.out.array(count);
            take(list, end, count, &limits, &mut |item| write_item(&mut cx.out, item));
            count as u32
        }
    };
    cx.ks.changed_by::<List>(key, end.pop_event());
    Ok(Effect::AsSent { changes })
}

/// Takes that many elements off, of those that there are.
fn take(
    list: &mut List,
    end: End,
    count: usize,
    limits: &pinyon_values::list::ListLimits,
    show: &mut dyn FnMut(Item<'_>),
) {
    let (len, mut left) = (list.len(), count);
    match end {
        End::Left => {
            list.range(0, count, show);
            list.remove_range(0, count, limits);
        }
        End::Right => {
            list.walk(len - 1, true, &mut |item| {
                show(item);
                left -= 1;
                left > 0
            });
            list.remove_range(len - count, count, limits);
        }
    }
}

pub const LMPOP: Command = Command {
    name: "lmpop",
    arity: -4,
    flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
    categories: Categories::LIST,
    keys: &[KeySpec::counted(1, 1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::List,
    since: "7.0.0",
    complexity: "O(N+M) in the number of keys and that of elements taken.",
    summary: "Takes elements off the first of several lists that is there.",
    args: &[NUMKEYS, KEY.multiple(), Arg::one_of("where", LEFT_OR_RIGHT), COUNT],
    handler: Handler::Spread(Spread::Tries, lmpop),
    blocking: Some(&LMPOP_TRIES),
    ..Command::EMPTY
};

const LMPOP_TRIES: Blocking = Blocking {
    patience: |args| Many::parse(args, 1).map(|_| Patience::None),
    keys: |args| Many::keys(args, 1),
    wants: Wants::List,
    answers: Answers::First,
    check: no_check,
    ready: list_is_there,
    serve: |cx, args, at| Many::parse(args, 1)?.serve(cx, args, at),
    target: None,
    nothing: |out| out.null_array(),
};

fn lmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &LMPOP_TRIES)
}

/// What LMPOP and BLMPOP ask for.
pub(super) struct Many {
    end: End,
    count: usize,
}

impl Many {
    /// Reads the arguments from the number of keys on, which is argument `at`.
    pub(super) fn parse(args: Args<'_>, at: usize) -> Result<Many, CommandError> {
        const KEYS: CommandError = CommandError::text("ERR numkeys should be greater than 0");
        const COUNT: CommandError = CommandError::text("ERR count should be greater than 0");
        let positive = |at: usize| parse_i64(args.get(at)).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let keys = positive(at).ok_or(KEYS)?;
        let end_at = keys.checked_add(at + 1).filter(|&end_at| end_at < args.len()).ok_or(CommandError::Syntax)?;
        let end = End::parse(args.get(end_at))?;
        let count = match args.len() - end_at {
            1 => 1,
            3 if args.get(end_at + 1).eq_ignore_ascii_case(b"count") => positive(end_at + 2).ok_or(COUNT)?,
            n if n > 3 && args.get(end_at + 1).eq_ignore_ascii_case(b"count") => {
                positive(end_at + 2).ok_or(COUNT)?;
                return Err(CommandError::Syntax);
            }
            _ => return Err(CommandError::Syntax),
        };
        Ok(Many { end, count })
    }

    /// Where the keys are, in arguments that `parse` was content with.
    pub(super) fn keys(args: Args<'_>, at: usize) -> Range<usize> {
        let keys = parse_i64(args.get(at)).map_or(0, |keys| keys as usize);
        at + 1..at + 1 + keys
    }

    pub(super) fn serve(&self, cx: &mut Cx<'_>, args: Args<'_>, at: Try) -> Result<Served, CommandError> {
        let key: Key<'_> = cx.ks.key_of(args.get(at.key));
        let limits = cx.ks.limits().list;
        let Some(list) = cx.ks.update::<List>(key)? else { return Ok(Served::Nothing) };
        let count = self.count.min(list.len());
        cx.out.array(2);
        cx.out.bulk(key.bytes);
        cx.out.array(count);
        take(list, self.end, count, &limits, &mut |item| write_item(&mut cx.out, item));
        cx.ks.changed_by::<List>(key, self.end.pop_event());
        let changes = count as u32;
        cx.ks.record(&[self.end.pop_command(), key.bytes, count.to_string().as_bytes()]);
        Ok(Served::Done(Effect::Recorded { changes }))
    }
}
