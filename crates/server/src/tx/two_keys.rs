//! RENAME, RENAMENX, COPY and LCS with keys on two shards: a value is looked at or taken on one and put on the other.
//!
//! A value travels as it is, with its deadline. What each shard changed is told as an effect that replays there alone.

use std::sync::Arc;

use pinyon_base::DbIndex;
use pinyon_engine::command::key::transfer::{CopyOptions, copy_options};
use pinyon_engine::command::registry::CommandId;
use pinyon_engine::command::string::lcs::{self, LcsOptions, lcs_of};
use pinyon_engine::keyspace::{Events, Key, Keyspace, OwnedValue};
use pinyon_engine::{CommandError, Effect};
use pinyon_resp::Args;

use super::split::{Caller, SharedArgs};
use super::{Go, Outcomes, Part, Procedure, once};
use crate::core::{Core, Io};
use crate::exec::Change;
use crate::kept::Kept;

/// RENAME and RENAMENX.
pub(super) struct Renaming {
    caller: Caller,
    args: SharedArgs,
    source: u16,
    target: u16,
    only_new: bool,
    stage: Stage,
}

/// How far a command of several steps has come.
#[derive(Clone, Copy)]
enum Stage {
    Looking,
    Taking,
    Putting,
    End,
}

/// COPY.
pub(super) struct Copying {
    caller: Caller,
    args: SharedArgs,
    source: u16,
    target: u16,
    options: CopyOptions,
    stage: Stage,
}

/// LCS.
pub(super) struct Comparing {
    caller: Caller,
    args: SharedArgs,
    owners: [u16; 2],
    options: Result<LcsOptions, CommandError>,
    asked: bool,
}

impl Core {
    pub(super) fn rename_over_shards(&self, caller: Caller, args: Args<'_>, only_new: bool) -> Renaming {
        let (source, target) = (self.owner(args.get(1)), self.owner(args.get(2)));
        Renaming { caller, args: kept(args), source, target, only_new, stage: Stage::Looking }
    }

    pub(super) fn copy_over_shards(&self, caller: Caller, args: Args<'_>) -> Result<Copying, CommandError> {
        let options = copy_options(args, caller.head.db, self.settings.databases)?;
        let (source, target) = (self.owner(args.get(1)), self.owner(args.get(2)));
        Ok(Copying { caller, args: kept(args), source, target, options, stage: Stage::Looking })
    }

    pub(super) fn lcs_over_shards(&self, caller: Caller, args: Args<'_>) -> Comparing {
        let options = LcsOptions::parse(args, self.config.proto_max_bulk_len);
        let owners = [self.owner(args.get(1)), self.owner(args.get(2))];
        Comparing { caller, args: kept(args), owners, options, asked: false }
    }

    /// Works on the key at `position` of `args` on this core's shard, within a part of a transaction.
    fn on_key<T>(
        &mut self,
        db: DbIndex,
        args: Args<'_>,
        position: usize,
        work: impl FnOnce(&mut Keyspace<'_>, Key<'_>) -> T,
    ) -> T {
        let mut ks = self.exec.shard.keyspace(db, false);
        let key = ks.key(args, position);
        work(&mut ks, key)
    }

    /// Puts a value under the second key, over whatever is there.
    fn put_value(&mut self, command: CommandId, db: DbIndex, args: Args<'_>, value: OwnedValue, event: &'static str) {
        self.on_key(db, args, 2, |ks, key| {
            ks.remove_lazy(key);
            ks.restore(key, value);
            ks.notify(Events::GENERIC, event, key);
        });
        self.exec.changed(&Change { command, db, args, effect: Effect::Put { key: 2 }, counts: true, key: 0 });
    }
}

fn kept(args: Args<'_>) -> SharedArgs {
    Arc::new(Kept::new(args.iter()))
}

impl Renaming {
    fn look(&self) -> Vec<(u16, Part)> {
        let db = self.caller.head.db;
        let at = |position: usize| {
            let args = self.args.clone();
            once(move |core, _| core.on_key(db, args.args(), position, |ks, key| ks.for_write(key).is_some()))
        };
        vec![(self.source, at(1)), (self.target, at(2))]
    }
}

