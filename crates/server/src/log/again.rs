//! DEBUG LOADAOF: what is on the disk takes the place of what is in memory, while the server runs.
//!
//! A transaction over all shards holds every key. The logs are sealed and brought to the disk; then the manifest's snapshot and the
//! logs are read as a start reads them, and loaded into fresh shards beside those that are there. Only when all of them are whole,
//! and go up to the seals, do they take the others' place. So whatever is wrong on the disk costs nothing but the attempt, at the
//! price of memory for the data twice. Nothing in the folder is changed.
//!
//! Meanwhile the manifest stays as it is, and the logs are not started or stopped; a snapshot under way is waited for first, and
//! so is the base of logs that were started at run time. With `appendonly no` there is what the last snapshot has.

use std::sync::Arc;

use pinyon_base::ShardId;
use pinyon_durability::recovery::{self, Found, Options};
use pinyon_durability::{Epoch, Lsn, Plan, RecoveryError, RunId};
use pinyon_engine::keyspace::Shard;
use pinyon_engine::transaction::{Access, Intents};
use pinyon_resp::Output;
use pinyon_runtime::CoreId;

use super::Errand;
use crate::core::{Core, Io, Mail};
use crate::save::Wish;
use crate::tx::{Outcome, Outcomes, Script, Step, once};

/// Called when the data have been loaded again, or why they have not: then all is as it was.
pub(crate) type LoadedAgain = Box<dyn FnOnce(&mut Core, &mut Io, Result<(), String>)>;

/// One core's part.
#[derive(Default)]
pub(super) struct Again {
    /// What is loaded, until it takes the place of the core's own.
    pub shard: Option<Box<Shard>>,
    /// Where the log was sealed.
    sealed: Option<Lsn>,
    /// The transaction that waits for an epoch to be durable everywhere; the first core's.
    waits: Option<(u32, Epoch)>,
}

/// What a shard says of the cut.
enum Cut {
    /// A snapshot of it is under way.
    Saving,
    Sealed(Option<Seal>),
}

/// Where a log was sealed.
#[derive(Clone, Copy)]
struct Seal {
    run: RunId,
    epoch: Epoch,
    lsn: Lsn,
}

#[derive(Clone, Copy)]
enum Stage {
    Begin,
    Cut,
    /// The logs are on their way to the disk.
    Sync,
    /// Fresh shards are being loaded.
    Load,
    /// Whether nothing has come behind the seals.
    Check,
    Replace,
}

/// The transaction.
struct LoadingAgain {
    shards: u16,
    stage: Stage,
    seals: Option<Vec<Seal>>,
    then: Option<LoadedAgain>,
}

impl Script for LoadingAgain {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        match self.stage {
            Stage::Begin => {
                let part = |shard| (shard, once(|core: &mut Core, _: &mut Io| core.cut_to_load()));
                self.stage = Stage::Cut;
                Step::Run { parts: (0..self.shards).map(part).collect(), last: false }
            }
            Stage::Cut => self.cut(core, io, outcomes),
            Stage::Sync => match core.log_trouble() {
                Some(trouble) => self.end(core, io, Err(format!("the log cannot be written: {}", trouble.words))),
                None => self.load(core, io),
            },
            Stage::Load => {
                match outcomes.into_iter().try_for_each(|(_, loaded)| loaded.worked::<Result<(), String>>()) {
                    Ok(()) => {
                        let part = |shard| (shard, once(|core: &mut Core, _: &mut Io| core.is_as_sealed()));
                        self.stage = Stage::Check;
                        Step::Run { parts: (0..self.shards).map(part).collect(), last: false }
                    }
                    Err(why) => self.end(core, io, Err(why)),
                }
            }
            Stage::Check if outcomes.into_iter().all(|(_, same)| same.worked()) => {
                let part = |shard| (shard, once(|core: &mut Core, _: &mut Io| core.replace_by_loaded()));
                self.stage = Stage::Replace;
                Step::Run { parts: (0..self.shards).map(part).collect(), last: true }
            }
            Stage::Check => self.end(core, io, Err("the data have changed meanwhile".to_owned())),
            Stage::Replace => self.end(core, io, Ok(())),
        }
    }

    fn logs(&self) -> bool {
        false
    }
}

