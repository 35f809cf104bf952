//! The first core's part of a snapshot: the cut, the manifest, and who waits for it.
//!
//! With a log the cut ends an epoch and the logs go on behind it; without one it is all that there is, and a number of an
//! epoch is made up for it. The logs may be started and stopped while one is being made: what counts is how it was cut.

use std::collections::VecDeque;
use std::sync::Arc;

use pinyon_base::ShardId;
use pinyon_durability::manifest::{LogRef, RunRef, SnapshotFileRef, SnapshotRef};
use pinyon_durability::{Disk, DiskError, Epoch, LogStart, Lsn, Manifest, RunId, SnapshotId, names, recovery};
use pinyon_engine::transaction::{Access, Intents};
use pinyon_resp::Output;
use pinyon_runtime::CoreId;

use super::shard::Cut;
use crate::core::{Core, Io, Mail};
use crate::log::{Claim, Errand};
use crate::tx::{Outcome, Outcomes, Script, Step, once};

/// What somebody asks for. Both are one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Save,
    Rewrite,
}

/// Why a snapshot is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The same is under way.
    Same,
    /// The other one is.
    Other,
}

/// Called when a snapshot has ended; true: it is there.
type Ended = Box<dyn FnOnce(&mut Core, &mut Io, bool)>;
/// A change of the manifest; ends in [`Core::manifest_changed`].
pub(super) type Change = Box<dyn FnOnce(&mut Core, &mut Io)>;

/// The first core's.
#[derive(Default)]
pub(crate) struct Saves {
    /// The manifest on the disk. None: there is no store yet (`appendonly no`, and nothing was ever saved).
    pub(crate) manifest: Option<Arc<Manifest>>,
    /// It is being replaced, and what is to be changed of it afterwards.
    pub(super) changing: bool,
    pub(super) changes: VecDeque<Change>,
    /// Folders that were claimed since the start.
    pub(super) claims: Vec<Claim>,
    /// The last epoch that ended before the logs of the present run began, or without any.
    pub(crate) epoch: Epoch,
    /// The logs of the present run count when the next snapshot is there.
    pub(crate) base_wanted: bool,
    under_way: Option<UnderWay>,
    /// The last number given.
    last_id: u64,
    scheduled: Option<Wish>,
    waiting: Vec<Ended>,
    pub(super) look_at_us: u64,
    /// Something has changed since it was looked last whether a snapshot is due.
    pub(super) look_wanted: bool,
    /// When a save point is due if nothing else happens, Unix ms.
    pub(super) due_ms: Option<i64>,
    /// When the last one ended, Unix ms.
    pub(super) ended_ms: i64,
}

/// The snapshot that is being made.
struct UnderWay {
    id: SnapshotId,
    epoch: Epoch,
    time: u64,
    /// The run whose logs go on behind it, and, if they have been stopped since, where they end.
    run: Option<RunId>,
    ends: Option<Vec<(u64, Lsn)>>,
    files: Vec<Option<(SnapshotFileRef, Option<LogStart>)>>,
    /// The transaction that keeps all writes waiting until it has ended.
    holder: Option<u32>,
    /// What is left of it is being removed.
    failed: bool,
    /// Nobody wanted it any more: that is no failure.
    given_up: bool,
}

/// Marks the cut on all shards.
struct Cutting {
    shards: u16,
    id: SnapshotId,
    /// Nothing is written before the snapshot has ended: the server ends with it.
    hold: bool,
    begun: bool,
}

impl Script for Cutting {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        let id = self.id;
        if !std::mem::replace(&mut self.begun, true) {
            let cut = |shard| (shard, once(move |core: &mut Core, _: &mut Io| core.cut_shard(id)));
            return Step::Run { parts: (0..self.shards).map(cut).collect(), last: !self.hold };
        }
        let cuts = outcomes.into_iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Worked(cut) => cut.downcast::<Option<Cut>>().ok().map(|cut| *cut),
            _ => None,
        });
        let cuts: Vec<Option<Cut>> = cuts.collect();
        let waits = !cuts.is_empty() && core.snapshot_cut(io, self.id, cuts, self.hold);
        if waits { Step::Wait } else { Step::Done }
    }

    fn logs(&self) -> bool {
        false
    }
}

