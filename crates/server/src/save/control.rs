//! The first core's part of a snapshot: the cut, the manifest, and who waits for it.

use std::sync::Arc;

use pinyon_base::ShardId;
use pinyon_durability::manifest::{SnapshotFileRef, SnapshotRef};
use pinyon_durability::{Disk, DiskError, Epoch, LogStart, Manifest, SnapshotId, names, recovery};
use pinyon_engine::transaction::{Access, Intents};
use pinyon_runtime::CoreId;

use super::shard::Cut;
use crate::core::{Core, Io, Mail};
use crate::log::Errand;
use crate::tx::{Outcomes, Script, Step, once};

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
    /// There is no store to save to: `appendonly no`.
    NoStore,
}

/// Called when a snapshot has ended; true: it is there.
type Ended = Box<dyn FnOnce(&mut Core, &mut Io, bool)>;

/// The first core's.
#[derive(Default)]
pub(crate) struct Saves {
    /// The manifest on the disk.
    pub(crate) manifest: Option<Arc<Manifest>>,
    under_way: Option<UnderWay>,
    /// The last number given.
    last_id: u64,
    scheduled: Option<Wish>,
    waiting: Vec<Ended>,
    pub(super) look_at_us: u64,
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
    files: Vec<Option<(SnapshotFileRef, LogStart)>>,
}

/// Marks the cut on all shards.
struct Cutting {
    shards: u16,
    id: SnapshotId,
    begun: bool,
}

impl Script for Cutting {
    fn next(&mut self, core: &mut Core, io: &mut Io, outcomes: Outcomes) -> Step {
        let id = self.id;
        if !std::mem::replace(&mut self.begun, true) {
            let cut = |shard| (shard, once(move |core: &mut Core, _: &mut Io| core.cut_shard(id)));
            return Step::Run { parts: (0..self.shards).map(cut).collect(), last: true };
        }
        let cuts: Vec<Option<Cut>> = outcomes.into_iter().map(|(_, cut)| cut.worked()).collect();
        core.snapshot_cut(io, cuts);
        Step::Done
    }

    fn logs(&self) -> bool {
        false
    }
}

