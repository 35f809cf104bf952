//! Unions, intersections and differences of big sorted sets, in pieces.

use pinyon_resp::Args;
use pinyon_values::Collection;
use pinyon_values::zset::ZSet;

use super::algebra::{Form, How, in_all, in_none, seen_sources, sources, unite};
use super::range::store;
use super::{write_count, write_element};
use crate::command::long::{self, ELEMENTS_MIN, ELEMENTS_PER_PIECE, Work};
use crate::keyspace::Keyspace;
use crate::{CommandError, Cx, Effect};

/// Elements put into the result in a piece: each costs a microsecond or more.
const ADDED_PER_PIECE: usize = 48;

pub(super) fn are_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    long::elements(ks, args.from(2)) >= ELEMENTS_MIN
}

pub(super) fn are_stored_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    long::elements(ks, args.from(3)) >= ELEMENTS_MIN
}

pub(super) fn zunion() -> Work {
    work(How::Union, Form::Reply, "zunion")
}

pub(super) fn zinter() -> Work {
    work(How::Inter, Form::Reply, "zinter")
}

pub(super) fn zdiff() -> Work {
    work(How::Diff, Form::Reply, "zdiff")
}

pub(super) fn zunionstore() -> Work {
    work(How::Union, Form::Store, "zunionstore")
}

pub(super) fn zinterstore() -> Work {
    work(How::Inter, Form::Store, "zinterstore")
}

pub(super) fn zdiffstore() -> Work {
    work(How::Diff, Form::Store, "zdiffstore")
}

fn work(how: How, form: Form, name: &'static str) -> Work {
    let mut algebra = Algebra { how, form, name, stage: Stage::Begin, result: ZSet::new() };
    Box::new(move |cx, args| algebra.piece(cx, args))
}

struct Algebra {
    how: How,
    form: Form,
    name: &'static str,
    stage: Stage,
    result: ZSet,
}

#[derive(Clone, Copy)]
enum Stage {
    Begin,
    /// From the cursor on in the source of that number.
    Walk {
        number: usize,
        cursor: u64,
    },
    /// The result is being replied, from this rank on.
    Reply {
        from: usize,
    },
}

impl Algebra {
    fn piece(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<Option<Effect>, CommandError> {
        let at = if self.form == Form::Store { 2 } else { 1 };
        match self.stage {
            Stage::Begin => {
                sources(&mut cx.ks, args, at, self.how, self.form, self.name)?;
                self.result.to_ranked(cx.ks.limits().zset.seed);
                self.stage = Stage::Walk { number: 0, cursor: 0 };
                Ok(None)
            }
            Stage::Walk { number, cursor } => {
                let is_done = self.walk(cx, args, at, number, cursor)?;
                if !is_done {
                    return Ok(None);
                }
                if self.form == Form::Store {
                    return store(cx, args, std::mem::take(&mut self.result), self.name).map(Some);
                }
                let (_, asked) = seen_sources(&cx.ks, args, at, self.how, self.form)?;
                write_count(&mut cx.out, self.result.len(), asked.with_scores);
                self.stage = Stage::Reply { from: 0 };
                Ok(None)
            }
            Stage::Reply { from } => {
                let (_, asked) = seen_sources(&cx.ks, args, at, self.how, self.form)?;
                let out = &mut cx.out;
                self.result.range(from, ELEMENTS_PER_PIECE, false, &mut |member, score| {
                    write_element(out, member, score, asked.with_scores);
                });
                self.stage = Stage::Reply { from: from + ELEMENTS_PER_PIECE };
                if from + ELEMENTS_PER_PIECE < self.result.len() {
                    return Ok(None);
                }
                long::discard(&mut cx.ks, Collection::ZSet(Box::new(std::mem::take(&mut self.result))));
                Ok(Some(Effect::None))
            }
        }
    }

    /// Goes on with the walk. True: it has come to its end.
    fn walk(
        &mut self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        at: usize,
        number: usize,
        cursor: u64,
    ) -> Result<bool, CommandError> {
        let limits = cx.ks.limits().zset;
        let (sources, asked) = seen_sources(&cx.ks, args, at, self.how, self.form)?;
        let result = &mut self.result;
        let one = &sources[number];
        let next = match self.how {
            How::Union => one.source.some(cursor, ADDED_PER_PIECE, &mut |member, score| {
                unite(one, member, score, asked.aggregate, &limits, result);
            }),
            How::Inter => one.source.some(cursor, ADDED_PER_PIECE, &mut |member, score| {
                if let Some(score) = in_all(&sources, member, score, asked.aggregate) {
                    result.add(member, score, &limits);
                }
            }),
            How::Diff => one.source.some(cursor, ADDED_PER_PIECE, &mut |member, score| {
                if in_none(&sources[1..], member) {
                    result.add(member, score, &limits);
                }
            }),
        };
        let number = if next == 0 { number + 1 } else { number };
        self.stage = Stage::Walk { number, cursor: next };
        Ok(next == 0 && (self.how != How::Union || number == sources.len()))
    }
}
