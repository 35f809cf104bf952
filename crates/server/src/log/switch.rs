//! Starting and stopping the logs at run time: `CONFIG SET appendonly`.
//!
//! **Starting.** A run begins that no manifest names yet, all shards begin to log in one moment, and a snapshot is made as the base
//! of the logs. When it is there the manifest names both, and only then do they count: until then a start finds what was there
//! before, nothing is promised of what is logged, and the snapshot is tried again should it fail.
//!
//! **Stopping.** In one moment all shards seal their logs and append nothing any more. When all of it is on the disk, the manifest says
//! where the logs end, and they are gone. Logs that cannot be written are given up as they are.
//!
//! Both moments are transactions of which no shard lets go before all have done it: so no other transaction finds some of its
//! shards with a log and others without.

use std::sync::Arc;

use pinyon_durability::{DiskError, Epoch, LogState, Lsn, recovery};
use pinyon_engine::transaction::{Access, Intents};
use pinyon_runtime::CoreId;

use super::Errand;
use super::shard_log::{ALIGN, Seat};
use super::start::{makers, seats};
use crate::core::{Core, Io, Mail};
use crate::save::Wish;
use crate::tx::{Outcomes, Script, Step, once};

/// Called when the logs have been started or stopped, or why they cannot be.
pub(crate) type Switched = Box<dyn FnOnce(&mut Core, &mut Io, Result<(), String>) + Send>;

/// Logs that are being stopped; the first core's.
pub(crate) struct Stopping {
    /// The last epoch.
    epoch: Epoch,
    /// Shards that have not told yet, and the transaction.
    missing: usize,
    /// By shard: the last segment and record; None: it could not be written to its end.
    ends: Vec<Option<(u64, Lsn)>>,
    then: Switched,
}

/// Gives every shard its log, or has it stop.
struct Switching {
    shards: u16,
    /// None: they stop.
    start: Option<(Vec<Seat>, Epoch)>,
    /// When they have started.
    then: Option<Switched>,
}

impl Script for Switching {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        if !outcomes.is_empty() {
            match self.then.take() {
                Some(then) => core.logs_started(io, then),
                None => {
                    let epoch = outcomes.into_iter().map(|(_, epoch)| epoch.worked::<Epoch>()).max();
                    core.all_stop(io, epoch.unwrap_or_default());
                }
            }
            return Step::Done;
        }
        // None of them lets go before all have done it.
        let parts = match self.start.take() {
            Some((seats, base)) => {
                let part = |(shard, seat)| (shard, once(move |core: &mut Core, _: &mut Io| core.start_log(seat, base)));
                (0..self.shards).zip(seats).map(part).collect()
            }
            None => {
                let part = |shard| (shard, once(|core: &mut Core, _: &mut Io| core.stop_log()));
                (0..self.shards).map(part).collect()
            }
        };
        Step::Run { parts, last: false }
    }

    fn logs(&self) -> bool {
        false
    }
}

impl Core {
    /// Starts the logs, on the first core.
    pub(crate) fn start_logs(&mut self, io: &mut Io, then: Switched) {
        self.with_store(io, move |core, io, store| match store {
            Ok(()) => core.change_manifest(io, move |core, io| core.begin_apart(io, then)),
            Err(why) => then(core, io, Err(why)),
        });
    }

    /// Makes the run's segments, and has the manifest give its number away.
    fn begin_apart(&mut self, io: &mut Io, then: Switched) {
        let Some(before) = self.saves.manifest.clone() else {
            self.manifest_changed(io, None);
            return then(self, io, Err("there is no store".to_owned()));
        };
        let (disk, shards, bytes) = (self.disk(), self.shards, self.config.log_segment_size);
        let begin = move |_: &_| -> Result<_, DiskError> {
            let mut makers = makers(shards);
            let manifest = recovery::begin_apart(disk, &before, &mut makers, ALIGN, bytes)?;
            let seats = seats(disk, &manifest, makers, bytes)?;
            Ok((manifest, seats))
        };
        self.help(io, begin, move |core, io, begun| match begun {
            Ok((manifest, seats)) => {
                core.manifest_changed(io, Some(Arc::new(manifest)));
                let start = Some((seats, core.saves.epoch));
                core.switch(io, start, Some(then));
            }
            Err(error) => {
                core.manifest_changed(io, None);
                then(core, io, Err(error.to_string()));
            }
        });
    }

    /// Stops the logs, on the first core.
    pub(crate) fn stop_logs(&mut self, io: &mut Io, then: Switched) {
        let shards = usize::from(self.shards);
        let ends = vec![None; shards];
        self.stopping_logs = Some(Stopping { epoch: Epoch(0), missing: shards + 1, ends, then });
        self.switch(io, None, None);
    }

    fn switch(&mut self, io: &mut Io, start: Option<(Vec<Seat>, Epoch)>, then: Option<Switched>) {
        let shards = self.shards;
        let wants = (0..shards).map(|shard| (shard, Intents::whole(Access::Write))).collect();
        self.begin_transaction(io, wants, Box::new(Switching { shards, start, then }));
    }

    /// From here on this core logs; it does not count yet.
    fn start_log(&mut self, seat: Seat, base: Epoch) -> Epoch {
        self.take_seat(seat, base, false);
        if let Some(log) = &mut self.exec.log {
            log.counts = false;
        }
        Epoch(0)
    }

