//! Commands that put keys of several shards together: the sources are copied to one shard and lent to it while the command's
//! own handler runs there, whole, as if all keys were its own.
//!
//! How to use it: give the row `Handler::Spread(Spread::Lend, handler)`. The row's key specs say the rest: a key that is
//! written (no `RO` flag) is the destination, one at most, and the command runs where it lives; keys that are only read are its
//! sources and may lie anywhere. Without a destination it runs where most of its keys are. The handler must not write to a
//! source. It needs to know nothing of this; what it stores is recorded on the destination's shard as the value that is there
//! afterwards, so that the record replays without the sources.
//!
//! A lent key is in the shard's table only while the handler runs: no other command, walk or deadline meets it.

use std::sync::Arc;

use pinyon_base::DbIndex;
use pinyon_engine::command::registry::registry;
use pinyon_engine::command::row::{Handler, KeyHandler};
use pinyon_engine::keyspace::OwnedValue;
use pinyon_engine::transaction::{Access, each_intent};
use pinyon_engine::{CommandError, Cx, Effect};
use pinyon_resp::{Args, Output, Writer};

use super::split::{Caller, SharedArgs};
use super::{Go, Outcomes, Part, Procedure, once};
use crate::core::{Core, Io};
use crate::exec::Change;
use crate::kept::Kept;

/// Such a command under way.
pub(super) struct Lending {
    caller: Caller,
    args: SharedArgs,
    handler: KeyHandler,
    /// The shard on which it runs.
    home: u16,
    /// Position of the key that is written.
    destination: Option<usize>,
    /// The other shards with the positions of their keys.
    lenders: Vec<(u16, Vec<usize>)>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Gathering,
    Running,
    End,
}

/// Values on their way to the shard that they are lent to, with the positions of their keys.
type Lent = Vec<(usize, OwnedValue)>;

impl Core {
    pub(super) fn lend_over_shards(&self, caller: Caller, args: Args<'_>) -> Lending {
        let entry = registry().entry(caller.head.command);
        let Handler::Spread(_, handler) = entry.row.handler else { unreachable!("its row says that it is spread") };
        let (mut destination, mut keys) = (None, Vec::new());
        each_intent(entry, args, |position, access| {
            if access == Access::Write {
                destination = Some(position);
            }
            keys.push((self.owner(args.get(position)), position));
        });
        let home = match destination {
            Some(position) => self.owner(args.get(position)),
            None => most_frequent(&keys).unwrap_or(self.id.0),
        };
        let mut lenders: Vec<(u16, Vec<usize>)> = Vec::new();
        for (owner, position) in keys.into_iter().filter(|(owner, _)| *owner != home) {
            match lenders.iter_mut().find(|(lender, _)| *lender == owner) {
                Some((_, positions)) if positions.iter().any(|&at| args.get(at) == args.get(position)) => {}
                Some((_, positions)) => positions.push(position),
                None => lenders.push((owner, vec![position])),
            }
        }
        let args = Arc::new(Kept::new(args.iter()));
        Lending { caller, args, handler, home, destination, lenders, stage: Stage::Gathering }
    }

    /// Copies of the values under some of the keys. They are counted as found or missed where the handler looks for them.
    fn copies(&mut self, db: DbIndex, args: Args<'_>, positions: &[usize]) -> Lent {
        let mut ks = self.exec.shard.keyspace(db, false);
        let copy = |&position: &usize| {
            let key = ks.key_of(args.get(position));
            ks.for_write(key)?;
            let mut value = ks.copy_out(key)?;
            value.set_deadline(None);
            Some((position, value))
        };
        positions.iter().filter_map(copy).collect()
    }

    /// Runs the handler with the values lent to this shard.
    fn run_with(
        &mut self,
        caller: Caller,
        args: Args<'_>,
        handler: KeyHandler,
        destination: Option<usize>,
        lent: Lent,
    ) -> Result<Output, CommandError> {
        let db = caller.head.db;
        let mut output = Output::default();
        let positions: Vec<usize> = lent.iter().map(|(position, _)| *position).collect();
        let mut cx = Cx {
            ks: self.exec.shard.keyspace(db, caller.head.no_touch),
            out: Writer { out: &mut output, proto: caller.proto },
        };
        // What is lent does not come about here, and does not go.
        cx.ks.mute_events(true);
        for (position, value) in lent {
            let key = cx.ks.key_of(args.get(position));
            cx.ks.restore(key, value);
        }
        cx.ks.mute_events(false);
        let result = handler(&mut cx, args);
        for position in positions {
            let key = cx.ks.key_of(args.get(position));
            cx.ks.remove_lazy(key);
        }
        let effect = result?;
        let recorded = match (effect, destination) {
            (Effect::None | Effect::Recorded { .. }, _) | (_, None) => effect,
            (_, Some(position)) => {
                let key = cx.ks.key_of(args.get(position));
                let position = position as u16;
                if cx.ks.peek(key).is_some() {
                    Effect::Put { key: position }
                } else {
                    Effect::Deleted { key: position }
                }
            }
        };
        if effect != Effect::None {
            self.exec.stats.dirty += effect.changes();
            let command = caller.head.command;
            self.exec.changed(&Change { command, db, args, effect: recorded, counts: false, key: 0 });
        }
        Ok(output)
    }
}

/// The shard that most of the keys are on, the first one of several.
fn most_frequent(keys: &[(u16, usize)]) -> Option<u16> {
    let count = |shard: u16| keys.iter().filter(|(owner, _)| *owner == shard).count();
    keys.iter().map(|(owner, _)| *owner).rev().max_by_key(|owner| count(*owner))
}

impl Lending {
    fn gather(&self) -> Vec<(u16, Part)> {
        let db = self.caller.head.db;
        let copy = |(shard, positions): &(u16, Vec<usize>)| {
            let (args, positions) = (self.args.clone(), positions.clone());
            (*shard, once(move |core: &mut Core, _: &mut Io| core.copies(db, args.args(), &positions)))
        };
        self.lenders.iter().map(copy).collect()
    }

    fn run(&self, lent: Lent) -> Part {
        let (caller, args, handler, destination) = (self.caller, self.args.clone(), self.handler, self.destination);
        once(move |core: &mut Core, _: &mut Io| core.run_with(caller, args.args(), handler, destination, lent))
    }
}

impl Procedure for Lending {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        match self.stage {
            Stage::Gathering => {
                self.stage = Stage::Running;
                Go::Run { parts: self.gather(), last: false }
            }
            Stage::Running => {
                self.stage = Stage::End;
                let lent = outcomes.into_iter().flat_map(|(_, copies)| copies.worked::<Lent>()).collect();
                Go::Run { parts: vec![(self.home, self.run(lent))], last: true }
            }
            Stage::End => {
                let result = outcomes.into_iter().next().map(|(_, result)| result.worked());
                match result.unwrap_or_else(|| Ok(Output::default())) {
                    Ok(reply) => Go::Reply(reply),
                    Err(error) => self.caller.error(core, &error),
                }
            }
        }
    }
}