impl LoadingAgain {
    /// All shards are cut: what they have logged is to be waited for.
    fn cut(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        let cuts: Vec<Cut> = outcomes.into_iter().map(|(_, cut)| cut.worked()).collect();
        if cuts.iter().any(|cut| matches!(cut, Cut::Saving)) {
            // One was given up, and its walk has yet to come to its end.
            let then = self.then.take();
            core.let_go_of_again(io, |core, io| {
                if let Some(then) = then {
                    core.load_again(io, then);
                }
            });
            return Step::Done;
        }
        self.seals = cuts.into_iter().map(|cut| if let Cut::Sealed(seal) = cut { seal } else { None }).collect();
        let Some(seal) = self.seals.iter().flatten().next() else { return self.load(core, io) };
        self.stage = Stage::Sync;
        core.loading.again.waits = Some((core.transaction_at_work(), seal.epoch));
        core.look_at_seals(io);
        Step::Wait
    }

    fn load(&mut self, core: &mut Core, io: &mut Io) -> Step {
        self.stage = Stage::Load;
        core.read_again(io, core.transaction_at_work(), self.seals.take());
        Step::Wait
    }

    fn end(&mut self, core: &mut Core, io: &mut Io, result: Result<(), String>) -> Step {
        if let Err(why) = &result {
            tracing::error!("The data were not loaded again (DEBUG LOADAOF): {why}");
        }
        let then = self.then.take();
        core.let_go_of_again(io, move |core, io| {
            if let Some(then) = then {
                then(core, io, result);
            }
        });
        Step::Done
    }
}

impl Core {
    /// Loads the data again, on the first core. Not within a transaction: it is one.
    pub(crate) fn load_again(&mut self, io: &mut Io, then: LoadedAgain) {
        let saving = self.shared.saves.since().is_some();
        if !saving && self.saves.base_wanted && self.begin_save(io, Wish::Rewrite).is_ok() {
            return self.when_saved(|core, io, is_saved| match is_saved {
                true => core.load_again(io, then),
                false => then(core, io, Err("the logs have no base, and it cannot be made".to_owned())),
            });
        }
        if saving {
            return self.when_saved(|core, io, _| core.load_again(io, then));
        }
        let take = |core: &mut Core, _: &mut Io| (!core.rebinding).then(|| core.rebinding = true);
        self.slices_on(io, self.id.0, take, |core, io, ()| {
            core.change_manifest(io, |core, io| core.hold_to_load(io, then));
        });
    }

    /// Nobody else changes the manifest, or starts or stops the logs: holds all keys. A snapshot that is begun from here on is cut
    /// behind that.
    fn hold_to_load(&mut self, io: &mut Io, then: LoadedAgain) {
        if self.saves.base_wanted || self.shared.saves.since().is_some() {
            return self.let_go_of_again(io, |core, io| core.load_again(io, then));
        }
        if self.saves.manifest.is_none() {
            let nothing = "nothing was saved or logged yet".to_owned();
            return self.let_go_of_again(io, |core, io| then(core, io, Err(nothing)));
        }
        let shards = self.shards;
        let wants = (0..shards).map(|shard| (shard, Intents::whole(Access::Write))).collect();
        let script = LoadingAgain { shards, stage: Stage::Begin, seals: None, then: Some(then) };
        self.begin_transaction(io, wants, Box::new(script));
    }

    /// Lets go of what was held beside the keys, and of what was not used.
    fn let_go_of_again(&mut self, io: &mut Io, then: impl FnOnce(&mut Core, &mut Io) + 'static) {
        self.loading.again.waits = None;
        self.shared.progress.end();
        self.gather_all(
            io,
            |core, _| core.loading.again = Again::default(),
            |core, io, _: Vec<()>| {
                core.rebinding = false;
                core.manifest_changed(io, None);
                then(core, io);
            },
        );
    }

