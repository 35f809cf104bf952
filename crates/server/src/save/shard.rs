//! One core's part of a snapshot: the walk over its shard, in slices, and the file that the storage executor writes of it.
//!
//! The walk waits while [`AHEAD_BYTES_MAX`] are not yet taken, so the disk sets its pace; what changes save first comes on top.
//! One batch is with the executor at a time.

use pinyon_base::ShardId;
use pinyon_durability::manifest::SnapshotFileRef;
use pinyon_durability::snapshot::SnapshotHeader;
use pinyon_durability::{DiskError, Epoch, LogStart, ServerId, SnapshotId};
use pinyon_engine::keyspace::Batch;
use pinyon_runtime::CoreId;
use pinyon_runtime::storage::{Class, Files};

use super::control;
use super::draft::{Draft, Written};
use crate::core::{Core, Io, Mail};
use crate::log::Errand;

/// Bytes that are walked in a slice, about.
const SLICE_BYTES: usize = 48 << 10;
/// A batch is handed over from this size on.
const BATCH_BYTES: usize = 256 << 10;
/// No further than this does the walk go ahead of the disk.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// What a shard says of the cut.
pub(super) struct Cut {
    pub epoch: Epoch,
}

/// A core's snapshot under way.
pub(crate) struct Saving {
    id: SnapshotId,
    /// Not before the cut is known to be made everywhere; and away while the executor has it.
    file: Option<Box<Draft>>,
    epoch: Epoch,
    /// Changes at the cut.
    dirty: u64,
    /// Entries that status was told of.
    told: u64,
    start: Option<LogStart>,
    done: Option<SnapshotFileRef>,
    given_up: bool,
    /// What [`Shard::bigs_saved`](pinyon_engine::keyspace::Shard::bigs_saved) said last.
    bigs: Option<u64>,
}

impl Core {
    /// The cut, on this shard. None: it has no log, or is not done with the last snapshot.
    pub(super) fn cut_shard(&mut self, id: SnapshotId) -> Option<Cut> {
        self.exec.log_changes(None);
        // The walk of one that was given up may not have ended.
        let is_free = !self.exec.shard.is_saving();
        let log = self.exec.log.as_mut().filter(|_| is_free)?;
        let epoch = log.log.epoch();
        let always = log.log.is_always();
        log.log.seal(always, true);
        log.log.want_sync();
        log.told_write = false;
        self.exec.shard.begin_snapshot();
        self.look_at_holds();
        self.shared.saves.expect(self.exec.shard.snapshot_progress().1);
        let dirty = self.exec.stats.dirty;
        let (file, start, done, bigs) = (None, None, None, Some(0));
        self.saving = Some(Saving { id, file, epoch, dirty, told: 0, start, done, given_up: false, bigs });
        Some(Cut { epoch })
    }

    /// All shards have been cut at the end of `epoch`: the file may begin.
    pub(super) fn begin_file(&mut self, server: ServerId, epoch: Epoch) {
        let (shards, disk) = (self.shards, self.disk());
        let Some(saving) = &mut self.saving else { return };
        let shard = ShardId(self.id.0);
        let header = SnapshotHeader { server, id: saving.id, epoch, shard, shards };
        let path = control::path(saving.id, self.id.0);
        saving.file = Some(Box::new(Draft::new(header, disk, path, self.config.rdbcompression)));
    }

    /// The turn's slice of the snapshot. True: there is more that can be done now.
    pub(crate) fn save_slice(&mut self, io: &mut Io) -> bool {
        self.look_at_save_points(io);
        let Some(before) = self.saving.as_ref().map(|saving| saving.bigs) else { return false };
        let more = self.save_some(io);
        let bigs = self.exec.shard.bigs_saved();
        if bigs != before {
            if let Some(saving) = &mut self.saving {
                saving.bigs = bigs;
            }
            self.saved_for_others(io);
        }
        more
    }

