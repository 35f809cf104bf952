//! Intersections, unions and differences of big sets, in pieces.

use pinyon_resp::{Args, Output, Writer};
use pinyon_values::Collection;
use pinyon_values::set::{Set, SetRef, algebra};

use super::algebra::{How, put, sources};
use super::write_item;
use crate::command::long::{self, ELEMENTS_MIN, ELEMENTS_PER_PIECE, LOOKUPS_PER_PIECE, Work};
use crate::keyspace::Keyspace;
use crate::{CommandError, Cx, Effect};

pub(super) fn are_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    long::elements(ks, args.from(1)) >= ELEMENTS_MIN
}

pub(super) fn are_stored_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    long::elements(ks, args.from(2)) >= ELEMENTS_MIN
}

pub(super) fn sinter() -> Work {
    work(How::Inter, false)
}

pub(super) fn sunion() -> Work {
    work(How::Union, false)
}

pub(super) fn sdiff() -> Work {
    work(How::Diff, false)
}

pub(super) fn sinterstore() -> Work {
    work(How::Inter, true)
}

pub(super) fn sunionstore() -> Work {
    work(How::Union, true)
}

pub(super) fn sdiffstore() -> Work {
    work(How::Diff, true)
}

fn work(how: How, stores: bool) -> Work {
    let mut algebra =
        Algebra { how, stores, stage: Stage::Begin, result: Set::new(), found: Output::default(), members: 0 };
    Box::new(move |cx, args| algebra.piece(cx, args))
}

struct Algebra {
    how: How,
    stores: bool,
    stage: Stage,
    /// Of a union, and of what is stored.
    result: Set,
    /// Of others, the members as they are replied, and how many: their number goes first.
    found: Output,
    members: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    Begin,
    /// From the cursor on in the set of that number in the order of [`Algebra::order`].
    Walk {
        number: usize,
        cursor: u64,
    },
    /// The union is being replied.
    Reply {
        cursor: u64,
    },
}

impl Algebra {
    fn piece(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<Option<Effect>, CommandError> {
        let keys = args.from(if self.stores { 2 } else { 1 });
        match self.stage {
            Stage::Begin => {
                sources(&mut cx.ks, keys)?;
                self.stage = Stage::Walk { number: 0, cursor: 0 };
                Ok(None)
            }
            Stage::Walk { number, cursor } => {
                let is_done = self.walk(cx, keys, number, cursor);
                if is_done { self.finish(cx, args) } else { Ok(None) }
            }
            Stage::Reply { cursor } => {
                let out = &mut cx.out;
                let next = self.result.scan(cursor, ELEMENTS_PER_PIECE, &mut |member| write_item(out, member));
                self.stage = Stage::Reply { cursor: next };
                if next > 0 {
                    return Ok(None);
                }
                long::discard(&mut cx.ks, Collection::Set(Box::new(std::mem::take(&mut self.result))));
                Ok(Some(Effect::None))
            }
        }
    }

    /// The sets to walk over, or the one to walk over and those to ask; empty where the result is.
    fn order<'c>(&self, ks: &'c Keyspace<'_>, keys: Args<'_>) -> Vec<SetRef<'c>> {
        let mut sets: Vec<Option<SetRef<'c>>> = keys.iter().map(|key| ks.seen_as::<Set>(ks.key_of(key))).collect();
        match self.how {
            How::Inter if sets.iter().any(Option::is_none) => return Vec::new(),
            How::Inter => sets.sort_by_key(|set| set.map(SetRef::len)),
            How::Diff if sets.first().is_none_or(Option::is_none) => return Vec::new(),
            How::Diff | How::Union => {}
        }
        sets.into_iter().flatten().collect()
    }

    /// Goes on with the walk. True: it has come to its end.
    fn walk(&mut self, cx: &mut Cx<'_>, keys: Args<'_>, number: usize, cursor: u64) -> bool {
        let limits = cx.ks.limits().set;
        let sets = self.order(&cx.ks, keys);
        let Some(&set) = sets.get(number) else { return true };
        let (stores, proto) = (self.stores || self.how == How::Union, cx.out.proto);
        let Algebra { result, found, members, .. } = self;
        let visit = &mut |member: pinyon_values::Item<'_>| {
            if stores {
                result.add(member.bytes(&mut [0; 20]), &limits);
            } else {
                write_item(&mut Writer { out: found, proto }, member);
                *members += 1;
            }
        };
        let next = match self.how {
            How::Union => set.scan(cursor, LOOKUPS_PER_PIECE, visit),
            How::Inter => algebra::inter(set, &sets[1..], cursor, LOOKUPS_PER_PIECE, visit),
            How::Diff => algebra::diff(set, &sets[1..], cursor, LOOKUPS_PER_PIECE, visit),
        };
        long::seal(&mut self.found);
        let number = if next == 0 { number + 1 } else { number };
        self.stage = Stage::Walk { number, cursor: next };
        next == 0 && (self.how != How::Union || number == sets.len())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<Option<Effect>, CommandError> {
        if self.stores {
            return put(cx, args, self.how, std::mem::take(&mut self.result)).map(Some);
        }
        if self.how == How::Union {
            cx.out.set(self.result.len());
            self.stage = Stage::Reply { cursor: 0 };
            return Ok(None);
        }
        cx.out.set(self.members);
        cx.out.out.append(&mut self.found);
        Ok(Some(Effect::None))
    }
}