impl Core {
    /// Begins a snapshot, on the first core.
    pub(crate) fn begin_save(&mut self, io: &mut Io, wish: Wish) -> Result<(), Refused> {
        self.begin_snapshot(io, wish, false)
    }

    /// As `begin_save`; from the cut on no command changes anything, until the snapshot has ended or is given up.
    pub(crate) fn begin_last_save(&mut self, io: &mut Io) -> Result<(), Refused> {
        self.begin_snapshot(io, Wish::Save, true)
    }

    fn begin_snapshot(&mut self, io: &mut Io, wish: Wish, hold: bool) -> Result<(), Refused> {
        if let Some((_, is_rewrite)) = self.shared.saves.since() {
            return Err(if is_rewrite == (wish == Wish::Rewrite) { Refused::Same } else { Refused::Other });
        }
        let snapshot = self.saves.manifest.as_ref().and_then(|manifest| manifest.snapshot.as_ref());
        let id = SnapshotId(self.saves.last_id.max(snapshot.map_or(0, |snapshot| snapshot.id.0)) + 1);
        self.saves.last_id = id.0;
        self.shared.saves.begin(io.now_ms(), wish == Wish::Rewrite);
        let (shards, time) = (self.shards, io.now_ms() as u64);
        let files = vec![None; usize::from(shards)];
        self.saves.under_way = Some(UnderWay {
            id,
            epoch: Epoch(0),
            time,
            run: None,
            ends: None,
            files,
            holder: None,
            failed: false,
            given_up: false,
        });
        self.with_store(io, move |core, io, store| match store {
            Ok(()) => core.make_folder(io, id, hold),
            Err(why) => core.save_failed(io, id, &why),
        });
        Ok(())
    }

    fn make_folder(&mut self, io: &mut Io, id: SnapshotId, hold: bool) {
        let (disk, shards) = (self.disk(), self.shards);
        let make = move |_: &_| -> Result<(), DiskError> {
            disk.create_folder(&names::snapshot_folder(id))?;
            disk.sync_folder("")
        };
        self.help(io, make, move |core, io, made| match made {
            Ok(()) => {
                // Those who only read need not wait for a snapshot that holds.
                let access = if hold { Access::Read } else { Access::Write };
                let wants = (0..shards).map(|shard| (shard, Intents::whole(access))).collect();
                core.begin_transaction(io, wants, Box::new(Cutting { shards, id, hold, begun: false }));
            }
            Err(error) => core.save_failed(io, id, &error.to_string()),
        });
    }

    /// Begins one when the one under way has ended.
    pub(crate) fn schedule_save(&mut self, wish: Wish) {
        self.saves.scheduled = Some(wish);
        self.shared.saves.schedule(wish == Wish::Save, wish == Wish::Rewrite);
    }

    /// Calls `ended` when the snapshot under way has ended.
    pub(crate) fn when_saved(&mut self, ended: impl FnOnce(&mut Core, &mut Io, bool) + 'static) {
        self.saves.waiting.push(Box::new(ended));
    }

    /// Gives up the one under way: what was held goes on.
    pub(crate) fn abort_save(&mut self, io: &mut Io) {
        if let Some(under_way) = self.saves.under_way.as_mut().filter(|under_way| !under_way.failed) {
            under_way.given_up = true;
            let id = under_way.id;
            self.save_failed(io, id, "it was given up");
        }
    }

