//! Elements that come: LPUSH, RPUSH, and LPUSHX, RPUSHX, which make no new list.

use pinyon_resp::Args;
use pinyon_values::list::List;

use super::{ELEMENT, End, KEY};
use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

const COMPLEXITY: &str = "O(1) for each element.";
const ARGS: &[Arg] = &[KEY, ELEMENT.multiple()];
const MULTIPLE: &[(&str, &str)] = &[("2.4.0", "Takes several elements.")];

const PUSH: Command = Command {
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::LIST,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::List,
    complexity: COMPLEXITY,
    args: ARGS,
    ..Command::EMPTY
};

pub const LPUSH: Command = Command {
    name: "lpush",
    since: "1.0.0",
    summary: "Puts elements before the first one of a list, one after the other; makes the list if there is none.",
    history: MULTIPLE,
    handler: Handler::Shard(lpush),
    ..PUSH
};

fn lpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    push(cx, args, End::Left)
}

pub const RPUSH: Command = Command {
    name: "rpush",
    since: "1.0.0",
    summary: "Puts elements behind the last one of a list; makes the list if there is none.",
    history: MULTIPLE,
    handler: Handler::Shard(rpush),
    ..PUSH
};

fn rpush(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    push(cx, args, End::Right)
}

fn push(cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let list = cx.ks.update_or_create::<List>(key)?;
    args.iter().skip(2).for_each(|element| end.push(list, element, &limits));
    let len = list.len();
    cx.ks.changed_by::<List>(key, end.push_event());
    cx.out.int(len as i64);
    Ok(Effect::AsSent { changes: (args.len() - 2) as u32 })
}

pub const LPUSHX: Command = Command {
    name: "lpushx",
    since: "2.2.0",
    summary: "Puts elements before the first one of a list, if there is such a list.",
    history: &[("4.0.0", "Takes several elements.")],
    handler: Handler::Shard(lpushx),
    ..PUSH
};

fn lpushx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    push_onto(cx, args, End::Left)
}

pub const RPUSHX: Command = Command {
    name: "rpushx",
    since: "2.2.0",
    summary: "Puts elements behind the last one of a list, if there is such a list.",
    history: &[("4.0.0", "Takes several elements.")],
    handler: Handler::Shard(rpushx),
    ..PUSH
};

fn rpushx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    push_onto(cx, args, End::Right)
}

fn push_onto(cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().list;
    let Some(list) = cx.ks.update::<List>(key)? else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    args.iter().skip(2).for_each(|element| end.push(list, element, &limits));
    let len = list.len();
    cx.ks.changed_by::<List>(key, end.push_event());
    cx.out.int(len as i64);
    Ok(Effect::AsSent { changes: (args.len() - 2) as u32 })
}