    /// From here on this core logs nothing any more. Gives the epoch that has ended.
    fn stop_log(&mut self) -> Epoch {
        self.exec.log_changes(None);
        self.exec.shard.set_journal(false);
        let Some(log) = &mut self.exec.log else { return Epoch(0) };
        let epoch = log.log.epoch();
        let always = log.log.is_always();
        log.stopped_at = Some(log.log.seal(always, false));
        log.log.want_sync();
        epoch
    }

    /// All shards have begun to log.
    fn logs_started(&mut self, io: &mut Io, then: Switched) {
        self.epochs.start(false);
        self.saves.base_wanted = true;
        then(self, io, Ok(()));
        self.look_for_base(io);
    }

    /// All shards have ended it; they may have told already that all of it is on the disk.
    fn all_stop(&mut self, io: &mut Io, epoch: Epoch) {
        if let Some(stopping) = &mut self.stopping_logs {
            stopping.epoch = epoch;
        }
        self.count_stopped(io);
        // A core may have had nothing to write.
        for core in 0..self.shards {
            io.mail(CoreId(core), Mail::Errand(Box::new(Core::commit_log)));
        }
    }

    /// Tells the first core when a log that was stopped is on the disk, or cannot be brought there.
    pub(super) fn look_at_stopped(&mut self, io: &mut Io) {
        let Some(log) = &mut self.exec.log else { return };
        let Some(seal) = log.stopped_at.filter(|_| !log.told_stopped && log.is_quiet()) else { return };
        let (durable, state) = (log.log.durable().lsn >= seal, log.log.state());
        if !durable && state == LogState::Writing {
            return;
        }
        log.told_stopped = true;
        let end = durable.then(|| (log.log.segment(), seal));
        let shard = usize::from(self.id.0);
        let errand: Errand = Box::new(move |core, io| core.log_stopped(io, shard, end));
        io.mail(CoreId(0), Mail::Errand(errand));
    }

    fn log_stopped(&mut self, io: &mut Io, shard: usize, end: Option<(u64, Lsn)>) {
        if let Some(stopping) = &mut self.stopping_logs {
            stopping.ends[shard] = end;
        }
        self.count_stopped(io);
    }

    fn count_stopped(&mut self, io: &mut Io) {
        let Some(stopping) = &mut self.stopping_logs else { return };
        stopping.missing -= 1;
        if stopping.missing > 0 {
            return;
        }
        let ends: Option<Vec<(u64, Lsn)>> = stopping.ends.iter().copied().collect();
        if ends.is_none() {
            tracing::warn!("The logs are given up without their ends, since they cannot be written");
        }
        self.change_manifest(io, move |core, io| core.close_run(io, ends));
    }

    /// Has the manifest say where the logs end, if it names them.
    fn close_run(&mut self, io: &mut Io, ends: Option<Vec<(u64, Lsn)>>) {
        let run = self.exec.log.as_ref().map(|log| log.run());
        let (Some(run), Some(before)) = (run, self.saves.manifest.clone()) else {
            self.manifest_changed(io, None);
            return self.drop_logs(io);
        };
        self.note_ends(io, run, ends.clone());
        let is_named = before.runs.iter().any(|other| other.run == run && other.is_open());
        let Some(ends) = ends.filter(|_| is_named) else {
            self.manifest_changed(io, None);
            return self.drop_logs(io);
        };
        let manifest = Arc::new(before.with_ends(&ends));
        let (disk, new) = (self.disk(), manifest.clone());
        // What it no longer names is removed with the next snapshot: there may be one in the making.
        self.help(
            io,
            move |_| new.install(disk),
            |core, io, installed| {
                if let Err(error) = &installed {
                    tracing::error!("The manifest cannot say where the logs end: {error}");
                }
                core.manifest_changed(io, installed.ok().map(|()| manifest));
                core.drop_logs(io);
            },
        );
    }

    /// The logs are over on all cores.
    fn drop_logs(&mut self, io: &mut Io) {
        self.gather_all(io, Core::drop_log, |core, io, _| {
            core.saves.base_wanted = false;
            core.dismiss_askers(io);
            if let Some(Stopping { epoch, then, .. }) = core.stopping_logs.take() {
                core.saves.epoch = core.saves.epoch.max(epoch);
                then(core, io, Ok(()));
            }
        });
    }

    fn drop_log(&mut self, io: &mut Io) {
        self.note_rotation(io);
        self.exec.log = None;
        self.exec.set_holds(false);
        self.forget_troubles();
        self.tx.placings = super::Placings::default();
        self.fail_epoch_waits(io);
        self.release_waiting(io);
    }

    /// Begins the snapshot that the logs need as their base, unless one is being made.
    pub(crate) fn look_for_base(&mut self, io: &mut Io) {
        if self.saves.base_wanted && self.begin_save(io, Wish::Rewrite).is_err() {
            tracing::info!("The logs' base is made when the snapshot under way is there");
        }
    }

    /// The base of the logs is on the disk: they count.
    pub(crate) fn base_done(&mut self, io: &mut Io, bytes: u64) {
        self.saves.base_wanted = false;
        let count = |core: &mut Core, _: &mut Io| {
            if let Some(log) = &mut core.exec.log {
                log.counts = true;
            }
        };
        self.gather_all(io, count, move |core, io, _| {
            tracing::info!("A start finds the logs from now on (appendonly yes)");
            // `appendfsync always` begins with a cut.
            core.ask_for_cut(io, move |core, io, _| core.end_save(io, Some(bytes)));
        });
    }
}
