//! Elements looked at: LLEN, LINDEX, LRANGE, LPOS.

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::list::List;

use super::{ELEMENT, INDEX, KEY, integer, pieces, place, span, write_item};
use crate::command::long::{self, Long};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Keyspace;
use crate::{CommandError, Cx, Effect};

pub const LLEN: Command = Command {
    name: "llen",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::LIST,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::List,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Replies the number of elements of a list.",
    args: &[KEY],
    handler: Handler::Shard(llen),
    ..Command::EMPTY
};

fn llen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let len = cx.ks.read_as::<List>(key)?.map_or(0, List::len);
    cx.out.int(len as i64);
    Ok(Effect::None)
}

const ACCESS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

pub const LINDEX: Command = Command {
    name: "lindex",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::LIST,
    keys: ACCESS,
    group: Group::List,
    since: "1.0.0",
    complexity: "O(log N) in the number of elements, and O(1) at the ends.",
    summary: "Replies the element at an index, which counts from the end when negative.",
    args: &[KEY, INDEX],
    handler: Handler::Shard(lindex),
    ..Command::EMPTY
};

fn lindex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let Some(list) = cx.ks.read_as::<List>(key)? else {
        cx.out.null();
        return Ok(Effect::None);
    };
    let index = integer(args, 2)?;
    match place(index, list.len()) {
        None => cx.out.null(),
        Some(at) => _ = list.get(at, &mut |item| write_item(&mut cx.out, item)),
    }
    Ok(Effect::None)
}

pub const LRANGE: Command = Command {
    name: "lrange",
    arity: 4,
    flags: Flags::READONLY,
    categories: Categories::LIST,
    keys: ACCESS,
    group: Group::List,
    since: "1.0.0",
    complexity: "O(log N + M) in the number of elements and that of those replied.",
    summary: "Replies the elements between two indexes, both included, negative ones counted from the end.",
    args: &[KEY, Arg::new("start", ArgKind::Integer), Arg::new("stop", ArgKind::Integer)],
    handler: Handler::Shard(lrange),
    long: Some(Long { is: is_long_range, work: lrange_in_pieces }),
    ..Command::EMPTY
};

fn is_long_range(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    let len = long::elements_of(ks, args.get(1));
    match (integer(args, 2), integer(args, 3)) {
        (Ok(start), Ok(stop)) => len >= long::ELEMENTS_MIN && span(start, stop, len).1 >= long::ELEMENTS_MIN,
        _ => false,
    }
}

fn lrange_in_pieces() -> long::Work {
    // The next index, and how many elements are still to come.
    let mut left: Option<(usize, usize)> = None;
    Box::new(move |cx, args| {
        let (start, stop) = (integer(args, 2)?, integer(args, 3)?);
        let key = cx.ks.key(args, 1);
        let list = match left {
            None => cx.ks.read_as::<List>(key)?,
            Some(_) => cx.ks.seen_as::<List>(key),
        };
        let Some(list) = list else {
            cx.out.array(0);
            return Ok(Some(Effect::None));
        };
        let (first, count) = left.unwrap_or_else(|| {
            let whole = span(start, stop, list.len());
            cx.out.array(whole.1);
            whole
        });
        let here = count.min(long::ELEMENTS_PER_PIECE);
        list.range(first, here, &mut |item| write_item(&mut cx.out, item));
        left = Some((first + here, count - here));
        Ok((here == count).then_some(Effect::None))
    })
}

fn lrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (start, stop) = (integer(args, 2)?, integer(args, 3)?);
    let key = cx.ks.key(args, 1);
    let Some(list) = cx.ks.read_as::<List>(key)? else {
        cx.out.array(0);
        return Ok(Effect::None);
    };
    let (first, count) = span(start, stop, list.len());
    cx.out.array(count);
    list.range(first, count, &mut |item| write_item(&mut cx.out, item));
    Ok(Effect::None)
}

pub const LPOS: Command = Command {
    name: "lpos",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::LIST,
    keys: ACCESS,
    group: Group::List,
    since: "6.0.6",
    complexity: "O(N) in the number of elements looked at.",
    summary: "Replies the index of an element, or those of several elements that are equal to it.",
    args: &[
        KEY,
        ELEMENT,
        Arg::new("rank", ArgKind::Integer).with_token("RANK").optional(),
        Arg::new("num-matches", ArgKind::Integer).with_token("COUNT").optional(),
        Arg::new("len", ArgKind::Integer).with_token("MAXLEN").optional(),
    ],
    handler: Handler::Shard(lpos),
    long: Some(Long { is: pieces::looks_at_much, work: pieces::lpos }),
    ..Command::EMPTY
};

/// What LPOS looks for.
pub(super) struct Search {
    pub(super) from_back: bool,
    pub(super) skip: usize,
    /// None: one, which is replied by itself. 0: all.
    pub(super) count: Option<usize>,
    /// Elements looked at, at most.
    pub(super) look_at: usize,
}

impl Search {
    pub(super) fn parse(args: Args<'_>) -> Result<Search, CommandError> {
        const RANK: CommandError = CommandError::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        );
        const COUNT: CommandError = CommandError::text("ERR COUNT can't be negative");
        const MAXLEN: CommandError = CommandError::text("ERR MAXLEN can't be negative");
        let mut search = Search { from_back: false, skip: 0, count: None, look_at: usize::MAX };
        let natural = |at: usize| parse_i64(args.get(at)).and_then(|number| usize::try_from(number).ok());
        let mut at = 3;
        while at < args.len() {
            let option = args.get(at);
            if at + 1 == args.len() {
                return Err(CommandError::Syntax);
            } else if option.eq_ignore_ascii_case(b"rank") {
                let rank = integer(args, at + 1)?;
                if rank == 0 {
                    return Err(RANK);
                }
                search.from_back = rank < 0;
                // As in Redis, whose arithmetic overflows there, the smallest number is as good as -1.
                search.skip = rank.checked_abs().map_or(0, |rank| (rank - 1) as usize);
            } else if option.eq_ignore_ascii_case(b"count") {
                search.count = Some(natural(at + 1).ok_or(COUNT)?);
            } else if option.eq_ignore_ascii_case(b"maxlen") {
                let most = natural(at + 1).ok_or(MAXLEN)?;
                search.look_at = if most == 0 { usize::MAX } else { most };
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(search)
    }

    /// How many elements are replied at most.
    pub(super) fn at_most(&self) -> usize {
        match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        }
    }
}

fn lpos(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let search = Search::parse(args)?;
    let key = cx.ks.key(args, 1);
    let found = match cx.ks.read_as::<List>(key)? {
        None => Vec::new(),
        Some(list) => list.positions(args.get(2), search.from_back, search.skip, search.at_most(), search.look_at),
    };
    match (search.count, found.first()) {
        (Some(_), _) => {
            cx.out.array(found.len());
            found.iter().for_each(|&at| cx.out.int(at as i64));
        }
        (None, Some(&at)) => cx.out.int(at as i64),
        (None, None) => cx.out.null(),
    }
    Ok(Effect::None)
}