impl Procedure for Renaming {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        let (command, db) = (self.caller.head.command, self.caller.head.db);
        let args = self.args.clone();
        match self.stage {
            Stage::Looking => {
                self.stage = Stage::Taking;
                Go::Run { parts: self.look(), last: false }
            }
            Stage::Taking => {
                let found: Vec<(u16, bool)> =
                    outcomes.into_iter().map(|(shard, found)| (shard, found.worked())).collect();
                let is_there = |shard: u16| found.contains(&(shard, true));
                if !is_there(self.source) {
                    return self.caller.error(core, &CommandError::NoSuchKey);
                }
                if self.only_new && is_there(self.target) {
                    return Go::Reply(self.caller.reply(|out| out.int(0)));
                }
                self.stage = Stage::Putting;
                let take = once(move |core, _| {
                    let taken = core.on_key(db, args.args(), 1, |ks, key| {
                        ks.notify(Events::GENERIC, "rename_from", key);
                        ks.take(key)
                    });
                    // The other shard counts the change: it is one.
                    let effect = Effect::Deleted { key: 1 };
                    core.exec.changed(&Change { command, db, args: args.args(), effect, counts: false, key: 0 });
                    taken
                });
                Go::Run { parts: vec![(self.source, take)], last: false }
            }
            Stage::Putting => {
                self.stage = Stage::End;
                let value = outcomes.into_iter().next().and_then(|(_, taken)| taken.worked::<Option<OwnedValue>>());
                let value = value.expect("it was there, and nobody else may touch it");
                let put = once(move |core, _| core.put_value(command, db, args.args(), value, "rename_to"));
                Go::Run { parts: vec![(self.target, put)], last: true }
            }
            Stage::End if self.only_new => Go::Reply(self.caller.reply(|out| out.int(1))),
            Stage::End => Go::Reply(self.caller.reply(|out| out.ok())),
        }
    }
}

impl Procedure for Copying {
    fn next(&mut self, _: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        let db = self.caller.head.db;
        let CopyOptions { db: target_db, replace } = self.options;
        let command = self.caller.head.command;
        let args = self.args.clone();
        let copied = |copied: bool| Go::Reply(self.caller.reply(|out| out.int(i64::from(copied))));
        match self.stage {
            Stage::Looking => {
                self.stage = Stage::Taking;
                let look = once(move |core, _| {
                    let is_there = |ks: &mut Keyspace<'_>, key: Key<'_>| ks.for_write(key).is_some();
                    !replace && core.on_key(target_db, args.args(), 2, is_there)
                });
                let args = self.args.clone();
                let read = once(move |core, _| {
                    core.on_key(db, args.args(), 1, |ks, key| {
                        // Counted and touched as a read.
                        ks.read(key)?;
                        ks.copy_out(key)
                    })
                });
                Go::Run { parts: vec![(self.source, read), (self.target, look)], last: false }
            }
            Stage::Taking => {
                let (mut value, mut taken) = (None, false);
                for (shard, outcome) in outcomes {
                    if shard == self.source {
                        value = outcome.worked::<Option<OwnedValue>>();
                    } else {
                        taken = outcome.worked();
                    }
                }
                let Some(value) = value.filter(|_| !taken) else { return copied(false) };
                self.stage = Stage::End;
                let put = once(move |core, _| core.put_value(command, target_db, args.args(), value, "copy_to"));
                Go::Run { parts: vec![(self.target, put)], last: true }
            }
            Stage::Putting | Stage::End => copied(true),
        }
    }
}

impl Procedure for Comparing {
    fn next(&mut self, core: &mut Core, _: &mut Io, outcomes: Outcomes) -> Go {
        let db = self.caller.head.db;
        if !std::mem::replace(&mut self.asked, true) {
            let read = |position: usize| {
                let args = self.args.clone();
                once(move |core, _| core.on_key(db, args.args(), position, lcs::text))
            };
            return Go::Run { parts: vec![(self.owners[0], read(1)), (self.owners[1], read(2))], last: true };
        }
        type Text = Result<Vec<u8>, CommandError>;
        let mut texts: Vec<(u16, Text)> = outcomes.into_iter().map(|(shard, text)| (shard, text.worked())).collect();
        // They come in the order of the shards.
        texts.sort_by_key(|(shard, _)| *shard != self.owners[0]);
        // As in Redis, the keys are read before wrong options are complained of.
        let texts = texts.into_iter().map(|(_, text)| text).collect::<Result<Vec<_>, _>>();
        let (texts, options) = match texts.and_then(|texts| Ok((texts, self.options.clone()?))) {
            Ok(both) => both,
            Err(error) => return self.caller.error(core, &error),
        };
        let mut result = Ok(());
        let reply = self.caller.reply(|out| result = lcs_of(&texts[0], &texts[1], options, out));
        match result {
            Ok(()) => Go::Reply(reply),
            Err(error) => self.caller.error(core, &error),
        }
    }
}