    /// The cut is made: every core saves what its shard held. True: the transaction is to wait until that is done.
    fn snapshot_cut(&mut self, io: &mut Io, id: SnapshotId, cuts: Vec<Option<Cut>>, hold: bool) -> bool {
        let slot = self.transaction_at_work();
        let server = self.saves.manifest.as_ref().map(|manifest| manifest.server);
        let under_way = self.saves.under_way.as_mut().filter(|under_way| under_way.id == id && !under_way.failed);
        let (Some(under_way), Some(server)) = (under_way, server) else {
            // It was given up before the cut.
            self.gather_all(io, |core, _| core.give_up_save(), |_, _, _| {});
            return false;
        };
        if cuts.iter().any(Option::is_none) {
            self.save_failed(io, id, "a shard is not ready for it");
            return false;
        }
        let logged = cuts.iter().flatten().find_map(|cut| cut.logged);
        let epoch = logged.map_or_else(|| self.saves.epoch.next(), |(_, epoch)| epoch);
        if logged.is_none() {
            self.saves.epoch = epoch;
        }
        (under_way.epoch, under_way.run) = (epoch, logged.map(|(run, _)| run));
        under_way.holder = hold.then_some(slot);
        for shard in 0..self.shards {
            let errand: Errand = Box::new(move |core, _| core.begin_file(server, epoch));
            io.mail(CoreId(shard), Mail::Errand(errand));
        }
        hold
    }

    /// A shard's file is on the disk, and its log, if it has one, goes on at `start` behind the cut.
    pub(super) fn shard_saved(
        &mut self,
        io: &mut Io,
        id: SnapshotId,
        shard: u16,
        file: SnapshotFileRef,
        start: Option<LogStart>,
    ) {
        let under_way = self.saves.under_way.as_mut().filter(|under_way| under_way.id == id && !under_way.failed);
        let Some(under_way) = under_way else { return };
        under_way.files[usize::from(shard)] = Some((file, start));
        if under_way.files.iter().all(Option::is_some) {
            self.change_manifest(io, move |core, io| core.install_snapshot(io, id));
        }
    }

    fn install_snapshot(&mut self, io: &mut Io, id: SnapshotId) {
        let under_way = self.saves.under_way.as_ref().filter(|under_way| under_way.id == id && !under_way.failed);
        let (Some(under_way), Some(manifest)) = (under_way, &self.saves.manifest) else {
            return self.manifest_changed(io, None);
        };
        let manifest = Arc::new(under_way.manifest(manifest));
        let disk = self.disk();
        let install = {
            let manifest = manifest.clone();
            move |_: &_| install(disk, &manifest)
        };
        self.help(io, install, move |core, io, installed| match installed {
            Ok(()) => {
                core.manifest_changed(io, Some(manifest.clone()));
                core.save_done(io, &manifest);
            }
            Err(error) => {
                // The manifest on the disk may name it all the same: nothing is removed.
                tracing::error!("Background saving error: {error}");
                core.manifest_changed(io, None);
                core.gather_all(io, |core, _| core.give_up_save(), |_, _, _| {});
                core.end_save(io, None);
            }
        });
    }

    fn save_done(&mut self, io: &mut Io, manifest: &Manifest) {
        let files = manifest.snapshot.iter().flat_map(|snapshot| &snapshot.files);
        let (bytes, entries) =
            files.fold((0, 0), |(bytes, entries), file| (bytes + file.bytes, entries + file.entries));
        tracing::info!("DB saved on disk: {entries} keys, {bytes} bytes");
        self.gather_all(io, |core, _| core.forget_saved_changes(), |_, _, _| {});
        let is_base = manifest.runs.last().is_some_and(|run| run.run == manifest.last_run && run.is_open());
        if is_base && self.saves.base_wanted {
            return self.base_done(io, bytes);
        }
        self.end_save(io, Some(bytes));
    }

    /// The snapshot cannot be made: the store is as it was.
    pub(super) fn save_failed(&mut self, io: &mut Io, id: SnapshotId, why: &str) {
        let under_way = self.saves.under_way.as_mut().filter(|under_way| under_way.id == id && !under_way.failed);
        let Some(under_way) = under_way else { return };
        under_way.failed = true;
        match under_way.given_up {
            true => tracing::warn!("Background saving terminated"),
            false => tracing::error!("Background saving error: {why}"),
        }
        self.gather_all(io, |core, _| core.give_up_save(), |_, _, _| {});
        let Some(disk) = self.store else { return self.end_save(io, None) };
        // What cannot be removed now is removed at the next start.
        let remove = move |_: &_| drop(remove_folder(disk, &names::snapshot_folder(id)));
        self.help(io, remove, |core, io, ()| core.end_save(io, None));
    }