impl Core {
    /// Begins a snapshot, on the first core.
    pub(crate) fn begin_save(&mut self, io: &mut Io, wish: Wish) -> Result<(), Refused> {
        if let Some((_, is_rewrite)) = self.shared.saves.since() {
            return Err(if is_rewrite == (wish == Wish::Rewrite) { Refused::Same } else { Refused::Other });
        }
        let Some(manifest) = &self.saves.manifest else { return Err(Refused::NoStore) };
        let last = manifest.snapshot.as_ref().map_or(0, |snapshot| snapshot.id.0);
        let id = SnapshotId(self.saves.last_id.max(last) + 1);
        self.saves.last_id = id.0;
        self.shared.saves.begin(io.now_ms(), wish == Wish::Rewrite);
        let shards = self.shards;
        let time = io.now_ms() as u64;
        self.saves.under_way = Some(UnderWay { id, epoch: Epoch(0), time, files: vec![None; usize::from(shards)] });
        let disk = self.disk();
        let make = move |_: &_| -> Result<(), DiskError> {
            disk.create_folder(&names::snapshot_folder(id))?;
            disk.sync_folder("")
        };
        self.help(io, make, move |core, io, made| match made {
            Ok(()) => {
                let wants = (0..shards).map(|shard| (shard, Intents::whole(Access::Write))).collect();
                core.begin_transaction(io, wants, Box::new(Cutting { shards, id, begun: false }));
            }
            Err(error) => core.save_failed(io, id, &error.to_string()),
        });
        Ok(())
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

    /// The cut is made: every core saves what its shard held.
    fn snapshot_cut(&mut self, io: &mut Io, cuts: Vec<Option<Cut>>) {
        let Some(under_way) = &mut self.saves.under_way else { return };
        let id = under_way.id;
        let epoch = cuts.iter().flatten().map(|cut| cut.epoch).next().unwrap_or_default();
        under_way.epoch = epoch;
        let Some(server) = self.saves.manifest.as_ref().map(|manifest| manifest.server) else { return };
        if cuts.iter().any(Option::is_none) {
            return self.save_failed(io, id, "a shard is not ready for it");
        }
        for shard in 0..self.shards {
            let errand: Errand = Box::new(move |core, _| core.begin_file(server, epoch));
            io.mail(CoreId(shard), Mail::Errand(errand));
        }
    }

    /// A shard's file is on the disk, and its log goes on at `start` behind the cut.
    pub(super) fn shard_saved(
        &mut self,
        io: &mut Io,
        id: SnapshotId,
        shard: u16,
        file: SnapshotFileRef,
        start: LogStart,
    ) {
        let Some(under_way) = self.saves.under_way.as_mut().filter(|under_way| under_way.id == id) else { return };
        under_way.files[usize::from(shard)] = Some((file, start));
        if under_way.files.iter().any(Option::is_none) {
            return;
        }
        let (files, starts): (Vec<_>, Vec<_>) = under_way.files.iter().flatten().copied().unzip();
        let snapshot = SnapshotRef { id, epoch: under_way.epoch, time: under_way.time, files };
        let Some(manifest) = &self.saves.manifest else { return };
        let manifest = Arc::new(manifest.with_snapshot(snapshot, Some(&starts)));
        let disk = self.disk();
        let install = {
            let manifest = manifest.clone();
            move |_: &_| install(disk, &manifest)
        };
        self.help(io, install, move |core, io, installed| match installed {
            Ok(()) => core.save_done(io, manifest),
            Err(error) => {
                // The manifest on the disk may name it all the same: nothing is removed.
                tracing::error!("Background saving error: {error}");
                core.gather_all(io, |core, _| core.give_up_save(), |_, _, _| {});
                core.end_save(io, None);
            }
        });
    }

    fn save_done(&mut self, io: &mut Io, manifest: Arc<Manifest>) {
        let files = manifest.snapshot.iter().flat_map(|snapshot| &snapshot.files);
        let (bytes, entries) =
            files.fold((0, 0), |(bytes, entries), file| (bytes + file.bytes, entries + file.entries));
        self.saves.manifest = Some(manifest);
        tracing::info!("DB saved on disk: {entries} keys, {bytes} bytes");
        self.gather_all(io, |core, _| core.forget_saved_changes(), |_, _, _| {});
        self.end_save(io, Some(bytes));
    }

    /// The snapshot cannot be made: the store is as it was.
    pub(super) fn save_failed(&mut self, io: &mut Io, id: SnapshotId, why: &str) {
        if self.saves.under_way.as_ref().is_none_or(|under_way| under_way.id != id) {
            return;
        }
        tracing::error!("Background saving error: {why}");
        self.gather_all(io, |core, _| core.give_up_save(), |_, _, _| {});
        let disk = self.disk();
        // What cannot be removed now is removed at the next start.
        let remove = move |_: &_| drop(remove_folder(disk, &names::snapshot_folder(id)));
        self.help(io, remove, |core, io, ()| core.end_save(io, None));
    }

    fn end_save(&mut self, io: &mut Io, bytes: Option<u64>) {
        self.saves.under_way = None;
        self.saves.ended_ms = io.now_ms();
        self.shared.saves.end(io.now_ms(), bytes);
        let failed = bytes.is_none();
        self.gather_all(io, move |core, _| core.note_save(failed), |_, _, _| {});
        for ended in std::mem::take(&mut self.saves.waiting) {
            ended(self, io, !failed);
        }
        if let Some(wish) = self.saves.scheduled.take() {
            self.shared.saves.schedule(false, false);
            // Nothing is under way, and there is a store.
            let _ = self.begin_save(io, wish);
        }
    }
}

/// Puts the manifest in its place, and removes what it no longer names.
fn install(disk: &'static impl Disk, manifest: &Manifest) -> Result<(), DiskError> {
    if let Some(snapshot) = &manifest.snapshot {
        disk.sync_folder(&names::snapshot_folder(snapshot.id))?;
    }
    disk.sync_folder("")?;
    manifest.install(disk)?;
    // From here on the snapshot counts; what is not removed now is at the next start.
    if let Ok(freed) = recovery::free(disk, manifest) {
        for name in freed {
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
