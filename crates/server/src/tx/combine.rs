//! BITOP, PFCOUNT and PFMERGE with keys on several shards: what the sources hold is gathered, combined on the coordinator, and
//! put under the destination.
//!
//! The destination's shard tells the result as a value of its own, so that it replays there alone.

use std::sync::Arc;

use pinyon_base::Blob;
use pinyon_engine::command::bitmap::operation;
use pinyon_engine::command::hyperloglog::count::Union;
use pinyon_engine::{CommandError, Effect};
use pinyon_resp::Args;

use super::split::{Caller, Share, SharedArgs};
use super::{Go, Outcomes, Part, Procedure, once};
use crate::core::{Core, Io};
use crate::exec::Change;
use crate::kept::Kept;

/// What becomes of the sources.
#[derive(Clone, Copy)]
enum Combination {
    Bits(operation::Operation),
    UnionCount,
    UnionStore,
}

/// Such a command under way.
pub(super) struct Combining {
    caller: Caller,
    what: Combination,
    args: SharedArgs,
    sources: Vec<Share>,
    /// Position and owner of the destination.
    destination: Option<(usize, u16)>,
    stage: Stage,
}

enum Stage {
    Gathering,
    Combining,
    /// With the number to reply, or OK.
    Stored(Option<i64>),
}

/// What a shard has of the sources.
enum Gathered {
    /// With their positions.
    Texts(Vec<(usize, Blob)>),
    Union(Union),
}

impl Core {
    pub(super) fn bitop_over_shards(&self, caller: Caller, args: Args<'_>) -> Result<Combining, CommandError> {
        let what = Combination::Bits(operation::operation(args)?);
        Ok(self.combining(caller, what, args, operation::FIRST_SOURCE, Some(operation::DESTINATION)))
    }

    pub(super) fn pfcount_over_shards(&self, caller: Caller, args: Args<'_>) -> Combining {
        self.combining(caller, Combination::UnionCount, args, 1, None)
    }

    pub(super) fn pfmerge_over_shards(&self, caller: Caller, args: Args<'_>) -> Combining {
        self.combining(caller, Combination::UnionStore, args, 1, Some(1))
    }

    fn combining(
        &self,
        caller: Caller,
        what: Combination,
        args: Args<'_>,
        first_source: usize,
        destination: Option<usize>,
    ) -> Combining {
        let mut sources: Vec<Share> = Vec::new();
        for position in first_source..args.len() {
            let owner = self.owner(args.get(position));
            match sources.iter_mut().find(|share| share.owner == owner) {
                Some(share) => share.positions.push(position),
                None => sources.push(Share { owner, positions: vec![position] }),
            }
        }
        let destination = destination.map(|at| (at, self.owner(args.get(at))));
        let args = Arc::new(Kept::new(args.iter()));
        Combining { caller, what, args, sources, destination, stage: Stage::Gathering }
    }
}

impl Combining {
    fn gather(&self) -> Vec<(u16, Part)> {
        let (db, is_bits) = (self.caller.head.db, matches!(self.what, Combination::Bits(_)));
        let gather = |share: &Share| {
            let (args, positions) = (self.args.clone(), share.positions.clone());
            let part = once(move |core: &mut Core, _: &mut Io| {
                let mut ks = core.exec.shard.keyspace(db, false);
                let mut union = Union::default();
                let mut texts = Vec::new();
                for at in positions {
                    let key = ks.key(args.args(), at);
                    if is_bits {
                        let text = operation::source(&mut ks, key).map_err(|error| (at, error))?;
                        texts.push((at, text.unwrap_or_default()));
                    } else {
                        union.read(&mut ks, key).map_err(|error| (at, error))?;
                    }
                }
                Ok::<_, (usize, CommandError)>(if is_bits { Gathered::Texts(texts) } else { Gathered::Union(union) })
            });
            (share.owner, part)
        };
        self.sources.iter().map(gather).collect()
    }

    fn combine(&mut self, core: &mut Core, outcomes: Outcomes) -> Go {
        let (mut texts, mut union, mut errors) = (Vec::new(), Union::default(), Vec::new());
        for (_, outcome) in outcomes {
            match outcome.worked::<Result<Gathered, (usize, CommandError)>>() {
                Ok(Gathered::Texts(some)) => texts.extend(some),
                Ok(Gathered::Union(part)) => union.join(&part),
                Err(error) => errors.push(error),
            }
        }
        // The first source that is wrong is complained of, wherever it is.
        if let Some((_, error)) = errors.into_iter().min_by_key(|(position, _)| *position) {
            return self.caller.error(core, &error);
        }
        let Some((at, owner)) = self.destination else {
            return Go::Reply(self.caller.reply(|out| out.int(union.count() as i64)));
        };
        let (db, command, args) = (self.caller.head.db, self.caller.head.command, self.args.clone());
        let put = if let Combination::Bits(operation) = self.what {
            texts.sort_by_key(|(position, _)| *position);
            let sources: Vec<&[u8]> = texts.iter().map(|(_, text)| text.as_slice()).collect();
            let result = operation::combined(operation, &sources);
            self.stage = Stage::Stored(Some(result.len() as i64));
            once(move |core: &mut Core, _: &mut Io| {
                let is_empty = result.is_empty();
                let mut ks = core.exec.shard.keyspace(db, false);
                let key = ks.key(args.args(), at);
                let effect = match operation::store(&mut ks, key, result) {
                    Effect::None => Effect::None,
                    _ if is_empty => Effect::Deleted { key: at as u16 },
                    _ => Effect::Put { key: at as u16 },
                };
                core.exec.changed(&Change { command, db, args: args.args(), effect, counts: true, key: 0 });
                Ok::<_, CommandError>(())
            })
        } else {
            self.stage = Stage::Stored(None);
            once(move |core: &mut Core, _: &mut Io| {
                let mut ks = core.exec.shard.keyspace(db, false);
                let key = ks.key(args.args(), at);
                union.merge_into(&mut ks, key)?;
                let effect = Effect::Put { key: at as u16 };
                core.exec.changed(&Change { command, db, args: args.args(), effect, counts: true, key: 0 });
                Ok::<_, CommandError>(())
            })
        };
        Go::Run { parts: vec![(owner, put)], last: true }
    }
}

impl Procedure for Combining {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        match self.stage {
            Stage::Gathering => {
                self.stage = Stage::Combining;
                Go::Run { parts: self.gather(), last: self.destination.is_none() }
            }
            Stage::Combining => self.combine(core, outcomes),
            Stage::Stored(number) => {
                for (_, outcome) in outcomes {
                    if let Err(error) = outcome.worked::<Result<(), CommandError>>() {
                        return self.caller.error(core, &error);
                    }
                }
                Go::Reply(self.caller.reply(|out| match number {
                    Some(number) => out.int(number),
                    None => out.ok(),
                }))
            }
        }
    }
}
