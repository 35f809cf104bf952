//! MSETNX and MSETEX over shards: all keys are looked at, and unless one forbids it all are set.

use std::ops::Range;
use std::sync::Arc;

use pinyon_base::Millis;
use pinyon_engine::CommandError;
use pinyon_engine::command::registry::registry;
use pinyon_engine::command::string::multi::MultiSet;
use pinyon_resp::Args;

use super::split::{Caller, Share, SharedArgs};
use super::{Go, Outcome, Outcomes, Part, Procedure, once};
use crate::core::{Core, Io};
use crate::kept::Kept;

/// A conditional set of several keys.
pub(super) struct SetIf {
    caller: Caller,
    what: MultiSet,
    args: SharedArgs,
    shares: Vec<Share>,
    /// The arguments behind the pairs.
    options: Range<usize>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Looking,
    Looked,
    Stored,
}

impl Core {
    pub(super) fn msetnx_over_shards(&self, caller: Caller, args: Args<'_>) -> Result<SetIf, CommandError> {
        let what = MultiSet::of_msetnx(args)?;
        Ok(self.set_if(caller, what, args, 0..0))
    }

    pub(super) fn msetex_over_shards(
        &self,
        now_ms: i64,
        caller: Caller,
        args: Args<'_>,
    ) -> Result<SetIf, CommandError> {
        let what = MultiSet::of_msetex(args, Millis(now_ms))?;
        let options = what.first_key + 2 * what.pairs..args.len();
        Ok(self.set_if(caller, what, args, options))
    }

    fn set_if(&self, caller: Caller, what: MultiSet, args: Args<'_>, options: Range<usize>) -> SetIf {
        let mut shares: Vec<Share> = Vec::new();
        for position in what.positions() {
            let owner = self.owner(args.get(position));
            match shares.iter_mut().find(|share| share.owner == owner) {
                Some(share) => share.positions.push(position),
                None => shares.push(Share { owner, positions: vec![position] }),
            }
        }
        let stage = if what.is_conditional() { Stage::Looking } else { Stage::Looked };
        SetIf { caller, what, args: Arc::new(Kept::new(args.iter())), shares, options, stage }
    }
}

impl SetIf {
    /// Every shard says whether one of its keys forbids the command.
    fn look(&self) -> Vec<(u16, Part)> {
        let (db, what) = (self.caller.head.db, self.what);
        let look = |share: &Share| {
            let (args, positions) = (self.args.clone(), share.positions.clone());
            let part = once(move |core: &mut Core, _: &mut Io| {
                let mut ks = core.exec.shard.keyspace(db, false);
                positions.into_iter().any(|at| what.forbidden_by(&mut ks, args.args().get(at)))
            });
            (share.owner, part)
        };
        self.shares.iter().map(look).collect()
    }

    /// Every shard stores its pairs: by an MSET, or with options by an MSETEX of its own.
    fn store(&self, core: &mut Core) -> Vec<(u16, Part)> {
        let args = self.args.args();
        let name: &[u8] = if self.options.is_empty() { b"mset" } else { b"msetex" };
        let command = registry().find(name).expect("the command exists");
        let store = |share: &Share| {
            let count = share.positions.len().to_string();
            let count = (!self.options.is_empty()).then_some(count.as_bytes());
            let pairs = share.positions.iter().flat_map(|&at| [args.get(at), args.get(at + 1)]);
            let options = self.options.clone().map(|at| args.get(at));
            let words = std::iter::once(name).chain(count).chain(pairs).chain(options);
            let mut head = self.caller.part(0, core.exec.shard.hash(args.get(share.positions[0])));
            head.command = command;
            let mut batch = core.spare_batch();
            batch.push(head, words);
            (share.owner, Part::Batch(batch))
        };
        self.shares.iter().map(store).collect()
    }
}

impl Procedure for SetIf {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        match self.stage {
            Stage::Looking => {
                self.stage = Stage::Looked;
                Go::Run { parts: self.look(), last: false }
            }
            Stage::Looked => {
                if outcomes.into_iter().any(|(_, forbidden)| forbidden.worked()) {
                    return Go::Reply(self.caller.reply(|out| out.int(0)));
                }
                self.stage = Stage::Stored;
                Go::Run { parts: self.store(core), last: true }
            }
            Stage::Stored => {
                let mut error = None;
                for (_, outcome) in outcomes {
                    let Outcome::Batch(mut batch) = outcome else { unreachable!("its parts are batches") };
                    batch.each_reply(|_, mut output| {
                        if output.bytes_mut().first() == Some(&b'-') {
                            error.get_or_insert(output);
                        }
                    });
                    core.keep_batch(batch);
                }
                Go::Reply(error.unwrap_or_else(|| self.caller.reply(|out| out.int(1))))
            }
        }
    }
}