    pub(crate) fn end_save(&mut self, io: &mut Io, bytes: Option<u64>) {
        let under_way = self.saves.under_way.take();
        let given_up = under_way.as_ref().is_some_and(|under_way| under_way.given_up);
        let holder = under_way.and_then(|under_way| under_way.holder);
        self.saves.ended_ms = io.now_ms();
        let failed = bytes.is_none();
        if given_up {
            self.shared.saves.give_up();
        } else {
            self.shared.saves.end(io.now_ms(), bytes);
            self.gather_all(io, move |core, _| core.note_save(failed), |_, _, _| {});
        }
        for ended in std::mem::take(&mut self.saves.waiting) {
            ended(self, io, !failed);
        }
        if self.saves.base_wanted && !failed {
            self.look_for_base(io);
        }
        // If it was the server's last one, what it has held is not let go any more.
        if let Some(slot) = holder.filter(|_| failed) {
            self.resume_with(io, slot, Outcome::Replied(Output::default()));
        }
        if let Some(wish) = self.saves.scheduled.take() {
            self.shared.saves.schedule(false, false);
            // Unless one was begun by who has waited, nothing is under way.
            let _ = self.begin_save(io, wish);
        }
    }

    /// The logs have been stopped at these ends (None: in disorder) while a snapshot is under way that builds on them.
    pub(crate) fn note_ends(&mut self, io: &mut Io, run: RunId, ends: Option<Vec<(u64, Lsn)>>) {
        let Some(under_way) = self.saves.under_way.as_mut().filter(|under_way| under_way.run == Some(run)) else {
            return;
        };
        let id = under_way.id;
        match ends {
            Some(ends) => under_way.ends = Some(ends),
            None => self.save_failed(io, id, "the log that it builds on has failed"),
        }
    }
}

impl UnderWay {
    /// The manifest that follows `before` when all files are there.
    fn manifest(&self, before: &Manifest) -> Manifest {
        let (files, starts): (Vec<_>, Vec<_>) = self.files.iter().flatten().copied().unzip();
        let snapshot = SnapshotRef { id: self.id, epoch: self.epoch, time: self.time, files };
        let run = self.run.map(|run| {
            let logs = starts.into_iter().flatten().map(|start| LogRef { start, end: None });
            let mut run = RunRef { run, base_epoch: self.epoch, logs: logs.collect() };
            if let Some(ends) = &self.ends {
                run.end(ends);
            }
            run
        });
        before.with_snapshot_and_run(snapshot, run)
    }
}

/// Puts the manifest in its place, and removes what it no longer names: but for the segments of the last run if it names none of
/// them, for these logs may be waiting for their base, or be about to begin.
fn install(disk: &'static impl Disk, manifest: &Manifest) -> Result<(), DiskError> {
    if let Some(snapshot) = &manifest.snapshot {
        disk.sync_folder(&names::snapshot_folder(snapshot.id))?;
    }
    disk.sync_folder("")?;
    manifest.install(disk)?;
    // From here on the snapshot counts; what is not removed now is at the next start.
    if let Ok(freed) = recovery::free(disk, manifest) {
        let last = manifest.last_run;
        let is_named = manifest.runs.iter().any(|run| run.run == last);
        for name in freed.into_iter().filter(|name| name.run != last || is_named) {
            drop(disk.remove(&name.path()));
        }
    }
    Ok(())
}

fn remove_folder(disk: &impl Disk, folder: &str) -> Result<(), DiskError> {
    for file in disk.list(folder)? {
        disk.remove(&format!("{folder}/{file}"))?;
    }
    disk.remove_folder(folder)
}

/// Which file is a shard's.
pub(super) fn path(id: SnapshotId, shard: u16) -> String {
    names::snapshot_file(id, ShardId(shard))
}
