//! What takes long on long lists, in pieces: LREM, LTRIM, LINSERT's and LPOS's search.
//!
//! A list changes with every piece; those who watch it, or wait for its elements, are told with the last one, and if nothing is
//! left then the key goes.

use pinyon_resp::{Args, Output, Proto, Writer};
use pinyon_values::list::{Cursor, List};

use super::edit::{self, Side};
use super::read::Search;
use super::{integer, span};
use crate::command::long::{self, ELEMENTS_MIN, Work};
use crate::keyspace::Keyspace;
use crate::{CommandError, Cx, Effect};

/// What a piece may cost, as a list's parts count it.
const BUDGET: usize = if cfg!(debug_assertions) { 1 << 10 } else { 128 << 10 };

pub(super) fn lrem() -> Work {
    let (mut cursor, mut removed) = (None, 0);
    Box::new(move |cx, args| {
        let count = integer(args, 2)?;
        if cursor.is_some() {
            cx.ks.goes_on();
        }
        let key = cx.ks.key(args, 1);
        let limits = cx.ks.limits().list;
        let Some(list) = cx.ks.update::<List>(key)? else {
            cx.out.int(0);
            return Ok(Some(Effect::None));
        };
        let cursor = cursor.get_or_insert(Cursor::new(count < 0));
        let left = edit::at_most(count) - removed;
        let (here, more) = list.remove_equal_some(args.get(3), left, cursor, BUDGET, &limits);
        removed += here;
        Ok((!more).then(|| edit::removed_equal(cx, key, removed)))
    })
}

/// LTRIM: whether many elements go.
pub(super) fn trims_much(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    let len = long::elements_of(ks, args.get(1));
    match (integer(args, 2), integer(args, 3)) {
        (Ok(start), Ok(stop)) => len >= ELEMENTS_MIN && len - span(start, stop, len).1 >= ELEMENTS_MIN,
        _ => false,
    }
}

/// What LTRIM has yet to take out.
struct Trim {
    /// Elements before those that stay, and how many these are.
    before: usize,
    stay: usize,
    behind: usize,
    /// Elements that go altogether.
    all: usize,
}

impl Trim {
    fn of(start: i64, stop: i64, len: usize) -> Trim {
        let (before, stay) = span(start, stop, len);
        Trim { before, stay, behind: len - before - stay, all: len - stay }
    }
}

pub(super) fn ltrim() -> Work {
    let mut trim = None;
    Box::new(move |cx, args| {
        let (start, stop) = (integer(args, 2)?, integer(args, 3)?);
        if trim.is_some() {
            cx.ks.goes_on();
        }
        let key = cx.ks.key(args, 1);
        let limits = cx.ks.limits().list;
        let Some(list) = cx.ks.update::<List>(key)? else {
            cx.out.ok();
            return Ok(Some(Effect::None));
        };
        let trim = trim.get_or_insert_with(|| Trim::of(start, stop, list.len()));
        if trim.behind > 0 {
            trim.behind = list.remove_range_some(trim.before + trim.stay, trim.behind, BUDGET, &limits);
        } else {
            trim.before = list.remove_range_some(0, trim.before, BUDGET, &limits);
        }
        let is_done = trim.behind == 0 && trim.before == 0;
        Ok(is_done.then(|| edit::trimmed(cx, key, trim.all)))
    })
}

pub(super) fn linsert() -> Work {
    let mut cursor = Cursor::new(false);
    Box::new(move |cx, args| {
        let side = Side::parse(args.get(2))?;
        let key = cx.ks.key(args, 1);
        let mut pivot = None;
        let more = cx.ks.peek_as::<List>(key)?.is_some_and(|list| {
            list.find_some(args.get(3), &mut cursor, BUDGET, &mut |place| {
                pivot = Some(place);
                false
            })
        });
        if more { Ok(None) } else { edit::insert_beside(cx, args, side, pivot).map(Some) }
    })
}

/// LPOS: whether many elements may have to be looked at.
pub(super) fn looks_at_much(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    long::is_first_big(ks, args) && Search::parse(args).is_ok_and(|search| search.look_at >= ELEMENTS_MIN)
}

pub(super) fn lpos() -> Work {
    let mut positions = None;
    Box::new(move |cx, args| match &mut positions {
        None => {
            let search = Search::parse(args)?;
            let key = cx.ks.key(args, 1);
            cx.ks.read_as::<List>(key)?;
            positions.insert(Positions::new(search)).piece(cx, args)
        }
        Some(positions) => positions.piece(cx, args),
    })
}

/// LPOS under way.
struct Positions {
    search: Search,
    cursor: Cursor,
    /// Those found as they are replied, and how many: their number goes first.
    found: Output,
    count: usize,
}

impl Positions {
    fn new(search: Search) -> Positions {
        let cursor = Cursor::new(search.from_back);
        Positions { search, cursor, found: Output::default(), count: 0 }
    }

    fn piece(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<Option<Effect>, CommandError> {
        let key = cx.ks.key(args, 1);
        let more = cx.ks.seen_as::<List>(key).is_some_and(|list| self.look(list, args.get(2), cx.out.proto));
        if more {
            long::seal(&mut self.found);
            return Ok(None);
        }
        match (self.search.count, self.count) {
            (None, 0) => cx.out.null(),
            (None, _) => {}
            (Some(_), count) => cx.out.array(count),
        }
        cx.out.out.append(&mut self.found);
        Ok(Some(Effect::None))
    }

    /// Looks at the next part of the list. True: there is more to look at.
    fn look(&mut self, list: &List, element: &[u8], proto: Proto) -> bool {
        let Positions { search, cursor, found, count } = self;
        let at_most = search.at_most();
        let more = list.find_some(element, cursor, BUDGET, &mut |passed| {
            if passed >= search.look_at {
                return false;
            }
            if search.skip > 0 {
                search.skip -= 1;
                return true;
            }
            let place = if search.from_back { list.len() - 1 - passed } else { passed };
            Writer { out: found, proto }.int(place as i64);
            *count += 1;
            *count < at_most
        });
        more && cursor.passed() < search.look_at
    }
}
