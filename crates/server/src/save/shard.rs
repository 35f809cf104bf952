//! One core's part of a snapshot: the walk over its shard, in slices, and the file that the storage executor writes of it.
//!
//! The walk waits while [`AHEAD_BYTES_MAX`] are not yet taken, so the disk sets its pace; what changes save first comes on top.
//! One batch is with the executor at a time.

use pinyon_base::ShardId;
use pinyon_durability::manifest::SnapshotFileRef;
use pinyon_durability::snapshot::{SnapshotHeader, SnapshotWriter};
use pinyon_durability::{Disk, DiskError, Epoch, LogStart, ServerId, SnapshotId, StdDisk};
use pinyon_engine::keyspace::{Batch, Piece};
use pinyon_runtime::CoreId;

use super::control;
use crate::core::{Core, Io, Mail};
use crate::log::Errand;

/// Bytes that are walked in a slice, about.
const SLICE_BYTES: usize = 48 << 10;
/// A batch is handed over from this size on.
const BATCH_BYTES: usize = 256 << 10;
/// No further than this does the walk go ahead of the disk.
const AHEAD_BYTES_MAX: usize = 1 << 20;
/// Bytes in a block before compression.
const BLOCK_BYTES: usize = 128 << 10;
/// A file is synced each time so much more of it was written, so that no sync takes long.
const SYNC_BYTES: u64 = 8 << 20;

/// What a shard says of the cut.
pub(super) struct Cut {
    pub epoch: Epoch,
}

/// A core's snapshot under way.
pub(crate) struct Saving {
    id: SnapshotId,
    /// Not before the cut is known to be made everywhere; and away while the executor has it.
    file: Option<Box<File>>,
    epoch: Epoch,
    /// Changes at the cut.
    dirty: u64,
    /// Entries that status was told of.
    told: u64,
    start: Option<LogStart>,
    done: Option<SnapshotFileRef>,
    given_up: bool,
}

/// The file while it is written.
struct File {
    disk: &'static StdDisk,
    path: String,
    offset: u64,
    unsynced: u64,
    writer: SnapshotWriter,
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
        self.shared.saves.expect(self.exec.shard.snapshot_progress().1);
        let dirty = self.exec.stats.dirty;
        let (file, start, done) = (None, None, None);
        self.saving = Some(Saving { id, file, epoch, dirty, told: 0, start, done, given_up: false });
        Some(Cut { epoch })
    }

    /// All shards have been cut at the end of `epoch`: the file may begin.
    pub(super) fn begin_file(&mut self, server: ServerId, epoch: Epoch) {
        let (shards, disk) = (self.shards, self.disk());
        let Some(saving) = &mut self.saving else { return };
        let shard = ShardId(self.id.0);
        let header = SnapshotHeader { server, id: saving.id, epoch, shard, shards };
        let writer = SnapshotWriter::new(header, BLOCK_BYTES, self.config.rdbcompression);
        let path = control::path(saving.id, self.id.0);
        saving.file = Some(Box::new(File { disk, path, offset: 0, unsynced: 0, writer }));
    }

    /// The turn's slice of the snapshot. True: there is more that can be done now.
    pub(crate) fn save_slice(&mut self, io: &mut Io) -> bool {
        self.look_at_save_points(io);
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
    fn write_batch(&mut self, io: &mut Io, file: Box<File>, batch: Option<Batch>) {
        let Some(id) = self.saving.as_ref().map(|saving| saving.id) else { return };
        let work = move |_: &_| match batch {
            Some(batch) => file.write(&batch).map(|file| (Some(file), None)),
            None => file.finish().map(|done| (None, Some(done))),
        };
        self.help(io, work, move |core, io, result| {
            let Some(saving) = core.saving.as_mut().filter(|saving| saving.id == id) else { return };
            match result {
                Ok((file, done)) => (saving.file, saving.done) = (file, done),
                Err(error) => {
                    let why = error.to_string();
                    let errand: Errand = Box::new(move |core, io| core.save_failed(io, id, &why));
                    io.mail(CoreId(0), Mail::Errand(errand));
                }
            }
        });
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

impl File {
    fn write(mut self: Box<File>, batch: &Batch) -> Result<Box<File>, DiskError> {
        if self.offset == 0 {
            self.disk.create(&self.path)?;
        }
        let File { disk, path, offset, unsynced, writer } = &mut *self;
        let mut result = Ok(());
        batch.pieces(&mut |piece| {
            match piece {
                Piece::Entry => writer.entry(),
                Piece::Bytes(bytes) => writer.piece(bytes),
            }
            while let Some(bytes) = writer.take() {
                if result.is_ok() {
                    result = disk.write(path, *offset, &bytes);
                    *offset += bytes.len() as u64;
                    *unsynced += bytes.len() as u64;
                }
            }
        });
        result?;
        if *unsynced >= SYNC_BYTES {
            *unsynced = 0;
            disk.sync(path)?;
        }
        Ok(self)
    }

    fn finish(self: Box<File>) -> Result<SnapshotFileRef, DiskError> {
        let File { disk, path, mut offset, writer, .. } = *self;
        if offset == 0 {
            disk.create(&path)?;
        }
        let (rest, done) = writer.finish();
        for bytes in rest {
            disk.write(&path, offset, &bytes)?;
            offset += bytes.len() as u64;
        }
        disk.sync(&path)?;
        Ok(done)
    }
}

impl Core {
    /// A snapshot has ended: whether writes are refused from now on (`stop-writes-on-bgsave-error`).
    pub(super) fn note_save(&mut self, failed: bool) {
        self.save_has_failed = failed;
        self.update_refusal();
    }
}