    /// This shard's part of the cut.
    fn cut_to_load(&mut self) -> Cut {
        if self.exec.shard.is_saving() {
            return Cut::Saving;
        }
        let seal = self.exec.log.as_mut().filter(|log| !log.is_stopped()).map(|log| {
            let (run, epoch, always) = (log.run(), log.log.epoch(), log.log.is_always());
            let lsn = log.log.seal(always, false);
            log.log.want_sync();
            log.told_write = false;
            Seal { run, epoch, lsn }
        });
        let again = &mut self.loading.again;
        again.sealed = seal.map(|seal| seal.lsn);
        again.shard = Some(Box::new(self.exec.shard.fresh()));
        Cut::Sealed(seal)
    }

    /// Goes on when the sealed epoch is durable on all shards, or will not be.
    pub(super) fn look_at_seals(&mut self, io: &mut Io) {
        let Some((slot, epoch)) = self.loading.again.waits else { return };
        let durable = self.exec.log.as_ref().is_some_and(|log| log.durable.durable_epoch() >= epoch);
        if durable || self.log_trouble().is_some() {
            self.loading.again.waits = None;
            let go_on: Errand =
                Box::new(move |core, io| core.resume_with(io, slot, Outcome::Replied(Output::default())));
            io.mail(CoreId(0), Mail::Errand(go_on));
        }
    }

    /// Has all cores load what is on the disk into fresh shards; the transaction goes on with what came of it.
    fn read_again(&mut self, io: &mut Io, slot: u32, seals: Option<Vec<Seal>>) {
        let disk = self.disk();
        self.help(
            io,
            move |_| recovery::find(disk),
            move |core, io, found| {
                let store = match found {
                    Ok(Found::Store(store)) => store,
                    Ok(Found::Nothing) => {
                        return core.read_to_end(io, slot, Err("there is no store any more".to_owned()));
                    }
                    Err(error) => return core.read_to_end(io, slot, Err(error.to_string())),
                };
                core.scan_store(io, store, Options::default(), move |core, io, plan: Result<Plan, RecoveryError>| {
                    let plan = plan.map_err(|error| error.to_string());
                    match plan.and_then(|plan| {
                        seals.is_none_or(|seals| reaches(&plan, &seals)).then_some(plan).ok_or_else(short)
                    }) {
                        Ok(plan) => core.load_plan(io, Arc::new(plan), move |core, io, _, loaded| {
                            core.read_to_end(io, slot, loaded);
                        }),
                        Err(why) => core.read_to_end(io, slot, Err(why)),
                    }
                });
            },
        );
    }

    fn read_to_end(&mut self, io: &mut Io, slot: u32, result: Result<(), String>) {
        self.resume_with(io, slot, Outcome::Worked(Box::new(result)));
    }

    /// Nothing has been logged since the cut: it may be done without.
    fn is_as_sealed(&mut self) -> bool {
        let last = self.exec.log.as_ref().filter(|log| !log.is_stopped()).map(|log| log.log.last_lsn());
        last == self.loading.again.sealed && self.exec.shard.journal().is_empty()
    }

    fn replace_by_loaded(&mut self) {
        if let Some(shard) = self.loading.again.shard.take() {
            self.exec.shard.replace_data(*shard);
            self.exec.stats.dirty = 0;
        }
    }
}

/// Whether the plan goes up to the seals, on every shard.
fn reaches(plan: &Plan, seals: &[Seal]) -> bool {
    plan.runs.last().is_some_and(|run| {
        let whole = |(shard, seal): (usize, &Seal)| {
            let log = run.logs.iter().find(|log| log.shard == ShardId(shard as u16));
            seal.run == run.run && log.is_some_and(|log| log.end == seal.lsn)
        };
        run.logs.len() == seals.len() && seals.iter().enumerate().all(whole)
    })
}

fn short() -> String {
    "the logs on the disk do not go up to what was written".to_owned()
}
