//! SMOVE with its keys on two shards: both sets are looked at, then one shard runs an SREM and the other an SADD.

use std::sync::Arc;

use pinyon_engine::CommandError;
use pinyon_engine::command::registry::registry;
use pinyon_engine::keyspace::Keyspace;
use pinyon_resp::Args;
use pinyon_values::Item;
use pinyon_values::set::Set;

use super::split::{Caller, SharedArgs};
use super::{Go, Outcome, Outcomes, Part, Procedure, once};
use crate::core::{Core, Io};
use crate::kept::Kept;

pub(super) struct Moving {
    caller: Caller,
    args: SharedArgs,
    source: u16,
    target: u16,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Looking,
    Moving,
    End,
}

/// What is found under the source.
enum Source {
    Nothing,
    Member(bool),
}

impl Core {
    pub(super) fn smove_over_shards(&self, caller: Caller, args: Args<'_>) -> Moving {
        let (source, target) = (self.owner(args.get(1)), self.owner(args.get(2)));
        Moving { caller, args: Arc::new(Kept::new(args.iter())), source, target, stage: Stage::Looking }
    }
}

fn look_at_source(ks: &mut Keyspace<'_>, args: Args<'_>) -> Result<Source, CommandError> {
    let set = ks.update::<Set>(ks.key_of(args.get(1)))?;
    Ok(set.map_or(Source::Nothing, |set| Source::Member(set.contains(Item::Bytes(args.get(3))))))
}

impl Moving {
    fn look(&self) -> Vec<(u16, Part)> {
        let db = self.caller.head.db;
        let (of_source, of_target) = (self.args.clone(), self.args.clone());
        let source = once(move |core: &mut Core, _: &mut Io| {
            look_at_source(&mut core.exec.shard.keyspace(db, false), of_source.args())
        });
        let target = once(move |core: &mut Core, _: &mut Io| {
            let mut ks = core.exec.shard.keyspace(db, false);
            let key = ks.key_of(of_target.args().get(2));
            ks.update::<Set>(key).map(|_| ())
        });
        vec![(self.source, source), (self.target, target)]
    }

    /// One of the two commands that it becomes.
    fn part(&self, core: &mut Core, name: &[u8], at: usize) -> Part {
        let args = self.args.args();
        let key = args.get(at);
        let mut head = self.caller.part(0, core.exec.shard.hash(key));
        head.command = registry().find(name).expect("the command exists");
        let mut batch = core.spare_batch();
        batch.push(head, [name, key, args.get(3)].into_iter());
        Part::Batch(batch)
    }
}

impl Procedure for Moving {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        match self.stage {
            Stage::Looking => {
                self.stage = Stage::Moving;
                Go::Run { parts: self.look(), last: false }
            }
            Stage::Moving => {
                let (mut source, mut target) = (Ok(Source::Nothing), Ok(()));
                for (shard, outcome) in outcomes {
                    if shard == self.source {
                        source = outcome.worked::<Result<Source, CommandError>>();
                    } else {
                        target = outcome.worked::<Result<(), CommandError>>();
                    }
                }
                let is_member = match source {
                    Err(error) => return self.caller.error(core, &error),
                    // Without a source the destination's type is not looked at.
                    Ok(Source::Nothing) => false,
                    Ok(Source::Member(is_member)) => match target {
                        Err(error) => return self.caller.error(core, &error),
                        Ok(()) => is_member,
                    },
                };
                if !is_member {
                    return Go::Reply(self.caller.reply(|out| out.int(0)));
                }
                self.stage = Stage::End;
                let parts =
                    vec![(self.source, self.part(core, b"srem", 1)), (self.target, self.part(core, b"sadd", 2))];
                Go::Run { parts, last: true }
            }
            Stage::End => {
                for (_, outcome) in outcomes {
                    if let Outcome::Batch(batch) = outcome {
                        core.keep_batch(batch);
                    }
                }
                Go::Reply(self.caller.reply(|out| out.int(1)))
            }
        }
    }
}