    fn save_some(&mut self, io: &mut Io) -> bool {
        let Some(saving) = &mut self.saving else { return false };
        let shard = &mut self.exec.shard;
        if saving.start.is_none()
            && let Some(log) = &mut self.exec.log
        {
            let rotation = log.log.take_rotation().filter(|(epoch, _)| *epoch == saving.epoch);
            saving.start = rotation.map(|(_, start)| start);
        }
        let may_walk = saving.given_up || shard.saved_bytes() < AHEAD_BYTES_MAX;
        let more = may_walk && shard.snapshot_slice(SLICE_BYTES);
        let saved = shard.snapshot_progress().0;
        self.shared.saves.saved(saved.saturating_sub(saving.told));
        saving.told = saving.told.max(saved);
        if saving.given_up {
            if let Some(file) = saving.file.take() {
                file.abandon(io);
            }
            if !more && shard.take_batch().is_none() {
                self.saving = None;
            }
            return more;
        }
        let is_whole = may_walk && !more;
        if (is_whole || shard.saved_bytes() >= BATCH_BYTES)
            && let Some(file) = saving.file.take()
        {
            match shard.take_batch() {
                Some(batch) => self.write_batch(io, file, Some(batch)),
                None if !shard.is_saving() => self.write_batch(io, file, None),
                None => saving.file = Some(file),
            }
        }
        self.report_file(io);
        more
    }

    /// Has the executor write a batch, or the file's end.
    fn write_batch(&mut self, io: &mut Io, file: Box<Draft>, batch: Option<Batch>) {
        let Some(id) = self.saving.as_ref().map(|saving| saving.id) else { return };
        io.store(move |files: &Files| {
            // The core's own thread, which has the same cpu, comes first.
            files.set_class(Class::Nice);
            let written = match &batch {
                Some(batch) => file.write(files, batch),
                None => file.finish(files),
            };
            written.then(move |result| {
                Mail::Errand(Box::new(move |core: &mut Core, io: &mut Io| core.batch_written(io, id, result)) as Errand)
            })
        });
    }

    fn batch_written(&mut self, io: &mut Io, id: SnapshotId, result: Result<Written, DiskError>) {
        let wanted = self.saving.as_mut().filter(|saving| saving.id == id && !saving.given_up);
        match (result, wanted) {
            (Ok(Written::Part(file)), Some(saving)) => saving.file = Some(file),
            (Ok(Written::Part(file)), None) => file.abandon(io),
            (Ok(Written::Whole(done)), Some(saving)) => saving.done = Some(done),
            (Ok(Written::Whole(_)), None) => {}
            (Err(error), _) => {
                let why = error.to_string();
                io.mail(CoreId(0), Mail::Errand(Box::new(move |core, io| core.save_failed(io, id, &why))));
            }
        }
    }

    /// Tells the first core when the file is whole and it is known where the log goes on.
    fn report_file(&mut self, io: &mut Io) {
        let Some(saving) = &mut self.saving else { return };
        let (Some(done), Some(start)) = (saving.done, saving.start) else { return };
        let (id, shard) = (saving.id, self.id.0);
        saving.done = None;
        let errand: Errand = Box::new(move |core, io| core.shard_saved(io, id, shard, done, start));
        io.mail(CoreId(0), Mail::Errand(errand));
    }

    /// The snapshot is on the disk: what it holds needs no saving.
    pub(super) fn forget_saved_changes(&mut self) {
        if let Some(saving) = self.saving.take() {
            self.exec.stats.dirty = self.exec.stats.dirty.saturating_sub(saving.dirty);
        }
    }

    /// Nobody wants the snapshot any more. The walk comes to its end without a trace.
    pub(super) fn give_up_save(&mut self) {
        if let Some(saving) = &mut self.saving {
            saving.given_up = true;
            self.exec.shard.give_up_snapshot();
        }
    }
}

impl Core {
    /// A snapshot has ended: whether writes are refused from now on (`stop-writes-on-bgsave-error`).
    pub(super) fn note_save(&mut self, failed: bool) {
        self.save_has_failed = failed;
        self.update_refusal();
    }
}
