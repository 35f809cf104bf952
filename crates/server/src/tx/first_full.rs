//! Commands that take elements from the first of several keys that has any: ZMPOP, LMPOP.
//!
//! All shards look at their keys, then the command runs where the first key lives that it would not pass by, on that key alone.
//! Without one it runs on its first key, to say that there is nothing, or what else it has to say.

use std::sync::Arc;

use pinyon_engine::command::keys_of::keys;
use pinyon_engine::command::registry::registry;
use pinyon_resp::Args;

use super::split::{Caller, Share, SharedArgs};
use super::{Go, Outcome, Outcomes, Part, Procedure, once};
use crate::core::{Core, Io};
use crate::kept::Kept;

/// `NAME numkeys key… options…`
pub(super) struct FirstFull {
    caller: Caller,
    args: SharedArgs,
    shares: Vec<Share>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Looking,
    Taking,
    End,
}

/// Where the first key is in `NAME numkeys key… options…`.
const FIRST_KEY: usize = 2;

impl Core {
    pub(super) fn first_full_over_shards(&self, caller: Caller, args: Args<'_>) -> FirstFull {
        let shares = self.by_owner(keys(registry().entry(caller.head.command), args), args, 1);
        FirstFull { caller, args: Arc::new(Kept::new(args.iter())), shares, stage: Stage::Looking }
    }
}

impl FirstFull {
    /// Every shard says which of its keys come first that are there at all.
    fn look(&self) -> Vec<(u16, Part)> {
        let db = self.caller.head.db;
        let look = |share: &Share| {
            let (args, positions) = (self.args.clone(), share.positions.clone());
            let part = once(move |core: &mut Core, _: &mut Io| {
                let mut ks = core.exec.shard.keyspace(db, false);
                positions.into_iter().find(|&at| {
                    let key = ks.key_of(args.args().get(at));
                    ks.peek(key).is_some()
                })
            });
            (share.owner, part)
        };
        self.shares.iter().map(look).collect()
    }

    /// The command on one of its keys.
    fn take(&self, core: &mut Core, position: usize) -> (u16, Part) {
        let args = self.args.args();
        let keys: usize = self.shares.iter().map(|share| share.positions.len()).sum();
        let options = args.from(FIRST_KEY + keys);
        let key = args.get(position);
        let words = [args.get(0), b"1", key].into_iter().chain(options);
        let mut batch = core.spare_batch();
        batch.push(self.caller.part(0, core.exec.shard.hash(key)), words);
        (core.owner(key), Part::Batch(batch))
    }
}

impl Procedure for FirstFull {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        match self.stage {
            Stage::Looking => {
                self.stage = Stage::Taking;
                Go::Run { parts: self.look(), last: false }
            }
            Stage::Taking => {
                self.stage = Stage::End;
                let found = outcomes.into_iter().filter_map(|(_, first)| first.worked::<Option<usize>>());
                let position = found.min().unwrap_or(FIRST_KEY);
                Go::Run { parts: vec![self.take(core, position)], last: true }
            }
            Stage::End => {
                let mut reply = None;
                for (_, outcome) in outcomes {
                    let Outcome::Batch(mut batch) = outcome else { unreachable!("its part is a batch") };
                    batch.each_reply(|_, output| reply = Some(output));
                    core.keep_batch(batch);
                }
                Go::Reply(reply.unwrap_or_default())
            }
        }
    }
}
